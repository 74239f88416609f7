//! What is done to processes through a controller.

use super::order::Order;
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
    let seed = asked.seed()?;
    let Asked { attempted, selectors, within, lease, total, quorum_loss, manner } = asked;
    // A controller renews what a command leaves to it.
    let terms = fault::LeaseTerms::new(lease, total)
        .map_err(|error| AskedError::Terms(error).refused(&attempted))?;
    let spec = Spec { what: What::Within { targets: selectors, within }, seed, terms, quorum_loss };
    Order { attempted, spec, after: manner.after(), output }.carry_out(place).await
}
