//! `schism stress`.

use fault::Scheme;

use crate::cli::StressArgs;
use crate::failure::Failure;
use crate::processes::{Asked, AskedError};
use crate::settings::Names;
use crate::spec::{QuorumLoss, Within};

/// What was typed, checked.
///
/// # Errors
/// It makes no sense, whatever the names stand for.
pub(crate) fn asked(args: &StressArgs, names: &Names) -> Result<Asked, Failure> {
    let attempted = args.attempt();
    let selectors =
        AskedError::selectors(&args.target, &args.within, names, "a node has no control group");
    let selectors = selectors.map_err(|error| error.refused(&attempted))?;
    if let Some(several) =
        selectors.iter().find(|selector| matches!(selector.scheme, Scheme::Netns(_)))
    {
        return Err(AskedError::Groups(several.to_string()).refused(&attempted));
    }
    let restarts = args.restart.of(selectors.iter());
    Ok(Asked {
        restarts: restarts.map_err(|error| AskedError::from(error).refused(&attempted))?,
        selectors,
        within: Within::Stress(args.taken.into()),
        lease: args.lease,
        total: args.total,
        quorum_loss: QuorumLoss::Refused,
        manner: args.manner,
        attempted,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn typed(line: &str) -> Result<Asked, String> {
        let words = format!("schism stress {line}");
        let cli = Cli::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?;
        let Command::Stress(args) = cli.command else { panic!("{words}") };
        asked(&args, &Names::default()).map_err(|failure| failure.reason)
    }

    #[test]
    fn a_load_as_it_is_typed() {
        let asked = typed("pid:7 --cpu 2@50% --memory 64MiB --io 1 --for 30s").unwrap();
        let Within::Stress(stress) = asked.within else { panic!("{:?}", asked.within) };
        assert_eq!(stress.to_string(), "cpu 2@50%, memory 64MiB, io 1");
        assert_eq!((asked.lease.as_secs(), asked.total.as_secs()), (15, 30));
        for (line, expected) in [
            ("pid:7", "--cpu"),
            ("pid:7 --cpu 0", "from 1 to 4096"),
            ("pid:7 --io 0", "from 1 to 4096"),
            ("pid:7 --memory 0%", "write a size"),
            ("netns:a --cpu 1", "several control groups"),
            ("host:n1 --cpu 1", "a node has no control group"),
        ] {
            let error = typed(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
