//! Members by the names that they have for each other, where they are pods. Pure.
//!
//! Nobody asks a name server: it would answer with whatever is called so, and who may hit the pods of one namespace must
//! not reach others by what a member says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The pods of a group, all of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    namespace: String,
    /// By which Services its pods have names.
    services: BTreeSet<String>,
    pods: BTreeMap<String, Vec<IpAddr>>,
}

impl Directory {
    /// Pods of a namespace by their names, with their addresses: none of one that has none yet, and else first the one at
    /// which it is asked. Services are those that give them names (`spec.subdomain`).
    #[must_use]
    pub fn new(
        namespace: String,
        services: BTreeSet<String>,
        pods: impl IntoIterator<Item = (String, Vec<IpAddr>)>,
    ) -> Self {
        Self { namespace, services, pods: pods.into_iter().collect() }
    }

    /// The name and the addresses of the pod that a host is: by an address of it, as Kubernetes calls those of a
    /// StatefulSet, `POD.SERVICE.NAMESPACE.svc…`, or by a Service of its own that is called as it is,
    /// `POD.NAMESPACE.svc…`. `None` for whoever is no pod of the group, and so for one of the same name elsewhere.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<(&str, &[IpAddr])> {
        let found = match host.parse::<IpAddr>() {
            Ok(address) => self.pods.iter().find(|(_, own)| own.contains(&address)),
            Err(_) => self.pods.get_key_value(self.own_name(host)?),
        };
        found.map(|(name, own)| (name.as_str(), own.as_slice()))
    }

    /// The name of the pod that is called so, if that is in this namespace.
    fn own_name<'a>(&self, host: &'a str) -> Option<&'a str> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let labels: Vec<&str> = host.split('.').collect();
        let (pod, is_here) = match labels.as_slice() {
            [pod] => (pod, true),
            // A Service here, as the first that resolvers try, or else a namespace.
            [pod, of] => (pod, *of == self.namespace || self.services.contains(*of)),
            [pod, _, namespace, "svc", ..] | [pod, namespace, "svc", ..] => {
                (pod, *namespace == self.namespace)
            }
            [pod, _, namespace] => (pod, *namespace == self.namespace),
            _ => return None,
        };
        is_here.then_some(*pod)
    }

    /// The number of a pod of a StatefulSet.
    #[must_use]
    pub fn number(pod: &str) -> Option<u32> {
        let (_, number) = pod.rsplit_once('-')?;
        let plain: u32 = number.parse().ok()?;
        (plain.to_string() == number).then_some(plain)
    }

    /// The pods of a StatefulSet by their numbers, where no two have the same.
    #[must_use]
    pub fn numbered(&self) -> BTreeMap<u32, &[IpAddr]> {
        let numbers =
            self.pods.iter().filter_map(|(name, own)| Some((Self::number(name)?, own.as_slice())));
        let numbers: Vec<(u32, &[IpAddr])> = numbers.collect();
        let by_number: BTreeMap<u32, &[IpAddr]> = numbers.iter().copied().collect();
        if by_number.len() == numbers.len() { by_number } else { BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(names: &[&str]) -> Directory {
        let own = |last: u8| {
            vec![
                IpAddr::from([10, 0, 0, last]),
                IpAddr::from([0xfd, 0, 0, 0, 0, 0, 0, last.into()]),
            ]
        };
        let pods = (1..).zip(names).map(|(last, name)| ((*name).to_owned(), own(last)));
        Directory::new("prod".to_owned(), ["etcd-headless".to_owned()].into(), pods)
    }

    #[test]
    fn a_member_is_found_by_its_address_or_its_own_name_and_nobody_else_is() {
        let directory = directory(&["etcd-0", "etcd-1"]);
        let table = [
            ("etcd-1", Some("etcd-1")),
            ("etcd-0.etcd-headless.prod.svc.cluster.local", Some("etcd-0")),
            ("etcd-0.etcd-headless.prod", Some("etcd-0")),
            ("etcd-0.etcd-headless.prod.svc.", Some("etcd-0")),
            ("etcd-0.prod.svc.cluster.local", Some("etcd-0")),
            ("etcd-0.prod", Some("etcd-0")),
            // Resolvers of this namespace add it.
            ("etcd-0.etcd-headless", Some("etcd-0")),
            // One of the same name elsewhere is another.
            ("etcd-0.etcd-headless.test.svc.cluster.local", None),
            ("etcd-0.etcd-headless.test", None),
            ("etcd-0.test.svc.cluster.local", None),
            ("etcd-0.test", None),
            ("etcd-0.prod.test.svc", None),
            ("etcd-0.example.com", None),
            ("etcd-0.etcd-headless.prod.example.com", None),
            ("10.0.0.2", Some("etcd-1")),
            ("fd::2", Some("etcd-1")),
            ("10.0.0.3", None),
            ("etcd.prod.svc", None),
            ("etcd-2", None),
            ("", None),
        ];
        for (host, expected) in table {
            assert_eq!(directory.find(host).map(|(name, _)| name), expected, "{host}");
        }
    }

    #[test]
    fn pods_are_numbered_where_no_two_have_the_same_number() {
        let numbers = |names: &[&str]| directory(names).numbered().into_keys().collect::<Vec<_>>();
        assert_eq!(numbers(&["zeebe-10", "zeebe-2", "zeebe-0"]), [0, 2, 10]);
        assert_eq!(numbers(&["zeebe-0", "gateway-7c9f", "zeebe-01"]), [0]);
        assert_eq!(numbers(&["blue-0", "green-0"]), [0; 0]);
    }
}
