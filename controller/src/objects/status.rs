//! From what became of an intent to what an object says of it. Pure: time is passed in.
//!
//! It never has an entry for each pod: a direction has its sums, and of what went wrong the first few are told.

pub(crate) mod condition;

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use fault::{Effect, IntentId};
use proto::control as wire;
use serde::{Deserialize, Serialize};

pub(crate) use self::condition::Condition;
pub(crate) use self::condition::Truth;
use super::resource::{Object, Spec};
use crate::control::is_over;
use crate::failure::Failure;
use crate::fleet::{happened, outcome, statuses};
use crate::keeping::decision::Said;
use crate::output::quantity::{bytes, count, time};
use crate::output::route::done;
use crate::run::faults::words::name;

/// How many of the things that went wrong are told.
const TOLD: usize = 5;

/// What an object says of its fault. What is empty is not written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    /// What became of it, in one word.
    pub(crate) phase: Phase,
    /// What is done: `cut`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) kind: String,
    /// What whom sends is lost; empty for what is done to processes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) from: String,
    /// To whom, or in whose processes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) to: String,
    /// Its id at the controller, 12 hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) intent: String,
    /// From what was drawn: a number of 64 bits, which JSON has no room for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) seed: String,
    /// How long it acts without a renewal by the controller.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) lease: String,
    /// Since when it acts (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<String>,
    /// Until when at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<String>,
    /// Packets that were judged, and those that were lost; of a cut only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) matched: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<u64>,
    /// What it did, in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) effect: String,
    /// Whether it had an effect wherever it should have one, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) had_effect: Option<bool>,
    /// By what the annotation asked for these counts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) counted: String,
    /// The same for each direction of a cut.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) directions: Vec<Direction>,
    /// How many faults on nodes it takes, and how they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parts: Option<Parts>,
    /// The first few things that went wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) failures: Vec<Trouble>,
    /// Why it was refused, failed, or was ended.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// What of a fault that is over is not confirmed to be out, and what ends it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) unconfirmed: String,
    /// What a command that has asked for it ends with, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) conditions: Vec<Condition>,
    /// Of which specification this is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
}

/// What became of a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Phase {
    /// It is on its way in, or nobody has seen it yet.
    #[default]
    Pending,
    /// It is not put in.
    Refused,
    /// It acts.
    Active,
    /// It is on its way out.
    Healing,
    /// Out by request.
    Healed,
    /// Out at its deadline.
    Expired,
    /// It could not be put in or kept.
    Failed,
    /// A node did not confirm its end; its lease ends it there.
    Unconfirmed,
    /// A word of the future.
    #[serde(other)]
    Unknown,
}

/// What one direction of a cut did, over all its links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Direction {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Between how many pairs.
    pub(crate) links: u32,
    /// On how many of these nothing was to be lost.
    pub(crate) silent: u32,
    pub(crate) matched: u64,
    pub(crate) lost: u64,
    pub(crate) lost_bytes: u64,
}

/// The faults on nodes that make it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Parts {
    pub(crate) total: u32,
    /// That act, by what was last heard.
    pub(crate) acting: u32,
    /// With which something went wrong.
    pub(crate) failed: u32,
    /// On how many nodes.
    pub(crate) nodes: u32,
}

/// Something that went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Trouble {
    pub(crate) node: String,
    pub(crate) message: String,
}

impl Phase {
    /// Whether nothing more comes of it by itself.
    pub(crate) const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Active | Self::Healing | Self::Unknown => false,
            Self::Refused | Self::Healed | Self::Expired | Self::Failed | Self::Unconfirmed => true,
        }
    }

    /// As `kubectl` shows it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Refused => "Refused",
            Self::Active => "Active",
            Self::Healing => "Healing",
            Self::Healed => "Healed",
            Self::Expired => "Expired",
            Self::Failed => "Failed",
            Self::Unconfirmed => "Unconfirmed",
            Self::Unknown => "Unknown",
        }
    }

    const fn of(stage: wire::Stage) -> Self {
        match stage {
            wire::Stage::Unspecified | wire::Stage::Pending | wire::Stage::Preparing => {
                Self::Pending
            }
            wire::Stage::Active => Self::Active,
            wire::Stage::Healing => Self::Healing,
            wire::Stage::Healed => Self::Healed,
            wire::Stage::Expired => Self::Expired,
            wire::Stage::Failed => Self::Failed,
            wire::Stage::Unconfirmed => Self::Unconfirmed,
        }
    }
}

