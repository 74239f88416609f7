//! A store in a cluster: each record is a custom resource, and all of them are in memory, too.
//!
//! Only who leads writes, so what is in memory is what there is, and each write is one call: a creation, or a patch
//! of the object in the very state that is known. Whoever has led before and does not know yet that it is over fails
//! at the first record that was written since.

mod resource;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cluster::{
    ApiError, Cause, Client, Held, Name, Namespace, Precondition, Reason, Resource as _, Selection,
    Within,
};
use serde_json::json;
use tokio::sync::watch;

pub use self::resource::definition;
use self::resource::{RecordObject, Spec};
use super::{
    Attempted, Change, ChangesError, Expected, Key, Kind, Pending, PutError, Record, Revision,
    Store, StoreError, TOMBSTONES, state::State,
};

/// The largest value (1 MiB): in base64, with what stands around it, etcd takes it.
const LARGEST: usize = 1 << 20;

/// Records in a namespace of a cluster.
pub struct Objects {
    client: Client,
    within: Within,
    /// Whether it may write; always where nobody else could.
    held: Option<Held>,
    tombstones: u64,
    known: Mutex<Known>,
    /// One write at a time.
    writing: tokio::sync::Mutex<Certainty>,
    latest: watch::Sender<Revision>,
}

/// What there is, as far as it is known.
#[derive(Debug, Default)]
struct Known {
    state: State,
    /// In which state each object is.
    versions: BTreeMap<Key, String>,
}

/// Whether what is known is what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certainty {
    Certain,
    /// A write has failed, and nobody knows what became of it.
    Doubtful,
}

impl Objects {
    /// Reads all records of a namespace.
    ///
    /// # Errors
    /// The API server does not tell, or what it tells makes no sense.
    pub async fn open(
        client: Client,
        namespace: Namespace,
        held: Option<Held>,
    ) -> Result<Self, StoreError> {
        Self::keeping(client, namespace, held, TOMBSTONES).await
    }

