//! `schism install`: what a Kubernetes cluster is to have. One source makes the manifest and the chart.

mod agents;
mod chart;
mod controller;
mod emit;
mod experiments;
mod faults;
mod rights;
mod values;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::{AllowArg, InstallArgs};
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;
use crate::output::{Format, Output};
use crate::settings::{AgentsBy, Settings};
use values::Values;

/// Labels of everything that belongs to an installation.
fn labels(component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "schism",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "schism",
    })
}

/// Labels by which the pods of a component are known.
fn selector(component: &str) -> Value {
    json!({ "app.kubernetes.io/name": "schism", "app.kubernetes.io/component": component })
}

/// The metadata of an object of an installation.
fn metadata(values: &Values, name: &str, component: &str) -> Value {
    json!({ "name": name, "namespace": values.namespace(), "labels": labels(component) })
}

/// An account that no pod gets a token of.
fn account(values: &Values, name: &str, component: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": metadata(values, name, component),
        "automountServiceAccountToken": false,
    })
}

/// The namespace, in which pods may have what the agents need.
fn namespace(values: &Values) -> Value {
    let mut labels = labels("namespace");
    // Baseline forbids hostPID, hostPath and the capabilities of the agents.
    for mode in ["enforce", "audit", "warn"] {
        labels[format!("pod-security.kubernetes.io/{mode}")] = json!("privileged");
    }
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": values.namespace(), "labels": labels },
    })
}

/// All objects in the order in which they are made.
fn objects(values: &Values) -> Vec<Value> {
    let mut all = vec![namespace(values)];
    // Agents wait for what controllers make.
    all.extend(controller::objects(values));
    all.extend(agents::objects(values));
    all.extend(faults::objects(values));
    all.extend(experiments::objects(values));
    all
}

/// What is given only where it was asked for, each once.
fn allowed(values: &Values, what: &[AllowArg]) -> Vec<Value> {
    let what: BTreeSet<AllowArg> = what.iter().copied().collect();
    what.into_iter().flat_map(|one| rights::allowed(values, one)).collect()
}

/// Prints what is to be applied, or writes the chart.
///
/// # Errors
/// It could not be written.
pub(crate) fn run(
    args: &InstallArgs,
    format: Option<Format>,
    output: Output,
) -> Result<Outcome, Failure> {
    if let Some(directory) = &args.chart {
        return write(directory, output);
    }
    let settings = args.settings.as_deref().map(settings).transpose()?;
    if args.agents_by == AgentsBy::Certificate {
        by_certificate(args)?;
    }
    let values = Values::given(args, settings.unwrap_or_default());
    let mut objects = objects(&values);
    objects.extend(allowed(&values, &args.allow));
    let text = match format {
        Some(Format::Json) => {
            format!("{:#}", json!({ "apiVersion": "v1", "kind": "List", "items": objects }))
        }
        Some(Format::Name) => {
            let name = |object: &Value| {
                let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
                format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap_or_default())
            };
            objects.iter().map(name).collect::<Vec<_>>().join("\n")
        }
        Some(Format::Yaml | Format::Wide) | None => emit::documents(&objects),
    };
    output.print(&text)?;
    Ok(Outcome::Effective)
}

/// Makes sure that controllers are given no rights in the cluster, which they would not use.
fn by_certificate(args: &InstallArgs) -> Result<(), Failure> {
    let given =
        [("--allow", args.allow.is_empty()), ("--experiments", args.experiments.is_empty())];
    let Some((option, _)) = given.into_iter().find(|(_, is_empty)| !is_empty) else {
        return Ok(());
    };
    let reason = "controllers have rights in the cluster only where agents come by token";
    Err(Failure::caused(Cause::WrongUsage, "cannot allow anything", reason)
        .hint(format!("leave out {option}, or --agents-by certificate")))
}

/// Settings for controllers, if they are such.
fn settings(path: &Path) -> Result<String, Failure> {
    let attempted = || format!("cannot take settings from {}", path.display());
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::caused(Cause::WrongUsage, attempted(), error))?;
    Settings::parse(path, &text)
        .map_err(|error| Failure::caused(Cause::WrongUsage, attempted(), error))?;
    Ok(text)
}

