//! What is known of faults while they act. Pure: events and times come in, changes and the end go out.

use std::time::{Duration, Instant};

use fault::{FaultId, State, Status};

use crate::interrupts::Interrupt;
use crate::output::quantity;
use crate::output::route::Route;

/// By what faults ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its time was over.
    Deadline,
    /// It has done all that it was to do.
    Done,
    /// Somebody asked this command to end.
    Interrupted(Interrupt),
    /// Every fault of it ended by itself or was healed by somebody else.
    AllEnded,
    /// A fault lost its target or failed.
    Broken(FaultId, State),
    /// A lease was not renewed, because the fault had ended or was never heard of.
    NotRenewed(FaultId),
    /// The connection broke.
    AgentLost(String),
    /// A whole lease long the agent answered no heartbeat.
    AgentSilent(Duration),
}

impl End {
    /// For documents.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Done => "done",
            Self::Interrupted(_) => "interrupted",
            Self::AllEnded => "ended",
            Self::Broken(_, _) => "broken",
            Self::NotRenewed(_) => "not-renewed",
            Self::AgentLost(_) => "agent-lost",
            Self::AgentSilent(_) => "agent-silent",
        }
    }

    /// For people.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Deadline => "its time is over".to_owned(),
            Self::Done => "it is done".to_owned(),
            Self::Interrupted(Interrupt::Keyboard) => "interrupted; healing".to_owned(),
            Self::Interrupted(Interrupt::Termination) => "asked to terminate; healing".to_owned(),
            Self::Interrupted(Interrupt::Hangup) => "hung up; healing".to_owned(),
            Self::AllEnded => "it was ended before its time".to_owned(),
            Self::Broken(id, state) => format!("{id} is {state}; healing the rest"),
            Self::NotRenewed(id) => format!("the lease of {id} was not renewed"),
            Self::AgentLost(reason) => reason.clone(),
            Self::AgentSilent(time) => {
                format!("the agent has not answered for {}", quantity::time(*time))
            }
        }
    }
}

/// How long before its deadline, as far as is known here, a fault may have come to it (1 s).
const MOMENT: Duration = Duration::from_secs(1);

/// Faults as they were last heard of.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    statuses: Vec<(Status, Instant)>,
}

impl Watch {
    /// Begins with what the commit answered.
    pub(crate) fn new(statuses: Vec<Status>, now: Instant) -> Self {
        Self { statuses: statuses.into_iter().map(|status| (status, now)).collect() }
    }

    /// Its faults.
    pub(crate) fn ids(&self) -> Vec<FaultId> {
        self.statuses.iter().map(|(status, _)| status.fault.id).collect()
    }

    /// Its faults as they were last heard of.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = &Status> {
        self.statuses.iter().map(|(status, _)| status)
    }

    /// Until the last deadline, as it was when that was last heard of.
    pub(crate) fn time_left(&self) -> Duration {
        self.statuses().filter_map(Status::time_left).max().unwrap_or_default()
    }

    /// Until the last deadline.
    pub(crate) fn time_left_at(&self, now: Instant) -> Duration {
        self.left_at(now, Status::time_left).max().unwrap_or_default()
    }

    /// Until the first lease ends.
    pub(crate) fn lease_left_at(&self, now: Instant) -> Duration {
        self.left_at(now, Status::lease_left).min().unwrap_or_default()
    }

    fn left_at(
        &self,
        now: Instant,
        left: fn(&Status) -> Option<Duration>,
    ) -> impl Iterator<Item = Duration> {
        self.statuses.iter().filter_map(move |(status, heard)| {
            left(status).map(|left| left.saturating_sub(now.saturating_duration_since(*heard)))
        })
    }

    /// Takes a report, and says what is new in it.
    pub(crate) fn observe(&mut self, status: Status, now: Instant) -> Vec<String> {
        let id = status.fault.id;
        let Some((known, heard)) = self.statuses.iter_mut().find(|(known, _)| known.fault.id == id)
        else {
            // Another command's: the agent reports what was asked for, so an older one may report more.
            return Vec::new();
        };
        let mut changes = Vec::new();
        if known.state != status.state {
            let route = Route::from(&status.fault);
            changes.push(format!("{id} {route}: {} → {}", known.state, status.state));
        }
        let new = status.drifts.iter().filter(|drift| !known.drifts.contains(drift));
        changes.extend(new.map(|drift| format!("{id}: {drift}")));
        *known = status;
        *heard = now;
        changes
    }

    /// Takes the final answer to a heal.
    pub(crate) fn settle(&mut self, statuses: Vec<Status>, now: Instant) {
        for status in statuses {
            self.observe(status, now);
        }
    }

    /// Whether nothing of it acts any more, as far as was heard.
    pub(crate) fn is_over(&self) -> bool {
        self.statuses().all(|status| status.state.is_final())
    }

    /// What a refused renewal means. At its deadline nothing is renewed any more, and the agent says in a
    /// moment how the fault has ended.
    pub(crate) fn refused(&self, refused: &[FaultId], now: Instant) -> Option<End> {
        let acts = |(status, heard): &(Status, Instant)| {
            let left = status.time_left().unwrap_or_default();
            let ends = left.saturating_sub(now.saturating_duration_since(*heard)) < MOMENT;
            // One that is on its way out is heard of in a moment.
            !status.state.is_final() && status.state != State::Healing && !ends
        };
        let goes_on = |id: &&FaultId| {
            self.statuses.iter().any(|known| known.0.fault.id == **id && acts(known))
        };
        refused.iter().find(goes_on).map(|id| End::NotRenewed(*id))
    }

    /// Whether they have ended by what was heard.
    pub(crate) fn end(&self) -> Option<End> {
        let broken = self.statuses().find_map(|status| match status.state {
            State::Gone(_) | State::Failed if !status.is_done() => {
                Some(End::Broken(status.fault.id, status.state))
            }
            State::Prepared
            | State::Active
            | State::Shadowed
            | State::Healing
            | State::Healed
            | State::Expired
            | State::Gone(_)
            | State::Failed => None,
        });
        // The agent may be a moment quicker than our own timer.
        let done = || self.statuses().all(Status::is_done).then_some(End::Done);
        let in_time = || self.statuses().all(Status::ran_its_time).then_some(End::Deadline);
        broken.or_else(done).or_else(in_time).or_else(|| self.is_over().then_some(End::AllEnded))
    }
}

