//! One intent on its way through its nodes: events in, actions out, time passed in.
//!
//! Nothing acts before everything is prepared; what fails on one node is healed on all; what cannot be
//! confirmed is said to be unconfirmed and is asked for again when its agent is back.

mod change;
mod event;
mod part;
mod removal;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use fault::{FaultId, LeaseTerms, NodeName, Status};

pub use change::Change;
pub use event::{Action, Event, Refusal};
pub use part::{Part, PartState, Seated};
pub use stage::Stage;

/// Time since some fixed moment of the controller's life.
pub type Moment = Duration;

/// How long after the deadline a node may take to say so.
const GRACE: Duration = Duration::from_secs(2);

/// An intent on its way.
#[derive(Clone, Debug)]
pub struct Sequence {
    stage: Stage,
    parts: Vec<Part>,
    /// Between which places the parts of each node stand: of a thousand nodes one is looked up often.
    spans: BTreeMap<NodeName, Range<usize>>,
    terms: LeaseTerms,
    /// What it will be once everything is out, and why.
    fate: Option<(Stage, String)>,
    /// From when on it is over in any case.
    deadline: Option<Moment>,
    /// Whether the deadline was read off a wall clock, which somebody may have set.
    guessed: bool,
}

impl Sequence {
    /// An intent that was written and has touched nothing.
    #[must_use]
    pub fn new(parts: Vec<Part>, terms: LeaseTerms) -> Self {
        let spans = spans(&parts);
        let (stage, fate, deadline) = (Stage::Pending, None, None);
        Self { stage, parts, spans, terms, fate, deadline, guessed: false }
    }

    /// An intent as a controller that is gone has left it. What was not known to act is taken out; what
    /// acted is asked for when its agents are back, until its lease is over. The deadline is what the wall
    /// clock says, and is believed until an agent knows better.
    #[must_use]
    pub fn resume(
        stage: Stage,
        fate: Option<(Stage, String)>,
        mut parts: Vec<Part>,
        terms: LeaseTerms,
        deadline: Option<Moment>,
        now: Moment,
    ) -> Self {
        for part in &mut parts {
            part.heard = now;
        }
        let anew = || {
            let why = "the controller was started anew while this was on its way".to_owned();
            (Stage::Failed, why)
        };
        let (stage, fate) = match stage {
            Stage::Pending | Stage::Preparing => (Stage::Healing, Some(anew())),
            Stage::Healing | Stage::Unconfirmed => (stage, Some(fate.unwrap_or_else(anew))),
            Stage::Active | Stage::Healed | Stage::Expired | Stage::Failed => (stage, fate),
        };
        if stage == Stage::Healing {
            parts.iter_mut().for_each(|part| part.state = PartState::Lost);
        }
        let spans = spans(&parts);
        Self { stage, parts, spans, terms, fate, deadline, guessed: true }
    }

    /// The same, once it is known of each part whose place others may take there.
    #[must_use]
    pub fn seated(mut self, of: impl Fn(&Part) -> Seated) -> Self {
        for part in &mut self.parts {
            part.seated = of(part);
        }
        self
    }

    /// What has become of it.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Its parts.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What it will be, or is, once everything is out, and why; `None` while nothing but its deadline
    /// ends it.
    #[must_use]
    pub const fn fate(&self) -> Option<&(Stage, String)> {
        self.fate.as_ref()
    }

