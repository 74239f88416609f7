//! Putting faults in and taking them out, for a command that may be interrupted at any time.

use std::time::Instant;

use fault::{Fault, FaultId, Status};

use super::{Confirmation, End, Watch, unconfirmed};
use crate::failure::{Cause, Failure};
use crate::interrupts::Interrupts;
use crate::link::{Link, Rehearsal, Scope};
use crate::output::Output;

/// What a command does with its faults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errand<'a> {
    /// What is attempted, for people.
    pub(crate) attempted: &'a str,
    /// What is put in: `cut`, `skew`.
    pub(crate) noun: &'static str,
    /// Where it is told.
    pub(crate) output: Output,
}

impl Errand<'_> {
    /// Puts faults in place and lets them act. What could not be done leaves nothing in place.
    ///
    /// # Errors
    /// What went wrong, or that it was interrupted.
    pub(crate) async fn begin(
        self,
        link: &mut Link,
        faults: &[Fault],
        interrupts: &mut Interrupts,
    ) -> Result<Vec<Status>, Failure> {
        let ids: Vec<FaultId> = faults.iter().map(|fault| fault.id).collect();
        let begun = tokio::select! {
            begun = self.put_in(link.clone(), faults, &ids) => begun,
            _ = interrupts.next() => {
                let noun = self.noun;
                self.output.note(format!("interrupted before the {noun} began; healing"));
                return match link.heal(&Scope::Faults(ids)).await {
                    // The agent may never have heard of it.
                    Err(failure) if failure.cause != Cause::NotFound => Err(failure),
                    Ok(_) | Err(_) => {
                        let reason = "interrupted while it was put in; what was in place is healed";
                        Err(Failure::caused(Cause::Interrupted, self.attempted, reason))
                    }
                };
            }
        };
        if begun.is_err() {
            // What is in place of it must not stay; what went wrong first is what is told.
            let _ = link.heal(&Scope::Faults(ids)).await;
        }
        begun
    }

    async fn put_in(
        self,
        mut link: Link,
        faults: &[Fault],
        ids: &[FaultId],
    ) -> Result<Vec<Status>, Failure> {
        let prepared = link.prepare(self.attempted, faults, Rehearsal::No).await?;
        for part in &prepared {
            for note in &part.notes {
                self.output.note(format!("note: {note}"));
            }
        }
        link.commit(self.attempted, ids, None).await
    }

    /// Ends what is left of them, whoever else may have ended them before.
    pub(crate) async fn heal(
        self,
        link: &mut Link,
        watch: &mut Watch,
        end: &End,
        interrupts: &mut Interrupts,
    ) -> Confirmation {
        let scope = Scope::Faults(watch.ids());
        let answer = tokio::select! {
            answer = link.heal(&scope) => answer,
            _ = interrupts.next() => {
                self.output.note("interrupted again; not waiting for the agent");
                return Confirmation::NotConfirmed;
            }
        };
        match answer {
            Ok(statuses) => {
                watch.settle(statuses, Instant::now());
                match unconfirmed(watch.statuses()).as_slice() {
                    [] => Confirmation::Confirmed,
                    _ => Confirmation::NotConfirmed,
                }
            }
            // An agent that shuts down says so fault by fault before it goes.
            Err(_) if watch.is_over() => Confirmation::Confirmed,
            Err(failure) => {
                match end {
                    // That the agent cannot be reached was just said.
                    End::AgentLost(_) => {}
                    End::Deadline
                    | End::Done
                    | End::Interrupted(_)
                    | End::AllEnded
                    | End::Broken(_, _)
                    | End::NotRenewed(_)
                    | End::AgentSilent(_) => self.output.note(failure.text()),
                }
                Confirmation::NotConfirmed
            }
        }
    }
}
