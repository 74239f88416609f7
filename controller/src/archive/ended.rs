//! The line of an intent that has ended.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use fault::{Effect, IntentId, NodeName, Side};
use proto::control as wire;
use serde::{Deserialize, Serialize};

use super::entry::{Node, instant};
use crate::sequence::Stage;
use crate::spec;

/// What became of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Out by request, confirmed everywhere.
    Healed,
    /// Out at its deadline.
    Expired,
    /// It could not be put in or kept; out wherever it was.
    Failed,
    /// A node did not confirm its end; its lease ends it.
    Unconfirmed,
}

/// Where a direction was enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforced {
    /// Where it would have arrived.
    Receiver,
    /// Where it was sent.
    Sender,
}

/// What the kernel counted, in packets unless said otherwise; a packet may carry up to 40 segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// What the fault judged.
    pub matched: u64,
    /// Of these lost.
    pub lost: u64,
    /// Segments in the lost packets.
    pub lost_segments: u64,
    /// Bytes in the lost packets, link-layer headers included.
    pub lost_bytes: u64,
    /// Matched, but spared by the draw of a loss below 100 %.
    pub spared: u64,
    /// Passed: the other side opened the flow.
    pub other_opener: u64,
}

/// One direction at one place. With `--enforce both` a direction has two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Direction {
    /// Who sent.
    pub from: String,
    /// Who would have received.
    pub to: String,
    /// The node that enforced it.
    pub node: String,
    /// On which side.
    pub enforced: Option<Enforced>,
    /// The last that the node told; none where it never told anything.
    pub effect: Option<Measured>,
    /// What went wrong there; empty for nothing.
    pub trouble: String,
}

/// An intent that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "schema", rename = "schism.ended/v1")]
pub struct Ended {
    /// When it ended.
    #[serde(with = "instant")]
    pub at: SystemTime,
    /// Its id, 12 hexadecimal digits, to be found by `grep`.
    pub id: String,
    /// Who asked.
    pub who: String,
    /// For what, as it could be typed.
    pub what: String,
    /// Where.
    #[serde(rename = "where")]
    pub nodes: Vec<Node>,
    /// When it was asked.
    #[serde(with = "instant")]
    pub asked: SystemTime,
    /// When the first part began to act, as its node has read it back; none if none did.
    #[serde(with = "instant::optional")]
    pub began: Option<SystemTime>,
    /// What became of it.
    pub outcome: Fate,
    /// Why it failed or was ended; empty for neither.
    pub reason: String,
    /// What it did.
    pub directions: Vec<Direction>,
    /// All of it, as it was on the wire (`schism.control.v1.Intent`, base64): a newer version reads more
    /// of it than an older one, and loses nothing.
    #[serde(with = "whole")]
    pub intent: wire::Intent,
}

/// Of a line, which intent it is about.
#[derive(Debug, Deserialize)]
pub(super) struct Subject {
    pub(super) id: String,
}

impl Ended {
    /// The line of an intent; `None` of one that has not ended.
    #[must_use]
    pub fn of(intent: wire::Intent) -> Option<Self> {
        let outcome = Stage::try_from(intent.stage()).ok().and_then(Fate::of)?;
        let instant = |nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
        let nodes: BTreeSet<NodeName> =
            intent.parts.iter().filter_map(|part| NodeName::new(&part.node)).collect();
        Some(Self {
            // A record of before the end was noted has the time of the request.
            at: instant(intent.ended.max(intent.asked)),
            id: IntentId::from_random(intent.id).to_string(),
            who: intent.asker.clone(),
            what: intent.spec.as_ref().map(spec::typed).unwrap_or_default(),
            nodes: nodes.into_iter().map(Node).collect(),
            asked: instant(intent.asked),
            began: (intent.began != 0).then(|| instant(intent.began)),
            outcome,
            reason: intent.reason.clone(),
            directions: directions(&intent),
            intent,
        })
    }
}

impl Fate {
    const fn of(stage: Stage) -> Option<Self> {
        match stage {
            Stage::Pending | Stage::Preparing | Stage::Active | Stage::Healing => None,
            Stage::Healed => Some(Self::Healed),
            Stage::Expired => Some(Self::Expired),
            Stage::Failed => Some(Self::Failed),
            Stage::Unconfirmed => Some(Self::Unconfirmed),
        }
    }
}

