//! Providers.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Manner;
use super::fields::{Fields, Reader, write_path};
use crate::address;
use crate::document::{self, Node, Shape};
use crate::model::{
    ActivityKind, Call, EffectPolicy, Http, HttpTimeout, Process, ProcessArguments, Provider,
    Python, Tls, Verb,
};
use crate::problem::Fault;

/// Who performs steps.
const TYPES: &str = "`process`, `http`, `python` or `schism`";

/// A provider; `kind` is known unless the activity is wrong anyway.
pub(super) fn provider(
    reader: &mut Reader,
    node: &Node,
    place: &str,
    kind: Option<ActivityKind>,
) -> Option<Provider> {
    let mut fields = reader.fields(node, place)?;
    let Some(named) = fields.get("type").filter(|node| !node.is_empty()) else {
        reader.lacks(&fields, "type", TYPES);
        return None;
    };
    match reader.text(named, &fields.path("type"))?.as_str() {
        "process" => process(reader, &mut fields).map(Provider::Process),
        "http" => http(reader, &mut fields).map(Provider::Http),
        "python" => python(reader, &mut fields).map(Provider::Python),
        "schism" => call(reader, &mut fields, kind).map(Provider::Schism),
        _ => {
            reader.kind(named, &fields.path("type"), TYPES);
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
            reader.kind(node, &fields.path("arguments"), "a list of arguments");
            ProcessArguments::Words(Vec::new())
        }
    };
    let path = reader.required(path, fields, "path", "the program, a file or a name in PATH");
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
    let stands = url;
    let url = reader.required(url, fields, "url", "the address that is asked");
    if let (Some(node), Some(text)) = (stands, &url) {
        let is_one = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
        if !is_one && !text.contains("${") {
            let wanted = "an address that begins with http:// or https://";
            reader.lax(node.at, &fields.path("url"), Fault::Kind { wanted, found: found(text) });
        } else if is_one && !text.contains("${") && !has_host(text) {
            let wanted = "an address with a host, such as http://localhost:8080/health,";
            reader.lax(node.at, &fields.path("url"), Fault::Kind { wanted, found: found(text) });
        }
    }
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
            let wanted = "a whole number that is not negative";
            reader.kind(node, &fields.path("max_retries"), wanted);
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

/// What stands where an address was expected, without credentials in it.
fn found(text: &str) -> String {
    document::shown(&Value::String(address::shown(text)))
}

/// Whether an address says whom to ask (RFC 3986 3.2).
fn has_host(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    !host.is_empty() && !host.starts_with(':')
}

fn http_timeout(reader: &mut Reader, node: &Node, place: &str) -> Option<HttpTimeout> {
    match &node.shape {
        Shape::Null => None,
        Shape::Text(text) => {
            if !text.contains("${") {
                let wanted = "a number of seconds, a list of two, or `${name}` of one";
                reader.lax(node.at, place, Fault::Kind { wanted, found: node.shown() });
            }
            Some(HttpTimeout::Value(text.as_str().into()))
        }
        Shape::List(list) => {
            let times: Vec<Duration> = list
                .iter()
                .enumerate()
                .filter_map(|(index, node)| reader.duration(node, &write_path(place, index)))
                .collect();
            if let (2, [connect, read]) = (list.len(), times.as_slice()) {
                return Some(HttpTimeout::Both(*connect, *read));
            }
            let wanted = "a number of seconds, or a list of two: to connect and to read";
            reader.kind(node, place, wanted);
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
    let module = reader.required(module, fields, "module", "the Python module, by its path");
    let func = reader.required(func, fields, "func", "the name of the function");
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
        reader.lacks(fields, "action", "what is done; or `probe`, what is looked at");
    }
    let roles = [(&action, ActivityKind::Action, "action"), (&probe, ActivityKind::Probe, "probe")];
    for (verb, role, what) in roles {
        if let Some(verb) = verb.as_ref().filter(|verb| !verb.fits(role)) {
            verb_elsewhere(reader, fields, verb, what);
        }
    }
    let verb = action.or(probe)?;
    if kind.is_some_and(|kind| !verb.fits(kind)) {
        let is_probe = verb.fits(ActivityKind::Probe);
        verb_elsewhere(reader, fields, &verb, if is_probe { "action" } else { "probe" });
    }
    if !matches!(verb, Verb::Fault(_)) {
        let keys = fields.entries().iter();
        for entry in keys.filter(|entry| matches!(entry.key.as_str(), "as" | "effect")) {
            reader.lax(entry.at, &fields.path(&entry.key), Fault::NotRead);
        }
    }
    let effect = effect.and_then(|node| {
        let path = fields.path("effect");
        match reader.text(node, &path)?.as_str() {
            "optional" => Some(EffectPolicy::Optional),
            "required" => Some(EffectPolicy::Required),
            _ => {
                reader.kind(node, &path, "`required` or `optional`");
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

/// An action where a probe is expected, or the other way round.
fn verb_elsewhere(reader: &mut Reader, fields: &Fields<'_>, verb: &Verb, wanted: &'static str) {
    let (wanted, found) =
        if wanted == "probe" { ("a probe", "the action") } else { ("an action", "the probe") };
    let fault = Fault::Verb { verb: verb.to_string(), wanted, found };
    reader.error(fields.at(), fields.place(), fault);
}
