//! The places for runs that go on at once, and who has them.

use fault::IntentId;
use prost::bytes::Bytes;
use proto::control as wire;
use tokio::sync::mpsc;

use super::driving::Word;
use super::{AT_ONCE, Runs, RunsError, SHARE};

/// A run that goes on.
pub(super) struct Living {
    pub(super) words: mpsc::Sender<Word>,
    /// By what the same request is known.
    pub(super) kept: Bytes,
    /// Which object asks for it, if one does.
    object: Option<wire::Object>,
}

impl Living {
    /// One that is about to go on, told by these.
    pub(super) fn of(run: &wire::Run, words: mpsc::Sender<Word>) -> Self {
        Self { words, kept: run.kept.clone(), object: run.object.clone() }
    }

    /// Whether an object of that namespace asks for it.
    fn is_of(&self, namespace: &str) -> bool {
        self.object.as_ref().is_some_and(|object| object.namespace == namespace)
    }
}

/// Whether a run begins, or is taken over: what is owed waits for nobody's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Begins,
    TakenOver,
}

/// A place among those that go on, which is given back with this.
pub(super) struct Place {
    runs: Runs,
    id: IntentId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.runs.leave(self.id);
    }
}

impl Runs {
    /// Keeps a place among those that go on.
    pub(super) fn admit(
        &self,
        run: &wire::Run,
        entry: Entry,
    ) -> Result<(Place, mpsc::Receiver<Word>), RunsError> {
        let id = IntentId::from_random(run.id);
        let (words, inbox) = mpsc::channel(16);
        let mut living = self.living();
        if living.contains_key(&id) {
            return Err(RunsError::GoesOn(id));
        }
        if living.len() >= AT_ONCE {
            return Err(RunsError::Busy);
        }
        let object = run.object.as_ref().filter(|object| !object.namespace.is_empty());
        if let (Entry::Begins, Some(wire::Object { namespace, .. })) = (entry, object) {
            let own = living.values().filter(|one| one.is_of(namespace)).count();
            if own >= SHARE {
                return Err(RunsError::Share(namespace.clone()));
            }
        }
        living.insert(id, Living::of(run, words));
        Ok((Place { runs: self.clone(), id }, inbox))
    }

    /// Which runs go on, for who waits for one of them to end: by name those that objects of the same namespace ask for,
    /// since others may be nobody's business there.
    pub(crate) fn taken_by(&self, namespace: &str) -> String {
        let living = self.living();
        let own = living.values().filter(|one| one.is_of(namespace));
        let mut own: Vec<&str> =
            own.filter_map(|one| one.object.as_ref()).map(|object| object.name.as_str()).collect();
        own.sort_unstable();
        match own.as_slice() {
            [] => "none of them here".to_owned(),
            own => format!("of them here {}", own.join(", ")),
        }
    }
}
