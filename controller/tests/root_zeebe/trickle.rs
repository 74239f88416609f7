//! A little work for partitions, all the time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{task::JoinHandle, time::interval};

use crate::{
    gateways::{Gateways, message},
    partition,
};

/// Between two messages to one partition.
const EVERY: Duration = Duration::from_millis(400);

/// How long a message may take.
const CALL: Duration = Duration::from_secs(4);

/// Publishes until it is dropped.
pub(crate) struct Trickle {
    failures: Arc<Mutex<Vec<String>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Trickle {
    pub(crate) fn start(gateways: &Gateways, partitions: &[u32]) -> Self {
        let failures = Arc::new(Mutex::new(Vec::new()));
        let task = |number: &u32| {
            let (gateway, to) = (gateways.alone.clone(), partition(*number));
            let failures = Arc::clone(&failures);
            gateways.runtime.spawn(async move {
                let mut pace = interval(EVERY);
                loop {
                    pace.tick().await;
                    if let Err(error) = gateway.publish(&message(to), CALL).await {
                        failures.lock().unwrap().push(format!("partition {to}: {error}"));
                    }
                }
            })
        };
        let tasks = partitions.iter().map(task).collect();
        Self { failures, tasks }
    }

    /// What failed so far.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }
}

impl Drop for Trickle {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
