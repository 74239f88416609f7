//! One loaded instance kept ready: the verifier takes most of the time that a first cut on a target
//! takes, and need not be waited for.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::KernelError;

/// How long to wait for a spare that is on its way. A load takes 0.1 s of a core.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the next one is put off. Whoever took one is about to put in a fault: a load beside that takes its
/// processor, and holds up the grace periods of RCU that a link waits for.
const AFTERWARDS: Duration = Duration::from_millis(100);
/// What it means that none could be loaded.
const WITHOUT: &str = "no spare: each first cut on a target loads its own until one succeeds";

/// The place of the spare; clones share it.
pub(super) struct Spare<T>(Arc<Shelf<T>>);

struct Shelf<T> {
    load: Box<dyn Fn() -> Result<T, KernelError> + Send + Sync>,
    state: Mutex<State<T>>,
    changed: Condvar,
}

enum State<T> {
    /// Nobody asked for one.
    Unkept,
    /// It is wanted, but could not be loaded.
    Lacking,
    /// It is on its way, and nobody waits for it.
    Loading,
    /// It is on its way to somebody.
    Claimed,
    /// It is there.
    Ready(Box<T>),
}

impl<T> Shelf<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A load under way. However it ends, whoever waits is told.
struct Loading<T> {
    shelf: Arc<Shelf<T>>,
    /// What it came to.
    end: State<T>,
}

impl<T> Drop for Loading<T> {
    fn drop(&mut self) {
        *self.shelf.lock() = mem::replace(&mut self.end, State::Lacking);
        self.shelf.changed.notify_all();
    }
}

