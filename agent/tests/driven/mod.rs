//! An agent in this process, driven as its server drives it.

use std::time::Duration;

use agent::worker::{Agent, AgentError, Earnest};
use fault::{Fault, FaultId, Status};

/// What tests ask of an agent.
pub(crate) struct Driven(pub(crate) Agent);

impl Driven {
    pub(crate) async fn try_begin(&self, fault: Fault) -> Result<Status, AgentError> {
        let id = fault.id;
        self.0.prepare(vec![fault], Earnest::Real, None).await?;
        Ok(self.0.commit(vec![id], None, None).await?.pop().unwrap())
    }

    pub(crate) async fn begin(&self, fault: Fault) -> Status {
        self.try_begin(fault).await.unwrap()
    }

    pub(crate) async fn heal(&self, id: FaultId) -> Status {
        self.0.heal(vec![id]).await.unwrap().pop().unwrap()
    }

    pub(crate) async fn status(&self, id: FaultId) -> Status {
        let all = self.0.list().await.unwrap();
        all.into_iter().find(|status| status.fault.id == id).unwrap()
    }

    /// Waits for a status that is as wished, for at most 10 s.
    pub(crate) async fn until(&self, id: FaultId, wished: impl Fn(&Status) -> bool) -> Status {
        let mut transitions = self.0.transitions();
        let waited = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                let status = self.status(id).await;
                if wished(&status) {
                    return status;
                }
                // A transition, or a look every 100 ms: not all that changes is a transition.
                let _ = tokio::time::timeout(Duration::from_millis(100), transitions.recv()).await;
            }
        });
        match waited.await {
            Ok(status) => status,
            Err(_) => panic!("not as wished within 10 s: {:?}", self.status(id).await),
        }
    }
}
