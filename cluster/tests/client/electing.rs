//! Several candidates for one lease.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cluster::{Candidate, Client, Held, Within};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::mock::{Asked, SOON, Said, serve, status};

/// How long it is left to a holder that does not renew it.
const DURATION: Duration = Duration::from_secs(3);

/// An API server with one object.
#[derive(Clone, Default)]
struct Office {
    lease: Arc<Mutex<Option<Value>>>,
    away: Arc<Mutex<bool>>,
}

impl Office {
    fn answer(&self, asked: &Asked) -> Said {
        if *self.away.lock().unwrap() {
            return Said::Bytes(Vec::new());
        }
        let mut lease = self.lease.lock().unwrap();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        match (asked.line.split(' ').next().unwrap(), lease.as_mut()) {
            ("GET", None) => Said::Answer(404, status(404, "NotFound", "none")),
            ("GET", Some(found)) => Said::Answer(200, found.to_string()),
            ("POST", None) => {
                let mut new: Value = serde_json::from_str(&asked.body).unwrap();
                new["metadata"]["resourceVersion"] = json!("1");
                *lease = Some(new.clone());
                Said::Answer(201, new.to_string())
            }
            ("POST", Some(_)) => Said::Answer(409, status(409, "AlreadyExists", "is there")),
            ("PATCH", Some(found)) => {
                let patch: Value = serde_json::from_str(&asked.body).unwrap();
                if version(&patch) != version(found) {
                    return Said::Answer(409, status(409, "Conflict", "was changed"));
                }
                for (key, value) in patch["spec"].as_object().unwrap() {
                    found["spec"][key] = value.clone();
                }
                let next = version(found).as_str().unwrap().parse::<u64>().unwrap() + 1;
                found["metadata"]["resourceVersion"] = json!(next.to_string());
                Said::Answer(200, found.to_string())
            }
            (other, _) => panic!("{other}"),
        }
    }

    async fn client(&self) -> Client {
        let office = self.clone();
        serve(move |_, asked| office.answer(asked)).await.0.within(Duration::from_secs(1))
    }
}

fn candidate(client: &Client, identity: &str) -> Candidate {
    Candidate {
        client: client.clone(),
        within: Within::Namespace("schism".parse().unwrap()),
        name: "schism-controller".parse().unwrap(),
        identity: identity.to_owned(),
        duration: DURATION,
    }
}

#[tokio::test]
async fn one_has_it_and_the_next_after_its_end_or_its_word() {
    let office = Office::default();
    let client = office.client().await;
    let first = candidate(&client, "a").win(|_| ()).await;
    assert_eq!(first.transitions(), 1);
    // It is renewed for longer than it would last.
    let second = candidate(&client, "b");
    assert!(timeout(DURATION * 2, second.win(|_| ())).await.is_err(), "it has been taken");
    assert!(Held::of(&first).now());
    let began = Instant::now();
    first.resign().await;
    let second = timeout(SOON, second.win(|_| ())).await.unwrap();
    assert!(began.elapsed() < DURATION, "{:?}", began.elapsed());
    assert_eq!(second.transitions(), 2);
    // One that is killed says nothing.
    drop(second);
    let third = timeout(SOON, candidate(&client, "c").win(|_| ())).await.unwrap();
    assert_eq!(third.transitions(), 3);
    assert!(began.elapsed() > DURATION);
}

#[tokio::test]
async fn who_cannot_renew_knows_that_before_anybody_else_may_act() {
    let office = Office::default();
    let client = office.client().await;
    let first = candidate(&client, "a").win(|_| ()).await;
    let held = Held::of(&first);
    *office.away.lock().unwrap() = true;
    let other = candidate(&client, "b");
    let next = tokio::spawn(async move { other.win(|_| ()).await });
    timeout(SOON, first.lost()).await.unwrap();
    assert!(!held.now());
    *office.away.lock().unwrap() = false;
    let next = timeout(SOON, next).await.unwrap().unwrap();
    assert_eq!(next.transitions(), 2);
    // What comes back too late is nobody's any more.
    assert!(!held.now());
}
