//! Pods that are to go, and those around them: who is gone, and who is in whose place. Pure.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{Event, Pod};
use proto::control as wire;
use proto::control::removed_pod::Fate;

use crate::provider::kubernetes::PodName;

/// When a pod is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// When the API server was asked.
    Asked,
    /// When it is gone.
    Gone,
    /// When another one that is ready is in its place.
    Replaced,
}

/// All that are to go.
#[derive(Debug)]
pub(super) struct Departures {
    until: Until,
    leaving: Vec<Leaving>,
    /// By the watch that tells of them, and by UID.
    there: Vec<BTreeMap<String, Neighbour>>,
    /// UIDs of those that were there in the beginning.
    before: BTreeSet<String>,
}

/// A pod that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Leaving {
    pub(super) pod: PodName,
    pub(super) uid: String,
    node: String,
    /// The UID of what makes it anew, if anything does.
    maker: Option<String>,
    pub(super) fate: Fate,
    trouble: String,
    /// Who is in its place: its UID, and its name.
    successor: Option<(String, PodName)>,
}

/// A pod that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Neighbour {
    pod: PodName,
    maker: Option<String>,
    is_ready: bool,
    leaves: bool,
}

impl Neighbour {
    fn of(pod: &Pod) -> Self {
        Self {
            pod: PodName::of(pod),
            maker: maker(pod),
            is_ready: pod.is_ready(),
            leaves: pod.metadata.deletion_timestamp.is_some(),
        }
    }
}

/// The UID of what makes a pod anew.
fn maker(pod: &Pod) -> Option<String> {
    pod.metadata.controller().map(|owner| owner.uid.clone())
}

impl Leaving {
    /// One that was not asked for yet.
    pub(super) fn new(pod: &Pod) -> Self {
        Self {
            pod: PodName::of(pod),
            uid: pod.metadata.uid.clone(),
            node: pod.spec.node_name.clone().unwrap_or_default(),
            maker: maker(pod),
            fate: Fate::Pending,
            trouble: String::new(),
            successor: None,
        }
    }

    /// Whether nothing makes another one like it.
    pub(super) const fn is_lost(&self) -> bool {
        self.maker.is_none()
    }

    pub(super) fn told(&self) -> wire::RemovedPod {
        let is_replaced = self.fate == Fate::Replaced;
        let successor = self.successor.as_ref().filter(|_| is_replaced);
        wire::RemovedPod {
            pod: self.pod.to_string(),
            uid: self.uid.clone(),
            node: self.node.clone(),
            fate: self.fate.into(),
            trouble: self.trouble.clone(),
            successor: successor.map(|(_, pod)| pod.to_string()).unwrap_or_default(),
        }
    }
}

impl Departures {
    /// These, of whose namespaces or node so many watches tell.
    pub(super) fn new(leaving: Vec<Leaving>, until: Until, watches: usize) -> Self {
        let there = vec![BTreeMap::new(); watches];
        Self { until, leaving, there, before: BTreeSet::new() }
    }

    /// Those that are there now were there before anybody was asked to go.
    pub(super) fn begin(&mut self) {
        self.before = self.there.iter().flat_map(|all| all.keys().cloned()).collect();
    }

    /// Takes in what a watch has told.
    pub(super) fn tell(&mut self, watch: usize, event: Event<Pod>) {
        let Some(there) = self.there.get_mut(watch) else { return };
        match event {
            Event::Listed(all) => {
                let all = all.iter().map(|pod| (pod.metadata.uid.clone(), Neighbour::of(pod)));
                *there = all.collect();
            }
            Event::Applied(pod) => {
                there.insert(pod.metadata.uid.clone(), Neighbour::of(&pod));
            }
            Event::Deleted(pod) => drop(there.remove(&pod.metadata.uid)),
            // What is known may be old, and is told again.
            Event::Trouble(_) => {}
        }
    }

    /// Those of which the API server has to be asked, or asked again.
    pub(super) fn to_ask(&self) -> Vec<usize> {
        let asked = |fate| matches!(fate, Fate::Pending | Fate::Refused);
        (0..self.leaving.len()).filter(|at| asked(self.leaving[*at].fate)).collect()
    }

    pub(super) fn of(&self, at: usize) -> &Leaving {
        &self.leaving[at]
    }

    /// Says what became of asking for one.
    pub(super) fn answered(&mut self, at: usize, fate: Fate, trouble: String) {
        let one = &mut self.leaving[at];
        (one.fate, one.trouble) = (fate, trouble);
    }

