//! `schism zeebe` against a gateway and a broker in this process, some of whose answers are lost.
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod load;
mod mock;
mod steps;
mod worker;

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;

use mock::Gateway;

/// Long enough on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was asked of a node that is managed.
type Asked = Arc<Mutex<Vec<String>>>;

/// A node that is managed, and does what the first POST asks without a word; `again` is its answer to others.
async fn managed(again: &'static str, told: &'static str) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, asked) = (listener.local_addr().unwrap(), Asked::default());
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let line = request.lines().next().unwrap_or_default().to_owned();
            let posts = {
                let mut seen = seen.lock().unwrap();
                seen.push(line.clone());
                seen.iter().filter(|line| line.starts_with("POST")).count()
            };
            let (status, body) = match line.starts_with("POST") {
                // The connection ends without an answer.
                true if posts == 1 => continue,
                true => (again, ""),
                false => ("200 OK", told),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
            );
            let _ = stream.write_all((head + body).as_bytes()).await;
        }
    });
    (at, asked)
}

/// How often a node was asked to change something.
fn posts(asked: &Asked) -> usize {
    asked.lock().unwrap().iter().filter(|line| line.starts_with("POST")).count()
}

/// An address at which somebody listens and says nothing.
async fn mute() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}

async fn schism(line: &str) -> (i32, String, String) {
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    command.arg("zeebe").args(line.split_whitespace()).current_dir(nowhere.path());
    command.env_remove("SCHISM_ZEEBE_GATEWAY").env_remove("SCHISM_ZEEBE_MANAGEMENT");
    command.env_remove("SCHISM_CONFIG").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap();
    let Output { status, stdout, stderr } = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_first_answer_is_lost_is_published_once() {
    let gateway = Gateway::default();
    let at = gateway.serve().await;
    let (code, said, why) = schism(&format!("--gateway {at} publish --partition 3")).await;
    assert_eq!(code, 0, "{said}{why}");
    assert!(said.contains("published to partition 3 by a try whose answer was lost"), "{said}");
    assert!(why.contains("the answer is lost; trying again"), "{why}");
    let first = {
        let told = gateway.0.lock().unwrap();
        assert_eq!((told.tries, told.published.len()), (2, 1));
        told.published.clone()
    };
    assert!(first.iter().all(|id| !id.is_empty()));
    // Another command publishes another message.
    let (code, said, why) = schism(&format!("--gateway {at} publish --partition 3")).await;
    assert_eq!(code, 0, "{said}{why}");
    assert!(said.contains("published to partition 3 (key "), "{said}");
    assert_eq!(gateway.0.lock().unwrap().published.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_were_completed_before_one_that_failed_count() {
    let gateway = Gateway::default();
    let at = gateway.serve().await;
    let line = format!("--gateway {at} verify job-completion --count 2");
    let (code, said, why) = schism(&line).await;
    assert_eq!(code, 0, "{said}{why}");
    let told = gateway.0.lock().unwrap();
    // One is missing then, not two.
    assert_eq!((told.wanted.as_slice(), told.completed.len()), ([2, 1].as_slice(), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_may_have_moved_is_not_moved_again() {
    let (broker, asked) = managed("200 OK", "{\"epochMilli\":5}").await;
    let gateway = Gateway::default();
    gateway.0.lock().unwrap().broker = Some(broker);
    let at = gateway.serve().await;
    let line = format!("--gateway {at} --broker {broker} clock add 3600000");
    let (code, said, why) = schism(&line).await;
    assert_eq!((code, posts(&asked)), (5, 1), "{said}{why}");
    assert!(why.contains("it may be done nevertheless"), "{why}");
    assert!(why.contains("schism zeebe clock show"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_a_lost_try_began_is_no_failure() {
    let (gateway, _listens) = mute().await;
    let line = |at: SocketAddr| format!("--gateway {gateway} --management {at} backup take --id 7");
    let (at, asked) = managed("409 Conflict", "{\"state\":\"IN_PROGRESS\"}").await;
    let (code, said, why) = schism(&line(at)).await;
    assert_eq!((code, posts(&asked)), (0, 2), "{said}{why}");
    assert!(said.contains("backup 7 is IN_PROGRESS"), "{said}");
    let (at, asked) = managed("409 Conflict", "{\"state\":\"DOES_NOT_EXIST\"}").await;
    let (code, said, why) = schism(&line(at)).await;
    assert_eq!((code, posts(&asked)), (4, 2), "{said}{why}");
    assert!(why.contains("409"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_ends_at_the_time_that_was_given() {
    let (gateway, _listens) = mute().await;
    for what in ["topology", "clock show"] {
        let (code, said, why) =
            schism(&format!("--gateway {gateway} --timeout 300ms {what}")).await;
        assert_eq!(code, 5, "{said}{why}");
        assert!(why.contains("nothing was heard within 0.3 s"), "{what}: {why}");
    }
}
