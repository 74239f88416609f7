//! Members by the names that they have for each other, where they are pods. Pure.
//!
//! Nobody asks a name server: it would answer with whatever is called so, and who may hit the pods of one namespace must
//! not reach others by what a member says of itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The pods of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory(BTreeMap<String, Vec<IpAddr>>);

impl Directory {
    /// Pods by their names, with their addresses: none of one that has none yet, and else first the one at which it is
    /// asked.
    #[must_use]
    pub fn new(pods: impl IntoIterator<Item = (String, Vec<IpAddr>)>) -> Self {
        Self(pods.into_iter().collect())
    }

    /// The name and the addresses of the pod that a host is: by an address of it, or by the first part of its name, as
    /// those of a StatefulSet are called (`etcd-0.etcd.prod.svc`). `None` for whoever is no pod of the group.
    #[must_use]
    pub fn find(&self, host: &str) -> Option<(&str, &[IpAddr])> {
        let found = match host.parse::<IpAddr>() {
            Ok(address) => self.0.iter().find(|(_, own)| own.contains(&address)),
            Err(_) => self.0.get_key_value(host.split('.').next().unwrap_or(host)),
        };
        found.map(|(name, own)| (name.as_str(), own.as_slice()))
    }

    /// The pods of a StatefulSet by their numbers, where no two have the same.
    #[must_use]
    pub fn numbered(&self) -> BTreeMap<u32, &[IpAddr]> {
        let numbers = self.0.iter().filter_map(|(name, own)| {
            let number = name.rsplit_once('-')?.1;
            let plain: u32 = number.parse().ok()?;
            (plain.to_string() == number).then_some((plain, own.as_slice()))
        });
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
        Directory::new((1..).zip(names).map(|(last, name)| ((*name).to_owned(), own(last))))
    }

    #[test]
    fn a_member_is_found_by_its_address_or_its_own_name_and_nobody_else_is() {
        let directory = directory(&["etcd-0", "etcd-1"]);
        let table = [
            ("etcd-1", Some("etcd-1")),
            ("etcd-0.etcd-headless.prod.svc.cluster.local", Some("etcd-0")),
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
