//! What the API server has to know of the two kinds: their fields, what makes no sense, and how they are shown.

use serde_json::{Map, Value, json};

use super::resource::Kind;
use crate::objects::definition::field::{flag, number, rule, text, time, word};
use crate::objects::definition::{Names, SAFE, custom_resource, object, told};

/// Both definitions.
#[must_use]
pub fn definitions() -> [Value; 2] {
    Kind::ALL.map(definition)
}

pub(super) fn definition(kind: Kind) -> Value {
    let (scope, short) = match kind {
        Kind::Experiment => ("Namespaced", "exp"),
        Kind::ClusterExperiment => ("Cluster", "cexp"),
    };
    let names = Names { kind: kind.word(), plural: kind.plural(), short, scope };
    custom_resource(&names, about(kind), &spec(kind), &status(), &columns())
}

const fn about(kind: Kind) -> &'static str {
    match kind {
        Kind::Experiment => {
            "One run of an experiment whose faults are among pods of this namespace. It begins once; deleting the \
             object ends it in rollback."
        }
        Kind::ClusterExperiment => {
            "One run of an experiment whose faults are among pods of several namespaces, nodes or roles. It begins \
             once; deleting the object ends it in rollback."
        }
    }
}

/// How `kubectl get` shows them.
fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str| json!({ "name": name, "type": kind, "jsonPath": path });
    let wide = |name: &str, path: &str| json!({ "name": name, "type": "string", "jsonPath": path, "priority": 1 });
    json!([
        column("State", "string", ".status.phase"),
        column("Steps", "string", ".status.steps"),
        column("Deviated", "boolean", ".status.deviated"),
        column("Exit", "integer", ".status.exitCode"),
        column("Age", "date", ".metadata.creationTimestamp"),
        wide("Title", ".status.title"),
        wide("Run", ".status.run"),
        wide("By", ".spec.requestedBy"),
        wide("Owes", ".status.owes"),
        wide("Message", ".status.message"),
    ])
}

fn spec(kind: Kind) -> Value {
    let properties = json!({
        "experiment": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "description": "The experiment, in the language of `schism run`: title, description, method and so on.",
        },
        "seed": number("From which every random choice is drawn [of the object's UID].", 0, SAFE),
        "readsLogs": flag("Let it look at what pods write (the probe logs of a target): whoever creates it may get pods/log."),
        "requestedBy": text("Who asks: nobody but the user who creates the object can be named.", 253),
        "job": job(kind),
    });
    // What stands in the experiment itself no rule of a definition sees: the policy keeps it.
    let rules = vec![rule("self == oldSelf", UNCHANGED)];
    object("What is to be run. It cannot be changed.", &["experiment"], properties, rules)
}

/// How it runs where the controller does not perform it.
fn job(kind: Kind) -> Value {
    let as_pods_have_it = |about: &str| {
        json!({
            "type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": about,
        })
    };
    let several = |about: &str| {
        json!({
            "type": "array", "description": about,
            "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
        })
    };
    let mut required = vec!["image", "serviceAccountName"];
    let mut properties = json!({
        "image": text("The image in which its programs are; this program is put into it.", 1024),
        "serviceAccountName": text("As whom it runs: whoever that is makes its faults.", 253),
        "imagePullPolicy": word("When the node fetches the image.", &["Always", "IfNotPresent", "Never"]),
        "imagePullSecrets": several("With what it fetches it."),
        "env": several("The environment of its programs, and where settings and secrets come from, as a container has it."),
        "envFrom": several("The same, whole."),
        "resources": as_pods_have_it("What its container takes."),
        "nodeSelector": as_pods_have_it("On which nodes it may be."),
        "tolerations": several("Which taints it bears."),
        "securityContext": as_pods_have_it("Of its pod, instead of one that is nobody and restricted."),
        "containerSecurityContext": as_pods_have_it("Of its container, instead of one that has no capability."),
        "journal": text("The PersistentVolumeClaim to which its journal goes [it goes with the pod].", 253),
        "deadline": time("How long it may take until its rollbacks begin."),
    });
    match kind {
        Kind::Experiment => {}
        Kind::ClusterExperiment => {
            required.push("namespace");
            properties["namespace"] = text("Where its Job is.", 63);
        }
    }
    let about = "Run it as a Job, with `kubectl schism run`: for programs, functions and requests.";
    object(about, &required, properties, Vec::new())
}

/// What is said to who changes it.
pub(super) const UNCHANGED: &str =
    "what a run is cannot be changed: delete it, which ends it in rollback, and create another one";

/// What the controller says. Later versions say more, which earlier definitions keep.
fn status() -> Value {
    let word = || json!({ "type": "string" });
    let mut properties = Map::new();
    let words = [
        "phase",
        "title",
        "run",
        "seed",
        "part",
        "startedAt",
        "endedAt",
        "steps",
        "message",
        "job",
        "journal",
    ];
    properties.extend(words.map(|name| (name.to_owned(), word())));
    let counts = ["faults", "owes", "exitCode", "observedGeneration"];
    let count = || json!({ "type": "integer", "format": "int64" });
    properties.extend(counts.map(|name| (name.to_owned(), count())));
    properties.insert("deviated".to_owned(), json!({ "type": "boolean" }));
    let lists = ["reasons", "owed"];
    let list = || json!({ "type": "array", "items": word() });
    properties.extend(lists.map(|name| (name.to_owned(), list())));
    told(properties)
}
