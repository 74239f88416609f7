//! What a controller counts, for Prometheus, in the text of OpenMetrics 1.0.
//!
//! No label has values without bound but for the ids of faults that stand right now.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use fault::{FaultId, NodeName};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::agents::Seen;
use crate::sequence::Stage;

/// What the text is, for those who fetch it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets, s: from what a fake kernel takes to what a command waits for at most.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

type Real = Gauge<f64, AtomicU64>;

/// What is counted while things happen; clones count the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    apply: Histogram,
    heal: Histogram,
    packets: Family<Packets, Counter>,
    ended: Family<Outcome, Counter>,
    errors: Family<Keeper, Counter>,
    merged: Counter,
}

/// What became of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A fault judged them.
    Matched,
    /// They were lost.
    Lost,
    /// They would have been lost.
    Shadowed,
    /// They were matched and spared.
    Passed,
}

/// What could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The store.
    Store,
    /// The archive.
    Archive,
}

/// A fault that may act or is on its way.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Which.
    pub id: FaultId,
    /// Where.
    pub node: NodeName,
    /// How far its intent is.
    pub stage: Stage,
    /// How much of its lease is left as far as is known here; none for one that does not act.
    pub lease_left: Option<Duration>,
}

/// How everything stands at one time.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Faults that have not ended.
    pub faults: Vec<Standing>,
    /// Agents that are known.
    pub agents: Vec<Seen>,
    /// Why new faults are refused, if they are.
    pub halted: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Node {
    node: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Staged {
    node: String,
    stage: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Leased {
    node: String,
    fault: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Packets {
    node: String,
    verdict: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Keeper {
    of: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct About {
    node: String,
    version: String,
    kernel: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let new = Self {
            apply: Histogram::new(BUCKETS),
            heal: Histogram::new(BUCKETS),
            packets: Family::default(),
            ended: Family::default(),
            errors: Family::default(),
            merged: Counter::default(),
        };
        // There from the beginning, so that the first error is a rise.
        for of in [Written::Store, Written::Archive] {
            let _: u64 = new.errors.get_or_create(&Keeper { of: of.word() }).get();
        }
        new
    }
}

impl Metrics {
    /// An intent acts everywhere, so long after it was asked.
    pub fn applied(&self, after: Duration) {
        self.apply.observe(after.as_secs_f64());
    }

    /// An intent is out everywhere, so long after it was to end.
    pub fn healed(&self, after: Duration) {
        self.heal.observe(after.as_secs_f64());
    }

    /// An intent has ended.
    pub fn ended(&self, stage: Stage) {
        self.ended.get_or_create(&Outcome { outcome: stage.to_string() }).inc();
    }

    /// A node has told of so many more packets.
    pub fn packets(&self, node: &NodeName, verdict: Verdict, more: u64) {
        let label = Packets { node: node.to_string(), verdict: verdict.word() };
        self.packets.get_or_create(&label).inc_by(more);
    }

    /// Something could not be written.
    pub fn failed(&self, written: Written) {
        self.errors.get_or_create(&Keeper { of: written.word() }).inc();
    }

    /// So many reports of agents were merged into later ones.
    pub fn merged(&self, reports: u64) {
        self.merged.inc_by(reports);
    }

    /// Everything, with what was asked of the API server of a cluster, where there is one.
    #[must_use]
    pub fn text(&self, snapshot: &Snapshot, asked: Option<cluster::Asked>) -> String {
        let mut registry = Registry::with_prefix("schism");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "This controller", build);
        let seconds = |registry: &mut Registry, name, help, metric| {
            registry.register_with_unit(name, help, Unit::Seconds, metric);
        };
        let help = "From the request until it acts on every node";
        seconds(&mut registry, "apply", help, self.apply.clone());
        let help = "From the request to end until every node has confirmed";
        seconds(&mut registry, "heal", help, self.heal.clone());
        let help = "Packets (one may carry 40 segments) by what a node's faults did with them";
        registry.register("packets", help, self.packets.clone());
        registry.register("intents_ended", "Intents that have ended", self.ended.clone());
        let help = "Writes that failed, to the store or to the archive";
        registry.register("store_errors", help, self.errors.clone());
        let help =
            "Reports of agents that later ones took the places of, as the controller was behind";
        registry.register("reports_merged", help, self.merged.clone());
        if let Some(asked) = asked {
            requests(&mut registry, asked);
        }
        let halted: Gauge = Gauge::default();
        halted.set(i64::from(snapshot.halted.is_some()));
        registry.register("halted", "Whether the brake is on", halted);
        faults(&mut registry, &snapshot.faults);
        agents(&mut registry, &snapshot.agents);
        let mut text = String::new();
        // Only the string could refuse, and it does not.
        let _ = text::encode(&mut text, &registry);
        text
    }
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Lost => "lost",
            Self::Shadowed => "shadowed",
            Self::Passed => "passed",
        }
    }
}

impl Written {
    const fn word(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Archive => "archive",
        }
    }
}

