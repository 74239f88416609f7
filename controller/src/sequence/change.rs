//! Parts that leave and come while an intent acts: pods go, others take their place, services lead elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use fault::{Fault, FaultId, Gone, NodeName, State, Status};

use super::{Action, Moment, Part, PartState, Refusal, Seated, Sequence, Stage, spans};

/// What changes of an intent that acts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Parts that leave, at once.
    pub leave: BTreeSet<FaultId>,
    /// Those that come in, each on its node, and whose pods may go in their turn. Their numbers are the next ones.
    pub join: Vec<(NodeName, Fault, Seated)>,
}

impl Sequence {
    /// Takes a change in. What does not act, or not any more, is not changed.
    pub(super) fn change(&mut self, change: Change, now: Moment) -> Vec<Action> {
        if self.stage != Stage::Active {
            return Vec::new();
        }
        // First, so that no disk that hangs keeps a fault in.
        let mut actions = self.leave(|part| change.leave.contains(&part.fault.id));
        if !change.join.is_empty() {
            actions.push(Action::Record);
            actions.extend(self.join(change.join, now));
        }
        actions
    }

    /// When the last of its parts is over by what nodes have said of them: what comes in beside them ends by then. Its
    /// deadline lies behind that by as long as the answer took that said that all act; known once it acts.
    #[must_use]
    pub fn ends_by(&self) -> Option<Moment> {
        let end = |part: &Part| {
            let status = part.status.as_ref()?;
            let ahead = status.lease?.deadline.since(status.now);
            part.read.filter(|_| !ahead.is_zero()).map(|read| read + ahead)
        };
        let deadline = self.deadline?;
        Some(self.parts.iter().filter_map(end).max().map_or(deadline, |told| told.min(deadline)))
    }

    /// Has parts leave whose end is no failure.
    pub(super) fn leave(&mut self, leaves: impl Fn(&Part) -> bool) -> Vec<Action> {
        let mut nodes: BTreeMap<NodeName, BTreeSet<FaultId>> = BTreeMap::new();
        for part in self.parts.iter_mut().filter(|part| leaves(part)) {
            part.let_go = true;
            if part.state.may_be_in() {
                part.state = PartState::Healing;
                nodes.entry(part.node.clone()).or_default().insert(part.fault.id);
            }
        }
        nodes.into_iter().map(|(node, ids)| Action::Leave(node, ids)).collect()
    }

    fn join(&mut self, all: Vec<(NodeName, Fault, Seated)>, now: Moment) -> Vec<Action> {
        let mut nodes: BTreeMap<NodeName, BTreeSet<FaultId>> = BTreeMap::new();
        for (node, fault, seated) in all {
            nodes.entry(node.clone()).or_default().insert(fault.id);
            let state = PartState::Preparing;
            let part = Part::new(node, fault);
            self.parts.push(Part { state, seated, heard: now, unanswered: true, ..part });
        }
        self.spans = spans(&self.parts);
        nodes.into_iter().map(|(node, ids)| Action::Join(node, ids)).collect()
    }

    /// A node was asked to have parts come in, and to let them act at once.
    pub(super) fn joined(
        &mut self,
        node: &NodeName,
        ids: &BTreeSet<FaultId>,
        result: Result<Vec<Status>, Refusal>,
        now: Moment,
    ) -> Vec<Action> {
        let is_one = |part: &Part| ids.contains(&part.fault.id);
        self.of_mut(node).filter(|part| is_one(part)).for_each(|part| part.unanswered = false);
        let mut actions = match result {
            Ok(statuses) => {
                // Those that were told to leave before they had come.
                let unheard =
                    |part: &Part| is_one(part) && part.state == PartState::Ended && !part.is_over();
                for part in self.of_mut(node).filter(|part| unheard(part)) {
                    part.state = PartState::Prepared;
                }
                let late: BTreeSet<FaultId> = self
                    .of(node)
                    .filter(|part| part.state == PartState::Prepared && is_one(part))
                    .map(|part| part.fault.id)
                    .collect();
                let begun = statuses.into_iter().filter(|status| ids.contains(&status.fault.id));
                for status in begun.filter(|status| !late.contains(&status.fault.id)) {
                    self.note(status, PartState::Active, now);
                }
                self.leave(|part| late.contains(&part.fault.id))
            }
            Err(refusal) => {
                let why = refusal.sentence(node);
                let nothing = matches!(refusal, Refusal::Refused(_) | Refusal::Unknown);
                for part in self.of_mut(node).filter(|part| is_one(part)) {
                    part.let_go = true;
                    part.trouble.clone_from(&why);
                    if nothing && part.state.comes_in() {
                        part.state = PartState::Ended;
                    } else if part.state == PartState::Ended && !part.is_over() && !nothing {
                        part.state = PartState::Lost;
                    }
                }
                // Of who did not answer nobody knows.
                self.leave(|part| is_one(part) && part.state.comes_in())
            }
        };
        if self.stage == Stage::Active {
            actions.push(Action::Record);
        } else {
            actions.extend(self.finish_if_out(now));
        }
        actions
    }

