//! Activities.

use serde_json::Value;

use super::fields::{Fields, Reader, write_path};
use super::{control, invocation, reference, tolerance};
use crate::document::{Node, Shape};
use crate::model::{
    Activity, ActivityKind, ForEach, Instances, Lane, OnFailure, Pauses, Retry, Tolerance, Wait,
};
use crate::problem::Fault;

/// Steps of a method, probes of a hypothesis, or rollbacks.
pub(super) fn steps(reader: &mut Reader, node: &Node, place: &str) -> Vec<Activity> {
    let judged = place.ends_with("probes");
    let mut steps = Vec::new();
    for (index, node) in reader.list(node, place).iter().enumerate() {
        let place = write_path(place, index);
        if judged && !node.is_empty() && !has_tolerance(node) {
            let wanted = "what a probe of the steady state has to find";
            reader.error(node.at, &place, Fault::Lacks { key: "tolerance", wanted });
        }
        let Some(step) = step(reader, node, &place) else { continue };
        if judged && step.kind == ActivityKind::Action {
            let (wanted, found) = ("a probe", "an action".to_owned());
            reader.lax(node.at, &place, Fault::Kind { wanted, found });
        }
        steps.push(step);
    }
    steps
}

fn has_tolerance(node: &Node) -> bool {
    let Shape::Map(entries) = &node.shape else { return false };
    entries.iter().any(|entry| entry.key == "tolerance")
}

fn step(reader: &mut Reader, node: &Node, place: &str) -> Option<Activity> {
    if node.is_empty() {
        reader.kind(node, place, "a step");
        return None;
    }
    if reference::reference(node).is_none() {
        return activity(reader, node, place);
    }
    let mut fields = reader.fields(node, place)?;
    fields.get("ref");
    fields.get("name");
    let tolerance = fields.get("tolerance");
    let background = fields.get("background");
    reader.close(&fields);
    let tolerance =
        tolerance.and_then(|node| tolerance::tolerance(reader, node, &fields.path("tolerance")));
    let lane = lane(reader, background, &fields);
    let there = reference::follow(reader, node, place)?;
    // What is wrong with it is told where it stands.
    let mut elsewhere = Reader::new(reader.manner());
    let found = activity(&mut elsewhere, &there, place)?;
    Some(Activity { tolerance, lane, ..found })
}

/// An activity that is no reference.
pub(super) fn activity(reader: &mut Reader, node: &Node, place: &str) -> Option<Activity> {
    let mut fields = reader.fields(node, place)?;
    let kind = fields.get("type");
    let name = fields.get("name");
    let provider = fields.get("provider");
    let tolerated = fields.get("tolerance");
    let background = fields.get("background");
    let pauses = fields.get("pauses");
    let timeout = fields.get("timeout");
    let controls = fields.get("controls");
    let retry = fields.get("retry");
    let until = fields.get("until");
    let each = fields.get("for-each");
    let may_fail = fields.get("may-fail");
    fields.get("ref");
    let dry = reader.word(&mut fields, "dry");
    let output = reader.word(&mut fields, "as");
    reader.close(&fields);

    let kind = self::kind(reader, kind, &fields);
    let name = reader.required(name, &fields, "name", "text that says what the step is called");
    let provider = match provider.filter(|node| !node.is_empty()) {
        Some(node) => invocation::provider(reader, node, &fields.path("provider"), kind),
        None => {
            reader.lacks(&fields, "provider", "a mapping that says who performs the step, and how");
            None
        }
    };
    let tolerance = judged(reader, tolerated, &fields, "tolerance");
    let until = judged(reader, until, &fields, "until");
    let timeout = timeout.filter(|node| node.shape != Shape::Null).and_then(|node| {
        if !matches!(node.shape, Shape::Number(_)) {
            reader.kind(node, &fields.path("timeout"), "a number of seconds");
            return None;
        }
        reader.duration(node, &fields.path("timeout"))
    });
    let lane = lane(reader, background, &fields);
    let pauses = pauses.map(|node| self::pauses(reader, node, &fields.path("pauses")));
    let controls = controls
        .map(|node| control::used(reader, node, &fields.path("controls")))
        .unwrap_or_default();
    let retry = retry.and_then(|node| self::retry(reader, node, &fields.path("retry")));
    let for_each = each.and_then(|node| for_each(reader, node, &fields.path("for-each")));
    let may_fail = may_fail.and_then(|node| reader.flag(node, &fields.path("may-fail")));
    let on_failure = if may_fail == Some(true) { OnFailure::Allowed } else { OnFailure::Counts };
    let Value::Object(written) = node.value() else { return None };
    Some(Activity {
        tolerance,
        lane,
        pauses: pauses.unwrap_or_default(),
        timeout,
        dry,
        controls,
        retry,
        until,
        output,
        for_each,
        on_failure,
        written: Some(written),
        ..Activity::new(name?, kind?, provider?)
    })
}

