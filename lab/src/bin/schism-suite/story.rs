//! One experiment, as its journal tells it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::scene::{Ended, Measured, System};

/// What it came to.
#[derive(Debug)]
pub(crate) struct Story {
    name: String,
    title: String,
    code: i32,
    status: String,
    took: Duration,
    /// What its faults did, each.
    faults: Vec<String>,
    measured: Measured,
    /// Why it is not well.
    reasons: Vec<String>,
}

impl Story {
    /// Reads it.
    pub(crate) fn read<S: System>(file: &Path, ended: &Ended, took: Duration) -> Self {
        let journal: Value = serde_json::from_str(&ended.journal).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let faults = journal["schism"]["faults"].as_object().into_iter().flatten();
        let reasons = journal["schism"]["reasons"].as_array().into_iter().flatten();
        Self {
            name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            title: text(&journal["experiment"]["title"]),
            code: ended.code,
            status: text(&journal["status"]),
            took,
            faults: faults.map(|(label, fault)| told(label, fault)).collect(),
            measured: S::measured(&journal),
            reasons: reasons.map(text).collect(),
        }
    }

    /// Whether it came to what it should, and so did what was measured.
    pub(crate) fn is_well(&self) -> bool {
        self.code == 0 && self.status == "completed" && self.measured.well
    }
}

/// What a program of a journal's list said, as the document that it is; the last step of this name.
pub(crate) fn output(list: &Value, name: &str) -> Option<Value> {
    let step = list.as_array()?.iter().rfind(|step| step["activity"]["name"] == name)?;
    serde_json::from_str(step["output"]["stdout"].as_str()?).ok()
}

impl fmt::Display for Story {
    /// A line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_well() { "✓" } else { "✗" };
        let took = self.took.as_secs_f64();
        write!(f, "{mark} {}: exit {}, {took:.1} s; {}", self.name, self.code, self.measured.said)
    }
}

fn told(label: &str, fault: &Value) -> String {
    let effect = &fault["effect"];
    if let (Some(lost), Some(passed)) = (effect["lost"].as_u64(), effect["passed"].as_u64()) {
        return format!("{label}: lost {lost}, passed {passed}");
    }
    match fault["had_effect"].as_bool() {
        Some(true) => format!("{label}: had its effect"),
        Some(false) => format!("{label}: had no effect"),
        None => format!("{label}: nobody knows"),
    }
}

/// All of them as a table.
pub(crate) fn report(stories: &[Story]) -> String {
    let mut text =
        "| experiment | what is tried | verdict | faults | measured |\n|---|---|---|---|---|\n"
            .to_owned();
    for story in stories {
        let mut verdict = format!("{}, exit {}", story.status, story.code);
        if !story.reasons.is_empty() {
            verdict.push_str(&format!(": {}", story.reasons.join("; ")));
        }
        let (name, title) = (&story.name, &story.title);
        let (faults, measured) = (story.faults.join("; "), &story.measured.said);
        text.push_str(&format!("| {name} | {title} | {verdict} | {faults} | {measured} |\n"));
    }
    text
}
