//! One loaded instance kept ready: the verifier takes most of the time that a first cut on a target
//! takes, and need not be waited for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::KernelError;
use super::instance::Instance;

/// The place of the spare; clones share it.
#[derive(Clone, Default)]
pub(super) struct Spare(Arc<Shelf>);

#[derive(Default)]
struct Shelf {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    /// None is kept: nobody asked for one, or it could not be loaded.
    #[default]
    Unkept,
    /// It is on its way, and nobody waits for it.
    Loading,
    /// It is on its way to somebody.
    Claimed,
    /// It is there.
    Ready(Box<Instance>),
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spare {
    /// Begins to keep one, and loads it in the background.
    pub(super) fn keep(&self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Unkept) {
            *state = self.begin();
        }
    }

    /// The spare, of which the next one is loaded meanwhile; another one where it is not to be had sooner.
    ///
    /// # Errors
    /// Nothing is kept, and the kernel refuses to load one now.
    pub(super) fn take(&self) -> Result<Instance, KernelError> {
        let mut state = self.0.lock();
        if matches!(*state, State::Loading) {
            *state = State::Claimed;
            let claimed = |state: &mut State| matches!(state, State::Claimed);
            let waited = self.0.changed.wait_while(state, claimed);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        match std::mem::take(&mut *state) {
            State::Ready(instance) => {
                *state = self.begin();
                Ok(*instance)
            }
            other @ (State::Unkept | State::Loading | State::Claimed) => {
                *state = other;
                drop(state);
                Instance::load()
            }
        }
    }

    /// What is to be done for the state to become `Ready`, is begun.
    fn begin(&self) -> State {
        let spare = self.clone();
        let load = move || {
            let loaded = Instance::load();
            *spare.0.lock() = match loaded {
                Ok(instance) => State::Ready(Box::new(instance)),
                Err(error) => {
                    tracing::warn!(%error, "no spare: each first cut on a target loads its own");
                    State::Unkept
                }
            };
            spare.0.changed.notify_all();
        };
        match thread::Builder::new().name("schism-spare".into()).spawn(load) {
            Ok(_) => State::Loading,
            Err(_) => State::Unkept,
        }
    }
}
