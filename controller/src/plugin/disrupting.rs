//! `kubectl schism pod` and `kubectl schism node`: an object that asks for it, as it is typed.

mod course;
mod following;
mod report;

use clap::{ArgMatches, Command, CommandFactory as _};
use cluster::Metadata;
use fault::NodeName;
use serde_json::{Map, Value};

use super::asked::{DETACH, given, typed_here};
use crate::cli::Cli;
use crate::disruptions::asked::TARGET;
pub(super) use crate::disruptions::resource::Object;
use crate::disruptions::resource::{Deed, Kind, Spec};
use crate::failure::Failure;
use crate::objects::asked::{is_open_role, is_within, of_its_namespace, role_in};
use crate::outcome::Outcome;
use crate::session::After;
pub(super) use course::{List, begin, end, standing, uncordon};
pub(super) use report::record;

/// The words before what is done.
pub(super) const POD: &str = "pod";
pub(super) const NODE: &str = "node";

/// What undoes a cordon.
const UNCORDON: &str = "uncordon";

/// What `schism` can do and an object cannot.
const WITHOUT: [&str; 1] = ["dry_run"];

/// How pods are named.
const PODS: &str = "pods of the namespace, as pod/NAME, sts/NAME[/ORDINAL], deploy/NAME, label:SELECTOR, etcd:ROLE or \
                    zeebe:ROLE; those of another one as k8s:NAMESPACE/pod/NAME and so on";

