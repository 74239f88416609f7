//! `schism freeze`.

use fault::{Extent, Freeze, Kind, LeaseTerms, TermsError};

use crate::cli::{FreezeArgs, NamedError};
use crate::connect::Choice;
use crate::cut::random_seed;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::processes::{Order, Wish, absence, without_processes};
use crate::session::After;
use crate::settings::Names;

/// A freeze that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FreezeError {
    #[error(transparent)]
    Name(#[from] NamedError),
    #[error("{0} is no process: a whole node is never frozen, and addresses have none")]
    NoProcesses(String),
    #[error("{0}")]
    Terms(#[from] TermsError),
}

impl FreezeError {
    fn hint(&self) -> String {
        let hint = match self {
            Self::Name(error) => return error.hint(),
            Self::NoProcesses(_) => "name a pid:, a container: or a netns:",
            Self::Terms(TermsError::Lease) => "ask for a longer --lease",
            Self::Terms(TermsError::Total) => "ask for another --for",
        };
        hint.to_owned()
    }
}

/// Why a freeze that makes no sense is not tried.
pub(crate) fn refused(attempted: &str, error: &FreezeError) -> Failure {
    Failure::new(Outcome::WrongUsage, attempted, error).hint(error.hint())
}

/// What is done to them.
pub(crate) const fn freeze(args: &FreezeArgs) -> Freeze {
    Freeze { extent: if args.tree { Extent::Tree } else { Extent::Named } }
}

/// What was typed, checked.
///
/// # Errors
/// It makes no sense, whatever the names stand for.
pub(crate) fn wish(args: &FreezeArgs, names: &Names, random: u64) -> Result<Wish, FreezeError> {
    let selectors = args.target.stands_for(names)?;
    if let Some(selector) = without_processes(&selectors) {
        return Err(FreezeError::NoProcesses(selector.to_string()));
    }
    let lease = if args.detach { args.total } else { args.lease };
    Ok(Wish {
        selectors,
        kind: Kind::Freeze(freeze(args)),
        terms: LeaseTerms::new(lease, args.total)?,
        seed: args.seed.unwrap_or(random),
    })
}

/// Runs `schism freeze`.
pub(crate) async fn run(
    args: &FreezeArgs,
    names: &Names,
    choice: Choice,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = args.attempt();
    let wish = wish(args, names, random_seed()?).map_err(|error| refused(&attempted, &error))?;
    let choice = Choice { absence: absence(args.detach, args.local), ..choice };
    let after = After::of(args.dry_run, args.detach);
    Order { wish, attempted, noun: "freeze", after, output }.run(&choice).await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn typed(line: &str) -> Result<Wish, String> {
        let words = format!("schism freeze {line}");
        let cli = Cli::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?;
        let Command::Freeze(args) = cli.command else { panic!("{words}") };
        wish(&args, &Names::default(), 7).map_err(|error| error.to_string())
    }

    #[test]
    fn a_freeze_as_it_is_typed() {
        let wish = typed("pid:7 --for 5s --tree").unwrap();
        assert_eq!(wish.kind, Kind::Freeze(Freeze { extent: Extent::Tree }));
        assert_eq!((wish.terms.lease.as_secs(), wish.terms.total.as_secs()), (5, 5));
        let detached = typed("pid:7 --for 40s --detach").unwrap();
        assert_eq!(detached.terms.lease.as_secs(), 40, "nobody renews it");
        for (line, expected) in
            [("host:n1", "a whole node is never frozen"), ("addr:10.0.0.1", "is no process")]
        {
            let error = typed(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
