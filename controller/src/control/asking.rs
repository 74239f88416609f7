//! From what is asked to an intent: resolve, plan, ask the guards; then write it.

use std::collections::{BTreeMap, BTreeSet};

use fault::{Aspect, IntentId, Limits, MemberName, Preset, Scheme, Selector, seeds};
use proto::Invalid;
use proto::control as wire;

use super::handle::{Control, ControlError};
use super::intent::Intent;
use super::resolving::{self, ResolveError, Role};
use crate::admit::{AdmitError, Guards};
use crate::planning::{Direction, End, Place, Plan, PlanError, in_processes, plan};
use crate::provider::kubernetes::{Disruptions, Kubernetes, Located};
use crate::sight::{GroupName, Sight};
use crate::spec::{Between, MOST_GROUPS, QuorumLoss, Spec, Ways, What, Within};

/// Why nothing was put in.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// A selector does not name what was meant.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// It cannot be put on any node as asked.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The group cannot fall apart like that.
    #[error(transparent)]
    Grudge(#[from] fault::GrudgeError),
    /// `around` is not one member.
    #[error("--around names {found} members of the group, where one is needed")]
    Around {
        /// How many there are.
        found: usize,
    },
    /// A guard refuses.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// The controller could not.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// What would be done.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The intent as it would be written.
    pub intent: Intent,
    /// Of a partition, who loses what of whom.
    pub matrix: String,
    /// Who is asked again before it is written.
    pub guards: Guards,
}

/// What would be put where, as the guards have let it pass.
pub(super) struct Weighed {
    pub(super) ends: Vec<End>,
    pub(super) plan: Plan,
    matrix: String,
    pub(super) guards: Guards,
}

/// Who sees to it that no more pods are down than PodDisruptionBudgets let.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budgets {
    /// We do.
    Counted,
    /// The API server does.
    Left,
}

/// Which ends there are, and what is to be lost between them.
struct Layout {
    ends: Vec<End>,
    directions: BTreeSet<Direction>,
    matrix: String,
}

impl Control {
    /// Says what would be done; touches nothing.
    ///
    /// # Errors
    /// It would be refused, and why.
    pub async fn draft(
        &self,
        id: IntentId,
        asked: wire::Spec,
        asker: &str,
        limits: &Limits,
    ) -> Result<Draft, AskError> {
        let spec = Spec::try_from(asked.clone())?;
        let Weighed { ends, plan, matrix, guards } =
            self.weigh(id, &spec, limits, Budgets::Counted).await?;
        let Plan { directions: planned, faults } = plan;
        let asker = asker.to_owned();
        let now = self.wall().now();
        let intent = Intent::new(id, asked, spec.terms, asker, &ends, &planned, faults, now);
        Ok(Draft { intent, matrix, guards })
    }

    /// Finds out what would be put where, and asks every guard.
    ///
    /// # Errors
    /// It would be refused, and why.
    pub(super) async fn weigh(
        &self,
        id: IntentId,
        spec: &Spec,
        limits: &Limits,
        budgets: Budgets,
    ) -> Result<Weighed, AskError> {
        if let Some(reason) = self.halted() {
            return Err(ControlError::Halted(reason).into());
        }
        // One look for everything: who leads may change while it is asked for.
        let meant = spec.selectors().filter_map(GroupName::of).collect();
        let mut sight = self.sight(&meant).await;
        let Layout { ends, directions, matrix } = self.layout(spec, &sight).await?;
        let acting = self.acting().await?;
        let mut disruptions = Disruptions::default();
        if let Some(kubernetes) = self.clusters().kubernetes() {
            // Whatever may become of a majority: how many of a group are hit at once counts all the same.
            if may_silence(&spec.what) {
                let members = memberships(kubernetes, pods_otherwise_named(&ends));
                self.clusters().look_at(self.agents(), &mut sight, members).await;
            }
            let counted = budgets == Budgets::Counted && spec.quorum_loss == QuorumLoss::Refused;
            if counted && is_deadly(&spec.what) {
                let pods: Vec<&Located> =
                    ends.iter().filter_map(|end| end.pod.as_deref()).collect();
                let found = kubernetes.disruptions(&pods, &acting.ending).await;
                disruptions = found.map_err(AdmitError::from)?;
            }
        }
        let plan = match &spec.what {
            What::Cut(_, loss) => {
                let control_path = self.agents().control_path();
                plan(id, spec, loss, &ends, &directions, &control_path)?
            }
            What::Within { within, .. } => in_processes(id, (*within).into(), spec.terms, &ends)?,
        };
        self.spare_halted(plan.faults.iter().map(|(node, _)| node).collect()).await?;
        let quorum_loss = spec.quorum_loss;
        let guards = Guards { sight, limits: *limits, quorum_loss, disruptions };
        guards.admit(&plan.faults, &acting)?;
        Ok(Weighed { ends, plan, matrix, guards })
    }

