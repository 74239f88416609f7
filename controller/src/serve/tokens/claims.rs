//! What a token says of itself. Pure.
//!
//! It proves nothing, and only keeps the API server from questions whose answer is known. When the token ends is
//! not looked at: whose clock is wrong, ours or that of who made it, nobody here can tell.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The part of a token (RFC 7519) that is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    /// Whose it says that it is.
    #[serde(default)]
    pub(super) sub: String,
    #[serde(default)]
    aud: Audience,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Claims {
    /// Reads a signed token; `None` for what is none.
    pub(super) fn of(token: &str) -> Option<Self> {
        let parts: Vec<&str> = token.splitn(4, '.').collect();
        let [_, payload, _] = parts.as_slice() else { return None };
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
        serde_json::from_slice(&payload).ok()
    }

    /// Whether it says that it was made for somebody.
    pub(super) fn is_for(&self, audience: &str) -> bool {
        match &self.aud {
            Audience::One(one) => one == audience,
            Audience::Several(all) => all.iter().any(|one| one == audience),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_says_nothing() {
        let token = |payload: &str| format!("h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(payload));
        for (text, audience) in [
            (token(r#"{"sub":"a","aud":["vault","schism"]}"#), Some(true)),
            (token(r#"{"sub":"a","aud":"schism"}"#), Some(true)),
            (token(r#"{"sub":"a","aud":["vault"]}"#), Some(false)),
            (token(r#"{"sub":"a"}"#), Some(false)),
            (token(r#"{"sub":7}"#), None),
            (token("7"), None),
            ("word".to_owned(), None),
            ("a.b".to_owned(), None),
            (format!("{}.more", token("{}")), None),
            ("h.***.s".to_owned(), None),
        ] {
            let found = Claims::of(&text).map(|claims| claims.is_for("schism"));
            assert_eq!(found, audience, "{text}");
        }
    }
}
