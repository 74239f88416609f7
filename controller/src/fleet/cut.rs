//! `schism cut` through a controller.

use super::order::{Moves, Order};
use crate::cli::CutArgs;
use crate::cut::request::Request;
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::session::After;
use crate::settings::{Controller, Names};
use crate::spec::{Loss, QuorumLoss, Spec, What};

/// `schism cut` through a controller.
pub(crate) async fn run(
    args: &CutArgs,
    names: &Names,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let (attempted, spec) = spec(args, names)?;
    let after = After::of(args.dry_run, args.detach);
    let roles = if args.follow { Moves::Followed } else { Moves::Told };
    Order { attempted, spec, after, roles, output }.carry_out(place).await
}

/// What is asked of it, and what is attempted, for people.
///
/// # Errors
/// It makes no sense, or does not go through a controller.
pub(crate) fn spec(args: &CutArgs, names: &Names) -> Result<(String, Spec), Failure> {
    let attempted = args.attempt();
    if args.prove || args.local {
        let reason = "--prove and --local do not go through a controller yet";
        return Err(Failure::caused(Cause::Unsupported, attempted, reason));
    }
    let request = Request::new(args, names, crate::cut::random_seed()?);
    let request = request.map_err(|error| crate::cut::refused(&attempted, &error))?;
    let loss = Loss { cut: request.cut, enforcement: request.enforcement };
    let spec = Spec {
        what: What::Cut(request.between, loss),
        seed: request.cut.seed,
        // A controller renews what a command leaves to it.
        terms: fault::LeaseTerms::new(args.lease, args.total)
            .map_err(|error| Failure::caused(Cause::WrongUsage, attempted.clone(), error))?,
        quorum_loss: QuorumLoss::of(args.allow_quorum_loss),
        restarts: request.restarts,
    };
    Ok((attempted, spec))
}
