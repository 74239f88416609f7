//! The Helm chart, made of what `schism install` prints; it is committed in `deploy/helm/schism`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::values::{Setting, Values, settings};
use super::{agents, controller, emit, experiments, faults, rights};
use crate::cli::AllowArg;
use crate::settings::AgentsBy;

/// In the words of Helm the version of the chart is that of what it installs.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is told after an installation.
const NOTES: &str = "\
{{- if eq .Values.agentsBy \"certificate\" -}}
Agents and controller need certificates, which `schism certs` makes:

  schism certs init
  schism certs issue controller controller --host schism-controller.{{ .Release.Namespace }}.svc
  schism certs issue agent NODE        (for each node)

See docs/kubernetes.md for the two Secrets that hold them. Then:

  kubectl -n {{ .Release.Namespace }} exec deploy/schism-controller -- schism agents
{{- else -}}
Which agents have come says the controller that leads:

  leader=$(kubectl -n {{ .Release.Namespace }} get lease schism-controller -o jsonpath='{.spec.holderIdentity}')
  kubectl -n {{ .Release.Namespace }} exec \"${leader%_*}\" -- schism agents

After an uninstallation this is left, which the controllers have made:

  kubectl -n {{ .Release.Namespace }} delete secret/schism-authority configmap/schism-ca lease/schism-controller
{{- end }}

The namespace must let pods have hostPID, hostPath and capabilities:

  kubectl label namespace {{ .Release.Namespace }} pod-security.kubernetes.io/enforce=privileged
";

/// The files of the chart by their paths in it.
pub(super) fn files() -> BTreeMap<&'static str, String> {
    let settings = settings();
    let monitor = emit::document(&controller::monitor(&Values::of_chart(AgentsBy::Token)));
    BTreeMap::from([
        ("Chart.yaml", emit::document(&about())),
        ("values.yaml", defaults(&settings)),
        ("values.schema.json", format!("{:#}\n", schema(&settings))),
        ("templates/agent.yaml", either(agents::objects)),
        ("templates/controller.yaml", either(controller::objects)),
        ("templates/faults.yaml", either(faults::objects)),
        ("templates/allow.yaml", allowed()),
        ("templates/experiments.yaml", each_space()),
        (
            "templates/monitor.yaml",
            format!("{{{{- if .Values.podMonitor }}}}\n{monitor}{{{{- end }}}}\n"),
        ),
        ("templates/NOTES.txt", NOTES.to_owned()),
    ])
}

/// Objects as they are in either way, each once where it is the same in both.
fn either(objects: impl Fn(&Values) -> Vec<Value>) -> String {
    let of = |agents_by| objects(&Values::of_chart(agents_by));
    let (by_token, by_certificate) = (of(AgentsBy::Token), of(AgentsBy::Certificate));
    let is = |one: &Value, other: &Value| {
        one["kind"] == other["kind"] && one["metadata"]["name"] == other["metadata"]["name"]
    };
    let document = |object: &Value| {
        let text = emit::document(object);
        match by_certificate.iter().find(|other| is(other, object)) {
            Some(other) if other == object => text,
            Some(other) => {
                let other = emit::document(other);
                format!("{BY_TOKEN}\n{text}{{{{- else }}}}\n{other}{{{{- end }}}}\n")
            }
            None => format!("{BY_TOKEN}\n{text}{{{{- end }}}}\n"),
        }
    };
    by_token.iter().map(document).collect::<Vec<_>>().join("---\n")
}

