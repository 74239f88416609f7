//! Nothing that a controller keeps, writes or tells has a secret in it.

use std::path::Path;

use controller::control::Watching;
use controller::store::Kind;
use prost::Message as _;

use super::*;

const INLINE: &str = "inline-hunter2";
const GIVEN: &str = "given-hunter3";
const TOKEN: &str = "token-hunter4";

/// An experiment with secrets of each sort, which its steps use and return.
fn experiment() -> Value {
    let mut experiment = cut();
    experiment["secrets"] = json!({"group": {"inline": INLINE,
        "given": {"type": "env", "key": "NOWHERE"}}});
    experiment["configuration"] = json!({"vault_token": TOKEN});
    let arguments = json!(["${inline}", "${given}", "${vault_token}"]);
    experiment["method"][1]["provider"]["arguments"] = arguments.clone();
    experiment["method"][1]["provider"]["secrets"] = json!(["group"]);
    experiment
}

fn values() -> Map<String, Value> {
    let Value::Object(secrets) = json!({"group": {"inline": INLINE, "given": GIVEN}}) else {
        panic!()
    };
    secrets
}

/// Whether any of it is there.
fn is_told(bytes: &[u8]) -> bool {
    [INLINE, GIVEN, TOKEN]
        .iter()
        .any(|secret| bytes.windows(secret.len()).any(|window| window == secret.as_bytes()))
}

fn files(directory: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(std::fs::read(&path).unwrap());
        }
    }
}

/// Everything that the controller has written or would tell.
async fn everything(fleet: &Fleet) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let (_, records) = fleet.store.list(kind).await.unwrap();
        all.extend(records.into_iter().map(|record| record.value));
    }
    files(fleet.directory(), &mut all);
    let listed = fleet.control.listing().await.unwrap();
    all.push(listed.encode_to_vec());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_kept_written_or_told() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let Watching { standing: _, mut coming } = fleet.control.watch(0).await.unwrap();
    let runs = runs(&fleet, Execution::Refused).await;
    let begun = beginning(&experiment(), values());
    for id in [1, 2] {
        let mut command = Command::begin(&runs, begin(id, &begun)).await.unwrap();
        let work = command.until(wire::RunPhase::Method).await;
        let Order::Step { invocation, .. } = &work else { panic!() };
        let performed = format!("{invocation:?}");
        for secret in [INLINE, GIVEN, TOKEN] {
            assert!(performed.contains(secret), "who performs needs it: {performed}");
        }
        assert!(everything(&fleet).await.iter().all(|bytes| !is_told(bytes)), "while it goes on");
        // What a step returns has them, too.
        let said = format!("{INLINE} {GIVEN} {TOKEN}");
        let ending = Ending::Returned(json!({"status": 1, "stdout": said, "stderr": said}));
        let ending = serde_json::to_vec(&ending).unwrap();
        let answer = wire::RunAnswer { call: work.call().number(), ending: ending.into() };
        command.peer.requests.send(Request::Answer(answer)).await.unwrap();
        if id == 1 {
            let end = command.finish().await;
            assert!(!is_told(&end.encode_to_vec()));
        } else {
            command.order().await;
            let told = std::mem::take(&mut command.told);
            drop(command);
            comes_to(&fleet, id, wire::RunPhase::Owed).await;
            for reply in told.into_iter().filter(|reply| !matches!(reply, Reply::Order(_))) {
                let reply = wire::RunReply { kind: Some(reply) };
                assert!(!is_told(&reply.encode_to_vec()));
            }
        }
    }
    let everything = everything(&fleet).await;
    assert!(everything.len() > 8, "{}", everything.len());
    assert!(everything.iter().all(|bytes| !is_told(bytes)));
    let mut events = 0;
    while let Ok(event) = coming.try_recv() {
        assert!(!is_told(&event.encode_to_vec()), "{event:?}");
        events += 1;
    }
    assert!(events > 20, "{events}");
    // What is kept is enough to go on, with values from elsewhere.
    let kept: Kept = serde_json::from_slice(&run(&fleet, 2).await.kept).unwrap();
    assert_eq!(kept.read().unwrap().rollbacks.len(), 1);
    let mut other = Command::take_over(&runs, 2, &Values::of(&begun)).await.unwrap();
    assert_eq!(other.order().await.0, "back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_no_place_for_a_secret() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut experiment = cut();
    experiment["secrets"] = json!({"group": {"key": {"type": "env", "key": "NOWHERE"}}});
    experiment["method"][0]["provider"]["arguments"]["from"] = json!("${key}");
    let begun = beginning(&experiment, secrets("netns:a@a"));
    let end = Command::begin(&runs, begin(1, &begun)).await.unwrap().finish().await;
    let written: Value = serde_json::from_slice(&end.journal).unwrap();
    let error = written["run"][0]["exception"].to_string();
    assert!(error.contains("no place for a secret"), "{written:#}");
    assert!(fleet.control.list().await.unwrap().0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_step_is_repeated_for_is_no_place_for_a_secret() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut experiment = cut();
    experiment["secrets"] = json!({"group": {"key": {"type": "env", "key": "NOWHERE"}}});
    experiment["method"][1]["for-each"] = json!({"name": "each", "targets": "${key}"});
    let secret = "no-scheme:\"hunter2 and more";
    let begun = beginning(&experiment, secrets(secret));
    let end = Command::begin(&runs, begin(1, &begun)).await.unwrap().finish().await;
    let written = String::from_utf8(end.journal.to_vec()).unwrap();
    assert!(written.contains("no place for a secret"), "{written}");
    assert!(!written.contains("hunter2"), "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_whose_words_had_a_secret_is_told_once_and_the_others_are_played() {
    let fleet = Fleet::of(&["a", "b"]).await;
    let runs = runs(&fleet, Execution::Refused).await;
    let mut experiment = cut();
    let rest =
        json!({"type": "action", "name": "rest", "provider": {"type": "process", "path": "rest"}});
    experiment["rollbacks"].as_array_mut().unwrap().push(rest);
    experiment["rollbacks"][0]["provider"]["arguments"] = json!([INLINE]);
    let begun = beginning(&experiment, secrets(INLINE));
    let mut command = Command::begin(&runs, begin(1, &begun)).await.unwrap();
    command.until(wire::RunPhase::Method).await;
    drop(command);
    comes_to(&fleet, 1, wire::RunPhase::Owed).await;
    let mut other = Command::take_over(&runs, 1, &Values::of(&begun)).await.unwrap();
    let (name, order) = other.order().await;
    assert_eq!(name, "rest", "nothing is played with stars");
    other.answer(&order).await;
    let end = other.finish().await;
    let text = String::from_utf8(end.journal.to_vec()).unwrap();
    assert!(text.contains("play it by hand"), "{text}");
    let run = end.run.unwrap();
    assert_eq!((run.phase(), owed(&run)), (wire::RunPhase::Ended, Vec::new()));
    let again = Command::take_over(&runs, 1, &Values::of(&begun)).await.err().unwrap();
    assert!(matches!(again, RunsError::OwesNothing(_)), "{again}");
}
