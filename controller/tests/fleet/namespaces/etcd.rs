//! Three members of an etcd at addresses of this machine: the first leads.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::space::address;

/// Those that run; they end with the test.
pub(crate) struct Members {
    /// At which all of them listen.
    pub(crate) port: u16,
    mute: Arc<Mutex<BTreeSet<u8>>>,
}

impl Members {
    pub(crate) async fn start() -> Self {
        let (port, listeners) = listeners().await;
        let mute: Arc<Mutex<BTreeSet<u8>>> = Arc::default();
        for (number, listener) in (0..).zip(listeners) {
            let mute = Arc::clone(&mute);
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    if mute.lock().unwrap().contains(&number) {
                        continue;
                    }
                    let service = service_fn(move |request| {
                        ready(Ok::<_, Infallible>(answer(number, &request)))
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
                }
            });
        }
        Self { port, mute }
    }

    /// Has one say nothing from now on.
    pub(super) fn hush(&self, number: u8) {
        self.mute.lock().unwrap().insert(number);
    }
}

/// One at each address, all at the same port.
async fn listeners() -> (u16, Vec<TcpListener>) {
    for _ in 0..64 {
        let first = TcpListener::bind((address(0), 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut all = vec![first];
        for number in 1..3 {
            // Somebody else may have it there.
            all.extend(TcpListener::bind((address(number), port)).await);
        }
        if all.len() == 3 {
            return (port, all);
        }
    }
    panic!("no port is free at three addresses");
}

fn answer(number: u8, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let header = json!({ "cluster_id": "7", "member_id": id(number), "revision": "9" });
    let body = match request.uri().path() {
        "/v3/cluster/member/list" => json!({ "header": header, "members": listed() }),
        "/v3/maintenance/status" => {
            json!({ "header": header, "leader": id(0), "raftTerm": "4", "raftIndex": "9" })
        }
        other => panic!("{other}"),
    };
    Response::new(Full::new(Bytes::from(body.to_string())))
}

fn id(number: u8) -> String {
    (u64::from(number) + 1).to_string()
}

/// As those of a StatefulSet call themselves, which no name server here knows; and one URL that is of all of them.
fn listed() -> Vec<Value> {
    let member = |number: u8| {
        let own = format!("etcd-{number}.etcd-headless.prod.svc");
        json!({
            "ID": id(number), "name": format!("m{number}"),
            "peerURLs": [format!("http://{own}:2380")],
            "clientURLs": [format!("http://{own}:2379"), "http://etcd.prod.svc:2379"],
        })
    };
    (0..3).map(member).collect()
}
