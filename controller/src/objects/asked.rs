//! From an object to what is asked for. Pure.

use experiment::model::FaultVerb;
use fault::{ClusterName, ClusterPath, Pick, Scheme, Selector};
use proto::control as wire;
use serde_json::{Map, Value};

use super::resource::{Kind, Object};
use crate::failure::Failure;
use crate::fleet;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::run::faults::words::{self, Typed};
use crate::settings::Names;
use crate::sight::GroupName;
use crate::spec::Spec;

/// Where words name targets.
pub(crate) const PLACES: [&str; 3] = ["from", "to", "target"];

/// How pods of a namespace are named within it.
const WITHIN: [&str; 5] = ["pod/", "sts/", "deploy/", "svc/", "label:"];

/// What an object asks for, as a command would.
///
/// # Errors
/// It makes no sense, or names what objects of its kind may not.
pub(crate) fn asked(kind: Kind, object: &Object) -> Result<wire::Spec, Failure> {
    let attempted = format!("cannot do what {} asks for", object.place(kind));
    let wrong = |reason: String| Failure::new(Outcome::WrongUsage, attempted.clone(), reason);
    let Some((verb, said)) = object.spec.wish() else {
        return Err(wrong(
            "a fault is exactly one of cut, skew, freeze, kill and stress".to_owned(),
        ));
    };
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let mut arguments = Map::new();
    for (key, value) in said {
        let value = match value.as_str().filter(|_| PLACES.contains(&key.as_str())) {
            Some(text) => Value::String(selector(kind, namespace, text).map_err(wrong)?),
            None => value.clone(),
        };
        arguments.insert(typed(key), value);
    }
    let texts = [
        ("for", &object.spec.total),
        ("lease", &object.spec.lease),
        ("on-restart", &object.spec.on_restart),
    ];
    for (key, text) in texts {
        arguments.extend(text.iter().map(|text| (key.to_owned(), Value::String(text.clone()))));
    }
    arguments.insert("seed".to_owned(), object.seed().into());
    let (_, spec) = whole(verb, &arguments)?;
    Ok(wire::Spec::from(&spec))
}

fn whole(verb: FaultVerb, arguments: &Map<String, Value>) -> Result<(String, Spec), Failure> {
    let names = Names::default();
    match words::typed(verb, arguments, &names, Output::new(None))? {
        Typed::Cut(args) => fleet::cut::spec(&args, &names),
        Typed::Within(asked) | Typed::Replacing(asked) => fleet::processes::spec(asked),
    }
}

/// A field as the command line has it.
pub(crate) fn typed(field: &str) -> String {
    field.chars().fold(String::new(), |mut typed, letter| {
        if letter.is_ascii_uppercase() {
            typed.push('-');
        }
        typed.push(letter.to_ascii_lowercase());
        typed
    })
}

/// An option of the command line as a field.
pub(crate) fn field(option: &str) -> String {
    let mut parts = option.split('-');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut field, part| {
        let (first, rest) = part.split_at(part.len().min(1));
        field.push_str(&first.to_ascii_uppercase());
        field.push_str(rest);
        field
    })
}

/// A text without its PICK, and that.
pub(crate) fn parted(text: &str) -> (&str, &str) {
    match text.split_once(':') {
        Some((word, rest)) if Pick::parse(word).is_some() => text.split_at(text.len() - rest.len()),
        Some(_) | None => ("", text),
    }
}

/// How members are named by what they are.
const ROLES: [&str; 2] = ["etcd:", "zeebe:"];

/// Whether a text names pods within a namespace that it does not say.
pub(crate) fn is_within(text: &str) -> bool {
    let (_, rest) = parted(text);
    WITHIN.iter().any(|word| rest.starts_with(word))
}

/// Whether a text names members of a cluster by what they are, and leaves open of which.
pub(crate) fn is_open_role(text: &str) -> bool {
    let parsed = text.parse::<Selector>().map(|selector| selector.scheme);
    match parsed {
        Ok(Scheme::Etcd(members)) => members.cluster.is_none(),
        Ok(Scheme::Zeebe(members)) => members.cluster.is_none(),
        Ok(_) | Err(_) => false,
    }
}

