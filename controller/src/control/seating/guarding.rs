//! What the guards of what comes in go by: as of a request, majorities and limits as they are now. Another fault may have
//! come meanwhile beside which this one would not have been let in.

use std::collections::BTreeSet;

use fault::NodeName;
use proto::control as wire;

use super::super::asking::{may_silence, memberships};
use super::super::intent::Intent;
use super::super::seats::{self, Seat};
use super::Attendant;
use super::pass::Coming;
use crate::admit::Guards;
use crate::provider::kubernetes::{Disruptions, PodName, PodsError};
use crate::sight::GroupName;
use crate::spec::QuorumLoss;

impl Attendant {
    /// Looks at the groups that may be hit.
    ///
    /// # Errors
    /// Of which groups some pods are is not known, and their majorities count.
    pub(super) async fn guards(
        &mut self,
        next: &Intent,
        coming: &Coming,
    ) -> Result<Guards, PodsError> {
        let meant = self.spec.selectors().filter_map(GroupName::of).collect();
        let mut sight = self.clusters.sight(&self.agents, &meant).await;
        let quorum_loss = self.spec.quorum_loss;
        if may_silence(&self.spec.what) {
            match (self.groups(next, coming).await, quorum_loss) {
                (Ok(members), _) => {
                    self.clusters.look_at(&self.agents, &mut sight, members).await;
                }
                // As where a group cannot be seen.
                (Err(_), QuorumLoss::Allowed) => {}
                (Err(error), QuorumLoss::Refused) => return Err(error),
            }
        }
        // A kill is over with the pod that it ended, and no other gets it.
        let disruptions = Disruptions::default();
        Ok(Guards { sight, limits: self.limits, quorum_loss, disruptions })
    }

    /// The groups of the pods at the ends of what comes in, by whatever name those were found.
    async fn groups(
        &mut self,
        next: &Intent,
        coming: &Coming,
    ) -> Result<BTreeSet<GroupName>, PodsError> {
        let amendment = &coming.amendment;
        let seated = amendment.seated.iter().map(|(at, end)| (*at, end));
        let first = next.ends.len() - amendment.more.len();
        let more = amendment.more.iter().enumerate().map(|(at, end)| (first + at, end));
        for (at, end) in seated.chain(more) {
            let of = memberships(&self.kubernetes, end.pod.as_deref());
            self.groups.insert(at, of);
        }
        let mut places: BTreeSet<usize> =
            coming.directions.iter().flat_map(|one| [one.from, one.to]).collect();
        places.extend(seats::idle(next));
        let mut all = BTreeSet::new();
        for (at, end) in places.into_iter().filter_map(|at| Some((at, next.ends.get(at)?))) {
            if !self.groups.contains_key(&at) {
                let of = self.asked_groups(at, end).await?;
                self.groups.insert(at, of);
            }
            all.extend(self.groups.get(&at).into_iter().flatten().cloned());
        }
        Ok(all)
    }

    /// Those of a pod that was there before anybody here: the API server is asked for its labels, once.
    async fn asked_groups(
        &self,
        at: usize,
        end: &wire::End,
    ) -> Result<BTreeSet<GroupName>, PodsError> {
        let name = match end.pod.as_str() {
            "" => Seat::of(at, end).map(|seat| seat.pod()),
            name => Some(name.to_owned()),
        };
        let name = name.and_then(|name| {
            let (namespace, name) = name.split_once('/')?;
            Some(PodName { namespace: namespace.to_owned(), name: name.to_owned() })
        });
        let Some((name, node)) = name.zip(NodeName::new(&end.node)) else {
            return Ok(BTreeSet::new());
        };
        // Of one that is gone, what watches it tells.
        let pod = self.kubernetes.pod(&name, &node).await?;
        Ok(memberships(&self.kubernetes, &pod))
    }
}
