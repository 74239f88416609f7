//! What the API server has said to what is not told. Pure.

use std::collections::BTreeMap;

use fault::Selector;

use super::super::seats::Seat;
use crate::provider::kubernetes::{Fact, Led, PodsError, Presence};

/// What services lead to, as far as that is known now.
pub(super) type Leads = Vec<(Selector, Result<Option<Led>, PodsError>)>;

/// What it has said.
#[derive(Debug, Default)]
pub(super) struct Word {
    pub(super) leads: Leads,
    /// The pods of selectors that were asked for, by UID.
    pub(super) pods: Vec<(Selector, BTreeMap<String, Fact>)>,
    /// It did not say which pods there are.
    pub(super) silent: bool,
}

impl Word {
    /// Whether nothing follows from it.
    pub(super) const fn is_nothing(&self) -> bool {
        self.leads.is_empty() && self.pods.is_empty()
    }

    /// Whether the pod of a seat is there, of which this is told. Of whom neither says anything is there: it is said once
    /// somebody knows, and its node says so by itself.
    pub(super) fn has(&self, seat: &Seat, told: Option<Presence>) -> bool {
        match told {
            Some(Presence::There) => true,
            Some(Presence::Gone) => false,
            Some(Presence::Untold) => {
                let asked = self.pods.iter().find(|(selector, _)| *selector == seat.selector);
                asked.is_none_or(|(_, pods)| {
                    let known = pods.get(seat.uid.as_str());
                    known.is_some_and(|fact| fact.is_with(&seat.addresses))
                })
            }
            None => match self.leads.iter().find(|(selector, _)| *selector == seat.selector) {
                Some((_, Ok(Some(led)))) => led.uids.contains(seat.uid.as_str()),
                Some((_, Ok(None))) => false,
                Some((_, Err(_))) | None => true,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use fault::PodUid;
    use serde_json::json;

    use super::*;
    use crate::cut::specimen;
    use crate::provider::kubernetes::PodName;

    const UID: &str = "7f3e2a10-4b5c-4d6e-8f90-000000000001";

    fn seat(selector: &str) -> Seat {
        Seat {
            at: 0,
            selector: selector.parse().unwrap(),
            name: "web-0".to_owned(),
            uid: PodUid::new(UID).unwrap(),
            identity: specimen::identity(1, None),
            addresses: [IpAddr::from([10, 0, 0, 1])].into(),
            node: None,
            vacant: false,
        }
    }

    fn facts(uid: &str, address: &str, phase: &str) -> BTreeMap<String, Fact> {
        let status = json!({ "phase": phase, "podIPs": [{ "ip": address }] });
        let pod = json!({ "metadata": { "uid": uid, "name": "web-0" }, "status": status });
        [(uid.to_owned(), Fact::of(&serde_json::from_value(pod).unwrap()))].into()
    }

    #[test]
    fn of_whom_nothing_is_told_the_api_server_says_it_and_nobody_is_gone_while_it_is_silent() {
        let seat = seat("k8s:prod/sts/web");
        let asked = |pods| Word { pods: vec![(seat.selector.clone(), pods)], ..Word::default() };
        let told = |presence| Word::default().has(&seat, Some(presence));
        assert_eq!(
            [Presence::There, Presence::Gone, Presence::Untold].map(told),
            [true, false, true]
        );
        let other = "7f3e2a10-4b5c-4d6e-8f90-000000000002";
        for (pods, expected) in [
            (facts(UID, "10.0.0.1", "Running"), true),
            (facts(UID, "10.0.0.2", "Running"), false),
            (facts(UID, "10.0.0.1", "Failed"), false),
            (facts(other, "10.0.0.1", "Running"), false),
            (BTreeMap::new(), false),
        ] {
            let word = asked(pods.clone());
            assert_eq!(word.has(&seat, Some(Presence::Untold)), expected, "{pods:?}");
            // What was told is not asked for.
            assert!(word.has(&seat, Some(Presence::There)));
            assert!(!word.has(&seat, Some(Presence::Gone)));
            assert!(word.has(&seat, None), "nothing is watched yet");
        }
        // Of another selector it says nothing of this one.
        let word = Word {
            pods: vec![("k8s:prod/sts/db".parse().unwrap(), BTreeMap::new())],
            ..Word::default()
        };
        assert!(word.has(&seat, Some(Presence::Untold)));
    }

    #[test]
    fn pods_of_a_service_are_those_that_it_leads_to() {
        let seat = seat("k8s:prod/svc/web");
        let leads = |led| Word { leads: vec![(seat.selector.clone(), led)], ..Word::default() };
        let led = |uids: BTreeSet<String>| Led {
            service: PodName { namespace: "prod".to_owned(), name: "web".to_owned() },
            own: BTreeSet::new(),
            endpoints: BTreeSet::new(),
            elsewhere: BTreeSet::new(),
            pods: crate::provider::kubernetes::Found::default(),
            uids,
        };
        assert!(leads(Ok(Some(led([UID.to_owned()].into())))).has(&seat, None));
        assert!(!leads(Ok(Some(led(BTreeSet::new())))).has(&seat, None));
        assert!(!leads(Ok(None)).has(&seat, None), "it is gone");
        assert!(leads(Err(PodsError::NoCluster)).has(&seat, None), "nobody knows");
        assert!(Word::default().has(&seat, None), "nobody was asked yet");
    }
}
