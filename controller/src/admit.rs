//! The guards: what would happen is looked at before anything is touched. Pure.

use std::collections::BTreeSet;

use fault::{
    Blast, BlastError, Fault, Group, Hit, Impairment, IntentId, Limits, MemberName,
    NamespaceCookie, NodeName, Obstacle, QuorumLoss, obstacle,
};

use crate::provider::kubernetes::{BudgetError, Disruptions, PodName};
use crate::sight::{Sight, Unseen};
use crate::spec;

/// Why a guard refuses.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// A group would lose its majority.
    #[error("{group} would lose its majority: {loss}")]
    Quorum {
        /// Which.
        group: String,
        /// How.
        loss: QuorumLoss,
    },
    /// A group cannot be seen.
    #[error(transparent)]
    Unseen(#[from] Unseen),
    /// More pods would be down than may be.
    #[error(transparent)]
    Budget(Box<BudgetError>),
    /// More would be hit than may be.
    #[error(transparent)]
    Blast(#[from] BlastError),
    /// It has no meaning beside what acts already.
    #[error("{}: {}", .0.place, .0.error)]
    Overlap(Box<Obstacle<NodeName>>),
}

impl From<BudgetError> for AdmitError {
    fn from(error: BudgetError) -> Self {
        Self::Budget(Box::new(error))
    }
}

impl AdmitError {
    /// The intent whose place the new one would take if that was healed, with any others that are in its way.
    #[must_use]
    pub fn replaceable(&self) -> Option<IntentId> {
        match self {
            Self::Overlap(obstacle) => obstacle.replaceable(),
            Self::Quorum { .. } | Self::Unseen(_) | Self::Budget(_) | Self::Blast(_) => None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Quorum { .. } | Self::Unseen(_) => {
                "if that is what you want, say --allow-quorum-loss".to_owned()
            }
            Self::Budget(error) => error.hint(),
            Self::Blast(_) => {
                "heal something first, or raise the limits of the controller".to_owned()
            }
            Self::Overlap(obstacle) => obstacle.hint(),
        }
    }
}

/// A group of which members may be hit, and what impairs it already.
#[derive(Clone, Debug)]
pub struct Known {
    /// How it is called.
    pub name: String,
    /// Its members.
    pub group: Group,
    /// What acts among them, or would.
    pub impairments: Vec<Impairment>,
    /// Of whom anything is cut, or would be.
    pub hit: BTreeSet<MemberName>,
}

/// What the guards of one request go by.
#[derive(Clone, Debug)]
pub struct Guards {
    /// The clusters, as they were when the request was resolved.
    pub sight: Sight,
    /// How much may be hit at once.
    pub limits: Limits,
    /// Whether a majority may be lost.
    pub quorum_loss: spec::QuorumLoss,
    /// What budgets say of the pods that would be ended.
    pub disruptions: Disruptions,
}

/// What acts already, or is on its way.
#[derive(Clone, Debug, Default)]
pub struct Acting {
    /// Every fault, with its node.
    pub faults: Vec<(NodeName, Fault)>,
    /// The pods whose processes are being ended.
    pub ending: BTreeSet<PodName>,
}

impl Guards {
    /// Asks every guard. Whoever writes what is asked for asks them with what acts at that moment: of two
    /// requests that would pass by themselves and not together the second is refused.
    ///
    /// # Errors
    /// The first guard that refuses.
    pub fn admit(&self, asked: &[(NodeName, Fault)], acting: &Acting) -> Result<(), AdmitError> {
        self.disruptions.admit(&acting.ending)?;
        let active = acting.faults.as_slice();
        let known = self.sight.known(asked, active).into_iter();
        let groups: Vec<Known> = match self.quorum_loss {
            spec::QuorumLoss::Refused => known.collect::<Result<_, _>>()?,
            // Of a group that can be seen the other limits count all the same.
            spec::QuorumLoss::Allowed => known.filter_map(Result::ok).collect(),
        };
        admit(asked, active, &groups, &self.limits, self.quorum_loss)
    }
}

/// Asks every guard about faults that are asked for, beside those that act already.
///
/// # Errors
/// The first guard that refuses.
pub fn admit(
    asked: &[(NodeName, Fault)],
    active: &[(NodeName, Fault)],
    groups: &[Known],
    limits: &Limits,
    quorum_loss: spec::QuorumLoss,
) -> Result<(), AdmitError> {
    let targets: BTreeSet<(&NodeName, NamespaceCookie)> =
        active.iter().chain(asked).map(|(node, fault)| (node, fault.target.namespace)).collect();
    let hit = |known: &Known| Hit {
        group: known.name.clone(),
        members: known.hit.len(),
        size: known.group.names().len(),
    };
    limits.admit(&Blast { targets: targets.len(), groups: groups.iter().map(hit).collect() })?;
    if quorum_loss == spec::QuorumLoss::Refused {
        for known in groups {
            known
                .group
                .quorum(&known.impairments)
                .map_err(|loss| AdmitError::Quorum { group: known.name.clone(), loss })?;
        }
    }
    match obstacle(asked, active) {
        Some(obstacle) => Err(AdmitError::Overlap(Box::new(obstacle))),
        None => Ok(()),
    }
}
