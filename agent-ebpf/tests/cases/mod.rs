//! The table of cases: set-up, packets, verdicts and counters. Two tests run it: `decision` in
//! memory, `verdicts` in the kernel.
#![expect(clippy::unwrap_used, reason = "a helper of tests, which fail where it fails")]

pub(crate) mod faults;
pub(crate) mod frames;
pub(crate) mod headers;
pub(crate) mod openers;
pub(crate) mod world;

use agent_ebpf::abi::*;
use world::World;

/// A packet at a side, and whether it is to be lost.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) side: Side,
    pub(crate) frame: Vec<u8>,
    pub(crate) lost: bool,
}

/// The named counters of slot 0, and their values.
pub(crate) type Counts = &'static [(&'static str, u64)];

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) world: World,
    pub(crate) steps: Vec<Step>,
    /// Of slot 0; all others of it are 0. Times, bytes and segments are not compared.
    pub(crate) counters: Counts,
    /// Both sides together.
    pub(crate) unparsable: u64,
}

impl Case {
    pub(crate) fn new(name: &str, world: World) -> Self {
        Self { name: name.into(), world, steps: Vec::new(), counters: &[], unparsable: 0 }
    }
    fn step(mut self, side: Side, frame: Vec<u8>, lost: bool) -> Self {
        self.steps.push(Step { side, frame, lost });
        self
    }
    /// Received, and lost.
    pub(crate) fn lost(self, frame: Vec<u8>) -> Self {
        self.step(Side::Ingress, frame, true)
    }
    /// Received, and passed.
    pub(crate) fn passed(self, frame: Vec<u8>) -> Self {
        self.step(Side::Ingress, frame, false)
    }
    /// Sent, and lost.
    pub(crate) fn sent_lost(self, frame: Vec<u8>) -> Self {
        self.step(Side::Egress, frame, true)
    }
    /// Sent, and passed.
    pub(crate) fn sent(self, frame: Vec<u8>) -> Self {
        self.step(Side::Egress, frame, false)
    }
    pub(crate) fn counts(mut self, counters: Counts) -> Self {
        self.counters = counters;
        self
    }
    pub(crate) fn unparsable(mut self, count: u64) -> Self {
        self.unparsable = count;
        self
    }
}

/// All rows.
pub(crate) fn all() -> Vec<Case> {
    [faults::cases(), headers::cases(), openers::cases()].concat()
}

/// A rule that loses every packet from its peers.
pub(crate) const CUT: Rule = Rule {
    chance: CERTAIN,
    seed: 1,
    mode: MODE_PACKET,
    side: Side::Ingress as u8,
    verdict: VERDICT_DROP,
    protocol: PROTOCOL_ANY,
    port: 0,
    age: AGE_ALL,
    pad: 0,
};

/// The same at egress.
pub(crate) const EGRESS: Rule = Rule { side: Side::Egress as u8, ..CUT };
/// Flows that the peer opened.
pub(crate) const INITIATOR: Rule = Rule { mode: MODE_INITIATOR, ..CUT };

/// Checks the counters of slot 0 against what a row names.
pub(crate) fn check(case: &Case, found: &Counters) {
    let mut expected = Counters {
        lost_segments: found.lost_segments,
        lost_bytes: found.lost_bytes,
        first_loss: found.first_loss,
        last_loss: found.last_loss,
        ..Counters::default()
    };
    for (name, value) in case.counters {
        let counter = match *name {
            "matched" => &mut expected.matched,
            "lost" => &mut expected.lost,
            "spared" => &mut expected.spared,
            "expired" => &mut expected.expired,
            "not_begun" => &mut expected.not_begun,
            "exempt" => &mut expected.exempt,
            "other_opener" => &mut expected.other_opener,
            "opener_guessed" => &mut expected.opener_guessed,
            "opener_unknown" => &mut expected.opener_unknown,
            "other_age" => &mut expected.other_age,
            "fragment" => &mut expected.fragment,
            "probes_matched" => &mut expected.probes_matched,
            "probes_lost" => &mut expected.probes_lost,
            other => panic!("{}: no counter {other}", case.name),
        };
        *counter = *value;
    }
    assert_eq!(*found, expected, "{}", case.name);
    assert_eq!(found.first_loss == 0, found.lost == 0, "{}", case.name);
    assert_eq!(found.lost_segments, found.lost, "{}", case.name);
    if found.lost == case.steps.iter().filter(|step| step.lost).count() as u64 {
        let bytes: usize =
            case.steps.iter().filter(|step| step.lost).map(|step| step.frame.len()).sum();
        assert_eq!(found.lost_bytes, bytes as u64, "{}", case.name);
    }
}
