//! An API server that has a few objects, for tests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard};

use cluster::{Client, Config, Login, Trust};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Objects by their paths, those of a list with its label selector, and answers by the paths of questions.
pub(crate) type Objects = BTreeMap<&'static str, Value>;

/// Asks an API server that has these objects.
pub(crate) async fn client(objects: Objects) -> Client {
    let objects = Arc::new(objects);
    serving(move |request| answer(Arc::clone(&objects), request)).await
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

/// Asks whoever answers like this.
async fn serving<Answering>(
    answer: impl Fn(Request<Incoming>) -> Answering + Clone + Send + 'static,
) -> Client
where
    Answering: Future<Output = Answer> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(answer.clone());
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

fn answer(objects: Arc<Objects>, request: Request<Incoming>) -> Ready<Answer> {
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

/// An API server that keeps what is written to it, as far as one client can tell it from a real one.
#[derive(Clone, Default)]
pub(crate) struct Living(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// By their paths; a log by its path and query; what is said of a token by the path of the question, `?`, and the token.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Writes to paths that contain this are never answered.
    deaf_to: Option<&'static str>,
}

impl Living {
    pub(crate) async fn client(&self) -> Client {
        let living = self.clone();
        serving(move |request| living.clone().answer(request)).await
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.kept().objects.insert(path.to_owned(), object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.kept().objects.get(path).cloned()
    }

    pub(crate) fn deaf_to(&self, part: &'static str) {
        self.kept().deaf_to = Some(part);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }

    async fn answer(self, request: Request<Incoming>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if path.ends_with("/log") {
            let asked = request.uri().path_and_query().unwrap().as_str();
            return Ok(self.kept().told(asked));
        }
        let is_list = request.uri().query().is_some_and(|query| query.contains("limit="));
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let is_deaf = self.kept().deaf_to.is_some_and(|part| path.contains(part));
        if is_deaf && method != Method::GET {
            std::future::pending::<()>().await;
        }
        let (code, body) = match is_list {
            true => self.kept().list(&path),
            false => self.kept().done(&method, &path, body),
        };
        Ok(Response::builder().status(code).body(Full::new(Bytes::from(body.to_string()))).unwrap())
    }
}

impl Kept {
    /// A log: a text by the path and query of what asks for it.
    fn told(&self, asked: &str) -> Response<Full<Bytes>> {
        let (code, text) = match self.objects.get(asked) {
            Some(Value::String(log)) => (200, log.clone()),
            Some(_) | None => {
                (400, json!({ "message": asked, "reason": "BadRequest" }).to_string())
            }
        };
        Response::builder().status(code).body(Full::new(Bytes::from(text))).unwrap()
    }

    fn list(&self, path: &str) -> (u16, Value) {
        let under = format!("{path}/");
        let items = self.objects.iter().filter(|(at, _)| at.starts_with(&under));
        let items: Vec<&Value> = items.map(|(_, one)| one).collect();
        (200, json!({ "metadata": {}, "items": items }))
    }

    fn done(&mut self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        let refused = |code: u16, reason: &str| {
            (code, json!({ "message": reason, "reason": reason, "code": code }))
        };
        self.version += 1;
        let version = json!(self.version.to_string());
        if *method == Method::POST {
            if let Some(token) = body["spec"]["token"].as_str() {
                let said = self.objects.get(&format!("{path}?{token}")).cloned();
                return said.map_or_else(|| refused(404, "NotFound"), |said| (201, said));
            }
            let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
            if self.objects.contains_key(&path) {
                return refused(409, "AlreadyExists");
            }
            let mut object = body;
            object["metadata"]["resourceVersion"] = version;
            self.objects.insert(path, object.clone());
            return (201, object);
        }
        let Some(object) = self.objects.get_mut(path) else { return refused(404, "NotFound") };
        if *method == Method::GET {
            return (200, object.clone());
        }
        if *method == Method::DELETE {
            self.objects.remove(path);
            return (200, json!({}));
        }
        let known = &body["metadata"]["resourceVersion"];
        if !known.is_null() && *known != object["metadata"]["resourceVersion"] {
            return refused(409, "Conflict");
        }
        merge(object, body);
        object["metadata"]["resourceVersion"] = version;
        (200, object.clone())
    }
}

/// As RFC 7396 has it.
fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (into, patch) => *into = patch,
    }
}
