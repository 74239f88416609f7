//! What is asked for: a cut between two ends, a partition of a group, or what is done to processes.

use std::fmt;
use std::time::Duration;

use fault::{
    Cut, Enforcement, Freeze, Kill, Kind, LeaseTerms, Preset, Scheme, Selector, Skew, Stress,
};
use proto::control as wire;
use proto::{Invalid, control_wire, required};

use crate::link::nanos;
use crate::output::route::what;

/// The most selectors on one side.
const MOST_SELECTORS: usize = 256;

/// The most groups that are kept apart.
pub(crate) const MOST_GROUPS: usize = 64;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What, and of whom.
    pub what: What,
    /// Of every choice.
    pub seed: u64,
    /// For how long.
    pub terms: LeaseTerms,
    /// Whether a group may lose its majority by it.
    pub quorum_loss: QuorumLoss,
    /// What becomes of it when pods go that it is about, if that was said.
    pub restarts: Option<OnRestart>,
}

/// What becomes of a fault when a pod that it is about goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRestart {
    /// The pod that takes its place gets the fault again, for the time that is left.
    Reapply,
    /// The fault ends.
    End,
}

/// What, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Packets are lost.
    Cut(Between, Loss),
    /// Something is done to processes.
    Within {
        /// Whose: of all that these name together.
        targets: Vec<Selector>,
        /// What.
        within: Within,
    },
}

/// A service where only targets make sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is a service: it can be one side of a cut, FROM or TO, and nothing else")]
pub struct IsService(pub Selector);

impl IsService {
    /// Makes sure that none of these is one.
    ///
    /// # Errors
    /// One is.
    pub(crate) fn none_of(selectors: &[Selector]) -> Result<(), Self> {
        let found = selectors.iter().find(|selector| selector.is_service());
        found.map_or(Ok(()), |found| Err(Self(found.clone())))
    }
}

/// What is done to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// Clocks are moved.
    Skew(Skew),
    /// They stand still.
    Freeze(Freeze),
    /// They are ended.
    Kill(Kill),
    /// They have less of the machine.
    Stress(Stress),
}

impl Within {
    /// The command that asks for it.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Skew(_) => "skew",
            Self::Freeze(_) => "freeze",
            Self::Kill(_) => "kill",
            Self::Stress(_) => "stress",
        }
    }
}

impl From<Within> for Kind {
    fn from(within: Within) -> Self {
        match within {
            Within::Skew(skew) => Self::Skew(skew),
            Within::Freeze(freeze) => Self::Freeze(freeze),
            Within::Kill(kill) => Self::Kill(kill),
            Within::Stress(stress) => Self::Stress(stress),
        }
    }
}

/// What a cut loses, wherever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What it loses; its side and its seed come from the rest.
    pub cut: Cut,
    /// Where it is enforced, if that was said.
    pub enforcement: Option<Enforcement>,
}

/// Between whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Between {
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
    /// What members of one group send to those of another is lost, two groups at least.
    Groups(Vec<Vec<Selector>>),
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

impl QuorumLoss {
    /// By what was typed.
    #[must_use]
    pub const fn of(allowed: bool) -> Self {
        if allowed { Self::Allowed } else { Self::Refused }
    }
}

impl Spec {
    /// What becomes of it when a pod goes that it is about; `None` where it is about none, or about its end.
    #[must_use]
    pub fn on_restart(&self) -> Option<OnRestart> {
        let is_pod = |selector: &&Selector| matches!(selector.scheme, Scheme::Kubernetes(_));
        if matches!(self.what, What::Within { within: Within::Kill(_), .. }) {
            return None;
        }
        self.selectors().find(is_pod)?;
        Some(self.restarts.unwrap_or(OnRestart::Reapply))
    }

    /// Whoever is named.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        let lists: Vec<&[Selector]> = match &self.what {
            What::Within { targets, .. } => vec![targets],
            What::Cut(between, _) => between.lists(),
        };
        lists.into_iter().flatten()
    }
}

impl Between {
    /// Its selectors, side by side.
    pub(crate) fn lists(&self) -> Vec<&[Selector]> {
        match self {
            Self::Pair { from, to, .. } => vec![from, to],
            Self::Partition { group, around, .. } => vec![group, around],
            Self::Groups(groups) => groups.iter().map(Vec::as_slice).collect(),
        }
    }
}

