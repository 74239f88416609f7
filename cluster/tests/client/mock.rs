//! An API server that says what it is told to.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use cluster::{Client, Config, Login, Secret, Token, Trust};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Long enough on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET /api/v1/pods`, with its query.
    pub(crate) line: String,
    /// Small letters.
    pub(crate) head: String,
    pub(crate) body: String,
    /// Over which connection, from 0.
    pub(crate) connection: usize,
}

/// What is said then.
pub(crate) enum Said {
    /// A whole answer.
    Answer(u16, String),
    /// A whole answer with a line in its head.
    With(u16, &'static str, String),
    /// These bytes, and the connection ends.
    Bytes(Vec<u8>),
    /// These bytes, and nothing more for ever.
    Hang(Vec<u8>),
    /// Nothing but zeros, for ever.
    Endless,
}

/// Everything that was asked so far.
pub(crate) type Record = Arc<Mutex<Vec<Asked>>>;

/// Serves, and gives a client; the script is told how often it was asked before.
pub(crate) async fn serve<F>(script: F) -> (Client, Record)
where
    F: Fn(usize, &Asked) -> Said + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (record, script) = (Record::default(), Arc::new(script));
    let kept = Arc::clone(&record);
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (record, script) = (Arc::clone(&kept), Arc::clone(&script));
            tokio::spawn(async move {
                // It ends as the client does.
                let _ = attend(stream, number, &record, script.as_ref()).await;
            });
        }
    });
    (client(at), record)
}

pub(crate) fn client(at: SocketAddr) -> Client {
    Client::new(Config {
        server: format!("http://{at}").parse().unwrap(),
        server_name: None,
        trust: Trust::Machine,
        login: Login { token: Some(Token::Fixed(Secret::new("word"))), ..Login::default() },
        namespace: None,
    })
}

/// The head of an answer whose body comes in chunks, and the chunks that are these lines.
pub(crate) fn stream(lines: &[String]) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for line in lines {
        bytes.extend_from_slice(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes());
    }
    bytes
}

/// A refusal as API servers word it.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> String {
    format!(
        r#"{{"kind":"Status","status":"Failure","message":"{message}","reason":"{reason}","code":{code}}}"#
    )
}

/// A pod in one line.
pub(crate) fn pod(name: &str, version: u32) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"prod","uid":"u-{name}","resourceVersion":"{version}"}}}}"#
    )
}

/// A list of pods, complete or not.
pub(crate) fn list(version: u32, rest: &str, pods: &[String]) -> String {
    let pods = pods.join(",");
    format!(
        r#"{{"metadata":{{"resourceVersion":"{version}","continue":"{rest}"}},"items":[{pods}]}}"#
    )
}

async fn attend<F>(
    mut stream: TcpStream,
    connection: usize,
    record: &Record,
    script: &F,
) -> std::io::Result<()>
where
    F: Fn(usize, &Asked) -> Said,
{
    while let Some(asked) = read(&mut stream, connection).await? {
        let before = {
            let mut record = record.lock().unwrap();
            record.push(asked.clone());
            record.len() - 1
        };
        let (code, line, body) = match script(before, &asked) {
            Said::Answer(code, body) => (code, "x: y", body),
            Said::With(code, line, body) => (code, line, body),
            Said::Bytes(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
            Said::Hang(bytes) => {
                stream.write_all(&bytes).await?;
                // Until the client has gone.
                stream.read_to_end(&mut Vec::new()).await?;
                return Ok(());
            }
            Said::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                let chunk = [b"10000\r\n".as_slice(), &[b'0'; 0x10000], b"\r\n"].concat();
                loop {
                    stream.write_all(&chunk).await?;
                }
            }
        };
        let head =
            format!("HTTP/1.1 {code} Word\r\ncontent-length: {}\r\n{line}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
    }
    Ok(())
}

async fn read(stream: &mut TcpStream, connection: usize) -> std::io::Result<Option<Asked>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let (line, head) = head.split_once("\r\n").unwrap();
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    Ok(Some(Asked {
        line: line.trim_end_matches(" HTTP/1.1").to_owned(),
        head,
        body: String::from_utf8(body).unwrap(),
        connection,
    }))
}
