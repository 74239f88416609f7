//! `schism skew` through a controller.

use super::order::Order;
use crate::cli::SkewArgs;
use crate::cut::random_seed;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::session::After;
use crate::settings::{Controller, Names};
use crate::skew::request::Request;
use crate::spec::{QuorumLoss, Spec, What};

/// `schism skew` through a controller.
pub(crate) async fn run(
    args: &SkewArgs,
    names: &Names,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = args.attempt();
    let request = Request::new(args, names, random_seed()?);
    let request = request.map_err(|error| crate::skew::refused(&attempted, &error))?;
    crate::skew::warn(&request.skew, output);
    let spec = Spec {
        what: What::Skew { targets: request.selectors, skew: request.skew },
        seed: request.seed,
        // A controller renews what a command leaves to it.
        terms: fault::LeaseTerms::new(args.lease, args.total)
            .map_err(|error| crate::skew::refused(&attempted, &error.into()))?,
        quorum_loss: QuorumLoss::Refused,
    };
    let after = After::of(args.dry_run, args.detach);
    Order { attempted, spec, after, output }.carry_out(place).await
}
