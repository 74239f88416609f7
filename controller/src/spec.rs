//! What is asked for: a cut between two ends, or a partition of a group.

use std::fmt;
use std::time::Duration;

use fault::{Cut, Enforcement, LeaseTerms, Preset, Selector};
use proto::control as wire;
use proto::{Invalid, control_wire, required};

use crate::link::nanos;

/// The most selectors on one side.
const MOST_SELECTORS: usize = 256;

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
        /// Who sends: all that these name together.
        from: Vec<Selector>,
        /// Who would receive.
        to: Vec<Selector>,
        /// One direction or both.
        ways: Ways,
    },
    /// A group falls apart.
    Partition {
        /// How.
        preset: Preset,
        /// Which: all that these name together.
        group: Vec<Selector>,
        /// The member around which: the one that these name together; none for one by lot.
        around: Vec<Selector>,
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

impl fmt::Display for Spec {
    /// As it could be typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |selectors: &[Selector]| {
            selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        match &self.what {
            What::Pair { from, to, ways } => {
                write!(f, "cut {} {}", list(from), list(to))?;
                match ways {
                    Ways::One => Ok(()),
                    Ways::Both => f.write_str(" --both-ways"),
                }
            }
            What::Partition { preset, group, around } => {
                write!(f, "cut --preset {preset} {}", list(group))?;
                if around.is_empty() { Ok(()) } else { write!(f, " --around {}", list(around)) }
            }
        }
    }
}

impl TryFrom<wire::Spec> for Spec {
    type Error = Invalid;

    fn try_from(spec: wire::Spec) -> Result<Self, Invalid> {
        let what = match required(spec.what, "what")? {
            wire::spec::What::Skew(_) => {
                let reason = "is not done through a controller yet: run `schism skew` on the node";
                return Err(Invalid::new("skew", reason));
            }
            wire::spec::What::Pair(pair) => {
                let ways = match wire::Direction::try_from(pair.direction) {
                    Ok(wire::Direction::OneWay) => Ways::One,
                    Ok(wire::Direction::BothWays) => Ways::Both,
                    Ok(wire::Direction::Unspecified) | Err(_) => {
                        return Err(Invalid::new("pair.direction", "is missing or unknown"));
                    }
                };
                What::Pair {
                    from: selectors(pair.from, "pair.from")?,
                    to: selectors(pair.to, "pair.to")?,
                    ways,
                }
            }
            wire::spec::What::Partition(partition) => What::Partition {
                preset: control_wire::preset(partition.preset)
                    .map_err(|e| e.within("partition"))?,
                group: selectors(partition.group, "partition.group")?,
                around: match partition.around {
                    nobody if nobody.is_empty() => Vec::new(),
                    around => selectors(around, "partition.around")?,
                },
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

fn selectors(found: Vec<wire::Selector>, field: &str) -> Result<Vec<Selector>, Invalid> {
    if found.is_empty() || found.len() > MOST_SELECTORS {
        return Err(Invalid::new(field, format!("has not from 1 to {MOST_SELECTORS} selectors")));
    }
    let selectors = found.into_iter().map(Selector::try_from);
    selectors.collect::<Result<_, _>>().map_err(|error: Invalid| error.within(field))
}

impl From<&Spec> for wire::Spec {
    fn from(spec: &Spec) -> Self {
        let what = match &spec.what {
            What::Pair { from, to, ways } => wire::spec::What::Pair(wire::Pair {
                from: from.iter().map(Into::into).collect(),
                to: to.iter().map(Into::into).collect(),
                direction: match ways {
                    Ways::One => wire::Direction::OneWay,
                    Ways::Both => wire::Direction::BothWays,
                }
                .into(),
            }),
            What::Partition { preset, group, around } => {
                wire::spec::What::Partition(wire::Partition {
                    preset: wire::Preset::from(*preset).into(),
                    group: group.iter().map(Into::into).collect(),
                    around: around.iter().map(Into::into).collect(),
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

/// What is asked, as it could be typed.
#[must_use]
pub fn typed(spec: &wire::Spec) -> String {
    let spec = Spec::try_from(spec.clone());
    spec.map_or_else(|_| "nothing that makes sense".to_owned(), |spec| spec.to_string())
}
