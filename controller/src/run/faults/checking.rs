//! What is wrong with the arguments of a fault, before anybody is asked for it.

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue};
use experiment::document::shown;
use experiment::model::FaultVerb;
use fault::{LeaseTerms, Pick, Scheme, Selector};
use serde_json::{Map, Value};

use super::objects;
use super::words::{self, Typed};
use crate::cli::{Cli, CutArgs};
use crate::output::Output;
use crate::settings::Names;

/// The process that the kernel has begun, by its number.
const INIT: u32 = 1;

/// In whose words a step says what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// In those of `schism`.
    Command,
    /// In those of an object, of this namespace where it names one's pods.
    Object {
        /// Which.
        namespace: String,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::run) enum Wrong {
    /// An argument that nobody reads.
    Unknown(String, Vec<String>),
    /// An argument that must be there.
    Missing(&'static str),
    /// What is wrong, and with which argument if it is with one.
    Value(Option<String>, String),
}

/// All that is wrong with the arguments of a fault. What values are put into is known only when it is put in.
pub(in crate::run) fn check(
    verb: FaultVerb,
    given: &Map<String, Value>,
    (names, form): (&Names, &Form),
    output: Output,
) -> Vec<Wrong> {
    let known = options(verb, form);
    let mut wrong = Vec::new();
    let mut left = Map::new();
    let mut is_whole = true;
    for (key, value) in given {
        let name = words::option(key);
        if words::is_for_commands(&name) {
            let why = format!("`{name}` is for a command, not for a step");
            wrong.push(Wrong::Value(Some(key.clone()), why));
        } else if let Some(why) = form.unsaid(&name, value) {
            wrong.push(Wrong::Value(Some(key.clone()), why));
            is_whole = false;
        } else if form.is_declined(&name) {
            // What is not asked for takes nothing away from an object that could not say it.
        } else if !known.contains(&name) {
            wrong.push(Wrong::Unknown(key.clone(), known.iter().cloned().collect()));
        } else if is_template(value) {
            is_whole = false;
        } else if let Some(why) = words::misfit(verb, &name, value, shown) {
            wrong.push(Wrong::Value(Some(key.clone()), why));
            is_whole = false;
        } else {
            left.insert(name, value.clone());
        }
    }
    for place in words::places(verb) {
        // A clock may be moved in other ways, and a group be cut in a shape.
        let is_shaped = given.keys().any(|key| words::option(key) == "preset");
        let is_optional = *place == "offset" || (*place == "to" && is_shaped);
        let is_known = *place == "offset" || left.contains_key("preset");
        if !given.contains_key(*place) && is_optional && is_known {
            continue;
        }
        if !given.contains_key(*place) && !is_optional {
            wrong.push(Wrong::Missing(place));
        }
        if !left.contains_key(*place) {
            is_whole = false;
            left.insert((*place).to_owned(), form.stand_in(place).into());
        }
    }
    while let Err(error) = form.parse(verb, &left) {
        let key = argument(&error);
        let original = given.keys().find(|given| Some(words::option(given)) == key);
        wrong.push(Wrong::Value(original.cloned(), words::told(error)));
        is_whole = false;
        let Some(key) = key.filter(|key| left.contains_key(key)) else { break };
        // What comes after it may be wrong, too.
        match words::places(verb).iter().find(|place| **place == key) {
            Some(place) if left[&key] != form.stand_in(place) => {
                left.insert(key, form.stand_in(place).into());
            }
            Some(_) => break,
            None => {
                left.shift_remove(&key);
            }
        }
    }
    if is_whole && wrong.is_empty() {
        let why = match form {
            Form::Command => senseless(verb, &left, names, output),
            Form::Object { namespace } => objects::senseless(verb, &left, namespace),
        };
        wrong.extend(why.map(|why| Wrong::Value(None, why)));
    }
    wrong
}

impl Form {
    fn parse(&self, verb: FaultVerb, given: &Map<String, Value>) -> Result<(), clap::Error> {
        match self {
            Self::Command => words::parse(verb, given).map(drop),
            Self::Object { .. } => objects::parse(verb, given),
        }
    }

    /// Why an option cannot be said in it.
    fn unsaid(&self, option: &str, value: &Value) -> Option<String> {
        match self {
            Self::Command => None,
            Self::Object { .. } => objects::unsaid(option, value),
        }
    }

    /// Whether an option is one that cannot be said in it, whatever its value.
    fn is_declined(&self, option: &str) -> bool {
        self.unsaid(option, &Value::Bool(true)).is_some()
    }

    /// What makes sense in a place whose own value is not known yet.
    fn stand_in(&self, place: &str) -> &'static str {
        match (self, place) {
            (_, "offset") => "+1s",
            (Self::Command, "from") => "netns:a",
            (Self::Command, "to") => "netns:b",
            (Self::Command, _) => "pid:1",
            (Self::Object { .. }, "to") => "pod/b",
            (Self::Object { .. }, _) => "pod/a",
        }
    }
}

