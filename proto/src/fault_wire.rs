//! Faults on the wire.

use std::time::Duration;

use fault::{
    Aspect, Chance, Cut, Fault, FlowAge, Kind, LeaseTerms, Mode, PeerTarget, Peers, Protocol, Side,
    Verdict,
};

use crate::agent as wire;
use crate::invalid::{known, unspecified};
use crate::{Invalid, required};

impl From<Option<Protocol>> for wire::Protocol {
    fn from(protocol: Option<Protocol>) -> Self {
        match protocol {
            None => Self::Unspecified,
            Some(Protocol::Tcp) => Self::Tcp,
            Some(Protocol::Udp) => Self::Udp,
            Some(Protocol::Icmp) => Self::Icmp,
        }
    }
}

impl From<wire::Protocol> for Option<Protocol> {
    fn from(protocol: wire::Protocol) -> Self {
        match protocol {
            wire::Protocol::Unspecified => None,
            wire::Protocol::Tcp => Some(Protocol::Tcp),
            wire::Protocol::Udp => Some(Protocol::Udp),
            wire::Protocol::Icmp => Some(Protocol::Icmp),
        }
    }
}

impl From<Side> for wire::Side {
    fn from(side: Side) -> Self {
        match side {
            Side::Ingress => Self::Ingress,
            Side::Egress => Self::Egress,
        }
    }
}

impl TryFrom<wire::Side> for Side {
    type Error = Invalid;

    fn try_from(side: wire::Side) -> Result<Self, Invalid> {
        match side {
            wire::Side::Unspecified => Err(unspecified("side")),
            wire::Side::Ingress => Ok(Self::Ingress),
            wire::Side::Egress => Ok(Self::Egress),
        }
    }
}

impl From<&Cut> for wire::Cut {
    fn from(cut: &Cut) -> Self {
        let mode = match cut.mode {
            Mode::Packet => wire::Mode::Packet,
            Mode::Initiator => wire::Mode::Initiator,
        };
        let flows = match cut.flows {
            FlowAge::All => wire::FlowAge::All,
            FlowAge::New => wire::FlowAge::New,
            FlowAge::Established => wire::FlowAge::Established,
        };
        let verdict = match cut.verdict {
            Verdict::Drop => wire::Verdict::Drop,
            Verdict::Count => wire::Verdict::Count,
        };
        Self {
            mode: mode.into(),
            protocol: wire::Protocol::from(cut.protocol).into(),
            port: cut.port.unwrap_or(0).into(),
            flows: flows.into(),
            loss: cut.loss.fraction(),
            seed: cut.seed,
            verdict: verdict.into(),
            side: wire::Side::from(cut.side).into(),
        }
    }
}

impl TryFrom<wire::Cut> for Cut {
    type Error = Invalid;

