use std::fmt::Write;

use serde_json::json;

use super::*;

fn yaml(text: &str) -> Value {
    Node::read(text, Notation::Yaml).unwrap().value()
}

fn refused(text: &str, notation: Notation) -> (String, SyntaxFault) {
    let error = Node::read(text, notation).unwrap_err();
    (error.at.to_string(), error.fault)
}

#[test]
fn both_notations_say_the_same() {
    let json = r#"{"a": [1, -2.5, true, null, "x\u00e9\ud83d\ude00\n"], "b": {"c": []}}"#;
    let text = "a: [1, -2.5, true, ~, \"x\\u00e9\\U0001f600\\n\"]\nb:\n  c: []\n";
    assert_eq!(Node::read(json, Notation::Json).unwrap().value(), yaml(text));
}

#[test]
fn values_know_where_they_stand() {
    for (notation, text) in
        [(Notation::Json, "{\n \"a\": {\n  \"b\": 1}}"), (Notation::Yaml, "\n a:\n  b:   1")]
    {
        let node = Node::read(text, notation).unwrap();
        let Shape::Map(outer) = &node.shape else { panic!("no mapping") };
        let Shape::Map(inner) = &outer[0].value.shape else { panic!("no mapping") };
        assert_eq!(outer[0].at, Position { line: 2, column: 2 });
        assert_eq!(inner[0].at, Position { line: 3, column: 3 });
        assert_eq!(inner[0].value.at, Position { line: 3, column: 8 });
    }
}

#[test]
fn plain_scalars_are_those_of_yaml_1_1() {
    let text =
        "[yes, Off, 0777, 0x1F, 1_000, 1:30, .5, 1.0e+3, 1e3, 0o7, '1', 2026-01-01, y, 1., 08]";
    let values = json!([
        true,
        false,
        511,
        31,
        1000,
        90,
        0.5,
        1000.0,
        "1e3",
        "0o7",
        "1",
        "2026-01-01",
        "y",
        1.0,
        "08"
    ]);
    assert_eq!(yaml(text), values);
}

#[test]
fn anchors_merges_and_tags() {
    let text = "base: &b {x: 1, y: 2}\nnext: {<<: *b, y: 3}\nbig: !!str 12\nsame: *b\n";
    let base = json!({"x": 1, "y": 2});
    assert_eq!(
        yaml(text),
        json!({"base": base, "next": {"y": 3, "x": 1}, "big": "12", "same": base})
    );
}

#[test]
fn what_is_no_json_is_told_where() {
    for (text, at) in [
        ("{\"a\": 1,\n}", "2:1"),
        ("{\"a\" 1}", "1:6"),
        ("[1 2]", "1:4"),
        ("[01]", "1:2"),
        ("{\"a\": nope}", "1:7"),
        ("\"abc", "1:1"),
        ("", "1:1"),
        ("{} {}", "1:4"),
        ("\"\\ud800\"", "1:8"),
    ] {
        let (place, fault) = refused(text, Notation::Json);
        assert_eq!(place, at, "{text}");
        assert!(matches!(fault, SyntaxFault::Json(_)), "{text}");
    }
}

#[test]
fn what_is_no_yaml_is_told_where() {
    let (at, fault) = refused("a: 1\nb: [1, 2\n", Notation::Yaml);
    assert!(matches!(fault, SyntaxFault::Yaml(_)), "{at} {fault}");
    assert_eq!(refused("a: !thing 1", Notation::Yaml).1, SyntaxFault::Tag("!thing".into()));
    assert_eq!(refused("--- 1\n--- 2", Notation::Yaml).1, SyntaxFault::Documents);
    assert_eq!(refused("a: &a [*a]", Notation::Yaml).1, SyntaxFault::Endless);
    assert_eq!(refused("? [1]\n: 2", Notation::Yaml).1, SyntaxFault::Key);
}

#[test]
fn bombs_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    assert_eq!(refused(&bomb, Notation::Yaml).1, SyntaxFault::TooMany);
    let deep = "[".repeat(100_000);
    assert_eq!(refused(&deep, Notation::Json).1, SyntaxFault::TooDeep);
    assert!(Node::read(&deep, Notation::Yaml).is_err());
    let long = format!("\"{}\"", "x".repeat(LONGEST));
    assert_eq!(refused(&long, Notation::Json).1, SyntaxFault::TooLong);
    let many = format!("[{}1]", "1,".repeat(MOST));
    assert_eq!(refused(&many, Notation::Json).1, SyntaxFault::TooMany);
}