#[cfg(test)]
mod tests {
    use fault::{BootTime, Drift, Gone};

    use super::*;
    use crate::cut::specimen;

    fn watch(states: [State; 2]) -> Watch {
        let status = |part, state| specimen::status(part, state, 0, 0);
        Watch::new(vec![status(0, states[0]), status(1, states[1])], Instant::now())
    }

    #[test]
    fn ends() {
        let id = specimen::id(1);
        let gone = State::Gone(Gone::Peer);
        let table = [
            ([State::Active, State::Active], None),
            ([State::Active, State::Shadowed], None),
            ([State::Expired, State::Active], None),
            ([State::Expired, State::Healed], Some(End::AllEnded)),
            ([State::Active, gone], Some(End::Broken(id, gone))),
            ([State::Healed, State::Failed], Some(End::Broken(id, State::Failed))),
        ];
        for (states, end) in table {
            assert_eq!(watch(states).end(), end, "{states:?}");
        }
    }

    #[test]
    fn a_cut_that_expires_at_its_deadline_ran_its_time() {
        let mut faults = [0, 1].map(|part| specimen::status(part, State::Expired, 0, 0));
        let early = Watch::new(faults.to_vec(), Instant::now());
        assert_eq!(early.end(), Some(End::AllEnded));
        for window in faults.iter_mut().filter_map(|status| status.lease.as_mut()) {
            window.end = window.deadline;
        }
        let whole = Watch::new(faults.to_vec(), Instant::now());
        assert_eq!(whole.end(), Some(End::Deadline));
    }

    #[test]
    fn a_refused_renewal_of_what_still_acts_is_an_end() {
        let (watch, now) = (watch([State::Active, State::Expired]), Instant::now());
        assert_eq!(watch.refused(&[specimen::id(1)], now), None);
        assert_eq!(watch.refused(&[specimen::id(9)], now), None);
        assert_eq!(watch.refused(&[specimen::id(0)], now), Some(End::NotRenewed(specimen::id(0))));
        let at_the_end = now + watch.time_left();
        assert_eq!(watch.refused(&[specimen::id(0)], at_the_end), None, "it has run its time");
        let healing = self::watch([State::Healing, State::Active]);
        assert_eq!(healing.refused(&[specimen::id(0)], now), None, "its end is told in a moment");
    }

    #[test]
    fn only_news_is_told() {
        let now = Instant::now();
        let mut watch = watch([State::Active, State::Active]);
        let mut next = specimen::status(0, State::Active, 5, 5);
        assert_eq!(watch.observe(next.clone(), now), Vec::<String>::new());
        next.state = State::Shadowed;
        next.drifts = vec![Drift::Detached(3)];
        let told = [
            "00000000000a.0 netns:a → netns:b: active → shadowed",
            "00000000000a.0: somebody detached us from interface 3",
        ];
        assert_eq!(watch.observe(next.clone(), now), told);
        assert_eq!(watch.observe(next, now), Vec::<String>::new());
        assert_eq!(watch.observe(specimen::status(7, State::Failed, 0, 0), now), [""; 0]);
        assert_eq!(watch.end(), None);
    }

    #[test]
    fn time_passes_between_reports() {
        let heard = Instant::now();
        let mut status = specimen::status(0, State::Active, 0, 0);
        status.now = BootTime::from_nanos(specimen::START);
        let watch = Watch::new(vec![status], heard);
        let later = heard + Duration::from_secs(4);
        assert_eq!(watch.time_left(), Duration::from_secs(60));
        assert_eq!(watch.time_left_at(later), Duration::from_secs(56));
        assert_eq!(watch.lease_left_at(later), Duration::from_secs(11));
        assert_eq!(watch.lease_left_at(later + Duration::from_secs(99)), Duration::ZERO);
    }
}
