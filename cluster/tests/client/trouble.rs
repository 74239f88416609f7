//! Bad luck with one answer.

use std::time::{Duration, Instant};

use cluster::{ApiError, Cause, Pod, Reason, Selection, Within};
use tokio::net::TcpListener;

use crate::mock::{SOON, Said, client, pod, serve, status};

async fn get(script: impl Fn(usize) -> Said + Send + Sync + 'static) -> Result<Pod, ApiError> {
    let (client, _) = serve(move |number, _| script(number)).await;
    let client = client.within(Duration::from_secs(2));
    let prod = Within::Namespace("prod".parse().unwrap());
    let name = "web".parse().unwrap();
    let asked = client.get(&prod, &name);
    tokio::time::timeout(SOON, asked).await.unwrap()
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let error = client(at).list::<Pod>(&Within::Cluster, &Selection::default()).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Connect { .. }), "{error}");
    assert!(error.is_passing());
    assert!(error.to_string().starts_with("cannot list pods: no connection to"), "{error}");
}

#[tokio::test]
async fn an_answer_that_never_comes_or_never_ends_is_not_waited_for() {
    for begun in
        [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"]
    {
        let error = get(|_| Said::Hang(begun.to_vec())).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Late(_)), "{error}");
    }
    let error = get(|_| Said::Endless).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Late(_) | Cause::TooLong(_)), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off() {
    for begun in [&b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"[..], b"HTTP/1.1 20", b""] {
        let error = get(|_| Said::Bytes(begun.to_vec())).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Broken(_)), "{error}");
        assert!(error.is_passing());
    }
}

#[tokio::test]
async fn what_is_no_answer_of_an_api_server() {
    for body in ["", "<html>", "[]", r#"{"metadata":7}"#, r#"{"spec":{"containers":7}}"#] {
        let error = get(|_| Said::Answer(200, body.to_owned())).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Malformed(_)), "{body}: {error}");
        assert!(!error.is_passing());
    }
    let error = get(|_| Said::Bytes(b"SSH-2.0-OpenSSH\r\n".to_vec())).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Broken(_)), "{error}");
    let error = get(|_| Said::Answer(302, String::new())).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Refused { code: 302, .. }), "{error}");
}

#[tokio::test]
async fn an_object_of_a_megabyte_is_read() {
    let ballast = "x".repeat(1 << 20);
    let body = format!(
        r#"{{"metadata":{{"name":"web","annotations":{{"a":"{ballast}"}}}},"unknown":"{ballast}"}}"#
    );
    let found = get(move |_| Said::Answer(200, body.clone())).await.unwrap();
    assert_eq!(found.metadata.annotations["a"].len(), 1 << 20);
}

#[tokio::test]
async fn one_that_is_too_busy_is_asked_again_when_it_says() {
    let began = Instant::now();
    let found = get(|number| match number {
        0 => Said::With(429, "retry-after: 1", String::new()),
        _ => Said::Answer(200, pod("web", 1)),
    });
    assert_eq!(found.await.unwrap().metadata.name, "web");
    assert!(began.elapsed() >= Duration::from_secs(1));

    // Not beyond the time of the call.
    let began = Instant::now();
    let error = get(|_| Said::With(429, "retry-after: 60", String::new())).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Refused { code: 429, .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
    // Who does not say when has not said that nothing was done.
    let error = get(|_| Said::Answer(503, String::new())).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Refused { code: 503, .. }), "{error}");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let said = status(403, "Forbidden", "pods is forbidden: User cannot list resource");
    let error = get(move |_| Said::Answer(403, said.clone())).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Forbidden));
    assert!(error.hint().contains("role"), "{}", error.hint());
    let error = get(|_| Said::Answer(401, String::new())).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Unauthorized));
    assert!(!error.is_passing());
}

#[tokio::test]
async fn a_connection_that_ended_while_it_waited_is_not_noticed() {
    let (client, record) = serve(|number, _| match number {
        // An answer that is whole, and an end.
        0 => {
            let body = pod("web", 1);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            Said::Bytes([head.as_bytes(), body.as_bytes()].concat())
        }
        _ => Said::Answer(200, pod("web", 2)),
    })
    .await;
    let prod = Within::Namespace("prod".parse().unwrap());
    let name = "web".parse().unwrap();
    for version in ["1", "2", "2"] {
        let found: Pod = client.get(&prod, &name).await.unwrap();
        assert_eq!(found.metadata.resource_version, version);
    }
    assert_eq!(record.lock().unwrap().last().unwrap().connection, 1);
}
