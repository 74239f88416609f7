//! An API server as far as pods, services and nodes need one: single objects, lists and watches, by namespace, labels
//! and name; pods that are deleted or evicted, and nodes that are changed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use cluster::Client;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;

use crate::api_server::{merge, serve};

/// Where the pods of all namespaces are.
const OF_ALL: &str = "/api/v1/pods";

/// A running one; clones are the same.
#[derive(Clone, Default)]
pub(super) struct Api {
    kept: Arc<Mutex<Kept>>,
    /// The version of the last change.
    changed: watch::Sender<u64>,
    watches: watch::Sender<Watches>,
}

/// How watches do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Watches {
    #[default]
    Tell,
    /// They go on, and say nothing.
    Lag,
    /// Those of all pods do; others tell.
    LagOfAll,
    /// They end, and none is begun.
    Fail,
}

#[derive(Default)]
struct Kept {
    version: u64,
    /// By the paths of their lists and their names.
    objects: BTreeMap<(String, String), Value>,
    /// What happened: its version, the path of the list, and the line.
    past: Vec<(u64, String, Value)>,
    /// Up to which version what happened is forgotten.
    forgotten: u64,
    asked: Vec<String>,
    /// What is said to writes whose path ends like this.
    refused: Vec<(String, u16, Value)>,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Api {
    pub(super) async fn start() -> (Self, Client) {
        let api = Self::default();
        let own = api.clone();
        let client = serve(move |request| {
            let api = own.clone();
            async move { api.asked_for(request).await }
        })
        .await;
        (api, client)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// What was asked since the last time, each call by its path, a watch with a word before it.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.kept().asked)
    }

    /// What becomes of watches from now on.
    pub(super) fn watches(&self, how: Watches) {
        self.watches.send_replace(how);
    }

    /// Forgets what has happened so far.
    pub(super) fn forget(&self) {
        let mut kept = self.kept();
        kept.past.clear();
        kept.version += 1;
        kept.forgotten = kept.version;
    }

    /// An object that is new, or has changed.
    pub(super) fn put(&self, list: &str, object: Value) {
        self.change("MODIFIED", list, object);
    }

    /// It is gone.
    pub(super) fn remove(&self, list: &str, name: &str) {
        let object = self.kept().objects[&(list.to_owned(), name.to_owned())].clone();
        self.change("DELETED", list, object);
    }

    /// What an object is by now.
    pub(super) fn get(&self, list: &str, name: &str) -> Option<Value> {
        self.kept().objects.get(&(list.to_owned(), name.to_owned())).cloned()
    }

    /// Writes whose path ends like this are refused, from now on.
    pub(super) fn refuse(&self, end: &str, code: u16, status: Value) {
        self.kept().refused.push((end.to_owned(), code, status));
    }

    /// Nothing is refused any more.
    pub(super) fn refuse_nothing(&self) {
        self.kept().refused.clear();
    }

    fn change(&self, how: &str, list: &str, mut object: Value) {
        let version = {
            let mut kept = self.kept();
            kept.version += 1;
            let version = kept.version;
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            match how {
                "DELETED" => drop(kept.objects.remove(&(list.to_owned(), name))),
                _ => drop(kept.objects.insert((list.to_owned(), name), object.clone())),
            }
            let line = json!({ "type": how, "object": object });
            kept.past.push((version, list.to_owned(), line));
            version
        };
        self.changed.send_replace(version);
    }

    async fn asked_for(self, request: Request<Incoming>) -> Answer {
        if *request.method() == Method::GET {
            return self.answer(&request);
        }
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let (code, answer) = self.written(&head.method, head.uri.path(), &body);
        whole(code, &answer)
    }

    fn written(&self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        let refusal = {
            let mut kept = self.kept();
            kept.asked.push(format!("{method} {path}"));
            kept.refused.iter().find(|(end, ..)| path.ends_with(end)).cloned()
        };
        if let Some((_, code, status)) = refusal {
            return (code, status);
        }
        let (object, evicted) = match path.strip_suffix("/eviction") {
            Some(object) => (object, true),
            None => (path, false),
        };
        let no = |code: u16, reason: &str| {
            (code, json!({ "message": reason, "reason": reason, "code": code }))
        };
        let (list, name) = object.rsplit_once('/').unwrap();
        let Some(mut found) = self.get(list, name) else { return no(404, "NotFound") };
        if evicted || *method == Method::DELETE {
            let options = if evicted { &body["deleteOptions"] } else { body };
            if options["preconditions"]["uid"] != found["metadata"]["uid"] {
                return no(409, "Conflict");
            }
            self.remove(list, name);
            return (201, json!({ "status": "Success" }));
        }
        let known = &body["metadata"]["resourceVersion"];
        if !known.is_null() && *known != found["metadata"]["resourceVersion"] {
            return no(409, "Conflict");
        }
        merge(&mut found, body);
        self.put(list, found);
        (200, self.get(list, name).unwrap())
    }

    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let part = |name: &str| {
            let found = query.split('&').find_map(|one| one.strip_prefix(name));
            found.map(|text| text.replace("%3D", "=").replace("%2F", "/").replace("%2C", ","))
        };
        let wanted = Wanted { labels: part("labelSelector="), fields: part("fieldSelector=") };
        if query.contains("watch=true") {
            self.kept().asked.push(format!("watch {path}"));
            let since = part("resourceVersion=").unwrap().parse().unwrap();
            return self.watched(path, wanted, since);
        }
        self.kept().asked.push(path.to_owned());
        let kept = self.kept();
        if query.contains("limit=") {
            let of = kept.objects.iter();
            let of = of.filter(|((list, _), one)| is_in(list, path) && wanted.fits(one));
            let items: Vec<&Value> = of.map(|(_, one)| one).collect();
            let version = kept.version.to_string();
            return whole(
                200,
                &json!({ "metadata": { "resourceVersion": version }, "items": items }),
            );
        }
        let (list, name) = path.rsplit_once('/').unwrap();
        match kept.objects.get(&(list.to_owned(), name.to_owned())) {
            Some(object) => whole(200, object),
            None => refused(404, "NotFound"),
        }
    }

