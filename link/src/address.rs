//! Where somebody listens.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use rustls::pki_types::{IpAddr, ServerName};

/// `HOST:PORT`; an IPv6 address stands in brackets. Printing and parsing are inverse to each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: ServerName<'static>,
    port: u16,
}

/// A text is no `HOST:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write HOST:PORT with a name or an address, such as db0:7070, 10.0.0.1:7070 or [fd00::1]:7070"
)]
pub struct HostPortError;

impl HostPort {
    /// The name or address, which is also what a certificate must be for.
    #[must_use]
    pub const fn host(&self) -> &ServerName<'static> {
        &self.host
    }

    /// The port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The same port at one of the addresses of the host.
    #[must_use]
    pub fn at(&self, address: std::net::IpAddr) -> Self {
        Self { host: ServerName::from(address), port: self.port }
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError)?;
        let plain = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| plain && *port != 0).ok_or(HostPortError)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inside) => {
                let address: Ipv6Addr = inside.parse().map_err(|_| HostPortError)?;
                ServerName::from(address)
            }
            None if host.contains(':') => return Err(HostPortError),
            None => ServerName::try_from(host.to_owned()).map_err(|_| HostPortError)?,
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.host.to_str(), self.port);
        if matches!(self.host, ServerName::IpAddress(IpAddr::V6(_))) {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_read_and_printed() {
        let table = [
            ("db0:7070", Some("db0:7070")),
            ("schism.example.org:1", Some("schism.example.org:1")),
            ("10.0.0.1:65535", Some("10.0.0.1:65535")),
            ("[fd00::1]:7070", Some("[fd00::1]:7070")),
            ("[FD00:0::1]:7070", Some("[fd00::1]:7070")),
            ("", None),
            ("db0", None),
            (":7070", None),
            ("db0:", None),
            ("db0:0", None),
            ("db0:+1", None),
            ("db0:65536", None),
            ("fd00::1:7070", None),
            ("[10.0.0.1]:7070", None),
            ("[db0]:7070", None),
            ("d b:7070", None),
            ("http://db0:7070", None),
            ("*.example.org:1", None),
        ];
        for (text, printed) in table {
            let found = text.parse::<HostPort>().ok().map(|address| address.to_string());
            assert_eq!(found.as_deref(), printed, "{text}");
        }
        let named: HostPort = "db0:7070".parse().unwrap();
        for (address, printed) in [("10.0.0.1", "10.0.0.1:7070"), ("fd00::1", "[fd00::1]:7070")] {
            assert_eq!(named.at(address.parse().unwrap()).to_string(), printed);
        }
    }
}
