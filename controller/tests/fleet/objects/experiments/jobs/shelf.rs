//! An API server that keeps whatever it is given, as far as Jobs need one: names, lists, watches, patches, finalizers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use cluster::Client;
use controller::experiments::definitions;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;

use crate::api_server::serve;

/// The last 48 bits of the first UID.
const FIRST: u64 = 0xabc_0000;

/// A running one; clones are the same. Objects of a kind and a namespace stand under `GROUP/PLURAL/NAMESPACE`.
#[derive(Clone)]
pub(super) struct Shelf {
    kept: Arc<Mutex<Kept>>,
    /// The version of the last change.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    version: u64,
    /// How many objects were ever made.
    made: u64,
    objects: BTreeMap<(String, String), Value>,
    /// What happened, with its version and where.
    past: Vec<(u64, String, Value)>,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Where something is that a path names: of which kind, and which one if it is one.
struct Place {
    group: String,
    plural: String,
    /// Empty for all of them.
    namespace: String,
    name: Option<String>,
    /// Of which name alone lists and watches tell, if they are asked to.
    only: Option<String>,
}

impl Place {
    fn of(path: &str, query: &str) -> Self {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            other => panic!("{other:?}"),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let name = rest.get(1).map(|name| (*name).to_owned());
        let (group, plural) = (group.to_owned(), rest[0].to_owned());
        let mut fields = query.split('&').filter_map(|one| one.strip_prefix("fieldSelector="));
        let only =
            fields.next().map(|field| field.replace("%3D", "=").replace("metadata.name=", ""));
        Self { group, plural, namespace: namespace.to_owned(), name, only }
    }

    fn shelf(&self) -> String {
        format!("{}/{}/{}", self.group, self.plural, self.namespace)
    }

