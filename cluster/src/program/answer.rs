//! What a program says: a token, a certificate with its key, or both, and until when. Pure.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::Version;
use crate::{Identity, Secret};

/// So long before its end a login is not used any more (10 s): a call takes some time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(10);

/// A login, as long as it is good.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) token: Option<Secret>,
    pub(crate) identity: Option<Identity>,
    /// `None` for as long as nobody refuses it.
    expires: Option<SystemTime>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    api_version: Version,
    kind: Kind,
    status: Status,
}

#[derive(Deserialize)]
enum Kind {
    ExecCredential,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    expiration_timestamp: Option<String>,
    #[serde(default)]
    token: Option<Secret>,
    #[serde(default)]
    client_certificate_data: Option<String>,
    #[serde(default)]
    client_key_data: Option<Secret>,
}

impl Credential {
    /// What was said, in this version. Why it is none is said without any of it.
    pub(super) fn read(version: Version, said: &[u8]) -> Result<Self, &'static str> {
        let Ok(Answer { api_version, kind: Kind::ExecCredential, status }) =
            serde_json::from_slice(said)
        else {
            return Err("what it says is no ExecCredential with a status");
        };
        if api_version != version {
            return Err("it answers in another version than the kubeconfig names (apiVersion)");
        }
        let token = status.token.filter(|token| !token.reveal().is_empty());
        let fits = |token: &Secret| token.reveal().bytes().all(|b| b.is_ascii_graphic());
        if token.as_ref().is_some_and(|token| !fits(token)) {
            return Err("a token is one word of printable letters");
        }
        let certificate = status.client_certificate_data.filter(|data| !data.trim().is_empty());
        let key = status.client_key_data.filter(|data| !data.reveal().is_empty());
        let identity = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                Some(Identity::Pem { certificate: certificate.into_bytes(), key })
            }
            (Some(_), None) | (None, Some(_)) => {
                return Err("there is a certificate without its key, or a key without it");
            }
        };
        if token.is_none() && identity.is_none() {
            return Err("there is neither a token nor a certificate in it");
        }
        let expires = match status.expiration_timestamp {
            None => None,
            Some(text) => Some(instant(&text).ok_or("its expirationTimestamp is no time")?),
        };
        Ok(Self { token, identity, expires })
    }

    /// Whether it is to be used at a time.
    pub(crate) fn is_good(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now + MARGIN < expires)
    }
}

/// A time as RFC 3339 has it, also of elsewhere than UTC.
fn instant(text: &str) -> Option<SystemTime> {
    if let Ok(at) = humantime::parse_rfc3339(text) {
        return Some(at);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, offset) = offset.split_at_checked(1)?;
    let (hours, minutes) = offset.split_once(':')?;
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.len() == 2);
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let offset = Duration::from_secs((hours * 60 + minutes) * 60);
    let at = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    match sign {
        "+" => at.checked_sub(offset),
        "-" => at.checked_add(offset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(version: Version, status: Value) -> Result<Credential, &'static str> {
        let said = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "status": status,
        });
        Credential::read(version, said.to_string().as_bytes())
    }

    #[test]
    fn a_login_is_a_token_a_certificate_or_both() {
        let both = json!({
            "token": "word", "clientCertificateData": "CERTIFICATE", "clientKeyData": "KEY",
            "expirationTimestamp": "2026-01-01T00:01:00Z", "more": 1,
        });
        let login = read(Version::V1, both).unwrap();
        assert_eq!(login.token.as_ref().unwrap().reveal(), "word");
        let Some(Identity::Pem { certificate, key }) = &login.identity else { panic!() };
        assert_eq!((certificate.as_slice(), key.reveal()), (b"CERTIFICATE".as_slice(), "KEY"));
        assert!(!format!("{login:?}").contains("KEY") && !format!("{login:?}").contains("word"));
        let at = |text: &str| humantime::parse_rfc3339(text).unwrap();
        assert!(login.is_good(at("2026-01-01T00:00:49Z")));
        assert!(!login.is_good(at("2026-01-01T00:00:50Z")));
        let login = read(Version::V1, json!({ "token": "word" })).unwrap();
        assert!(login.is_good(at("2226-01-01T00:00:00Z")) && login.identity.is_none());
    }

    #[test]
    fn what_is_no_login_is_refused_without_a_word_of_it() {
        let table = [
            (json!({}), "neither a token nor a certificate"),
            (json!({ "token": "" }), "neither"),
            (json!({ "token": "two words" }), "one word"),
            (json!({ "clientCertificateData": "C" }), "without its key"),
            (json!({ "clientKeyData": "K" }), "without its key"),
            (json!({ "token": "word", "expirationTimestamp": "soon" }), "is no time"),
            (json!({ "token": 7 }), "is no ExecCredential"),
            (json!(null), "is no ExecCredential"),
        ];
        for (status, said) in table {
            let why = read(Version::V1, status.clone()).unwrap_err();
            assert!(why.contains(said), "{status}: {why}");
        }
        let other = read(Version::V1Beta1, json!({ "token": "word" })).unwrap_err();
        assert!(other.contains("another version"), "{other}");
    }

    #[test]
    fn times_of_elsewhere_are_times() {
        let utc = humantime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        for text in
            ["2026-01-01T02:00:00+02:00", "2025-12-31T18:30:00-05:30", "2026-01-01T00:00:00.0Z"]
        {
            assert_eq!(instant(text), Some(utc), "{text}");
        }
        for text in ["", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+2:00", "é+00:00"]
        {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
