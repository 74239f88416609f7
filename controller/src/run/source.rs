//! Where experiments come from: files, and http(s).

use std::path::{Path, PathBuf};
use std::time::Duration;

use experiment::address;
use experiment::document::{LONGEST, Notation};

use crate::failure::{Cause, Failure};
use crate::input;
use crate::outcome::Outcome;

/// How long a whole file may take over the network (30 s).
const PATIENCE: Duration = Duration::from_secs(30);

/// A file as it was typed: a path, or where to ask for one. What is shown of it has no credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// Of this machine.
    File(PathBuf),
    /// Of the network.
    Url(String),
}

impl std::str::FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let remote = text.starts_with("http://") || text.starts_with("https://");
        Ok(if remote { Self::Url(text.to_owned()) } else { Self::File(PathBuf::from(text)) })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(&address::shown(url)),
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({self})")
    }
}

/// What stood there.
pub(super) struct Text {
    pub(super) text: String,
    pub(super) notation: Notation,
}

impl Source {
    /// Reads it, as far as experiments are long.
    ///
    /// # Errors
    /// It is not there, is no text, or is too long.
    pub(super) async fn read(&self) -> Result<Text, Failure> {
        let attempted = format!("cannot read {self}");
        let (bytes, notation) = match self {
            Self::File(path) => {
                let failed = |error| Failure::new(Outcome::WrongUsage, &attempted, error);
                (input::read(path, LONGEST).map_err(failed)?, Notation::of(path))
            }
            Self::Url(url) => fetch(url, &attempted).await?,
        };
        let text = text(bytes, &attempted)?;
        // JSON begins with a brace; YAML seldom does, and may be read as either then.
        let guess =
            || if text.trim_start().starts_with('{') { Notation::Json } else { Notation::Yaml };
        let notation = notation.unwrap_or_else(guess);
        Ok(Text { text, notation })
    }
}

/// Another file of this machine: values, settings.
///
/// # Errors
/// It is not there, is no text, or is longer than experiments are.
pub(super) fn file(path: &Path, attempted: &str) -> Result<String, Failure> {
    let bytes = input::read(path, LONGEST);
    text(bytes.map_err(|error| Failure::new(Outcome::WrongUsage, attempted, error))?, attempted)
}

fn text(bytes: Vec<u8>, attempted: &str) -> Result<String, Failure> {
    let failed = |reason: &str| Failure::new(Outcome::WrongUsage, attempted, reason);
    if bytes.len() > LONGEST {
        return Err(failed(&format!("it has more than {} MiB", LONGEST >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| failed("it is no UTF-8"))
}

async fn fetch(url: &str, attempted: &str) -> Result<(Vec<u8>, Option<Notation>), Failure> {
    let failed = |error: reqwest::Error| {
        Failure::caused(Cause::Unreachable, attempted, super::request::told(error))
    };
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(failed)?;
    let mut answer = client.get(url).send().await.map_err(failed)?;
    if !answer.status().is_success() {
        let reason = format!("the answer is {}", answer.status());
        return Err(Failure::caused(Cause::NotFound, attempted, reason));
    }
    let mut bytes = Vec::new();
    while bytes.len() <= LONGEST {
        match answer.chunk().await.map_err(failed)? {
            Some(chunk) => bytes.extend(&chunk),
            None => break,
        }
    }
    Ok((bytes, Notation::of(Path::new(answer.url().path()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_credentials() {
        for (typed, expected) in [
            ("http://host/x.json", "http://host/x.json"),
            ("https://ann:TOKEN@host:8443/a/x.json?tok=TOKEN#TOKEN", "https://host:8443/a/x.json"),
            ("https://TOKEN@host/x.json?TOKEN", "https://host/x.json"),
            ("http://ann:TO/KEN@host/x.json", "http://…"),
            ("http://", "http://…"),
            ("a:b@c?d", "a:b@c?d"),
        ] {
            let source: Source = typed.parse().unwrap();
            assert_eq!(source.to_string(), expected);
            assert!(!format!("{source:?}").contains("TOKEN"));
        }
    }
}
