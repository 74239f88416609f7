//! Where a member listens for clients.

use std::{fmt, net::IpAddr, str::FromStr};

use fault::Legible;
use hyper::Uri;

/// How a member is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Transport {
    /// `http:`
    Plain,
    /// `https:`
    Tls,
}

/// A client URL: `http://10.0.0.1:2379`, `https://etcd-0.etcd:2379`, `10.0.0.1:2379`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub(super) transport: Transport,
    /// A name or an address, IPv6 without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Where it is dialled, whatever its host leads to.
    pub(super) at: Option<IpAddr>,
}

/// A text is no client URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No URL at all.
    #[error("{} is no URL; write one such as http://10.0.0.1:2379", Legible(.0))]
    Form(String),
    /// Neither http nor https, such as unix.
    #[error("{}: etcd is asked over http and https only", Legible(.0))]
    Scheme(String),
    /// A name and a password; they would be printed wherever the URL is. They are not repeated here.
    #[error("a URL of etcd takes no user and password")]
    UserInfo,
}

/// etcd's port for clients.
const PORT: u16 = 2379;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        // Before anything is said about the text.
        if text.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        let form = || EndpointError::Form(text.to_owned());
        let (transport, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Transport::Plain, rest),
            Some(("https", rest)) => (Transport::Tls, rest),
            Some(_) => return Err(EndpointError::Scheme(text.to_owned())),
            // As etcdctl takes them.
            None => (Transport::Plain, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| form())?;
        let authority = uri.authority().ok_or_else(form)?;
        // A path, or a port that is no number, remains besides host and port.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => PORT,
            Some(port) => port.strip_prefix(':').and_then(|n| n.parse().ok()).ok_or_else(form)?,
            None => return Err(form()),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || authority.as_str() != rest {
            return Err(form());
        }
        Ok(Self { transport, host: host.to_owned(), port, at: None })
    }
}

impl Endpoint {
    /// One that is dialled at an address: in the clear, or over TLS with a certificate for `host`.
    #[must_use]
    pub fn at(address: IpAddr, port: u16, host: Option<String>) -> Self {
        match host {
            Some(host) => Self { transport: Transport::Tls, host, port, at: Some(address) },
            None => Self { transport: Transport::Plain, host: address.to_string(), port, at: None },
        }
    }

    /// The address at which it is dialled, where that follows from nobody's word.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.at.or_else(|| self.host.parse().ok())
    }

    /// Whether it is asked over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        match self.transport {
            Transport::Plain => false,
            Transport::Tls => true,
        }
    }

    /// Host and port as they stand in a URL.
    pub(super) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Plain => "http",
            Transport::Tls => "https",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let table = [
            ("http://10.0.0.1:2379", "http://10.0.0.1:2379"),
            ("https://etcd-0.etcd:23/", "https://etcd-0.etcd:23"),
            ("http://[fd00::1]:2379", "http://[fd00::1]:2379"),
            ("https://[fd00::1]", "https://[fd00::1]:2379"),
            ("10.0.0.1:1", "http://10.0.0.1:1"),
            ("etcd", "http://etcd:2379"),
        ];
        for (text, printed) in table {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), printed);
        }
        let form = |text: &str| matches!(text.parse::<Endpoint>(), Err(EndpointError::Form(_)));
        for bad in ["", "http://", "http://a:b", "http://a:99999", "http://a/b", "a b", "http://:1"]
        {
            assert!(form(bad), "{bad}");
        }
        let unix = "unix:///run/etcd".parse::<Endpoint>();
        assert!(matches!(unix, Err(EndpointError::Scheme(_))));
    }

    #[test]
    fn a_password_is_not_repeated() {
        let error = "http://root:secret@a:1".parse::<Endpoint>().unwrap_err();
        assert_eq!(error, EndpointError::UserInfo);
        assert!(!error.to_string().contains("secret"));
    }
}
