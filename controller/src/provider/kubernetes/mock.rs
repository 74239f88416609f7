//! An API server that has a few objects, for tests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;

use cluster::{Client, Config, Login, Trust};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Objects by their paths, those of a list with its label selector, and answers by the paths of questions.
pub(crate) type Objects = BTreeMap<&'static str, Value>;

/// Asks an API server that has these objects.
pub(crate) async fn client(objects: Objects) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let objects = Arc::new(objects);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let objects = Arc::clone(&objects);
            let service = service_fn(move |request| answer(Arc::clone(&objects), request));
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

fn answer(
    objects: Arc<Objects>,
    request: Request<Incoming>,
) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    let query = request.uri().query().unwrap_or_default();
    let labels = query.split('&').find_map(|part| part.strip_prefix("labelSelector="));
    let path = match labels {
        Some(labels) => format!("{}?{labels}", request.uri().path()),
        None => request.uri().path().to_owned(),
    };
    let (code, body) = match objects.get(path.as_str()) {
        Some(Value::Array(items)) => (200, json!({ "metadata": {}, "items": items })),
        Some(object) => (200, object.clone()),
        None if query.contains("limit=") => (200, json!({ "metadata": {}, "items": null })),
        None => (404, json!({ "message": "not found", "reason": "NotFound", "code": 404 })),
    };
    let body = Full::new(Bytes::from(body.to_string()));
    ready(Ok(Response::builder().status(code).body(body).unwrap()))
}
