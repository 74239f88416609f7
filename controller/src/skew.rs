//! `schism skew`.

pub(crate) mod request;

use fault::{Clock, Skew};

use crate::cli::SkewArgs;
use crate::connect::Choice;
use crate::cut::random_seed;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::processes::{Order, absence};
use crate::session::After;
use crate::settings::Names;
use request::{Request, RequestError};

/// Why a skew that makes no sense is not tried.
pub(crate) fn refused(attempted: &str, error: &RequestError) -> Failure {
    Failure::new(Outcome::WrongUsage, attempted, error).hint(error.hint())
}

/// Says of which clocks software believes that nobody moves them.
pub(crate) fn warn(skew: &Skew, output: Output) {
    for clock in skew.clocks.iter().filter(|clock| *clock != Clock::Realtime) {
        output.note(format!(
            "warning: software takes {clock} for a clock that nobody moves; time-outs and schedulers go \
             by it"
        ));
    }
}

/// Runs `schism skew`.
pub(crate) async fn run(
    args: &SkewArgs,
    names: &Names,
    choice: Choice,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = args.attempt();
    let request = Request::new(args, names, random_seed()?);
    let request = request.map_err(|error| refused(&attempted, &error))?;
    warn(&request.skew, output);
    let choice = Choice { absence: absence(args.detach, args.local), ..choice };
    let after = After::of(args.dry_run, args.detach);
    Order { wish: request.wish(), attempted, noun: "skew", after, output }.run(&choice).await
}
