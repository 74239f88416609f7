//! Tokens for a gateway that wants one: OAuth 2.0 client credentials (RFC 6749, 4.4).

use std::time::{Duration, Instant};

use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{Secret, Trust, http};

/// A token is renewed so long before it expires.
const EARLY: Duration = Duration::from_secs(30);

/// How long one is good whose server does not say.
const DEFAULT: Duration = Duration::from_secs(300);

/// No token is taken to be good for longer, whatever its server says.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Who we are to an authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthClient {
    /// Where tokens are given out.
    pub server: Url,
    /// Our id.
    pub id: String,
    /// Our secret.
    pub secret: Secret,
    /// For whom the token is to be; empty where the server does not ask.
    pub audience: String,
    /// Who vouches for the server: it is seldom those who vouch for the gateways.
    pub trust: Trust,
}

/// Why there is no token. The secret is in none of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No answer.
    #[error("the authorization server does not answer: {0}")]
    Silent(String),
    /// It refuses.
    #[error("the authorization server refuses with {0}")]
    Refused(u16),
    /// It answered something else than a token.
    #[error("the authorization server answered no token")]
    Malformed,
}

/// Gives out tokens, and keeps the last one as long as it is good.
#[derive(Debug)]
pub(crate) struct Tokens {
    client: OAuthClient,
    http: Client,
    last: Mutex<Option<(Secret, Instant)>>,
}

/// As RFC 6749, 5.1 has it; what else there is does not matter.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

impl Tokens {
    pub(crate) fn new(client: OAuthClient, http: Client) -> Self {
        Self { client, http, last: Mutex::new(None) }
    }

    /// A token that is good for a while.
    pub(crate) async fn token(&self) -> Result<Secret, TokenError> {
        let mut last = self.last.lock().await;
        if let Some((token, until)) = &*last
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let asked = Instant::now();
        let OAuthClient { server, id, secret, audience, trust: _ } = &self.client;
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret.reveal()),
        ];
        if !audience.is_empty() {
            form.push(("audience", audience));
        }
        let sent = self.http.post(server.clone()).form(&form).send().await;
        let answer = sent.map_err(|error| TokenError::Silent(http::why(error)))?;
        if !answer.status().is_success() {
            return Err(TokenError::Refused(answer.status().as_u16()));
        }
        let body = http::whole(answer).await.map_err(|_| TokenError::Malformed)?;
        let granted: Granted = serde_json::from_slice(&body).map_err(|_| TokenError::Malformed)?;
        let lasts = granted.expires_in.map_or(DEFAULT, Duration::from_secs);
        let lasts = lasts.min(LONGEST).saturating_sub(EARLY);
        let token = Secret::new(granted.access_token);
        *last = Some((token.clone(), asked + lasts));
        Ok(token)
    }
}
