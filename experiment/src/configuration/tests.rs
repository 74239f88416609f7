use serde_json::json;

use super::*;
use crate::model::{ActivityKind, Process, ProcessArguments, VariableType};

fn env(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn setting(key: &str, default: Option<Value>, kind: VariableType) -> Setting {
    Setting::Env { key: key.to_owned(), default, kind }
}

#[test]
fn variables_count_more_than_the_file_and_the_environment_more_than_defaults() {
    let settings = [
        ("plain".to_owned(), Setting::Value(json!(1))),
        ("given".to_owned(), Setting::Value(json!(1))),
        ("env".to_owned(), setting("A", Some(json!("d")), VariableType::Text)),
        ("default".to_owned(), setting("B", Some(json!("d")), VariableType::Text)),
        ("defined".to_owned(), Setting::Value(json!("x"))),
    ];
    let variables = json!({
        "given": 2, "undeclared": 3, "defined": {"type": "env", "key": "A", "env_var_type": "int"}
    });
    let loaded = load(&settings, variables.as_object().unwrap(), &env(&[("A", "7")])).unwrap();
    let known: Vec<Value> = loaded
        .into_iter()
        .map(|(_, setup)| match setup {
            Setup::Known(value) => value,
            Setup::Probe(_) => panic!("no probe was there"),
        })
        .collect();
    assert_eq!(known, [json!(1), json!(2), json!("7"), json!("d"), json!(7)]);
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let settings = [
        ("a".to_owned(), setting("A", None, VariableType::Text)),
        ("b".to_owned(), setting("B", None, VariableType::Integer)),
        ("c".to_owned(), setting("C", None, VariableType::Integer)),
    ];
    let errors = load(&settings, &Map::new(), &env(&[("C", "no number")])).unwrap_err();
    assert_eq!(errors.len(), 3);
    assert_eq!(
        errors[0].to_string(),
        "the setting `a` takes the variable `A` of the environment, which is not set"
    );
    assert!(!errors[2].to_string().contains("no number"), "a value may be a secret");
}

#[test]
fn types_are_those_of_the_original() {
    use VariableType::{Bool, Float, Integer, Json, Text};
    for (kind, text, value) in [
        (Integer, json!(" 12 "), Some(json!(12))),
        (Integer, json!("1_000"), Some(json!(1000))),
        (Integer, json!("1.5"), None),
        (Integer, json!(3.7), Some(json!(3))),
        (Integer, json!(null), None),
        (Float, json!("1e3"), Some(json!(1000.0))),
        (Float, json!("nan"), None),
        (Bool, json!("No"), Some(json!(false))),
        (Bool, json!("off"), Some(json!(true))),
        (Bool, json!(""), Some(json!(true))),
        (Json, json!("[1]"), Some(json!([1]))),
        (Json, json!(""), Some(json!(""))),
        (Json, json!("{"), None),
        (Text, json!(5), Some(json!(5))),
    ] {
        assert_eq!(coerce(kind, text.clone()).ok(), value, "{kind:?} {text}");
    }
}

#[test]
fn a_probe_says_what_a_setting_is() {
    let process = Process {
        path: "true".into(),
        arguments: ProcessArguments::Words(Vec::new()),
        timeout: None,
    };
    let probe = Activity::new("p", ActivityKind::Probe, Provider::Process(process));
    assert_eq!(probed(&probe, &json!({"status": 0, "stdout": " x\n"})), Some(json!("x")));
    assert_eq!(probed(&probe, &json!({"status": 1, "stdout": "x"})), None);
}
