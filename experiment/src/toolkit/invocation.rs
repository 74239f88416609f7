//! Providers.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Manner;
use super::fields::{Fields, Reader, write_path};
use crate::document::{Node, Shape};
use crate::model::{
    ActivityKind, Call, EffectPolicy, Http, HttpTimeout, Process, ProcessArguments, Provider,
    Python, Tls, Verb,
};
use crate::problem::Fault;

/// A provider; `kind` is known unless the activity is wrong anyway.
pub(super) fn provider(
    reader: &mut Reader,
    node: &Node,
    place: &str,
    kind: Option<ActivityKind>,
) -> Option<Provider> {
    let mut fields = reader.fields(node, place)?;
    let Some(named) = fields.get("type").filter(|node| !node.is_empty()) else {
        reader.error(node.at, place, Fault::NoProviderType);
        return None;
    };
    match reader.text(named, &fields.path("type"))?.as_str() {
        "process" => process(reader, &mut fields).map(Provider::Process),
        "http" => http(reader, &mut fields).map(Provider::Http),
        "python" => python(reader, &mut fields).map(Provider::Python),
        "schism" => call(reader, &mut fields, kind).map(Provider::Schism),
        other => {
            reader.error(named.at, &fields.path("type"), Fault::ProviderType(other.to_owned()));
            None
        }
    }
}

