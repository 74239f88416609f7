//! Where a gateway or a broker listens.

use std::{fmt, str::FromStr};

use reqwest::Url;
use serde::{Serialize, Serializer};

/// The gateway's port for clients.
const GATEWAY_PORT: u16 = 26500;

/// The port for those who manage a broker or a gateway.
const MANAGEMENT_PORT: u16 = 9600;

/// How it is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// `http:`
    Plain,
    /// `https:`
    Tls,
}

/// A host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    transport: Transport,
    /// A name or an address, IPv6 in brackets.
    host: String,
    port: u16,
}

/// A gateway for clients: `10.0.0.1`, `zeebe-gateway:26500`, `https://gateway.example.com:443`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayUrl(Place);

/// A broker or a gateway for those who manage it: `10.0.0.1`, `http://zeebe-0.zeebe:9600`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManagementUrl(Place);

/// A text is no such place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No host and port at all.
    #[error(
        "{0:?} is no place of Zeebe's; write HOST, HOST:PORT, http://HOST:PORT or https://HOST:PORT"
    )]
    Form(String),
    /// Neither http nor https.
    #[error("{0:?}: Zeebe is asked over http and https only")]
    Scheme(String),
    /// A name and a password; they would be printed wherever the place is. They are not repeated here.
    #[error("a place of Zeebe's takes no user and password")]
    UserInfo,
}

impl Place {
    fn parse(text: &str, port: u16) -> Result<Self, UrlError> {
        // Before anything is said about the text.
        if text.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let form = || UrlError::Form(text.to_owned());
        let (transport, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Transport::Plain, rest),
            Some(("https", rest)) => (Transport::Tls, rest),
            Some(_) => return Err(UrlError::Scheme(text.to_owned())),
            None => (Transport::Plain, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty()
            || rest.contains(['/', '?', '#', '\\'])
            || rest.chars().any(char::is_whitespace)
        {
            return Err(form());
        }
        let named =
            rest.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
        let port = match named {
            Some((_, port)) => port.parse().ok().filter(|port| *port != 0).ok_or_else(form)?,
            None => port,
        };
        let url: Url = format!("http://{rest}").parse().map_err(|_| form())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(form)?.to_owned();
        Ok(Self { transport, host, port })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Plain => "http",
            Transport::Tls => "https",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl GatewayUrl {
    /// How it is talked to.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.0.transport
    }

    /// A name or an address, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }
}

impl ManagementUrl {
    /// A broker or gateway at this host, which listens on the usual port; IPv6 with or without brackets.
    ///
    /// # Errors
    /// It is no host.
    pub fn of_host(host: &str) -> Result<Self, UrlError> {
        let bare = host.contains(':') && !host.starts_with('[');
        if bare { format!("[{host}]").parse() } else { host.parse() }
    }

    /// A name or an address, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The same way and port at another host.
    ///
    /// # Errors
    /// It is no host.
    pub fn at(&self, host: &str) -> Result<Self, UrlError> {
        let Self(other) = Self::of_host(host)?;
        Ok(Self(Place { host: other.host, ..self.0.clone() }))
    }
}

impl FromStr for GatewayUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Place::parse(text, GATEWAY_PORT).map(Self)
    }
}

impl FromStr for ManagementUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Place::parse(text, MANAGEMENT_PORT).map(Self)
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ManagementUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for GatewayUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ManagementUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_printed_whole() {
        let table = [
            ("10.0.0.1", "http://10.0.0.1:26500"),
            ("gw:1", "http://gw:1"),
            ("https://gw.example.com:443/", "https://gw.example.com:443"),
            ("[fd00::1]", "http://[fd00::1]:26500"),
            ("http://[fd00::1]:9", "http://[fd00::1]:9"),
            ("http://gw:80", "http://gw:80"),
        ];
        for (text, printed) in table {
            let url: GatewayUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), printed);
            assert_eq!(printed.parse(), Ok(url));
        }
        let broker = ManagementUrl::of_host("fd00::1").unwrap();
        assert_eq!(
            (broker.to_string(), broker.host()),
            ("http://[fd00::1]:9600".to_owned(), "fd00::1")
        );
        let secure: ManagementUrl = "https://b0:19600".parse().unwrap();
        assert_eq!(secure.at("b1").unwrap().to_string(), "https://b1:19600");
    }

    #[test]
    fn what_is_no_place_is_refused_without_its_secrets() {
        for text in ["", "gw:0", "gw:x", "gw:70000", "a b", "http://", "gw/path", "gw?x=1"] {
            assert!(matches!(text.parse::<GatewayUrl>(), Err(UrlError::Form(_))), "{text}");
        }
        assert!(matches!("ftp://gw".parse::<GatewayUrl>(), Err(UrlError::Scheme(_))));
        let error = "http://me:secret@gw".parse::<GatewayUrl>().unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
