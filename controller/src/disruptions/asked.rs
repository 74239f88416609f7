//! From an object to what is asked for. Pure.

use serde_json::{Map, Value};

use super::resource::{Kind, Object};
use crate::disruption::{Disruption, What};
use crate::failure::Failure;
use crate::objects::asked::{in_namespace, namespaces_of, typed};
use crate::outcome::Outcome;
use crate::run::disrupting::{Step, step};
use crate::settings::Names;
use crate::sight::GroupName;

/// What names whom it is about.
pub(crate) const TARGET: &str = "target";

/// Which objects may name what one of a namespace may not.
const OTHER: &str = "Disruption of its own namespace, and a node a ClusterDisruption";

/// What an object asks for, as a command would.
///
/// # Errors
/// It makes no sense, or names what objects of its kind may not.
pub(crate) fn asked(kind: Kind, object: &Object) -> Result<Disruption, Failure> {
    let attempted = format!("cannot do what {} asks for", object.place(kind));
    let wrong = |reason: String| Failure::new(Outcome::WrongUsage, attempted.clone(), reason);
    let wish = object.spec.wish().filter(|(deed, _)| deed.kind() == kind);
    let Some((deed, said)) = wish else {
        let all = match kind {
            Kind::Disruption => "restart, terminate and evict",
            Kind::ClusterDisruption => "cordon and drain",
        };
        return Err(wrong(format!("a {} is exactly one of {all}", kind.word())));
    };
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let mut arguments = Map::new();
    arguments.insert("command".to_owned(), deed.word().into());
    for (key, value) in said {
        let value = match value.as_str().filter(|_| key == TARGET) {
            Some(text) => Value::String(in_namespace(namespace, text, OTHER).map_err(wrong)?),
            None => value.clone(),
        };
        arguments.insert(typed(key), value);
    }
    match kind {
        Kind::Disruption => drop(arguments.insert("seed".to_owned(), object.seed().into())),
        // Nothing is drawn.
        Kind::ClusterDisruption => {}
    }
    match step(deed.behind(), &arguments, &Names::default()).map_err(wrong)? {
        Step::Disrupt(asked) => Ok(asked),
        Step::Uncordon(_) => Err(wrong("deleting the object is what uncordons a node".to_owned())),
    }
}

/// The namespaces whose pods are named; none where a node is.
pub(super) fn namespaces(
    asked: &Disruption,
    is_of_settings: impl Fn(&GroupName) -> bool,
) -> Vec<String> {
    match &asked.what {
        What::Removal { targets, .. } => namespaces_of(targets.iter().cloned(), is_of_settings),
        What::Cordon { .. } => Vec::new(),
    }
}

/// The clusters whose members are named by what they are.
pub(super) fn groups(asked: &Disruption) -> Vec<GroupName> {
    match &asked.what {
        What::Removal { targets, .. } => targets.iter().filter_map(GroupName::of).collect(),
        What::Cordon { .. } => Vec::new(),
    }
}
