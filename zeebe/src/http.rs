//! What all HTTP has in common here.

use std::time::Duration;

use reqwest::{Certificate, Client, Response, redirect};

use super::{Trust, TrustError};

/// No answer of Zeebe's is longer that is of any use here.
const LONGEST: usize = 16 << 20;

/// Why a body could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("{0}")]
    Broken(String),
    #[error("an answer of more than {LONGEST} bytes")]
    TooLong,
}

/// A client that goes straight to whom it asks.
pub(crate) fn client(trust: &Trust, limit: Duration) -> Result<Client, TrustError> {
    // A proxy of the environment would ask from somewhere else, which in a cut cluster is another answer.
    let mut builder =
        Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(limit);
    match trust {
        Trust::Machine => {}
        Trust::File(path) => {
            builder = builder.tls_built_in_root_certs(false);
            for authority in trust.authorities()? {
                let unusable = |error: reqwest::Error| TrustError::File {
                    path: path.clone(),
                    reason: why(error),
                };
                let authority = Certificate::from_der(&authority).map_err(unusable)?;
                builder = builder.add_root_certificate(authority);
            }
        }
    }
    builder
        .build()
        .map_err(|error| TrustError::File { path: "its configuration".into(), reason: why(error) })
}

/// The whole body, unless it is longer than any that is of use.
pub(crate) async fn whole(mut answer: Response) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    loop {
        let part = answer.chunk().await.map_err(|error| BodyError::Broken(why(error)))?;
        let Some(part) = part else { return Ok(body) };
        if body.len() + part.len() > LONGEST {
            return Err(BodyError::TooLong);
        }
        body.extend_from_slice(&part);
    }
}

/// What went wrong, down to its first cause, without the URL: that is said elsewhere.
pub(crate) fn why(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    causes(&error.without_url())
}

/// An error and its causes, each once.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        next = cause.source();
    }
    said
}
