//! Metrics and health over HTTP, in the clear, for whoever may reach the port. Nothing can be changed here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::control::Control;
use crate::metrics;
use crate::objects::Tenure;

/// Who may be answered at once; others wait until the kernel's queue is full.
const AT_ONCE: usize = 16;
/// How long a request may take to come in.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one connection may last; it answers one request.
const LONGEST: Duration = Duration::from_secs(10);
/// The longest request.
const LARGEST: usize = 8 << 10;
/// How long to wait where nobody can be answered.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the controller may take to say how it stands.
const ANSWER: Duration = Duration::from_secs(2);

/// Answers for a controller that waits for its turn, for as long as it does: it is well, and has nothing to count.
pub(super) async fn stand_by(listener: &TcpListener) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) if open.len() < AT_ONCE => {
                open.spawn(tokio::time::timeout(LONGEST, answer(stream, None)));
            }
            // Out of slots or descriptors: those that are open have to end first.
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// What is told.
#[derive(Clone)]
pub(super) struct Exposed {
    pub(super) control: Control,
    /// By whom a cluster is asked, where there is one.
    pub(super) client: Option<cluster::Client>,
    /// Whether faults are kept that are objects, where there may be such.
    pub(super) tenure: Option<watch::Receiver<Tenure>>,
}

/// Answers until the controller ends.
pub(super) async fn run(
    listener: TcpListener,
    exposed: Exposed,
    mut stopped: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Some((stream, _)) = super::next(&listener, &mut stopped).await else { return };
        let exposed = exposed.clone();
        tokio::spawn(async move {
            // Who is cut off for being slow hears nothing of it.
            let _ = tokio::time::timeout(LONGEST, answer(stream, Some(exposed))).await;
            drop(slot);
        });
    }
}

async fn answer(stream: TcpStream, exposed: Option<Exposed>) {
    let service = service_fn(move |request| {
        let exposed = exposed.clone();
        async move { Ok::<_, Infallible>(respond(&request, exposed.as_ref()).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LARGEST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "metrics were not fetched");
    }
}

async fn respond(request: &Request<Incoming>, exposed: Option<&Exposed>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/healthz") {
        return plain(StatusCode::NOT_FOUND, "there is /metrics and /healthz\n");
    }
    if request.method() != Method::GET {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }
    let Some(Exposed { control, client, tenure }) = exposed else {
        return match path {
            "/healthz" => plain(StatusCode::OK, "ok: another controller leads\n"),
            _ => plain(StatusCode::SERVICE_UNAVAILABLE, "another controller leads\n"),
        };
    };
    // Both ask the task that drives everything: a controller that hangs is not healthy.
    let Ok(Ok(snapshot)) = tokio::time::timeout(ANSWER, control.snapshot()).await else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the controller does not answer\n");
    };
    if path == "/healthz" {
        // A pod that was started anew would keep no more of them.
        return match tenure.as_ref().map(|tenure| tenure.borrow().clone()) {
            None | Some(Tenure::Whole) => plain(StatusCode::OK, "ok\n"),
            Some(
                tenure @ (Tenure::Unknown
                | Tenure::Untold(_)
                | Tenure::Other(_)
                | Tenure::Partial(_)),
            ) => plain(StatusCode::OK, format!("ok, but {tenure}\n")),
        };
    }
    let asked = client.as_ref().map(cluster::Client::asked);
    let mut response = Response::new(Full::from(control.metrics().text(&snapshot, asked)));
    let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
