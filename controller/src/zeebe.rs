//! `schism zeebe`: what people and suites want to know of a Zeebe cluster, and have it do.
//!
//! Reading commands change nothing. Whatever is retried says why, and ends at the time that was given.

mod clocks;
mod configured;
mod contact;
mod creation;
mod deploying;
mod jobs;
mod load;
mod members;
mod patience;
mod publishing;
mod readiness;
mod report;
mod topology;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};

use fault::ClusterPath;
use zeebe::{Key, Management, ManagementError, Pause, Scaling};

use crate::cli::{
    AskCommand, BackupCommand, ClusterCommand, ExportingCommand, MemberCommand, VerifyCommand,
    ZeebeArgs, ZeebeCommand,
};
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::settings::{Controller, Settings};

use contact::Contact;
use members::Through;
use patience::Patience;
use report::Done;

/// Does what was asked. `controller` is for what needs one.
pub(crate) async fn run(
    args: ZeebeArgs,
    settings: &Settings,
    controller: Result<Controller, Failure>,
    output: Output,
) -> Result<Outcome, Failure> {
    let patience = Patience::new(args.timeout, output);
    match args.command {
        ZeebeCommand::Ask(command) => {
            let contact = Contact::open(&args.place, settings)?;
            ask(&contact, command, &patience, output).await
        }
        ZeebeCommand::Member(command) => {
            let cluster = args.place.cluster.clone().map(ClusterPath::of);
            let cluster = args.place.namespace.clone().or(cluster);
            let through = Through::new(cluster, &settings.names, controller?, output);
            match command {
                MemberCommand::Restart(asked) => {
                    // In a namespace it is only the controller who reaches them.
                    let contact = match args.place.namespace {
                        Some(_) => None,
                        None => Some(Contact::open(&args.place, settings)?),
                    };
                    through.restart(&asked, contact.as_ref(), &patience).await
                }
                MemberCommand::Terminate(who) => through.terminate(&who).await,
                MemberCommand::Freeze(asked) => through.freeze(&asked).await,
                MemberCommand::Stress(asked) => through.stress(&asked).await,
                MemberCommand::Disconnect(asked) => through.disconnect(&asked).await,
                MemberCommand::Connect(asked) => through.connect(&asked).await,
            }
        }
    }
}

/// Asks the cluster itself.
async fn ask(
    contact: &Contact,
    command: AskCommand,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    match command {
        AskCommand::Topology => topology::show(contact, patience, output).await,
        AskCommand::Verify { what } => match what {
            VerifyCommand::Readiness => readiness::verify(contact, patience, output).await,
            VerifyCommand::Leadership => readiness::leadership(contact, patience, output).await,
            VerifyCommand::InstanceCreation(args) => {
                creation::verify(contact, &args.into(), patience, output).await
            }
            VerifyCommand::InstanceCount(args) => {
                creation::count(contact, args, patience, output).await
            }
            VerifyCommand::JobCompletion(args) => {
                jobs::verify(contact, &args, patience, output).await
            }
            VerifyCommand::JobPush { job_type } => {
                jobs::pushed(contact, &job_type, patience, output).await
            }
            VerifyCommand::DeploymentOnAllPartitions(args) => {
                creation::verify(contact, &args.into(), patience, output).await
            }
        },
        AskCommand::Deploy { what } => deploying::run(contact, what, patience, output).await,
        AskCommand::Publish(args) => publishing::run(contact, args, patience, output).await,
        AskCommand::Load(args) => load::run(contact, &args, output).await,
        AskCommand::Worker(args) => worker::run(contact, &args, output).await,
        AskCommand::Rebalance => {
            let at = contact.management(patience.limit())?;
            patience.management("cannot rebalance", async || at.rebalance().await).await?;
            done(output, "rebalance", "leaders were asked to move to where they are to be")
        }
        AskCommand::Cluster { what } => match what {
            ClusterCommand::Status => configured::show(contact, patience, output).await,
            ClusterCommand::Wait { change } => {
                configured::wait(contact, change, patience, output).await
            }
            ClusterCommand::Scale { to, replicas, dry_run } => {
                let scaling = if dry_run { Scaling::Planned } else { Scaling::Moved };
                configured::scale(contact, &to, replicas, scaling, patience, output).await
            }
            ClusterCommand::ForceFailover { keep, dry_run } => {
                let scaling = if dry_run { Scaling::Planned } else { Scaling::Forced };
                configured::scale(contact, &keep, None, scaling, patience, output).await
            }
        },
        AskCommand::Clock(args) => clocks::run(contact, &args, patience, output).await,
        AskCommand::Exporting { what } => {
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
        AskCommand::Backup { what } => backup(contact, what, patience, output).await,
        AskCommand::Ban { instance } => {
            let at = contact.management(patience.limit())?;
            let attempted = format!("cannot ban {instance}");
            // Zeebe says yes to any number.
            if Key(instance).partition().is_none() {
                let reason = "it is no key: those of Zeebe tell their partition";
                return Err(Failure::caused(Cause::WrongUsage, attempted, reason));
            }
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
            let unheard = AtomicBool::new(false);
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
async fn begin(at: &Management, id: u64, unheard: &AtomicBool) -> Result<String, ManagementError> {
    match at.take_backup(id).await {
        Ok(()) => Ok("has begun".to_owned()),
        Err(error @ ManagementError::Silent { .. }) => {
            unheard.store(true, Ordering::Relaxed);
            Err(error)
        }
        Err(refused @ ManagementError::Refused { .. }) if unheard.load(Ordering::Relaxed) => {
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
