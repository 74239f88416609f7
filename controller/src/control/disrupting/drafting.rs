//! From what is asked to what is written down: who is meant, and whether the guards let it pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fault::{Extent, IntentId, Kill, LeaseTerms, Limits, NodeName, Scheme, Selector, Signal};
use proto::Invalid;
use proto::control as wire;

use super::departures::Leaving;
use crate::admit::Guards;
use crate::control::asking::{AskError, Budgets, Weighed};
use crate::control::driver::disruptions::Down;
use crate::control::handle::{Control, ControlError};
use crate::control::resolving::ResolveError;
use crate::disruption::{Disruption, Inmates, Manner, What};
use crate::link::nanos;
use crate::planning::End;
use crate::provider::kubernetes::{Disruptions, Kubernetes, Located, PodName, PodsError, Unusable};
use crate::sight::Sight;
use crate::spec::{self, Spec, Within};

/// How long pods are taken to be down, for the guards alone (10 s): while it is under way they are in any case.
const DOWN: Duration = Duration::from_secs(10);

/// What would be done.
#[derive(Clone, Debug)]
pub struct Undertaking {
    /// As it would be written.
    pub disruption: wire::Disruption,
    /// What was asked.
    pub(super) asked: Disruption,
    pub(in crate::control) down: Down,
    pub(super) guards: Guards,
    pub(super) leaving: Vec<Leaving>,
    pub(super) kubernetes: Kubernetes,
}

impl Undertaking {
    /// Where something is done.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<NodeName> {
        let pods = self.disruption.pods.iter().filter_map(|pod| NodeName::new(&pod.node));
        pods.chain(super::errand::node(&self.disruption)).collect()
    }
}

/// Who goes, who is down by that, and what the guards went by.
struct Aim {
    leaving: Vec<Leaving>,
    down: Down,
    guards: Guards,
    notes: Vec<String>,
}

impl Control {
    /// Says what would be done; touches nothing.
    ///
    /// # Errors
    /// It would be refused, and why.
    pub async fn undertake(
        &self,
        id: IntentId,
        asked: wire::DisruptionSpec,
        asker: &str,
        limits: &Limits,
    ) -> Result<Undertaking, AskError> {
        let spec = Disruption::try_from(asked.clone())?;
        if let Some(reason) = self.halted() {
            return Err(ControlError::Halted(reason).into());
        }
        let aim = match &spec.what {
            What::Removal { manner, targets, .. } => {
                self.aim_at_pods(id, &spec, *manner, targets, limits).await?
            }
            What::Cordon { node, inmates, .. } => {
                self.aim_at_node(id, &spec, node, *inmates, limits).await?
            }
        };
        let Aim { leaving, down, guards, notes } = aim;
        let now = self.wall().now();
        let disruption = wire::Disruption {
            id: id.get(),
            spec: Some(asked),
            stage: wire::DisruptionStage::UnderWay.into(),
            asker: asker.to_owned(),
            asked: now,
            deadline: spec.total().map_or(0, |total| now.saturating_add(nanos(total))),
            pods: leaving.iter().map(Leaving::told).collect(),
            notes,
            ..wire::Disruption::default()
        };
        let kubernetes = self.cluster(&spec)?.clone();
        Ok(Undertaking { disruption, asked: spec, down, guards, leaving, kubernetes })
    }

    fn cluster(&self, asked: &Disruption) -> Result<&Kubernetes, AskError> {
        let known = self.clusters().kubernetes();
        known.ok_or_else(|| failed(&named(asked), PodsError::NoCluster).into())
    }

    async fn aim_at_pods(
        &self,
        id: IntentId,
        asked: &Disruption,
        manner: Manner,
        targets: &[Selector],
        limits: &Limits,
    ) -> Result<Aim, AskError> {
        let kubernetes = self.cluster(asked)?;
        let budgets = match manner {
            Manner::Restart | Manner::Terminate => Budgets::Counted,
            Manner::Evict => Budgets::Left,
        };
        let kill = kill(targets.to_vec(), asked)?;
        let Weighed { ends, plan, guards, .. } = self.weigh(id, &kill, limits, budgets).await?;
        let located = ends.iter().map(pod).collect::<Result<Vec<&Located>, _>>()?;
        let known: BTreeMap<String, PodName> =
            located.iter().map(|one| (one.uid.clone(), one.pod.clone())).collect();
        let meant: Vec<(PodName, String)> =
            known.into_iter().map(|(uid, pod)| (pod, uid)).collect();
        let selector = named(asked);
        let pods_failed = |error| AskError::from(failed(&selector, error));
        let there = kubernetes.as_they_are(&meant).await.map_err(pods_failed)?;
        let leaving: Vec<Leaving> = there.values().map(Leaving::new).collect();
        if leaving.is_empty() {
            let asked = "the cluster by now: it is gone".to_owned();
            return Err(ResolveError::Nothing { selector, asked }.into());
        }
        let mut notes = Vec::new();
        for one in leaving.iter().filter(|one| one.is_lost()) {
            if manner == Manner::Restart {
                let (pod, why) = (one.pod.clone(), Unusable::Alone);
                return Err(pods_failed(PodsError::Unusable { pod, why }));
            }
            notes.push(format!("nothing makes pod {} anew", one.pod));
        }
        let pods = leaving.iter().map(|one| one.pod.clone()).collect();
        Ok(Aim { leaving, down: Down { faults: plan.faults, pods }, guards, notes })
    }

