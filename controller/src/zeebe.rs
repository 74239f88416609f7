//! `schism zeebe`: what people and suites want to know of a Zeebe cluster, and have it do.
//!
//! Reading commands change nothing. Whatever is retried says why, and ends at the time that was given.

mod clocks;
mod configured;
mod contact;
mod creation;
mod deploying;
mod jobs;
mod patience;
mod publishing;
mod readiness;
mod report;
mod topology;

use std::cell::Cell;

use zeebe::{Key, Management, ManagementError, Pause};

use crate::cli::{
    BackupCommand, ClusterCommand, ExportingCommand, VerifyCommand, ZeebeArgs, ZeebeCommand,
};
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::settings::Settings;

use contact::Contact;
use patience::Patience;
use report::Done;

/// Does what was asked.
pub(crate) async fn run(
    args: ZeebeArgs,
    settings: &Settings,
    output: Output,
) -> Result<Outcome, Failure> {
    let patience = Patience::new(args.timeout, output);
    let contact = Contact::open(&args.place, settings)?;
    match args.command {
        ZeebeCommand::Topology => topology::show(&contact, &patience, output).await,
        ZeebeCommand::Verify { what } => match what {
            VerifyCommand::Readiness => readiness::verify(&contact, &patience, output).await,
            VerifyCommand::Leadership => readiness::leadership(&contact, &patience, output).await,
            VerifyCommand::InstanceCreation(args) => {
                creation::verify(&contact, &args.into(), &patience, output).await
            }
            VerifyCommand::JobCompletion(args) => {
                jobs::verify(&contact, &args, &patience, output).await
            }
            VerifyCommand::DeploymentOnAllPartitions(args) => {
                creation::verify(&contact, &args.into(), &patience, output).await
            }
        },
        ZeebeCommand::Deploy { what } => deploying::run(&contact, what, &patience, output).await,
        ZeebeCommand::Publish(args) => publishing::run(&contact, args, &patience, output).await,
        ZeebeCommand::Rebalance => {
            let at = contact.management(patience.limit())?;
            patience.management("cannot rebalance", async || at.rebalance().await).await?;
            done(output, "rebalance", "leaders were asked to move to where they are to be")
        }
        ZeebeCommand::Cluster { what } => match what {
            ClusterCommand::Status => configured::show(&contact, &patience, output).await,
            ClusterCommand::Wait { change } => {
                configured::wait(&contact, change, &patience, output).await
            }
        },
        ZeebeCommand::Clock(args) => clocks::run(&contact, &args, &patience, output).await,
        ZeebeCommand::Exporting { what } => {
            let at = contact.management(patience.limit())?;
            let (attempted, said) = match what {
                ExportingCommand::Pause { soft: false } => ("cannot pause exporting", "paused"),
                ExportingCommand::Pause { soft: true } => ("cannot pause exporting", "soft-paused"),
                ExportingCommand::Resume => ("cannot resume exporting", "resumed"),
            };
            let call = async || match what {
                ExportingCommand::Pause { soft: false } => at.pause_exporting(Pause::Hard).await,
                ExportingCommand::Pause { soft: true } => at.pause_exporting(Pause::Soft).await,
                ExportingCommand::Resume => at.resume_exporting().await,
            };
            patience.management(attempted, call).await?;
            done(output, "exporting", &format!("exporting is {said}"))
        }
        ZeebeCommand::Backup { what } => backup(&contact, what, &patience, output).await,
        ZeebeCommand::Ban { instance } => {
            let at = contact.management(patience.limit())?;
            let attempted = format!("cannot ban {instance}");
            patience.management(&attempted, async || at.ban(Key(instance)).await).await?;
            done(output, "ban", &format!("{instance} is ignored from now on"))
        }
    }
}

async fn backup(
    contact: &Contact,
    what: BackupCommand,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let at = contact.management(patience.limit())?;
    match what {
        BackupCommand::Take { id } => {
            let attempted = format!("cannot take the backup {id}");
            let unheard = Cell::new(false);
            let begun = patience.management(&attempted, async || begin(&at, id, &unheard).await);
            done(output, "backup", &format!("backup {id} {}", begun.await?))
        }
        BackupCommand::Wait { id } => {
            let attempted = format!("cannot wait for the backup {id}");
            let reached = patience.until(&attempted, async || match at.backup_state(id).await {
                Ok(state) => configured::judged(&format!("backup {id}"), &state),
                Err(error) => patience::Look::Not(error.to_string()),
            });
            report::verdict("backup", reached.await, output)
        }
    }
}

/// Tries to begin a backup, and says how it is then. `unheard`: an earlier try was not answered, and may have
/// begun it; it is then refused, as it is there already.
async fn begin(at: &Management, id: u64, unheard: &Cell<bool>) -> Result<String, ManagementError> {
    match at.take_backup(id).await {
        Ok(()) => Ok("has begun".to_owned()),
        Err(error @ ManagementError::Silent { .. }) => {
            unheard.set(true);
            Err(error)
        }
        Err(refused @ ManagementError::Refused { .. }) if unheard.get() => {
            match at.backup_state(id).await {
                Ok(state) if state != "DOES_NOT_EXIST" => Ok(format!(
                    "is {state}; a try whose answer was lost has begun it, if it was not there before"
                )),
                Ok(_) => Err(refused),
                Err(error @ ManagementError::Silent { .. }) => Err(error),
                Err(_) => Err(refused),
            }
        }
        Err(error) => Err(error),
    }
}

fn done(output: Output, command: &'static str, said: &str) -> Result<Outcome, Failure> {
    output.show(&Done::new(command, said.to_owned()))?;
    Ok(Outcome::Effective)
}