impl Status {
    fn begun(object: &Object) -> Self {
        let (from, to) = object.spec.ends();
        let kind = object.spec.wish().map(|(verb, _)| name(verb)).unwrap_or_default();
        Self {
            kind: kind.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            intent: object.id().map(|id| id.to_string()).unwrap_or_default(),
            seed: object.seed().to_string(),
            counted: object.counted().to_owned(),
            observed_generation: object.metadata.generation,
            ..Self::default()
        }
    }

    /// What is said of an object by what became of its intent; `now` is Unix time, ns.
    pub(crate) fn told(object: &Object, intent: &wire::Intent, now: u64) -> Self {
        let begun = Self::begun(object);
        let (over, phase) = (is_over(intent), Phase::of(intent.stage()));
        let at = |nanos: u64| (nanos != 0).then(|| instant(nanos));
        let directions = directions(intent, &begun);
        let is_cut = !intent.cuts.is_empty();
        let sum = |of: fn(&Direction) -> u64| {
            is_cut.then(|| directions.iter().map(of).fold(0, u64::saturating_add))
        };
        let lease = intent.spec.as_ref().map(|spec| Duration::from_nanos(spec.lease_ns));
        let happened = happened(intent);
        let unconfirmed = over.then(|| outcome::unconfirmed(intent)).flatten();
        let status = Self {
            phase,
            intent: IntentId::from_random(intent.id).to_string(),
            lease: lease.map(time).unwrap_or_default(),
            started_at: at(intent.began),
            until: at(intent.deadline),
            ended_at: at(intent.ended).filter(|_| over),
            matched: sum(|direction| direction.matched),
            lost: sum(|direction| direction.lost),
            effect: effect(intent, &directions),
            had_effect: (!happened.is_empty()).then(|| happened.iter().all(|happened| *happened)),
            parts: Some(parts(intent)),
            failures: failures(intent),
            message: message(
                &intent.reason,
                Some(intent.hint.as_str()).filter(|it| !it.is_empty()),
            ),
            unconfirmed: unconfirmed.unwrap_or_default(),
            exit_code: over.then(|| outcome::outcome(std::slice::from_ref(intent)).code()),
            directions,
            ..begun
        };
        let conditions = condition::of(phase, &status.message, intent.began != 0);
        let before = &object.status.conditions;
        Self { conditions: condition::since(conditions, before, now), ..status }
    }
}

impl Said for Status {
    type Spec = Spec;
    type Phase = Phase;

    fn phase(&self) -> Phase {
        self.phase
    }

    fn word(&self) -> &'static str {
        self.phase.word()
    }

    fn is_final(&self) -> bool {
        self.phase.is_final()
    }

    fn settled(&self) -> Self {
        let directions = self.directions.iter().map(|direction| Direction {
            silent: 0,
            matched: 0,
            lost: 0,
            lost_bytes: 0,
            ..direction.clone()
        });
        Self {
            matched: self.matched.map(|_| 0),
            lost: self.lost.map(|_| 0),
            effect: String::new(),
            had_effect: None,
            directions: directions.collect(),
            parts: self.parts.map(|parts| Parts { acting: 0, ..parts }),
            conditions: self.conditions.iter().map(Condition::settled).collect(),
            ..self.clone()
        }
    }

    fn ended_with(&self, earlier: &Self) -> Self {
        let ended_at = earlier.ended_at.clone().or_else(|| self.ended_at.clone());
        Self { ended_at, ..self.clone() }
    }

    fn refused(object: &Object, refusal: &Failure, now: u64) -> Self {
        let message = message(&refusal.reason, refusal.hint.as_deref());
        let status = Self {
            phase: Phase::Refused,
            message,
            exit_code: Some(refusal.outcome.code()),
            ended_at: Some(instant(now)),
            ..Self::begun(object)
        };
        let before = &object.status.conditions;
        let conditions = condition::refused(refusal.cause, &status.message);
        Self { conditions: condition::since(conditions, before, now), ..status }
    }

    fn waiting(object: &Object, why: &str, _: u64) -> Self {
        Self { message: why.to_owned(), ..Self::begun(object) }
    }

    /// Intents outlive whoever leads: what is not known was not put in.
    fn lost(_: &Object, _: &Self, _: u64) -> Option<Self> {
        None
    }
}

