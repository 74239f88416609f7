//! What the API server does not know of objects that this version knows: fields that it drops without a word. Pure.

use std::collections::BTreeMap;
use std::fmt;

use cluster::Definition;
use serde_json::Value;

use super::definition::definition;
use super::resource::{GROUP, Kind, VERSION};
use super::tenure::Tenure;

/// What the definition of a kind lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    kind: Kind,
    /// Paths of fields.
    what: Vec<String>,
}

/// What is known of the definitions of all kinds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Definitions(BTreeMap<Kind, Vec<String>>);

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
        let Self { kind, what } = self;
        let (plural, what) = (kind.plural(), what.join(", "));
        write!(f, "the definition {plural}.{GROUP} is older than this controller: it lacks {what}")
    }
}

impl Definitions {
    /// The definition of a kind is this one.
    pub(crate) fn are(&mut self, kind: Kind, found: Option<&Definition>) {
        self.0.insert(kind, lacking(kind, found));
    }

    /// Whether the API server knows all that objects of a kind may say.
    ///
    /// # Errors
    /// It does not, or that is not known.
    pub(crate) fn check(&self, kind: Kind) -> Result<(), Unfit> {
        match self.0.get(&kind) {
            None => Err(Unfit::Unknown),
            Some(what) if what.is_empty() => Ok(()),
            Some(what) => Err(Unfit::Lacking(Lack { kind, what: what.clone() })),
        }
    }

    /// What is kept by it; `None` as long as that is not known of all kinds.
    pub(crate) fn tenure(&self) -> Option<Tenure> {
        let mut lacking = Vec::new();
        for kind in Kind::ALL {
            match self.check(kind) {
                Ok(()) => {}
                Err(Unfit::Unknown) => return None,
                Err(Unfit::Lacking(lack)) => lacking.push(lack),
            }
        }
        Some(if lacking.is_empty() { Tenure::Whole } else { Tenure::Partial(lacking) })
    }
}

/// What a definition lacks: fields by their paths, or the version as a whole.
fn lacking(kind: Kind, found: Option<&Definition>) -> Vec<String> {
    let versions = found.map(|found| found.spec.versions.as_slice()).unwrap_or_default();
    let Some(there) = versions.iter().find(|one| one.name == VERSION && one.served) else {
        return vec![format!("version {VERSION}")];
    };
    let own = definition(kind);
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

    /// What of a kind the API server would know without these fields of its specification.
    fn without(kind: Kind, paths: &[&str]) -> Definition {
        let mut own = definition(kind);
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
        for kind in Kind::ALL {
            let mut own = without(kind, &[]);
            assert_eq!(lacking(kind, Some(&own)), [""; 0]);
            let spec = &mut own.spec.versions[0].schema.structure["properties"]["spec"];
            spec["properties"]["jitter"] = serde_json::json!({ "type": "string" });
            assert_eq!(lacking(kind, Some(&own)), [""; 0]);
        }
    }

    #[test]
    fn fields_that_would_be_dropped_are_named() {
        for kind in Kind::ALL {
            let older = without(kind, &["/onRestart", "cut/loss", "/stress"]);
            let mut found = lacking(kind, Some(&older));
            found.sort();
            assert_eq!(found, ["spec.cut.loss", "spec.onRestart", "spec.stress"]);
        }
    }

    #[test]
    fn what_is_kept_is_known_once_all_kinds_are() {
        let mut known = Definitions::default();
        assert_eq!(known.check(Kind::Fault), Err(Unfit::Unknown));
        known.are(Kind::Fault, Some(&without(Kind::Fault, &["cut/loss"])));
        assert_eq!(known.tenure(), None);
        known.are(Kind::ClusterFault, Some(&without(Kind::ClusterFault, &[])));
        let said = known.tenure().unwrap().to_string();
        let lack = "the definition faults.schism.dev is older than this controller: it lacks spec.cut.loss";
        assert!(said.ends_with(lack), "{said}");
        assert_eq!(known.check(Kind::ClusterFault), Ok(()));
        known.are(Kind::Fault, Some(&without(Kind::Fault, &[])));
        assert_eq!(known.tenure(), Some(Tenure::Whole));
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
