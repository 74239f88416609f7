//! The pods that a watch has told of, and what follows for one that is known from elsewhere. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cluster::{Event, Phase, Pod};

/// What matters of a pod that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// All of its containers have ended: its addresses are anybody's.
    pub over: bool,
    /// What else decides whether it can be hit: where it is, whether it goes, how many containers run.
    state: (Option<String>, bool, Phase, usize),
}

/// Whether a pod that was found elsewhere is there, by what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    There,
    /// It was told to be gone, or its addresses are somebody else's by now.
    Gone,
    /// What is told may be older than it: whoever has to know asks.
    Untold,
}

/// Whether what is told is how things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is, but for the last moments.
    Current,
    /// Nothing is being told.
    Old,
}

/// All that were told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roster {
    /// Those that are there, by UID.
    there: BTreeMap<String, Fact>,
    /// Those that are not any more. Whoever is in neither was never told of.
    gone: BTreeSet<String>,
}

impl Fact {
    pub(crate) fn of(pod: &Pod) -> Self {
        let all = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
        let running = all.filter(|status| status.is_running()).count();
        let addresses = pod.status.pod_ips.iter().filter_map(|one| one.ip.parse().ok());
        let leaves = pod.metadata.deletion_timestamp.is_some();
        Self {
            name: pod.metadata.name.clone(),
            addresses: addresses.collect(),
            over: matches!(pod.status.phase, Phase::Succeeded | Phase::Failed),
            state: (pod.spec.node_name.clone(), leaves, pod.status.phase, running),
        }
    }

    /// Whether it is the pod that has these addresses, as its node has them.
    #[must_use]
    pub fn is_with(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        !self.over && addresses.is_superset(&self.addresses)
    }
}

/// Pods by UID, as far as they matter.
pub(super) fn facts<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> BTreeMap<String, Fact> {
    pods.into_iter().map(|pod| (pod.metadata.uid.clone(), Fact::of(pod))).collect()
}

impl Roster {
    pub(super) const fn there(&self) -> &BTreeMap<String, Fact> {
        &self.there
    }

    /// These are there, and no others; whether that is news.
    pub(super) fn are(&mut self, there: BTreeMap<String, Fact>) -> bool {
        let before = std::mem::replace(&mut self.there, there);
        let is_news = before != self.there;
        self.gone.extend(before.into_keys());
        self.gone.retain(|uid| !self.there.contains_key(uid));
        is_news
    }

    /// Of this name there is this one, or none; whether that is news.
    pub(super) fn is(&mut self, name: &str, now: Option<&Pod>) -> bool {
        let now = now.map(|pod| (pod.metadata.uid.clone(), Fact::of(pod)));
        let before = self.there.iter().find(|(_, fact)| fact.name == name);
        let before = before.map(|(uid, fact)| (uid.clone(), fact.clone()));
        if now == before {
            return false;
        }
        if let Some((uid, _)) = before {
            self.there.remove(&uid);
            self.gone.insert(uid);
        }
        if let Some((uid, fact)) = now {
            self.gone.remove(&uid);
            self.there.insert(uid, fact);
        }
        true
    }

    /// Whether that pod is there, which has these addresses. One that was never told of may have come since, and where
    /// nothing is told it may have got others.
    pub(super) fn presence(
        &self,
        uid: &str,
        addresses: &BTreeSet<IpAddr>,
        standing: Standing,
    ) -> Presence {
        match (self.there.get(uid), standing) {
            (Some(fact), _) if fact.is_with(addresses) => Presence::There,
            (Some(fact), Standing::Old) if !fact.over => Presence::Untold,
            (Some(_), _) => Presence::Gone,
            (None, _) if self.gone.contains(uid) => Presence::Gone,
            (None, _) => Presence::Untold,
        }
    }
}

