//! One fault of an intent, as far as its controller knows.

use fault::{Fault, NodeName, Status};

use super::Moment;

/// One fault of an intent, on its node.
#[derive(Clone, Debug)]
pub struct Part {
    /// Where.
    pub node: NodeName,
    /// What is asked for.
    pub fault: Fault,
    /// How far it is.
    pub state: PartState,
    /// The last that was heard of it.
    pub status: Option<Status>,
    /// When anything was heard that says it lives.
    pub heard: Moment,
    /// When that status was heard; `None` if an earlier life of the controller has heard it.
    pub read: Option<Moment>,
    /// What went wrong, for people; empty for nothing.
    pub trouble: String,
    /// Its node was asked to put it in place, and has not answered: a heal may overtake that.
    pub unanswered: bool,
    /// Its end is no failure: its pod went, or another part has taken its place.
    pub let_go: bool,
    /// Whose place others may take.
    pub seated: Seated,
}

/// At which ends of a part there is a pod whose place another one may take: that it goes with it is no failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seated {
    /// Where it acts.
    pub target: bool,
    /// At the other side.
    pub peer: bool,
}

/// How far a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// Its node has nothing of it.
    Untouched,
    /// Its node was asked to put it in place.
    Preparing,
    /// It is in place, or may be.
    Prepared,
    /// Its node was asked to let it act.
    Committing,
    /// It acts.
    Active,
    /// Its node was asked to take it out.
    Healing,
    /// It is out.
    Ended,
    /// Its node could not be asked; its lease ends it.
    Lost,
}

impl PartState {
    /// Whether it acts as far as is known.
    #[must_use]
    pub fn acts(self) -> bool {
        self == Self::Active
    }

    /// Whether what a node says of it tells how far it is: what was taken out does not come back by an
    /// answer that was given before.
    #[must_use]
    pub const fn comes_in(self) -> bool {
        match self {
            Self::Preparing | Self::Prepared | Self::Committing | Self::Active => true,
            Self::Untouched | Self::Healing | Self::Ended | Self::Lost => false,
        }
    }

    /// Whether a node may have something of it that was not asked for yet.
    #[must_use]
    pub const fn may_be_in(self) -> bool {
        match self {
            Self::Preparing | Self::Prepared | Self::Committing | Self::Active | Self::Lost => true,
            Self::Untouched | Self::Healing | Self::Ended => false,
        }
    }
}

impl Part {
    /// Whether its node has said that it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.state.is_final())
    }

    /// Whether its node has said that something of it could not be taken out.
    #[must_use]
    pub fn stays(&self) -> bool {
        let drifts = self.status.iter().flat_map(|status| &status.drifts);
        self.is_over() && drifts.into_iter().any(|drift| drift.is_left())
    }

    /// Whether its node has said that it ended when it was to end, or has done all that it was to do.
    pub(super) fn ran_its_time(&self) -> bool {
        self.status.as_ref().is_some_and(Status::ran_its_time)
    }

    /// Why an intent fails of which this part has ended by itself.
    pub(super) fn ended_early(&self) -> String {
        let became = self.status.as_ref().map(|status| format!(": {}", status.state));
        format!("{}: it ended before its time{}", self.node, became.unwrap_or_default())
    }

    /// The last that was heard of it, carried on to this moment: its node's clock has gone on, and a lease
    /// that was renewed since lasts longer.
    #[must_use]
    pub fn by(&self, now: Moment) -> Option<Status> {
        let status = self.status.clone()?;
        let Some(read) = self.read.filter(|_| !status.state.is_final()) else {
            return Some(status);
        };
        let renewed = status.now + self.heard.saturating_sub(read) + self.fault.terms.lease;
        let mut by = status.later(now.saturating_sub(read));
        if let Some(window) = by.lease.as_mut().filter(|_| self.heard > read) {
            window.end = window.end.max(renewed).min(window.deadline);
        }
        Some(by)
    }

    /// A part that nobody has heard of yet.
    #[must_use]
    pub const fn new(node: NodeName, fault: Fault) -> Self {
        Self {
            node,
            fault,
            state: PartState::Untouched,
            status: None,
            heard: Moment::ZERO,
            read: None,
            trouble: String::new(),
            unanswered: false,
            let_go: false,
            seated: Seated { target: false, peer: false },
        }
    }
}