    /// A node was asked to have parts leave.
    pub(super) fn left(
        &mut self,
        node: &NodeName,
        ids: &BTreeSet<FaultId>,
        result: Result<Vec<Status>, Refusal>,
        now: Moment,
    ) -> Vec<Action> {
        let (state, why) = match result {
            Ok(statuses) => {
                for status in statuses {
                    self.note(status, PartState::Ended, now);
                }
                (PartState::Ended, String::new())
            }
            Err(Refusal::Unknown) => (PartState::Ended, String::new()),
            Err(refusal @ (Refusal::Unreachable(_) | Refusal::Refused(_))) => {
                (PartState::Lost, refusal.sentence(node))
            }
        };
        let leaving =
            |part: &&mut Part| part.state == PartState::Healing && ids.contains(&part.fault.id);
        for part in self.of_mut(node).filter(leaving) {
            part.state = state;
            if !why.is_empty() {
                part.trouble.clone_from(&why);
            }
            part.shorten_if_out();
        }
        if self.stage == Stage::Active { vec![Action::Record] } else { self.finish_if_out(now) }
    }

    /// Those that could not be told to leave are told once their node is there again.
    pub(super) fn leave_late(&mut self, node: &NodeName) -> Vec<Action> {
        let late: BTreeSet<FaultId> = self
            .of(node)
            .filter(|part| part.let_go && part.state == PartState::Lost)
            .map(|part| part.fault.id)
            .collect();
        self.leave(|part| late.contains(&part.fault.id))
    }

    /// What time does to an intent that acts of which parts have left.
    pub(super) fn settle_leavers(&mut self, now: Moment) -> Vec<Action> {
        let lapsed = self.terms.lease + super::GRACE;
        // Nobody has renewed it, and nobody has said that it is out.
        let is_over =
            |part: &Part| part.let_go && part.state == PartState::Lost && now > part.heard + lapsed;
        self.parts.iter_mut().filter(|part| is_over(part)).for_each(Part::shorten);
        let over = self.deadline.is_some_and(|deadline| now >= deadline);
        // Where nobody is left who could tell of its end.
        let is_out = |part: &Part| !part.state.may_be_in() || is_over(part);
        let nobody = self.parts.iter().all(|part| is_out(part) && !part.unanswered);
        if over && nobody { self.finish_if_out(now) } else { Vec::new() }
    }
}

impl Part {
    /// The same where it is known to be out.
    pub(super) fn shorten_if_out(&mut self) {
        if self.let_go && self.state == PartState::Ended {
            self.shorten();
        }
    }

    /// Of what has left and does not act the first of its peers is kept, for people: what is stored has to stay small.
    fn shorten(&mut self) {
        self.fault.peers.fixed.truncate(1);
        if let Some(status) = &mut self.status {
            status.peers.truncate(1);
            status.fault.peers.fixed.truncate(1);
        }
    }

    /// The end at which the pod is gone with which it has ended, if another one may take its place.
    #[must_use]
    pub fn gone_with_its_pod(&self) -> Option<Seated> {
        let state = self.status.as_ref().map(|status| status.state);
        match state {
            Some(State::Gone(Gone::Namespace | Gone::Process)) if self.seated.target => {
                Some(Seated { target: true, peer: false })
            }
            Some(State::Gone(Gone::Peer)) if self.seated.peer => {
                Some(Seated { target: false, peer: true })
            }
            Some(
                State::Gone(_)
                | State::Prepared
                | State::Active
                | State::Shadowed
                | State::Healing
                | State::Healed
                | State::Expired
                | State::Failed,
            )
            | None => None,
        }
    }

    /// Whether it is on this node.
    #[must_use]
    pub fn node_is(&self, node: Option<&NodeName>) -> bool {
        node == Some(&self.node)
    }
}
