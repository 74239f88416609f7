//! Faults and effects in the form that the programs have of them.

use agent_ebpf::abi::{
    AGE_ALL, AGE_ESTABLISHED, AGE_NEW, Counters, MODE_INITIATOR, MODE_PACKET, PROTOCOL_ANY,
    PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, Rule, VERDICT_COUNT, VERDICT_DROP,
};
use fault::{BootTime, Cut, Effect, FlowAge, Mode, Protocol, Verdict};

use super::peers::hook;

/// The rule of a cut.
pub(super) fn rule_of(cut: &Cut) -> Rule {
    Rule {
        chance: cut.loss.fraction(),
        seed: cut.seed,
        mode: match cut.mode {
            Mode::Packet => MODE_PACKET,
            Mode::Initiator => MODE_INITIATOR,
        },
        side: hook(cut.side) as u8,
        verdict: match cut.verdict {
            Verdict::Drop => VERDICT_DROP,
            Verdict::Count => VERDICT_COUNT,
        },
        protocol: protocol_number(cut.protocol),
        port: cut.port.unwrap_or(0),
        age: match cut.flows {
            FlowAge::All => AGE_ALL,
            FlowAge::New => AGE_NEW,
            FlowAge::Established => AGE_ESTABLISHED,
        },
        pad: 0,
    }
}

/// The number of a protocol in rules and keys.
pub(super) const fn protocol_number(protocol: Option<Protocol>) -> u8 {
    match protocol {
        None => PROTOCOL_ANY,
        Some(Protocol::Tcp) => PROTOCOL_TCP,
        Some(Protocol::Udp) => PROTOCOL_UDP,
        Some(Protocol::Icmp) => PROTOCOL_ICMP,
    }
}

/// What one CPU counted.
pub(super) fn effect_of(counters: &Counters) -> Effect {
    let time = |nanos: u64| (nanos != 0).then(|| BootTime::from_nanos(nanos));
    Effect {
        matched: counters.matched,
        lost: counters.lost,
        lost_segments: counters.lost_segments,
        lost_bytes: counters.lost_bytes,
        spared: counters.spared,
        expired: counters.expired,
        not_begun: counters.not_begun,
        exempt: counters.exempt,
        other_opener: counters.other_opener,
        opener_guessed: counters.opener_guessed,
        opener_unknown: counters.opener_unknown,
        other_age: counters.other_age,
        fragment: counters.fragment,
        probes_matched: counters.probes_matched,
        probes_lost: counters.probes_lost,
        first_loss: time(counters.first_loss),
        last_loss: time(counters.last_loss),
    }
}
