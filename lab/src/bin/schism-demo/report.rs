//! What `schism cut -o json` and `schism status -o json` print, as far as the demo reads it.

use anyhow::{Context as _, Result};
use lab::clock::BootTime;
use serde_json::Value;

/// A cut's end.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// By what it ended.
    pub(crate) ended: String,
    /// Its faults.
    pub(crate) faults: Vec<Fault>,
    /// What probes showed.
    pub(crate) proof: Option<Proof>,
}

/// One fault of a cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Whether it acts.
    pub(crate) active: bool,
    /// First instant.
    pub(crate) start: BootTime,
    /// First instant after it, as last renewed.
    pub(crate) end: BootTime,
    /// First instant after it, however often it is renewed.
    pub(crate) deadline: BootTime,
    /// Packets that were lost.
    pub(crate) lost: u64,
    /// Their bytes.
    pub(crate) lost_bytes: u64,
    /// Packets that passed because the other side opened their flow.
    pub(crate) other_opener: u64,
    /// Packets that passed because nobody knows who opened their flow.
    pub(crate) opener_unknown: u64,
    /// The last loss.
    pub(crate) last_loss: Option<BootTime>,
}

/// What probes showed.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    /// `udp` or `tcp`.
    pub(crate) protocol: String,
    /// `proven`, `not-proven` or `failed`.
    pub(crate) verdict: String,
    /// Why, where it is not proven.
    pub(crate) reasons: Vec<String>,
    /// The two directions: first the one that was cut.
    pub(crate) ways: Vec<Way>,
}

/// One direction of a proof.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Before the cut.
    pub(crate) before: Tally,
    /// While it acted.
    pub(crate) during: Tally,
    /// After it.
    pub(crate) after: Tally,
}

/// Delivered and sent probes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    /// How many arrived.
    pub(crate) delivered: u64,
    /// How many were sent; none where nothing could be told.
    pub(crate) sent: u64,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}/{}", self.delivered, self.sent))
    }
}

impl Report {
    /// From a document of the schema `schism.cut/v1`.
    pub(crate) fn read(document: &Value) -> Result<Self> {
        let proof = document.get("proof").filter(|proof| !proof.is_null());
        Ok(Self {
            ended: text(document, "/ended")?,
            faults: faults(document)?,
            proof: proof.map(Proof::read).transpose()?,
        })
    }
}

/// The faults of a document that lists some; those that never began are left out.
pub(crate) fn faults(document: &Value) -> Result<Vec<Fault>> {
    let begun = list(document, "/faults")?.iter().filter(|fault| fault["lease"].is_object());
    begun.map(Fault::read).collect()
}

impl Fault {
    fn read(fault: &Value) -> Result<Self> {
        let moment = |path| number(fault, path).map(BootTime::from_nanos);
        Ok(Self {
            active: text(fault, "/state")? == "active",
            start: moment("/lease/start")?,
            end: moment("/lease/end")?,
            deadline: moment("/lease/deadline")?,
            lost: number(fault, "/effect/lost")?,
            lost_bytes: number(fault, "/effect/lost_bytes")?,
            other_opener: number(fault, "/effect/other_opener")?,
            opener_unknown: number(fault, "/effect/opener_unknown")?,
            last_loss: fault
                .pointer("/effect/last_loss")
                .and_then(Value::as_u64)
                .map(BootTime::from_nanos),
        })
    }
}

impl Proof {
    fn read(proof: &Value) -> Result<Self> {
        let tally = |way: &Value, stage: &str| -> Result<Tally> {
            Ok(Tally {
                delivered: number(way, &format!("/{stage}/delivered"))?,
                sent: number(way, &format!("/{stage}/sent"))?,
            })
        };
        let way = |way: &Value| -> Result<Way> {
            Ok(Way {
                before: tally(way, "before")?,
                during: tally(way, "during")?,
                after: tally(way, "after")?,
            })
        };
        let reasons = proof.pointer("/verdict/reasons").and_then(Value::as_array);
        Ok(Self {
            protocol: text(proof, "/protocol")?,
            verdict: text(proof, "/verdict/result")?,
            reasons: reasons
                .into_iter()
                .flatten()
                .filter_map(|reason| reason.as_str().map(ToOwned::to_owned))
                .collect(),
            ways: list(proof, "/ways")?.iter().map(way).collect::<Result<_>>()?,
        })
    }
}

fn at<'a>(document: &'a Value, path: &str) -> Result<&'a Value> {
    document.pointer(path).with_context(|| format!("a document of schism has no {path}"))
}

fn number(document: &Value, path: &str) -> Result<u64> {
    at(document, path)?.as_u64().with_context(|| format!("{path} is no number"))
}

fn text(document: &Value, path: &str) -> Result<String> {
    Ok(at(document, path)?.as_str().with_context(|| format!("{path} is no text"))?.to_owned())
}

fn list<'a>(document: &'a Value, path: &str) -> Result<&'a Vec<Value>> {
    at(document, path)?.as_array().with_context(|| format!("{path} is no list"))
}
