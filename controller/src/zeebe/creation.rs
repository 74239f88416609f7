//! `schism zeebe verify instance-creation`, `instance-count` and `deployment-on-all-partitions`.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use zeebe::{Gateway, GatewayError, Instance, NewInstance, PartitionId, Version};

use crate::cli::{CountArgs, CreationArgs, DistributionArgs, InstanceArgs};
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;

use super::contact::Contact;
use super::patience::{Look, Patience};
use super::report::verdict;

/// What is to be created, and where.
#[derive(Debug)]
pub(crate) struct Creation {
    verified: &'static str,
    /// On all partitions, if there are none here.
    partitions: BTreeSet<PartitionId>,
    instance: NewInstance,
    ending: Ending,
}

/// When an instance counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// As soon as there is one.
    Created,
    /// When it is completed.
    Completed,
}

impl From<InstanceArgs> for NewInstance {
    fn from(args: InstanceArgs) -> Self {
        Self {
            process: args.process,
            version: args.version.map_or(Version::Latest, Version::Number),
            variables: args.variables.unwrap_or_default(),
        }
    }
}

impl From<CreationArgs> for Creation {
    fn from(args: CreationArgs) -> Self {
        Self {
            verified: "instance-creation",
            partitions: args.partitions.into_iter().collect(),
            instance: args.of.into(),
            ending: if args.await_result { Ending::Completed } else { Ending::Created },
        }
    }
}

impl From<DistributionArgs> for Creation {
    fn from(args: DistributionArgs) -> Self {
        Self {
            verified: "deployment-on-all-partitions",
            partitions: BTreeSet::new(),
            instance: NewInstance {
                process: args.process,
                version: Version::Number(args.version),
                variables: String::new(),
            },
            ending: Ending::Created,
        }
    }
}

/// Creates instances until each partition that is wanted has made one. A gateway deals them out in turn, so
/// as many are created at once as there are partitions; one that hangs holds up no other.
pub(crate) async fn verify(
    contact: &Contact,
    creation: &Creation,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let gateway = contact.gateway();
    let attempted = "cannot create instances";
    let topology = patience.gateway(attempted, async || gateway.topology(patience.call()).await);
    let count = topology.await?.partitions;
    let wanted = match creation.partitions.last() {
        None => PartitionId::first(count).collect(),
        Some(last) if last.number() > count => {
            let reason = format!("there are partitions 1 to {count}, and no {last}");
            return Err(Failure::not_found(attempted, reason));
        }
        Some(_) => creation.partitions.clone(),
    };
    let mut found = BTreeSet::new();
    let reached = patience.until("instances are not on all partitions", async || {
        let mut error = None;
        let round = (0..count).map(|_| create(gateway, creation, patience.call()));
        let mut round: FuturesUnordered<_> = round.collect();
        while let Some(created) = round.next().await {
            match created {
                Ok(instance) => found.extend(instance.key.partition()),
                Err(failure) => error = Some(failure),
            }
            if wanted.is_subset(&found) {
                return Look::Holds(format!("on partitions {}", list(&wanted)));
            }
        }
        let missing = wanted.difference(&found).copied().collect();
        let why = format!("not on partitions {}", list(&missing));
        match error {
            None => Look::Not(why),
            Some(error) if error.is_passing() => Look::Not(format!("{why}: {error}")),
            Some(error) => Look::Never(format!("{why}: {error}")),
        }
    });
    verdict(creation.verified, reached.await, output)
}

/// Creates so many instances, wherever.
pub(crate) async fn count(
    contact: &Contact,
    args: CountArgs,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let gateway = contact.gateway();
    let instance: NewInstance = args.of.into();
    let mut created = 0;
    let reached = patience.until("instances are not created", async || {
        while created < args.count {
            match gateway.create(&instance, patience.call()).await {
                Ok(_) => created += 1,
                Err(error) => {
                    let why = format!("{created} of {}: {error}", args.count);
                    return if error.is_passing() { Look::Not(why) } else { Look::Never(why) };
                }
            }
        }
        Look::Holds(format!("{created} of {}", args.count))
    });
    verdict("instance-count", reached.await, output)
}

async fn create(
    gateway: &Gateway,
    creation: &Creation,
    limit: Duration,
) -> Result<Instance, GatewayError> {
    match creation.ending {
        Ending::Created => gateway.create(&creation.instance, limit).await,
        Ending::Completed => gateway.create_and_await(&creation.instance, limit).await,
    }
}

fn list(partitions: &BTreeSet<PartitionId>) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
