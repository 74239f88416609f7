//! Disruptions as the driver keeps them. It alone writes to the store, so that each write is told in its turn.

use std::collections::{BTreeMap, BTreeSet};

use fault::{Fault, IntentId, NodeName};
use prost::Message as _;
use proto::control as wire;
use proto::control::event::Kind as Told;
use tokio::sync::oneshot;

use super::Driver;
use super::unheard::{disrupts_same, put_new};
use crate::admit::Guards;
use crate::control::handle::ControlError;
use crate::control::intent::RecordError;
use crate::disruption::is_over;
use crate::metrics::Written;
use crate::provider::kubernetes::PodName;
use crate::store::{Expected, Key, Kind, PutError, Revision, Store};

/// Those that are kept after they have ended.
const KEPT: usize = 100;

/// What is asked about disruptions.
pub(in crate::control) enum DisruptionWord {
    /// To ask the guards once more, and to write one down that nobody knows yet.
    New { asked: Box<Asked>, reply: oneshot::Sender<Result<wire::Disruption, ControlError>> },
    /// To write down what it has become. Answered: the same, with its revision.
    Changed { disruption: Box<wire::Disruption>, reply: oneshot::Sender<wire::Disruption> },
    /// One of them.
    Find { id: IntentId, reply: oneshot::Sender<Option<wire::Disruption>> },
}

/// One that is to be begun.
#[derive(Clone, Debug)]
pub(in crate::control) struct Asked {
    pub(in crate::control) disruption: wire::Disruption,
    pub(in crate::control) down: Down,
    /// None of what a node bears already, whoever has asked for it.
    pub(in crate::control) guards: Option<Guards>,
}

/// Who is down by it, for the guards of what else is asked for while it is under way.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct Down {
    /// As if their processes were killed.
    pub(in crate::control) faults: Vec<(NodeName, Fault)>,
    pub(in crate::control) pods: BTreeSet<PodName>,
}

/// One that is kept.
#[derive(Clone, Debug)]
pub(in crate::control) struct Held {
    pub(in crate::control) disruption: wire::Disruption,
    pub(in crate::control) down: Down,
}

/// All that are kept.
pub(in crate::control) type Disruptions = BTreeMap<IntentId, Held>;

/// What an earlier life has written down.
pub(super) async fn stored(store: &dyn Store) -> Result<Disruptions, ControlError> {
    let (_, records) = store.list(Kind::Disruption).await?;
    let mut all = Disruptions::new();
    for record in records {
        match decoded(&record.value, record.revision.0) {
            Ok(disruption) => {
                let held = Held { disruption, down: Down::default() };
                all.insert(IntentId::from_random(held.disruption.id), held);
            }
            // What it has done to a node stands there, too, and is undone by that.
            Err(error) => tracing::error!(key = ?record.key, %error, "a disruption is left aside"),
        }
    }
    Ok(all)
}

/// A stored one as it is told.
pub(in crate::control) fn decoded(
    value: &[u8],
    revision: u64,
) -> Result<wire::Disruption, RecordError> {
    Ok(wire::Disruption { revision, ..wire::Disruption::decode(value)? })
}

impl Driver {
    /// Those that are kept.
    pub(in crate::control) fn disruptions(&self) -> Vec<wire::Disruption> {
        self.disruptions.values().map(|held| held.disruption.clone()).collect()
    }

    /// Those by which pods may be going right now.
    pub(super) fn under_way(&self) -> impl Iterator<Item = &Held> {
        let is_under_way =
            |held: &&Held| held.disruption.stage() == wire::DisruptionStage::UnderWay;
        self.disruptions.values().filter(is_under_way)
    }

