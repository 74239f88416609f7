//! What a node can do and what was left on it, on the wire.

use fault::{Capability, Presence, Remnant, RemnantKind};

use crate::Invalid;
use crate::agent as wire;
use crate::invalid::{known, unspecified};

impl From<Capability> for wire::Capability {
    fn from(capability: Capability) -> Self {
        use wire::capability::Presence as Wire;
        let presence = match capability.presence {
            Presence::There => Wire::There,
            Presence::Missing => Wire::Missing,
            Presence::Warning => Wire::Warning,
        };
        Self {
            name: capability.name,
            presence: presence.into(),
            finding: capability.finding,
            meaning: capability.meaning,
        }
    }
}

impl TryFrom<wire::Capability> for Capability {
    type Error = Invalid;

    fn try_from(capability: wire::Capability) -> Result<Self, Invalid> {
        use wire::capability::Presence as Wire;
        let presence = match known(capability.presence, "presence")? {
            Wire::Unspecified => return Err(unspecified("presence")),
            Wire::There => Presence::There,
            Wire::Missing => Presence::Missing,
            Wire::Warning => Presence::Warning,
        };
        Ok(Self {
            name: capability.name,
            presence,
            finding: capability.finding,
            meaning: capability.meaning,
        })
    }
}

impl From<Remnant> for wire::Remnant {
    fn from(remnant: Remnant) -> Self {
        use wire::remnant::Kind as Wire;
        let kind = match remnant.kind {
            RemnantKind::Program => Wire::Program,
            RemnantKind::Map => Wire::Map,
            RemnantKind::Socket => Wire::Socket,
            RemnantKind::Lock => Wire::Lock,
            RemnantKind::Clock => Wire::Clock,
            RemnantKind::Holder => Wire::Holder,
        };
        Self {
            kind: kind.into(),
            id: remnant.id,
            name: remnant.name,
            holders: remnant.holders,
            removed: remnant.removed,
        }
    }
}

impl TryFrom<wire::Remnant> for Remnant {
    type Error = Invalid;

    fn try_from(remnant: wire::Remnant) -> Result<Self, Invalid> {
        use wire::remnant::Kind as Wire;
        let kind = match known(remnant.kind, "kind")? {
            Wire::Unspecified => return Err(unspecified("kind")),
            Wire::Program => RemnantKind::Program,
            Wire::Map => RemnantKind::Map,
            Wire::Socket => RemnantKind::Socket,
            Wire::Lock => RemnantKind::Lock,
            Wire::Clock => RemnantKind::Clock,
            Wire::Holder => RemnantKind::Holder,
        };
        Ok(Self {
            kind,
            id: remnant.id,
            name: remnant.name,
            holders: remnant.holders,
            removed: remnant.removed,
        })
    }
}
