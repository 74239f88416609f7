//! All objects of a kind, as the events of a watch leave them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster::{Event, Pulse, Resource};
use tokio::sync::broadcast::{self, error::RecvError};

/// How many changes whoever is told of them may be behind; then all are looked at.
const BACKLOG: usize = 256;

/// An object that is kept without what nobody asks for.
pub(in crate::provider::kubernetes) trait Slim:
    Resource + Sync
{
    /// The same without that.
    fn slim(self) -> Self;
}

/// Where an object is: its namespace, empty where it has none, and its name.
pub(in crate::provider::kubernetes) type Place = (String, String);

/// What has changed.
#[derive(Clone, Debug)]
pub(in crate::provider::kubernetes) enum Moved {
    /// What is here.
    One(Arc<Place>),
    /// Anything.
    All,
}

#[derive(Debug)]
pub(in crate::provider::kubernetes) struct Shelf<R> {
    kept: Mutex<Kept<R>>,
    pulse: Pulse,
    moved: broadcast::Sender<Moved>,
}

#[derive(Debug)]
struct Kept<R> {
    objects: BTreeMap<Place, Arc<R>>,
    is_listed: bool,
}

impl<R: Slim> Shelf<R> {
    pub(in crate::provider::kubernetes) fn new(pulse: Pulse) -> Self {
        let kept = Mutex::new(Kept { objects: BTreeMap::new(), is_listed: false });
        Self { kept, pulse, moved: broadcast::Sender::new(BACKLOG) }
    }

    pub(super) fn is_current(&self) -> bool {
        self.pulse.is_current() && self.kept().is_listed
    }

    /// Takes in what is told; of each object that is kept whole.
    pub(in crate::provider::kubernetes) fn take(&self, event: Event<R>) {
        let moved = match event {
            Event::Listed(all) => {
                let all = all.into_iter().map(|one| (place(&one), Arc::new(one)));
                let objects = all.collect();
                *self.kept() = Kept { objects, is_listed: true };
                Moved::All
            }
            Event::Applied(one) => {
                let place = place(&one);
                self.kept().objects.insert(place.clone(), Arc::new(one));
                Moved::One(Arc::new(place))
            }
            Event::Deleted(one) => {
                let place = place(&one);
                self.kept().objects.remove(&place);
                Moved::One(Arc::new(place))
            }
            // It stays what it was, and nobody believes it.
            Event::Trouble(_) => return,
        };
        // Nobody may be listening.
        let _ = self.moved.send(moved);
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<R>> {
        self.kept().objects.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Those of a namespace, by their names.
    pub(super) fn within(&self, namespace: &str) -> Vec<Arc<R>> {
        let kept = self.kept();
        let from = kept.objects.range((namespace.to_owned(), String::new())..);
        from.take_while(|((of, _), _)| of == namespace).map(|(_, one)| Arc::clone(one)).collect()
    }

    pub(super) fn all(&self) -> Vec<Arc<R>> {
        self.kept().objects.values().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept<R>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells which objects have changed.
#[derive(Debug)]
pub(in crate::provider::kubernetes) struct Subscription<R> {
    shelf: Arc<Shelf<R>>,
    moved: broadcast::Receiver<Moved>,
}

impl<R: Slim> Subscription<R> {
    pub(in crate::provider::kubernetes) fn of(shelf: &Arc<Shelf<R>>) -> Self {
        Self { shelf: Arc::clone(shelf), moved: shelf.moved.subscribe() }
    }

    /// Waits until something has changed. A call that is dropped loses nothing.
    pub(in crate::provider::kubernetes) async fn moved(&mut self) -> Moved {
        match self.moved.recv().await {
            Ok(moved) => moved,
            Err(RecvError::Lagged(_)) => Moved::All,
            // The shelf has the sender.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Whether what is there now is how things are, or were moments ago.
    pub(in crate::provider::kubernetes) fn is_current(&self) -> bool {
        self.shelf.is_current()
    }

    /// What is there now.
    pub(in crate::provider::kubernetes) fn get(&self, (namespace, name): &Place) -> Option<Arc<R>> {
        self.shelf.get(namespace, name)
    }

    /// All of a namespace, by their names.
    pub(in crate::provider::kubernetes) fn within(&self, namespace: &str) -> Vec<Arc<R>> {
        self.shelf.within(namespace)
    }
}

fn place<R: Resource>(object: &R) -> Place {
    let metadata = object.metadata();
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone())
}