    async fn aim_at_node(
        &self,
        id: IntentId,
        asked: &Disruption,
        node: &NodeName,
        inmates: Inmates,
        limits: &Limits,
    ) -> Result<Aim, AskError> {
        let kubernetes = self.cluster(asked)?;
        let selector = named(asked);
        let pods_failed = |error| AskError::from(failed(&selector, error));
        let found = kubernetes.node(node).await.map_err(pods_failed)?;
        let nobody = Guards {
            sight: Sight::default(),
            limits: *limits,
            quorum_loss: asked.quorum_loss,
            disruptions: Disruptions::default(),
        };
        if inmates == Inmates::Stay {
            let (leaving, notes) = (Vec::new(), Vec::new());
            return Ok(Aim { leaving, down: Down::default(), guards: nobody, notes });
        }
        let there = kubernetes.inmates(&found, node).await.map_err(pods_failed)?;
        let targets = there.located.iter().map(selector_of).collect::<Result<Vec<_>, _>>()?;
        let (faults, guards) = if targets.is_empty() {
            (Vec::new(), nobody)
        } else {
            let kill = kill(targets, asked)?;
            let weighed = self.weigh(id, &kill, limits, Budgets::Left).await?;
            (weighed.plan.faults, weighed.guards)
        };
        let leaving: Vec<Leaving> = there.evicted.iter().map(Leaving::new).collect();
        let lost = leaving.iter().filter(|one| one.is_lost());
        let mut notes: Vec<String> =
            lost.map(|one| format!("nothing makes pod {} anew", one.pod)).collect();
        notes.push("pods that were evicted stay where they are once it is uncordoned".to_owned());
        let pods = leaving.iter().map(|one| one.pod.clone()).collect();
        Ok(Aim { leaving, down: Down { faults, pods }, guards, notes })
    }
}

/// The first that was named, by which a failure is told.
fn named(asked: &Disruption) -> Selector {
    let host =
        |node: &NodeName| Selector { pick: None, scheme: Scheme::Host(node.clone()), node: None };
    match &asked.what {
        What::Removal { targets, .. } => match targets.first() {
            Some(first) => first.clone(),
            None => unreachable!("there is at least one"),
        },
        What::Cordon { node, .. } => host(node),
    }
}

fn failed(selector: &Selector, error: PodsError) -> ResolveError {
    ResolveError::Pods { selector: selector.clone(), error: Box::new(error) }
}

/// What the guards are asked about: whoever goes is down as if it was killed.
fn kill(targets: Vec<Selector>, asked: &Disruption) -> Result<Spec, Invalid> {
    let kill = Kill { extent: Extent::Named, signal: Signal::Kill, grace: None };
    let terms = LeaseTerms::new(DOWN, DOWN).map_err(|error| Invalid::new("terms", error))?;
    Ok(Spec {
        what: spec::What::Within { targets, within: Within::Kill(kill) },
        seed: asked.seed,
        terms,
        quorum_loss: asked.quorum_loss,
        restarts: None,
    })
}

/// The pod of an end.
fn pod(end: &End) -> Result<&Located, ResolveError> {
    end.pod.as_deref().ok_or_else(|| ResolveError::Nothing {
        selector: end.selector.clone(),
        asked: "the Kubernetes cluster: it is in no pod of it".to_owned(),
    })
}

/// As what a pod is named.
fn selector_of(pod: &PodName) -> Result<Selector, Invalid> {
    let named = format!("k8s:{}/pod/{}", pod.namespace, pod.name).parse::<Selector>();
    named.map_err(|error| Invalid::new("pod", error))
}
