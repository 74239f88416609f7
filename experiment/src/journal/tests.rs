use serde_json::json;

use super::*;

fn item() -> Item {
    Item {
        activity: Arc::default(),
        output: Value::Null,
        start: Timestamp::from_micros(0),
        status: Some(StepStatus::Failed),
        exception: Some(vec!["RuntimeError: boom\n".into()]),
        end: Some(Timestamp::from_micros(1)),
        duration: Some(0.5),
        tolerance_met: Some(false),
        ours: Map::new(),
    }
}

fn keys(value: &impl Serialize) -> Vec<String> {
    let Value::Object(map) = serde_json::to_value(value).unwrap() else { panic!("no mapping") };
    map.keys().cloned().collect()
}

#[test]
fn keys_stand_in_the_order_of_the_original() {
    assert_eq!(
        keys(&item()),
        ["activity", "output", "start", "status", "exception", "end", "duration", "tolerance_met"]
    );
    let open = Item { status: None, exception: None, end: None, tolerance_met: None, ..item() };
    assert_eq!(keys(&open), ["activity", "output", "start"]);
    let journal = Journal {
        host: Host::default(),
        experiment: Map::new(),
        start: Timestamp::from_micros(0),
        status: Status::Completed,
        deviated: false,
        steady_states: SteadyStates::default(),
        run: Vec::new(),
        rollbacks: Vec::new(),
        end: Timestamp::from_micros(0),
        duration: 0.0,
        interruption: None,
        ours: Map::new(),
    };
    assert_eq!(
        keys(&journal).join(" "),
        "chaoslib-version platform node experiment start status deviated steady_states run rollbacks \
         end duration schism"
    );
    assert_eq!(keys(&journal.steady_states), ["before", "after", "during"]);
}

#[test]
fn what_is_owed_is_read() {
    let owed = json!({"rollbacks": [0, 2], "faults": {"c": "00000000000b"}});
    let journal = |schism: Value| {
        let experiment = json!({"title": "t", "rollbacks": [{}, {}, {}]});
        let journal = json!({"experiment": experiment, "rollbacks": [], "schism": schism});
        journal.as_object().unwrap().clone()
    };
    let unfinished = |unfinished: bool, owed: &Value| {
        journal(json!({"unfinished": unfinished, "owed": owed, "faults_at": "unix:/a", "new": 1}))
    };
    let (experiment, read) = Owed::read(&unfinished(true, &owed)).unwrap();
    assert_eq!(experiment["title"], "t");
    let faults = [("c".parse().unwrap(), "00000000000b".parse().unwrap())];
    let expected =
        Owed { rollbacks: vec![0, 2], faults: faults.into(), at: "unix:/a".into(), run: None };
    assert_eq!(read, expected);
    assert_eq!(Owed::read(&unfinished(false, &owed)).unwrap().1, expected, "a fault may stand");
    let rollbacks = json!({"rollbacks": [0], "faults": {}});
    let stopped = Owed::read(&unfinished(false, &rollbacks)).unwrap().1;
    assert_eq!(stopped.rollbacks, [0], "a rollback was stopped before its end");
    for (ended, ours) in [
        (true, journal(json!({"unfinished": false}))),
        (true, unfinished(true, &json!({"rollbacks": [], "faults": {}}))),
        (false, journal(json!({}))),
        (false, unfinished(true, &json!({"rollbacks": [], "faults": {"c": "no key"}}))),
    ] {
        let error = Owed::read(&ours).unwrap_err();
        assert_eq!(matches!(error, OwedError::Nothing), ended, "{error}");
    }
    let altered = |key: &str, value: Value| {
        let mut ours = json!({"unfinished": true, "owed": owed.clone(), "schema": SCHEMA,
            "verdicts": "strict", "seed": 7});
        ours[key] = value;
        Owed::read(&journal(ours))
    };
    assert!(altered("new", json!(1)).is_ok());
    for (key, value, told) in [
        ("schema", json!("schism.journal/v9"), "of the schema \"schism.journal/v9\""),
        ("verdicts", json!("lax"), "`schism.verdicts` of this journal is \"lax\""),
        ("seed", json!(-1), "`schism.seed` of this journal is -1"),
        ("owed", json!({"rollbacks": [0, 99], "faults": {}}), "rollback 99 is owed"),
    ] {
        let error = altered(key, value).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        assert!(error.hint().is_some() && error.may_owe(), "{error}");
    }
}