/// The same members, of the cluster in a namespace, `NAMESPACE[/INSTANCE]`.
pub(crate) fn role_in(namespace: &str, text: &str) -> Result<String, String> {
    let path = namespace.parse::<ClusterPath>();
    let path = path.map_err(|error| format!("no role is in namespace {namespace}: {error}"))?;
    let (mut selector, shown) = parsed(text)?;
    *cluster_mut(&mut selector.scheme).ok_or_else(|| no_role(&shown))? = Some(path);
    Ok(selector.to_string())
}

/// The namespace that a text says itself, and the same as it is named within that; `None` of what says none.
pub(crate) fn of_its_namespace(text: &str) -> Option<(String, String)> {
    let mut selector = text.parse::<Selector>().ok()?;
    if let Scheme::Kubernetes(pods) = &selector.scheme {
        let namespace = pods.namespace.to_string();
        let (pick, rest) = parted(text);
        let rest = rest.strip_prefix(&format!("k8s:{namespace}/"))?;
        return Some((namespace, format!("{pick}{rest}")));
    }
    let cluster = cluster_mut(&mut selector.scheme)?;
    let path = cluster.take()?;
    *cluster = path.instance().map(|instance| ClusterPath::of(instance.clone()));
    Some((path.name.to_string(), selector.to_string()))
}

fn parsed(text: &str) -> Result<(Selector, String), String> {
    let shown = fault::Legible(text).to_string();
    match text.parse::<Selector>() {
        Ok(selector) => Ok((selector, shown)),
        Err(error) => Err(format!("`{shown}`: {}", error.kind)),
    }
}

fn no_role(shown: &str) -> String {
    format!("`{shown}` is no role")
}

/// Of which cluster members are that are named by what they are; `None` of what names none.
const fn cluster_mut(scheme: &mut Scheme) -> Option<&mut Option<ClusterPath>> {
    match scheme {
        Scheme::Etcd(members) => Some(&mut members.cluster),
        Scheme::Zeebe(members) => Some(&mut members.cluster),
        Scheme::Netns(_)
        | Scheme::Pid(_)
        | Scheme::Container(_)
        | Scheme::Pod(_)
        | Scheme::Host(_)
        | Scheme::Addr(_)
        | Scheme::Kubernetes(_) => None,
    }
}

/// Whether a text is such as names members by what they are.
fn is_role(text: &str) -> bool {
    let (_, rest) = parted(text);
    ROLES.iter().any(|word| rest.starts_with(word))
}

/// The members that a text names in an object of a namespace: what stands before the role is an installation there.
fn role(namespace: &str, text: &str) -> Result<String, String> {
    let (mut selector, shown) = parsed(text)?;
    let cluster = cluster_mut(&mut selector.scheme).ok_or_else(|| no_role(&shown))?;
    let name = ClusterName::new(namespace).ok_or_else(|| {
        format!("namespace {namespace} is called as a role is, so that none in it can be named")
    })?;
    let named = cluster.take();
    if named.as_ref().is_some_and(|path| path.instance().is_some()) {
        return Err(format!("`{shown}` leaves namespace {namespace}"));
    }
    *cluster = Some(ClusterPath::new(name, named.map(|path| path.name)));
    Ok(selector.to_string())
}

/// The selector that a text stands for in an object of this kind.
///
/// # Errors
/// None, or it leaves the namespace.
pub(crate) fn selector(kind: Kind, namespace: &str, text: &str) -> Result<String, String> {
    match kind {
        Kind::ClusterFault => anywhere(text, "ClusterFault"),
        Kind::Fault => in_namespace(namespace, text, "ClusterFault"),
    }
}

