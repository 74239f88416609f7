//! `schism zeebe publish`.

use zeebe::{GatewayError, Key, Message};

use crate::cli::PublishArgs;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;

use super::contact::Contact;
use super::patience::Patience;
use super::report::Done;

/// Publishes a message to a partition, once, however often that has to be tried.
pub(crate) async fn run(
    contact: &Contact,
    args: PublishArgs,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = format!("cannot publish to partition {}", args.partition);
    let gateway = contact.gateway();
    let known = patience.gateway(&attempted, async || gateway.topology(patience.call()).await);
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
        // Of this command alone, so that what was published by a try whose answer was lost is known again.
        id: format!("schism-{:016x}{:016x}", crate::cut::random()?, crate::cut::random()?),
    };
    let call = async || match gateway.publish(&message, patience.call()).await {
        Ok(key) => Ok(Some(key)),
        Err(GatewayError::Exists(_)) => Ok(None),
        Err(error) => Err(error),
    };
    match patience.gateway(&attempted, call).await? {
        Some(key) => {
            output.show(&Done::new("publish", arrived(key)).key(key))?;
            let there = key.partition() == Some(args.partition);
            Ok(if there { Outcome::Effective } else { Outcome::Deviated })
        }
        None => {
            let said = "by a try whose answer was lost, so its key is not known";
            let said = format!("published to partition {} {said}", args.partition);
            output.show(&Done::new("publish", said))?;
            Ok(Outcome::Effective)
        }
    }
}

fn arrived(key: Key) -> String {
    let partition = key.partition().map(|partition| partition.to_string());
    format!("published to partition {}", partition.unwrap_or_default())
}
