//! From the words of a step to the object that asks for it. Pure.

use std::time::Duration;

use experiment::model::FaultVerb;
use serde_json::{Map, Value};

use super::super::words;
use crate::failure::Failure;
use crate::objects::asked::{is_open_role, parted, role_in};
use crate::objects::resource::{Kind, Object};
use crate::outcome::Outcome;
use crate::plugin::asked::{Asked, PLACES, WITHOUT, of_words};

/// The longest time of a fault in a run (1 h): whoever would heal it may be killed, and the controller renews it until
/// then.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// How long a fault lasts whose step does not say it, as wherever else it is put in.
const TOTAL: &str = "60s";

/// Where roles are looked for.
const NAMESPACE: &str = "namespace";

/// An object that is not made yet.
#[derive(Debug, PartialEq)]
pub(super) struct Wish {
    /// What is attempted, for people.
    pub(super) attempted: String,
    pub(super) kind: Kind,
    /// Without a name of its own.
    pub(super) object: Object,
}

/// Why an option of a step is none of an object; `None` for what an object can say.
pub(in crate::run::faults) fn unsaid(option: &str, value: &Value) -> Option<String> {
    let is_asked = !matches!(value, Value::Null | Value::Bool(false));
    let is_one = is_asked && WITHOUT.contains(&option.replace('-', "_").as_str());
    is_one.then(|| {
        format!("`{option}` is for a controller or an agent: no object of a cluster can say it")
    })
}

/// What is wrong with the words of a step, whatever is named by them.
///
/// # Errors
/// There is something.
pub(in crate::run::faults) fn parse(
    verb: FaultVerb,
    arguments: &Map<String, Value>,
) -> Result<(), clap::Error> {
    of_words(verb, words::line(verb, arguments)).map(drop)
}

/// Why words of a step that are each in order make no sense together, in a namespace.
pub(in crate::run::faults) fn senseless(
    verb: FaultVerb,
    arguments: &Map<String, Value>,
    namespace: &str,
) -> Option<String> {
    wish(verb, arguments, namespace).err().map(|failure| failure.reason)
}

/// The object that a step asks for, in a namespace.
///
/// # Errors
/// It makes no sense, or no object can say it.
pub(super) fn wish(
    verb: FaultVerb,
    arguments: &Map<String, Value>,
    namespace: &str,
) -> Result<Wish, Failure> {
    words::fitting(verb, arguments)?;
    let unsaid = |(key, value): (&String, &Value)| unsaid(&words::option(key), value);
    if let Some(reason) = arguments.iter().find_map(unsaid) {
        return Err(words::wrong(verb, reason));
    }
    let arguments = placed(arguments, namespace).map_err(|why| words::wrong(verb, why))?;
    let asked = of_words(verb, words::line(verb, &arguments))
        .map_err(|error| words::wrong(verb, words::told(error)))?;
    of(verb, &asked, namespace)
}

/// What was asked for, as an object that makes sense.
///
/// # Errors
/// It makes none.
fn of(verb: FaultVerb, asked: &Asked, namespace: &str) -> Result<Wish, Failure> {
    let failed =
        |reason: String| Failure::new(Outcome::WrongUsage, asked.attempted.clone(), reason);
    let (kind, mut object) = (asked.kind(), asked.object(namespace, 0)?);
    match verb {
        // It is over once the processes have ended, and an object of it has no time.
        FaultVerb::Kill => {}
        FaultVerb::Cut | FaultVerb::Skew | FaultVerb::Freeze | FaultVerb::Stress => {
            let total = object.spec.total.get_or_insert_with(|| TOTAL.to_owned());
            if fault::parse_duration(total).is_ok_and(|total| total > LONGEST) {
                let why =
                    "is longer than 1h: a run that is killed leaves its faults to their deadlines";
                return Err(failed(format!("for {total} {why}")));
            }
        }
    }
    crate::objects::asked::asked(kind, &object).map_err(|failure| {
        let attempted = asked.attempted.clone();
        Failure { attempted, ..failure }
    })?;
    let (from, to) = object.spec.ends();
    if from == to && parted(from).0.is_empty() {
        return Err(failed(format!("both sides are {from}: nothing can be cut from itself")));
    }
    Ok(Wish { attempted: asked.attempted.clone(), kind, object })
}