/// Takes in what a watch tells, which has told nothing before `None`; whether that is news. Trouble is none.
pub(super) fn take(roster: &mut Option<Roster>, event: &Event<Pod>) -> bool {
    let is_first = roster.is_none();
    match event {
        Event::Listed(all) => roster.get_or_insert_default().are(facts(all)) || is_first,
        Event::Applied(pod) => {
            roster.get_or_insert_default().is(&pod.metadata.name, Some(pod)) || is_first
        }
        Event::Deleted(pod) => {
            let roster = roster.get_or_insert_default();
            // Another one of its name stays.
            let is_there = roster.there.contains_key(&pod.metadata.uid);
            let is_news = is_there && roster.is(&pod.metadata.name, None);
            roster.gone.insert(pod.metadata.uid.clone());
            is_news || is_first
        }
        Event::Trouble(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(uid: &str, name: &str, more: Value) -> Pod {
        let mut pod = json!({
            "metadata": { "uid": uid, "name": name },
            "status": { "phase": "Running", "podIPs": [{ "ip": "10.0.0.1" }] },
        });
        for (key, value) in more.as_object().unwrap() {
            pod["status"][key] = value.clone();
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn what_does_not_matter_is_no_news() {
        let mut roster = None;
        let mut told = |event| take(&mut roster, &event);
        let web = |more| pod("1", "web-0", more);
        assert!(told(Event::Listed(Vec::new())), "that there is none is news");
        assert!(told(Event::Applied(web(json!({})))));
        let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
        assert!(!told(Event::Applied(web(ready))));
        assert!(told(Event::Applied(web(json!({ "podIPs": [] })))));
        assert!(told(Event::Applied(web(json!({ "phase": "Failed" })))));
        // Whoever comes under its name has taken its place, also where its end was not told.
        assert!(told(Event::Applied(pod("2", "web-0", json!({})))));
        assert!(!told(Event::Deleted(web(json!({})))), "it is known to be gone");
        assert_eq!(roster.unwrap().there.into_keys().collect::<Vec<_>>(), ["2"]);
    }

    #[test]
    fn a_pod_whose_containers_have_ended_is_over() {
        let over = |phase: &str| Fact::of(&pod("1", "web-0", json!({ "phase": phase }))).over;
        let table = ["Pending", "Running", "Unknown", "Succeeded", "Failed"].map(over);
        assert_eq!(table, [false, false, false, true, true]);
    }

    #[test]
    fn who_was_never_told_of_is_not_gone_and_who_was_told_to_be_gone_is() {
        use Presence::{Gone, There, Untold};
        use Standing::{Current, Old};
        let own: BTreeSet<IpAddr> = [IpAddr::from([10, 0, 0, 1])].into();
        let other: BTreeSet<IpAddr> = [IpAddr::from([10, 0, 0, 9])].into();
        let mut roster = None;
        take(&mut roster, &Event::Listed(vec![pod("1", "web-0", json!({}))]));
        // The watch breaks. The pod goes, and another one that was asked for takes its seat: nothing of that is told.
        let known = roster.clone().unwrap();
        for (uid, addresses, standing, expected) in [
            ("1", &own, Current, There),
            ("1", &own, Old, There),
            ("1", &other, Current, Gone),
            ("1", &other, Old, Untold),
            ("2", &own, Current, Untold),
            ("2", &own, Old, Untold),
        ] {
            let found = known.presence(uid, addresses, standing);
            assert_eq!(found, expected, "{uid} {addresses:?} {standing:?}");
        }
        // It is listed anew, or told from where it ended.
        let mut listed = roster.clone();
        take(&mut listed, &Event::Listed(vec![pod("2", "web-0", json!({}))]));
        take(&mut roster, &Event::Applied(pod("2", "web-0", json!({}))));
        for roster in [listed, roster].map(Option::unwrap) {
            let found = ["1", "2", "3"].map(|uid| roster.presence(uid, &own, Old));
            assert_eq!(found, [Gone, There, Untold]);
        }
        // One that was never seen, and is told to be gone.
        let mut roster = None;
        take(&mut roster, &Event::Deleted(pod("4", "web-4", json!({}))));
        assert_eq!(roster.unwrap().presence("4", &own, Current), Gone);
        let ended = pod("5", "web-5", json!({ "phase": "Failed" }));
        let mut roster = None;
        take(&mut roster, &Event::Applied(ended));
        assert_eq!(roster.unwrap().presence("5", &own, Old), Gone, "nobody begins again");
    }
}
