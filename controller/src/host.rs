//! The end of a command that may be this machine's agent.

use std::time::Duration;

use fault::Status;

use crate::connect::Connection;
use crate::failure::Failure;
use crate::interrupts::{Interrupt, Interrupts};
use crate::link::Scope;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::output::route::Route;

/// How often to look whether other commands' faults have ended.
const LOOK: Duration = Duration::from_millis(500);

/// Leaves an agent. One that this command is stays until other commands' faults in it have ended.
///
/// # Errors
/// What the command itself came to; that of the leave-taking only if that was nothing.
pub(crate) async fn leave(
    connection: Connection,
    interrupts: &mut Interrupts,
    output: Output,
    result: Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let Connection { mut link, own, .. } = connection;
    let Some(own) = own else { return result };
    let mut told = false;
    // A termination does not wait for others: stopping heals what they have.
    while !interrupts.terminated()
        && let Ok(statuses) = link.list().await
    {
        let active: Vec<&Status> =
            statuses.iter().filter(|status| !status.state.is_final()).collect();
        if active.is_empty() {
            break;
        }
        if !told {
            told = true;
            output.note(
                "this command is the agent of this machine and stays until these faults have ended:",
            );
            for status in &active {
                output.note(format!("  {} {}", status.fault.id, Route::from(&status.fault)));
            }
            output.note("Ctrl-C heals them all");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            interrupt = interrupts.next() => {
                match interrupt {
                    Interrupt::Keyboard => output.note("healing them all"),
                    Interrupt::Termination => output.note("asked to terminate; healing them all"),
                    Interrupt::Hangup => output.note("hung up; healing them all"),
                }
                if let Err(failure) = link.heal(&Scope::All).await {
                    output.note(failure.text());
                }
                break;
            }
        }
    }
    match own.stop().await {
        Ok(()) => result,
        Err(reason) => {
            let failure =
                Failure::new(Outcome::Unconfirmed, "cannot end this machine's agent", reason)
                    .hint("`schism residue` says whether anything was left behind");
            match result {
                Ok(_) => Err(failure),
                Err(first) => {
                    output.note(failure.text());
                    Err(first)
                }
            }
        }
    }
}
