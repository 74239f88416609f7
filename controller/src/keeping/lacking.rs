//! What the API server does not know of objects that this version knows: fields that it drops without a word. Pure.

use std::collections::BTreeMap;
use std::fmt;

use cluster::Definition;
use serde_json::Value;

use super::{GROUP, Pair, VERSION};

/// What the definition of a kind lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What objects of that kind are called.
    plural: &'static str,
    /// Paths of fields.
    what: Vec<String>,
}

/// What is known of the definitions of both kinds.
#[derive(Clone, Debug)]
pub(crate) struct Definitions<K>(BTreeMap<K, Vec<String>>);

/// Why no object of a kind is acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Its definition is not known yet.
    Unknown,
    /// What an object says may be half of what was asked for.
    Lacking(Lack),
}

impl Lack {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        "`schism install | kubectl apply -f -` of this version has the cluster know it; then create the object anew"
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plural, what } = self;
        let what = what.join(", ");
        write!(f, "the definition {plural}.{GROUP} is older than this controller: it lacks {what}")
    }
}

impl<K: Pair> Definitions<K> {
    /// Nothing is known.
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The definition of a kind is this one.
    pub(super) fn are(&mut self, kind: K, found: Option<&Definition>) {
        self.0.insert(kind, lacking(kind, found));
    }

    /// Whether the API server knows all that objects of a kind may say.
    ///
    /// # Errors
    /// It does not, or that is not known.
    pub(super) fn check(&self, kind: K) -> Result<(), Unfit> {
        match self.0.get(&kind) {
            None => Err(Unfit::Unknown),
            Some(what) if what.is_empty() => Ok(()),
            Some(what) => {
                let (plural, what) = (kind.names().plural, what.clone());
                Err(Unfit::Lacking(Lack { plural, what }))
            }
        }
    }

    /// What they lack; `None` as long as that is not known of both.
    pub(crate) fn lacks(&self) -> Option<Vec<Lack>> {
        let mut lacks = Vec::new();
        for kind in K::BOTH {
            match self.check(kind) {
                Ok(()) => {}
                Err(Unfit::Unknown) => return None,
                Err(Unfit::Lacking(lack)) => lacks.push(lack),
            }
        }
        Some(lacks)
    }
}

/// What a definition lacks: fields by their paths, or the version as a whole.
fn lacking<K: Pair>(kind: K, found: Option<&Definition>) -> Vec<String> {
    let versions = found.map(|found| found.spec.versions.as_slice()).unwrap_or_default();
    let Some(there) = versions.iter().find(|one| one.name == VERSION && one.served) else {
        return vec![format!("version {VERSION}")];
    };
    let own = kind.definition();
    let own = &own["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut lacking = Vec::new();
    compare("spec", own, &there.schema.structure["properties"]["spec"], &mut lacking);
    lacking
}

fn compare(path: &str, own: &Value, there: &Value, lacking: &mut Vec<String>) {
    if there["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    for (name, field) in own["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match there["properties"].get(name) {
            Some(there) => compare(&path, field, there, lacking),
            None => lacking.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::resource::Kind as OfRuns;
    use crate::objects::Tenure;
    use crate::objects::resource::Kind;

    /// What of a kind the API server would know without these fields of its specification.
    fn without(kind: impl Pair, paths: &[&str]) -> Definition {
        let mut own = kind.definition();
        let version = &mut own["spec"]["versions"][0];
        for path in paths {
            let schema = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"];
            let (above, name) = path.rsplit_once('/').unwrap();
            let above = if above.is_empty() { schema } else { &mut schema["properties"][above] };
            above["properties"].as_object_mut().unwrap().remove(name).unwrap();
        }
        serde_json::from_value(own).unwrap()
    }

    #[test]
    fn own_definitions_lack_nothing_and_later_ones_neither() {
        fn check(kind: impl Pair) {
            let mut own = without(kind, &[]);
            assert_eq!(lacking(kind, Some(&own)), [""; 0]);
            let spec = &mut own.spec.versions[0].schema.structure["properties"]["spec"];
            spec["properties"]["jitter"] = serde_json::json!({ "type": "string" });
            assert_eq!(lacking(kind, Some(&own)), [""; 0]);
        }
        Kind::ALL.into_iter().for_each(check);
        OfRuns::ALL.into_iter().for_each(check);
    }

    #[test]
    fn fields_that_would_be_dropped_are_named() {
        for kind in Kind::ALL {
            let older = without(kind, &["/onRestart", "cut/loss", "/stress"]);
            let mut found = lacking(kind, Some(&older));
            found.sort();
            assert_eq!(found, ["spec.cut.loss", "spec.onRestart", "spec.stress"]);
        }
        for kind in OfRuns::ALL {
            let older = without(kind, &["/readsLogs", "job/journal"]);
            let mut found = lacking(kind, Some(&older));
            found.sort();
            assert_eq!(found, ["spec.job.journal", "spec.readsLogs"]);
            assert_eq!(lacking(kind, Some(&without(kind, &["/job"]))), ["spec.job"]);
        }
    }

    #[test]
    fn what_is_kept_is_known_once_all_kinds_are() {
        let mut known = Definitions::new();
        assert_eq!(known.check(Kind::Fault), Err(Unfit::Unknown));
        known.are(Kind::Fault, Some(&without(Kind::Fault, &["cut/loss"])));
        assert_eq!(known.lacks(), None);
        known.are(Kind::ClusterFault, Some(&without(Kind::ClusterFault, &[])));
        let said = Tenure::of(known.lacks().unwrap()).to_string();
        let lack = "the definition faults.schism.dev is older than this controller: it lacks spec.cut.loss";
        assert!(said.ends_with(lack), "{said}");
        assert_eq!(known.check(Kind::ClusterFault), Ok(()));
        known.are(Kind::Fault, Some(&without(Kind::Fault, &[])));
        assert_eq!(known.lacks().map(Tenure::of), Some(Tenure::Whole));
    }

    #[test]
    fn one_that_drops_nothing_lacks_nothing() {
        let mut open = without(Kind::Fault, &["cut/loss"]);
        let spec = &mut open.spec.versions[0].schema.structure["properties"]["spec"];
        spec["properties"]["cut"]["x-kubernetes-preserve-unknown-fields"] = true.into();
        assert_eq!(lacking(Kind::Fault, Some(&open)), [""; 0]);
    }

    #[test]
    fn a_version_that_is_not_served_is_lacking() {
        let mut other = without(Kind::Fault, &[]);
        other.spec.versions[0].served = false;
        assert_eq!(lacking(Kind::Fault, Some(&other)), ["version v1alpha1"]);
        other.spec.versions[0].name = "v1".to_owned();
        assert_eq!(lacking(Kind::Fault, Some(&other)), ["version v1alpha1"]);
        assert_eq!(lacking(Kind::Fault, None), ["version v1alpha1"]);
    }
}
