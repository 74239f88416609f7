//! What a run came to, without what differs from run to run.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// How a run ended, as it was found.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; of a signal, its negative number.
    pub(crate) exit: i32,
    /// Its journal, if it wrote one.
    pub(crate) journal: Option<String>,
    /// Toxics that it left in a Toxiproxy.
    pub(crate) left: Option<Vec<String>>,
    /// What it said.
    pub(crate) said: String,
}

/// What is compared of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// By names.
    pub(crate) compared: Value,
    /// The journal as it was written.
    pub(crate) journal: Option<String>,
    /// What it said.
    pub(crate) said: String,
}

impl Outcome {
    /// Takes from it what is compared. Each of the texts is replaced by its name.
    ///
    /// # Errors
    /// The journal is no JSON.
    pub(crate) fn of(ended: Ended, volatile: &[(String, &str)]) -> Result<Self> {
        let Ended { exit, journal, left, said } = ended;
        let mut compared = Map::new();
        compared.insert("exit".to_owned(), exit.into());
        if let Some(journal) = &journal {
            let read: Value = serde_json::from_str(journal).context("a journal that is no JSON")?;
            let steady = |name: &str| state(&read["steady_states"][name], volatile);
            let during = read["steady_states"]["during"].as_array();
            let unmet =
                |states: &Vec<Value>| states.iter().any(|state| state["steady_state_met"] == false);
            let mut put = |name: &str, value| compared.insert(name.to_owned(), value);
            put("status", read["status"].clone());
            put("deviated", read["deviated"].clone());
            put("title", named(&read["experiment"]["title"], volatile));
            put("before", steady("before"));
            put("after", steady("after"));
            // How often it was looked meanwhile is a matter of time.
            put("looked during", during.is_some_and(|during| !during.is_empty()).into());
            put("unmet during", during.is_some_and(unmet).into());
            put("run", items(&read["run"], volatile));
            put("rollbacks", items(&read["rollbacks"], volatile));
            let by = &read["interruption"];
            put("interrupted by", by["name"].clone());
        }
        if let Some(left) = left {
            compared.insert("left behind".to_owned(), left.into());
        }
        Ok(Self { compared: Value::Object(compared), journal, said })
    }

    /// In a few words.
    pub(crate) fn summary(&self) -> String {
        let exit = &self.compared["exit"];
        let Some(status) = self.compared["status"].as_str() else {
            let is_traceback = self.said.contains("Traceback (most recent call last)");
            let how = if is_traceback { "traceback" } else { "no journal" };
            return format!("{how}, exit {exit}");
        };
        let deviated = if self.compared["deviated"] == true { ", deviated" } else { "" };
        let count = |name: &str| self.compared[name].as_array().map_or(0, Vec::len);
        let (run, rollbacks) = (count("run"), count("rollbacks"));
        let mut text = format!("{status}{deviated}, exit {exit}, {run} + {rollbacks}");
        if let Some(left) = self.compared["left behind"].as_array() {
            let left: Vec<&str> = left.iter().filter_map(Value::as_str).collect();
            let left = if left.is_empty() { "nothing".to_owned() } else { left.join(", ") };
            text.push_str(&format!(", left behind: {left}"));
        }
        text
    }
}

fn state(state: &Value, volatile: &[(String, &str)]) -> Value {
    if state.is_null() {
        return Value::Null;
    }
    json!({"met": state["steady_state_met"], "probes": items(&state["probes"], volatile)})
}

fn items(list: &Value, volatile: &[(String, &str)]) -> Value {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| self::item(item, volatile)).collect()
}

fn item(item: &Value, volatile: &[(String, &str)]) -> Value {
    json!({
        "activity": named(&item["activity"], volatile),
        "status": item["status"],
        "output": output(&item["output"], volatile),
        "raised": item.get("exception").is_some_and(|exception| !exception.is_null()),
        "met": item["tolerance_met"],
    })
}

/// Of an answer to a request only one header is the same each time.
fn output(output: &Value, volatile: &[(String, &str)]) -> Value {
    let mut output = named(output, volatile);
    let is_answer = output.get("body").is_some() && output["headers"].is_object();
    if is_answer && let Some(headers) = output["headers"].as_object_mut() {
        let headers: Map<String, Value> = std::mem::take(headers)
            .into_iter()
            .map(|(name, value)| (name.to_lowercase(), value))
            .filter(|(name, _)| name == "content-type")
            .collect();
        output["headers"] = Value::Object(headers);
    }
    output
}

fn named(value: &Value, volatile: &[(String, &str)]) -> Value {
    match value {
        Value::String(text) => {
            let replace = |text: String, (from, to): &(String, &str)| text.replace(from, to);
            Value::String(volatile.iter().fold(text.clone(), replace))
        }
        Value::Array(list) => list.iter().map(|one| named(one, volatile)).collect(),
        Value::Object(map) => {
            let each = map.iter().map(|(name, value)| (name.clone(), named(value, volatile)));
            Value::Object(each.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
