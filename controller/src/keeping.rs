//! The task that keeps objects and what they ask for the same: it watches both, and does one step at a time for each
//! object.
//!
//! Only who leads has it. What it knows is what the API server and the driver have told; whatever it was about to do
//! when it ended, the next one comes to it by itself. What a step means, a [`Side`] says: faults are one, runs of
//! experiments the other.

mod calls;
pub(crate) mod decision;
mod entry;
mod hearing;
mod keeper;
mod lacking;
mod object;
mod refusal;
pub(crate) mod waiting;

use cluster::ApiError;
use fault::IntentId;
use futures_util::future::BoxFuture;
use proto::control as wire;

use crate::objects::consent::Consent;
use decision::{Said, Step};
pub(crate) use hearing::{Heard, Hearing};
pub(crate) use keeper::Keeper;
pub(crate) use lacking::Definitions;
pub use lacking::Lack;
pub(crate) use object::{
    FINALIZER, GROUP, Object, ObjectOf, Pair, Place, Scope, VERSION, asker, id_of, is_before,
    is_held, kind, or_nothing, pair, seed_of,
};
pub(crate) use refusal::{Passing, Refusal, Unready};

/// What objects of a pair of kinds ask for, and who does it.
pub(crate) trait Side: Sized + Send + 'static {
    /// The kinds.
    type Kind: Pair;
    /// What is known of something that an object asks for.
    type Known: Known;
    /// What it hears of the API server beside objects and namespaces.
    type Heard: Send + 'static;
    /// What has begun for an object.
    type Begun: Send + 'static;

    /// Has it know better which namespaces let faults in.
    fn consent(&mut self, change: impl FnOnce(&mut Consent));

    /// More is known of what the API server knows of the kinds, or it does not tell.
    fn defined(&self, known: &Definitions<Self::Kind>, trouble: Option<&ApiError>);

    /// The API server has told something else.
    fn heard(keeper: &mut Keeper<Self>, heard: Self::Heard);

    /// The driver has told something.
    fn learns(keeper: &mut Keeper<Self>, event: wire::Event);

    /// What is to be done about an object, by its id; `None` as long as that is not known.
    fn step(
        keeper: &mut Keeper<Self>,
        place: &PlaceOf<Self>,
        id: IntentId,
        now: u64,
    ) -> Option<StepOf<Self>>;

    /// Finds out what an object asks for, and begins it. The same object again has the same answer.
    ///
    /// # Errors
    /// It makes no sense or is not allowed, or whether it is, is not known yet.
    fn begin(
        &self,
        place: &PlaceOf<Self>,
        object: &ObjectOf<Self::Kind>,
        id: IntentId,
    ) -> Result<Beginning<Self>, Unready>;

    /// It has begun.
    fn begun(keeper: &mut Keeper<Self>, place: &PlaceOf<Self>, begun: Self::Begun);

    /// Ends what an object asks for, and says so once that was asked ([`Keeper::is_ending`]).
    fn end(keeper: &mut Keeper<Self>, place: &PlaceOf<Self>, id: IntentId, reason: &str);

    /// Ends something by its id, whatever asks for it: what becomes of it the driver tells.
    fn end_by_id(&self, id: IntentId, reason: String) -> BoxFuture<'static, ()>;

    /// Whatever was heard has been looked at.
    fn looked(_: &Keeper<Self>) {}

    /// An object says something else now, where this was what became of it before.
    fn told(
        keeper: &mut Keeper<Self>,
        place: &PlaceOf<Self>,
        before: PhaseOf<Self>,
        status: &StatusOf<Self>,
    );
}

/// Something that an object asks for, or nobody's.
pub(crate) trait Known: Send + 'static {
    /// Which object does.
    fn object(&self) -> Option<&wire::Object>;

    /// Whether nothing more comes of it.
    fn is_over(&self) -> bool;
}

/// Where an object of a side is found.
pub(crate) type PlaceOf<S> = Place<<S as Side>::Kind>;
/// What it says.
pub(crate) type StatusOf<S> = <<S as Side>::Kind as Pair>::Status;
/// The same in one word.
pub(crate) type PhaseOf<S> = <StatusOf<S> as Said>::Phase;
/// What is to be done about it.
pub(crate) type StepOf<S> = Step<StatusOf<S>>;
/// A call that begins what it asks for.
pub(crate) type Beginning<S> = BoxFuture<'static, Result<<S as Side>::Begun, Box<Refusal>>>;
/// What a call leaves to be done.
pub(crate) type Then<S> = Box<dyn FnOnce(&mut Keeper<S>) + Send>;

/// What cannot be done, as a failure has it.
pub(crate) fn cannot<K: Pair>(place: &Place<K>) -> String {
    format!("cannot do what {place} asks for")
}

/// What is left to be done after a call.
pub(crate) fn then<S: Side>(done: impl FnOnce(&mut Keeper<S>) + Send + 'static) -> Then<S> {
    Box::new(done)
}

/// Nothing is left to be done.
pub(crate) fn nothing<S: Side>() -> Then<S> {
    then(|_| ())
}