/// What is given only where a value says so.
fn allowed() -> String {
    let values = Values::of_chart(AgentsBy::Token);
    let one = |(what, value): (AllowArg, &str)| {
        let text = emit::documents(&rights::allowed(&values, what));
        let given = format!(r#"if and (eq .Values.agentsBy "token") .Values.allow.{value}"#);
        format!("{{{{- {given} }}}}\n{text}{{{{- end }}}}\n")
    };
    let all = [(AllowArg::Pods, "pods"), (AllowArg::Nodes, "nodes")];
    all.map(one).join("---\n")
}

/// What is there once for each namespace in which experiments may run as Jobs.
fn each_space() -> String {
    let [role, binding] = experiments::of_chart().map(|object| emit::document(&object));
    format!(
        "{BY_TOKEN}\n{{{{- range .Values.experiments }}}}\n---\n{role}---\n{binding}{{{{- end }}}}\n{{{{- end }}}}\n"
    )
}

/// How a part of a template begins that is there only where agents come by token.
const BY_TOKEN: &str = r#"{{- if eq .Values.agentsBy "token" }}"#;

fn about() -> Value {
    json!({
        "apiVersion": "v2", "name": "schism", "type": "application",
        "description": "Honest network, clock and process faults, for a bounded time",
        "version": VERSION, "appVersion": VERSION, "kubeVersion": ">=1.30.0-0",
    })
}

/// A value at a path of a document.
fn put(document: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(document.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let within = document.entry(first).or_insert_with(|| json!({}));
            if let Some(within) = within.as_object_mut() {
                put(within, rest, value);
            }
        }
    }
}

/// The defaults, with what they are.
fn defaults(settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut around = "";
    for setting in settings {
        let (group, name) = setting.path.split_once('.').unwrap_or(("", setting.path));
        if group != around {
            text.push('\n');
            if !group.is_empty() {
                text.push_str(&format!("{group}:\n"));
            }
            around = group;
        }
        let indent = if group.is_empty() { "" } else { "  " };
        let value = emit::document(&json!({ (name): setting.default }));
        text.push_str(&format!("{indent}# {}\n", setting.about));
        for line in value.lines() {
            text.push_str(&format!("{indent}{line}\n"));
        }
    }
    text
}

/// What values may be (JSON Schema, draft 7): nothing but these.
fn schema(settings: &[Setting]) -> Value {
    let mut properties = Map::new();
    for setting in settings {
        let mut schema = setting.schema.clone();
        schema["description"] = json!(setting.about);
        let path = setting.path.replace('.', ".properties.");
        put(&mut properties, &path, schema);
    }
    for group in properties.values_mut().filter(|group| group.get("type").is_none()) {
        if group.get("properties").is_some() {
            group["type"] = json!("object");
            group["additionalProperties"] = json!(false);
        }
    }
    // Helm gives it to every chart that is part of another one.
    properties.insert("global".to_owned(), json!({ "type": "object" }));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object", "additionalProperties": false, "properties": properties,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use experiment::document::{Node, Notation};

    use super::*;

    /// `schism install --chart deploy/helm/schism` writes it anew.
    #[test]
    fn the_chart_is_as_committed() {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/schism");
        for (name, text) in files() {
            let found = fs::read_to_string(place.join(name)).unwrap_or_default();
            assert!(found == text, "deploy/helm/schism/{name} differs from what makes it");
        }
    }

    #[test]
    fn every_value_is_used_and_every_value_that_is_used_is_there() {
        let files = files();
        let templates: String = files
            .iter()
            .filter(|(name, _)| name.starts_with("templates/"))
            .map(|(_, text)| text.as_str())
            .collect();
        let mut used: Vec<&str> = templates
            .split(".Values.")
            .skip(1)
            .filter_map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '.')).next())
            .collect();
        used.sort_unstable();
        used.dedup();
        let mut known: Vec<&str> = settings().iter().map(|setting| setting.path).collect();
        known.sort_unstable();
        assert_eq!(used, known);
        let defaults = Node::read(&files["values.yaml"], Notation::Yaml).unwrap().value();
        for path in known {
            let pointer = format!("/{}", path.replace('.', "/"));
            assert!(defaults.pointer(&pointer).is_some(), "{path}");
        }
    }

    #[test]
    fn what_is_there_by_certificate_is_there_by_token_too() {
        for objects in [agents::objects, controller::objects] {
            let [by_token, by_certificate] = [AgentsBy::Token, AgentsBy::Certificate]
                .map(|agents_by| objects(&Values::of_chart(agents_by)));
            for object in by_certificate {
                let is = |other: &Value| {
                    let name = |one: &Value| one["metadata"]["name"].clone();
                    other["kind"] == object["kind"] && name(other) == name(&object)
                };
                assert!(by_token.iter().any(is), "it would be in no chart: {object:#}");
            }
        }
    }
}