    /// Why it failed or was ended; empty for neither.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.fate.as_ref().map_or("", |(_, reason)| reason)
    }

    /// When it is over in any case; known once it acts.
    #[must_use]
    pub const fn deadline(&self) -> Option<Moment> {
        self.deadline
    }

    /// How much is left of the lease of a part that acts, by what was last heard of its node.
    #[must_use]
    pub fn lease_left(&self, part: &Part, now: Moment) -> Option<Duration> {
        let end = (part.heard + self.terms.lease).min(self.deadline?);
        part.state.acts().then(|| end.saturating_sub(now))
    }

    /// Whether something may be left on a node that was to be taken out, and could not.
    #[must_use]
    pub fn owes(&self, node: &NodeName) -> bool {
        matches!(self.stage, Stage::Healing | Stage::Unconfirmed)
            && self.of(node).any(|part| part.state == PartState::Lost)
    }

    /// The parts that heartbeats renew. Nothing on its way out is renewed.
    pub fn renewed(&self) -> impl Iterator<Item = &Part> {
        let parts = if self.stage == Stage::Active { self.parts.as_slice() } else { &[] };
        parts.iter().filter(|part| part.state.acts())
    }

    /// The parts that may act: also those that could not be taken out, until their leases have ended them.
    pub fn may_act(&self, now: Moment) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| self.part_may_act(part, now))
    }

    /// Whether one of its parts is among those.
    #[must_use]
    pub fn part_may_act(&self, part: &Part, now: Moment) -> bool {
        let over = matches!(self.stage, Stage::Healed | Stage::Expired | Stage::Failed);
        !over
            && match part.state {
                PartState::Untouched => !self.stage.is_final(),
                PartState::Ended => false,
                PartState::Lost => now <= part.heard + self.terms.lease + GRACE,
                PartState::Preparing
                | PartState::Prepared
                | PartState::Committing
                | PartState::Active
                | PartState::Healing => true,
            }
    }

    /// How many parts act, as far as is known.
    #[must_use]
    pub fn acting(&self) -> usize {
        self.parts.iter().filter(|part| part.state.acts()).count()
    }

    /// Begins: what it is from here on has to be stored before anything of what comes back is done.
    #[must_use]
    pub fn begin(&mut self) -> Vec<Action> {
        self.stage = Stage::Preparing;
        for part in &mut self.parts {
            part.state = PartState::Preparing;
            part.unanswered = true;
        }
        self.nodes(|_| true).into_iter().map(Action::Prepare).collect()
    }

    /// What follows from what happened.
    #[must_use]
    pub fn on(&mut self, event: Event, now: Moment) -> Vec<Action> {
        match event {
            Event::Prepared(node, result) => self.prepared(&node, result, now),
            Event::Committed(node, result) => self.committed(&node, result, now),
            Event::Healed(node, result) => self.healed(&node, result, now),
            Event::Listed(node, statuses) => self.listed(&node, statuses, now),
            Event::Heard(status) => self.heard(*status, now),
            Event::Renewed(ids, sent) => {
                for id in ids {
                    if let Some(place) = self.place(id) {
                        let part = &mut self.parts[place];
                        part.heard = part.heard.max(sent);
                    }
                }
                Vec::new()
            }
            Event::Changed(change) => self.change(*change, now),
            Event::Joined(node, ids, result) => self.joined(&node, &ids, result, now),
            Event::Left(node, ids, result) => self.left(&node, &ids, result, now),
            Event::Found(node) => self.found(&node),
            Event::Removed(node) => self.removed(&node, now),
            Event::Lost(reason) => self.heal(Stage::Failed, reason, now),
            Event::Heal(reason) => self.heal(Stage::Healed, reason, now),
            Event::Tick => self.tick(now),
        }
    }

    /// Where a part stands: mostly at the place that its number says.
    fn place(&self, id: FaultId) -> Option<usize> {
        let place = usize::from(id.part);
        let there = self.parts.get(place).is_some_and(|part| part.fault.id == id);
        let search = || self.parts.iter().position(|part| part.fault.id == id);
        if there { Some(place) } else { search() }
    }

    /// One part.
    #[must_use]
    pub fn part(&self, id: FaultId) -> Option<&Part> {
        self.parts.get(self.place(id)?)
    }

    /// Its parts on a node.
    pub fn of(&self, node: &NodeName) -> impl Iterator<Item = &Part> {
        self.parts[self.span(node)].iter().filter(move |part| part.node == *node)
    }

    fn of_mut(&mut self, node: &NodeName) -> impl Iterator<Item = &mut Part> {
        let span = self.span(node);
        self.parts[span].iter_mut().filter(move |part| part.node == *node)
    }

    fn span(&self, node: &NodeName) -> Range<usize> {
        self.spans.get(node).cloned().unwrap_or_default()
    }

    fn nodes(&self, of: impl Fn(&Part) -> bool) -> BTreeSet<NodeName> {
        self.parts.iter().filter(|part| of(part)).map(|part| part.node.clone()).collect()
    }

    fn prepared(
        &mut self,
        node: &NodeName,
        result: Result<(), Refusal>,
        now: Moment,
    ) -> Vec<Action> {
        self.of_mut(node).for_each(|part| part.unanswered = false);
        if self.stage != Stage::Preparing {
            return self.prepared_late(node, &result, now);
        }
        match result {
            Ok(()) => {
                for part in self.of_mut(node).filter(|part| part.state == PartState::Preparing) {
                    part.state = PartState::Prepared;
                }
            }
            Err(refusal) => {
                let why = refusal.sentence(node);
                // Who said no has taken everything back; of who did not answer nobody knows.
                let nothing = matches!(refusal, Refusal::Refused(_));
                for part in self.of_mut(node).filter(|part| part.state == PartState::Preparing) {
                    part.state = if nothing { PartState::Untouched } else { PartState::Prepared };
                    part.trouble.clone_from(&why);
                }
                return self.heal(Stage::Failed, why, now);
            }
        }
        if self.parts.iter().all(|part| part.state == PartState::Prepared) {
            self.parts.iter_mut().for_each(|part| part.state = PartState::Committing);
            return vec![Action::Commit(self.nodes(|_| true))];
        }
        Vec::new()
    }

    /// It was told to take this out before it had answered: maybe before it had heard of it.
    fn prepared_late(
        &mut self,
        node: &NodeName,
        result: &Result<(), Refusal>,
        now: Moment,
    ) -> Vec<Action> {
        let unheard = |part: &&mut Part| part.state == PartState::Ended && !part.is_over();
        match result {
            Ok(()) => {
                let mut came_in = false;
                for part in self.of_mut(node).filter(unheard) {
                    part.state = PartState::Prepared;
                    came_in = true;
                }
                if came_in {
                    return vec![self.take_out(node)];
                }
            }
            Err(Refusal::Unreachable(_)) => {
                for part in self.of_mut(node).filter(unheard) {
                    part.state = PartState::Lost;
                }
            }
            Err(Refusal::Refused(_) | Refusal::Unknown) => {}
        }
        self.finish_if_out(now)
    }

    fn committed(
        &mut self,
        node: &NodeName,
        result: Result<Vec<Status>, Refusal>,
        now: Moment,
    ) -> Vec<Action> {
        match result {
            Err(refusal) => {
                let why = refusal.sentence(node);
                self.of_mut(node).for_each(|part| part.trouble.clone_from(&why));
                self.heal(Stage::Failed, why, now)
            }
            Ok(statuses) => {
                for status in statuses {
                    self.note(status, PartState::Active, now);
                }
                let begins = |part: &Part| part.state.comes_in() && !part.state.acts();
                if self.stage != Stage::Preparing || self.parts.iter().any(begins) {
                    return Vec::new();
                }
                self.stage = Stage::Active;
                self.deadline = Some(now + self.terms.total);
                let mut actions = vec![Action::Record];
                // Others may be over before the last one has begun: a kill is when everybody has ended.
                let early = |part: &&Part| part.state == PartState::Ended && !part.ran_its_time();
                actions.extend(match self.parts.iter().find(early).map(Part::ended_early) {
                    Some(why) => self.heal(Stage::Failed, why, now),
                    None => self.finish_if_out(now),
                });
                actions
            }
        }
    }

    fn note(&mut self, status: Status, otherwise: PartState, now: Moment) {
        let Some(place) = self.place(status.fault.id) else { return };
        let part = &mut self.parts[place];
        part.heard = now;
        if let Some(lease) = status.lease.filter(|_| self.guessed) {
            self.deadline = Some(now + lease.deadline.since(status.now));
            self.guessed = false;
        }
        if status.state.is_final() {
            part.state = PartState::Ended;
        } else if part.state.comes_in() {
            part.state = otherwise;
        }
        // An answer that was given before its end says less than the one of its end, and one that was read
        // earlier less than a later one, whichever comes first.
        let older = part.status.as_ref().is_some_and(|known| status.now < known.now);
        if status.state.is_final() || !(part.is_over() || older) {
            part.status = Some(status);
            part.read = Some(now);
        }
    }

    fn heard(&mut self, status: Status, now: Moment) -> Vec<Action> {
        let id = status.fault.id;
        let Some(part) = self.part(id) else { return Vec::new() };
        let state = part.state;
        let ended = status.state.is_final();
        let in_time = status.ran_its_time();
        self.note(status, state, now);
        if !ended {
            return Vec::new();
        }
        if self.stage == Stage::Active && self.is_let_go(id) {
            return vec![Action::Record];
        }
        match self.stage {
            Stage::Active if in_time => self.finish_if_out(now),
            Stage::Active => {
                let why = self.part(id).map(Part::ended_early).unwrap_or_default();
                self.heal(Stage::Failed, why, now)
            }
            Stage::Healing | Stage::Unconfirmed => self.finish_if_out(now),
            // On the way in the answer to the commit says it too.
            Stage::Pending | Stage::Preparing | Stage::Healed | Stage::Expired | Stage::Failed => {
                Vec::new()
            }
        }
    }

    /// Whether the end of a part is no failure.
    fn is_let_go(&mut self, id: FaultId) -> bool {
        let Some(place) = self.place(id) else { return false };
        let part = &mut self.parts[place];
        part.let_go |= part.gone_with_its_pod().is_some();
        part.shorten_if_out();
        part.let_go
    }

    /// Takes everything out that may be in.
    fn heal(&mut self, fate: Stage, reason: String, now: Moment) -> Vec<Action> {
        if self.stage.is_final() || self.stage == Stage::Healing {
            return Vec::new();
        }
        self.stage = Stage::Healing;
        self.fate = Some((fate, reason));
        let nodes = self.nodes(|part| part.state.may_be_in());
        let mut actions: Vec<Action> = nodes.iter().map(|node| self.take_out(node)).collect();
        // After the nodes were asked: no disk that hangs keeps a fault in.
        actions.push(Action::Record);
        actions.extend(self.finish_if_out(now));
        actions
    }

    fn take_out(&mut self, node: &NodeName) -> Action {
        for part in self.of_mut(node).filter(|part| part.state.may_be_in()) {
            part.state = PartState::Healing;
        }
        Action::Heal(node.clone())
    }

    fn healed(
        &mut self,
        node: &NodeName,
        result: Result<Vec<Status>, Refusal>,
        now: Moment,
    ) -> Vec<Action> {
        match result {
            Ok(statuses) => {
                for status in statuses {
                    self.note(status, PartState::Ended, now);
                }
                self.settle(node, PartState::Ended, "");
            }
            Err(Refusal::Unknown) => {
                let why = Refusal::Unknown.sentence(node);
                for part in self.of_mut(node).filter(|part| part.state == PartState::Healing) {
                    part.state = PartState::Ended;
                    // What never came in was not lost by its agent.
                    if part.status.is_some() {
                        part.trouble.clone_from(&why);
                    }
                }
            }
            Err(refusal @ (Refusal::Unreachable(_) | Refusal::Refused(_))) => {
                let why = refusal.sentence(node);
                self.settle(node, PartState::Lost, &why);
            }
        }
        self.finish_if_out(now)
    }

    /// What was on its way out of a node is not any more.
    fn settle(&mut self, node: &NodeName, state: PartState, trouble: &str) {
        for part in self.of_mut(node).filter(|part| part.state == PartState::Healing) {
            part.state = state;
            if !trouble.is_empty() {
                trouble.clone_into(&mut part.trouble);
            }
        }
    }

    fn finish_if_out(&mut self, now: Moment) -> Vec<Action> {
        let pending = |part: &Part| {
            let unheard = part.unanswered && part.state != PartState::Lost;
            unheard || part.state.comes_in() || part.state == PartState::Healing
        };
        if self.parts.iter().any(pending) {
            return Vec::new();
        }
        let lost = self.parts.iter().any(|part| part.state == PartState::Lost);
        let over = self.deadline.is_some_and(|deadline| now >= deadline);
        // What has left and was lost is out by then, though nobody says so.
        if lost && !over && self.stage == Stage::Active {
            return Vec::new();
        }
        // Every node has answered, and one of them that it could not take everything out.
        if let Some(part) = self.parts.iter().find(|part| part.stays()) {
            let why = format!("{}: something of it could not be taken out", part.node);
            self.fate = Some((Stage::Failed, why));
        }
        let fate = self.fate.as_ref().map_or(Stage::Expired, |(fate, _)| *fate);
        let certain = fate == Stage::Expired && !self.guessed && over;
        let stage = if lost && !certain { Stage::Unconfirmed } else { fate };
        if stage == self.stage {
            return Vec::new();
        }
        self.stage = stage;
        vec![Action::Record]
    }

    fn found(&mut self, node: &NodeName) -> Vec<Action> {
        match self.stage {
            Stage::Active => {
                let mut actions = self.leave_late(node);
                actions.push(Action::List(node.clone()));
                actions
            }
            Stage::Healing | Stage::Unconfirmed if self.owes(node) => vec![self.take_out(node)],
            Stage::Healing | Stage::Unconfirmed => Vec::new(),
            Stage::Pending | Stage::Preparing | Stage::Healed | Stage::Expired | Stage::Failed => {
                Vec::new()
            }
        }
    }

    fn listed(&mut self, node: &NodeName, statuses: Vec<Status>, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        let known: BTreeSet<_> = statuses.iter().map(|status| status.fault.id).collect();
        for status in statuses {
            actions.extend(self.heard(status, now));
        }
        if self.stage != Stage::Active {
            return actions;
        }
        let mut gone = false;
        for part in self.of_mut(node).filter(|part| part.state.acts()) {
            if !known.contains(&part.fault.id) {
                part.state = PartState::Ended;
                part.trouble = Refusal::Unknown.sentence(node);
                gone = true;
            }
        }
        if gone {
            actions.extend(self.heal(Stage::Failed, Refusal::Unknown.sentence(node), now));
        }
        actions
    }

    fn tick(&mut self, now: Moment) -> Vec<Action> {
        match self.stage {
            Stage::Active => {}
            Stage::Healing => {
                // After a restart nobody may come back to be asked; then the leases have ended it.
                let waits = |part: &Part| part.state == PartState::Lost;
                let over = self.parts.iter().all(|p| now > p.heard + self.terms.lease + GRACE);
                if over && self.parts.iter().any(waits) {
                    return self.finish_if_out(now);
                }
                return Vec::new();
            }
            Stage::Pending
            | Stage::Preparing
            | Stage::Healed
            | Stage::Expired
            | Stage::Failed
            | Stage::Unconfirmed => return Vec::new(),
        }
        let over = self.settle_leavers(now);
        if self.stage != Stage::Active {
            return over;
        }
        if self.deadline.is_some_and(|deadline| now > deadline + GRACE) {
            if self.guessed {
                return self.heal(Stage::Expired, "its deadline has passed".to_owned(), now);
            }
            for part in self.parts.iter_mut().filter(|part| part.state.acts()) {
                part.state = PartState::Lost;
                part.trouble = format!("{}: its end was not heard", part.node);
            }
            return self.finish_if_out(now);
        }
        let lapsed = |part: &&mut Part| part.state.acts() && now > part.heard + self.terms.lease;
        let mut silent = None;
        for part in self.parts.iter_mut().filter(lapsed) {
            part.state = PartState::Lost;
            let why = format!("{}: not heard for longer than the lease, which ends it", part.node);
            part.trouble.clone_from(&why);
            silent = Some(why);
        }
        silent.map_or_else(Vec::new, |why| self.heal(Stage::Failed, why, now))
    }
}

fn spans(parts: &[Part]) -> BTreeMap<NodeName, Range<usize>> {
    let mut spans: BTreeMap<NodeName, Range<usize>> = BTreeMap::new();
    for (place, part) in parts.iter().enumerate() {
        spans.entry(part.node.clone()).or_insert(place..place).end = place + 1;
    }
    spans
}
