//! From what became of a disruption to what its object says of it. Pure: time is passed in.

mod condition;

use fault::IntentId;
use proto::control as wire;
use proto::control::removed_pod::Fate;
use serde::{Deserialize, Serialize};

use super::resource::Object;
use crate::disruption::typed;
use crate::failure::Failure;
use crate::fleet::disrupted::{fate, outcome};
use crate::objects::status::condition::since;
use crate::objects::status::{Condition, instant};

/// How many pods are told one by one, those that trouble somebody first: a thousand make no record of a thousand.
const TOLD: usize = 32;

/// The longest text that is told, in characters.
const LONGEST: usize = 1000;

/// What an object says of what it asks for. What is empty is not written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    /// What became of it, in one word.
    pub(crate) phase: Phase,
    /// What is done, as it could be typed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) what: String,
    /// Its id, 12 hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) disruption: String,
    /// From what was drawn: a number of 64 bits, which JSON has no room for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) seed: String,
    /// Since when (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<String>,
    /// When it is undone, of what is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<String>,
    /// How many of the pods have gone, and of how many: `2/3`; of what is about none empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) went: String,
    /// The first few of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pods: Vec<PodStatus>,
    /// What whoever asks should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// Why it was refused, failed, or was undone before its time.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// What a command that has asked for it ends with, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) conditions: Vec<Condition>,
    /// Of which specification this is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
}

/// What became of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodStatus {
    /// `NAMESPACE/NAME`.
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) node: String,
    /// In a word.
    pub(crate) fate: String,
    /// What is in the way.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) trouble: String,
    /// The pod in its place.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) successor: String,
}

/// What became of what an object asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Phase {
    /// It has not begun.
    #[default]
    Pending,
    /// It does not begin.
    Refused,
    /// Pods are going, or a node is being cordoned.
    UnderWay,
    /// A node is cordoned.
    Standing,
    /// It is being uncordoned.
    Undoing,
    /// It was done, and undone where it is undone.
    Done,
    /// It failed, and was undone where it is undone.
    Failed,
    /// There was nothing to be done.
    Idle,
    /// A word of the future.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// Whether nothing more comes of it by itself.
    pub(crate) const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::UnderWay | Self::Standing | Self::Undoing | Self::Unknown => {
                false
            }
            Self::Refused | Self::Done | Self::Failed | Self::Idle => true,
        }
    }

    /// Whether it had begun when this was said.
    pub(crate) const fn has_begun(self) -> bool {
        match self {
            Self::Pending | Self::Refused | Self::Unknown => false,
            Self::UnderWay
            | Self::Standing
            | Self::Undoing
            | Self::Done
            | Self::Failed
            | Self::Idle => true,
        }
    }

    /// As people read it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Refused => "refused",
            Self::UnderWay => "under way",
            Self::Standing => "standing",
            Self::Undoing => "undoing",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Idle => "nothing to do",
            Self::Unknown => "unknown",
        }
    }

    const fn of(stage: wire::DisruptionStage) -> Self {
        match stage {
            wire::DisruptionStage::Unspecified | wire::DisruptionStage::UnderWay => Self::UnderWay,
            wire::DisruptionStage::Standing => Self::Standing,
            wire::DisruptionStage::Undoing => Self::Undoing,
            wire::DisruptionStage::Done => Self::Done,
            wire::DisruptionStage::Failed => Self::Failed,
            wire::DisruptionStage::Idle => Self::Idle,
        }
    }
}

impl Status {
    /// Whether nothing was ever said.
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The same without what goes on for as long as there are pods: two that differ otherwise are worth a write at once.
    pub(crate) fn settled(&self) -> Self {
        Self {
            went: String::new(),
            pods: Vec::new(),
            conditions: self.conditions.iter().map(Condition::settled).collect(),
            ..self.clone()
        }
    }

    fn begun(object: &Object) -> Self {
        Self {
            disruption: object.id().map(|id| id.to_string()).unwrap_or_default(),
            seed: object.seed().to_string(),
            observed_generation: object.metadata.generation,
            ..Self::default()
        }
    }

    /// With what holds of it, some of it since before; `now` is Unix time, ns.
    fn with(self, object: &Object, now: u64) -> Self {
        let conditions = since(condition::of(&self), &object.status.conditions, now);
        Self { conditions, ..self }
    }

    /// What is said of an object whose request is refused; `now` is Unix time, ns.
    pub(crate) fn refused(object: &Object, refusal: &Failure, now: u64) -> Self {
        let message = match &refusal.hint {
            Some(hint) => format!("{}; {hint}", refusal.reason),
            None => refusal.reason.clone(),
        };
        let status = Self {
            phase: Phase::Refused,
            message: short(&message),
            exit_code: Some(refusal.outcome.code()),
            ended_at: Some(instant(now)),
            ..Self::begun(object)
        };
        status.with(object, now)
    }

    /// What is said of an object that had begun, and of which nobody knows any more; `now` is Unix time, ns.
    pub(crate) fn lost(object: &Object, now: u64) -> Self {
        let message = "nobody knows any more what became of it: a node that it has cordoned is uncordoned by what \
                       stands on the node";
        let status = Self {
            phase: Phase::Failed,
            message: message.to_owned(),
            exit_code: Some(crate::outcome::Outcome::Unconfirmed.code()),
            ended_at: Some(instant(now)),
            ..object.status.clone()
        };
        status.with(object, now)
    }

    /// What is said of an object by what became of what it asks for; `now` is Unix time, ns.
    pub(crate) fn told(object: &Object, one: &wire::Disruption, now: u64) -> Self {
        let phase = Phase::of(one.stage());
        let at = |nanos: u64| (nanos != 0).then(|| instant(nanos));
        let status = Self {
            phase,
            what: one.spec.as_ref().map(|spec| short(&typed(spec))).unwrap_or_default(),
            disruption: IntentId::from_random(one.id).to_string(),
            started_at: at(one.asked),
            until: at(one.deadline),
            ended_at: at(one.ended).filter(|_| phase.is_final()),
            went: went(&one.pods),
            pods: pods(&one.pods),
            notes: one.notes.iter().take(TOLD).map(|note| short(note)).collect(),
            message: short(&one.reason),
            exit_code: phase.is_final().then(|| outcome(one).code()),
            ..Self::begun(object)
        };
        status.with(object, now)
    }
}

fn went(pods: &[wire::RemovedPod]) -> String {
    let is_gone = |pod: &&wire::RemovedPod| matches!(pod.fate(), Fate::Gone | Fate::Replaced);
    match pods.len() {
        0 => String::new(),
        all => format!("{}/{all}", pods.iter().filter(is_gone).count()),
    }
}

fn pods(all: &[wire::RemovedPod]) -> Vec<PodStatus> {
    let is_troubled = |pod: &&wire::RemovedPod| !pod.trouble.is_empty();
    let (first, rest): (Vec<_>, Vec<_>) = all.iter().partition(is_troubled);
    // In their own order where there is room for all.
    let chosen: Vec<&wire::RemovedPod> = match all.len() > TOLD {
        true => first.into_iter().chain(rest).take(TOLD).collect(),
        false => all.iter().collect(),
    };
    let told = |pod: &wire::RemovedPod| PodStatus {
        pod: pod.pod.clone(),
        uid: pod.uid.clone(),
        node: pod.node.clone(),
        fate: fate(pod.fate()).to_owned(),
        trouble: short(&pod.trouble),
        successor: pod.successor.clone(),
    };
    chosen.into_iter().map(told).collect()
}

/// A text as it is told.
fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