/// The fields of a process, also where a control has one.
pub(super) fn process(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Process> {
    let path = fields.get("path");
    let arguments = fields.get("arguments");
    let timeout = reader.seconds(fields, "timeout");
    // The original takes the names of secrets everywhere, and gives them to functions only.
    fields.get("secrets");
    reader.close(fields);
    let arguments = match arguments.map(|node| (node, &node.shape)) {
        None | Some((_, Shape::Null)) => ProcessArguments::Words(Vec::new()),
        Some((_, Shape::List(list))) => {
            ProcessArguments::Words(list.iter().map(Node::value).collect())
        }
        Some((node, Shape::Text(text))) => {
            if reader.manner() == Manner::Compat {
                reader.warn(node.at, &fields.path("arguments"), Fault::Shell);
            }
            ProcessArguments::Line(text.as_str().into())
        }
        Some((node, Shape::Map(_))) => ProcessArguments::Pairs(object(node)),
        Some((node, Shape::Bool(_) | Shape::Number(_))) => {
            let fault = Fault::Kind { wanted: "a list of arguments", found: node.kind() };
            reader.error(node.at, &fields.path("arguments"), fault);
            ProcessArguments::Words(Vec::new())
        }
    };
    let path = present(reader, path, fields, "path", Fault::NoPath);
    Some(Process { path: path?, arguments, timeout })
}

fn http(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Http> {
    let url = fields.get("url");
    let method = fields.get("method");
    let headers = fields.get("headers");
    let arguments = fields.get("arguments");
    let timeout = fields.get("timeout");
    let verify = fields.get("verify_tls");
    let retries = fields.get("max_retries");
    fields.get("secrets");
    reader.close(fields);
    let url = present(reader, url, fields, "url", Fault::NoUrl);
    let method = method.and_then(|node| reader.text(node, &fields.path("method")));
    let headers = headers.filter(|node| !node.is_empty()).map(|node| {
        reader.fields(node, &fields.path("headers"));
        object(node)
    });
    let timeout = timeout.and_then(|node| http_timeout(reader, node, &fields.path("timeout")));
    let verify = verify.and_then(|node| reader.flag(node, &fields.path("verify_tls")));
    let retries = retries.and_then(|node| {
        let number = node.value().as_u64().and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            let fault = Fault::Amount("a whole number that is not negative");
            reader.error(node.at, &fields.path("max_retries"), fault);
        }
        number
    });
    Some(Http {
        url: url?.into(),
        method: method.unwrap_or_else(|| "GET".to_owned()).to_uppercase(),
        headers: headers.unwrap_or_default(),
        arguments: arguments.filter(|node| node.shape != Shape::Null).map(Node::value),
        timeout,
        tls: if verify == Some(false) { Tls::Unverified } else { Tls::Verified },
        retries: retries.unwrap_or_default(),
    })
}

fn http_timeout(reader: &mut Reader, node: &Node, place: &str) -> Option<HttpTimeout> {
    match &node.shape {
        Shape::Null => None,
        Shape::Text(text) => Some(HttpTimeout::Value(text.as_str().into())),
        Shape::List(list) => {
            let times: Vec<Duration> = list
                .iter()
                .enumerate()
                .filter_map(|(index, node)| reader.duration(node, &write_path(place, index)))
                .collect();
            if let (2, [connect, read]) = (list.len(), times.as_slice()) {
                return Some(HttpTimeout::Both(*connect, *read));
            }
            reader.error(node.at, place, Fault::Amount("two times, to connect and to read,"));
            None
        }
        Shape::Bool(_) | Shape::Number(_) | Shape::Map(_) => {
            reader.duration(node, place).map(HttpTimeout::Each)
        }
    }
}

fn python(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Python> {
    let module = fields.get("module");
    let func = fields.get("func");
    let arguments = fields.get("arguments");
    let secrets = fields.get("secrets");
    let timeout = reader.seconds(fields, "timeout");
    reader.close(fields);
    let module = present(reader, module, fields, "module", Fault::NoModule);
    let func = present(reader, func, fields, "func", Fault::NoFunction);
    let arguments = arguments_map(reader, arguments, fields);
    let mut names = Vec::new();
    if let Some(node) = secrets {
        let path = fields.path("secrets");
        for (index, node) in reader.list(node, &path).iter().enumerate() {
            names.extend(reader.text(node, &write_path(&path, index)));
        }
    }
    Some(Python { module: module?, func: func?, arguments, secrets: names, timeout })
}

fn call(reader: &mut Reader, fields: &mut Fields<'_>, kind: Option<ActivityKind>) -> Option<Call> {
    let action: Option<Verb> = reader.word(fields, "action");
    let probe: Option<Verb> = reader.word(fields, "probe");
    let arguments = fields.get("arguments");
    let label = reader.word(fields, "as");
    let effect = fields.get("effect");
    reader.close(fields);
    let named =
        fields.entries().iter().any(|entry| matches!(entry.key.as_str(), "action" | "probe"));
    if !named {
        reader.error(fields.at(), fields.place(), Fault::NoVerb);
    }
    let is_probe = |verb: &Verb| matches!(verb, Verb::Read(_));
    for (verb, probes, what) in [(&action, false, "action"), (&probe, true, "probe")] {
        if let Some(verb) = verb.as_ref().filter(|verb| is_probe(verb) != probes) {
            let fault = Fault::Verb { verb: verb.to_string(), kind: what };
            reader.error(fields.at(), fields.place(), fault);
        }
    }
    let verb = action.or(probe)?;
    let fits = match kind {
        Some(ActivityKind::Probe) => is_probe(&verb),
        Some(ActivityKind::Action) => !is_probe(&verb),
        None => true,
    };
    if !fits {
        let what = if is_probe(&verb) { "action" } else { "probe" };
        let fault = Fault::Verb { verb: verb.to_string(), kind: what };
        reader.error(fields.at(), fields.place(), fault);
    }
    let effect = effect.and_then(|node| {
        let path = fields.path("effect");
        match reader.text(node, &path)?.as_str() {
            "optional" => Some(EffectPolicy::Optional),
            "required" => Some(EffectPolicy::Required),
            _ => {
                reader.error(node.at, &path, Fault::Amount("`required` or `optional`"));
                None
            }
        }
    });
    let arguments = arguments_map(reader, arguments, fields);
    Some(Call { verb, arguments, label, effect: effect.unwrap_or(EffectPolicy::Required) })
}

fn arguments_map(
    reader: &mut Reader,
    node: Option<&Node>,
    fields: &Fields<'_>,
) -> Map<String, Value> {
    let Some(node) = node.filter(|node| !node.is_empty()) else { return Map::new() };
    reader.fields(node, &fields.path("arguments"));
    object(node)
}

fn object(node: &Node) -> Map<String, Value> {
    match node.value() {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// Text that must be there, and not be empty.
fn present(
    reader: &mut Reader,
    node: Option<&Node>,
    fields: &Fields<'_>,
    key: &str,
    missing: Fault,
) -> Option<String> {
    match node.filter(|node| !node.is_empty()) {
        Some(node) => reader.text(node, &fields.path(key)),
        None => {
            reader.error(fields.at(), fields.place(), missing);
            None
        }
    }
}
