//! What is done to processes through a controller.

use super::order::{Moves, Order};
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::processes::{Asked, AskedError};
use crate::settings::Controller;
use crate::spec::{Spec, What};

/// Has a controller do it.
///
/// # Errors
/// It was not done, and why.
pub(crate) async fn run(
    asked: Asked,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let after = asked.manner.after();
    let (attempted, spec) = spec(asked)?;
    Order { attempted, spec, after, roles: Moves::Told, output }.carry_out(place).await
}

/// What is asked of it, and what is attempted, for people.
///
/// # Errors
/// It makes no sense.
pub(crate) fn spec(asked: Asked) -> Result<(String, Spec), Failure> {
    let seed = asked.seed()?;
    let Asked { attempted, selectors, within, lease, total, quorum_loss, restarts, manner: _ } =
        asked;
    // A controller renews what a command leaves to it.
    let terms = fault::LeaseTerms::new(lease, total)
        .map_err(|error| AskedError::Terms(error).refused(&attempted))?;
    let what = What::Within { targets: selectors, within };
    let spec = Spec { what, seed, terms, quorum_loss, restarts };
    Ok((attempted, spec))
}