/// What was typed.
#[derive(Debug)]
pub(super) enum Typed {
    /// It is done.
    Begin(Box<Asked>),
    /// What keeps pods from a node is undone.
    Uncordon(NodeName),
    /// An option that no object can say.
    Unsaid(&'static str),
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Asked {
    /// What is attempted, for people.
    pub(super) attempted: String,
    pub(super) deed: Deed,
    words: Map<String, Value>,
    seed: Option<u64>,
    pub(super) after: After,
}

/// A command as `schism` has it, for what an object can say.
pub(super) fn command(name: &'static str) -> Command {
    let all = Cli::command();
    let known = all.find_subcommand(name).cloned();
    let mut command = known.unwrap_or_else(|| Command::new(name));
    let within: Vec<String> =
        command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    for one in within {
        command = command.mut_subcommand(one, |one| typed_here(one, &[TARGET], PODS, &WITHOUT));
    }
    command
}

/// What was typed behind `pod` or `node`.
pub(super) fn typed(name: &'static str, matched: &ArgMatches) -> Option<Typed> {
    let (word, matched) = matched.subcommand()?;
    if let Some(id) = WITHOUT.iter().find(|id| flag(matched, id)) {
        return Some(Typed::Unsaid(id));
    }
    if word == UNCORDON {
        return matched.get_one::<NodeName>("node").cloned().map(Typed::Uncordon);
    }
    let deed = Deed::ALL.into_iter().find(|deed| deed.word() == word)?;
    let command = command(name);
    let mut words = given(command.find_subcommand(word)?, matched);
    let seed = words.shift_remove("seed").as_ref().and_then(Value::as_u64);
    let text = |key: &str| words.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    let about = text(TARGET).or_else(|| text("node")).unwrap_or_default();
    let attempted = format!("cannot {word} {about}");
    let after = After::of(false, flag(matched, DETACH));
    Some(Typed::Begin(Box::new(Asked { attempted, deed, words, seed, after })))
}

fn flag(matched: &ArgMatches, id: &str) -> bool {
    matched.try_get_one::<bool>(id).ok().flatten().copied().unwrap_or_default()
}

impl Asked {
    /// The object, with a name that is drawn: pods are named within their own namespace, by whatever they were named.
    ///
    /// # Errors
    /// What is named are no pods of a namespace.
    pub(super) fn object(&self, namespace: &str, random: u64) -> Result<Object, Failure> {
        let mut words = self.words.clone();
        let within = match (self.deed.kind(), words.get_mut(TARGET)) {
            (Kind::Disruption, Some(Value::String(text))) => {
                let failed =
                    |reason| Failure::new(Outcome::WrongUsage, self.attempted.clone(), reason);
                let (within, named) = placed(namespace, text).map_err(failed)?;
                *text = named;
                Some(within)
            }
            (Kind::Disruption | Kind::ClusterDisruption, _) => None,
        };
        let spec = Spec { seed: self.seed, ..Spec::asking(self.deed, words) };
        let name = format!("{}-{:06x}", self.deed.word(), random & 0xff_ffff);
        let metadata = Metadata { name, namespace: within, ..Metadata::default() };
        Ok(Object { metadata, spec, ..Object::default() })
    }
}

/// The namespace of whom a text names, and how it names them there.
fn placed(namespace: &str, text: &str) -> Result<(String, String), String> {
    if is_within(text) {
        return Ok((namespace.to_owned(), text.to_owned()));
    }
    let named = if is_open_role(text) { role_in(namespace, text)? } else { text.to_owned() };
    of_its_namespace(&named).ok_or_else(|| {
        let shown = fault::Legible(text);
        format!("`{shown}` names no pods: write {PODS}")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::disruptions::asked::asked;

    fn read(line: &str) -> Option<Typed> {
        let words: Vec<&str> = line.split(' ').collect();
        let name = if words[0] == POD { POD } else { NODE };
        let matched = command(name).try_get_matches_from(words).ok()?;
        typed(name, &matched)
    }

    fn object(line: &str) -> Result<(Kind, Value), String> {
        let Some(Typed::Begin(asked)) = read(line) else { panic!("{line} begins nothing") };
        let object = asked.object("prod", 0xabc_def0_1234).map_err(|failure| failure.reason)?;
        Ok((asked.deed.kind(), serde_json::to_value(object).unwrap()))
    }

    #[test]
    fn options_are_fields_and_pods_are_named_in_their_namespace() {
        let table = [
            (
                "pod restart pod/web-0 --grace 10s --timeout 1m --seed 7",
                "prod",
                json!({
                    "restart": { "target": "pod/web-0", "grace": "10s", "timeout": "1m" }, "seed": 7,
                }),
            ),
            (
                "pod terminate 50%:label:app=web --allow-quorum-loss",
                "prod",
                json!({ "terminate": { "target": "50%:label:app=web", "allowQuorumLoss": true } }),
            ),
            (
                "pod evict one:k8s:other/label:app=web --for 1m",
                "other",
                json!({ "evict": { "target": "one:label:app=web", "for": "1m" } }),
            ),
            (
                "pod restart zeebe:partition/1/leader",
                "prod",
                json!({ "restart": { "target": "zeebe:partition/1/leader" } }),
            ),
            (
                "pod restart etcd:store/blue/leader",
                "store",
                json!({ "restart": { "target": "etcd:blue/leader" } }),
            ),
        ];
        for (line, namespace, spec) in table {
            let (kind, found) = object(line).unwrap();
            assert_eq!(
                (kind, &found["metadata"]["namespace"]),
                (Kind::Disruption, &json!(namespace))
            );
            assert_eq!(found["spec"], spec, "{line}");
        }
        let (kind, found) = object("node drain n1 --for 10m --timeout 3m --grace 2s").unwrap();
        let drain = json!({ "node": "n1", "for": "10m", "timeout": "3m", "grace": "2s" });
        assert_eq!((kind, &found["spec"]), (Kind::ClusterDisruption, &json!({ "drain": drain })));
        assert_eq!(found["metadata"], json!({ "name": "drain-f01234" }));
        let (_, found) = object("node cordon n1 --detach").unwrap();
        assert_eq!(found["spec"], json!({ "cordon": { "node": "n1" } }));
    }

    #[test]
    fn what_is_typed_is_an_object_that_makes_sense() {
        for line in [
            "pod restart pod/a",
            "pod terminate all:deploy/web",
            "pod evict etcd:leader --for 1m --timeout 30s",
            "node cordon n1 --for 1m",
            "node drain n1 --allow-quorum-loss",
        ] {
            let Some(Typed::Begin(typed)) = read(line) else { panic!("{line}") };
            let mut object = typed.object("prod", 1).unwrap();
            object.metadata.uid = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6".to_owned();
            let found = asked(typed.deed.kind(), &object);
            assert!(found.is_ok(), "{line}: {found:?}");
        }
    }

    #[test]
    fn what_no_object_can_say_is_none() {
        assert!(matches!(read("pod restart pod/a --dry-run"), Some(Typed::Unsaid("dry_run"))));
        assert!(matches!(read("node drain n1 --dry-run"), Some(Typed::Unsaid("dry_run"))));
        let Some(Typed::Uncordon(node)) = read("node uncordon n1") else { panic!() };
        assert_eq!(node.as_str(), "n1");
        for line in ["pod restart host:n1", "pod evict addr:10.0.0.0/8", "pod terminate web"] {
            let why = object(line).unwrap_err();
            assert!(why.contains("names no pods"), "{line}: {why}");
        }
        for line in
            ["pod", "pod restart", "node cordon n1 --for 0s", "node drain a/b", "pod dance pod/a"]
        {
            assert!(read(line).is_none(), "{line}");
        }
    }
}
