//! What is asked of a controller, to and from the wire.

use fault::{Enforcement, NodeName, Pick, Preset, Selector};

use crate::control as wire;
use crate::invalid::{known, unspecified};
use crate::{Invalid, required};

impl From<Pick> for wire::Pick {
    fn from(pick: Pick) -> Self {
        use wire::pick::Kind;
        let kind = match pick {
            Pick::One => Kind::Count(1),
            Pick::All => Kind::All(true),
            Pick::Count(count) => Kind::Count(count),
            Pick::Percent(percent) => Kind::Percent(percent.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::Pick> for Pick {
    type Error = Invalid;

    fn try_from(pick: wire::Pick) -> Result<Self, Invalid> {
        use wire::pick::Kind;
        match required(pick.kind, "kind")? {
            Kind::All(_) => Ok(Self::All),
            Kind::Count(0) => Err(Invalid::new("count", "is 0")),
            Kind::Count(1) => Ok(Self::One),
            Kind::Count(count) => Ok(Self::Count(count)),
            Kind::Percent(percent) => match u8::try_from(percent) {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                Ok(_) | Err(_) => Err(Invalid::new("percent", "is not from 1 to 100")),
            },
        }
    }
}

impl From<&Selector> for wire::Selector {
    fn from(selector: &Selector) -> Self {
        Self {
            pick: selector.pick.map(Into::into),
            scheme: Some(selector.into()),
            node: selector.node.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::Selector> for Selector {
    type Error = Invalid;

    fn try_from(selector: wire::Selector) -> Result<Self, Invalid> {
        let pick = selector.pick.map(Pick::try_from).transpose();
        let node = match selector.node.as_str() {
            "" => None,
            name => {
                let invalid = || Invalid::new("node", "is no node's name");
                Some(NodeName::new(name).ok_or_else(invalid)?)
            }
        };
        let scheme: Self = required(selector.scheme, "scheme")?.try_into()?;
        Ok(Self { pick: pick.map_err(|e| e.within("pick"))?, node, ..scheme })
    }
}

impl From<Option<Enforcement>> for wire::Enforcement {
    fn from(enforcement: Option<Enforcement>) -> Self {
        match enforcement {
            None => Self::Unspecified,
            Some(Enforcement::Receiver) => Self::Receiver,
            Some(Enforcement::Sender) => Self::Sender,
            Some(Enforcement::Both) => Self::Both,
        }
    }
}

/// Where a cut is enforced, if that was said.
///
/// # Errors
/// A number that this version does not know.
pub fn enforcement(number: i32) -> Result<Option<Enforcement>, Invalid> {
    Ok(match known(number, "enforcement")? {
        wire::Enforcement::Unspecified => None,
        wire::Enforcement::Receiver => Some(Enforcement::Receiver),
        wire::Enforcement::Sender => Some(Enforcement::Sender),
        wire::Enforcement::Both => Some(Enforcement::Both),
    })
}

impl From<Preset> for wire::Preset {
    fn from(preset: Preset) -> Self {
        match preset {
            Preset::Isolate => Self::Isolate,
            Preset::IsolateIn => Self::IsolateIn,
            Preset::IsolateOut => Self::IsolateOut,
            Preset::Split => Self::Split,
            Preset::Bridge => Self::Bridge,
            Preset::MajoritiesRing => Self::MajoritiesRing,
            Preset::MinorityThird => Self::MinorityThird,
        }
    }
}

/// A preset by its number.
///
/// # Errors
/// None was said, or one that this version does not know.
pub fn preset(number: i32) -> Result<Preset, Invalid> {
    Ok(match known(number, "preset")? {
        wire::Preset::Unspecified => return Err(unspecified("preset")),
        wire::Preset::Isolate => Preset::Isolate,
        wire::Preset::IsolateIn => Preset::IsolateIn,
        wire::Preset::IsolateOut => Preset::IsolateOut,
        wire::Preset::Split => Preset::Split,
        wire::Preset::Bridge => Preset::Bridge,
        wire::Preset::MajoritiesRing => Preset::MajoritiesRing,
        wire::Preset::MinorityThird => Preset::MinorityThird,
    })
}
