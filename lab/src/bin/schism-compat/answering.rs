//! Who answers the requests of experiments: every kind of answer has a path.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// How long a slow answer takes.
const SLOW: Duration = Duration::from_secs(2);

/// A server on loopback, as long as the process lives.
#[derive(Debug)]
pub(crate) struct Answering {
    address: SocketAddr,
    is_slow: Arc<AtomicBool>,
}

impl Answering {
    /// Begins to answer.
    ///
    /// # Errors
    /// There is no port.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let is_slow = Arc::<AtomicBool>::default();
        let slow = Arc::clone(&is_slow);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let slow = Arc::clone(&slow);
                // Who asks and goes away makes an error that nobody needs.
                thread::spawn(move || drop(answer(stream, &slow)));
            }
        });
        Ok(Self { address, is_slow })
    }

    /// Where it is.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for experiments.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Forgets what a run has done to it.
    pub(crate) fn begin_anew(&self) {
        self.is_slow.store(false, Ordering::Relaxed);
    }
}

/// What was asked.
struct Request {
    method: String,
    target: String,
    headers: Map<String, Value>,
    body: String,
}

fn read(stream: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(ToOwned::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Map::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().into());
    }
    let length = headers.get("content-length").and_then(Value::as_str);
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { method, target, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn answer(mut stream: TcpStream, is_slow: &AtomicBool) -> io::Result<()> {
    let request = read(&stream)?;
    let path = request.target.split('?').next().unwrap_or_default();
    let json = "application/json";
    let (status, kind, body) = match path {
        "/json" => (200, json, r#"{"a": 1, "list": [1, 2.5, null]}"#.to_owned()),
        "/charset" => (200, "application/json; charset=utf-8", r#"{"a": 1}"#.to_owned()),
        "/text" => (200, "text/plain", "hello\n".to_owned()),
        "/echo" => (200, json, echo(&request).to_string()),
        "/moved" => (302, "text/plain", String::new()),
        "/close" => return Ok(()),
        "/slow" => {
            thread::sleep(SLOW);
            (200, "text/plain", "late\n".to_owned())
        }
        "/be-slow" | "/be-quick" => {
            is_slow.store(path == "/be-slow", Ordering::Relaxed);
            (200, "text/plain", "so be it\n".to_owned())
        }
        "/until-slow" => {
            if is_slow.load(Ordering::Relaxed) {
                thread::sleep(SLOW);
            }
            (200, "text/plain", "quick\n".to_owned())
        }
        other => {
            let status = other.strip_prefix("/status/").and_then(|status| status.parse().ok());
            (status.unwrap_or(404), "text/plain", "as you like\n".to_owned())
        }
    };
    let location = if status == 302 { "Location: /text\r\n" } else { "" };
    write!(
        stream,
        "HTTP/1.1 {status} So\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{location}\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// What of a request both make alike.
fn echo(request: &Request) -> Value {
    let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
    // Both write JSON, with other blanks.
    let body = if header("content-type") == "application/json" {
        serde_json::from_str(&request.body).unwrap_or_default()
    } else {
        Value::from(request.body.as_str())
    };
    json!({
        "method": request.method,
        "target": request.target,
        "type": header("content-type"),
        "x-compat": header("x-compat"),
        "body": body,
    })
}