/// The same without a namespace beside it: roles that say no cluster are those of that one.
fn placed(arguments: &Map<String, Value>, own: &str) -> Result<Map<String, Value>, String> {
    let mut placed = arguments.clone();
    let Some(other) = placed.shift_remove(NAMESPACE).filter(|other| !other.is_null()) else {
        return Ok(placed);
    };
    let other = words::word(&other);
    let mut named = false;
    for place in PLACES {
        if let Some(Value::String(text)) = placed.get_mut(place)
            && is_open_role(text)
        {
            named = true;
            // In its own namespace a Fault has room for it.
            if other != own {
                *text = role_in(&other, text)?;
            }
        }
    }
    if named || other == own {
        return Ok(placed);
    }
    Err(format!(
        "namespace {other} is where roles are looked for, and none is named: pods are named with their namespace, \
         k8s:{other}/pod/NAME"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wished(verb: FaultVerb, arguments: Value) -> Result<(Kind, Value), String> {
        let found = wish(verb, arguments.as_object().unwrap(), "prod");
        let found = found.map_err(|failure| failure.to_string())?;
        Ok((found.kind, serde_json::to_value(found.object.spec).unwrap()))
    }

    #[test]
    fn a_step_is_the_object_that_a_command_makes() {
        let cut = json!({"from": "pod/a", "to": "one:label:app=b", "both_ways": true, "port": 80, "seed": 7});
        let spec = json!({
            "cut": {"from": "pod/a", "to": "one:label:app=b", "bothWays": true, "port": 80},
            "for": "60s", "seed": 7,
        });
        assert_eq!(wished(FaultVerb::Cut, cut), Ok((Kind::Fault, spec)));
        let kill = json!({"target": "pod/a/web", "signal": "KILL", "no-force": true});
        let spec = json!({"kill": {"target": "pod/a/web", "signal": "KILL", "noForce": true}});
        assert_eq!(wished(FaultVerb::Kill, kill), Ok((Kind::Fault, spec)));
        let skew = json!({
            "target": "k8s:other/pod/a", "offset": "90s", "clock": ["realtime", "monotonic"], "for": "5m",
            "lease": "20s", "heal": "slew:1000000ppm", "replace": false,
        });
        let spec = json!({
            "skew": {"target": "k8s:other/pod/a", "offset": "90s", "clock": "realtime,monotonic", "heal": "slew:1000000ppm"},
            "for": "5m", "lease": "20s",
        });
        assert_eq!(wished(FaultVerb::Skew, skew), Ok((Kind::ClusterFault, spec)));
    }

    #[test]
    fn roles_are_of_the_namespace_unless_the_step_says_another() {
        let of = |namespace: Value| {
            let given = json!({"target": "etcd:leader", "for": "5s", "namespace": namespace});
            wished(FaultVerb::Freeze, given).map(|(kind, spec)| (kind, spec["freeze"].clone()))
        };
        let table = [
            (Value::Null, Kind::Fault, "etcd:leader"),
            (json!("prod"), Kind::Fault, "etcd:leader"),
            (json!("store"), Kind::ClusterFault, "etcd:store/leader"),
        ];
        for (namespace, kind, target) in table {
            assert_eq!(of(namespace), Ok((kind, json!({"target": target}))));
        }
    }

    #[test]
    fn what_no_object_can_say_is_refused_with_a_sentence() {
        use FaultVerb::{Cut, Freeze, Skew, Stress};
        let table = [
            (
                Cut,
                json!({"from": "zeebe:broker", "preset": "bridge"}),
                "no object of a cluster can say it",
            ),
            (Skew, json!({"target": "pod/a", "offset": "1h", "replace": true}), "`replace` is for"),
            (Cut, json!({"from": "pod/a", "to": "pod/b", "follow": true}), "is for a command"),
            (Freeze, json!({"target": "pod/a", "for": "2h"}), "for 2h is longer than 1h"),
            (Freeze, json!({"target": "pod/a", "for": "soon"}), "a number and a unit"),
            (
                Freeze,
                json!({"target": "pod/a", "for": "5s", "lease": "10s", "namespace": "store"}),
                "none is named: pods are named with their namespace, k8s:store/pod/NAME",
            ),
            (Cut, json!({"from": "pod/a", "to": "addr:10.0.0.0/8"}), "write k8s:NAMESPACE/pod/a"),
            (Cut, json!({"from": "pod/a", "to": "pod/a"}), "both sides are pod/a"),
            (Cut, json!({"from": "pod/a"}), "required"),
            (Stress, json!({"target": "pod/a"}), "cpu"),
            (Freeze, json!({"target": "db"}), "gives no such name"),
            (Freeze, json!({"target": ["pod/a"]}), "a single value was expected"),
        ];
        for (verb, given, said) in table {
            let why = wished(verb, given.clone()).unwrap_err();
            assert!(why.contains(said), "{given}: {why}");
        }
    }
}