    /// Sees who is gone by now, and who is in whose place; only what was told by watches is known.
    pub(super) fn judge(&mut self) {
        if self.until == Until::Asked {
            return;
        }
        let there: BTreeMap<&String, &Neighbour> = self.there.iter().flatten().collect();
        for one in &mut self.leaving {
            let may_go = matches!(one.fate, Fate::Pending | Fate::Going | Fate::Refused);
            if may_go && !there.contains_key(&one.uid) {
                (one.fate, one.trouble) = (Fate::Gone, String::new());
            }
        }
        if self.until == Until::Gone {
            return;
        }
        let mut taken: BTreeSet<&String> = BTreeSet::new();
        let kept = self.leaving.iter().filter(|one| one.fate == Fate::Replaced);
        let kept: Vec<String> =
            kept.filter_map(|one| one.successor.as_ref().map(|(uid, _)| uid.clone())).collect();
        taken.extend(&kept);
        // Who is ready first: of several that come in one place's stead any will do.
        let mut others: Vec<(&String, &Neighbour)> =
            there.into_iter().filter(|(_, one)| !one.leaves).collect();
        others.sort_by_key(|(_, one)| (!one.is_ready, one.pod.clone()));
        for one in self.leaving.iter_mut().filter(|one| one.fate == Fate::Gone) {
            (one.successor, one.trouble) = (None, String::new());
        }
        for claim in [Claim::Name, Claim::Newcomer] {
            let seeks = |one: &&mut Leaving| one.fate == Fate::Gone && one.successor.is_none();
            for one in self.leaving.iter_mut().filter(seeks) {
                let fits = |(uid, other): &&(&String, &Neighbour)| {
                    let is_new = !self.before.contains(*uid);
                    !taken.contains(*uid) && is_new && claim.fits(one, other)
                };
                let Some((uid, other)) = others.iter().find(fits) else { continue };
                taken.insert(uid);
                one.successor = Some(((*uid).clone(), other.pod.clone()));
                if other.is_ready {
                    (one.fate, one.trouble) = (Fate::Replaced, String::new());
                } else {
                    one.trouble = format!("{} is in its place, and not ready", other.pod);
                }
            }
        }
    }

    /// Whether nothing more is to be waited for.
    pub(super) fn is_over(&self) -> bool {
        self.leaving.iter().all(|one| match one.fate {
            Fate::Unspecified | Fate::Pending => false,
            // It may be asked again; whoever asks knows for how long.
            Fate::Refused | Fate::Failed | Fate::Replaced => true,
            Fate::Going => self.until == Until::Asked,
            Fate::Gone => self.until != Until::Replaced,
        })
    }

    /// Says of those that are not done with why that is so, once it is not waited for any more.
    pub(super) fn give_up(&mut self, why: &str) {
        for one in &mut self.leaving {
            match one.fate {
                Fate::Unspecified | Fate::Pending if one.trouble.is_empty() => {
                    one.trouble = format!("not asked for: {why}");
                }
                // Nobody knows whether it goes.
                Fate::Unspecified | Fate::Pending => one.fate = Fate::Failed,
                Fate::Going if self.until != Until::Asked => {
                    one.trouble = format!("it is not gone yet: {why}");
                }
                Fate::Gone if self.until == Until::Replaced && one.trouble.is_empty() => {
                    one.trouble = format!("no other one is in its place: {why}");
                }
                Fate::Gone if self.until == Until::Replaced => {
                    one.trouble = format!("{}: {why}", one.trouble);
                }
                Fate::Going | Fate::Gone | Fate::Refused | Fate::Failed | Fate::Replaced => {}
            }
        }
    }

    /// The first that is not as it was to be, for people; nothing where all are.
    pub(super) fn trouble(&self) -> Option<String> {
        let first = self.leaving.iter().find(|one| !one.trouble.is_empty())?;
        Some(format!("pod {}: {}", first.pod, first.trouble))
    }

    /// Whether one does not go because that is not allowed.
    pub(super) fn is_refused(&self) -> bool {
        self.leaving.iter().any(|one| one.fate == Fate::Refused)
    }

    pub(super) fn told(&self) -> Vec<wire::RemovedPod> {
        self.leaving.iter().map(Leaving::told).collect()
    }
}

/// By what a pod takes the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// By its name.
    Name,
    /// It has come since, from who has made the other one.
    Newcomer,
}

impl Claim {
    fn fits(self, one: &Leaving, other: &Neighbour) -> bool {
        match self {
            Self::Name => other.pod == one.pod,
            Self::Newcomer => {
                other.pod.namespace == one.pod.namespace
                    && one.maker.is_some()
                    && other.maker == one.maker
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, uid: &str, maker: &str, ready: &str) -> Pod {
        let owner =
            json!([{ "kind": "ReplicaSet", "name": maker, "uid": maker, "controller": true }]);
        let owner = if maker.is_empty() { Value::Null } else { owner };
        let mut object = json!({
            "metadata": { "name": name, "namespace": "prod", "uid": uid },
            "spec": { "nodeName": "n1" },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] },
        });
        if !owner.is_null() {
            object["metadata"]["ownerReferences"] = owner;
        }
        serde_json::from_value(object).unwrap()
    }

