//! How faults have ended, as their run takes it.

use experiment::model::FaultLabel;
use experiment::run::{Event, Healing};
use fault::{State, Status};
use proto::control as wire;

use super::effect;
use crate::fleet;
use crate::heal::confirmed;
use crate::output::route::Route;
use crate::session::unconfirmed;

/// What an agent's answer to a heal says.
pub(super) fn healing(statuses: &[Status]) -> Healing {
    if let Err(failure) = confirmed(statuses) {
        return Healing::Unconfirmed(failure.text());
    }
    let effect = effect::of(statuses);
    // What is healed by now was healed by that.
    let broken = statuses.iter().find(|one| one.state != State::Healed && one.ended_early());
    match broken {
        Some(broken) => Healing::Broken(effect, why(broken)),
        None => Healing::Out(effect),
    }
}

/// What a controller's answer to a heal says.
pub(crate) fn healing_of(intent: &wire::Intent) -> Healing {
    if let Some(sentence) = fleet::unconfirmed(intent) {
        return Healing::Unconfirmed(sentence);
    }
    if intent.began == 0 {
        return Healing::Absent;
    }
    let effect = effect::of_intent(intent);
    if intent.stage() == wire::Stage::Failed {
        Healing::Broken(effect, intent.reason.clone())
    } else {
        Healing::Out(effect)
    }
}

/// What a run is told of a fault of its own that has made room for another one of it.
pub(crate) fn replaced(label: &FaultLabel, healing: Healing) -> Vec<Event> {
    match healing {
        Healing::Out(effect) => vec![Event::FaultEnded(label.clone(), effect)],
        Healing::Broken(effect, why) => {
            vec![Event::FaultBroke(label.clone(), why), Event::FaultEnded(label.clone(), effect)]
        }
        Healing::Absent | Healing::Unconfirmed(_) => Vec::new(),
    }
}

/// What a run is told when the first part of a fault has ended before its time, if that is how it ended.
pub(super) fn broken(label: &FaultLabel, part: &Status) -> Option<Event> {
    part.ended_early().then(|| Event::FaultBroke(label.clone(), why(part)))
}

/// What a run is told of a fault all parts of which are over.
pub(super) fn over(label: FaultLabel, statuses: &[Status]) -> Event {
    match confirmed(statuses) {
        Ok(()) => Event::FaultEnded(label, effect::of(statuses)),
        Err(failure) => Event::FaultStays(label, failure.text()),
    }
}

/// What a run is told of an intent that is over, and that it did not end itself; nothing of one that never acted,
/// of which whoever asked for it is told.
pub(crate) fn over_of(label: &FaultLabel, intent: &wire::Intent) -> Vec<Event> {
    if intent.began == 0 {
        return Vec::new();
    }
    let stays = fleet::unconfirmed(intent);
    if intent.stage() == wire::Stage::Unconfirmed {
        // Also not when it ended.
        return vec![Event::FaultLost(label.clone(), stays.unwrap_or_default())];
    }
    // Of a pod that went another one has taken the place, which is no failure.
    let statuses = fleet::staying(intent);
    // It is failed, too, if it ran its time and could not be taken out.
    let is_early = match intent.stage() {
        wire::Stage::Healed => true,
        wire::Stage::Failed => stays.is_none() || statuses.iter().any(Status::ended_early),
        // A controller that stood still may hear of it when its time would be over.
        wire::Stage::Expired => statuses.iter().any(Status::ended_early),
        wire::Stage::Unspecified
        | wire::Stage::Pending
        | wire::Stage::Preparing
        | wire::Stage::Active
        | wire::Stage::Healing
        | wire::Stage::Unconfirmed => false,
    };
    let told = || match statuses.iter().find(|one| one.ended_early()) {
        Some(part) if intent.reason.is_empty() => why(part),
        Some(_) | None => intent.reason.clone(),
    };
    let broke = is_early.then(|| Event::FaultBroke(label.clone(), told()));
    let over = match stays {
        None => Event::FaultEnded(label.clone(), effect::of_intent(intent)),
        Some(sentence) => Event::FaultStays(label.clone(), sentence),
    };
    broke.into_iter().chain([over]).collect()
}

/// Whether nothing is there of a fault that was not put in.
pub(super) fn left_nothing(statuses: &[Status]) -> bool {
    unconfirmed(statuses.iter()).is_empty()
}

/// By what it ended before its time.
fn why(status: &Status) -> String {
    let what = match status.state {
        State::Healed => "healed by somebody else".to_owned(),
        State::Expired => "its lease was not renewed".to_owned(),
        state @ (State::Prepared
        | State::Active
        | State::Shadowed
        | State::Healing
        | State::Gone(_)
        | State::Failed) => state.to_string(),
    };
    let drifts = status.drifts.iter().map(|drift| format!("; {drift}"));
    format!("{}: {what}{}", Route::from(&status.fault), drifts.collect::<String>())
}

#[cfg(test)]
pub(super) mod tests {
    use experiment::run::{Effect, HadEffect};
    use fault::{Drift, Gone};

    use super::*;
    use crate::cut::specimen;

