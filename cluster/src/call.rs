//! One call of an API server: sent, waited for, read, and sent again where it asks for that.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderMap, HeaderValue},
};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    backoff::{Backoff, by_lot},
    connection::{Connection, Connections},
    error::Cause,
    login::Shown,
};

/// No answer is longer (64 MiB): lists come in pages.
const LONGEST: usize = 64 << 20;

/// No answer that says no is longer.
const LONGEST_REFUSAL: usize = 256 << 10;

/// The kinds of bodies that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// An object.
    Json,
    /// What of an object is to be another (RFC 7396).
    MergePatch,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: String,
    pub(crate) body: Option<(Content, Vec<u8>)>,
}

impl Call {
    pub(crate) fn read(path: String) -> Self {
        Self { method: Method::GET, path, body: None }
    }

    /// The whole answer, within its time. An API server that is too busy is asked again when it says.
    pub(crate) async fn answer(
        &self,
        connections: &Connections,
        limit: Duration,
    ) -> Result<Bytes, Cause> {
        // Somebody may have to log in for it, which is no time of the API server.
        let mut shown = connections.logins().shown().await?;
        let mut end = Instant::now() + limit;
        let mut backoff = Backoff::default();
        let mut anew = connections.logins().may_be_renewed();
        loop {
            let answered = timeout_at(end, self.once(connections, &shown)).await;
            let cause = match answered.map_err(|_| Cause::Late(limit))? {
                Ok(answer) => return Ok(answer),
                Err(cause) => cause,
            };
            if matches!(cause, Cause::Refused { code: 401, .. }) && anew {
                // It knows nobody, and so has done nothing.
                anew = false;
                shown = connections.logins().shown().await?;
                end = Instant::now() + limit;
                continue;
            }
            // It says that it has done nothing, and when it will.
            let Cause::Refused { code: 429 | 503, retry_after: Some(pause), .. } = &cause else {
                return Err(cause);
            };
            let pause = *pause + backoff.after_failure(by_lot());
            if Instant::now() + pause >= end {
                return Err(cause);
            }
            sleep(pause).await;
        }
    }

    async fn once(&self, connections: &Connections, shown: &Shown) -> Result<Bytes, Cause> {
        let (answer, connection) = self.open(connections, shown).await?;
        let body = whole(answer.into_body(), LONGEST).await?;
        connections.give_back(connection);
        Ok(body)
    }

    /// The answer before its body, where it is no refusal.
    pub(crate) async fn open(
        &self,
        connections: &Connections,
        shown: &Shown,
    ) -> Result<(Response<Incoming>, Connection), Cause> {
        let request = self.request(connections, shown)?;
        let (answer, connection) = connections.send(&request, shown).await?;
        let status = answer.status();
        if status == StatusCode::UNAUTHORIZED {
            connections.logins().forget(shown).await;
        }
        if status.is_success() {
            return Ok((answer, connection));
        }
        let retry_after = retry_after(answer.headers());
        let body = whole(answer.into_body(), LONGEST_REFUSAL).await?;
        connections.give_back(connection);
        Err(Cause::of_answer(status.as_u16(), &body, retry_after))
    }

    fn request(
        &self,
        connections: &Connections,
        shown: &Shown,
    ) -> Result<Request<Full<Bytes>>, Cause> {
        let config = connections.config();
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("{}{}", config.server.prefix(), self.path))
            .header(header::HOST, config.server.authority())
            .header(header::USER_AGENT, concat!("schism/", env!("CARGO_PKG_VERSION")))
            // Logs are no objects.
            .header(header::ACCEPT, "application/json, */*");
        if let Some(token) = shown.token() {
            let token = format!("Bearer {}", token.reveal());
            let token = HeaderValue::from_str(&token);
            let mut token = token.map_err(|error| Cause::Login(error.to_string()))?;
            token.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, token);
        }
        let body = match &self.body {
            None => Bytes::new(),
            Some((content, body)) => {
                let named = match content {
                    Content::Json => "application/json",
                    Content::MergePatch => "application/merge-patch+json",
                };
                request = request.header(header::CONTENT_TYPE, named);
                Bytes::from(body.clone())
            }
        };
        request.body(Full::new(body)).map_err(|error| Cause::Malformed(error.to_string()))
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

async fn whole(body: Incoming, longest: usize) -> Result<Bytes, Cause> {
    match Limited::new(body, longest).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Cause::TooLong(longest)),
        Err(error) => Err(Cause::Broken(error.to_string())),
    }
}