/// The selector that a text stands for in an object of the cluster, of that kind.
///
/// # Errors
/// It is one of a namespace, which it does not say.
pub(crate) fn anywhere(text: &str, kind: &str) -> Result<String, String> {
    let shown = fault::Legible(text);
    match is_within(text) {
        true => {
            Err(format!("`{shown}` names no namespace: write k8s:NAMESPACE/{shown} in a {kind}"))
        }
        false => Ok(text.to_owned()),
    }
}

/// The selector that a text stands for in an object of a namespace; what it may not name an object of that `other`
/// kind may.
///
/// # Errors
/// It names no pods of that namespace.
pub(crate) fn in_namespace(namespace: &str, text: &str, other: &str) -> Result<String, String> {
    let shown = fault::Legible(text);
    if is_role(text) {
        return role(namespace, text);
    }
    if !is_within(text) {
        return Err(format!(
            "`{shown}` names no pods of namespace {namespace}: write pod/NAME, sts/NAME, deploy/NAME, \
             label:SELECTOR, svc/NAME, etcd:ROLE or zeebe:ROLE; whatever else there is takes a {other}"
        ));
    }
    let (pick, rest) = parted(text);
    let whole = format!("{pick}k8s:{namespace}/{rest}");
    match whole.parse::<Selector>() {
        Ok(Selector { scheme: Scheme::Kubernetes(pods), .. })
            if pods.namespace.as_str() == namespace =>
        {
            Ok(whole)
        }
        Ok(_) => Err(format!("`{shown}` leaves namespace {namespace}")),
        Err(error) => Err(format!("`{shown}`: {}", error.kind)),
    }
}

/// The clusters whose members are named by what they are.
pub(crate) fn groups(spec: &wire::Spec) -> Vec<GroupName> {
    selectors(spec).filter_map(|selector| GroupName::of(&selector)).collect()
}

/// The namespaces whose pods are named, by their names or by what they are; of clusters of the settings nobody knows
/// where they are.
pub(crate) fn namespaces(
    spec: &wire::Spec,
    is_of_settings: impl Fn(&GroupName) -> bool,
) -> Vec<String> {
    namespaces_of(selectors(spec), is_of_settings)
}

/// The same of selectors.
pub(crate) fn namespaces_of(
    selectors: impl IntoIterator<Item = Selector>,
    is_of_settings: impl Fn(&GroupName) -> bool,
) -> Vec<String> {
    let mut all: Vec<String> = selectors
        .into_iter()
        .filter_map(|selector| match &selector.scheme {
            Scheme::Kubernetes(pods) => Some(pods.namespace.to_string()),
            Scheme::Etcd(_) | Scheme::Zeebe(_) => {
                let group = GroupName::of(&selector).filter(|group| !is_of_settings(group));
                group.map(|group| group.path.name.to_string())
            }
            Scheme::Netns(_)
            | Scheme::Pid(_)
            | Scheme::Container(_)
            | Scheme::Pod(_)
            | Scheme::Host(_)
            | Scheme::Addr(_) => None,
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The selectors in what is asked for.
pub(crate) fn selectors(spec: &wire::Spec) -> impl Iterator<Item = Selector> {
    let lists: Vec<&[wire::Selector]> = match &spec.what {
        Some(wire::spec::What::Pair(pair)) => vec![&pair.from, &pair.to],
        Some(wire::spec::What::Partition(partition)) => vec![&partition.group, &partition.around],
        Some(wire::spec::What::Groups(groups)) => {
            groups.groups.iter().map(|group| group.members.as_slice()).collect()
        }
        Some(wire::spec::What::Skew(skew)) => vec![&skew.targets],
        Some(wire::spec::What::Freeze(freeze)) => vec![&freeze.targets],
        Some(wire::spec::What::Kill(kill)) => vec![&kill.targets],
        Some(wire::spec::What::Stress(stress)) => vec![&stress.targets],
        None => Vec::new(),
    };
    let all: Vec<Selector> = lists
        .into_iter()
        .flatten()
        .filter_map(|selector| Selector::try_from(selector.clone()).ok())
        .collect();
    all.into_iter()
}
