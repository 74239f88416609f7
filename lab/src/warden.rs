//! The warden: a shell that cleans up after this process, however it ends.
//!
//! `Drop` does not run after SIGINT, SIGKILL or an abort. The warden reads from a pipe what this
//! process put into the world; the kernel closes the pipe when this process is gone, and then the
//! warden ends what is left. Processes are known by pid and start time, so that a re-used pid is
//! never hit.

use std::{
    fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
};

static WARDEN: Mutex<Option<Child>> = Mutex::new(None);

const SCRIPT: &str = r#"
start_of() { read -r stat <"/proc/$1/stat" || return; set -- ${stat##*) }; shift 19; echo "$1"; }
processes= namespaces= groups=
while read -r what item; do
  case $what in
    process) processes="$processes $item" ;;
    namespace) namespaces="$namespaces $item" ;;
    group) groups="$groups $item" ;;
    directory) set -- "$@" "$item" ;;
  esac
done
for process in $processes; do
  pid=${process%%:*}
  [ "$(start_of "$pid")" = "${process#*:}" ] && kill -KILL "$pid"
done
for namespace in $namespaces; do
  [ -e "/run/netns/$namespace" ] && ip netns del "$namespace"
done
for group in $groups; do
  tries=100
  while [ -e "$group" ] && [ $tries -gt 0 ]; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
    tries=$((tries - 1))
  done
done
for directory in "$@"; do rm -rf "$directory"; done
"#;

/// Has a process killed when this one is gone.
pub(crate) fn watch_process(pid: u32) {
    if let Some(start) = start_time(pid) {
        tell(&format!("process {pid}:{start}\n"));
    }
}

/// Has a network namespace deleted when this process is gone.
pub(crate) fn watch_namespace(name: &str) {
    tell(&format!("namespace {name}\n"));
}

/// Has a control group removed when this process is gone, with all groups within.
pub(crate) fn watch_control_group(path: &Path) {
    tell(&format!("group {}\n", path.display()));
}

/// Has a directory removed when this process is gone.
pub(crate) fn watch_directory(path: &Path) {
    tell(&format!("directory {}\n", path.display()));
}

/// When a process was started, in clock ticks since boot: field 22 of proc_pid_stat(5).
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may contain both.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

/// The warden is a second line behind `Drop`, so a failure to reach it is told and not more.
fn tell(line: &str) {
    let mut warden = WARDEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if warden.is_none() {
        match start() {
            Ok(child) => *warden = Some(child),
            Err(error) => eprintln!("lab: no shell to clean up after a crash: {error}"),
        }
    }
    if let Some(stdin) = warden.as_mut().and_then(|child| child.stdin.as_mut())
        && let Err(error) = stdin.write_all(line.as_bytes())
    {
        eprintln!("lab: the shell that cleans up after a crash is gone: {error}");
    }
}

fn start() -> std::io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", SCRIPT, "schism-lab-warden"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A group of its own: Ctrl-C in a terminal must not end it with the one it watches.
        .process_group(0)
        .spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_start_time() {
        let own = start_time(std::process::id()).unwrap();
        assert!(own > 0);
        assert_eq!(start_time(u32::MAX), None);
    }
}
