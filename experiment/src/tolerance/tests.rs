use proptest::prelude::*;
use serde_json::{Number, json};

use super::*;

#[test]
fn what_is_no_comparison_is_said() {
    let scope = Scope::default();
    let regex = Tolerance::Regex { pattern: "a".into(), target: None };
    for value in [json!({"stdout": "a"}), json!(null), json!(1)] {
        let error = judge(&regex, &value, &scope).unwrap_err();
        assert!(matches!(error, ToleranceError::NotText(_)), "{error}");
    }
    let range = Tolerance::Range { low: 1.into(), high: 2.into(), target: None };
    assert!(judge(&range, &Value::Null, &scope).is_err());
    let target = Tolerance::Range { low: 1.into(), high: 2.into(), target: Some("t".into()) };
    assert_eq!(
        judge(&target, &json!("x"), &scope).unwrap_err(),
        ToleranceError::NoParts("text that is none")
    );
}

#[test]
fn a_pattern_that_never_ends_is_given_up() {
    let regex = Tolerance::Regex { pattern: "^(a|a?)+(?=b)$".into(), target: None };
    let error = judge(&regex, &json!("a".repeat(60)), &Scope::default()).unwrap_err();
    assert_eq!(error, ToleranceError::Pattern(pattern::PatternError::Endless));
}

#[test]
fn a_path_that_finds_everything_many_times_is_given_up() {
    let mut value = json!(1);
    for _ in 0..60 {
        value = json!({"a": value});
    }
    let path = path::Path::read("$..*..*..*..*..*").unwrap();
    assert_eq!(path.matches(&value), Err(path::PathError::TooMany));
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        (-1000_i32..1000).prop_map(|n| Number::from_f64(f64::from(n) / 8.0).unwrap()),
        any::<f64>().prop_filter_map("finite", Number::from_f64),
    ]
}

proptest! {
    #[test]
    fn exact_numbers_have_the_order_of_floats(one in any::<f64>(), other in any::<f64>()) {
        if let (Some(one), Some(other)) = (Number::from_f64(one), Number::from_f64(other)) {
            prop_assert!(decimal::agrees(&one, &other));
        }
    }

    #[test]
    fn a_number_is_within_the_range_of_itself(number in number()) {
        let value = Value::Number(number.clone());
        let range = Tolerance::Range { low: number.clone(), high: number, target: None };
        prop_assert_eq!(judge(&range, &value, &Scope::default()), Ok(Judgement::Within));
    }

    #[test]
    fn no_path_and_no_text_panics(path in "[$@.\\[\\]?()a0:,=<*!\" and or not-]{0,20}", text in "[${}a-]{0,12}") {
        let value = json!({"a": [0, {"a": "aa"}]});
        if let Ok(path) = path::Path::read(&path) {
            let _found = path.matches(&value);
        }
        let _text = Scope::default().text(&text);
    }
}
