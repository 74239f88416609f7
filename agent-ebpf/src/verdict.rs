//! One fault's verdict over a packet from or to one of its peers.

use crate::{
    abi::{
        AGE_ESTABLISHED, AGE_NEW, CERTAIN, Lease, MODE_INITIATOR, PROTOCOL_ANY, PROTOCOL_ICMP,
        Rule, VERDICT_COUNT,
    },
    loss,
    origin::{ALWAYS_NEW, Basis, Opened},
    packet::Packet,
    parse::{Fragment, HIDDEN},
    sight::{Exemption, Sight},
    tables::{Series, Slot, Tables},
    transport::{self, Kind},
};

/// A fault's verdict.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The packet passes this fault.
    Pass = 0,
    /// It is lost.
    Lose = 1,
    /// It passes, since what the rule asks for could not be read.
    Unreadable = 2,
}

/// How a packet fits what a rule selects by protocol and port.
enum Fit {
    Yes,
    No,
    /// Only the part of the datagram with the transport header tells.
    Elsewhere,
    Unreadable,
}

/// Judges the packet by the fault in `slot`, and counts.
#[inline(always)]
pub(crate) fn judge<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    sight: &mut Sight,
    slot: Slot,
) -> Verdict {
    let Some(rule) = tables.rule(slot) else { return Verdict::Pass };
    let lease = tables.lease(slot);
    if rule.side != sight.side as u8 || lease.end == 0 {
        return Verdict::Pass;
    }
    let whole = match fit(rule, sight) {
        Fit::No => return Verdict::Pass,
        Fit::Unreadable => return Verdict::Unreadable,
        Fit::Yes => true,
        Fit::Elsewhere => false,
    };
    sight.now(tables);
    if let Some(passed) = why_passed(rule, &lease, sight, whole) {
        count(tables, sight, slot, passed, Basis::Known);
        return Verdict::Pass;
    }
    let mut basis = Basis::Known;
    if rule.mode == MODE_INITIATOR {
        basis = sight.origin.basis;
        let opened = match sight.origin.opened(sight.sender) {
            Opened::Sender => None,
            Opened::Receiver => Some(Passed::OtherOpener),
            Opened::Unknown => Some(Passed::OpenerUnknown),
        };
        if let Some(passed) = opened {
            count(tables, sight, slot, passed, basis);
            return Verdict::Pass;
        }
    }
    if is_other_age(rule.age, sight.origin.began, lease.start) {
        count(tables, sight, slot, Passed::OtherAge, basis);
        return Verdict::Pass;
    }
    let loses = rule.chance >= CERTAIN
        || loss::loses(rule.seed, tables.number(slot, sight.series), rule.chance);
    effect(packet, tables, sight, &Judged { slot, basis, lost: loses.into() });
    if loses && rule.verdict != VERDICT_COUNT { Verdict::Lose } else { Verdict::Pass }
}

/// Selection by protocol and port (TO's port, which is the destination's).
#[inline(never)]
fn fit(rule: &Rule, sight: &Sight) -> Fit {
    let later = sight.upper.fragment == Fragment::Later;
    if rule.protocol != PROTOCOL_ANY {
        if sight.upper.protocol == HIDDEN {
            return if later { Fit::Elsewhere } else { Fit::Unreadable };
        }
        let fits = if rule.protocol == PROTOCOL_ICMP {
            transport::is_icmp(sight.header.family, sight.upper.protocol)
        } else {
            rule.protocol == sight.upper.protocol
        };
        if !fits {
            return Fit::No;
        }
    }
    if rule.port == 0 && !rule.needs_flows() {
        return Fit::Yes;
    }
    if later {
        Fit::Elsewhere
    } else if sight.transport.kind == Kind::Unreadable {
        Fit::Unreadable
    } else if rule.port != 0 && rule.port != sight.transport.destination {
        Fit::No
    } else {
        Fit::Yes
    }
}

/// Why a packet that fits is not judged.
#[derive(Clone, Copy)]
enum Passed {
    NotBegun,
    Expired,
    Exempt,
    Fragment,
    OtherOpener,
    OpenerUnknown,
    OtherAge,
}

#[inline(never)]
fn why_passed(rule: &Rule, lease: &Lease, sight: &Sight, whole: bool) -> Option<Passed> {
    let now = sight.clock;
    if now >= lease.end {
        Some(Passed::Expired)
    } else if now < lease.start {
        Some(Passed::NotBegun)
    } else if sight.exemption == Exemption::Granted {
        Some(Passed::Exempt)
    } else if !whole || (sight.upper.fragment == Fragment::Later && rule.chance < CERTAIN) {
        Some(Passed::Fragment)
    } else {
        None
    }
}

/// Flows that began at or after the lease's start are new.
#[inline(never)]
fn is_other_age(age: u8, began: u64, start: u64) -> bool {
    let new = began == ALWAYS_NEW || (began != 0 && began >= start);
    match age {
        AGE_NEW => !new,
        AGE_ESTABLISHED => new,
        _ => false,
    }
}

/// Counts a packet that is not judged; of a probe only what happens to it in the end is counted.
#[inline(never)]
fn count<T: Tables>(tables: &T, sight: &Sight, slot: Slot, passed: Passed, basis: Basis) {
    if sight.series == Series::Probes {
        return;
    }
    tables.counters(slot, |counters| {
        let counter = match passed {
            Passed::NotBegun => &mut counters.not_begun,
            Passed::Expired => &mut counters.expired,
            Passed::Exempt => &mut counters.exempt,
            Passed::Fragment => &mut counters.fragment,
            Passed::OtherOpener => &mut counters.other_opener,
            Passed::OpenerUnknown => &mut counters.opener_unknown,
            Passed::OtherAge => &mut counters.other_age,
        };
        *counter += 1;
        if basis == Basis::Guessed {
            counters.opener_guessed += 1;
        }
    });
}

/// What came of a packet that is judged.
struct Judged {
    slot: Slot,
    basis: Basis,
    /// 1 or 0.
    lost: u64,
}

/// Counts a packet that is judged.
#[inline(never)]
fn effect<P: Packet, T: Tables>(packet: &P, tables: &T, sight: &Sight, judged: &Judged) {
    let (lost, now) = (judged.lost, sight.clock);
    tables.counters(judged.slot, |counters| {
        if sight.series == Series::Probes {
            counters.probes_matched += 1;
            counters.probes_lost += lost;
            return;
        }
        counters.matched += 1;
        if judged.basis == Basis::Guessed {
            counters.opener_guessed += 1;
        }
        if lost == 0 {
            counters.spared += 1;
            return;
        }
        counters.lost += 1;
        counters.lost_segments += u64::from(packet.segments());
        counters.lost_bytes += u64::from(packet.length());
        if counters.first_loss == 0 {
            counters.first_loss = now;
        }
        counters.last_loss = now;
    });
}