    fn try_from(cut: wire::Cut) -> Result<Self, Invalid> {
        let mode = match known(cut.mode, "mode")? {
            wire::Mode::Unspecified => return Err(unspecified("mode")),
            wire::Mode::Packet => Mode::Packet,
            wire::Mode::Initiator => Mode::Initiator,
        };
        let flows = match known(cut.flows, "flows")? {
            wire::FlowAge::Unspecified => return Err(unspecified("flows")),
            wire::FlowAge::All => FlowAge::All,
            wire::FlowAge::New => FlowAge::New,
            wire::FlowAge::Established => FlowAge::Established,
        };
        let verdict = match known(cut.verdict, "verdict")? {
            wire::Verdict::Unspecified => return Err(unspecified("verdict")),
            wire::Verdict::Drop => Verdict::Drop,
            wire::Verdict::Count => Verdict::Count,
        };
        let port = match u16::try_from(cut.port) {
            Ok(0) => None,
            Ok(port) => Some(port),
            Err(_) => return Err(Invalid::new("port", "is above 65535")),
        };
        let protocol: Option<Protocol> = known::<wire::Protocol>(cut.protocol, "protocol")?.into();
        if port.is_some() && protocol == Some(Protocol::Icmp) {
            return Err(Invalid::new("port", "has no meaning for ICMP"));
        }
        Ok(Self {
            mode,
            protocol,
            port,
            flows,
            loss: Chance::from_fraction(cut.loss)
                .ok_or_else(|| Invalid::new("loss", "is not from 1 to 2^32"))?,
            seed: cut.seed,
            verdict,
            side: known::<wire::Side>(cut.side, "side")?.try_into()?,
        })
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

impl From<&Fault> for wire::Fault {
    fn from(fault: &Fault) -> Self {
        let kind = match &fault.kind {
            Kind::Cut(cut) => wire::fault::Kind::Cut(cut.into()),
            Kind::Skew(skew) => wire::fault::Kind::Skew(skew.into()),
            Kind::Freeze(freeze) => wire::fault::Kind::Freeze(freeze.into()),
            Kind::Kill(kill) => wire::fault::Kind::Kill(kill.into()),
            Kind::Stress(stress) => wire::fault::Kind::Stress(stress.into()),
        };
        Self {
            id: Some(fault.id.into()),
            selector: Some((&fault.selector).into()),
            target: Some(fault.target.into()),
            kind: Some(kind),
            peers: fault.peers.fixed.iter().map(Into::into).collect(),
            peer_target: fault.peers.followed.as_ref().map(|peer| wire::PeerTarget {
                identity: Some(peer.identity.into()),
                selector: Some((&peer.selector).into()),
            }),
            lease_ns: nanos(fault.terms.lease),
            total_ns: nanos(fault.terms.total),
            control_path: fault.control_path.iter().map(|end| (*end).into()).collect(),
        }
    }
}

impl TryFrom<wire::Fault> for Fault {
    type Error = Invalid;

    fn try_from(fault: wire::Fault) -> Result<Self, Invalid> {
        let within = |outer: &'static str| move |e: Invalid| e.within(outer);
        let kind = match required(fault.kind, "kind")? {
            wire::fault::Kind::Cut(cut) => Kind::Cut(cut.try_into().map_err(within("cut"))?),
            wire::fault::Kind::Skew(skew) => Kind::Skew(skew.try_into().map_err(within("skew"))?),
            wire::fault::Kind::Freeze(freeze) => {
                Kind::Freeze(freeze.try_into().map_err(within("freeze"))?)
            }
            wire::fault::Kind::Kill(kill) => Kind::Kill(kill.try_into().map_err(within("kill"))?),
            wire::fault::Kind::Stress(stress) => {
                Kind::Stress(stress.try_into().map_err(within("stress"))?)
            }
        };
        let followed = match fault.peer_target {
            None => None,
            Some(peer) => Some(PeerTarget {
                identity: required(peer.identity, "peer_target.identity")?.try_into()?,
                selector: required(peer.selector, "peer_target.selector")?.try_into()?,
            }),
        };
        let fixed = fault
            .peers
            .into_iter()
            .map(|prefix| prefix.try_into().map_err(within("peers")))
            .collect::<Result<Vec<_>, _>>()?;
        match (kind.aspect(), fixed.is_empty() && followed.is_none()) {
            (Aspect::Network, true) => return Err(Invalid::new("peers", "is missing")),
            (Aspect::Processes, false) => {
                return Err(Invalid::new("peers", "has no meaning for this kind of fault"));
            }
            (Aspect::Network, false) | (Aspect::Processes, true) => {}
        }
        let terms = LeaseTerms::new(
            Duration::from_nanos(fault.lease_ns),
            Duration::from_nanos(fault.total_ns),
        )
        .map_err(|error| Invalid::new("lease_ns", error))?;
        if let Kind::Skew(skew) = &kind {
            skew.check(terms).map_err(|error| Invalid::new("skew", error))?;
        }
        Ok(Self {
            id: required(fault.id, "id")?.try_into().map_err(within("id"))?,
            selector: required(fault.selector, "selector")?
                .try_into()
                .map_err(within("selector"))?,
            target: required(fault.target, "target")?.try_into().map_err(within("target"))?,
            kind,
            peers: Peers { fixed, followed },
            terms,
            control_path: fault
                .control_path
                .into_iter()
                .map(|end| end.try_into().map_err(within("control_path")))
                .collect::<Result<_, _>>()?,
        })
    }
}