impl fmt::Display for Spec {
    /// As it could be typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |selectors: &[Selector]| {
            selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        match &self.what {
            What::Within { targets, within } => {
                let what = what(&(*within).into());
                write!(f, "{} {}: {what}", within.noun(), list(targets))
            }
            What::Cut(Between::Pair { from, to, ways }, _) => {
                write!(f, "cut {} {}", list(from), list(to))?;
                match ways {
                    Ways::One => Ok(()),
                    Ways::Both => f.write_str(" --both-ways"),
                }
            }
            What::Cut(Between::Partition { preset, group, around }, _) => {
                write!(f, "cut --preset {preset} {}", list(group))?;
                if around.is_empty() { Ok(()) } else { write!(f, " --around {}", list(around)) }
            }
            What::Cut(Between::Groups(groups), _) => {
                let groups: Vec<String> = groups.iter().map(|group| list(group)).collect();
                write!(f, "cut apart {}", groups.join(" "))
            }
        }
    }
}

impl TryFrom<wire::Spec> for Spec {
    type Error = Invalid;

    fn try_from(spec: wire::Spec) -> Result<Self, Invalid> {
        let what = match required(spec.what, "what")? {
            wire::spec::What::Pair(asked) => {
                What::Cut(pair(asked)?, loss(spec.cut, spec.enforcement)?)
            }
            wire::spec::What::Partition(asked) => {
                What::Cut(partition(asked)?, loss(spec.cut, spec.enforcement)?)
            }
            wire::spec::What::Groups(asked) => {
                What::Cut(groups(asked)?, loss(spec.cut, spec.enforcement)?)
            }
            wire::spec::What::Skew(asked) => {
                let skew = required(asked.skew, "skew.skew")?;
                let skew = Skew::try_from(skew).map_err(|e| e.within("skew"))?;
                within(asked.targets, "skew.targets", Within::Skew(skew))?
            }
            wire::spec::What::Freeze(asked) => {
                let freeze = required(asked.freeze, "freeze.freeze")?;
                let freeze = Freeze::try_from(freeze).map_err(|e| e.within("freeze"))?;
                within(asked.targets, "freeze.targets", Within::Freeze(freeze))?
            }
            wire::spec::What::Kill(asked) => {
                let kill = required(asked.kill, "kill.kill")?;
                let kill = Kill::try_from(kill).map_err(|e| e.within("kill"))?;
                within(asked.targets, "kill.targets", Within::Kill(kill))?
            }
            wire::spec::What::Stress(asked) => {
                let stress = required(asked.stress, "stress.stress")?;
                let stress = Stress::try_from(stress).map_err(|e| e.within("stress"))?;
                within(asked.targets, "stress.targets", Within::Stress(stress))?
            }
        };
        let terms = LeaseTerms::new(
            Duration::from_nanos(spec.lease_ns),
            Duration::from_nanos(spec.total_ns),
        );
        let terms = terms.map_err(|error| Invalid::new("lease_ns", error))?;
        if let What::Within { within: Within::Skew(skew), .. } = &what {
            skew.check(terms).map_err(|error| Invalid::new("skew", error))?;
        }
        Ok(Self {
            what,
            seed: spec.seed,
            terms,
            quorum_loss: QuorumLoss::of(spec.allow_quorum_loss),
            restarts: on_restart(spec.on_restart)?,
        })
    }
}

fn on_restart(number: i32) -> Result<Option<OnRestart>, Invalid> {
    match wire::OnRestart::try_from(number) {
        Ok(wire::OnRestart::Unspecified) => Ok(None),
        Ok(wire::OnRestart::Reapply) => Ok(Some(OnRestart::Reapply)),
        Ok(wire::OnRestart::End) => Ok(Some(OnRestart::End)),
        Err(_) => Err(Invalid::new("on_restart", "is not known here")),
    }
}

fn within(targets: Vec<wire::Selector>, field: &str, within: Within) -> Result<What, Invalid> {
    Ok(What::Within { targets: selectors(targets, field)?, within })
}

fn pair(asked: wire::Pair) -> Result<Between, Invalid> {
    let ways = match wire::Direction::try_from(asked.direction) {
        Ok(wire::Direction::OneWay) => Ways::One,
        Ok(wire::Direction::BothWays) => Ways::Both,
        Ok(wire::Direction::Unspecified) | Err(_) => {
            return Err(Invalid::new("pair.direction", "is missing or unknown"));
        }
    };
    let (from, to) = (selectors(asked.from, "pair.from")?, selectors(asked.to, "pair.to")?);
    Ok(Between::Pair { from, to, ways })
}

