use serde_json::json;

use super::vault::{Access, Login, Version};
use super::*;

fn group(secrets: Vec<(&str, SecretSource)>) -> SecretSource {
    let named = secrets.into_iter().map(|(name, source)| (name.to_owned(), source));
    SecretSource::Group(named.collect())
}

#[test]
fn secrets_come_from_everywhere_and_variables_stand_for_groups() {
    let sources = [
        ("inline".to_owned(), SecretSource::Inline(json!("a"))),
        (
            "group".to_owned(),
            group(vec![
                ("env", SecretSource::Env { key: "E".into() }),
                ("vault", SecretSource::Vault { path: "p".into(), key: Some("k".into()) }),
                ("deep", group(vec![("x", SecretSource::Inline(json!(1)))])),
            ]),
        ),
        ("replaced".to_owned(), group(vec![("x", SecretSource::Env { key: "NONE".into() })])),
    ];
    let environment: Environment = [("E".to_owned(), "e".to_owned())].into_iter().collect();
    let reads = reads(&sources);
    assert_eq!(reads, [Read { path: "p".into(), key: Some("k".into()) }]);
    let vault = reads.into_iter().map(|read| (read, json!("v"))).collect();
    let variables = json!({"replaced": {"x": 2}, "inline": "ignored"});
    let loaded = load(&sources, variables.as_object().unwrap(), &environment, &vault).unwrap();
    let group = json!({"env": "e", "vault": "v", "deep": {"x": 1}});
    assert_eq!(Value::Object(loaded), json!({"inline": "a", "group": group, "replaced": {"x": 2}}));
    let missing = load(&sources, &Map::new(), &Environment::default(), &BTreeMap::new());
    assert_eq!(missing.unwrap_err().len(), 3);
}

#[test]
fn short_secrets_that_come_from_elsewhere_are_named() {
    let env = || SecretSource::Env { key: "E".into() };
    let sources = [
        ("inline".to_owned(), SecretSource::Inline(json!("a"))),
        ("g".to_owned(), group(vec![("a", env()), ("b", env()), ("c", group(vec![("d", env())]))])),
        ("given".to_owned(), group(vec![("x", env())])),
        ("absent".to_owned(), env()),
    ];
    let secrets =
        json!({"inline": "a", "g": {"a": "xyz", "b": "xyzz", "c": {"d": 7}}, "given": "no"});
    assert_eq!(short(&sources, secrets.as_object().unwrap()), ["g.a", "g.c.d", "given"]);
}

#[test]
fn no_secret_is_shown() {
    let source = group(vec![("x", SecretSource::Inline(json!("hush")))]);
    assert!(!format!("{source:?}").contains("hush"));
}

#[test]
fn vault_is_asked_as_the_configuration_says() {
    let access = |value: Value| Access::read(value.as_object().unwrap());
    assert!(access(json!({})).is_none());
    let read = Read { path: "/foo/bar".into(), key: None };
    let two = access(json!({"vault_addr": "a", "vault_token": "t", "vault_role_id": "r"})).unwrap();
    assert!(two.login == Login::Token("t".into()) && two.version == Version::Two);
    assert_eq!(two.path(&read), "v1/secret/data/foo/bar");
    assert_eq!(two.secret(&read, &json!({"data": {"data": {"k": 1}}})), Some(json!({"k": 1})));
    let one = access(json!({"vault_addr": "a", "vault_kv_version": 1, "vault_sa_role": "r"}));
    let one = one.unwrap();
    assert_eq!(one.path(&read), "v1/secret/foo/bar");
    let key = Read { key: Some("k".into()), ..read };
    assert_eq!(one.secret(&key, &json!({"data": {"k": 1}})), Some(json!(1)));
}
