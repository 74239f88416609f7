//! Which installation keeps the faults that are objects, where a cluster has several. Pure.
//!
//! Each has a ClusterRoleBinding by which its controllers may do so, and whoever has the oldest one does. Controllers
//! only read that, and applying a manifest once more makes no binding younger: nobody takes it from another one.

use std::collections::BTreeMap;

use cluster::{ClusterRoleBinding, Namespace};

/// What the names of these bindings begin and end with; between them stands the namespace of the installation.
const AROUND: [&str; 2] = ["schism:", ":faults"];

/// What is known of installations.
#[derive(Clone, Debug)]
pub(crate) struct Installations {
    own: Namespace,
    /// Since when there is one, by its namespace; `None` before anybody has told.
    since: Option<BTreeMap<String, String>>,
}

/// Whose it is to keep objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Nobody has told yet.
    #[default]
    Unknown,
    /// This installation's.
    Own,
    /// That of the one in another namespace.
    Other(String),
}

/// The namespace of the installation that has this binding; `None` for another binding.
pub(crate) fn namespace(binding: &str) -> Option<&str> {
    let [before, after] = AROUND;
    binding.strip_prefix(before)?.strip_suffix(after).filter(|namespace| !namespace.is_empty())
}

/// The binding of the installation in a namespace.
pub(crate) fn binding(namespace: &str) -> String {
    let [before, after] = AROUND;
    format!("{before}{namespace}{after}")
}

impl Installations {
    /// Nothing is known.
    pub(crate) fn new(own: Namespace) -> Self {
        Self { own, since: None }
    }

    /// All that there are.
    pub(crate) fn listed(&mut self, bindings: &[ClusterRoleBinding]) {
        self.since = Some(BTreeMap::new());
        bindings.iter().for_each(|binding| self.applied(binding));
    }

    /// One that is new, or has changed.
    pub(crate) fn applied(&mut self, binding: &ClusterRoleBinding) {
        let metadata = &binding.metadata;
        if let Some((since, namespace)) = self.since.as_mut().zip(namespace(&metadata.name)) {
            let created = metadata.creation_timestamp.clone().unwrap_or_default();
            since.insert(namespace.to_owned(), created);
        }
    }

    /// One that is gone.
    pub(crate) fn deleted(&mut self, binding: &ClusterRoleBinding) {
        if let Some((since, namespace)) = self.since.as_mut().zip(namespace(&binding.metadata.name))
        {
            since.remove(namespace);
        }
    }

    /// Whose it is. Of two of the same second the first by its name; where there is none, whoever asks.
    pub(crate) fn keeper(&self) -> Keeper {
        let Some(since) = &self.since else { return Keeper::Unknown };
        let oldest = since.iter().min_by(|one, other| (one.1, one.0).cmp(&(other.1, other.0)));
        match oldest {
            Some((namespace, _)) if namespace != self.own.as_str() => {
                Keeper::Other(namespace.clone())
            }
            Some(_) | None => Keeper::Own,
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster::Metadata;

    use super::*;

    fn made(name: &str, second: &str) -> ClusterRoleBinding {
        let created = Some(format!("2026-01-01T00:00:{second}Z"));
        let metadata =
            Metadata { name: name.to_owned(), creation_timestamp: created, ..Metadata::default() };
        ClusterRoleBinding { metadata }
    }

    #[test]
    fn the_oldest_keeps_objects() {
        let (first, second) = (made("schism:blue:faults", "01"), made("schism:red:faults", "02"));
        let table = [
            (vec![], "blue", Keeper::Own),
            (vec![&first], "blue", Keeper::Own),
            (vec![&second, &first], "blue", Keeper::Own),
            (vec![&second, &first], "red", Keeper::Other("blue".to_owned())),
            // By what right it would act nobody knows, and there is one that has it.
            (vec![&second], "blue", Keeper::Other("red".to_owned())),
        ];
        for (bindings, own, expected) in table {
            let mut known = Installations::new(own.parse().unwrap());
            assert_eq!(known.keeper(), Keeper::Unknown);
            known.listed(&bindings.iter().map(|one| (*one).clone()).collect::<Vec<_>>());
            assert_eq!(known.keeper(), expected, "{own} of {bindings:?}");
        }
    }

    #[test]
    fn who_comes_later_does_once_the_older_one_is_gone() {
        let mut known = Installations::new("red".parse().unwrap());
        let blue = made("schism:blue:faults", "01");
        known.applied(&blue);
        assert_eq!(known.keeper(), Keeper::Unknown, "others may be there");
        known.listed(&[blue.clone(), made("schism:red:faults", "01")]);
        assert_eq!(known.keeper(), Keeper::Other("blue".to_owned()), "of the same second");
        known.deleted(&made("schism:blue:controller", "01"));
        assert_eq!(known.keeper(), Keeper::Other("blue".to_owned()));
        known.deleted(&blue);
        assert_eq!(known.keeper(), Keeper::Own);
        // Applied once more it is younger.
        known.applied(&made("schism:blue:faults", "03"));
        assert_eq!(known.keeper(), Keeper::Own);
    }

    #[test]
    fn a_binding_names_its_installation() {
        assert_eq!(namespace(&binding("chaos")), Some("chaos"));
        for other in ["schism:chaos:controller", "schism::faults", "chaos:faults", "cluster-admin"]
        {
            assert_eq!(namespace(other), None, "{other}");
        }
    }
}