fn partition(asked: wire::Partition) -> Result<Between, Invalid> {
    Ok(Between::Partition {
        preset: control_wire::preset(asked.preset).map_err(|e| e.within("partition"))?,
        group: selectors(asked.group, "partition.group")?,
        around: match asked.around {
            nobody if nobody.is_empty() => Vec::new(),
            around => selectors(around, "partition.around")?,
        },
    })
}

fn groups(asked: wire::Groups) -> Result<Between, Invalid> {
    if asked.groups.len() < 2 || asked.groups.len() > MOST_GROUPS {
        return Err(Invalid::new("groups", format!("are not from 2 to {MOST_GROUPS}")));
    }
    let groups = asked.groups.into_iter().map(|group| selectors(group.members, "groups"));
    Ok(Between::Groups(groups.collect::<Result<_, _>>()?))
}

fn loss(cut: Option<proto::agent::Cut>, enforcement: i32) -> Result<Loss, Invalid> {
    Ok(Loss {
        cut: Cut::try_from(required(cut, "cut")?).map_err(|e| e.within("cut"))?,
        enforcement: control_wire::enforcement(enforcement)?,
    })
}

/// From the wire, at least one.
pub(crate) fn selectors(found: Vec<wire::Selector>, field: &str) -> Result<Vec<Selector>, Invalid> {
    if found.is_empty() || found.len() > MOST_SELECTORS {
        return Err(Invalid::new(field, format!("has not from 1 to {MOST_SELECTORS} selectors")));
    }
    let selectors = found.into_iter().map(Selector::try_from);
    selectors.collect::<Result<_, _>>().map_err(|error: Invalid| error.within(field))
}

impl From<&Spec> for wire::Spec {
    fn from(spec: &Spec) -> Self {
        let what = match &spec.what {
            What::Cut(Between::Pair { from, to, ways }, _) => wire::spec::What::Pair(wire::Pair {
                from: from.iter().map(Into::into).collect(),
                to: to.iter().map(Into::into).collect(),
                direction: match ways {
                    Ways::One => wire::Direction::OneWay,
                    Ways::Both => wire::Direction::BothWays,
                }
                .into(),
            }),
            What::Within { targets, within } => {
                let targets = targets.iter().map(Into::into).collect();
                match within {
                    Within::Skew(skew) => {
                        wire::spec::What::Skew(wire::Skew { targets, skew: Some(skew.into()) })
                    }
                    Within::Freeze(freeze) => wire::spec::What::Freeze(wire::Freeze {
                        targets,
                        freeze: Some(freeze.into()),
                    }),
                    Within::Kill(kill) => {
                        wire::spec::What::Kill(wire::Kill { targets, kill: Some(kill.into()) })
                    }
                    Within::Stress(stress) => wire::spec::What::Stress(wire::Stress {
                        targets,
                        stress: Some(stress.into()),
                    }),
                }
            }
            What::Cut(Between::Groups(groups), _) => {
                let group = |members: &Vec<Selector>| wire::Group {
                    members: members.iter().map(Into::into).collect(),
                };
                wire::spec::What::Groups(wire::Groups {
                    groups: groups.iter().map(group).collect(),
                })
            }
            What::Cut(Between::Partition { preset, group, around }, _) => {
                wire::spec::What::Partition(wire::Partition {
                    preset: wire::Preset::from(*preset).into(),
                    group: group.iter().map(Into::into).collect(),
                    around: around.iter().map(Into::into).collect(),
                })
            }
        };
        let (cut, enforcement) = match &spec.what {
            What::Cut(_, Loss { cut, enforcement }) => (Some(cut.into()), *enforcement),
            What::Within { .. } => (None, None),
        };
        Self {
            what: Some(what),
            cut,
            enforcement: wire::Enforcement::from(enforcement).into(),
            seed: spec.seed,
            lease_ns: nanos(spec.terms.lease),
            total_ns: nanos(spec.terms.total),
            allow_quorum_loss: spec.quorum_loss == QuorumLoss::Allowed,
            on_restart: match spec.restarts {
                None => wire::OnRestart::Unspecified,
                Some(OnRestart::Reapply) => wire::OnRestart::Reapply,
                Some(OnRestart::End) => wire::OnRestart::End,
            }
            .into(),
        }
    }
}

/// What is asked, as it could be typed.
#[must_use]
pub fn typed(spec: &wire::Spec) -> String {
    let spec = Spec::try_from(spec.clone());
    spec.map_or_else(|_| "nothing that makes sense".to_owned(), |spec| spec.to_string())
}
