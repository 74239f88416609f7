//! Which tickets are good. Pure: time comes in.
//!
//! A ticket is known by the hash of a secret that its owner has made and shown to nobody. It is good once, for a
//! minute, for what its object asks for.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proto::control as wire;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::resource::Capture;

/// How long a ticket is good.
pub(crate) const GOOD: Duration = Duration::from_secs(60);
/// How many are good at once.
const MOST: usize = 64;
/// How long a secret is (bytes).
pub(crate) const SECRET: usize = 16;

/// The hash of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hash([u8; SHA256_OUTPUT_LEN]);

impl Hash {
    /// That of a secret.
    pub(crate) fn of(secret: &[u8]) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, secret).as_ref());
        Self(hash)
    }

    /// As an object has it: 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        if text.len() != 2 * hash.len() || !text.is_ascii() {
            return None;
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a ticket is good for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ticket {
    /// The object.
    pub(crate) object: Capture,
    /// What it asks for.
    pub(crate) request: wire::CaptureRequest,
}

/// Why there is no ticket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoTicket {
    /// It has no such hash.
    #[error("ticket is no SHA-256 in 64 hexadecimal digits")]
    Malformed,
    /// Another object has that one.
    #[error("another Capture has the same ticket")]
    Taken,
    /// There are enough.
    #[error("{MOST} other tickets are good now, and no more may be at once")]
    Full,
}

/// The tickets that are good.
#[derive(Debug, Default)]
pub(crate) struct Book(BTreeMap<Hash, (SystemTime, Ticket)>);

impl Book {
    /// Makes one good from now on.
    ///
    /// # Errors
    /// It cannot be.
    pub(crate) fn issue(&mut self, ticket: Ticket, now: SystemTime) -> Result<(), NoTicket> {
        let hash = Hash::parse(&ticket.object.spec.ticket).ok_or(NoTicket::Malformed)?;
        if self.0.contains_key(&hash) {
            return Err(NoTicket::Taken);
        }
        if self.0.len() >= MOST {
            return Err(NoTicket::Full);
        }
        self.0.insert(hash, (now + GOOD, ticket));
        Ok(())
    }

    /// What a secret is good for, once.
    pub(crate) fn redeem(&mut self, secret: &[u8], now: SystemTime) -> Option<Ticket> {
        let fits = secret.len() == SECRET;
        let (until, ticket) = fits.then(|| self.0.remove(&Hash::of(secret))).flatten()?;
        (now < until).then_some(ticket)
    }

    /// That of an object is good no longer.
    pub(crate) fn revoke(&mut self, uid: &str) {
        self.0.retain(|_, (_, ticket)| ticket.object.metadata.uid != uid);
    }

    /// Takes out those whose time is over.
    pub(crate) fn expired(&mut self, now: SystemTime) -> Vec<Capture> {
        let over = self.0.extract_if(.., |_, (until, _)| now >= *until);
        over.map(|(_, (_, ticket))| ticket.object).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn ticket(uid: &str, secret: &[u8]) -> Ticket {
        let mut object = Capture::default();
        object.metadata.uid = uid.to_owned();
        object.spec.ticket = Hash::of(secret).to_string();
        Ticket { object, request: wire::CaptureRequest::default() }
    }

    #[test]
    fn a_ticket_is_good_once_for_whoever_knows_its_secret() {
        let mut book = Book::default();
        let own = ticket("a", &[7; 16]);
        book.issue(own.clone(), NOW).unwrap();
        assert_eq!(book.redeem(&[8; 16], NOW), None);
        assert_eq!(book.redeem(&[7; 15], NOW), None);
        assert_eq!(book.redeem(own.object.spec.ticket.as_bytes(), NOW), None, "it is no secret");
        assert_eq!(book.redeem(&[7; 16], NOW), Some(own));
        assert_eq!(book.redeem(&[7; 16], NOW), None);
    }

    #[test]
    fn it_is_good_for_a_minute_and_as_long_as_its_object_is_there() {
        let mut book = Book::default();
        let late = NOW + GOOD;
        book.issue(ticket("a", &[1; 16]), NOW).unwrap();
        assert_eq!(book.redeem(&[1; 16], late), None);
        book.issue(ticket("b", &[2; 16]), NOW).unwrap();
        book.issue(ticket("c", &[3; 16]), NOW + Duration::from_secs(1)).unwrap();
        let expired = book.expired(late);
        assert_eq!(expired.iter().map(|one| one.metadata.uid.as_str()).collect::<Vec<_>>(), ["b"]);
        book.revoke("c");
        assert_eq!(book.redeem(&[3; 16], NOW), None);
    }

    #[test]
    fn what_can_be_no_ticket_is_refused() {
        let mut book = Book::default();
        book.issue(ticket("a", &[1; 16]), NOW).unwrap();
        assert_eq!(book.issue(ticket("b", &[1; 16]), NOW), Err(NoTicket::Taken));
        for text in ["", "ab", &"g".repeat(64), &"é".repeat(32)] {
            let mut odd = ticket("b", &[2; 16]);
            odd.object.spec.ticket = text.to_owned();
            assert_eq!(book.issue(odd, NOW), Err(NoTicket::Malformed), "{text}");
        }
        for number in 2..65 {
            book.issue(ticket("c", &[number; 16]), NOW).unwrap();
        }
        assert_eq!(book.issue(ticket("d", &[99; 16]), NOW), Err(NoTicket::Full));
        let hash = Hash::of(b"");
        assert!(hash.to_string().starts_with("e3b0c44298fc1c149afbf4c8996fb924"), "{hash}");
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
    }
}
