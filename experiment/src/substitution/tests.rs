use serde_json::json;

use super::*;

#[test]
fn outputs_of_steps_are_found_by_their_parts() {
    let mut scope = Scope::default();
    let name: OutputName = "found".parse().unwrap();
    scope.remember(&name, json!({"stdout": "etcd-2", "list": [{"id": 7}]}));
    for (text, value) in [
        ("${outputs.found.stdout}", json!("etcd-2")),
        ("pid:${outputs.found.list.0.id}", json!("pid:7")),
        ("${outputs.found.list.0}", json!({"id": 7})),
        ("${outputs.found.nope}", json!("${outputs.found.nope}")),
        ("${outputs.other}", json!("${outputs.other}")),
        ("$outputs.found", json!("$outputs.found")),
    ] {
        assert_eq!(scope.text(text), value, "{text}");
    }
}

#[test]
fn what_a_step_is_repeated_for_counts_most() {
    let configuration = json!({"target": "all"});
    let scope = Scope::new(configuration.as_object().unwrap().clone(), Map::new());
    let one = scope.with_instance(&"target".parse().unwrap(), json!("netns:a"));
    assert_eq!(one.text("${target}!"), json!("netns:a!"));
    assert_eq!(scope.text("${target}!"), json!("all!"));
}

#[test]
fn arguments_stay_untouched_where_nothing_is_set() {
    assert_eq!(Scope::default().arguments(&json!(["$$"])), json!(["$$"]));
    let mut scope = Scope::default();
    scope.set("a", json!(1));
    assert_eq!(scope.arguments(&json!(["$$"])), json!(["$"]));
}

#[test]
fn no_secret_is_shown() {
    let secrets = json!({"g": {"s": "hush"}});
    let scope = Scope::new(Map::new(), secrets.as_object().unwrap().clone());
    assert!(!format!("{scope:?}").contains("hush"));
}
