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
mod readiness;
mod report;
mod topology;

use zeebe::{Key, Message, Pause};

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
        ZeebeCommand::Topology => topology::show(&contact, output).await,
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
        ZeebeCommand::Publish(args) => {
            let attempted = format!("cannot publish to partition {}", args.partition);
            let gateway = contact.gateway();
            let known =
                patience.gateway(&attempted, async || gateway.topology(patience.call()).await);
            let count = known.await?.partitions;
            let Some(correlation_key) = args.partition.correlation_key(count, 0) else {
                let reason = format!("there are partitions 1 to {count}");
                return Err(Failure::not_found(attempted, reason));
            };
            let message = Message {
                name: args.name,
                correlation_key,
                time_to_live: args.time_to_live,
                variables: args.variables.unwrap_or_default(),
            };
            let key = patience
                .gateway(&attempted, async || gateway.publish(&message, patience.call()).await)
                .await?;
            let partition = key.partition().map(|partition| partition.to_string());
            let said = format!("published to partition {}", partition.unwrap_or_default());
            output.show(&Done::new("publish", said).key(key))?;
            let arrived = key.partition() == Some(args.partition);
            Ok(if arrived { Outcome::Effective } else { Outcome::Deviated })
        }
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
            patience.management(&attempted, async || at.take_backup(id).await).await?;
            done(output, "backup", &format!("backup {id} has begun"))
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

fn done(output: Output, command: &'static str, said: &str) -> Result<Outcome, Failure> {
    output.show(&Done::new(command, said.to_owned()))?;
    Ok(Outcome::Effective)
}
