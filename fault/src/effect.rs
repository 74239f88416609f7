//! What a fault did, as the kernel counted it.

use std::ops::AddAssign;

use serde::Serialize;

use crate::BootTime;

/// Counts of one fault. A packet is one skb, which may carry up to 40 segments (GSO).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// Packets that the fault judged.
    pub matched: u64,
    /// Of these lost (with a shadow: that would have been lost).
    pub lost: u64,
    /// Segments in the lost packets.
    pub lost_segments: u64,
    /// Bytes in the lost packets, link-layer headers included.
    pub lost_bytes: u64,
    /// Matched, but spared by the draw of a loss below 100 %.
    pub spared: u64,
    /// Passed, because the lease had ended.
    pub expired: u64,
    /// Passed, because the lease had not begun.
    pub not_begun: u64,
    /// Passed: neighbour discovery or the control path.
    pub exempt: u64,
    /// Passed: the other side opened the flow.
    pub other_opener: u64,
    /// Judged by listening ports, because nothing better was known.
    pub opener_guessed: u64,
    /// Passed, because nobody knows who opened the flow.
    pub opener_unknown: u64,
    /// Passed: a flow of the other age.
    pub other_age: u64,
    /// Passed: a later fragment, with nothing to judge it by.
    pub fragment: u64,
    /// Probes that matched; in no other count.
    pub probes_matched: u64,
    /// Probes that were lost.
    pub probes_lost: u64,
    /// First loss.
    pub first_loss: Option<BootTime>,
    /// Latest loss.
    pub last_loss: Option<BootTime>,
}

impl Effect {
    /// Whether the fault judged anything at all.
    #[must_use]
    pub const fn happened(&self) -> bool {
        self.matched > 0
    }
}

impl AddAssign for Effect {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.lost += other.lost;
        self.lost_segments += other.lost_segments;
        self.lost_bytes += other.lost_bytes;
        self.spared += other.spared;
        self.expired += other.expired;
        self.not_begun += other.not_begun;
        self.exempt += other.exempt;
        self.other_opener += other.other_opener;
        self.opener_guessed += other.opener_guessed;
        self.opener_unknown += other.opener_unknown;
        self.other_age += other.other_age;
        self.fragment += other.fragment;
        self.probes_matched += other.probes_matched;
        self.probes_lost += other.probes_lost;
        self.first_loss = match (self.first_loss, other.first_loss) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        };
        self.last_loss = self.last_loss.max(other.last_loss);
    }
}

/// What passed a target's hook at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// Packets.
    pub seen: u64,
    /// IP packets whose headers could not be read; they pass.
    pub unparsable: u64,
}