    /// Does what is asked, and waits until it acts everywhere or is out everywhere. The same request again
    /// has the same answer.
    ///
    /// # Errors
    /// Nothing was put in, and why.
    pub async fn request(
        &self,
        id: IntentId,
        asked: wire::Spec,
        asker: &str,
        limits: &Limits,
    ) -> Result<wire::Intent, AskError> {
        if let Some(known) = self.known(id, &asked).await? {
            return Ok(known);
        }
        let draft = self.draft(id, asked, asker, limits).await?;
        Ok(self.apply(draft).await?)
    }

    /// What became of the same request, if it was made before.
    ///
    /// # Errors
    /// Another request has this id.
    pub async fn known(
        &self,
        id: IntentId,
        asked: &wire::Spec,
    ) -> Result<Option<wire::Intent>, ControlError> {
        match self.find(id).await {
            Ok(known) if known.spec.as_ref() == Some(asked) => Ok(Some(known)),
            Ok(_) => Err(ControlError::Conflict(id)),
            Err(ControlError::Unknown(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn layout(&self, spec: &Spec, sight: &Sight) -> Result<Layout, AskError> {
        let [first, second] = seeds(spec.seed);
        match &spec.what {
            What::Within { targets, .. } => Ok(Layout {
                ends: self.all(targets, Role::Processes, first, sight).await?,
                directions: BTreeSet::new(),
                matrix: String::new(),
            }),
            What::Cut(Between::Pair { from, to, ways }, _) => {
                let senders = self.all(from, Role::Sender, first, sight).await?;
                let receivers = self.all(to, Role::Receiver, second, sight).await?;
                let (ends, directions) = pairs(senders, receivers, *ways);
                if directions.is_empty() {
                    return Err(PlanError::OnlyAddresses.into());
                }
                Ok(Layout { ends, directions, matrix: String::new() })
            }
            What::Cut(Between::Groups(groups), _) => {
                let mut found = Vec::new();
                for (group, seed) in groups.iter().zip(seeds::<MOST_GROUPS>(spec.seed)) {
                    found.push(self.all(group, Role::Member, seed, sight).await?);
                }
                let (ends, directions) = apart(found);
                Ok(Layout { ends, directions, matrix: String::new() })
            }
            What::Cut(Between::Partition { preset, group, around }, _) => {
                let ends = self.all(group, Role::Member, first, sight).await?;
                let around = match around.as_slice() {
                    [] => None,
                    around => Some(self.around(around, &ends, second, sight).await?),
                };
                partition(*preset, ends, around.as_ref(), spec.seed)
            }
        }
    }

    /// What a selector names right now.
    ///
    /// # Errors
    /// It does not name what was meant.
    pub async fn resolve(
        &self,
        selector: &Selector,
        aspect: Aspect,
        seed: u64,
    ) -> Result<Vec<End>, ResolveError> {
        let sight = self.sight_of(std::slice::from_ref(selector)).await;
        self.ends(selector, Role::of(aspect), seed, &sight).await
    }

    /// What selectors name together right now, each place once.
    ///
    /// # Errors
    /// One of them does not name what was meant.
    pub(crate) async fn meant(
        &self,
        selectors: &[(Selector, Aspect)],
        seed: u64,
    ) -> Result<Vec<End>, ResolveError> {
        let plain: Vec<Selector> = selectors.iter().map(|(selector, _)| selector.clone()).collect();
        // One look for everything: who leads may change while it is asked for.
        let sight = self.sight_of(&plain).await;
        let mut all: Vec<End> = Vec::new();
        for (selector, aspect) in selectors {
            let found = self.ends(selector, Role::of(*aspect), seed, &sight).await?;
            let is_new = |end: &End| all.iter().all(|one| !one.place.is_same(&end.place, *aspect));
            let new: Vec<End> = found.into_iter().filter(is_new).collect();
            all.extend(new);
        }
        Ok(all)
    }

    /// A look at clusters, if any of these names something of one.
    pub(super) async fn sight_of(&self, selectors: &[Selector]) -> Sight {
        let is_role = |selector: &Selector| match selector.scheme {
            Scheme::Etcd(_) | Scheme::Zeebe(_) => true,
            Scheme::Netns(_)
            | Scheme::Pid(_)
            | Scheme::Container(_)
            | Scheme::Pod(_)
            | Scheme::Host(_)
            | Scheme::Addr(_)
            | Scheme::Kubernetes(_) => false,
        };
        if !selectors.iter().any(is_role) {
            return Sight::default();
        }
        self.sight(&selectors.iter().filter_map(GroupName::of).collect()).await
    }

    /// What selectors name together, each place once.
    pub(super) async fn all(
        &self,
        selectors: &[Selector],
        role: Role,
        seed: u64,
        sight: &Sight,
    ) -> Result<Vec<End>, ResolveError> {
        let aspect = role.aspect();
        let mut all: Vec<End> = Vec::new();
        for selector in selectors {
            for end in self.ends(selector, role, seed, sight).await? {
                if !all.iter().any(|known| known.place.is_same(&end.place, aspect)) {
                    all.push(end);
                }
            }
        }
        Ok(all)
    }

    async fn ends(
        &self,
        selector: &Selector,
        role: Role,
        seed: u64,
        sight: &Sight,
    ) -> Result<Vec<End>, ResolveError> {
        resolving::ends(self.agents(), self.clusters(), selector, role, seed, sight).await
    }

    async fn around(
        &self,
        around: &[Selector],
        group: &[End],
        seed: u64,
        sight: &Sight,
    ) -> Result<MemberName, AskError> {
        let found = self.all(around, Role::Member, seed, sight).await?;
        let members: Vec<MemberName> = found
            .iter()
            .filter_map(|end| {
                group.iter().find(|one| one.place.is_same(&end.place, Aspect::Network)).map(member)
            })
            .collect();
        match <[MemberName; 1]>::try_from(members) {
            Ok([one]) => Ok(one),
            Err(members) => Err(AskError::Around { found: members.len() }),
        }
    }
}

/// Pods that were named otherwise than by what they are in a group.
fn pods_otherwise_named(ends: &[End]) -> impl Iterator<Item = &Located> {
    let is_role = |scheme: &Scheme| matches!(scheme, Scheme::Etcd(_) | Scheme::Zeebe(_));
    let named = ends.iter().filter(move |end| !is_role(&end.selector.scheme));
    named.filter_map(|end| end.pod.as_deref())
}

/// The groups of which pods are members.
pub(super) fn memberships<'a>(
    kubernetes: &Kubernetes,
    pods: impl IntoIterator<Item = &'a Located>,
) -> BTreeSet<GroupName> {
    let groups = pods.into_iter().flat_map(|pod| kubernetes.memberships(pod));
    groups.map(|(system, path)| GroupName { system, path }).collect()
}

/// Whether processes are ended by it.
const fn is_deadly(what: &What) -> bool {
    match what {
        What::Within { within: Within::Kill(kill), .. } => kill.signal.ends(),
        What::Within {
            within: Within::Freeze(_) | Within::Skew(_) | Within::Stress(_), ..
        }
        | What::Cut(..) => false,
    }
}

/// Whether members may hear less of each other by it.
pub(super) const fn may_silence(what: &What) -> bool {
    match what {
        What::Cut(..) => true,
        What::Within { within: Within::Freeze(_) | Within::Kill(_), .. } => true,
        What::Within { within: Within::Skew(_) | Within::Stress(_), .. } => false,
    }
}

fn pairs(senders: Vec<End>, receivers: Vec<End>, ways: Ways) -> (Vec<End>, BTreeSet<Direction>) {
    let (first, second) = (senders.len(), receivers.len());
    let mut ends = senders;
    ends.extend(receivers);
    let mut directions = BTreeSet::new();
    for from in 0..first {
        for to in first..first + second {
            if is_beside_the_point(&ends[from], &ends[to]) {
                continue;
            }
            directions.insert(Direction { from, to });
            if ways == Ways::Both {
                directions.insert(Direction { from: to, to: from });
            }
        }
    }
    (ends, directions)
}

/// Whether nothing is to be enforced between two ends: what a service has beside its pods sends to a target as they do,
/// and between addresses its pods alone can be kept from sending.
fn is_beside_the_point(from: &End, to: &End) -> bool {
    let of_service = from.selector.is_service();
    let is_target = |end: &End| matches!(end.place, Place::Target(..));
    of_service && !is_target(from) && !is_target(to)
}

/// What members of one group send to those of another is lost.
fn apart(groups: Vec<Vec<End>>) -> (Vec<End>, BTreeSet<Direction>) {
    let owners: Vec<usize> =
        groups.iter().enumerate().flat_map(|(at, group)| group.iter().map(move |_| at)).collect();
    let mut directions = BTreeSet::new();
    for from in 0..owners.len() {
        let others = (0..owners.len()).filter(|to| owners[*to] != owners[from]);
        directions.extend(others.map(|to| Direction { from, to }));
    }
    (groups.into_iter().flatten().collect(), directions)
}

fn partition(
    preset: Preset,
    ends: Vec<End>,
    around: Option<&MemberName>,
    seed: u64,
) -> Result<Layout, AskError> {
    let places: BTreeMap<MemberName, usize> =
        ends.iter().enumerate().map(|(at, end)| (member(end), at)).collect();
    let grudge = preset.grudge(places.keys().cloned().collect(), around, seed)?;
    let directions = grudge
        .cuts()
        .iter()
        .filter_map(|link| {
            Some(Direction { from: *places.get(&link.from)?, to: *places.get(&link.to)? })
        })
        .collect();
    Ok(Layout { ends, directions, matrix: grudge.matrix().to_string() })
}

/// The name of an end in its group: that of its provider, or what it is called on its node.
fn member(end: &End) -> MemberName {
    if let Some(member) = &end.member {
        return member.clone();
    }
    let text = match &end.place {
        Place::Target(node, target) => format!("{}.{node}", target.selector.scheme),
        Place::Addresses(prefixes) => {
            prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join("-")
        }
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let plain: String = text.chars().map(|c| if fits(c) { c } else { '-' }).take(253).collect();
    MemberName::new(&plain).unwrap_or_else(|| unreachable!("made of what a name may have"))
}