    fn label() -> FaultLabel {
        "the-cut".parse().unwrap()
    }

    /// A fault two seconds after its start, of sixty.
    fn status(state: State) -> Status {
        specimen::status(0, state, 9, 9)
    }

    /// One that came to its deadline.
    fn whole(state: State) -> Status {
        let mut status = status(state);
        for window in status.lease.iter_mut() {
            window.end = window.deadline;
            status.now = window.deadline;
        }
        status
    }

    fn stays(mut status: Status) -> Status {
        status.drifts.push(Drift::NotTakenOut("the bytes of process 7".to_owned()));
        status
    }

    fn intent(stage: wire::Stage, status: Status) -> wire::Intent {
        let part = wire::Part {
            node: "n1".to_owned(),
            fault: Some((&status.fault).into()),
            status: Some(status.into()),
            ..wire::Part::default()
        };
        let reason = "n1: it ended before its time".to_owned();
        wire::Intent {
            id: 10,
            stage: stage.into(),
            began: 1,
            reason,
            parts: vec![part],
            ..wire::Intent::default()
        }
    }

    pub(in crate::run::faults) fn word(healing: &Healing) -> &'static str {
        match healing {
            Healing::Out(_) => "out",
            Healing::Broken(..) => "broken",
            Healing::Absent => "absent",
            Healing::Unconfirmed(_) => "unconfirmed",
        }
    }

    pub(in crate::run::faults) fn words(events: &[Event]) -> Vec<&'static str> {
        let word = |event: &Event| match event {
            Event::FaultEnded(..) => "ended",
            Event::FaultBroke(..) => "broke",
            Event::FaultStays(..) => "stays",
            Event::FaultLost(..) => "lost",
            Event::Finished(..) | Event::Healed(..) | Event::Interrupt(_) | Event::Tick => "else",
        };
        events.iter().map(word).collect()
    }

    #[test]
    fn what_is_healed_is_out_and_what_could_not_be_taken_out_is_not() {
        use wire::Stage;
        let (failed, gone) = (State::Failed, State::Gone(Gone::Process));
        for (status, stage, expected) in [
            (status(State::Healed), Stage::Healed, "out"),
            (whole(State::Expired), Stage::Expired, "out"),
            (status(State::Expired), Stage::Failed, "broken"),
            (status(gone), Stage::Failed, "broken"),
            (status(failed), Stage::Failed, "broken"),
            (stays(status(failed)), Stage::Failed, "unconfirmed"),
            (stays(whole(failed)), Stage::Failed, "unconfirmed"),
            (status(State::Active), Stage::Unconfirmed, "unconfirmed"),
        ] {
            let of_intent = healing_of(&intent(stage, status.clone()));
            let state = status.state;
            assert_eq!(word(&healing(&[status])), expected, "{state}");
            assert_eq!(word(&of_intent), expected, "{state}");
        }
        // One that was never put in has not ended before its time.
        let never = wire::Intent { began: 0, ..intent(Stage::Failed, status(failed)) };
        assert_eq!(word(&healing_of(&never)), "absent");
    }

    #[test]
    fn what_ends_by_itself_has_run_its_time_or_broken_off() {
        use wire::Stage;
        let gone = State::Gone(Gone::Namespace);
        for (status, stage, expected) in [
            (whole(State::Expired), Stage::Expired, vec!["ended"]),
            (status(State::Expired), Stage::Failed, vec!["broke", "ended"]),
            (status(State::Expired), Stage::Expired, vec!["broke", "ended"]),
            (status(gone), Stage::Failed, vec!["broke", "ended"]),
            (status(State::Failed), Stage::Failed, vec!["broke", "ended"]),
            (status(State::Healed), Stage::Healed, vec!["broke", "ended"]),
            (stays(status(State::Failed)), Stage::Failed, vec!["broke", "stays"]),
            (stays(whole(State::Failed)), Stage::Failed, vec!["stays"]),
        ] {
            let state = status.state;
            let of_intent = over_of(&label(), &intent(stage, status.clone()));
            assert_eq!(words(&of_intent), expected, "{state}");
            let events = broken(&label(), &status).into_iter();
            let events: Vec<Event> = events.chain([over(label(), &[status])]).collect();
            assert_eq!(words(&events), expected, "{state}");
        }
        let lost = over_of(&label(), &intent(Stage::Unconfirmed, status(State::Active)));
        assert_eq!(words(&lost), ["lost"]);
        let never = wire::Intent { began: 0, ..intent(Stage::Failed, status(State::Failed)) };
        assert_eq!(over_of(&label(), &never), []);
    }

    #[test]
    fn why_it_broke_off_is_told_with_what_is_known() {
        let mut ended = status(State::Failed);
        ended.drifts.push(Drift::HolderEnded);
        let told = "netns:a → netns:b: failed; the process of ours that held or loaded it ended before \
                    its time";
        let had = Effect { had: HadEffect::Yes, figures: effect::of(&[ended.clone()]).figures };
        assert_eq!(healing(&[ended]), Healing::Broken(had, told.to_owned()));
    }
}
