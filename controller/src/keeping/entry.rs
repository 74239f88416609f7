//! An object that is kept, and how far things are with it.

use cluster::ApiError;

use super::decision::{Attempt, Ending, Standing};
use super::{ObjectOf, Pair};
use crate::link::nanos;
use crate::pause;

/// One of them.
pub(crate) struct Entry<K: Pair> {
    pub(crate) object: ObjectOf<K>,
    pub(crate) attempt: Attempt,
    pub(super) ending: Ending,
    /// What was last said of it here; `None` before.
    said: Option<K::Status>,
    /// When, Unix time, ns; 0 for never.
    told: u64,
    call: Call,
    /// How many calls in a row have failed.
    failures: u32,
    /// Nothing is tried before (Unix time, ns).
    pause: u64,
}

/// Whether a call for it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    None,
    UnderWay,
}

impl<K: Pair> Entry<K> {
    /// One that is new here.
    pub(super) fn new(object: ObjectOf<K>) -> Self {
        Self {
            object,
            attempt: Attempt::default(),
            ending: Ending::default(),
            said: None,
            told: 0,
            call: Call::None,
            failures: 0,
            pause: 0,
        }
    }

    /// Whether it is this one, and not another one of its name.
    pub(super) fn is_of(&self, uid: &str) -> bool {
        self.object.metadata.uid == uid
    }

    /// What was last said of it.
    pub(crate) fn said(&self) -> &K::Status {
        self.said.as_ref().unwrap_or(&self.object.status)
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> Standing<'_, K::Status> {
        Standing {
            object: &self.object,
            attempt: &self.attempt,
            ending: self.ending,
            said: self.said(),
            told: self.told,
        }
    }

    /// Whether it is its turn; `now` is Unix time, ns.
    ///
    /// # Errors
    /// It is not, before that time where there is one.
    pub(super) fn turn(&self, now: u64) -> Result<(), Option<u64>> {
        match self.call {
            Call::UnderWay => Err(None),
            Call::None if now < self.pause => Err(Some(self.pause)),
            Call::None => Ok(()),
        }
    }

    /// The object is this now, unless a later state of it is known.
    pub(super) fn is_now(&mut self, object: ObjectOf<K>) {
        if !object.is_before(&self.object) {
            self.object = object;
        }
    }

    /// A call is under way, and no other one.
    pub(super) fn is_called(&mut self) {
        self.call = Call::UnderWay;
    }

    /// No call is under way any more.
    pub(crate) fn is_free(&mut self) {
        self.call = Call::None;
    }

    /// What it asks for is being tried; since when, first (Unix time, ns).
    pub(super) fn is_tried(&mut self, now: u64) -> u64 {
        match std::mem::replace(&mut self.attempt, Attempt::UnderWay) {
            Attempt::Again { since, .. } => since,
            Attempt::Untried
            | Attempt::UnderWay
            | Attempt::Crowded { .. }
            | Attempt::Refused(_) => now,
        }
    }

    /// A call came back with the object, and what it says since.
    pub(super) fn answered(&mut self, object: ObjectOf<K>, said: Option<K::Status>, now: u64) {
        (self.call, self.failures, self.pause) = (Call::None, 0, 0);
        if self.is_of(&object.metadata.uid) {
            self.is_now(object);
        }
        if let Some(said) = said {
            (self.said, self.told) = (Some(said), now);
        }
    }

    /// A call failed: of what has changed or gone meanwhile the watch tells, mostly before the next one.
    pub(super) fn failed(&mut self, error: &ApiError, now: u64) {
        let pause = pause::after(self.failures, error, pause::lot());
        self.failures += 1;
        (self.call, self.pause) = (Call::None, now.saturating_add(nanos(pause)));
    }
}
