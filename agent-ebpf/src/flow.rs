//! Who opened a flow: a state machine over what passes the hooks. Pure.

use crate::{
    abi::{
        Flow, OPENER_LOCAL, OPENER_REMOTE, SERVED_SURE, SOURCE_GUESSED, SOURCE_SEEN, STAGE_OPEN,
        STAGE_PENDING, SYN_PENDING_NS, UDP_IDLE_NS,
    },
    transport::{TCP_ACK, TCP_SYN},
};

/// One end of a flow, seen from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The target.
    Local,
    /// The peer.
    Remote,
}

impl Party {
    /// Its `OPENER_*` bit.
    #[inline(always)]
    pub const fn bit(self) -> u8 {
        match self {
            Self::Local => OPENER_LOCAL,
            Self::Remote => OPENER_REMOTE,
        }
    }

    /// The other end.
    #[inline(always)]
    pub const fn other(self) -> Self {
        match self {
            Self::Local => Self::Remote,
            Self::Remote => Self::Local,
        }
    }
}

/// The flow after a TCP segment with SYN (RFC 9293 3.5) at `now` (boot time, ns).
///
/// A SYN without ACK joins an attempt under way: a retransmission leaves it as it is, the other
/// side's makes it a simultaneous open. Otherwise it begins a flow. A SYN|ACK names its receiver.
/// What a socket dump said does not count any more once a SYN is seen.
#[inline(always)]
pub fn synchronise(flow: Option<Flow>, sender: Party, flags: u8, now: u64) -> Flow {
    let bare = flags & TCP_ACK == 0;
    let opener = if bare { sender } else { sender.other() };
    let fresh = Flow {
        began: if bare { now } else { 0 },
        latest: now,
        openers: opener.bit(),
        source: SOURCE_SEEN,
        stage: if bare { STAGE_PENDING } else { STAGE_OPEN },
        pad: [0; 5],
    };
    let Some(known) = flow else { return fresh };
    let pending = known.source == SOURCE_SEEN
        && known.stage == STAGE_PENDING
        && now.saturating_sub(known.began) <= SYN_PENDING_NS;
    if pending {
        Flow { began: known.began, openers: known.openers | opener.bit(), ..fresh }
    } else if !bare && known.openers == opener.bit() {
        Flow { began: known.began, ..fresh }
    } else {
        fresh
    }
}

/// Whether a TCP segment has SYN; any other one never begins a flow, it only ends an attempt.
#[inline(always)]
pub const fn synchronises(flags: u8) -> bool {
    flags & TCP_SYN != 0
}

/// Whether a known UDP flow is so idle at `now` that the next datagram begins another.
#[inline(always)]
pub const fn is_idle(flow: &Flow, now: u64) -> bool {
    now.saturating_sub(flow.latest) > UDP_IDLE_NS
}

/// The flow that a UDP datagram without one begins; none if nobody knows who opened it.
///
/// Once flows were observed for longer than [`UDP_IDLE_NS`], any older flow would have been seen
/// or is forgotten, and the sender opened this one. Before that the datagram may belong to an older
/// flow: then the local port decides (`served`, a `SERVED_*` or 0).
#[inline(always)]
pub fn datagram(sender: Party, served: u8, now: u64, observed_since: u64) -> Option<Flow> {
    let (opener, source) =
        if observed_since != 0 && now.saturating_sub(observed_since) > UDP_IDLE_NS {
            (sender, SOURCE_SEEN)
        } else {
            match (sender, served) {
                (Party::Remote, 0) => return None,
                (Party::Remote, SERVED_SURE) => (Party::Remote, SOURCE_SEEN),
                // Of a server's port a datagram may be the answer to one from before the observation.
                (Party::Remote, _) | (Party::Local, SERVED_SURE) => (Party::Remote, SOURCE_GUESSED),
                (Party::Local, _) => (Party::Local, SOURCE_SEEN),
            }
        };
    Some(Flow {
        began: if source == SOURCE_GUESSED { 0 } else { now },
        latest: now,
        openers: opener.bit(),
        source,
        stage: STAGE_OPEN,
        pad: [0; 5],
    })
}