/// What makes no sense although each argument does.
fn senseless(
    verb: FaultVerb,
    given: &Map<String, Value>,
    names: &Names,
    output: Output,
) -> Option<String> {
    let failure = match words::typed(verb, given, names, output) {
        Ok(Typed::Cut(args)) => match crate::cut::check(&args, names) {
            Err(failure) => failure,
            Ok(()) => return itself(&args, names),
        },
        Ok(Typed::Within(asked) | Typed::Replacing(asked)) => {
            if asked.selectors.iter().any(|one| one.scheme == Scheme::Pid(INIT)) {
                return Some(format!("process {INIT} is the node's own, and is never touched"));
            }
            return LeaseTerms::new(asked.lease, asked.total).err().map(|error| error.to_string());
        }
        Err(failure) => failure,
    };
    Some(failure.reason)
}

/// That both sides of a cut are one target. Where one of several is picked, each side draws its own.
fn itself(args: &CutArgs, names: &Names) -> Option<String> {
    let (from, to) = (args.from.stands_for(names).ok()?, args.to.as_ref()?.stands_for(names).ok()?);
    let is_drawn = |one: &Selector| one.pick.is_some_and(|pick| pick != Pick::All);
    if let Some(both) = from.iter().find(|one| to.contains(one) && !is_drawn(one)) {
        return Some(format!("both sides are {both}: nothing can be cut from itself"));
    }
    let mut pairs = from.iter().flat_map(|one| to.iter().map(move |other| (one, other)));
    let (one, other) = pairs.find(|(one, other)| are_one(one, other))?;
    Some(format!("{one} and {other} are one target: nothing can be cut from itself"))
}

/// Whether two selectors that name one target each name the same: one says on which node that is, and the other one,
/// which names it wherever it is, names no other.
fn are_one(one: &Selector, other: &Selector) -> bool {
    let is_said_once = one.node.is_none() != other.node.is_none();
    one.scheme == other.scheme && is_said_once && one.pick.is_none() && other.pick.is_none()
}

