//! `schism skew`.

pub(crate) mod replacement;
mod request;

use fault::{Clock, Skew};

use crate::cli::SkewArgs;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::processes::{Asked, AskedError};
use crate::settings::Names;
use crate::spec::{QuorumLoss, Within};
use request::Request;

/// Says of which clocks software believes that nobody moves them.
fn warn(skew: &Skew, output: Output) {
    for clock in skew.clocks.iter().filter(|clock| *clock != Clock::Realtime) {
        output.note(format!(
            "warning: software takes {clock} for a clock that nobody moves; time-outs and schedulers go \
             by it"
        ));
    }
}

/// What was typed, checked.
///
/// # Errors
/// It makes no sense, whatever the names stand for.
pub(crate) fn asked(args: &SkewArgs, names: &Names, output: Output) -> Result<Asked, Failure> {
    let attempted = args.attempt();
    let request = Request::new(args, names).map_err(|error| {
        Failure::new(Outcome::WrongUsage, &attempted, &error).hint(error.hint())
    })?;
    warn(&request.skew, output);
    let restarts = args.restart.of(request.selectors.iter());
    Ok(Asked {
        restarts: restarts.map_err(|error| AskedError::from(error).refused(&attempted))?,
        selectors: request.selectors,
        within: Within::Skew(request.skew),
        lease: args.lease,
        total: args.total,
        quorum_loss: QuorumLoss::Refused,
        manner: args.manner,
        attempted,
    })
}
