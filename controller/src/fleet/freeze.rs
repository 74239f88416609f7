//! `schism freeze` through a controller.

use super::order::Order;
use crate::cli::FreezeArgs;
use crate::cut::random_seed;
use crate::failure::Failure;
use crate::freeze::{freeze, refused, wish};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::processes::Wish;
use crate::session::After;
use crate::settings::{Controller, Names};
use crate::spec::{QuorumLoss, Spec, What};

/// `schism freeze` through a controller.
pub(crate) async fn run(
    args: &FreezeArgs,
    names: &Names,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = args.attempt();
    let wish = wish(args, names, random_seed()?).map_err(|error| refused(&attempted, &error))?;
    let Wish { selectors: targets, seed, .. } = wish;
    let spec = Spec {
        what: What::Freeze { targets, freeze: freeze(args) },
        seed,
        // A controller renews what a command leaves to it.
        terms: fault::LeaseTerms::new(args.lease, args.total)
            .map_err(|error| refused(&attempted, &error.into()))?,
        quorum_loss: match args.allow_quorum_loss {
            true => QuorumLoss::Allowed,
            false => QuorumLoss::Refused,
        },
    };
    let after = After::of(args.dry_run, args.detach);
    Order { attempted, spec, after, output }.carry_out(place).await
}