impl From<Effect> for Measured {
    fn from(effect: Effect) -> Self {
        Self {
            matched: effect.matched,
            lost: effect.lost,
            lost_segments: effect.lost_segments,
            lost_bytes: effect.lost_bytes,
            spared: effect.spared,
            other_opener: effect.other_opener,
        }
    }
}

fn directions(intent: &wire::Intent) -> Vec<Direction> {
    let end = |at: u32| usize::try_from(at).ok().and_then(|at| intent.ends.get(at));
    let name = |at: u32| end(at).map_or_else(|| "?".to_owned(), name);
    let mut directions = Vec::new();
    for cut in &intent.cuts {
        for part in intent.parts.iter().filter(|part| cut.parts.contains(&part.part)) {
            directions.push(Direction {
                from: name(cut.from),
                to: name(cut.to),
                node: part.node.clone(),
                enforced: enforced(part),
                effect: effect(part),
                trouble: part.trouble.clone(),
            });
        }
    }
    directions
}

fn enforced(part: &wire::Part) -> Option<Enforced> {
    let fault = fault::Fault::try_from(part.fault.clone()?).ok()?;
    match fault.kind {
        fault::Kind::Cut(cut) => Some(match cut.side {
            Side::Ingress => Enforced::Receiver,
            Side::Egress => Enforced::Sender,
        }),
        fault::Kind::Skew(_)
        | fault::Kind::Freeze(_)
        | fault::Kind::Kill(_)
        | fault::Kind::Stress(_) => None,
    }
}

fn effect(part: &wire::Part) -> Option<Measured> {
    let status = fault::Status::try_from(part.status.clone()?).ok()?;
    status.fault.kind.cut().map(|_| status.effect.into())
}

/// What was found, by its own name where it is not addresses.
fn name(end: &wire::End) -> String {
    let found = end.target.as_ref().and_then(|target| target.selector.clone());
    let found = found.map(|scheme| wire::Selector {
        pick: None,
        scheme: Some(scheme),
        node: end.node.clone(),
    });
    let selector = found.or_else(|| end.selector.clone()).map(fault::Selector::try_from);
    selector.and_then(Result::ok).map_or_else(|| "?".to_owned(), |selector| selector.to_string())
}

mod whole {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use prost::Message as _;
    use proto::control::Intent;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        intent: &Intent,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(intent.encode_to_vec()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Intent, D::Error> {
        let bytes = STANDARD.decode(String::deserialize(deserializer)?);
        Intent::decode(bytes.map_err(de::Error::custom)?.as_slice()).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_intent_is_legible_and_whole() {
        let intent = wire::Intent {
            id: 10,
            asker: "ann".to_owned(),
            stage: wire::Stage::Failed.into(),
            asked: 1_700_000_000_000_000_000,
            ended: 1_700_000_001_000_000_000,
            reason: "n1: no room".to_owned(),
            ..wire::Intent::default()
        };
        let ended = Ended::of(intent).unwrap();
        let line = serde_json::to_string(&ended).unwrap();
        let begins = r#"{"schema":"schism.ended/v1","at":"2023-11-14T22:13:21.000000000Z","id":"00000000000a","who":"ann","what":"","where":[],"asked":"2023-11-14T22:13:20.000000000Z","began":null,"outcome":"failed","reason":"n1: no room","directions":[],"intent":""#;
        assert!(line.starts_with(begins), "{line}");
        assert_eq!(serde_json::from_str::<Ended>(&line).unwrap(), ended);
        assert_eq!(serde_json::from_str::<Subject>(&line).unwrap().id, ended.id);
    }

    #[test]
    fn only_what_has_ended_has_a_line() {
        for (stage, fate) in [
            (wire::Stage::Active, None),
            (wire::Stage::Healing, None),
            (wire::Stage::Unspecified, None),
            (wire::Stage::Healed, Some(Fate::Healed)),
            (wire::Stage::Unconfirmed, Some(Fate::Unconfirmed)),
        ] {
            let intent = wire::Intent { stage: stage.into(), ..wire::Intent::default() };
            assert_eq!(Ended::of(intent).map(|ended| ended.outcome), fate, "{stage:?}");
        }
    }
}