    /// The same, where so many deletions are remembered.
    async fn keeping(
        client: Client,
        namespace: Namespace,
        held: Option<Held>,
        tombstones: u64,
    ) -> Result<Self, StoreError> {
        let store = Self {
            client,
            within: Within::Namespace(namespace),
            held,
            tombstones,
            known: Mutex::default(),
            writing: tokio::sync::Mutex::new(Certainty::Certain),
            latest: watch::Sender::new(Revision(0)),
        };
        store.read(Attempted::Open).await?;
        Ok(store)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads everything anew.
    async fn read(&self, attempted: Attempted) -> Result<(), StoreError> {
        let failed = |error| StoreError::Cluster { attempted, error };
        let all = self.client.list::<RecordObject>(&self.within, &Selection::default()).await;
        let all = all.map_err(failed)?.items;
        let (mut known, mut compacted) = (Known::default(), 0);
        for object in &all {
            let (key, value) = object.read().map_err(|reason| {
                let name = &object.metadata.name;
                StoreError::Damaged { attempted, reason: format!("{name}: {reason}") }
            })?;
            compacted = compacted.max(object.spec.compacted);
            known.versions.insert(key.clone(), object.metadata.resource_version.clone());
            known.state.restore(key, object.spec.revision, value);
        }
        let forgotten = known.state.compact(compacted);
        let revision = known.state.revision();
        *self.known() = known;
        self.latest.send_replace(revision);
        self.forget(&forgotten).await;
        Ok(())
    }

    async fn write(
        &self,
        key: Key,
        expected: Expected,
        value: Option<Vec<u8>>,
    ) -> Result<Revision, PutError> {
        if let Some(size) = value.as_ref().map(Vec::len).filter(|size| *size > LARGEST) {
            return Err(StoreError::TooLarge { key, size, most: LARGEST }.into());
        }
        let mut certainty = self.writing.lock().await;
        if self.held.as_ref().is_some_and(|held| !held.now()) {
            return Err(StoreError::Superseded(Attempted::Write).into());
        }
        if *certainty == Certainty::Doubtful {
            self.read(Attempted::Write).await?;
            *certainty = Certainty::Certain;
        }
        let (spec, version) = {
            let known = self.known();
            expected.of(known.state.found(&key))?;
            let compacted = known.state.compacted_after(&key, value.is_none(), self.tombstones);
            let revision = known.state.revision().0 + 1;
            let spec = Spec::of(&key, revision, compacted, value.as_deref());
            (spec, known.versions.get(&key).cloned())
        };
        // Before it is certain: a call that is dropped has perhaps done its work.
        *certainty = Certainty::Doubtful;
        let written = match self.send(&key, spec, version).await {
            Ok(written) => written,
            Err(error) => {
                let nothing_was_done = matches!(
                    &error.cause,
                    Cause::Refused { code: 400..=499, .. }
                        | Cause::Connect { .. }
                        | Cause::Tls { .. }
                );
                let others = matches!(
                    error.reason(),
                    Some(Reason::Conflict | Reason::AlreadyExists | Reason::NotFound)
                );
                if nothing_was_done && !others {
                    *certainty = Certainty::Certain;
                }
                return Err(match others {
                    true => StoreError::Superseded(Attempted::Write),
                    false => StoreError::Cluster { attempted: Attempted::Write, error },
                }
                .into());
            }
        };
        *certainty = Certainty::Certain;
        let (revision, forgotten) = {
            let mut known = self.known();
            known.versions.insert(key.clone(), written);
            let (revision, forgotten) = known.state.write(key, value, self.tombstones);
            // Under the lock, so that nobody is told an older revision after a newer one.
            self.latest.send_replace(revision);
            (revision, forgotten)
        };
        self.forget(&forgotten).await;
        Ok(revision)
    }

    /// The state of the object that was written.
    async fn send(
        &self,
        key: &Key,
        spec: Spec,
        version: Option<String>,
    ) -> Result<String, ApiError> {
        let name = resource::name(key);
        let written = match version {
            None => {
                let object = RecordObject::new(&name, spec);
                self.client.create(&self.within, &object).await?
            }
            Some(version) => {
                let patch = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
                self.client.merge::<RecordObject>(&self.within, &named(&name), &patch).await?
            }
        };
        Ok(written.metadata().resource_version.clone())
    }

    /// Removes the objects of what is forgotten. One that stays is removed by the next life.
    async fn forget(&self, forgotten: &[Key]) {
        for key in forgotten {
            let version = self.known().versions.remove(key);
            let precondition = Precondition { uid: None, resource_version: version };
            let name = named(&resource::name(key));
            let gone = self.client.delete::<RecordObject>(&self.within, &name, &precondition).await;
            if let Err(error) = gone {
                tracing::debug!(%key, %error, "a record that is forgotten stays for now");
            }
        }
    }
}

fn named(name: &str) -> Name {
    name.parse().unwrap_or_else(|_| unreachable!("made of what a name may have"))
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("within", &self.within).finish_non_exhaustive()
    }
}

impl Store for Objects {
    fn get(&self, key: Key) -> Pending<'_, Result<Option<Record>, StoreError>> {
        Box::pin(ready(Ok(self.known().state.get(key))))
    }

    fn list(&self, kind: Kind) -> Pending<'_, Result<(Revision, Vec<Record>), StoreError>> {
        Box::pin(ready(Ok(self.known().state.list(kind))))
    }

    fn put(
        &self,
        key: Key,
        expected: Expected,
        value: Vec<u8>,
    ) -> Pending<'_, Result<Revision, PutError>> {
        Box::pin(self.write(key, expected, Some(value)))
    }

    fn delete(&self, key: Key, at: Revision) -> Pending<'_, Result<Revision, PutError>> {
        Box::pin(self.write(key, Expected::At(at), None))
    }

    fn changes_since(&self, since: Revision) -> Pending<'_, Result<Vec<Change>, ChangesError>> {
        Box::pin(ready(self.known().state.changes_since(since)))
    }

    fn watch(&self) -> watch::Receiver<Revision> {
        self.latest.subscribe()
    }
}
