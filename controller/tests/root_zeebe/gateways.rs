//! The gateways within the brokers, and the one that stands alone, asked from inside the hub.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use lab::{
    topology::{Family, Node},
    zeebe::GATEWAY_PORT,
};
use tokio::runtime::{Builder, Runtime};
use zeebe::{
    Gateway, GatewayError, Key, Message, NewInstance, PartitionId, Trust, Version,
    model::{Middle, process},
};

use crate::estate::Estate;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(4);

/// How many instances are created to see which partitions know a version: they are dealt out in turn.
const ROUND: usize = 6;

/// Who is asked, and by which runtime, whose threads are in the hub.
pub(crate) struct Gateways {
    pub(crate) runtime: Runtime,
    brokers: Vec<Gateway>,
    pub(crate) alone: Gateway,
}

pub(crate) fn message(to: PartitionId) -> Message {
    Message {
        id: String::new(),
        name: "trickle".to_owned(),
        correlation_key: to.correlation_key(3, 0).unwrap(),
        time_to_live: Duration::ZERO,
        variables: String::new(),
    }
}

impl Gateways {
    pub(crate) fn of(estate: &Estate) -> Self {
        let hub = estate.lab.hub_node().unwrap();
        let runtime = hub
            .namespace
            .inside(|| Builder::new_multi_thread().worker_threads(2).enable_all().build());
        let runtime = runtime.unwrap().unwrap();
        let inside = runtime.enter();
        let gateway = |node: &Node| {
            let at = node.socket_address(Family::V4, GATEWAY_PORT).to_string();
            Gateway::new(at.parse().unwrap(), &Trust::Machine, None).unwrap()
        };
        let brokers = (0..3).map(|number| gateway(estate.cluster.node(number))).collect();
        let alone = gateway(estate.cluster.gateway());
        drop(inside);
        Self { runtime, brokers, alone }
    }

    /// Runs on a thread in the hub, also what connects anew.
    fn ask<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> T {
        let task = self.runtime.spawn(call);
        self.runtime.block_on(task).unwrap()
    }

    /// A message to a partition through the gateway of a broker.
    pub(crate) fn publish(&self, broker: usize, to: PartitionId) -> Result<(), GatewayError> {
        let gateway = self.brokers[broker].clone();
        let key = self.ask(async move { gateway.publish(&message(to), CALL).await })?;
        assert_eq!(key.partition(), Some(to));
        Ok(())
    }

    pub(crate) fn wait_failure(&self, broker: usize, to: PartitionId, limit: Duration) {
        let began = Instant::now();
        while self.publish(broker, to).is_ok() {
            assert!(began.elapsed() < limit, "broker {broker} goes on reaching partition {to}");
        }
    }

    pub(crate) fn wait_success(&self, broker: usize, to: PartitionId, limit: Duration) {
        let began = Instant::now();
        while let Err(error) = self.publish(broker, to) {
            assert!(
                began.elapsed() < limit,
                "broker {broker} does not reach partition {to}: {error}"
            );
        }
    }

    /// An instance of the last version of a process.
    pub(crate) fn create(&self, process: &str) -> Key {
        let (process, variables) = (process.to_owned(), String::new());
        let instance = NewInstance { process, version: Version::Latest, variables };
        let gateway = self.alone.clone();
        self.ask(async move { gateway.create(&instance, CALL).await }).unwrap().key
    }

    /// Ends an instance.
    pub(crate) fn cancel(&self, instance: Key) -> Result<(), GatewayError> {
        let gateway = self.alone.clone();
        self.ask(async move { gateway.cancel(instance, CALL).await })
    }

    /// Deploys another edition, which becomes this version.
    pub(crate) fn deploy(&self, edition: u32) {
        let gateway = self.alone.clone();
        let resources = vec![process("partition", Middle::Nothing, edition)];
        let deployed = self.ask(async move { gateway.deploy(resources, CALL).await }).unwrap();
        assert_eq!(deployed[0].version, i32::try_from(edition).unwrap());
    }

    /// The partitions that know a version, of one round.
    pub(crate) fn found(&self, version: i32) -> BTreeSet<PartitionId> {
        let (process, variables) = ("partition".to_owned(), String::new());
        let instance = NewInstance { process, version: Version::Number(version), variables };
        let mut found = BTreeSet::new();
        for _ in 0..ROUND {
            let (gateway, instance) = (self.alone.clone(), instance.clone());
            let created = self.ask(async move { gateway.create(&instance, CALL).await });
            match created {
                Ok(created) => found.extend(created.key.partition()),
                Err(GatewayError::NotFound(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        found
    }

    /// Waits until these partitions know a version.
    pub(crate) fn wait_on(&self, version: i32, wanted: &BTreeSet<PartitionId>, limit: Duration) {
        let began = Instant::now();
        let mut found = BTreeSet::new();
        while !found.is_superset(wanted) {
            assert!(began.elapsed() < limit, "version {version} is on {found:?} only");
            found.extend(self.found(version));
        }
    }

    pub(crate) fn wait_everywhere(&self, version: i32, limit: Duration) {
        self.wait_on(version, &PartitionId::first(3).collect(), limit);
    }
}
