//! What the API server has to know of the two kinds: their fields, what makes no sense, and how they are shown.

use serde_json::{Map, Value, json};

use super::resource::Kind;
use crate::objects::definition::field::{flag, matching, number, rule, text, time};
use crate::objects::definition::{LONGEST, Names, SAFE, custom_resource, object, told};

/// How pods are named in a Disruption, by CEL (RE2).
const PODS: &str =
    "self.matches('^((one|all|[0-9]+%?):)?((pod|sts|deploy)/[^/:]+.*|(label|etcd|zeebe):.+)$')";

/// Both definitions.
#[must_use]
pub fn definitions() -> [Value; 2] {
    Kind::ALL.map(definition)
}

fn definition(kind: Kind) -> Value {
    let (scope, short) = match kind {
        Kind::Disruption => ("Namespaced", "dsr"),
        Kind::ClusterDisruption => ("Cluster", "cdsr"),
    };
    let names = Names { kind: kind.word(), plural: kind.plural(), short, scope };
    custom_resource(&names, about(kind), &spec(kind), &status(), &columns())
}

const fn about(kind: Kind) -> &'static str {
    match kind {
        Kind::Disruption => {
            "Pods of this namespace are restarted, terminated or evicted by the API server, once. Deleting the object \
             has nothing more asked for; pods that are gone do not come back by it."
        }
        Kind::ClusterDisruption => {
            "A node is cordoned or drained for a bounded time. Deleting the object uncordons it; pods that were evicted \
             do not come back by it."
        }
    }
}

/// How `kubectl get` shows them.
fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str| json!({ "name": name, "type": kind, "jsonPath": path });
    let wide = |name: &str, path: &str| json!({ "name": name, "type": "string", "jsonPath": path, "priority": 1 });
    json!([
        column("What", "string", ".status.what"),
        column("State", "string", ".status.phase"),
        // A date would be shown as its age, and this one lies ahead.
        column("Until", "string", ".status.until"),
        column("Pods", "string", ".status.went"),
        column("Exit", "integer", ".status.exitCode"),
        column("Age", "date", ".metadata.creationTimestamp"),
        wide("By", ".spec.requestedBy"),
        wide("Message", ".status.message"),
    ])
}

fn spec(kind: Kind) -> Value {
    let mut properties = match kind {
        Kind::Disruption => of_pods(),
        Kind::ClusterDisruption => of_nodes(),
    };
    let (exactly, message) = match kind {
        Kind::Disruption => (
            "[has(self.restart), has(self.terminate), has(self.evict)].filter(it, it).size() == 1",
            "a Disruption is exactly one of restart, terminate and evict",
        ),
        Kind::ClusterDisruption => (
            "[has(self.cordon), has(self.drain)].filter(it, it).size() == 1",
            "a ClusterDisruption is exactly one of cordon and drain",
        ),
    };
    properties["requestedBy"] =
        text("Who asks: nobody but the user who creates the object can be named.", 253);
    let rules = vec![rule(exactly, message), rule("self == oldSelf", UNCHANGED)];
    object("What is to be done. It cannot be changed.", &[], properties, rules)
}

/// What is said to who changes it.
pub(super) const UNCHANGED: &str =
    "what a disruption is cannot be changed: delete it, which undoes it, and create another one";

fn grace() -> Value {
    matching(
        "How long their processes have to end, whole seconds [what the pods say themselves].",
        32,
        "^([0-9]+(s|m|h|d) ?)+$",
        "a time of grace is whole seconds, such as 0s, 30s or 2m",
    )
}

fn quorum() -> Value {
    flag("Let a group lose the majority that can talk.")
}

fn of_pods() -> Value {
    let target = || {
        let mut target = text("Which pods.", LONGEST);
        target["x-kubernetes-validations"] = json!([rule(
            PODS,
            "a Disruption is about pods of its own namespace, named pod/NAME, sts/NAME[/ORDINAL], deploy/NAME, \
             label:SELECTOR, etcd:ROLE or zeebe:ROLE, with one:, all:, a number: or a percentage: before it",
        )]);
        target
    };
    json!({
        "restart": object(
            "Delete pods, and wait until others that are ready are in their place.", &["target"],
            json!({
                "target": target(), "grace": grace(), "allowQuorumLoss": quorum(),
                "timeout": time("How long to wait until others are ready in their place [5m]."),
            }),
            Vec::new(),
        ),
        "terminate": object(
            "Delete pods at once, without giving them time to end.", &["target"],
            json!({ "target": target(), "allowQuorumLoss": quorum() }),
            Vec::new(),
        ),
        "evict": object(
            "Delete pods unless a PodDisruptionBudget forbids it, and wait until they are gone.", &["target"],
            json!({
                "target": target(), "grace": grace(), "allowQuorumLoss": quorum(),
                "for": time("How long to go on asking where a budget forbids it [it is asked once]."),
                "timeout": time("How long to wait until they are gone [5m]."),
            }),
            Vec::new(),
        ),
        "seed": number("From which picks are drawn [of the object's UID].", 0, SAFE),
    })
}

fn of_nodes() -> Value {
    let node = || {
        matching(
            "Which, as the cluster calls it.",
            253,
            "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
            "a node's name has small letters, digits, '.' and '-' alone",
        )
    };
    let total = || time("How long; pods may come again then in any case [5m]; at most 7 days.");
    json!({
        "cordon": object(
            "Have no new pods come to a node, for a while.", &["node"],
            json!({ "node": node(), "for": total() }),
            Vec::new(),
        ),
        "drain": object(
            "Have no new pods come to a node for a while, and evict those that are there but for DaemonSets'.",
            &["node"],
            json!({
                "node": node(), "for": total(), "grace": grace(), "allowQuorumLoss": quorum(),
                "timeout": time(
                    "How long to go on asking where a budget forbids it, and to wait until they are gone; then the node \
                     is uncordoned again [5m].",
                ),
            }),
            Vec::new(),
        ),
    })
}

/// What the controller says. Later versions say more, which earlier definitions keep.
fn status() -> Value {
    let word = || json!({ "type": "string" });
    let count = || json!({ "type": "integer", "format": "int64" });
    let mut properties = Map::new();
    let words =
        ["phase", "what", "disruption", "seed", "startedAt", "until", "endedAt", "went", "message"];
    properties.extend(words.map(|name| (name.to_owned(), word())));
    let counts = ["exitCode", "observedGeneration"];
    properties.extend(counts.map(|name| (name.to_owned(), count())));
    properties.insert("notes".to_owned(), json!({ "type": "array", "items": word() }));
    let pod = json!({
        "pod": word(), "uid": word(), "node": word(), "fate": word(), "trouble": word(), "successor": word(),
    });
    let pod = json!({
        "type": "object", "properties": pod, "x-kubernetes-preserve-unknown-fields": true,
    });
    properties.insert("pods".to_owned(), json!({ "type": "array", "items": pod }));
    told(properties)
}
