use serde_json::json;

use super::*;

fn item() -> Item {
    Item {
        activity: Map::new(),
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
fn what_is_owed_is_read_without_keeping_the_rest() {
    let owed = json!({"rollbacks": [0, 2], "faults": ["c"]});
    let text = |unfinished: bool| {
        json!({
            "experiment": {"title": "t"}, "run": [{"output": "x".repeat(1000)}],
            "schism": {"unfinished": unfinished, "owed": owed, "new": 1}
        })
        .to_string()
    };
    let (experiment, read) = Owed::read(&text(true)).unwrap();
    assert_eq!(experiment["title"], "t");
    assert_eq!(read, Owed { rollbacks: vec![0, 2], faults: vec!["c".into()] });
    assert!(matches!(Owed::read(&text(false)), Err(OwedError::Ended)));
    assert!(matches!(Owed::read("{\"experiment\": {}}"), Err(OwedError::Json(_))));
}
