//! One object from its creation until it is gone, for the run that has made it.

use experiment::model::FaultLabel;
use experiment::run::Event;
use tokio::sync::watch;

use super::super::telling::Teller;
use super::ended;
use crate::objects::resource::{Object, Place};
use crate::objects::status::{Phase, Status};
use crate::objects::user::{Told, Watched};
use crate::output::Output;

/// An object as it was last told.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) object: Object,
    pub(super) presence: Presence,
}

/// Whether an object is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    There,
    Gone,
}

impl Seen {
    pub(super) const fn new(object: Object) -> Self {
        Self { object, presence: Presence::There }
    }

    pub(super) const fn status(&self) -> &Status {
        &self.object.status
    }

    pub(super) fn is_gone(&self) -> bool {
        self.presence == Presence::Gone
    }

    /// Whether nothing more comes of it.
    pub(super) fn is_settled(&self) -> bool {
        self.is_gone() || self.status().phase.is_final()
    }

    /// Takes what was told of whatever has its name.
    fn take(&mut self, told: Told) {
        match told {
            Told::Object(object) if object.metadata.uid == self.object.metadata.uid => {
                self.object = *object;
            }
            Told::Gone(Some(last)) if last.metadata.uid == self.object.metadata.uid => {
                (self.object, self.presence) = (*last, Presence::Gone);
            }
            // It is gone, or another one has its name.
            Told::Object(_) | Told::Gone(_) => self.presence = Presence::Gone,
            Told::Trouble(_) => {}
        }
    }
}

/// What a run is told of a fault by what is known of its object: nothing as long as it acts.
fn events(label: &FaultLabel, seen: &Seen) -> Vec<Event> {
    match (seen.status().phase, seen.presence) {
        (Phase::Active | Phase::Healing, Presence::Gone) => {
            vec![Event::FaultLost(label.clone(), ended::UNTOLD.to_owned())]
        }
        (_, _) => ended::over(label, seen.status()),
    }
}

/// Follows an object until it is gone, and tells the run how its fault has ended: once, and nothing where its run is
/// another one.
pub(super) async fn follow(
    mut watched: Watched,
    place: Place,
    seen: watch::Sender<Seen>,
    mut told: Option<(FaultLabel, Teller)>,
    output: Output,
) {
    let mut trouble = String::new();
    loop {
        let news = watched.next().await;
        if let Told::Trouble(reason) = &news {
            // It changes nothing: what acts ends at its deadline whoever is away.
            if trouble != *reason {
                output.note(format!("{place} is not watched, and is asked for again: {reason}"));
                reason.clone_into(&mut trouble);
            }
            continue;
        }
        trouble.clear();
        seen.send_modify(|seen| seen.take(news));
        let now = seen.borrow().clone();
        if now.is_settled()
            && let Some((label, teller)) = told.take()
        {
            events(&label, &now).into_iter().for_each(|event| teller.tell(&label, event));
        }
        if now.is_gone() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(uid: &str, status: &Value) -> Object {
        let object = json!({"metadata": {"name": "run-7", "uid": uid}, "status": status});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn another_one_of_its_name_is_not_this_one() {
        let active = json!({"phase": "Active", "startedAt": "2026-01-01T00:00:00Z"});
        let seen = || Seen::new(object("a", &active));
        let healed = json!({"phase": "Healed", "startedAt": "2026-01-01T00:00:00Z"});
        let label: FaultLabel = "the-cut".parse().unwrap();
        let after = |told: Told| {
            let mut seen = seen();
            seen.take(told);
            (seen.presence, seen.status().phase, events(&label, &seen).len())
        };
        let boxed = |uid: &str| Box::new(object(uid, &healed));
        // Somebody has healed it: it has ended before its time.
        assert_eq!(after(Told::Object(boxed("a"))), (Presence::There, Phase::Healed, 2));
        assert_eq!(after(Told::Gone(Some(boxed("a")))), (Presence::Gone, Phase::Healed, 2));
        // Nobody has said how it ended.
        assert_eq!(after(Told::Object(boxed("b"))), (Presence::Gone, Phase::Active, 1));
        assert_eq!(after(Told::Gone(None)), (Presence::Gone, Phase::Active, 1));
        let trouble = Told::Trouble("no connection".to_owned());
        assert_eq!(after(trouble), (Presence::There, Phase::Active, 0));
    }
}