/// Why, and what to do about it.
fn message(reason: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{reason}; {hint}"),
        None => reason.to_owned(),
    }
}

/// A time as objects have it (RFC 3339, UTC, to the second), of Unix time, ns.
pub(crate) fn instant(nanos: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(nanos)).to_string()
}

/// From FROM to TO, and back where that was asked for.
fn directions(intent: &wire::Intent, begun: &Status) -> Vec<Direction> {
    let statuses = statuses(intent);
    let mut both = [
        Direction { from: begun.from.clone(), to: begun.to.clone(), ..Direction::default() },
        Direction { from: begun.to.clone(), to: begun.from.clone(), ..Direction::default() },
    ];
    for cut in &intent.cuts {
        let direction = &mut both[usize::from(goes_back(intent, cut))];
        let own = statuses.iter().filter(|one| cut.parts.contains(&u32::from(one.fault.id.part)));
        let effect = own.fold(Effect::default(), |mut sum, one| {
            sum += one.effect;
            sum
        });
        direction.links += 1;
        direction.silent += u32::from(!effect.happened());
        direction.matched = direction.matched.saturating_add(effect.matched);
        direction.lost = direction.lost.saturating_add(effect.lost);
        direction.lost_bytes = direction.lost_bytes.saturating_add(effect.lost_bytes);
    }
    both.into_iter().filter(|direction| direction.links > 0).collect()
}

/// Whether a link goes from TO to FROM. Whoever was FROM in the beginning stands before all that were TO; what came since
/// stands after them, and is what it was named as.
fn goes_back(intent: &wire::Intent, cut: &wire::Cut) -> bool {
    let named = |end: u32| {
        let end = intent.ends.get(usize::try_from(end).unwrap_or(usize::MAX));
        end.and_then(|end| end.selector.as_ref())
    };
    let Some(wire::Spec { what: Some(wire::spec::What::Pair(pair)), .. }) = &intent.spec else {
        return cut.from > cut.to;
    };
    let is_only_of = |end: u32, these: &[wire::Selector], others: &[wire::Selector]| {
        named(end).is_some_and(|named| these.contains(named) && !others.contains(named))
    };
    if is_only_of(cut.from, &pair.from, &pair.to) {
        false
    } else if is_only_of(cut.from, &pair.to, &pair.from) {
        true
    } else {
        cut.from > cut.to
    }
}

fn effect(intent: &wire::Intent, directions: &[Direction]) -> String {
    if !intent.cuts.is_empty() {
        let sum = |of: fn(&Direction) -> u64| directions.iter().map(of).sum::<u64>();
        let (lost, size) = (sum(|one| one.lost), sum(|one| one.lost_bytes));
        return format!("lost {}, {}", count(lost, "packet"), bytes(size));
    }
    let statuses = statuses(intent);
    match statuses.as_slice() {
        [] => String::new(),
        [one] => done(one),
        [first, others @ ..] => format!("{}; and {} more", done(first), others.len()),
    }
}

fn parts(intent: &wire::Intent) -> Parts {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let acts = |status: &&fault::Status| !status.state.is_final();
    let is_active = intent.stage() == wire::Stage::Active;
    let acting = if is_active { statuses(intent).iter().filter(acts).count() } else { 0 };
    // What has left is counted by what it did, and by nothing else.
    let stays = || intent.parts.iter().filter(|part| !part.let_go);
    let failed = stays().filter(|part| !part.trouble.is_empty()).count();
    let nodes: BTreeSet<&str> = stays().map(|part| part.node.as_str()).collect();
    Parts {
        total: number(stays().count()),
        acting: number(acting),
        failed: number(failed),
        nodes: number(nodes.len()),
    }
}

fn failures(intent: &wire::Intent) -> Vec<Trouble> {
    let troubled = intent.parts.iter().filter(|part| !part.trouble.is_empty());
    let told =
        |part: &wire::Part| Trouble { node: part.node.clone(), message: part.trouble.clone() };
    let mut all: Vec<Trouble> = Vec::new();
    for trouble in troubled.map(told) {
        if all.len() == TOLD {
            break;
        }
        // Faults of one node mostly fail together.
        if !all.contains(&trouble) {
            all.push(trouble);
        }
    }
    all
}
