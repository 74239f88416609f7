//! What the API server of a cluster was asked for, as people and programs read it. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fault::{IntentId, Legible, OnOneLine};
use proto::control as wire;
use proto::control::removed_pod::Fate;
use serde::Serialize;

use crate::disruption::typed;
use crate::outcome::Outcome;
use crate::output::quantity::time;
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Detail, Report};

/// One that goes on, or is over.
#[derive(Debug, Default, Serialize)]
pub(crate) struct DisruptionRecord {
    pub(crate) id: String,
    /// The object that asks for it, where one does: `KIND NAMESPACE/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<String>,
    /// As it could be typed.
    pub(crate) what: String,
    pub(crate) stage: &'static str,
    /// Of what is undone by itself, until when, Unix time, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<f64>,
    pub(crate) asker: String,
    pub(crate) reason: String,
    pub(crate) notes: Vec<String>,
    pub(crate) pods: Vec<PodRecord>,
    /// Of what stands, the same, ns.
    #[serde(skip)]
    pub(crate) until: u64,
    /// By what people end it.
    #[serde(skip)]
    pub(crate) name: String,
}

/// What became of a pod.
#[derive(Debug, Serialize)]
pub(crate) struct PodRecord {
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) node: String,
    pub(crate) fate: String,
    pub(crate) trouble: String,
    /// The pod in its place.
    pub(crate) successor: String,
}

impl From<&wire::Disruption> for DisruptionRecord {
    fn from(one: &wire::Disruption) -> Self {
        let deadline = Some(one.deadline).filter(|deadline| *deadline != 0);
        let standing = one.stage() == wire::DisruptionStage::Standing;
        let id = IntentId::from_random(one.id).to_string();
        Self {
            name: id.clone(),
            id,
            object: one.object.as_ref().map(named),
            what: one.spec.as_ref().map(typed).unwrap_or_default(),
            stage: stage(one.stage()),
            deadline: deadline.map(|at| Duration::from_nanos(at).as_secs_f64()),
            asker: one.asker.clone(),
            reason: one.reason.clone(),
            notes: one.notes.clone(),
            pods: one.pods.iter().map(PodRecord::from).collect(),
            until: if standing { one.deadline } else { 0 },
        }
    }
}

impl From<&wire::RemovedPod> for PodRecord {
    fn from(one: &wire::RemovedPod) -> Self {
        Self {
            pod: one.pod.clone(),
            uid: one.uid.clone(),
            node: one.node.clone(),
            fate: fate(one.fate()).to_owned(),
            trouble: one.trouble.clone(),
            successor: one.successor.clone(),
        }
    }
}

fn named(of: &wire::Object) -> String {
    match of.namespace.as_str() {
        "" => format!("{} {}", of.kind, of.name),
        namespace => format!("{} {namespace}/{}", of.kind, of.name),
    }
}

/// One as a journal has it.
pub(crate) fn record(one: &wire::Disruption) -> serde_json::Value {
    serde_json::to_value(DisruptionRecord::from(one)).unwrap_or_default()
}

/// How one stands, in a word or two.
pub(super) const fn stage(stage: wire::DisruptionStage) -> &'static str {
    match stage {
        wire::DisruptionStage::Unspecified => "planned",
        wire::DisruptionStage::UnderWay => "under way",
        wire::DisruptionStage::Standing => "standing",
        wire::DisruptionStage::Undoing => "undoing",
        wire::DisruptionStage::Done => "done",
        wire::DisruptionStage::Failed => "failed",
        wire::DisruptionStage::Idle => "nothing to do",
    }
}

/// What became of a pod, in a word.
pub(crate) const fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Unspecified => "unknown",
        Fate::Pending => "pending",
        Fate::Going => "going",
        Fate::Gone => "gone",
        Fate::Replaced => "replaced",
        Fate::Refused => "refused",
        Fate::Failed => "failed",
    }
}

/// What a command comes to by what became of one.
pub(crate) fn outcome(one: &wire::Disruption) -> Outcome {
    match one.stage() {
        wire::DisruptionStage::Unspecified
        | wire::DisruptionStage::Standing
        | wire::DisruptionStage::Done => Outcome::Effective,
        wire::DisruptionStage::Idle => Outcome::NothingMatched,
        wire::DisruptionStage::UnderWay | wire::DisruptionStage::Undoing => Outcome::Unconfirmed,
        wire::DisruptionStage::Failed if one.refused => Outcome::Refused,
        wire::DisruptionStage::Failed => {
            let late = |pod: &wire::RemovedPod| match pod.fate() {
                Fate::Pending | Fate::Going | Fate::Gone => !pod.trouble.is_empty(),
                Fate::Unspecified | Fate::Replaced | Fate::Refused | Fate::Failed => false,
            };
            let failed = one.pods.iter().any(|pod| pod.fate() == Fate::Failed);
            match one.pods.iter().any(late) && !failed {
                // Not in time.
                true => Outcome::Deviated,
                false => Outcome::Unconfirmed,
            }
        }
    }
}

/// What ending one comes to: it is confirmed once nothing more comes of it.
pub(super) fn undone(one: &wire::Disruption) -> Outcome {
    match crate::disruption::is_over(one) {
        true => Outcome::Effective,
        false => Outcome::Unconfirmed,
    }
}