    fn watched(&self, list: &str, wanted: Wanted, since: u64) -> Answer {
        if *self.watches.borrow() == Watches::Fail {
            return refused(500, "InternalError");
        }
        if since < self.kept().forgotten {
            return refused(410, "Expired");
        }
        let (lines, stream) = tokio::sync::mpsc::channel(64);
        let (api, list) = (self.clone(), list.to_owned());
        tokio::spawn(async move {
            let (mut changed, mut watches) = (api.changed.subscribe(), api.watches.subscribe());
            let mut told = since;
            loop {
                let how = *watches.borrow_and_update();
                let lags = match how {
                    Watches::Tell => false,
                    Watches::Fail => return,
                    Watches::Lag => true,
                    Watches::LagOfAll => list == OF_ALL,
                };
                if lags {
                    tokio::select! {
                        _ = watches.changed() => continue,
                        () = lines.closed() => return,
                    }
                }
                let past: Vec<(u64, String, Value)> = api.kept().past.clone();
                let before = told;
                for (version, of, line) in past.into_iter().filter(|one| one.0 > before) {
                    told = version;
                    if !is_in(&of, &list) || !wanted.fits(&line["object"]) {
                        continue;
                    }
                    let line = Frame::data(Bytes::from(format!("{line}\n")));
                    if lines.send(Ok(line)).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    _ = changed.changed() => {}
                    _ = watches.changed() => {}
                    () = lines.closed() => return,
                }
            }
        });
        Response::new(BodyExt::boxed(StreamBody::new(ReceiverStream::new(stream))))
    }
}

/// Which objects are meant.
struct Wanted {
    labels: Option<String>,
    fields: Option<String>,
}

impl Wanted {
    fn fits(&self, object: &Value) -> bool {
        let labels = self.labels.iter().flat_map(|text| text.split(','));
        let mut labels = labels.filter_map(|one| one.split_once('='));
        let metadata = &object["metadata"];
        let field = |name: &str| self.fields.as_ref().and_then(|text| text.strip_prefix(name));
        let (named, node) = (field("metadata.name="), field("spec.nodeName="));
        labels.all(|(key, value)| metadata["labels"][key] == value)
            && named.is_none_or(|name| metadata["name"] == name)
            && node.is_none_or(|node| object["spec"]["nodeName"] == node)
    }
}

/// Whether what is in a list is in that of a path, too: of all namespaces there are pods alone.
fn is_in(list: &str, path: &str) -> bool {
    list == path || path == OF_ALL && list.ends_with("/pods")
}

fn refused(code: u16, reason: &str) -> Answer {
    whole(code, &json!({ "message": "no", "reason": reason, "code": code }))
}

fn whole(code: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string())).boxed();
    Response::builder().status(code).body(body).unwrap()
}
