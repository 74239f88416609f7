//! What every API server of a test is: something on loopback that answers requests, and a client of it.

use std::convert::Infallible;

use cluster::{Client, Config, Login, Trust};
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Answers in this way for as long as the test goes on.
pub(crate) async fn serve<Answering, B>(
    answer: impl Fn(Request<Incoming>) -> Answering + Clone + Send + 'static,
) -> Client
where
    Answering: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    Client::new(Config {
        server: format!("http://{at}").parse().unwrap(),
        server_name: None,
        trust: Trust::Machine,
        login: Login::default(),
        namespace: None,
    })
}

/// What a patch makes of an object (RFC 7396).
pub(crate) fn merge(into: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key.as_str()], value);
        }
    }
}