fn write(directory: &Path, output: Output) -> Result<Outcome, Failure> {
    for (name, text) in chart::files() {
        let path = directory.join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all);
        written.and_then(|()| fs::write(&path, text)).map_err(|error| {
            let attempted = format!("cannot write {}", path.display());
            Failure::caused(Cause::WrongUsage, attempted, error)
        })?;
    }
    output.note(format!("the chart is in {}", directory.display()));
    Ok(Outcome::Effective)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn given(line: &str) -> Vec<Value> {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Install(args) = cli.command else { panic!("not an installation") };
        let settings = args.settings.as_deref().map(settings).transpose().unwrap();
        let values = Values::given(&args, settings.unwrap_or_default());
        let mut objects = objects(&values);
        objects.extend(allowed(&values, &args.allow));
        objects
    }

    fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
        objects.iter().find(|object| object["kind"] == kind).unwrap()
    }

    #[test]
    fn agents_have_the_capabilities_of_the_unit_and_may_come_first() {
        let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/systemd/schism-agent.service");
        let unit = std::fs::read_to_string(unit).unwrap();
        let of_unit =
            unit.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet=CAP_"));
        let mut expected: BTreeSet<&str> = of_unit.collect();
        // Nothing in a pod forbids it.
        expected.insert("SYS_NICE");
        let objects = given("schism install");
        let container =
            &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"]["containers"][0];
        let context = &container["securityContext"];
        let added = context["capabilities"]["add"].as_array().unwrap();
        assert_eq!(added.iter().filter_map(Value::as_str).collect::<BTreeSet<_>>(), expected);
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(context["privileged"], Value::Null);
        let objects = given("schism install --allow-capture");
        let container =
            &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"]["containers"][0];
        let added = &container["securityContext"]["capabilities"]["add"];
        assert!(added.as_array().unwrap().contains(&json!("NET_RAW")), "{added}");
        let allows = json!({ "name": "SCHISM_ALLOW_CAPTURE", "value": "true" });
        assert!(container["env"].as_array().unwrap().contains(&allows));
        assert_eq!(context["readOnlyRootFilesystem"], true);
    }

    #[test]
    fn nothing_of_a_node_listens_and_no_agent_may_ask_the_api_server() {
        for by in ["token", "certificate"] {
            let objects = given(&format!("schism install --agents-by {by}"));
            let pod = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
            assert_eq!((&pod["hostNetwork"], &pod["hostPID"]), (&Value::Null, &Value::Bool(true)));
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["containers"][0]["ports"], Value::Null);
            let text = emit::documents(&objects);
            assert!(!text.contains("hostPort") && !text.contains("privileged: true"), "{text}");
        }
    }

    #[test]
    fn by_token_nobody_has_a_certificate_and_several_controllers_share_a_store() {
        let objects = given("schism install");
        let text = emit::documents(&objects);
        assert!(!text.contains("/etc/schism/certs") && !text.contains("secretName"), "{text}");
        let deployment = &of_kind(&objects, "Deployment")["spec"];
        assert_eq!(deployment["replicas"], 2);
        let container = &deployment["template"]["spec"]["containers"][0];
        let words: Vec<&str> =
            container["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let line = std::iter::once("schism").chain(words);
        let Command::Serve(args) = Cli::try_parse_from(line).unwrap().command else { panic!() };
        assert!(args.agents_by_token && args.store_in_cluster && args.kubernetes.is_some());
        let objects = given("schism install --agents-by certificate");
        assert_eq!(of_kind(&objects, "Deployment")["spec"]["replicas"], 1);
        assert!(objects.iter().all(|object| object["kind"] != "ClusterRole"));
    }

    #[test]
    fn controllers_read_the_settings_that_were_given_and_are_others_with_others() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let with = |text: &str| {
            fs::write(file.path(), text).unwrap();
            given(&format!("schism install --settings {}", file.path().display()))
        };
        let digest = |objects: &[Value]| {
            of_kind(objects, "Deployment")["spec"]["template"]["metadata"]["annotations"].clone()
        };
        let text = "[limits]\nmax-targets = 7\n";
        let some = with(text);
        assert_eq!(of_kind(&some, "ConfigMap")["data"]["schism.toml"], text);
        let none = given("schism install");
        assert_eq!(of_kind(&none, "ConfigMap")["data"]["schism.toml"], "");
        assert_ne!(digest(&some), digest(&none));
        assert_eq!(digest(&some), digest(&with(text)));
        fs::write(file.path(), "nonsense = 1\n").unwrap();
        let refused = settings(file.path()).unwrap_err();
        assert_eq!(refused.outcome, Outcome::WrongUsage, "{}", refused.text());
    }

    #[test]
    fn nobody_may_read_secrets_but_one_and_nothing_outside_is_written() {
        let objects = given("schism install");
        for object in objects.iter().filter(|object| object["rules"].is_array()) {
            let of_cluster = object["kind"] == "ClusterRole";
            for rule in object["rules"].as_array().unwrap() {
                let has = |list: &str, word: &str| {
                    rule[list].as_array().unwrap().iter().any(|one| one == word)
                };
                for list in ["apiGroups", "resources", "verbs"] {
                    assert!(!has(list, "*") && rule[list] != json!([]), "{rule:#}");
                }
                let reads = has("verbs", "get") || has("verbs", "list");
                if reads && has("resources", "secrets") {
                    assert!(!of_cluster && rule["resourceNames"] == json!(["schism-authority"]));
                }
                let writes =
                    ["create", "patch", "update", "delete"].iter().any(|v| has("verbs", v));
                // Of what is anywhere: its own objects, and what pods are told of.
                let own = has("apiGroups", "schism.dev") || has("resources", "events");
                let may = own || has("resources", "tokenreviews");
                assert!(!of_cluster || !writes || may, "{rule:#}");
            }
        }
    }

    #[test]
    fn an_installation_is_known_by_its_binding() {
        let objects = given("schism install --namespace chaos");
        let bindings = objects.iter().filter(|object| object["kind"] == "ClusterRoleBinding");
        let known: Vec<&str> = bindings
            .filter(|binding| {
                binding["metadata"]["labels"]["app.kubernetes.io/part-of"] == "schism"
            })
            .filter_map(|binding| binding["metadata"]["name"].as_str())
            .filter_map(crate::objects::installations::namespace)
            .collect();
        assert_eq!(known, ["chaos"]);
    }

    #[test]
    fn pods_and_nodes_are_given_only_where_that_was_asked_for() {
        let rules = |line: &str| {
            let objects = given(line);
            let roles = objects.iter().filter(|object| object["kind"] == "ClusterRole");
            let rules = roles.flat_map(|role| role["rules"].as_array().unwrap().clone());
            let writes = |rule: &Value| {
                let verbs = rule["verbs"].as_array().unwrap();
                let of_core =
                    rule["apiGroups"] == json!([""]) && rule["resources"] != json!(["events"]);
                of_core
                    && verbs
                        .iter()
                        .any(|verb| ["create", "patch", "delete"].contains(&verb.as_str().unwrap()))
            };
            rules
                .filter(writes)
                .map(|rule| rule["resources"][0].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(rules("schism install"), [""; 0]);
        assert_eq!(rules("schism install --allow pods"), ["pods", "pods/eviction"]);
        assert_eq!(
            rules("schism install --allow nodes,pods --allow nodes"),
            ["pods", "pods/eviction", "nodes"]
        );
        let bound = given("schism install --namespace chaos --allow nodes");
        let binding = bound.last().unwrap();
        assert_eq!(binding["kind"], "ClusterRoleBinding");
        assert_eq!(binding["roleRef"]["name"], "schism:chaos:nodes");
        assert_eq!(binding["subjects"][0]["namespace"], "chaos");
    }

    #[test]
    fn jobs_may_be_made_only_in_namespaces_that_are_named() {
        let spaces = |line: &str| {
            let objects = given(line);
            let is_of_jobs = |object: &&Value| object["rules"][0]["resources"] == json!(["jobs"]);
            let roles: Vec<&Value> = objects.iter().filter(is_of_jobs).collect();
            assert!(roles.iter().all(|role| role["kind"] == "Role"), "{roles:#?}");
            let spaces = roles.iter().map(|role| role["metadata"]["namespace"].clone());
            let container =
                &of_kind(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
            let environment = container["env"].as_array().unwrap();
            let of_name = |name: &str| environment.iter().find(|one| one["name"] == name).unwrap();
            assert_eq!(of_name("SCHISM_IMAGE")["value"], container["image"]);
            let told = of_name("SCHISM_EXPERIMENTS_IN")["value"].clone();
            (spaces.collect::<Vec<_>>(), told)
        };
        assert_eq!(spaces("schism install"), (vec![], json!("")));
        let named = spaces("schism install --experiments store,camunda");
        assert_eq!(named, (vec![json!("store"), json!("camunda")], json!("store,camunda")));
        assert!(spaces("schism install --experiments store --agents-by certificate").0.is_empty());
    }

    #[test]
    fn everything_is_in_the_namespace_that_was_asked_for() {
        for object in given("schism install --namespace chaos --registry r.example/x --tag 7") {
            match object["kind"].as_str().unwrap() {
                "Namespace" => assert_eq!(object["metadata"]["name"], "chaos"),
                // Of all installations.
                "CustomResourceDefinition"
                | "ValidatingAdmissionPolicy"
                | "ValidatingAdmissionPolicyBinding" => {}
                "ClusterRole" | "ClusterRoleBinding" => {
                    let name = object["metadata"]["name"].as_str().unwrap();
                    let of_people = [
                        "schism-view",
                        "schism-inject",
                        "schism-capture",
                        "schism-inject-anywhere",
                        "schism-disrupt",
                        "schism-disrupt-anywhere",
                    ];
                    let own = ["schism:chaos:controller", "schism:chaos:faults"];
                    assert!(own.contains(&name) || of_people.contains(&name), "{name}");
                }
                _ => assert_eq!(object["metadata"]["namespace"], "chaos", "{object:#}"),
            }
        }
        let objects = given("schism install --namespace chaos --registry r.example/x --tag 7");
        let text = emit::documents(&objects);
        for part in [
            "r.example/x/schism-agent:7",
            "r.example/x/schism:7",
            "schism-controller.chaos.svc:7070",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("{{"), "{text}");
    }
}
