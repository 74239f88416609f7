//! A real Toxiproxy with one proxy before the server that answers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::process::Process;
use serde_json::{Value, json};

/// How long its start may take.
const START: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The proxy.
const NAME: &str = "front";

/// The server, ended with its handle.
#[derive(Debug)]
pub(crate) struct Toxiproxy {
    _process: Process,
    api: SocketAddr,
    listen: String,
}

impl Toxiproxy {
    /// Starts it, and a proxy whose other end is given.
    ///
    /// # Errors
    /// It does not start, or refuses the proxy.
    pub(crate) fn start(program: &Path, upstream: SocketAddr) -> Result<Self> {
        // It tells nobody which port it took, so one that is free now has to do.
        let api = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let mut command = Command::new(program);
        command.args(["-host", "127.0.0.1", "-port", &api.port().to_string()]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(&mut command)?;
        let limit = Instant::now() + START;
        while TcpStream::connect(api).is_err() {
            ensure!(Instant::now() < limit, "Toxiproxy does not listen");
            // Its end is an event; that it listens is none.
            if process.wait_end(Duration::from_millis(10)) {
                bail!("Toxiproxy ended by itself");
            }
        }
        let proxy =
            json!({"name": NAME, "listen": "127.0.0.1:0", "upstream": upstream.to_string()});
        let made = ask(api, "POST", "/proxies", &proxy.to_string())?;
        let made: Value = serde_json::from_str(&made).with_context(|| made.clone())?;
        let listen = made["listen"].as_str().with_context(|| made.to_string())?.to_owned();
        Ok(Self { _process: process, api, listen })
    }

    /// What experiments need to know of it.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("APPLICATION_ENTRYPOINT_URL", format!("http://{}/text", self.listen)),
            ("TOXIPROXY_HOST", self.api.ip().to_string()),
            ("TOXIPROXY_PORT", self.api.port().to_string()),
            ("TOXIPROXY_PROXY_NAME", NAME.to_owned()),
        ]
    }

    /// Takes out what a run has left.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn begin_anew(&self) -> Result<()> {
        ask(self.api, "POST", "/reset", "").map(drop)
    }

    /// The names of the toxics that are there.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn left(&self) -> Result<Vec<String>> {
        let said = ask(self.api, "GET", &format!("/proxies/{NAME}/toxics"), "")?;
        let toxics: Vec<Value> = serde_json::from_str(&said).with_context(|| said.clone())?;
        let names = toxics.iter().filter_map(|toxic| toxic["name"].as_str());
        Ok(names.map(ToOwned::to_owned).collect())
    }
}

fn ask(at: SocketAddr, method: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status.starts_with('2'), "{method} {path}: {answer}");
    Ok(body.to_owned())
}
