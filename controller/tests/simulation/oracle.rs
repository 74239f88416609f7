//! What must hold at every moment of every history.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent::kernel::{Kernel as _, Slot, Step};
use controller::store::{Key, Kind, Store as _};
use fault::{BootTime, IntentId, NamespaceCookie, NodeName, Prefix, Selector};
use prost::Message as _;
use proto::control as wire;
use tokio::time::Instant;

use crate::disk::Platter;
use crate::errands::Courses;
use crate::node::Node;

/// What a measurement of times at this distance may be off.
const BLUR: Duration = Duration::from_micros(20);

/// An intent as those who ask know it: everything of it can be told by its number.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) number: u8,
    pub(crate) spec: wire::Spec,
    pub(crate) lease: Duration,
    pub(crate) total: Duration,
    /// Somebody was told that it stands.
    pub(crate) acknowledged: bool,
    /// Somebody was told that it is out everywhere.
    over: Option<wire::Stage>,
    /// From the first start to the last, as it was told.
    spread: Option<wire::Spread>,
    /// That was judged already.
    spread_is_wrong: bool,
}

/// A fault that was seen to act.
#[derive(Clone, Copy, Debug)]
struct Seen {
    start: BootTime,
    /// On the one true clock, ns since the beginning.
    began: i128,
}

/// Looks at kernels and at the disk, and listens to what is told.
pub(crate) struct Oracle {
    pub(crate) asked: BTreeMap<IntentId, Asked>,
    /// Faults of runs, which are given their ids by whoever decides the run.
    pub(crate) of_runs: BTreeMap<u8, Asked>,
    pub(crate) courses: Courses,
    seen: BTreeMap<(u8, NodeName), Seen>,
    platter: Platter,
    began: Instant,
    pub(crate) complaints: Vec<String>,
}

/// The sender of an intent: nobody else cuts it off.
pub(crate) fn sender(number: u8) -> String {
    format!("addr:10.100.{number}.0/24")
}

/// 10.100.NUMBER.0, mapped into IPv6.
fn number(prefix: &Prefix) -> u8 {
    prefix.network()[14]
}

fn rank(stage: wire::Stage) -> u8 {
    match stage {
        wire::Stage::Unspecified | wire::Stage::Pending => 0,
        wire::Stage::Preparing => 1,
        wire::Stage::Active => 2,
        wire::Stage::Healing => 3,
        wire::Stage::Unconfirmed => 4,
        wire::Stage::Healed | wire::Stage::Expired | wire::Stage::Failed => 5,
    }
}

/// The number of whose packets an intent loses.
fn sent_by(intent: &wire::Intent) -> Option<u8> {
    let Some(wire::spec::What::Pair(pair)) = intent.spec.as_ref()?.what.as_ref() else {
        return None;
    };
    let from: Selector = pair.from.first()?.clone().try_into().ok()?;
    from.to_string().strip_prefix("addr:10.100.")?.split('.').next()?.parse().ok()
}

/// Out everywhere, as far as anybody can know.
pub(crate) fn is_out(stage: wire::Stage) -> bool {
    rank(stage) == 5
}

impl Asked {
    pub(crate) fn new(number: u8, spec: wire::Spec, lease: Duration, total: Duration) -> Self {
        Self {
            number,
            spec,
            lease,
            total,
            acknowledged: false,
            over: None,
            spread: None,
            spread_is_wrong: false,
        }
    }
}

impl Oracle {
    pub(crate) fn new(platter: Platter) -> Self {
        Self {
            asked: BTreeMap::new(),
            of_runs: BTreeMap::new(),
            courses: Courses::default(),
            seen: BTreeMap::new(),
            platter,
            began: Instant::now(),
            complaints: Vec::new(),
        }
    }

    pub(crate) fn demand(&mut self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds && self.complaints.len() < 5 {
            let at = self.began.elapsed().as_secs_f64();
            self.complaints.push(format!("{at:.3} s: {}", complaint()));
        }
    }

    async fn stored(&self, id: IntentId) -> Option<wire::Intent> {
        let record = self.platter.memory.get(Key::intent(id)).await.unwrap()?;
        Some(wire::Intent::decode(record.value.as_slice()).unwrap())
    }

    /// Somebody was told this.
    pub(crate) async fn told(&mut self, intent: &wire::Intent) {
        let id = IntentId::from_random(intent.id);
        let stored = self.stored(id).await;
        let stage = intent.stage();
        let lacks = intent.notes.iter().any(|note| note.contains("could not be stored"));
        let durable = stored.as_ref().is_some_and(|stored| {
            // What was on its way in is healed by whoever finds it: that needs no record.
            let follows = stage == wire::Stage::Healing && rank(stored.stage()) < 2;
            follows || rank(stored.stage()) >= rank(stage)
        });
        self.demand(durable || lacks, || {
            let stored = stored.map(|stored| stored.stage());
            format!("{id} was told to be {stage:?} and is stored as {stored:?}")
        });
        let of_run = sent_by(intent).and_then(|number| self.of_runs.get_mut(&number));
        let Some(asked) = self.asked.get_mut(&id).or(of_run) else { return };
        asked.acknowledged = true;
        asked.spread = asked.spread.or(intent.spread);
        if is_out(stage) {
            asked.over = asked.over.or(Some(stage));
        }
    }

    /// The id by which a fault of a run is stored.
    async fn id_of(&self, number: u8) -> Option<IntentId> {
        let (_, intents) = self.platter.memory.list(Kind::Intent).await.unwrap();
        let intents = intents.iter().map(|one| wire::Intent::decode(one.value.as_slice()).unwrap());
        let mut of_it = intents.filter(|intent| sent_by(intent) == Some(number));
        of_it.next().map(|intent| IntentId::from_random(intent.id))
    }

