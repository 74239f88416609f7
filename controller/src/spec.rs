//! What is asked for: a cut between two ends, or a partition of a group.

use std::time::Duration;

use fault::{Cut, Enforcement, LeaseTerms, Preset, Selector};
use proto::control as wire;
use proto::{Invalid, control_wire, required};

use crate::link::nanos;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Between whom.
    pub what: What,
    /// What it loses; its side and its seed come from the rest.
    pub cut: Cut,
    /// Where it is enforced, if that was said.
    pub enforcement: Option<Enforcement>,
    /// Of every choice.
    pub seed: u64,
    /// For how long.
    pub terms: LeaseTerms,
    /// Whether a group may lose its majority by it.
    pub quorum_loss: QuorumLoss,
}

/// Between whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// What FROM sends to TO is lost.
    Pair {
        /// Who sends.
        from: Selector,
        /// Who would receive.
        to: Selector,
        /// One direction or both.
        ways: Ways,
    },
    /// A group falls apart.
    Partition {
        /// How.
        preset: Preset,
        /// Which.
        group: Selector,
        /// The member around which; none for one by lot.
        around: Option<Selector>,
    },
}

/// Into how many directions it cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// FROM → TO.
    One,
    /// TO → FROM as well.
    Both,
}

/// Whether a group may lose its majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorumLoss {
    /// No.
    Refused,
    /// It was asked for.
    Allowed,
}

impl TryFrom<wire::Spec> for Spec {
    type Error = Invalid;

    fn try_from(spec: wire::Spec) -> Result<Self, Invalid> {
        let what = match required(spec.what, "what")? {
            wire::spec::What::Pair(pair) => {
                let end = |end: Option<wire::Selector>, field: &str| {
                    Selector::try_from(required(end, field)?).map_err(|e: Invalid| e.within(field))
                };
                let ways = match wire::Direction::try_from(pair.direction) {
                    Ok(wire::Direction::OneWay) => Ways::One,
                    Ok(wire::Direction::BothWays) => Ways::Both,
                    Ok(wire::Direction::Unspecified) | Err(_) => {
                        return Err(Invalid::new("pair.direction", "is missing or unknown"));
                    }
                };
                What::Pair {
                    from: end(pair.from, "pair.from")?,
                    to: end(pair.to, "pair.to")?,
                    ways,
                }
            }
            wire::spec::What::Partition(partition) => What::Partition {
                preset: control_wire::preset(partition.preset)
                    .map_err(|e| e.within("partition"))?,
                group: required(partition.group, "partition.group")?.try_into()?,
                around: partition.around.map(TryInto::try_into).transpose()?,
            },
        };
        let cut = Cut::try_from(required(spec.cut, "cut")?).map_err(|e| e.within("cut"))?;
        let terms = LeaseTerms::new(
            Duration::from_nanos(spec.lease_ns),
            Duration::from_nanos(spec.total_ns),
        );
        Ok(Self {
            what,
            cut,
            enforcement: control_wire::enforcement(spec.enforcement)?,
            seed: spec.seed,
            terms: terms.map_err(|error| Invalid::new("lease_ns", error))?,
            quorum_loss: match spec.allow_quorum_loss {
                true => QuorumLoss::Allowed,
                false => QuorumLoss::Refused,
            },
        })
    }
}

impl From<&Spec> for wire::Spec {
    fn from(spec: &Spec) -> Self {
        let what = match &spec.what {
            What::Pair { from, to, ways } => wire::spec::What::Pair(wire::Pair {
                from: Some(from.into()),
                to: Some(to.into()),
                direction: match ways {
                    Ways::One => wire::Direction::OneWay,
                    Ways::Both => wire::Direction::BothWays,
                }
                .into(),
            }),
            What::Partition { preset, group, around } => {
                wire::spec::What::Partition(wire::Partition {
                    preset: wire::Preset::from(*preset).into(),
                    group: Some(group.into()),
                    around: around.as_ref().map(Into::into),
                })
            }
        };
        Self {
            what: Some(what),
            cut: Some((&spec.cut).into()),
            enforcement: wire::Enforcement::from(spec.enforcement).into(),
            seed: spec.seed,
            lease_ns: nanos(spec.terms.lease),
            total_ns: nanos(spec.terms.total),
            allow_quorum_loss: spec.quorum_loss == QuorumLoss::Allowed,
        }
    }
}

/// What is asked, as it could be typed; `?` for what makes no sense.
#[must_use]
pub fn typed(spec: &wire::Spec) -> String {
    let selector = |selector: &Option<wire::Selector>| {
        let read = selector.clone().map(Selector::try_from);
        read.and_then(Result::ok).map_or_else(|| "?".to_owned(), |selector| selector.to_string())
    };
    match &spec.what {
        Some(wire::spec::What::Pair(pair)) => {
            let both = match pair.direction() {
                wire::Direction::BothWays => " --both-ways",
                wire::Direction::OneWay | wire::Direction::Unspecified => "",
            };
            format!("cut {} {}{both}", selector(&pair.from), selector(&pair.to))
        }
        Some(wire::spec::What::Partition(partition)) => {
            let preset = control_wire::preset(partition.preset);
            let preset = preset.map_or_else(|_| "?".to_owned(), |preset| preset.to_string());
            format!("cut --preset {preset} {}", selector(&partition.group))
        }
        None => "nothing".to_owned(),
    }
}