    pub(super) async fn about_disruption(&mut self, word: DisruptionWord) {
        match word {
            DisruptionWord::New { asked, reply } => {
                let written = self.begin_disruption(*asked).await;
                // Who asked may be gone: it is there for the next life then.
                let _ = reply.send(written);
                self.forget_disruptions().await;
            }
            DisruptionWord::Changed { disruption, reply } => {
                let id = IntentId::from_random(disruption.id);
                let down = self.disruptions.remove(&id).map(|held| held.down);
                let down = down.unwrap_or_default();
                // It is told all the same, and the next write has it, too.
                let held = Held { disruption: *disruption, down };
                let (written, _) = self.write_disruption(held, Expected::Any).await;
                let _ = reply.send(written);
            }
            DisruptionWord::Find { id, reply } => {
                let found = self.disruptions.get(&id).map(|held| held.disruption.clone());
                let _ = reply.send(found);
            }
        }
    }

    async fn begin_disruption(&mut self, asked: Asked) -> Result<wire::Disruption, ControlError> {
        let Asked { disruption, down, guards } = asked;
        let id = IntentId::from_random(disruption.id);
        let is_taken = self.disruptions.contains_key(&id)
            || self.intents.contains_key(&id)
            || self.runs.contains_key(&id);
        if is_taken {
            return Err(ControlError::Conflict(id));
        }
        if let Some(guards) = guards {
            let halted = self.brake.borrow().clone();
            if let Some(reason) = halted {
                return Err(ControlError::Halted(reason));
            }
            guards.admit(&down.faults, &self.acting())?;
        }
        let (written, result) =
            self.write_disruption(Held { disruption, down }, Expected::Never).await;
        match result {
            Ok(()) => Ok(written),
            Err(PutError::Conflict { .. }) => Err(ControlError::Conflict(id)),
            Err(PutError::Gone) => Err(ControlError::Forgotten(id)),
            Err(PutError::Store(error)) => Err(error.into()),
        }
    }

    /// Stores one and tells it; what is new and could not be stored is not there.
    async fn write_disruption(
        &mut self,
        held: Held,
        expected: Expected,
    ) -> (wire::Disruption, Result<(), PutError>) {
        let Held { mut disruption, down } = held;
        let id = IntentId::from_random(disruption.id);
        // The store knows it.
        let record = wire::Disruption { revision: 0, ..disruption.clone() }.encode_to_vec();
        let key = Key::disruption(id);
        let put = match expected {
            Expected::Never => {
                let same = |there: &[u8]| disrupts_same(there, &disruption);
                put_new(self.store.as_ref(), key, record, same).await
            }
            Expected::Absent | Expected::At(_) | Expected::Any => {
                self.store.put(key, expected, record).await
            }
        };
        let result = match put {
            Ok(revision) => {
                self.revision = revision.0;
                disruption.revision = revision.0;
                Ok(())
            }
            // Its record is the one before, and is forgotten at that revision.
            Err(error) => {
                if matches!(error, PutError::Store(_)) {
                    self.tally.failed(Written::Store);
                }
                if expected == Expected::Never {
                    return (disruption, Err(error));
                }
                tracing::error!(disruption = %id, %error, "not stored");
                Err(error)
            }
        };
        self.disruptions.insert(id, Held { disruption: disruption.clone(), down });
        self.say(Told::Disruption(disruption.clone()));
        (disruption, result)
    }

    /// Lets go of the oldest that have ended.
    async fn forget_disruptions(&mut self) {
        let all = self.disruptions.iter().map(|(id, held)| (*id, &held.disruption));
        let ended = all.filter(|(_, one)| is_over(one));
        let mut ended: Vec<(u64, IntentId, u64)> =
            ended.map(|(id, one)| (one.asked, id, one.revision)).collect();
        ended.sort_unstable();
        ended.truncate(ended.len().saturating_sub(KEPT));
        for (_, id, at) in ended {
            match self.store.delete(Key::disruption(id), Revision(at)).await {
                Ok(revision) => {
                    self.revision = revision.0;
                    self.disruptions.remove(&id);
                    self.say(Told::ForgottenDisruption(wire::Forgotten { id: id.get() }));
                }
                // It stays until the next one begins.
                Err(error) => return tracing::warn!(disruption = %id, %error, "not forgotten"),
            }
        }
    }
}