    /// Runs, as they are stored.
    pub(crate) async fn runs(&self) -> Vec<wire::Run> {
        let (_, runs) = self.platter.memory.list(Kind::Run).await.unwrap();
        runs.iter().map(|one| wire::Run::decode(one.value.as_slice()).unwrap()).collect()
    }

    async fn look_at_runs(&mut self) {
        for run in self.runs().await {
            let wrong = self.courses.stored(&run);
            self.demand(wrong.is_none(), || wrong.unwrap_or_default());
        }
    }

    /// A step of a run was performed.
    pub(crate) fn performed(&mut self, id: IntentId, drive: u64, step: &str) {
        let wrong = self.courses.performed(id, drive, step);
        self.demand(wrong.is_none(), || wrong.unwrap_or_default());
    }

    /// Looks at every node.
    pub(crate) async fn look(&mut self, nodes: &[Node]) {
        self.look_at_runs().await;
        for node in nodes {
            self.look_at(node).await;
        }
        self.judge_spreads(nodes);
    }

    async fn look_at(&mut self, node: &Node) {
        let now = node.kernel.now();
        for loaded in node.kernel.snapshot().into_values() {
            let mut present = BTreeSet::new();
            for ((slot, _), peers) in &loaded.peers {
                let Some(peer) = peers.first() else { continue };
                let number = number(&peer.prefix);
                let found = self.asked.iter().find(|(_, asked)| asked.number == number);
                let mut found = found.map(|(id, asked)| (*id, asked.clone()));
                if let Some(asked) = self.of_runs.get(&number) {
                    // One that is not stored is told below.
                    let id = self.id_of(number).await;
                    found = Some((id.unwrap_or(IntentId::from_random(0)), asked.clone()));
                }
                let Some((id, asked)) = found else {
                    self.demand(false, || format!("{}: nobody asked for {number}", node.name));
                    continue;
                };
                let stored = self.stored(id).await.is_some();
                self.demand(stored, || format!("{}: {id} stands without an intent", node.name));
                if loaded.acts(*slot, now) {
                    let once = present.insert(number);
                    self.demand(once, || format!("{}: {id} acts twice", node.name));
                    let lease = loaded.leases[slot];
                    self.judge(node, id, &asked, now, lease);
                }
            }
        }
    }

    fn judge(
        &mut self,
        node: &Node,
        id: IntentId,
        asked: &Asked,
        now: BootTime,
        (start, end): (BootTime, BootTime),
    ) {
        let name = &node.name;
        let elapsed = self.began.elapsed().as_nanos();
        let began =
            i128::try_from(elapsed).unwrap() + i128::from(start.nanos()) - i128::from(now.nanos());
        let first = *self.seen.entry((asked.number, name.clone())).or_insert(Seen { start, began });
        self.demand(first.start == start, || format!("{name}: {id} began twice"));
        self.demand(end <= start + asked.total, || format!("{name}: {id} has passed its deadline"));
        // What has arrived last may have renewed it, and nothing else can have.
        let silent = node.road.arrived().elapsed();
        let renewed = now.since(BootTime::default()).saturating_sub(silent);
        let latest = BootTime::default() + renewed.max(start.since(BootTime::default()));
        self.demand(end <= latest + asked.lease + BLUR * 50, || {
            format!("{name}: {id} acts on {:?} after anything was heard", end.since(latest))
        });
        self.demand(asked.over.is_none(), || {
            format!("{name}: {id} acts, and was told to be {:?}", asked.over)
        });
    }

    /// What was told of a start in common must contain the truth.
    fn judge_spreads(&mut self, nodes: &[Node]) {
        let mut wrong = Vec::new();
        for (id, asked) in &mut self.asked {
            let Some(told) = asked.spread.filter(|_| !asked.spread_is_wrong) else { continue };
            let began = nodes.iter().filter_map(|node| {
                self.seen.get(&(asked.number, node.name.clone())).map(|seen| seen.began)
            });
            let began: Vec<i128> = began.collect();
            let (Some(first), Some(last)) = (began.iter().min(), began.iter().max()) else {
                continue;
            };
            let most = Duration::from_nanos(told.achieved_ns + told.error_ns) + BLUR;
            let most = i128::try_from(most.as_nanos()).unwrap();
            if last - first > most {
                asked.spread_is_wrong = true;
                wrong.push(format!("{id} began within {} ns, and was told {told:?}", last - first));
            }
        }
        for complaint in wrong {
            self.demand(false, || complaint);
        }
    }

    /// At the end: how often each fault was let act, over all lives of all agents.
    pub(crate) fn judge_history(&mut self, nodes: &[Node]) {
        for node in nodes {
            let mut who: BTreeMap<(NamespaceCookie, Slot), u8> = BTreeMap::new();
            let mut times: BTreeMap<u8, u32> = BTreeMap::new();
            for (target, step) in node.kernel.performed() {
                if let Step::AddPeers(set) = &step
                    && let Some(peer) = set.peers.first()
                {
                    who.insert((target, set.slot), number(&peer.prefix));
                }
                if let Step::Begin { slot, .. } = step {
                    *times.entry(who.get(&(target, slot)).copied().unwrap_or(0)).or_default() += 1;
                }
            }
            for (number, times) in times {
                let known = self.of_runs.contains_key(&number)
                    || self.asked.values().any(|asked| asked.number == number);
                self.demand(known, || format!("{}: nobody asked for {number}", node.name));
                self.demand(times == 1, || {
                    format!("{}: {number} was injected {times} times", node.name)
                });
            }
        }
    }
}
