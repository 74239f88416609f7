//! What `schism serve` tells whoever supervises it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::process::Command;

use crate::rig::{Served, soon};

async fn hears(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 256];
    let count = soon(socket.recv(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes[..count]).trim().to_owned()
}

#[tokio::test]
async fn a_controller_tells_when_it_serves_lives_and_ends() {
    // For its certificates; the controller of this test is another one, as its unit starts it.
    let served = Served::start().await;
    let notify = UnixDatagram::bind(served.path("notify")).unwrap();
    let settings = "[serve]\nlisten-agents = \"127.0.0.1:0\"\nca = \"ca.pem\"\n\
                    certificate = \"c1.pem\"\nissued = \"issued\"\n";
    fs::write(served.path("schism.toml"), settings).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    command.arg("--config").arg(served.path("schism.toml")).arg("serve");
    command.arg("--state").arg(served.path("other")).arg("--socket").arg(served.path("other.sock"));
    command.env("SCHISM_KEY", served.path("c1.key"));
    command.env("NOTIFY_SOCKET", served.path("notify")).env("WATCHDOG_USEC", "300000");
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    assert_eq!(hears(&notify).await, "READY=1");
    assert!(UnixStream::connect(served.path("other.sock")).await.is_ok(), "ready is served");
    for _ in 0..4 {
        assert_eq!(hears(&notify).await, "WATCHDOG=1");
    }
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let mut last = hears(&notify).await;
    while last == "WATCHDOG=1" {
        last = hears(&notify).await;
    }
    assert_eq!(last, "STOPPING=1");
    let ended = soon(child.wait()).await.unwrap();
    assert_eq!((ended.code(), ended.signal()), (Some(0), None));
}