fn kind(reader: &mut Reader, node: Option<&Node>, fields: &Fields<'_>) -> Option<ActivityKind> {
    let Some(node) = node.filter(|node| !node.is_empty()) else {
        reader.lacks(fields, "type", "`action` or `probe`");
        return None;
    };
    match &node.shape {
        Shape::Text(text) if text == "probe" => Some(ActivityKind::Probe),
        Shape::Text(text) if text == "action" => Some(ActivityKind::Action),
        Shape::Text(_)
        | Shape::Null
        | Shape::Bool(_)
        | Shape::Number(_)
        | Shape::List(_)
        | Shape::Map(_) => {
            reader.kind(node, &fields.path("type"), "`action` or `probe`");
            None
        }
    }
}

fn judged(
    reader: &mut Reader,
    node: Option<&Node>,
    fields: &Fields<'_>,
    key: &str,
) -> Option<Tolerance> {
    node.and_then(|node| tolerance::tolerance(reader, node, &fields.path(key)))
}

fn lane(reader: &mut Reader, node: Option<&Node>, fields: &Fields<'_>) -> Lane {
    match node.and_then(|node| reader.flag(node, &fields.path("background"))) {
        Some(true) => Lane::Background,
        Some(false) | None => Lane::Foreground,
    }
}

fn pauses(reader: &mut Reader, node: &Node, place: &str) -> Pauses {
    if node.shape == Shape::Null {
        return Pauses::default();
    }
    let Some(mut fields) = reader.fields(node, place) else { return Pauses::default() };
    let before = fields.get("before");
    let after = fields.get("after");
    reader.close(&fields);
    let mut wait = |node: Option<&Node>, key| {
        node.filter(|node| node.shape != Shape::Null)
            .and_then(|node| self::wait(reader, node, &fields.path(key)))
    };
    Pauses { before: wait(before, "before"), after: wait(after, "after") }
}

fn wait(reader: &mut Reader, node: &Node, place: &str) -> Option<Wait> {
    if let Shape::Text(text) = &node.shape {
        if text.starts_with("${") && text.ends_with('}') {
            return Some(Wait::Value(text.as_str().into()));
        }
        reader.kind(node, place, "a number of seconds, or `${name}` of one");
        return None;
    }
    reader.duration(node, place).map(Wait::For)
}

fn retry(reader: &mut Reader, node: &Node, place: &str) -> Option<Retry> {
    let mut fields = reader.fields(node, place)?;
    let attempts = reader.count(&mut fields, "attempts");
    let every = reader.seconds(&mut fields, "every");
    reader.close(&fields);
    let default = Retry::default();
    Some(Retry {
        attempts: attempts.unwrap_or(default.attempts),
        every: every.unwrap_or(default.every),
    })
}

fn for_each(reader: &mut Reader, node: &Node, place: &str) -> Option<ForEach> {
    let mut fields = reader.fields(node, place)?;
    let name = reader.word(&mut fields, "name");
    let list = fields.get("in");
    let targets = fields.get("targets");
    reader.close(&fields);
    if name.is_none() && fields.entries().iter().all(|entry| entry.key != "name") {
        reader.lacks(&fields, "name", "the name of `${name}`");
    }
    let instances = match (list, targets) {
        (Some(node), None) => match &node.shape {
            Shape::Text(text) => Some(Instances::Value(text.as_str().into())),
            Shape::List(list) => {
                if list.is_empty() {
                    let (wanted, found) = ("a list with something in it", node.shown());
                    reader.lax(node.at, &fields.path("in"), Fault::Kind { wanted, found });
                }
                Some(Instances::Values(list.iter().map(Node::value).collect()))
            }
            Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Map(_) => {
                reader.kind(node, &fields.path("in"), "a list, or `${name}` of one");
                None
            }
        },
        (None, Some(node)) => {
            reader.text(node, &fields.path("targets")).map(|text| Instances::Targets(text.into()))
        }
        (None, None) => {
            reader.lacks(&fields, "in", "a list of values; or `targets`, a selector");
            None
        }
        (Some(_), Some(node)) => {
            let (wanted, found) = ("either `in` or `targets`", "both".to_owned());
            reader.error(node.at, place, Fault::Kind { wanted, found });
            None
        }
    };
    Some(ForEach { name: name?, instances: instances? })
}