fn requests(registry: &mut Registry, asked: cluster::Asked) {
    let family: Family<Request, Counter> = Family::default();
    let all = [
        ("read", asked.read),
        ("watch", asked.watched),
        ("create", asked.created),
        ("change", asked.changed),
        ("delete", asked.deleted),
    ];
    for (verb, count) in all {
        family.get_or_create(&Request { verb }).inc_by(count);
    }
    registry.register("api_requests", "Requests to the API server of the cluster", family);
}

fn faults(registry: &mut Registry, standing: &[Standing]) {
    let count: Family<Staged, Gauge> = Family::default();
    let leases: Family<Leased, Real> = Family::default();
    for one in standing {
        let node = one.node.to_string();
        let staged = Staged { node: node.clone(), stage: one.stage.to_string() };
        count.get_or_create(&staged).inc();
        if let Some(left) = one.lease_left {
            let fault = one.id.to_string();
            leases.get_or_create(&Leased { node, fault }).set(left.as_secs_f64());
        }
    }
    registry.register("faults", "Faults that have not ended, by the stage of their intent", count);
    let help = "Until a fault that acts ends by itself unless it is renewed";
    registry.register_with_unit("fault_lease_remaining", help, Unit::Seconds, leases);
}

fn agents(registry: &mut Registry, seen: &[Seen]) {
    let connected: Family<Node, Gauge> = Family::default();
    let heard: Family<Node, Real> = Family::default();
    let offset: Family<Node, Real> = Family::default();
    let error: Family<Node, Real> = Family::default();
    let about: Family<About, Gauge> = Family::default();
    for agent in seen {
        let node = Node { node: agent.node.to_string() };
        connected.get_or_create(&node).set(i64::from(agent.connected));
        heard.get_or_create(&node).set(agent.heard_ago.as_secs_f64());
        if let Some(clock) = agent.offset {
            // Ours minus theirs, as `schism agents` has it.
            offset.get_or_create(&node).set(-(clock.nanos as f64) / 1e9);
            error.get_or_create(&node).set(clock.error.as_secs_f64());
        }
        let said = About {
            node: node.node,
            version: agent.description.version.clone(),
            kernel: agent.description.kernel.clone(),
        };
        about.get_or_create(&said).set(1);
    }
    let up: Gauge = Gauge::default();
    up.set(i64::try_from(seen.iter().filter(|agent| agent.connected).count()).unwrap_or(i64::MAX));
    registry.register("agents_connected", "Agents that are connected", up);
    registry.register("agent_connected", "Whether a node's agent is connected", connected);
    registry.register("agent_info", "What a node's agent and kernel are", about);
    let help = "Since a node's last answer to a heartbeat";
    registry.register_with_unit("agent_heartbeat_age", help, Unit::Seconds, heard);
    let help = "This controller's clock minus the node's boot clock";
    registry.register_with_unit("agent_clock_offset", help, Unit::Seconds, offset);
    let help = "How far the offset of a node's clock can be off";
    registry.register_with_unit("agent_clock_error", help, Unit::Seconds, error);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The names of metrics in a text; what OpenMetrics puts behind the name of a histogram is left off.
    fn named(text: &str) -> BTreeSet<&str> {
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        let words = text.match_indices("schism_").map(|(at, _)| &text[at..]);
        let words = words.map(|rest| &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]);
        words.map(|word| word.strip_suffix("_bucket").unwrap_or(word)).collect()
    }

    #[test]
    fn the_dashboard_shows_what_there_is() {
        let shown = include_str!("../../deploy/grafana/schism.json");
        let told = include_str!("../../docs/fleet.md");
        let clocks = "schism_agent_clock_error_seconds";
        let told = named(told).into_iter().chain([clocks]).collect::<BTreeSet<_>>();
        let shown = named(shown);
        assert!(shown.len() > 10, "{shown:?}");
        assert!(shown.is_subset(&told), "{:?}", shown.difference(&told));
    }
}