/// Whether a value is put into it.
pub(in crate::run) fn is_template(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${"),
        Value::Array(list) => list.iter().any(is_template),
        Value::Object(map) => map.values().any(is_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The options that a command has, and its places.
fn options(verb: FaultVerb, form: &Form) -> BTreeSet<String> {
    let all = Cli::command();
    let command = all.find_subcommand(words::name(verb));
    let longs = command.into_iter().flat_map(|command| {
        command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned))
    });
    let places = words::places(verb).iter().map(|place| (*place).to_owned());
    let is_said = |long: &String| !form.is_declined(long);
    longs.filter(|long| !words::is_for_commands(long)).filter(is_said).chain(places).collect()
}

/// Which argument an error is about.
fn argument(error: &clap::Error) -> Option<String> {
    let found = error.get(ContextKind::InvalidArg)?;
    let text = if let ContextValue::Strings(list) = found {
        list.first()?
    } else if let ContextValue::String(text) = found {
        text
    } else {
        return None;
    };
    let word = text.split([' ', '=']).next()?;
    let name = word.strip_prefix("--").unwrap_or(word);
    Some(name.trim_matches(['<', '>', '[', ']', '.']).to_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(verb: FaultVerb, given: Value) -> Vec<String> {
        told_as(&Form::Command, verb, &given)
    }

    fn told_as(form: &Form, verb: FaultVerb, given: &Value) -> Vec<String> {
        let (names, output) = (Names::default(), Output::new(None));
        let wrong = check(verb, given.as_object().unwrap(), (&names, form), output);
        wrong.into_iter().map(|wrong| format!("{wrong:?}")).collect()
    }

    #[test]
    fn every_argument_is_looked_at_and_what_makes_sense_passes() {
        for (verb, given) in [
            (
                FaultVerb::Cut,
                json!({"from": "netns:a", "to": "netns:b", "for": "30s", "both_ways": true}),
            ),
            (FaultVerb::Cut, json!({"from": "${x}", "to": "netns:b", "for": "${t}"})),
            (FaultVerb::Cut, json!({"from": "etcd:member", "preset": "majorities-ring"})),
            (FaultVerb::Cut, json!({"from": "etcd:member", "preset": "${shape}"})),
            // One and the same name on two nodes, and one of several.
            (FaultVerb::Cut, json!({"from": "netns:a@here", "to": "netns:a@there"})),
            (FaultVerb::Cut, json!({"from": "all:container:c0ff", "to": "container:c0ff@here"})),
            (FaultVerb::Skew, json!({"target": "pid:7", "offset": "-90s"})),
            (FaultVerb::Skew, json!({"target": "pid:7", "strobe": "4ms:200ms"})),
            (FaultVerb::Stress, json!({"target": "pid:7", "cpu": "2@50%"})),
        ] {
            assert_eq!(told(verb, given.clone()), Vec::<String>::new(), "{given}");
        }
        let given = json!({"from": "pid:x", "fro": "netns:a", "for": "soon", "loss": "300%", "prove": true});
        let all = told(FaultVerb::Cut, given).join("\n");
        for expected in [
            "Unknown(\"fro\"",
            "Missing(\"to\")",
            "Some(\"from\")",
            "Some(\"for\")",
            "Some(\"loss\")",
            "Some(\"prove\")",
        ] {
            assert!(all.contains(expected), "{expected}: {all}");
        }
        for (verb, given, expected) in [
            (
                FaultVerb::Cut,
                json!({"from": "addr:1.2.3.4", "to": "addr:1.2.3.5"}),
                "both sides are addr:",
            ),
            (
                FaultVerb::Cut,
                json!({"from": "netns:a", "to": "netns:b", "for": "1ms"}),
                "too short",
            ),
            (
                FaultVerb::Cut,
                json!({"from": "netns:a", "to": "netns:a@here"}),
                "netns:a and netns:a@here are one target",
            ),
            (FaultVerb::Kill, json!({"target": "pid:1"}), "process 1 is the node's own"),
            (FaultVerb::Freeze, json!({"target": "pid:1@here"}), "process 1 is the node's own"),
            (FaultVerb::Stress, json!({"target": "pid:7"}), "Value(None"),
            (FaultVerb::Freeze, json!({"target": "k8s:prod/svc/a"}), "k8s:prod/svc/a is a service"),
            (FaultVerb::Freeze, json!({}), "Missing(\"target\")"),
        ] {
            let all = told(verb, given.clone()).join("\n");
            assert!(all.contains(expected), "{given}: {all}");
        }
    }
    #[test]
    fn what_an_object_cannot_say_is_wrong_where_faults_are_objects() {
        let form = Form::Object { namespace: "prod".to_owned() };
        for (verb, given) in [
            (FaultVerb::Cut, json!({"from": "pod/a", "to": "one:label:app=b", "for": "30s"})),
            (FaultVerb::Cut, json!({"from": "${x}", "to": "pod/b", "for": "${t}", "seed": 7})),
            (FaultVerb::Skew, json!({"target": "sts/zeebe/0", "offset": "-90s", "replace": false})),
            (FaultVerb::Kill, json!({"target": "etcd:leader", "namespace": "store"})),
        ] {
            assert_eq!(told_as(&form, verb, &given), Vec::<String>::new(), "{given}");
        }
        let given = json!({"from": "pod/a", "preset": "bridge", "around": "pod/b", "fro": "x", "for": "soon"});
        let all = told_as(&form, FaultVerb::Cut, &given).join("\n");
        for expected in [
            "Value(Some(\"preset\"), \"`preset` is for a controller or an agent",
            "Value(Some(\"around\")",
            "Unknown(\"fro\"",
            "Some(\"for\")",
        ] {
            assert!(all.contains(expected), "{expected}: {all}");
        }
        assert!(!all.contains("\"preset\", \"proto\""), "it is none of what is known: {all}");
        for (given, expected) in [
            (json!({"target": "netns"}), "a scheme is missing"),
            (json!({"target": "pod/a", "for": "2h"}), "is longer than 1h"),
            (
                json!({"target": "svc/a"}),
                "k8s:prod/svc/a is a service: it can be one side of a cut",
            ),
            (json!({"target": "host:n1"}), "a whole node is never frozen"),
            (json!({}), "Missing(\"target\")"),
        ] {
            let all = told_as(&form, FaultVerb::Freeze, &given).join("\n");
            assert!(all.contains(expected), "{given}: {all}");
        }
    }
}
