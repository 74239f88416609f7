//! As much of HTTP/1.1 as the systems of the lab need, with a limit for every request.

use std::{
    io::{self, BufRead, BufReader, Read, Write as _},
    net::{SocketAddr, TcpStream},
    num::ParseIntError,
    time::{Duration, Instant, SystemTime},
};

use thiserror::Error;

use crate::netns::{Namespace, NetnsError};

/// A head or chunk line longer than this is no answer of theirs.
const LONGEST_LINE: u64 = 16 * 1024;

/// Why a request got no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The client's namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    /// The connection broke, or the limit passed.
    #[error("no answer: {0}")]
    Exchange(#[from] io::Error),
    /// What came back is not HTTP.
    #[error("not HTTP: {0:?}")]
    Malformed(String),
    /// A length that is no number.
    #[error("a length that is no number: {0}")]
    Length(#[from] ParseIntError),
}

impl HttpError {
    /// Whether the limit passed, as opposed to being told something.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Connect(error) | Self::Exchange(error) => {
                matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
            }
            Self::Netns(_) | Self::Malformed(_) | Self::Length(_) => false,
        }
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// The server's time of day, to a second; `None` where it does not tell it.
    pub(crate) date: Option<SystemTime>,
}

/// A connection that is kept from request to request and opened anew after any failure.
#[derive(Debug)]
pub(crate) struct Connection {
    /// `None` for the one in which this process is.
    namespace: Option<Namespace>,
    address: SocketAddr,
    open: Option<BufReader<Limited>>,
}

impl Connection {
    /// Will connect from inside the namespace at the first request.
    pub(crate) fn new(namespace: Namespace, address: SocketAddr) -> Self {
        Self { namespace: Some(namespace), address, open: None }
    }

    /// Will connect from where this process is.
    pub(crate) fn here(address: SocketAddr) -> Self {
        Self { namespace: None, address, open: None }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// One request; a body, also an empty one, makes it a POST of JSON.
    pub(crate) fn request(
        &mut self,
        path: &str,
        body: Option<&str>,
        limit: Duration,
    ) -> Result<Answer, HttpError> {
        let deadline = Instant::now() + limit;
        // A request whose answer did not come in time leaves the connection out of step, so a
        // connection is put back only after a whole answer.
        let mut stream = match self.open.take() {
            Some(stream) => stream,
            None => BufReader::new(self.connect(limit)?),
        };
        stream.get_mut().deadline = deadline;
        let method = if body.is_some() { "POST" } else { "GET" };
        let body = body.unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.get_mut().stream.set_write_timeout(Some(limit))?;
        stream.get_mut().stream.write_all(request.as_bytes())?;
        let head = read_head(&mut stream)?;
        let body = read_body(&mut stream, &head)?;
        if !head.closes {
            self.open = Some(stream);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: head.status, body, date: head.date })
    }

    fn connect(&self, limit: Duration) -> Result<Limited, HttpError> {
        let connect = || TcpStream::connect_timeout(&self.address, limit);
        let connected = match &self.namespace {
            Some(namespace) => namespace.inside(connect)?,
            None => connect(),
        };
        let stream = connected.map_err(HttpError::Connect)?;
        stream.set_nodelay(true)?;
        Ok(Limited { stream, deadline: Instant::now() + limit })
    }
}

/// A stream that is read until a deadline.
#[derive(Debug)]
struct Limited {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

enum Length {
    Known(u64),
    Chunked,
    ToTheEnd,
}

struct Head {
    status: u16,
    length: Length,
    closes: bool,
    date: Option<SystemTime>,
}

fn read_head(stream: &mut impl BufRead) -> Result<Head, HttpError> {
    let first = read_line(stream)?;
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let Some(status) = status else { return Err(HttpError::Malformed(first)) };
    let status = status.parse()?;
    let mut head = Head { status, length: Length::ToTheEnd, closes: false, date: None };
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(HttpError::Malformed(line));
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = Length::Known(value.parse()?),
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => {
                head.length = Length::Chunked;
            }
            "date" => head.date = httpdate::parse_http_date(value).ok(),
            "connection" => head.closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    head.closes |= matches!(head.length, Length::ToTheEnd);
    Ok(head)
}

fn read_body(stream: &mut impl BufRead, head: &Head) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    match head.length {
        Length::Known(length) => read_exactly(stream, length, &mut body)?,
        Length::ToTheEnd => {
            stream.read_to_end(&mut body)?;
        }
        Length::Chunked => loop {
            let length = u64::from_str_radix(read_line(stream)?.trim(), 16)?;
            read_exactly(stream, length, &mut body)?;
            // After a chunk, and after the trailer that nobody uses, comes an empty line.
            let end = read_line(stream)?;
            if !end.is_empty() {
                return Err(HttpError::Malformed(end));
            }
            if length == 0 {
                break;
            }
        },
    }
    Ok(body)
}

fn read_exactly(stream: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    let read = stream.take(length).read_to_end(body)?;
    if (read as u64) < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn read_line(stream: &mut impl BufRead) -> Result<String, HttpError> {
    let mut line = Vec::new();
    stream.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(mut text: &[u8]) -> Result<(u16, Vec<u8>, bool), HttpError> {
        let head = read_head(&mut text)?;
        let body = read_body(&mut text, &head)?;
        Ok((head.status, body, head.closes))
    }

    #[test]
    fn a_body_has_a_length_or_chunks_or_an_end() {
        let known = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokX").unwrap();
        assert_eq!(known, (200, b"ok".to_vec(), false));
        let chunked = b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap(), (503, b"ok".to_vec(), false));
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\nok").unwrap(), (200, b"ok".to_vec(), true));
    }

    #[test]
    fn half_an_answer_is_an_error() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
            "HTTP/1.1 200 OK\r\n",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
