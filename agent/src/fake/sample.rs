//! Faults and nodes for property tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use fault::{
    Aspect, BootTime, Chance, Cut, Fault, FaultId, FlowAge, IntentId, Kind, LeaseTerms, Mode,
    NodeName, Peers, Prefix, Side, Verdict,
};
use proptest::prelude::*;

use super::{FakeKernel, Loaded};
use crate::executor::apply;
use crate::kernel::{Kernel, KernelError, Observed, Peer, Place, Sight, Slot, Step};
use crate::plan::{self, Holdings, Remaining};
use crate::truth::Recorded;

/// A cut and the last bytes of its peers' addresses.
pub(crate) type Wish = (Cut, BTreeSet<u8>);

pub(crate) fn cut() -> impl Strategy<Value = Cut> {
    let mode = prop_oneof![Just(Mode::Packet), Just(Mode::Initiator)];
    let flows = prop_oneof![Just(FlowAge::All), Just(FlowAge::New), Just(FlowAge::Established)];
    let side = prop_oneof![Just(Side::Ingress), Just(Side::Egress)];
    (mode, flows, side, proptest::option::of(1u16..), any::<u64>()).prop_map(
        |(mode, flows, side, port, seed)| Cut {
            mode,
            protocol: None,
            port,
            flows,
            loss: Chance::CERTAIN,
            seed,
            verdict: Verdict::Drop,
            side,
        },
    )
}

pub(crate) fn wish() -> impl Strategy<Value = Wish> {
    (cut(), proptest::collection::btree_set(1u8..20, 1..6))
}

pub(crate) fn slot(number: usize) -> Slot {
    Slot::all().nth(number).unwrap()
}

pub(crate) fn fault(part: u16, place: &Place, (cut, peers): &Wish) -> Fault {
    let fixed = peers.iter().map(|last| Prefix::host(IpAddr::from([10, 9, 0, *last])));
    Fault {
        id: FaultId { intent: IntentId::from_random(7), part },
        selector: place.selector.clone(),
        target: place.identity,
        kind: Kind::Cut(*cut),
        peers: Peers { fixed: fixed.collect(), followed: None },
        terms: LeaseTerms::new(Duration::from_secs(15), Duration::from_secs(60)).unwrap(),
        control_path: Vec::new(),
    }
}

/// A node with one target and the faults on it, without a worker.
pub(crate) struct Node {
    pub(crate) kernel: FakeKernel,
    pub(crate) place: Place,
    pub(crate) holdings: Holdings,
    pub(crate) faults: BTreeMap<Slot, (Fault, BTreeSet<Peer>, Vec<Step>)>,
}

impl Node {
    pub(crate) fn new() -> Self {
        let kernel = FakeKernel::frozen(NodeName::new("fake").unwrap());
        kernel.node(|node| {
            let cookie = node.add_namespace("t", &[IpAddr::from([10, 9, 0, 100])]);
            node.add_veth(cookie, 3, "eth1");
        });
        let selector = "netns:t".parse().unwrap();
        let target = kernel.resolve(&selector, Aspect::Network).unwrap().remove(0);
        let place = Place { selector, identity: target.identity };
        Self { kernel, place, holdings: Holdings::default(), faults: BTreeMap::new() }
    }

    pub(crate) fn look(&self) -> Observed {
        match self.kernel.inspect(&self.place).unwrap() {
            Sight::Present(observed) => observed,
            Sight::Gone(gone) => panic!("{gone:?}"),
        }
    }

    pub(crate) fn loaded(&self) -> Option<Loaded> {
        self.kernel.loaded(self.place.identity.namespace)
    }

    /// Puts a fault in and lets it act.
    pub(crate) fn put(&mut self, number: usize, wish: &Wish) -> Result<(), KernelError> {
        let slot = slot(number);
        let fault = fault(u16::try_from(number).unwrap(), &self.place, wish);
        let observed = self.look();
        let peers = plan::resolve_peers(&fault, &observed, &[]).unwrap().peers;
        let steps = plan::prepare(&fault, wish.0, slot, &peers, &observed, &self.holdings).unwrap();
        let (done, result) = apply(&self.kernel, &self.place, steps);
        for step in &done {
            self.holdings.note(step);
        }
        result?;
        let (start, end) = self.lease();
        self.kernel.perform(&self.place, &Step::Begin { slot, start, end })?;
        self.faults.insert(slot, (fault, peers, done));
        Ok(())
    }

    fn lease(&self) -> (BootTime, BootTime) {
        (self.kernel.now(), self.kernel.now() + Duration::from_secs(15))
    }

    /// Takes a fault out.
    pub(crate) fn heal(&mut self, number: usize) {
        let (_, _, done) = self.faults.remove(&slot(number)).unwrap();
        let remaining = if self.faults.is_empty() {
            Remaining::Nobody
        } else {
            let tracks = |fault: &Fault| fault.kind.cut().is_some_and(Cut::tracks_flows);
            let kept = self.faults.values().filter(|(fault, ..)| tracks(fault));
            Remaining::Observed(kept.flat_map(|(_, peers, _)| peers.clone()).collect())
        };
        self.perform(&plan::heal(&done, remaining));
    }

    pub(crate) fn perform(&mut self, steps: &[Step]) {
        for step in steps {
            self.kernel.perform(&self.place, step).unwrap();
            self.holdings.note(step);
        }
    }

    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        let recorded = |(slot, (fault, ..)): (&Slot, &(Fault, _, _))| Recorded {
            slot: *slot,
            aspect: fault.kind.aspect(),
            sides: fault.kind.cut().map(plan::sides).unwrap_or_default(),
            lease: Some(self.lease()),
        };
        self.faults.iter().map(recorded).collect()
    }
}

pub(crate) fn plain_cut() -> Cut {
    Cut {
        mode: Mode::Packet,
        protocol: None,
        port: None,
        flows: FlowAge::All,
        loss: Chance::CERTAIN,
        seed: 0,
        verdict: Verdict::Drop,
        side: Side::Ingress,
    }
}
