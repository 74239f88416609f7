//! The lines of the file of admitted certificates.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use crate::{Fingerprint, Principal};

/// One admitted certificate: `FINGERPRINT PRINCIPAL EXPIRY`, the last in UTC (RFC 3339). Printing and
/// parsing are inverse to each other.
///
/// Only the fingerprint decides; the others are for people, and are read off the certificate itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of the certificate.
    pub fingerprint: Fingerprint,
    /// Who it is for.
    pub principal: Principal,
    /// When it expires, in whole seconds.
    pub expires: SystemTime,
}

/// A line names no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a line is FINGERPRINT PRINCIPAL EXPIRY, such as 1f…9c schism://agent/n1 2027-01-31T00:00:00Z"
)]
pub struct EntryError;

/// All lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Those that can be read, in the file's order.
    pub entries: Vec<Entry>,
    /// The numbers of those that cannot, from 1.
    pub unread: Vec<usize>,
}

impl Listing {
    /// Reads a file's text. Empty lines and those that begin with `#` are no entries.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.parse() {
                Ok(entry) => listing.entries.push(entry),
                Err(EntryError) => listing.unread.push(index + 1),
            }
        }
        listing
    }
}

impl FromStr for Entry {
    type Err = EntryError;

    fn from_str(line: &str) -> Result<Self, EntryError> {
        let mut words = line.split_whitespace();
        let mut word = || words.next().ok_or(EntryError);
        let (fingerprint, principal, expires) = (word()?, word()?, word()?);
        if words.next().is_some() {
            return Err(EntryError);
        }
        Ok(Self {
            fingerprint: fingerprint.parse().map_err(|_| EntryError)?,
            principal: principal.parse().map_err(|_| EntryError)?,
            expires: humantime::parse_rfc3339(expires).map_err(|_| EntryError)?,
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expires = humantime::format_rfc3339_seconds(self.expires);
        write!(f, "{} {} {expires}", self.fingerprint, self.principal)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;

    use super::*;

    proptest! {
        #[test]
        fn parsing_a_printed_entry_gives_it_back(der: [u8; 8], seconds in 0u64..253_402_300_800) {
            let entry = Entry {
                fingerprint: Fingerprint::of(&CertificateDer::from(der.to_vec())),
                principal: "schism://user/ada/admin".parse().unwrap(),
                expires: UNIX_EPOCH + Duration::from_secs(seconds),
            };
            prop_assert_eq!(entry.to_string().parse(), Ok(entry));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let listing = Listing::parse(&text);
            prop_assert!(listing.entries.len() + listing.unread.len() <= text.lines().count());
        }
    }

    #[test]
    fn other_lines_are_none() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for rest in [
            "",
            "schism://agent/n1",
            "schism://agent/n1 tomorrow",
            "agent/n1 2027-01-31T00:00:00Z",
            "schism://agent/n1 2027-01-31",
            "schism://agent/n1 2027-01-31T00:00:00Z x",
        ] {
            assert_eq!(format!("{sum} {rest}").parse::<Entry>(), Err(EntryError), "{rest}");
        }
        let line = format!("{}\tschism://agent/n1  2027-01-31T00:00:00Z", &sum);
        assert!(line.parse::<Entry>().is_ok());
        assert_eq!(line[1..].parse::<Entry>(), Err(EntryError));
    }
}
