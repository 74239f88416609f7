//! What the API server has to know of the two kinds: their fields, what makes no sense, and how they are shown.

pub(crate) mod field;

use serde_json::{Map, Value, json};

use self::field::{flag, number, rule, text, time, word};
use super::resource::Kind;
use crate::keeping::{GROUP, VERSION};

/// How a selector is written in a Fault, by CEL (RE2).
pub(crate) const WITHIN: &str =
    "self.matches('^((one|all|[0-9]+%?):)?((pod|sts|deploy|svc)/[^/:]+.*|(label|etcd|zeebe):.+)$')";

/// And in a ClusterFault.
const ANYWHERE: &str = "self.matches('^((one|all|[0-9]+%?):)?[a-z0-9]+:.+$') && \
                        !self.matches('^((one|all|[0-9]+%?):)?label:')";

/// The longest selector, in characters.
pub(crate) const LONGEST: u32 = 1024;

/// The largest number that every reader of JSON takes for itself (2^53 - 1).
pub(crate) const SAFE: i64 = 9_007_199_254_740_991;

/// Both definitions.
#[must_use]
pub fn definitions() -> [Value; 2] {
    [definition(Kind::Fault), definition(Kind::ClusterFault)]
}

pub(super) fn definition(kind: Kind) -> Value {
    let (scope, short) = match kind {
        Kind::Fault => ("Namespaced", "flt"),
        Kind::ClusterFault => ("Cluster", "cflt"),
    };
    let names = Names { kind: kind.word(), plural: kind.plural(), short, scope };
    custom_resource(&names, about(kind), &spec(kind), &status(), &columns())
}

/// What a kind is called, and whether its objects are in namespaces.
pub(crate) struct Names {
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) short: &'static str,
    /// `Namespaced` or `Cluster`.
    pub(crate) scope: &'static str,
}

/// A definition of a kind of ours: what is asked for, what became of it, and how `kubectl get` shows them.
pub(crate) fn custom_resource(
    names: &Names,
    about: &str,
    spec: &Value,
    status: &Value,
    columns: &Value,
) -> Value {
    let Names { kind, plural, short, scope } = names;
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{GROUP}") },
        "spec": {
            "group": GROUP, "scope": scope,
            "names": {
                "kind": kind, "listKind": format!("{kind}List"),
                "plural": plural, "singular": kind.to_lowercase(),
                "shortNames": [short], "categories": ["schism"],
            },
            "versions": [{
                "name": VERSION, "served": true, "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": {
                    "type": "object", "required": ["spec"],
                    "description": about,
                    "properties": { "spec": spec, "status": status },
                } },
                "additionalPrinterColumns": columns,
            }],
        },
    })
}

const fn about(kind: Kind) -> &'static str {
    match kind {
        Kind::Fault => {
            "An honest fault among pods of this namespace, for a bounded time. It is put in once; deleting the object \
             heals it."
        }
        Kind::ClusterFault => {
            "An honest fault among pods of several namespaces, nodes or roles, for a bounded time. It is put in once; \
             deleting the object heals it."
        }
    }
}

/// How `kubectl get` shows them.
fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str| json!({ "name": name, "type": kind, "jsonPath": path });
    let wide = |name: &str, path: &str| json!({ "name": name, "type": "string", "jsonPath": path, "priority": 1 });
    json!([
        column("Kind", "string", ".status.kind"),
        column("From", "string", ".status.from"),
        column("To", "string", ".status.to"),
        column("State", "string", ".status.phase"),
        // A date would be shown as its age, and this one lies ahead.
        column("Until", "string", ".status.until"),
        column("Lost", "integer", ".status.lost"),
        column("Age", "date", ".metadata.creationTimestamp"),
        wide("By", ".spec.requestedBy"),
        wide("Effect", ".status.effect"),
        wide("Message", ".status.message"),
    ])
}

