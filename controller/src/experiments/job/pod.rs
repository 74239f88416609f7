//! The pod of a Job. Pure.

use fault::IntentId;
use serde_json::{Value, json};

use super::{FILE, Job, Jobs, Origin};
use crate::carried;
use crate::experiments::resource::Object;

/// The container that runs the experiment.
pub(super) const CONTAINER: &str = "experiment";

/// Nobody's.
const USER: u32 = 65_532;

/// How long the rollbacks of a run may take that is to end (300 s): then it is killed, and its faults are deleted.
const GRACE: u64 = 300;

/// Where this program is, under the name by which it is the plugin of `kubectl`.
const PROGRAM: &str = "/schism/kubectl-schism";

/// Where last words are left.
const LAST_WORDS: &str = "/dev/termination-log";

/// Where its journal is.
pub(crate) fn journal(object: &Object, id: IntentId) -> String {
    format!("{}-{id}.json", object.metadata.name)
}

/// The pod of an object's Job.
pub(super) fn spec(
    object: &Object,
    (id, job): (IntentId, &Job),
    namespace: &str,
    jobs: &Jobs,
) -> Value {
    let journal = format!("/journal/{}", journal(object, id));
    let file = format!("/experiment/{FILE}");
    let mount = |name: &str| json!({ "name": name, "mountPath": format!("/{name}") });
    let mut container = json!({
        "name": CONTAINER,
        "image": job.image,
        "command": [
            PROGRAM, "run", file, "--journal", journal, "--summary", LAST_WORDS, "-n", namespace,
            "--seed", object.seed().to_string(),
        ],
        "workingDir": "/journal",
        "terminationMessagePath": LAST_WORDS,
        "securityContext": confined(),
        "volumeMounts": [mount("schism"), mount("experiment"), mount("journal")],
    });
    container["volumeMounts"][0]["readOnly"] = true.into();
    container["volumeMounts"][1]["readOnly"] = true.into();
    let carrier = json!({
        "name": "schism",
        "image": jobs.image,
        "imagePullPolicy": "IfNotPresent",
        "args": [carried::COMMAND, PROGRAM],
        "securityContext": of_nobody(confined()),
        "volumeMounts": [mount("schism")],
    });
    if let Some(policy) = &job.image_pull_policy {
        container["imagePullPolicy"] = policy.as_str().into();
    }
    for (key, of) in OF_CONTAINERS {
        if let Some(value) = job.of_pods.get(key) {
            container[of] = value.clone();
        }
    }
    // Of several of a name the last one counts.
    let given = container["env"].as_array().cloned().unwrap_or_default();
    container["env"] = given.into_iter().chain(Origin::told(id)).collect();
    let kept = match &job.journal {
        Some(claim) => {
            json!({ "name": "journal", "persistentVolumeClaim": { "claimName": claim } })
        }
        None => json!({ "name": "journal", "emptyDir": {} }),
    };
    let mut pod = json!({
        "restartPolicy": "Never",
        "serviceAccountName": job.service_account_name,
        "terminationGracePeriodSeconds": GRACE,
        "enableServiceLinks": false,
        "securityContext": of_nobody(json!({ "fsGroup": USER })),
        "initContainers": [carrier],
        "containers": [container],
        "volumes": [
            { "name": "schism", "emptyDir": {} },
            { "name": "experiment", "configMap": { "name": super::name(id) } },
            kept,
        ],
    });
    for key in OF_PODS {
        if let Some(value) = job.of_pods.get(key) {
            pod[key] = value.clone();
        }
    }
    pod
}

/// What an object may say of its container, and what that has it as.
const OF_CONTAINERS: [(&str, &str); 4] = [
    ("env", "env"),
    ("envFrom", "envFrom"),
    ("resources", "resources"),
    ("containerSecurityContext", "securityContext"),
];

/// What an object may say of its pod. What it says takes the place of what would be there.
const OF_PODS: [&str; 4] = ["imagePullSecrets", "nodeSelector", "tolerations", "securityContext"];

/// What PodSecurity asks of containers that are `restricted`.
fn confined() -> Value {
    json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } })
}

fn of_nobody(mut context: Value) -> Value {
    context["seccompProfile"] = json!({ "type": "RuntimeDefault" });
    context["runAsNonRoot"] = true.into();
    context["runAsUser"] = USER.into();
    context["runAsGroup"] = USER.into();
    context
}
