//! The same answers as the original's, for what is in `vectors/`.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

use experiment::model::Tolerance;
use experiment::substitution::Scope;
use experiment::tolerance::path::Path;
use experiment::tolerance::pattern;
use experiment::tolerance::{Judgement, judge};
use experiment::toolkit::{self, Manner};
use serde_json::{Map, Value, json};

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// A tolerance as a file would have it.
fn tolerance(value: &Value) -> Tolerance {
    let probe = json!({
        "type": "probe", "name": "p", "tolerance": value,
        "provider": {"type": "process", "path": "true"},
    });
    let file = json!({
        "title": "t", "description": "d", "method": [],
        "steady-state-hypothesis": {"title": "h", "probes": [probe]},
    });
    let text = file.to_string();
    let reading = toolkit::read(&text, experiment::document::Notation::Json, Manner::Strict);
    let experiment =
        reading.experiment.unwrap_or_else(|| panic!("{value}: {:?}", reading.problems));
    experiment.hypothesis.unwrap().probes.remove(0).tolerance.unwrap()
}

#[test]
fn tolerances() {
    let table: Value = serde_json::from_str(include_str!("vectors/tolerances.json")).unwrap();
    let scope = Scope::new(object(&table["configuration"]), Map::new());
    let mut wrong = Vec::new();
    for row in table["rows"].as_array().unwrap() {
        let tolerance = tolerance(&row[0]);
        let answers = row[1].as_str().unwrap().chars();
        for (value, answer) in table["values"].as_array().unwrap().iter().zip(answers) {
            let ours = match judge(&tolerance, value, &scope) {
                Ok(Judgement::Within) => 't',
                Ok(Judgement::Outside) => 'f',
                Ok(Judgement::Ask(_)) => '?',
                Err(_) => '!',
            };
            if ours != answer {
                wrong.push(format!("{} of {value}: {ours}, not {answer}", row[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn paths() {
    let table: Value = serde_json::from_str(include_str!("vectors/paths.json")).unwrap();
    let mut wrong = Vec::new();
    for row in table["rows"].as_array().unwrap() {
        let found =
            Path::read(row[0].as_str().unwrap()).and_then(|path| path.matches(&table["value"]));
        let ours = found.map_or(json!("refused"), Value::Array);
        if ours != row[1] {
            wrong.push(format!("{}: {ours}, not {}", row[0], row[1]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn substitution() {
    let table: Value = serde_json::from_str(include_str!("vectors/substitution.json")).unwrap();
    let scope = Scope::new(object(&table["configuration"]), object(&table["secrets"]));
    let mut wrong = Vec::new();
    for row in table["rows"].as_array().unwrap() {
        let ours = scope.value(&row[0]);
        if ours != row[1] {
            wrong.push(format!("{}: {ours}, not {}", row[0], row[1]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn patterns() {
    let table: Value = serde_json::from_str(include_str!("vectors/patterns.json")).unwrap();
    let mut wrong = Vec::new();
    for row in table["rows"].as_array().unwrap() {
        let ours: String = match pattern::compile(row[0].as_str().unwrap()) {
            Err(_) => "refused".to_owned(),
            Ok(pattern) => {
                let finds = |text: &Value| pattern.finds(text.as_str().unwrap()).unwrap();
                let texts = table["texts"].as_array().unwrap().iter();
                texts.map(|text| if finds(text) { 't' } else { 'f' }).collect()
            }
        };
        if row[1] != ours.as_str() {
            wrong.push(format!("{}: {ours}, not {}", row[0], row[1]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
