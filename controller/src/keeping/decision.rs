//! What is to be done about an object, whatever it asks for. Pure: time is passed in.
//!
//! Level-triggered: whatever was missed, what is decided follows from how things are. There is no more than one step
//! at a time for each object, and after each it is looked at anew.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::object::Object;
use crate::failure::Failure;

/// What an object says of what became of what it asks for.
pub(crate) trait Said:
    Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// What its object asks for.
    type Spec;
    /// What became of that, in one word.
    type Phase: Copy + Debug + PartialEq + Send + 'static;

    /// What became of it.
    fn phase(&self) -> Self::Phase;

    /// The same, as `kubectl` shows it.
    fn word(&self) -> &'static str;

    /// Whether nothing more comes of it by itself.
    fn is_final(&self) -> bool;

    /// The same without what only counts: two that differ otherwise are worth a write at once.
    fn settled(&self) -> Self;

    /// The same, of something that had ended when an earlier one says so, if it does.
    fn ended_with(&self, earlier: &Self) -> Self;

    /// What is said of an object that is refused; `now` is Unix time, ns.
    fn refused(object: &Object<Self::Spec, Self>, refusal: &Failure, now: u64) -> Self;

    /// What is said of one that waits for others; `now` is Unix time, ns.
    fn waiting(object: &Object<Self::Spec, Self>, why: &str, now: u64) -> Self;

    /// What is said of one for which something had begun of which nobody knows any more, where that is never begun
    /// twice; `now` is Unix time, ns. `None` of any other.
    fn lost(object: &Object<Self::Spec, Self>, said: &Self, now: u64) -> Option<Self>;

    /// As it is written.
    fn written(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Whether nothing was ever said.
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// How far beginning what an object asks for has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It was not tried.
    #[default]
    Untried,
    /// It is being tried.
    UnderWay,
    /// What was in the way may pass: tried since then (Unix time, ns), to be tried again at the latter.
    Again { since: u64, at: u64 },
    /// There is no room for it as long as others go on: to be tried again then (Unix time, ns), and who they are.
    Crowded { at: u64, why: String },
    /// It does not begin.
    Refused(Box<Failure>),
}

/// Whether the end of what an object asks for was asked for here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ending {
    #[default]
    Unasked,
    /// Since then (Unix time, ns).
    Asked(u64),
}

/// How an object stands.
pub(crate) struct Standing<'a, T: Said> {
    pub(crate) object: &'a Object<T::Spec, T>,
    pub(crate) attempt: &'a Attempt,
    pub(crate) ending: Ending,
    /// What was last said of it.
    pub(crate) said: &'a T,
    /// When its status was last written here, Unix time, ns; 0 for never.
    pub(crate) told: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step<T> {
    /// Nothing, until something happens or it is so late (Unix time, ns).
    Wait(Option<u64>),
    /// To have the object wait for what it asks for.
    Hold,
    /// To have it wait no longer.
    Release,
    /// To begin what it asks for.
    Begin,
    /// To end it, for this reason.
    End(&'static str),
    /// To say how it is.
    Tell(Box<T>),
}

impl<T: Said> Standing<'_, T> {
    /// What is to be done where nothing has begun for it, as far as is known; `now` is Unix time, ns.
    pub(crate) fn unbegun(&self, now: u64) -> Step<T> {
        let Self { object, attempt, said, .. } = self;
        match attempt {
            Attempt::UnderWay => return Step::Wait(None),
            Attempt::Refused(refusal) => return self.over(T::refused(object, refusal, now)),
            Attempt::Untried | Attempt::Again { .. } | Attempt::Crowded { .. } => {}
        }
        // It is over for longer than anybody remembers.
        if said.is_final() {
            return self.release();
        }
        if let Some(lost) = T::lost(object, said, now) {
            return self.over(lost);
        }
        if object.is_leaving() {
            return self.release();
        }
        match attempt {
            Attempt::Again { at, .. } if now < *at => Step::Wait(Some(*at)),
            Attempt::Crowded { at, why } if now < *at => match T::waiting(object, why, now) {
                status if status == **said => Step::Wait(Some(*at)),
                status => Step::Tell(Box::new(status)),
            },
            Attempt::Untried
            | Attempt::UnderWay
            | Attempt::Again { .. }
            | Attempt::Crowded { .. }
            | Attempt::Refused(_) => match object.is_held() {
                true => Step::Begin,
                false => Step::Hold,
            },
        }
    }

    /// What is to be done where it is over.
    pub(crate) fn over(&self, status: T) -> Step<T> {
        // When it was refused is said once.
        let same = status.ended_with(self.said);
        if self.said.is_final() && same.settled() == self.said.settled() {
            return self.release();
        }
        Step::Tell(Box::new(status))
    }

    /// To have it wait no longer, if it does.
    pub(crate) fn release(&self) -> Step<T> {
        if self.object.is_held() { Step::Release } else { Step::Wait(None) }
    }
}