    /// Whether it has what stands there.
    fn has(&self, shelf: &str, object: &Value) -> bool {
        let all = format!("{}/{}/", self.group, self.plural);
        let is_asked = self.only.as_ref().is_none_or(|only| object["metadata"]["name"] == **only);
        let is_there =
            if self.namespace.is_empty() { shelf.starts_with(&all) } else { shelf == self.shelf() };
        is_asked && is_there
    }
}

impl Shelf {
    pub(super) async fn start() -> (Self, Client) {
        let shelf = Self { kept: Arc::default(), changed: watch::Sender::new(0) };
        let own = shelf.clone();
        let client = serve(move |request| {
            let shelf = own.clone();
            async move { shelf.answer(request).await }
        })
        .await;
        for definition in definitions() {
            shelf.put("apiextensions.k8s.io/customresourcedefinitions/", definition);
        }
        (shelf, client)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// The last 48 bits of the UID that the next has that is made.
    pub(super) fn next(&self) -> u64 {
        FIRST + self.kept().made
    }

    /// Puts something there, or in the place of what was there.
    pub(super) fn put(&self, shelf: &str, object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let there = self.get(shelf, &name);
        let uid = there.map_or_else(|| self.uid(), |there| text(&there["metadata"]["uid"]));
        self.put_as(shelf, &uid, object);
    }

    /// The same with that UID.
    pub(super) fn put_as(&self, shelf: &str, uid: &str, mut object: Value) {
        object["metadata"]["uid"] = json!(uid);
        self.change("MODIFIED", shelf, object);
    }

    fn uid(&self) -> String {
        let mut kept = self.kept();
        kept.made += 1;
        format!("00000000-0000-4000-8000-{:012x}", FIRST + kept.made - 1)
    }

    /// Somebody deletes it: it goes when nobody holds it any more.
    pub(super) fn delete(&self, shelf: &str, name: &str) {
        let mut object = self.get(shelf, name).unwrap();
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        self.settle(shelf, object);
    }

    /// It goes, whoever holds it.
    pub(super) fn strip(&self, shelf: &str, name: &str) {
        let object = self.get(shelf, name).unwrap();
        self.change("DELETED", shelf, object);
    }

    pub(super) fn get(&self, shelf: &str, name: &str) -> Option<Value> {
        self.kept().objects.get(&(shelf.to_owned(), name.to_owned())).cloned()
    }

    pub(super) fn all(&self, shelf: &str) -> Vec<Value> {
        let kept = self.kept();
        let all = kept.objects.iter().filter(|((of, _), _)| of == shelf);
        all.map(|(_, object)| object.clone()).collect()
    }

    /// How many different ones were ever there.
    pub(super) fn made(&self, shelf: &str) -> usize {
        let kept = self.kept();
        let there = kept.past.iter().filter(|(_, of, _)| of == shelf);
        let mut all: Vec<String> =
            there.map(|(_, _, line)| text(&line["object"]["metadata"]["uid"])).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    fn settle(&self, shelf: &str, object: Value) -> Value {
        let metadata = &object["metadata"];
        let held = metadata["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        let gone = metadata["deletionTimestamp"].is_string() && !held;
        self.change(if gone { "DELETED" } else { "MODIFIED" }, shelf, object)
    }

    fn change(&self, how: &str, shelf: &str, mut object: Value) -> Value {
        let version = {
            let mut kept = self.kept();
            kept.version += 1;
            let version = kept.version;
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            let key = (shelf.to_owned(), text(&object["metadata"]["name"]));
            match how {
                "DELETED" => drop(kept.objects.remove(&key)),
                _ => drop(kept.objects.insert(key, object.clone())),
            }
            let line = json!({ "type": how, "object": object });
            kept.past.push((version, shelf.to_owned(), line));
            version
        };
        self.changed.send_replace(version);
        object
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let query = uri.query().unwrap_or_default().to_owned();
        let place = Place::of(uri.path(), &query);
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let said = || serde_json::from_slice::<Value>(&body).unwrap();
        let shelf = place.shelf();
        match (method, &place.name) {
            (Method::GET, Some(name)) => match self.get(&shelf, name) {
                Some(object) => whole(200, &object),
                None => refused(404, "NotFound"),
            },
            (Method::GET, None) => {
                let mut since =
                    query.split('&').filter_map(|one| one.strip_prefix("resourceVersion="));
                match since.next() {
                    Some(since) => self.watched(place, since.parse().unwrap()),
                    None => self.listed(&place),
                }
            }
            (Method::POST, None) => {
                let mut object = said();
                if self.get(&shelf, &text(&object["metadata"]["name"])).is_some() {
                    return refused(409, "AlreadyExists");
                }
                object["metadata"]["namespace"] = json!(place.namespace);
                object["metadata"]["uid"] = json!(self.uid());
                whole(201, &self.change("ADDED", &shelf, object))
            }
            (Method::PATCH, Some(name)) => self.patched(&shelf, name, &said()),
            (Method::DELETE, Some(name)) => match self.get(&shelf, name) {
                Some(there) if said()["preconditions"]["uid"] != there["metadata"]["uid"] => {
                    refused(409, "Conflict")
                }
                Some(_) => {
                    self.delete(&shelf, name);
                    whole(200, &json!({}))
                }
                None => refused(404, "NotFound"),
            },
            (method, name) => panic!("{method} {shelf} {name:?}"),
        }
    }

    fn patched(&self, shelf: &str, name: &str, patch: &Value) -> Answer {
        let Some(mut object) = self.get(shelf, name) else { return refused(404, "NotFound") };
        let expected = &patch["metadata"]["resourceVersion"];
        if expected.is_string() && *expected != object["metadata"]["resourceVersion"] {
            return refused(409, "Conflict");
        }
        merge(&mut object, patch);
        whole(200, &self.settle(shelf, object))
    }

    fn listed(&self, place: &Place) -> Answer {
        let kept = self.kept();
        let of = kept.objects.iter().filter(|((shelf, _), object)| place.has(shelf, object));
        let items: Vec<&Value> = of.map(|(_, object)| object).collect();
        let version = kept.version.to_string();
        whole(200, &json!({ "metadata": { "resourceVersion": version }, "items": items }))
    }

    fn watched(&self, place: Place, since: u64) -> Answer {
        let (lines, stream) = tokio::sync::mpsc::channel(64);
        let own = self.clone();
        tokio::spawn(async move {
            let (mut changed, mut told) = (own.changed.subscribe(), since);
            loop {
                let past: Vec<(u64, String, Value)> = own.kept().past.clone();
                let before = told;
                for (version, shelf, line) in past.into_iter().filter(|(at, ..)| *at > before) {
                    told = version;
                    let is_asked = place.has(&shelf, &line["object"]);
                    let line = Frame::data(Bytes::from(format!("{line}\n")));
                    if is_asked && lines.send(Ok(line)).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    _ = changed.changed() => {}
                    () = lines.closed() => return,
                }
            }
        });
        Response::new(BodyExt::boxed(StreamBody::new(ReceiverStream::new(stream))))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn refused(code: u16, reason: &str) -> Answer {
    whole(code, &json!({ "message": "no", "reason": reason, "code": code }))
}

fn whole(code: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string())).boxed();
    Response::builder().status(code).body(body).unwrap()
}

/// RFC 7396.
fn merge(into: &mut Value, patch: &Value) {
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