impl<T: Send + 'static> Spare<T> {
    /// Keeps none yet.
    pub(super) fn new(load: impl Fn() -> Result<T, KernelError> + Send + Sync + 'static) -> Self {
        let (load, state) = (Box::new(load), Mutex::new(State::Unkept));
        Self(Arc::new(Shelf { load, state, changed: Condvar::new() }))
    }

    /// Begins to keep one, and loads it in the background.
    pub(super) fn keep(&self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Unkept) {
            *state = self.begin(Duration::ZERO);
        }
    }

    /// The spare, of which the next one is loaded a little later, or as soon as somebody asks for it; another one
    /// where it is not to be had sooner.
    ///
    /// # Errors
    /// There is no spare, and the kernel refuses to load one now.
    pub(super) fn take(&self) -> Result<T, KernelError> {
        self.take_within(PATIENCE)
    }

    fn take_within(&self, patience: Duration) -> Result<T, KernelError> {
        let mut state = self.0.lock();
        if matches!(*state, State::Loading) {
            *state = State::Claimed;
            self.0.changed.notify_all();
            let claimed = |state: &mut State<T>| matches!(state, State::Claimed);
            let waited = self.0.changed.wait_timeout_while(state, patience, claimed);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if matches!(*state, State::Claimed) {
                // Whoever comes next may wait for it.
                *state = State::Loading;
            }
        }
        match mem::replace(&mut *state, State::Lacking) {
            State::Ready(instance) => {
                *state = self.begin(AFTERWARDS);
                return Ok(*instance);
            }
            other @ (State::Unkept | State::Lacking | State::Loading | State::Claimed) => {
                *state = other;
            }
        }
        drop(state);
        let instance = (self.0.load)()?;
        let mut state = self.0.lock();
        if matches!(*state, State::Lacking) {
            // What kept it from being loaded is over.
            *state = self.begin(AFTERWARDS);
        }
        Ok(instance)
    }

    /// What is to be done for the state to become `Ready`, is begun: after a pause, unless somebody waits for it.
    fn begin(&self, pause: Duration) -> State<T> {
        let shelf = Arc::clone(&self.0);
        let load = move || {
            let mut loading = Loading { shelf, end: State::Lacking };
            let unclaimed = |state: &mut State<T>| matches!(state, State::Loading);
            drop(loading.shelf.changed.wait_timeout_while(loading.shelf.lock(), pause, unclaimed));
            match (loading.shelf.load)() {
                Ok(instance) => loading.end = State::Ready(Box::new(instance)),
                Err(error) => tracing::warn!(%error, "{WITHOUT}"),
            }
        };
        match thread::Builder::new().name("schism-spare".into()).spawn(load) {
            Ok(_) => State::Loading,
            Err(error) => {
                tracing::warn!(%error, "{WITHOUT}");
                State::Lacking
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    /// What the next loads come to, in their order.
    type Fates = mpsc::Sender<fn() -> Result<u32, KernelError>>;

    /// A spare whose loads wait for their fate.
    fn spare() -> (Spare<u32>, Fates) {
        let (fates, next) = mpsc::channel::<fn() -> Result<u32, KernelError>>();
        let next = Mutex::new(next);
        let load = move || {
            let fate = next.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap();
            fate()
        };
        (Spare::new(load), fates)
    }

    fn fails() -> Result<u32, KernelError> {
        Err(KernelError::Answer("no memory".to_owned()))
    }

    /// Waits until the load in the background has come to something.
    fn settled(spare: &Spare<u32>) -> MutexGuard<'_, State<u32>> {
        let state = spare.0.lock();
        let loads = |state: &mut State<u32>| matches!(state, State::Loading);
        let limit = Duration::from_secs(5);
        let (state, waited) = spare.0.changed.wait_timeout_while(state, limit, loads).unwrap();
        assert!(!waited.timed_out(), "the load does not end");
        state
    }

    #[test]
    fn a_spare_is_taken_and_replaced() {
        let (spare, fates) = spare();
        spare.keep();
        fates.send(|| Ok(1)).unwrap();
        assert_eq!(spare.take().unwrap(), 1);
        fates.send(|| Ok(2)).unwrap();
        assert!(matches!(*settled(&spare), State::Ready(_)));
        assert_eq!(spare.take().unwrap(), 2);
        fates.send(|| Ok(3)).unwrap();
    }

    #[test]
    fn without_being_asked_none_is_kept() {
        let (spare, fates) = spare();
        fates.send(|| Ok(1)).unwrap();
        assert_eq!(spare.take().unwrap(), 1);
        assert!(matches!(*spare.0.lock(), State::Unkept));
    }

    #[test]
    fn a_load_that_fails_is_tried_again_after_one_that_succeeds() {
        let (spare, fates) = spare();
        spare.keep();
        fates.send(fails).unwrap();
        assert!(matches!(*settled(&spare), State::Lacking));
        fates.send(fails).unwrap();
        assert!(spare.take().is_err());
        assert!(matches!(*spare.0.lock(), State::Lacking));
        fates.send(|| Ok(1)).unwrap();
        assert_eq!(spare.take().unwrap(), 1);
        fates.send(|| Ok(2)).unwrap();
        assert!(matches!(*settled(&spare), State::Ready(_)));
    }

    #[test]
    fn a_load_that_panics_keeps_nobody_waiting() {
        let (spare, fates) = spare();
        spare.keep();
        fates.send(|| panic!("as planned")).unwrap();
        fates.send(|| Ok(1)).unwrap();
        let began = Instant::now();
        assert_eq!(spare.take_within(Duration::from_secs(60)).unwrap(), 1);
        assert!(began.elapsed() < Duration::from_secs(5));
        fates.send(|| Ok(2)).unwrap();
        assert!(matches!(*settled(&spare), State::Ready(_)));
    }

    #[test]
    fn a_load_that_hangs_is_not_waited_for() {
        let (release, released) = mpsc::channel::<u32>();
        let (begun, background) = mpsc::channel::<()>();
        let released = Mutex::new(Some(released));
        let spare = Spare::new(move || {
            let held = released.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(released) = held else { return Ok(2) };
            begun.send(()).unwrap();
            Ok(released.recv().unwrap())
        });
        spare.keep();
        background.recv().unwrap();
        assert_eq!(spare.take_within(Duration::from_millis(10)).unwrap(), 2);
        assert!(matches!(*spare.0.lock(), State::Loading));
        release.send(1).unwrap();
        assert_eq!(spare.take().unwrap(), 1);
    }
}