    fn going(pods: &[Pod], until: Until, there: &[Pod]) -> Departures {
        let mut all = Departures::new(pods.iter().map(Leaving::new).collect(), until, 1);
        all.tell(0, Event::Listed(there.to_vec()));
        all.begin();
        for at in all.to_ask() {
            all.answered(at, Fate::Going, String::new());
        }
        all.judge();
        all
    }

    fn fates(all: &Departures) -> Vec<(Fate, String)> {
        let told = all.told();
        told.iter().map(|one| (one.fate(), one.successor.clone())).collect()
    }

    #[test]
    fn a_pod_is_replaced_by_that_of_its_name_once_that_is_ready() {
        let old = pod("web-0", "1", "set", "True");
        let other = pod("web-1", "2", "set", "True");
        let mut all = going(from_ref(&old), Until::Replaced, &[old.clone(), other]);
        assert!(!all.is_over());
        all.tell(0, Event::Deleted(old));
        all.judge();
        // Who was there before takes nobody's place.
        assert_eq!(fates(&all), [(Fate::Gone, String::new())]);
        all.tell(0, Event::Applied(pod("web-0", "3", "set", "False")));
        all.judge();
        assert_eq!(
            all.trouble().unwrap(),
            "pod prod/web-0: prod/web-0 is in its place, and not ready"
        );
        assert!(!all.is_over());
        all.tell(0, Event::Applied(pod("web-0", "3", "set", "True")));
        all.judge();
        assert_eq!(fates(&all), [(Fate::Replaced, "prod/web-0".to_owned())]);
        assert!(all.is_over() && all.trouble().is_none());
        // What becomes of it afterwards is not its affair.
        all.tell(0, Event::Applied(pod("web-0", "3", "set", "False")));
        all.judge();
        assert!(all.is_over());
    }

    #[test]
    fn newcomers_of_the_same_maker_take_one_place_each() {
        let old = [pod("a", "1", "set", "True"), pod("b", "2", "set", "True")];
        let stranger = pod("x", "9", "other", "True");
        let mut all = going(&old, Until::Replaced, &old);
        for one in &old {
            all.tell(0, Event::Deleted(one.clone()));
        }
        all.tell(0, Event::Applied(stranger));
        all.tell(0, Event::Applied(pod("c", "3", "set", "True")));
        all.tell(0, Event::Applied(pod("d", "4", "set", "False")));
        all.judge();
        assert_eq!(
            fates(&all),
            [(Fate::Replaced, "prod/c".to_owned()), (Fate::Gone, String::new())]
        );
        all.tell(0, Event::Applied(pod("d", "4", "set", "True")));
        all.judge();
        assert_eq!(
            fates(&all),
            [(Fate::Replaced, "prod/c".to_owned()), (Fate::Replaced, "prod/d".to_owned())]
        );
    }

    #[test]
    fn one_that_goes_by_itself_is_gone() {
        let old = pod("a", "1", "", "True");
        let mut all = Departures::new(vec![Leaving::new(&old)], Until::Gone, 1);
        assert!(all.of(0).is_lost());
        all.tell(0, Event::Listed(vec![old.clone()]));
        all.begin();
        all.answered(0, Fate::Refused, "a budget".to_owned());
        all.judge();
        assert!(all.is_refused() && all.is_over() && all.to_ask() == [0]);
        all.tell(0, Event::Deleted(old));
        all.judge();
        assert_eq!(fates(&all), [(Fate::Gone, String::new())]);
        assert!(!all.is_refused() && all.trouble().is_none() && all.to_ask().is_empty());
    }

    #[test]
    fn who_is_not_waited_for_any_more_is_told_with_the_reason() {
        let old = pod("a", "1", "set", "True");
        let why = "1 s have passed";
        let mut stays = going(from_ref(&old), Until::Gone, from_ref(&old));
        stays.give_up(why);
        assert_eq!(stays.trouble().unwrap(), "pod prod/a: it is not gone yet: 1 s have passed");
        let mut alone = going(from_ref(&old), Until::Replaced, from_ref(&old));
        alone.tell(0, Event::Deleted(old.clone()));
        alone.judge();
        alone.give_up(why);
        let said = "pod prod/a: no other one is in its place: 1 s have passed";
        assert_eq!(alone.trouble().unwrap(), said);
        let mut mute = Departures::new(vec![Leaving::new(&old)], Until::Asked, 0);
        mute.answered(0, Fate::Pending, "no answer".to_owned());
        mute.give_up(why);
        assert_eq!(fates(&mute)[0].0, Fate::Failed);
        let mut unasked = Departures::new(vec![Leaving::new(&old)], Until::Asked, 0);
        unasked.give_up(why);
        assert_eq!(unasked.trouble().unwrap(), "pod prod/a: not asked for: 1 s have passed");
        let mut asked = going(from_ref(&old), Until::Asked, &[]);
        assert!(asked.is_over());
        asked.give_up(why);
        assert_eq!(asked.trouble(), None);
    }
}
