//! A skew that takes the place of another one.

use std::collections::BTreeSet;

use fault::{Fault, obstacle};

use crate::connect::Choice;
use crate::failure::Failure;
use crate::link::Link;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::processes::Asked;
use crate::settings::Controller;
use crate::{fleet, heal, in_processes};

/// Has it done, and ends each skew first that is all that is in its way.
///
/// # Errors
/// It was not done, or what is in its way is not confirmed to be out.
pub(crate) async fn run(
    asked: Asked,
    chosen: Option<Controller>,
    choice: Choice,
    output: Output,
) -> Result<Outcome, Failure> {
    let chosen = chosen.filter(|_| !asked.manner.local);
    let mut ended = BTreeSet::new();
    loop {
        let done = in_processes(asked.clone(), chosen.clone(), choice.clone(), output).await;
        let Err(failure) = done else { return done };
        // One that was ended and is still there is nothing to end again.
        let Some(there) = failure.replaceable.filter(|there| ended.insert(*there)) else {
            return Err(failure);
        };
        output.note(format!("{there} has moved these clocks already, and is healed first"));
        match &chosen {
            Some(controller) => fleet::end(there, controller, output).await?,
            None => heal::end(there, &choice, output).await?,
        }
    }
}

/// A refusal of an agent by all that is in the way: it looks at one fault after the other, and tells the first
/// that is in the way of one.
pub(crate) async fn judged(refusal: Failure, faults: &[Fault], link: &mut Link) -> Failure {
    if refusal.replaceable.is_none() {
        return refusal;
    }
    // What is not known is not ended.
    let Ok(known) = link.list().await else { return Failure { replaceable: None, ..refusal } };
    let here = |fault: Fault| ((), fault);
    let living = known.into_iter().filter(|status| !status.state.is_final());
    let active: Vec<((), Fault)> = living.map(|status| here(status.fault)).collect();
    let asked: Vec<((), Fault)> = faults.iter().cloned().map(here).collect();
    match obstacle(&asked, &active) {
        Some(found) => {
            let (reason, replaceable) = (found.error.to_string(), found.replaceable());
            Failure { reason, replaceable, ..refusal }.hint(found.hint())
        }
        // It has ended meanwhile.
        None => refusal,
    }
}
