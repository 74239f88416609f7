//! What is asked of the API server of a cluster: pods go, or none come to a node. Pure.

use std::fmt;
use std::time::Duration;

use cluster::Grace;
use fault::{NodeName, PodsBy, Scheme, Selector};
use proto::control as wire;
use proto::{Invalid, required};

use crate::link::nanos;
use crate::spec::{QuorumLoss, selectors};

/// The longest time of any kind (7 days), as of faults.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disruption {
    /// What, and of whom.
    pub what: What,
    /// From what picks are drawn.
    pub seed: u64,
    /// Whether a group may lose its majority by it.
    pub quorum_loss: QuorumLoss,
    /// How long may be waited for pods to go and come.
    pub patience: Duration,
    /// How long it is asked again for pods that a budget does not let go; nothing for once.
    pub insistence: Duration,
}

/// What, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Pods go.
    Removal {
        /// How.
        manner: Manner,
        /// All that these name together.
        targets: Vec<Selector>,
        /// How long their processes have to end, where that is not left to them.
        grace: Option<Grace>,
    },
    /// No pods come to a node, for a while.
    Cordon {
        /// To which.
        node: NodeName,
        /// For how long.
        total: Duration,
        /// What becomes of the pods that are there.
        inmates: Inmates,
    },
}

/// How pods go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// They are deleted, and waited for until others that are ready are in their place.
    Restart,
    /// They are deleted at once.
    Terminate,
    /// They are deleted unless a PodDisruptionBudget forbids it.
    Evict,
}

/// What becomes of the pods of a node that is cordoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inmates {
    /// They stay.
    Stay,
    /// They are evicted; how long their processes have to end, where that is not left to them.
    Evicted(Option<Grace>),
}

impl Manner {
    /// The command that asks for it.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Terminate => "terminate",
            Self::Evict => "evict",
        }
    }
}

impl Disruption {
    /// How long it lasts, of what is undone.
    #[must_use]
    pub const fn total(&self) -> Option<Duration> {
        match &self.what {
            What::Removal { .. } => None,
            What::Cordon { total, .. } => Some(*total),
        }
    }
}

impl fmt::Display for Disruption {
    /// As it could be typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Removal { manner, targets, .. } => {
                let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
                write!(f, "pod {} {}", manner.noun(), targets.join(","))
            }
            What::Cordon { node, inmates: Inmates::Stay, .. } => write!(f, "node cordon {node}"),
            What::Cordon { node, inmates: Inmates::Evicted(_), .. } => {
                write!(f, "node drain {node}")
            }
        }
    }
}

/// What is asked, as it could be typed.
#[must_use]
pub fn typed(spec: &wire::DisruptionSpec) -> String {
    let spec = Disruption::try_from(spec.clone());
    spec.map_or_else(|_| "nothing that makes sense".to_owned(), |spec| spec.to_string())
}

/// A selector that names something of a pod that does not go by itself.
#[must_use]
pub fn names_a_part(selector: &Selector) -> bool {
    match &selector.scheme {
        Scheme::Kubernetes(pods) => match &pods.which {
            PodsBy::Name { container, .. } => container.is_some(),
            PodsBy::Service(_) => true,
            PodsBy::StatefulSet { .. } | PodsBy::Deployment(_) | PodsBy::Labels(_) => false,
        },
        Scheme::Pod(pod) => pod.container.is_some(),
        Scheme::Etcd(_) | Scheme::Zeebe(_) => false,
        Scheme::Netns(_)
        | Scheme::Pid(_)
        | Scheme::Container(_)
        | Scheme::Host(_)
        | Scheme::Addr(_) => true,
    }
}

impl TryFrom<wire::DisruptionSpec> for Disruption {
    type Error = Invalid;

    fn try_from(spec: wire::DisruptionSpec) -> Result<Self, Invalid> {
        let what = match required(spec.what, "what")? {
            wire::disruption_spec::What::Removal(asked) => What::Removal {
                manner: manner(asked.manner)?,
                targets: targets(asked.targets)?,
                grace: asked.grace_s.map(Grace),
            },
            wire::disruption_spec::What::Cordon(asked) => What::Cordon {
                node: NodeName::new(&asked.node)
                    .ok_or_else(|| Invalid::new("cordon.node", "is no node's name"))?,
                total: time(asked.total_ns, "cordon.total_ns")?,
                inmates: match asked.drain {
                    true => Inmates::Evicted(asked.grace_s.map(Grace)),
                    false => Inmates::Stay,
                },
            },
        };
        if matches!(what, What::Cordon { total: Duration::ZERO, .. }) {
            return Err(Invalid::new("cordon.total_ns", "is nothing"));
        }
        Ok(Self {
            what,
            seed: spec.seed,
            quorum_loss: QuorumLoss::of(spec.allow_quorum_loss),
            patience: time(spec.patience_ns, "patience_ns")?,
            insistence: time(spec.insistence_ns, "insistence_ns")?,
        })
    }
}

fn time(nanos: u64, field: &str) -> Result<Duration, Invalid> {
    let time = Duration::from_nanos(nanos);
    if time > LONGEST { Err(Invalid::new(field, "is more than 7 days")) } else { Ok(time) }
}

fn targets(found: Vec<wire::Selector>) -> Result<Vec<Selector>, Invalid> {
    let targets = selectors(found, "removal.targets")?;
    match targets.iter().find(|selector| names_a_part(selector)) {
        None => Ok(targets),
        Some(part) => {
            let reason = format!("has {part}, which names no pods; they go as a whole");
            Err(Invalid::new("removal.targets", reason))
        }
    }
}

