//! A page that answers, and keeps connections.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

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

    /// Asks so often within that time, on a connection each as a probe does, and says what of a processor that took
    /// the one who asks.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn asked(&self, times: usize, within: Duration) -> io::Result<Duration> {
        let pause = within / u32::try_from(times).unwrap_or(u32::MAX);
        let before = processor()?;
        for _ in 0..times {
            let mut stream = TcpStream::connect(self.0)?;
            stream.set_nodelay(true)?;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            if !line.contains("200") {
                return Err(io::Error::other(line));
            }
            // It is woken for each as a run is.
            thread::sleep(pause);
        }
        Ok(processor()? - before)
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.0)
    }
}

/// What this thread has had of processors.
fn processor() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
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
