//! The store over an API server that keeps objects as the real one does, and over one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cluster::{Config, Login, Trust};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;
use crate::store::same::{Seen, Step, TOMBSTONES as FEW, see, steps};
use crate::store::{Id, Memory};

/// Objects of one kind.
#[derive(Default)]
struct Server {
    objects: Mutex<BTreeMap<String, Value>>,
    version: AtomicUsize,
    /// How many of the next writes are done, and not answered.
    silent: AtomicUsize,
    /// How many calls there were.
    calls: AtomicUsize,
}

impl Server {
    async fn start(self: &Arc<Self>) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let server = Arc::clone(&server);
                let service = service_fn(move |request| Arc::clone(&server).answer(request));
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        let config = Config {
            server: format!("http://{at}").parse().unwrap(),
            server_name: None,
            trust: Trust::Machine,
            login: Login::default(),
            namespace: None,
        };
        Client::new(config).in_pages_of(3)
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, std::io::Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let name = path.rsplit('/').next().unwrap().to_owned();
        let is_write = method == Method::POST || method == Method::PATCH;
        let (code, answer) = self.done(&method, &name, &query, body);
        let silent = |left: usize| left.checked_sub(1);
        let relaxed = Ordering::Relaxed;
        if is_write && self.silent.fetch_update(relaxed, relaxed, silent).is_ok() {
            return Err(std::io::Error::other("not answered"));
        }
        let body = Full::new(Bytes::from(answer.to_string()));
        Ok(Response::builder().status(code).body(body).unwrap())
    }

    fn done(&self, method: &Method, name: &str, query: &str, body: Value) -> (u16, Value) {
        let refused = |code: u16, reason: &str| {
            (code, json!({ "message": reason, "reason": reason, "code": code }))
        };
        let next = || (self.version.fetch_add(1, Ordering::Relaxed) + 1).to_string();
        let mut objects = self.objects.lock().unwrap();
        match *method {
            Method::GET => {
                let after = query.split('&').find_map(|part| part.strip_prefix("continue="));
                let later = objects
                    .iter()
                    .filter(|(name, _)| after.is_none_or(|after| name.as_str() > after));
                let page: Vec<(&String, &Value)> = later.take(4).collect();
                let rest = if page.len() > 3 { page[2].0.as_str() } else { "" };
                let items: Vec<&Value> = page.iter().take(3).map(|(_, object)| *object).collect();
                (200, json!({ "metadata": { "continue": rest }, "items": items }))
            }
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                if objects.contains_key(&name) {
                    return refused(409, "AlreadyExists");
                }
                let mut object = body;
                object["metadata"]["resourceVersion"] = json!(next());
                objects.insert(name, object.clone());
                (201, object)
            }
            Method::PATCH => {
                let Some(object) = objects.get_mut(name) else { return refused(404, "NotFound") };
                if body["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
                    return refused(409, "Conflict");
                }
                object["spec"] = body["spec"].clone();
                object["metadata"]["resourceVersion"] = json!(next());
                (200, object.clone())
            }
            Method::DELETE => {
                objects.remove(name);
                (200, json!({}))
            }
            _ => refused(405, "MethodNotAllowed"),
        }
    }
}

async fn open(client: &Client) -> Objects {
    Objects::keeping(client.clone(), "schism".parse().unwrap(), None, FEW).await.unwrap()
}

fn key(name: &str) -> Key {
    Key { kind: Kind::Intent, id: Id::new(name).unwrap() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_cluster_and_memory_do_the_same(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Arc::new(Server::default());
            let client = server.start().await;
            let memory = Memory::keeping(FEW);
            let mut objects = open(&client).await;
            let mut last = Revision(0);
            for mut step in steps {
                if let Step::Delete(key, at) = &mut step
                    && at.0 % 4 != 0
                    && let Some(found) = memory.get(key.clone()).await.unwrap()
                {
                    *at = found.revision;
                }
                if matches!(step, Step::Reopen) {
                    objects = open(&client).await;
                }
                let seen = see(&memory, step.clone()).await;
                prop_assert_eq!(&see(&objects, step.clone()).await, &seen, "{:?}", step);
                if let Some(Seen::Written(Ok(revision))) = seen {
                    prop_assert_eq!(revision, Revision(last.0 + 1));
                    last = revision;
                }
                prop_assert_eq!(*objects.watch().borrow(), last);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_write_is_one_call_and_reading_is_none() {
    let server = Arc::new(Server::default());
    let objects = open(&server.start().await).await;
    let calls = || server.calls.load(Ordering::Relaxed);
    let before = calls();
    let first = objects.put(key("a"), Expected::Never, b"1".to_vec()).await.unwrap();
    objects.put(key("a"), Expected::At(first), b"2".to_vec()).await.unwrap();
    let refused = objects.put(key("a"), Expected::At(first), b"3".to_vec()).await;
    assert!(matches!(refused, Err(PutError::Conflict { .. })));
    objects.get(key("a")).await.unwrap();
    objects.list(Kind::Intent).await.unwrap();
    assert_eq!(calls() - before, 2);
}

#[tokio::test]
async fn a_write_that_was_not_answered_is_looked_for_before_the_next() {
    let server = Arc::new(Server::default());
    let objects = open(&server.start().await).await;
    server.silent.store(1, Ordering::Relaxed);
    let lost = objects.put(key("a"), Expected::Never, b"1".to_vec()).await;
    assert!(matches!(lost, Err(PutError::Store(StoreError::Cluster { .. }))), "{lost:?}");
    // It was done, and counts: the same name is taken, and the next revision is the second.
    let second = objects.put(key("b"), Expected::Never, b"2".to_vec()).await.unwrap();
    assert_eq!(second, Revision(2));
    let found = objects.get(key("a")).await.unwrap().unwrap();
    assert_eq!((found.revision, found.value), (Revision(1), b"1".to_vec()));
}

#[tokio::test]
async fn who_has_led_before_cannot_write_over_the_next() {
    let server = Arc::new(Server::default());
    let client = server.start().await;
    let old = open(&client).await;
    let at = old.put(key("a"), Expected::Never, b"1".to_vec()).await.unwrap();
    let new = open(&client).await;
    new.put(key("a"), Expected::At(at), b"2".to_vec()).await.unwrap();
    let refused = old.put(key("a"), Expected::At(at), b"3".to_vec()).await;
    assert!(matches!(refused, Err(PutError::Store(StoreError::Superseded(_)))), "{refused:?}");
    assert_eq!(new.get(key("a")).await.unwrap().unwrap().value, b"2");
}

#[tokio::test]
async fn what_is_too_large_or_damaged_is_refused() {
    let server = Arc::new(Server::default());
    let client = server.start().await;
    let objects = open(&client).await;
    let refused = objects.put(key("a"), Expected::Any, vec![0; LARGEST + 1]).await;
    assert!(matches!(refused, Err(PutError::Store(StoreError::TooLarge { .. }))));
    let nonsense =
        json!({ "metadata": { "name": "x" }, "spec": { "kind": "dream", "revision": 3 } });
    server.objects.lock().unwrap().insert("x".to_owned(), nonsense);
    let opened = Objects::open(client, "schism".parse().unwrap(), None).await;
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
}
