//! `schism-lab kubernetes`

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitCode, ExitStatus},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{kubernetes::Cluster, process::entrust};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// How it is typed.
const USAGE: &str =
    "schism-lab kubernetes [--nodes 1…9] [--fake-nodes 1…1000] -- COMMAND [ARGUMENT…]";

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    nodes: usize,
    fake: usize,
    program: &'a str,
    arguments: &'a [String],
}

/// Starts a cluster, runs a command for which `kubectl` means it, and ends as that command does. All of the
/// cluster is gone then; also where this process is killed, some moments later.
pub(crate) fn run(words: &[String]) -> Result<ExitCode> {
    let Some(asked) = parse(words) else {
        bail!("`kubernetes {}` is not understood; there is {USAGE}", words.join(" "));
    };
    ensure!(geteuid().is_root(), "the lab makes network namespaces: run it in a root shell");
    lab::sweep()?;
    let began = Instant::now();
    let mut cluster = Cluster::start(asked.nodes)?;
    if asked.fake > 0 {
        cluster.add_fake_nodes(asked.fake)?;
    }
    let nodes = asked.nodes + asked.fake;
    eprintln!("{nodes} nodes are ready after {:.1} s", began.elapsed().as_secs_f64());
    let mut command = cluster.kubectl().command(asked.program);
    command.args(asked.arguments);
    let status = attend(command).with_context(|| asked.program.to_owned())?;
    drop(cluster);
    // As a shell tells of who ended by a signal.
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

fn parse(words: &[String]) -> Option<Asked<'_>> {
    let at = words.iter().position(|word| word == "--")?;
    let (options, rest) = (&words[..at], words.get(at + 1..)?);
    let (program, arguments) = rest.split_first()?;
    let mut asked = Asked { nodes: 2, fake: 0, program, arguments };
    let (pairs, []) = options.as_chunks::<2>() else { return None };
    for [option, count] in pairs {
        let (taken, most) = match option.as_str() {
            "--nodes" => (&mut asked.nodes, 9),
            "--fake-nodes" => (&mut asked.fake, 1_000),
            _ => return None,
        };
        *taken = count.parse().ok().filter(|count| (1..=most).contains(count))?;
    }
    Some(asked)
}

/// Runs a command to its end. Who asks this process to end asks the command.
fn attend(command: Command) -> Result<ExitStatus> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut child = tokio::process::Command::from(command).spawn()?;
        child.id().into_iter().for_each(entrust);
        loop {
            tokio::select! {
                status = child.wait() => return Ok(status?),
                // A terminal sends it to the command as well, for which it may mean something else.
                _ = interrupt.recv() => continue,
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
            pid.map_or(Ok(()), |pid| kill(pid, Signal::SIGTERM))?;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_understood_or_refused() {
        let words = |line: &str| line.split(' ').map(ToOwned::to_owned).collect::<Vec<String>>();
        let typed = words("--nodes 3 -- kubectl get -- x");
        let asked = parse(&typed).unwrap();
        assert_eq!((asked.nodes, asked.program), (3, "kubectl"));
        assert_eq!(asked.arguments, words("get -- x"));
        assert_eq!(parse(&words("-- bash")).map(|asked| asked.nodes), Some(2));
        let typed = words("--fake-nodes 100 --nodes 1 -- sh");
        assert_eq!(parse(&typed).map(|asked| (asked.nodes, asked.fake)), Some((1, 100)));
        let wrong = ["--", "bash", "--nodes 0 -- x", "--nodes x -- x", "--nodes -- x", "-n 2 -- x"];
        for wrong in
            wrong.into_iter().chain(["--fake-nodes 1001 -- x", "--nodes 2 --fake-nodes -- x"])
        {
            assert_eq!(parse(&words(wrong)), None, "{wrong}");
        }
    }
}
