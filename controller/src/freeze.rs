//! `schism freeze`.

use fault::{Extent, Freeze};

use crate::cli::FreezeArgs;
use crate::failure::Failure;
use crate::processes::{Asked, AskedError};
use crate::settings::Names;
use crate::spec::{QuorumLoss, Within};

/// What was typed, checked.
///
/// # Errors
/// It makes no sense, whatever the names stand for.
pub(crate) fn asked(args: &FreezeArgs, names: &Names) -> Result<Asked, Failure> {
    let attempted = args.attempt();
    let selectors =
        AskedError::selectors(&args.target, &args.within, names, "a whole node is never frozen");
    let selectors = selectors.map_err(|error| error.refused(&attempted))?;
    let restarts = args.restart.of(selectors.iter());
    Ok(Asked {
        restarts: restarts.map_err(|error| AskedError::from(error).refused(&attempted))?,
        selectors,
        within: Within::Freeze(Freeze {
            extent: if args.tree { Extent::Tree } else { Extent::Named },
        }),
        lease: args.lease,
        total: args.total,
        quorum_loss: QuorumLoss::of(args.allow_quorum_loss),
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
        let words = format!("schism freeze {line}");
        let cli = Cli::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?;
        let Command::Freeze(args) = cli.command else { panic!("{words}") };
        asked(&args, &Names::default()).map_err(|failure| failure.reason)
    }

    #[test]
    fn a_freeze_as_it_is_typed() {
        let asked = typed("pid:7 --for 5s --tree").unwrap();
        assert_eq!(asked.within, Within::Freeze(Freeze { extent: Extent::Tree }));
        assert_eq!((asked.lease.as_secs(), asked.total.as_secs()), (15, 5));
        for (line, expected) in
            [("host:n1", "a whole node is never frozen"), ("addr:10.0.0.1", "is no process")]
        {
            let error = typed(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
