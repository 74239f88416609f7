//! As whom one asks, where a program says it.

use std::{fs, path::Path};

use cluster::{Cause, Client, Event, Kubeconfig, Pod, Programs, Reason, Selection, Within};
use serde_json::json;
use tokio::time::timeout;

use crate::mock::{Asked, SOON, Said, list, pod, serve, status, stream};

fn prod() -> Within {
    Within::Namespace("prod".parse().unwrap())
}

/// A client whose login a script says, which is a number more each time, and how often it was asked.
fn client(server: &Client, directory: &Path, expires: &str) -> Client {
    let count = directory.join("count").display().to_string();
    let script = format!(
        "echo x >>{count}; number=$(wc -l <{count}); \
         echo \"{{\\\"apiVersion\\\":\\\"client.authentication.k8s.io/v1\\\",\\\"kind\\\":\\\"ExecCredential\\\",\
         \\\"status\\\":{{\\\"token\\\":\\\"word-$((number))\\\"{expires}}}}}\""
    );
    let file = json!({
        "current-context": "lab",
        "contexts": [{ "name": "lab", "context": { "cluster": "c", "user": "u" } }],
        "clusters": [{ "name": "c", "cluster": { "server": server.config().server.to_string() } }],
        "users": [{ "name": "u", "user": { "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
            "args": ["-c", script], "interactiveMode": "Never",
        } } }],
    });
    let file: Kubeconfig = serde_json::from_value(file).unwrap();
    Client::new(file.config_with(None, directory, Programs::Run).unwrap())
}

fn asked(directory: &Path) -> usize {
    fs::read_to_string(directory.join("count")).unwrap_or_default().lines().count()
}

fn is_by(asked: &Asked, word: &str) -> bool {
    asked.head.contains(&format!("authorization: bearer {word}\r\n"))
}

#[tokio::test]
async fn a_login_is_kept_until_it_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (server, record) = serve(|number, asked| match number {
        // It has expired there.
        1 if is_by(asked, "word-1") => Said::Answer(401, status(401, "Unauthorized", "who?")),
        _ => Said::Answer(200, pod("web", 7)),
    })
    .await;
    let client = client(&server, directory.path(), "");
    assert_eq!(asked(directory.path()), 0, "nobody is asked before a login is needed");
    for _ in 0..3 {
        client.get::<Pod>(&prod(), &"web".parse().unwrap()).await.unwrap();
    }
    assert_eq!(asked(directory.path()), 2);
    let by: Vec<bool> = record.lock().unwrap().iter().map(|asked| is_by(asked, "word-2")).collect();
    assert_eq!(by, [false, false, true, true]);
}

#[tokio::test]
async fn a_login_that_is_refused_twice_is_told_as_that() {
    let directory = tempfile::tempdir().unwrap();
    let (server, record) =
        serve(|_, _| Said::Answer(401, status(401, "Unauthorized", "who?"))).await;
    let client = client(&server, directory.path(), "");
    let error = client.get::<Pod>(&prod(), &"web".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Unauthorized), "{error}");
    assert_eq!((asked(directory.path()), record.lock().unwrap().len()), (2, 2));
}

#[tokio::test]
async fn a_login_is_not_used_after_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _record) = serve(|_, _| Said::Answer(200, pod("web", 7))).await;
    for (expires, times) in [("2001-01-01T00:00:00Z", 2), ("2999-01-01T00:00:00Z", 3)] {
        let expires = format!(",\\\"expirationTimestamp\\\":\\\"{expires}\\\"");
        let client = client(&server, directory.path(), &expires);
        client.get::<Pod>(&prod(), &"web".parse().unwrap()).await.unwrap();
        client.get::<Pod>(&prod(), &"web".parse().unwrap()).await.unwrap();
        assert_eq!(asked(directory.path()), times, "{expires}");
    }
}

#[tokio::test]
async fn a_watch_asks_for_another_login_too() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _record) = serve(|number, _| match number {
        0 => Said::Answer(200, list(5, "", &[pod("web", 1)])),
        1 => Said::Answer(401, status(401, "Unauthorized", "who?")),
        _ => {
            let added = format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", pod("db", 6));
            Said::Hang(stream(&[added]))
        }
    })
    .await;
    let client = client(&server, directory.path(), "");
    let mut watch = client.watch::<Pod>(prod(), Selection::default());
    let mut next = async || timeout(SOON, watch.next()).await.unwrap();
    assert!(matches!(next().await, Event::Listed(all) if all.len() == 1));
    let Event::Trouble(error) = next().await else { panic!("it was let in") };
    assert!(matches!(error.cause, Cause::Refused { code: 401, .. }), "{error}");
    assert!(matches!(next().await, Event::Applied(pod) if pod.metadata.name == "db"));
    assert_eq!(asked(directory.path()), 2);
}