/// Those that go on, one a line.
pub(crate) fn list(all: &[DisruptionRecord], detail: Detail) -> String {
    let mut columns =
        vec![("ID", Left), ("IN THE CLUSTER", Left), ("STAGE", Left), ("LEFT", Right)];
    if detail == Detail::Wide {
        columns.extend([("PODS", Right), ("ASKER", Left)]);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut table = Table::new(&columns);
    let mut notes = Vec::new();
    for one in all {
        let left = Duration::from_nanos(one.until).saturating_sub(now);
        let left = if one.until == 0 { "-".to_owned() } else { time(left) };
        let mut row = vec![
            Cell::from(one.name.clone()),
            Cell::from(one.what.clone()),
            Cell::from(one.stage.to_owned()),
            Cell::from(left),
        ];
        if detail == Detail::Wide {
            row.push(Cell::from(one.pods.len().to_string()));
            row.push(Cell::from(Legible(&one.asker).to_string()));
        }
        table.row(row);
        notes.extend(one.said());
    }
    let mut text = table.text();
    for note in notes {
        text.push('\n');
        text.push_str(&note);
    }
    text
}

impl DisruptionRecord {
    /// What is to be said beside the figures.
    fn said(&self) -> Vec<String> {
        let reason = (!self.reason.is_empty()).then(|| self.reason.clone());
        let all = reason.iter().chain(&self.notes);
        all.map(|text| format!("{}: {}", self.name, OnOneLine(text))).collect()
    }
}

/// What became of one.
#[derive(Debug, Serialize)]
pub(crate) struct DisruptionReport {
    schema: &'static str,
    exit_code: u8,
    #[serde(flatten)]
    record: DisruptionRecord,
}

impl DisruptionReport {
    pub(crate) fn new(one: impl Into<DisruptionRecord>, outcome: Outcome) -> Self {
        let record = one.into();
        Self { schema: "schism.disruption/v1", exit_code: outcome.code(), record }
    }
}

impl Report for DisruptionReport {
    fn text(&self, _: Detail) -> String {
        let record = &self.record;
        let mut text = String::new();
        if record.pods.is_empty() {
            text.push_str(&format!("{}  {}: {}", record.name, record.what, record.stage));
        } else {
            let mut table = Table::new(&[
                ("POD", Left),
                ("NODE", Left),
                ("IT IS", Left),
                ("IN ITS PLACE", Left),
            ]);
            for pod in &record.pods {
                let successor =
                    if pod.successor.is_empty() { "-".to_owned() } else { pod.successor.clone() };
                table.row(vec![
                    Cell::from(pod.pod.clone()),
                    Cell::from(pod.node.clone()),
                    Cell::from(pod.fate.clone()),
                    Cell::from(successor),
                ]);
            }
            text.push_str(table.text().trim_end());
        }
        for pod in record.pods.iter().filter(|pod| !pod.trouble.is_empty()) {
            text.push_str(&format!("\npod {}: {}", pod.pod, OnOneLine(&pod.trouble)));
        }
        // The reason of what failed for a pod is that pod's.
        let of_pod = |note: &String| {
            record.pods.iter().any(|pod| {
                !pod.trouble.is_empty()
                    && note.ends_with(&format!("pod {}: {}", pod.pod, OnOneLine(&pod.trouble)))
            })
        };
        for note in record.said().into_iter().filter(|note| !of_pod(note)) {
            text.push_str(&format!("\n{note}"));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        match self.record.pods.is_empty() {
            true => vec![self.record.name.clone()],
            false => self.record.pods.iter().map(|pod| pod.pod.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, fate: Fate, trouble: &str) -> wire::RemovedPod {
        wire::RemovedPod {
            pod: name.to_owned(),
            node: "n1".to_owned(),
            fate: fate.into(),
            trouble: trouble.to_owned(),
            ..wire::RemovedPod::default()
        }
    }

    fn disruption(
        stage: wire::DisruptionStage,
        refused: bool,
        pods: Vec<wire::RemovedPod>,
    ) -> wire::Disruption {
        wire::Disruption { id: 10, stage: stage.into(), refused, pods, ..Default::default() }
    }

    #[test]
    fn the_exit_code_says_what_became_of_it() {
        use wire::DisruptionStage::{Done, Failed, Idle, Standing, Undoing};
        let gone = || pod("a/b", Fate::Gone, "");
        let table = [
            (disruption(Done, false, vec![gone()]), Outcome::Effective),
            (disruption(Standing, false, Vec::new()), Outcome::Effective),
            (disruption(Idle, false, Vec::new()), Outcome::NothingMatched),
            (disruption(Undoing, false, Vec::new()), Outcome::Unconfirmed),
            (disruption(Failed, true, vec![pod("a/b", Fate::Refused, "no")]), Outcome::Refused),
            (disruption(Failed, false, vec![pod("a/b", Fate::Going, "late")]), Outcome::Deviated),
            (
                disruption(Failed, false, vec![gone(), pod("a/c", Fate::Failed, "no")]),
                Outcome::Unconfirmed,
            ),
            (disruption(Failed, false, Vec::new()), Outcome::Unconfirmed),
        ];
        for (one, expected) in table {
            assert_eq!(outcome(&one), expected, "{one:?}");
        }
    }

    #[test]
    fn each_pod_has_a_line_and_its_trouble_is_told_once() {
        let said = "The disruption budget web needs 2 healthy pods and has 2 currently";
        let pods = vec![pod("prod/web-0", Fate::Gone, ""), pod("prod/web-1", Fate::Refused, said)];
        let mut one = disruption(wire::DisruptionStage::Failed, true, pods);
        one.reason = format!("pod prod/web-1: {said}");
        one.notes.push("something else".to_owned());
        let text = DisruptionReport::new(&one, outcome(&one)).text(Detail::Normal);
        let plain = anstream::adapter::strip_str(&text).to_string();
        let expected = format!(
            "\
POD         NODE  IT IS    IN ITS PLACE
prod/web-0  n1    gone     -
prod/web-1  n1    refused  -
pod prod/web-1: {said}
00000000000a: something else"
        );
        assert_eq!(plain, expected);
    }
}
