//! Programs that steps run.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use experiment::run::Ending;
use experiment::run::invocation::Arguments;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::reaper::{MARK, Reaper};

/// How much of each of its outputs is kept (4 MiB); the rest is read and let go of.
pub(super) const MOST: usize = 4 << 20;
/// How much is read at a time (8 KiB).
const PIECE: usize = 8 << 10;
/// How long a program's outputs are read after its end, where somebody it left behind keeps them open (1 s).
const AFTERWARDS: Duration = Duration::from_secs(1);

/// Runs a program to its end. Dropped before that, it is killed with all that it started.
pub(super) async fn perform(
    path: &str,
    arguments: &Arguments,
    variables: &[(String, String)],
    timeout: Option<Duration>,
    reaper: &Arc<Reaper>,
) -> Ending {
    let path = in_home(path);
    let mut command = match arguments {
        Arguments::Words(words) => {
            let mut command = Command::new(&path);
            command.args(words);
            command
        }
        Arguments::Shell(line) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(format!("{path} {line}"));
            command
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(variables.iter().map(|(name, value)| (name, value))).process_group(0);
    let mut step = match reaper.step() {
        Ok(step) => step,
        Err(error) => return Ending::Crashed(format!("nobody would end {path}: {error}")),
    };
    let mut child = match command.env(MARK, step.mark()).spawn() {
        Ok(child) => child,
        Err(error) => return Ending::Crashed(format!("{path}: {error}")),
    };
    step.leads(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let outputs = async { tokio::join!(keep(stdout, &mut out), keep(stderr, &mut err)) };
    let whole = async {
        tokio::pin!(outputs);
        let status = tokio::select! {
            status = child.wait() => status,
            _ = &mut outputs => return child.wait().await,
        };
        // Whatever is still written after its end is not waited for.
        let _ = tokio::time::timeout(AFTERWARDS, outputs).await;
        status
    };
    let status = match timeout {
        None => whole.await,
        Some(limit) => match tokio::time::timeout(limit, whole).await {
            Ok(status) => status,
            Err(_) => {
                let limit = limit.as_secs_f64();
                drop(step);
                reaper.settle().await;
                return Ending::Failed(format!("process activity timed out after {limit} s"));
            }
        },
    };
    step.spare();
    drop(step);
    match status {
        Ok(status) => Ending::Returned(json!({
            "status": code(status),
            "stdout": String::from_utf8_lossy(&out),
            "stderr": String::from_utf8_lossy(&err),
        })),
        Err(error) => Ending::Crashed(format!("{path}: {error}")),
    }
}

/// As Python has it: a signal is a negative number.
fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}

/// Reads to the end, and keeps what there is room for.
async fn keep(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    // Most say little: more room would be new memory for each.
    let mut some = Vec::with_capacity(PIECE);
    loop {
        some.clear();
        let count = from.read_buf(&mut some).await?;
        if count == 0 {
            return Ok(());
        }
        let room = MOST.saturating_sub(kept.len());
        kept.extend(&some[..count.min(room)]);
    }
}

/// A path with the home directory in the place of `~`.
pub(super) fn in_home(path: &str) -> String {
    let home = std::env::var("HOME").ok();
    match (path.strip_prefix("~/"), home) {
        (Some(below), Some(home)) => format!("{home}/{below}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use experiment::run::Verdicts;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use serde_json::Value;

    use super::*;

    async fn shell(script: &str, timeout: Option<Duration>) -> Ending {
        shell_by(Verdicts::Strict, script, timeout).await
    }

    async fn shell_by(verdicts: Verdicts, script: &str, timeout: Option<Duration>) -> Ending {
        let words = vec!["-c".to_owned(), script.to_owned()];
        let reaper = Arc::new(Reaper::nobody(verdicts));
        perform("/bin/sh", &Arguments::Words(words), &[], timeout, &reaper).await
    }

    fn returned(ending: Ending) -> Value {
        let Ending::Returned(value) = ending else { panic!("{ending:?}") };
        value
    }

    #[tokio::test]
    async fn what_a_program_says_is_returned() {
        let value = returned(shell("printf out; printf err >&2; exit 7", None).await);
        assert_eq!(value, json!({"status": 7, "stdout": "out", "stderr": "err"}));
        let value = returned(shell("printf '\\377x'; kill -9 $$", None).await);
        assert_eq!(value, json!({"status": -9, "stdout": "\u{fffd}x", "stderr": ""}));
        let (reaper, none) =
            (Arc::new(Reaper::nobody(Verdicts::Strict)), Arguments::Words(Vec::new()));
        let ending = perform("/nowhere/at-all", &none, &[], None, &reaper).await;
        assert!(
            matches!(ending, Ending::Crashed(ref why) if why.contains("/nowhere")),
            "{ending:?}"
        );
    }

    #[tokio::test]
    async fn a_flood_is_read_and_not_kept() {
        let value = returned(shell("head -c 9000000 /dev/zero | tr '\\0' x", None).await);
        assert_eq!(value["stdout"].as_str().unwrap().len(), MOST);
    }

    #[tokio::test]
    async fn who_never_ends_or_leaves_somebody_behind_is_not_waited_for() {
        let began = Instant::now();
        let ending = shell("sleep 60 & wait", Some(Duration::from_millis(200))).await;
        assert!(
            matches!(ending, Ending::Failed(ref why) if why.contains("timed out")),
            "{ending:?}"
        );
        let value = returned(shell("(sleep 60; echo late) & echo now", None).await);
        assert_eq!(value["stdout"], "now\n");
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    /// Whether a process has ended, also where nobody has taken its end from it.
    fn is_over(pid: &str) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        status.is_empty() || status.contains(") Z ")
    }

    #[tokio::test]
    async fn a_daemon_ends_with_a_program_that_is_stopped_and_outlives_one_that_ends() {
        let directory = tempfile::tempdir().unwrap();
        for (rest, limit, ends) in [("sleep 60", Some(2_000), true), ("true", None, false)] {
            let path = directory.path().join("pid");
            let pipe = directory.path().join(format!("said-{ends}"));
            // It goes on when the daemon has said who it is.
            let script = format!(
                "mkfifo {pipe}; setsid sh -c 'echo $$ > {path}; echo > {pipe}; exec sleep 60' & \
                 read said < {pipe}; {rest}",
                path = path.display(),
                pipe = pipe.display()
            );
            shell(&script, limit.map(Duration::from_millis)).await;
            let pid = std::fs::read_to_string(&path).unwrap();
            let over = is_over(pid.trim());
            if !over {
                end(&pid);
            }
            assert_eq!(over, ends, "{rest}");
        }
    }

    fn end(pid: &str) {
        kill(Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    }

    #[tokio::test]
    async fn who_stays_in_the_group_of_a_program_ends_with_it_but_in_the_ways_of_the_original() {
        let script = "sleep 60 > /dev/null 2>&1 & echo $!";
        for (verdicts, ends) in [(Verdicts::Strict, true), (Verdicts::Compat, false)] {
            let value = returned(shell_by(verdicts, script, None).await);
            let pid = value["stdout"].as_str().unwrap().trim();
            // A signal is sent at once, and heeded a moment later.
            let began = Instant::now();
            while ends && !is_over(pid) && began.elapsed() < Duration::from_secs(10) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let over = is_over(pid);
            if !over {
                end(pid);
            }
            assert_eq!(over, ends, "{verdicts:?}");
        }
    }
}