/// A mapping, with what must be in it and what must hold of it.
pub(crate) fn object(
    about: &str,
    required: &[&str],
    properties: Value,
    rules: Vec<Value>,
) -> Value {
    let mut object = json!({
        "type": "object", "description": about, "properties": properties,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    if !rules.is_empty() {
        object["x-kubernetes-validations"] = json!(rules);
    }
    object
}

/// What names targets in an object of this kind.
pub(crate) fn selector(kind: Kind, about: &str) -> Value {
    let (fits, message) = match kind {
        Kind::Fault => (
            WITHIN,
            "in a Fault a selector names pods of its own namespace: pod/NAME[/CONTAINER], sts/NAME[/ORDINAL], \
             deploy/NAME, label:SELECTOR, etcd:ROLE, zeebe:ROLE or, in a cut, svc/NAME, with one:, all:, a number: or a \
             percentage: before it; whatever else there is takes a ClusterFault",
        ),
        Kind::ClusterFault => (
            ANYWHERE,
            "in a ClusterFault a selector is SCHEME:PATH, such as k8s:NAMESPACE/pod/NAME, host:NODE, addr:PREFIX or \
             zeebe:partition/1/leader, with one:, all:, a number: or a percentage: before it",
        ),
    };
    let mut selector = text(about, LONGEST);
    selector["x-kubernetes-validations"] = json!([rule(fits, message)]);
    selector
}

fn spec(kind: Kind) -> Value {
    let quorum = || flag("Let a group lose the majority that can talk.");
    let tree = || flag("Also the descendants of the target's processes.");
    let properties = json!({
        "cut": cut(kind, quorum()),
        "skew": skew(kind, tree()),
        "freeze": object(
            "Have a target's processes stand still.", &["target"],
            json!({
                "target": selector(kind, "Who stands still."), "tree": tree(), "allowQuorumLoss": quorum(),
            }),
            Vec::new(),
        ),
        "kill": object(
            "End a target's processes, and see that they end.", &["target"],
            json!({
                "target": selector(kind, "Who ends."), "tree": tree(), "allowQuorumLoss": quorum(),
                "signal": word(
                    "What they are sent [TERM].",
                    &["TERM", "KILL", "INT", "QUIT", "ABRT", "HUP", "USR1", "USR2"],
                ),
                "grace": time("How long after that whoever is left is sent SIGKILL [30s; never after HUP, USR1, USR2]."),
                "noForce": flag("Send the signal alone: whoever is left goes on."),
            }),
            vec![rule(
                "!(has(self.grace) && has(self.noForce) && self.noForce)",
                "with noForce nobody is killed, so there is no time of grace",
            )],
        ),
        "stress": stress(kind),
        "onRestart": word(
            "What becomes of it when a pod that it is about goes: the pod that takes its place gets it again for the \
             time that is left, or it ends [reapply].",
            &["reapply", "end"],
        ),
        "for": time("How long, in any case [60s]; at most 7 days."),
        "lease": time("How long it acts without being renewed by the controller [15s]."),
        "seed": number("From which losses and picks are drawn [of the object's UID].", 0, SAFE),
        "requestedBy": text("Who asks: nobody but the user who creates the object can be named.", 253),
    });
    let rules = vec![
        rule(
            "[has(self.cut), has(self.skew), has(self.freeze), has(self.kill), has(self.stress)]\
             .filter(it, it).size() == 1",
            "a fault is exactly one of cut, skew, freeze, kill and stress",
        ),
        rule(
            "self == oldSelf",
            "what a fault is cannot be changed: delete it, which heals it, and create another one",
        ),
        // A field that is called like a word of the language.
        rule(
            "!(has(self.kill) && has(self.__for__))",
            "a kill has no time of its own: it is over once the processes have ended; grace says when SIGKILL is sent",
        ),
        rule(
            "!(has(self.kill) && has(self.onRestart))",
            "a kill is over once the processes have ended: whoever takes their place is none of its business",
        ),
    ];
    object("What is to be done. It cannot be changed.", &[], properties, rules)
}

fn cut(kind: Kind, quorum: Value) -> Value {
    object(
        "Lose what FROM sends to TO.",
        &["from", "to"],
        json!({
            "from": selector(kind, "Who sends what is lost."),
            "to": selector(kind, "To whom."),
            "mode": word(
                "What one way means: every packet, or only those of flows that FROM opened [packet].",
                &["packet", "initiator"],
            ),
            "bothWays": flag("Lose what TO sends to FROM as well."),
            "proto": word("Only this protocol.", &["tcp", "udp", "icmp"]),
            "port": number("Only this port of the side that receives.", 1, 65_535),
            "flows": word("Only flows of this age [all].", &["all", "new", "established"]),
            "loss": field::matching(
                "How much of it [100%].", 16, "^[0-9]+([.][0-9]+)?%$", "a loss is a percentage such as 30% or 0.5%",
            ),
            "enforce": word("Where packets are lost.", &["receiver", "sender", "both"]),
            "shadow": flag("Count what would be lost, and lose nothing."),
            "allowQuorumLoss": quorum,
        }),
        Vec::new(),
    )
}

fn skew(kind: Kind, tree: Value) -> Value {
    object(
        "Move the clocks of a target's processes.",
        &["target"],
        json!({
            "target": selector(kind, "Whose clocks."),
            "offset": field::matching(
                "How far ahead of the truth, or behind it.", 64, "^[+-]?([0-9]+[a-z]+ ?)+$",
                "an offset is a time with a sign, such as +1h or -90s",
            ),
            "drift": text("Let the distance grow by this rate, such as 200ppm.", 64),
            "stepAt": time("Begin with the truth, and move so long after the start."),
            "strobe": text("Go so much farther, and back again, in turns: BY:PERIOD, such as 4ms:200ms.", 64),
            "heal": text("How the clocks come back: step, or slew and a rate, such as slew:500ppm [step].", 64),
            "clock": text("Which clocks, with commas: realtime, monotonic, boottime [realtime].", 64),
            "tree": tree,
        }),
        vec![rule(
            "has(self.offset) || has(self.drift) || has(self.strobe)",
            "a skew has an offset, a drift or a strobe",
        )],
    )
}

fn stress(kind: Kind) -> Value {
    object(
        "Take processor time, memory or disk from a target.",
        &["target"],
        json!({
            "target": selector(kind, "Who has less; of a pod one container."),
            "cpu": field::matching(
                "Workers, and the share of the time for which each is busy.", 16, "^[0-9]+(@[0-9]+%)?$",
                "a load of processors is a number of workers and a share, such as 2 or 4@50%",
            ),
            "memory": text("So much memory, such as 256MiB, or 80% of what the target may have.", 32),
            "io": number("Workers that write, sync and read a file.", 1, 4096),
        }),
        vec![rule(
            "has(self.cpu) || has(self.memory) || has(self.io)",
            "a stress takes cpu, memory or io",
        )],
    )
}

/// What the controller says. Later versions say more, which earlier definitions keep.
fn status() -> Value {
    let word = || json!({ "type": "string" });
    let count = || json!({ "type": "integer", "format": "int64" });
    let list = |properties: Value| {
        json!({
            "type": "array",
            "items": {
                "type": "object", "properties": properties, "x-kubernetes-preserve-unknown-fields": true,
            },
        })
    };
    let mut properties = Map::new();
    let words = [
        "phase",
        "kind",
        "from",
        "to",
        "intent",
        "seed",
        "lease",
        "startedAt",
        "until",
        "endedAt",
        "effect",
        "counted",
        "message",
        "unconfirmed",
    ];
    properties.extend(words.map(|name| (name.to_owned(), word())));
    let counts = ["matched", "lost", "exitCode", "observedGeneration"];
    properties.extend(counts.map(|name| (name.to_owned(), count())));
    properties.insert("hadEffect".to_owned(), json!({ "type": "boolean" }));
    let direction = json!({
        "from": word(), "to": word(), "links": count(), "silent": count(), "matched": count(), "lost": count(),
        "lostBytes": count(),
    });
    properties.insert("directions".to_owned(), list(direction));
    properties.insert("failures".to_owned(), list(json!({ "node": word(), "message": word() })));
    let parts = json!({ "total": count(), "acting": count(), "failed": count(), "nodes": count() });
    let parts = json!({
        "type": "object", "properties": parts, "x-kubernetes-preserve-unknown-fields": true,
    });
    properties.insert("parts".to_owned(), parts);
    told(properties)
}

/// A status of these fields and conditions.
pub(crate) fn told(mut properties: Map<String, Value>) -> Value {
    let word = || json!({ "type": "string" });
    let condition = json!({
        "type": "object",
        "properties": {
            "type": word(), "status": word(), "reason": word(), "message": word(),
            "lastTransitionTime": { "type": "string", "format": "date-time" },
        },
        "x-kubernetes-preserve-unknown-fields": true,
        "required": ["type", "status"],
    });
    let conditions = json!({
        "type": "array", "items": condition,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
    });
    properties.insert("conditions".to_owned(), conditions);
    json!({
        "type": "object",
        "description": "What became of it. It is written by the controller alone.",
        "default": { "phase": "Pending" },
        "properties": properties,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
