//! A page that answers, and keeps connections.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Served on loopback as long as the process lives.
pub(crate) struct Page(SocketAddr);

impl Page {
    /// Begins to answer.
    ///
    /// # Errors
    /// There is no port.
    pub(crate) fn open() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who goes away makes an error that nobody needs.
                thread::spawn(move || drop(answer(stream)));
            }
        });
        Ok(Self(address))
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.0)
    }
}

fn answer(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        writer.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n",
        )?;
    }
}
