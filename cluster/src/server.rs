//! Where the API server is.

use std::{fmt, net::IpAddr, str::FromStr};

/// The port of https.
const HTTPS: u16 = 443;

/// The port of http.
const HTTP: u16 = 80;

/// The address of an API server: `https://HOST[:PORT][/PATH]`. Printing and parsing are inverse to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Whether it is spoken to in the clear.
    pub(crate) plain: Plain,
    /// A name or an address, IPv6 without brackets.
    host: String,
    port: u16,
    /// Before every path; empty, or with a slash before it and none after it.
    prefix: String,
}

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// http, which is for this machine alone.
    Http,
    /// https.
    Https,
}

/// A text is no address of an API server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// Not that form.
    #[error("{0:?} is no address of an API server; write https://HOST:PORT")]
    Form(String),
    /// A name and a password; they would be printed wherever the address is. They are not repeated here.
    #[error("the address of an API server takes no user and password")]
    UserInfo,
    /// In the clear over a network.
    #[error(
        "{0} is spoken to in the clear, which is for addresses of this machine alone; write https://"
    )]
    Clear(String),
}

impl Server {
    /// An API server at a host and port, over https.
    ///
    /// # Errors
    /// It is no host.
    pub fn new(host: &str, port: u16) -> Result<Self, ServerError> {
        let host = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        format!("https://{host}:{port}").parse()
    }

    /// The name or address, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a request names as its host.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Before every path.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        // Before anything is said about the text.
        if text.contains('@') {
            return Err(ServerError::UserInfo);
        }
        let form = || ServerError::Form(text.to_owned());
        let (plain, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Plain::Https, rest),
            Some(("http", rest)) => (Plain::Http, rest),
            Some(_) | None => return Err(form()),
        };
        let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '\\' | '%' | '"');
        if !rest.chars().all(fits) {
            return Err(form());
        }
        let (authority, prefix) = match rest.find('/') {
            Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
            None => (rest, ""),
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(inside) => {
                let (host, port) = inside.split_once(']').ok_or_else(form)?;
                let is_v6 = host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6());
                let port = if port.is_empty() { None } else { port.strip_prefix(':') };
                if !is_v6 || (port.is_none() && !inside.ends_with(']')) {
                    return Err(form());
                }
                (host, port)
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let usual = match plain {
            Plain::Http => HTTP,
            Plain::Https => HTTPS,
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(form)?,
            None => usual,
        };
        if host.is_empty() || (host.contains(':') && !authority.starts_with('[')) {
            return Err(form());
        }
        let near = host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if plain == Plain::Http && !near {
            return Err(ServerError::Clear(text.to_owned()));
        }
        Ok(Self { plain, host: host.to_owned(), port, prefix: prefix.to_owned() })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.plain {
            Plain::Http => "http",
            Plain::Https => "https",
        };
        write!(f, "{scheme}://{}{}", self.authority(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_whole() {
        let table = [
            ("https://10.96.0.1", "https://10.96.0.1:443"),
            ("https://api.example.com:6443/", "https://api.example.com:6443"),
            ("https://[fd79::1]", "https://[fd79::1]:443"),
            ("https://[fd79::1]:6443", "https://[fd79::1]:6443"),
            ("https://proxy/k8s/clusters/c-1/", "https://proxy:443/k8s/clusters/c-1"),
            ("http://127.0.0.1:8001", "http://127.0.0.1:8001"),
            ("http://localhost", "http://localhost:80"),
        ];
        for (text, printed) in table {
            let server: Server = text.parse().unwrap();
            assert_eq!(server.to_string(), printed);
            assert_eq!(printed.parse(), Ok(server));
        }
        assert_eq!(Server::new("fd79::1", 443).unwrap().to_string(), "https://[fd79::1]:443");
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_secrets() {
        let bad = [
            "",
            "api",
            "api:6443",
            "https://",
            "https://:1",
            "https://a:0",
            "https://a:x",
            "ftp://a",
            "https://a b",
            "https://a?x",
            "https://[fd79::1",
            "https://[a]",
            "https://fd79::1:1",
            "https://[fd79::1]x",
        ];
        for text in bad {
            assert!(matches!(text.parse::<Server>(), Err(ServerError::Form(_))), "{text}");
        }
        assert!(matches!("http://10.0.0.1".parse::<Server>(), Err(ServerError::Clear(_))));
        let error = "https://me:secret@api".parse::<Server>().unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
