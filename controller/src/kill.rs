//! `schism kill`.

use std::time::Duration;

use fault::{Extent, Kill, Signal};

use crate::cli::KillArgs;
use crate::failure::Failure;
use crate::processes::{Asked, AskedError};
use crate::settings::Names;
use crate::spec::{QuorumLoss, Within};

/// How long whoever is asked to end may take for it, unless something else was asked for (30 s).
const GRACE: Duration = Duration::from_secs(30);
/// How much longer than that is watched who ends (10 s).
const WATCHED: Duration = Duration::from_secs(10);

/// What was typed, checked.
///
/// # Errors
/// It makes no sense, whatever the names stand for.
pub(crate) fn asked(args: &KillArgs, names: &Names) -> Result<Asked, Failure> {
    let attempted = args.attempt();
    let selectors =
        AskedError::selectors(&args.target, &args.within, names, "nobody kills a whole node");
    let selectors = selectors.map_err(|error| error.refused(&attempted))?;
    let kill = kill(args);
    let total = kill.grace.unwrap_or_default().saturating_add(WATCHED);
    Ok(Asked {
        selectors,
        within: Within::Kill(kill),
        lease: args.lease.min(total),
        total,
        quorum_loss: QuorumLoss::of(args.allow_quorum_loss),
        restarts: None,
        manner: args.manner,
        attempted,
    })
}

fn kill(args: &KillArgs) -> Kill {
    let by_itself = args.signal.ends() && args.signal != Signal::Kill;
    let grace = args.grace.or_else(|| (by_itself && !args.no_force).then_some(GRACE));
    Kill {
        extent: if args.tree { Extent::Tree } else { Extent::Named },
        signal: args.signal,
        grace,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn typed(line: &str) -> Result<Asked, String> {
        let words = format!("schism kill {line}");
        let cli = Cli::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?;
        let Command::Kill(args) = cli.command else { panic!("{words}") };
        asked(&args, &Names::default()).map_err(|failure| failure.reason)
    }

    #[test]
    fn a_kill_as_it_is_typed() {
        let seconds = |number| Some(Duration::from_secs(number));
        let table = [
            ("pid:7", Signal::Terminate, seconds(30), 40),
            ("pid:7 --grace 2s", Signal::Terminate, seconds(2), 12),
            ("pid:7 --no-force", Signal::Terminate, None, 10),
            ("pid:7 -s KILL", Signal::Kill, None, 10),
            ("pid:7 --signal 1", Signal::Hangup, None, 10),
            ("pid:7 --signal hup --grace 1s", Signal::Hangup, seconds(1), 11),
        ];
        for (line, signal, grace, total) in table {
            let asked = typed(line).unwrap();
            let kill = Kill { extent: Extent::Named, signal, grace };
            assert_eq!(asked.within, Within::Kill(kill), "{line}");
            assert_eq!(asked.total.as_secs(), total, "{line}");
        }
        for (line, expected) in [
            ("host:n1", "nobody kills a whole node"),
            ("addr:10.0.0.1", "is no process"),
            ("pid:7 -s STOP", "freeze the processes instead"),
            ("pid:7 --grace 1s --no-force", "cannot be used with"),
        ] {
            let error = typed(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