fn manner(number: i32) -> Result<Manner, Invalid> {
    match wire::removal::Manner::try_from(number) {
        Ok(wire::removal::Manner::Restart) => Ok(Manner::Restart),
        Ok(wire::removal::Manner::Terminate) => Ok(Manner::Terminate),
        Ok(wire::removal::Manner::Evict) => Ok(Manner::Evict),
        Ok(wire::removal::Manner::Unspecified) | Err(_) => {
            Err(Invalid::new("removal.manner", "is missing or unknown"))
        }
    }
}

impl From<&Disruption> for wire::DisruptionSpec {
    fn from(asked: &Disruption) -> Self {
        let seconds = |grace: Option<Grace>| grace.map(|Grace(seconds)| seconds);
        let what = match &asked.what {
            What::Removal { manner, targets, grace } => {
                wire::disruption_spec::What::Removal(wire::Removal {
                    manner: match manner {
                        Manner::Restart => wire::removal::Manner::Restart,
                        Manner::Terminate => wire::removal::Manner::Terminate,
                        Manner::Evict => wire::removal::Manner::Evict,
                    }
                    .into(),
                    targets: targets.iter().map(Into::into).collect(),
                    grace_s: seconds(*grace),
                })
            }
            What::Cordon { node, total, inmates } => {
                let (drain, grace) = match inmates {
                    Inmates::Stay => (false, None),
                    Inmates::Evicted(grace) => (true, *grace),
                };
                wire::disruption_spec::What::Cordon(wire::Cordon {
                    node: node.to_string(),
                    total_ns: nanos(*total),
                    drain,
                    grace_s: seconds(grace),
                })
            }
        };
        Self {
            what: Some(what),
            seed: asked.seed,
            allow_quorum_loss: asked.quorum_loss == QuorumLoss::Allowed,
            patience_ns: nanos(asked.patience),
            insistence_ns: nanos(asked.insistence),
        }
    }
}

/// Whether nothing more comes of one.
#[must_use]
pub fn is_over(disruption: &wire::Disruption) -> bool {
    match disruption.stage() {
        wire::DisruptionStage::Done
        | wire::DisruptionStage::Failed
        | wire::DisruptionStage::Idle => true,
        wire::DisruptionStage::Unspecified
        | wire::DisruptionStage::UnderWay
        | wire::DisruptionStage::Standing
        | wire::DisruptionStage::Undoing => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(what: What) -> Disruption {
        let (patience, insistence) = (Duration::from_secs(300), Duration::from_secs(9));
        Disruption { what, seed: 7, quorum_loss: QuorumLoss::Refused, patience, insistence }
    }

    fn removal(manner: Manner, target: &str, grace: Option<Grace>) -> Disruption {
        asked(What::Removal { manner, targets: vec![target.parse().unwrap()], grace })
    }

    fn cordon(inmates: Inmates) -> Disruption {
        let node = NodeName::new("n1").unwrap();
        asked(What::Cordon { node, total: Duration::from_secs(60), inmates })
    }

    #[test]
    fn the_wire_carries_all_of_it() {
        let table = [
            (removal(Manner::Restart, "one:k8s:prod/label:app=web", None), "pod restart"),
            (removal(Manner::Terminate, "etcd:prod/leader", Some(Grace(0))), "pod terminate"),
            (removal(Manner::Evict, "50%:k8s:prod/sts/web@n1", Some(Grace(9))), "pod evict"),
            (cordon(Inmates::Stay), "node cordon n1"),
            (cordon(Inmates::Evicted(None)), "node drain n1"),
            (cordon(Inmates::Evicted(Some(Grace(3)))), "node drain n1"),
        ];
        for (asked, said) in table {
            let wire = wire::DisruptionSpec::from(&asked);
            assert_eq!(Disruption::try_from(wire.clone()).unwrap(), asked);
            assert!(typed(&wire).starts_with(said), "{asked}");
        }
    }

    #[test]
    fn only_whole_pods_go() {
        let uid = "pod:7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";
        let with_container = format!("{uid}/app");
        let table = [
            ("k8s:prod/pod/web-0", false),
            ("k8s:prod/pod/web-0/app", true),
            ("k8s:prod/svc/web", true),
            ("zeebe:prod/partition/1/leader", false),
            (uid, false),
            (with_container.as_str(), true),
            ("container:abcd1234", true),
            ("host:n1", true),
        ];
        for (text, part) in table {
            let asked = removal(Manner::Restart, text, None);
            let read = Disruption::try_from(wire::DisruptionSpec::from(&asked));
            assert_eq!(read.is_err(), part, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let whole = wire::DisruptionSpec::from(&cordon(Inmates::Stay));
        let nothing = wire::DisruptionSpec { what: None, ..whole.clone() };
        let long = wire::DisruptionSpec { patience_ns: u64::MAX, ..whole.clone() };
        let mut never = whole.clone();
        if let Some(wire::disruption_spec::What::Cordon(cordon)) = &mut never.what {
            cordon.total_ns = 0;
        }
        let mut nowhere = whole;
        if let Some(wire::disruption_spec::What::Cordon(cordon)) = &mut nowhere.what {
            cordon.node = String::new();
        }
        for spec in [nothing, long, never, nowhere] {
            assert!(Disruption::try_from(spec.clone()).is_err(), "{spec:?}");
        }
    }
}
