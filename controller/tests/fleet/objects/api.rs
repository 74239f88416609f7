//! An API server as far as faults as objects need one: lists, watches, patches of a state, finalizers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use cluster::Client;
use controller::experiments;
use controller::objects::definitions;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;

use crate::api_server::{merge, serve};

/// Where objects of a kind are, with `/status` after one: of ours, of the core, and what tells of both.
const ROOTS: [&str; 7] = [
    "/apis/schism.dev/v1alpha1/",
    "/api/v1/",
    "/apis/apps/v1/",
    "/apis/policy/v1/",
    "/apis/discovery.k8s.io/v1/",
    "/apis/rbac.authorization.k8s.io/v1/",
    "/apis/apiextensions.k8s.io/v1/",
];

/// Of which definitions are told.
const DEFINITIONS: &str = "customresourcedefinitions";

/// Who asks it.
pub(super) const USER: &str = "ann";

/// A running one; clones are the same.
#[derive(Clone)]
pub(super) struct Api {
    kept: Arc<Mutex<Kept>>,
    /// The version of the last change.
    changed: watch::Sender<u64>,
    /// Whether it answers.
    answers: watch::Sender<bool>,
}

#[derive(Default)]
struct Kept {
    version: u64,
    /// By plural, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    /// What happened, with its version and the plural.
    past: Vec<(u64, String, Value)>,
    calls: Vec<String>,
    words: Words,
}

/// What becomes of what is said of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Words {
    #[default]
    Taken,
    /// It fails at each.
    Refused,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Api {
    pub(super) async fn start() -> (Self, Client) {
        let api = Self {
            kept: Arc::default(),
            changed: watch::Sender::new(0),
            answers: watch::Sender::new(true),
        };
        let own = api.clone();
        let client = serve(move |request| {
            let api = own.clone();
            async move { api.answer(request).await }
        })
        .await;
        let known = definitions().into_iter().chain(experiments::definitions());
        known.for_each(|definition| api.define(&definition));
        (api, client)
    }

    /// Has it know a kind by this definition.
    pub(super) fn define(&self, definition: &Value) {
        let name = definition["metadata"]["name"].as_str().unwrap();
        self.change("MODIFIED", (DEFINITIONS, "", name), definition.clone());
    }

    /// An installation that is there since a second of 2026.
    pub(super) fn install(&self, namespace: &str, second: u8) {
        let name = format!("schism:{namespace}:faults");
        let since = format!("2026-01-01T00:00:{second:02}Z");
        let object = json!({ "metadata": { "name": name, "creationTimestamp": since } });
        self.change("ADDED", ("clusterrolebindings", "", &name), object);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// Whether it answers from now on; watches go on, and tell nothing.
    pub(super) fn answers(&self, whether: Whether) {
        self.answers.send_replace(whether == Whether::Yes);
    }

    /// What becomes of what is said of objects from now on.
    pub(super) fn words(&self, words: Words) {
        self.kept().words = words;
    }

    /// What was asked of it since the last time, watches and lists left out.
    pub(super) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.kept().calls)
    }

    /// Somebody creates an object.
    pub(super) fn create(&self, plural: &str, namespace: &str, name: &str, spec: &Value) {
        let uid = self.uid();
        let mut metadata = json!({ "name": name, "uid": uid, "generation": 1 });
        if !namespace.is_empty() {
            metadata["namespace"] = json!(namespace);
        }
        let object = json!({ "metadata": metadata, "spec": spec });
        self.change("ADDED", (plural, namespace, name), object);
    }

    /// A namespace with labels.
    pub(super) fn label(&self, name: &str, labels: &Value) {
        let object = json!({ "metadata": { "name": name, "labels": labels } });
        self.change("ADDED", ("namespaces", "", name), object);
    }

    /// A pod on a node.
    pub(super) fn pod(&self, namespace: &str, name: &str, uid: &str, node: &str) {
        let metadata = json!({ "name": name, "namespace": namespace, "uid": uid });
        let object = json!({ "metadata": metadata, "spec": { "nodeName": node } });
        self.change("ADDED", ("pods", namespace, name), object);
    }

    /// The same where it runs.
    pub(super) fn running(&self, namespace: &str, name: &str, uid: &str, node: &str) {
        let object = json!({
            "metadata": { "name": name, "namespace": namespace, "uid": uid },
            "spec": { "nodeName": node, "containers": [{ "name": "app" }] },
            "status": {
                "phase": "Running", "podIPs": [{ "ip": "10.1.0.1" }],
                "containerStatuses": [{
                    "name": "app", "containerID": "containerd://aa", "state": { "running": {} },
                }],
            },
        });
        self.change("ADDED", ("pods", namespace, name), object);
    }

    /// A node that is ready.
    pub(super) fn node(&self, name: &str) {
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        let object = json!({ "metadata": { "name": name }, "status": { "conditions": ready } });
        self.change("ADDED", ("nodes", "", name), object);
    }

    /// All of a kind.
    pub(super) fn all(&self, plural: &str) -> Vec<Value> {
        let kept = self.kept();
        let of = kept.objects.iter().filter(|((of, ..), _)| of == plural);
        of.map(|(_, object)| object.clone()).collect()
    }

    /// Somebody deletes it: it goes when nobody holds it any more.
    pub(super) fn delete(&self, plural: &str, name: &str) {
        let mut object = self.get(plural, name).unwrap();
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let namespace = namespace(&object);
        self.settle((plural, &namespace, name), object);
    }

    /// It goes, whoever holds it.
    pub(super) fn strip(&self, plural: &str, name: &str) {
        let object = self.get(plural, name).unwrap();
        let namespace = namespace(&object);
        self.change("DELETED", (plural, &namespace, name), object);
    }

    pub(super) fn get(&self, plural: &str, name: &str) -> Option<Value> {
        let kept = self.kept();
        let mut found =
            kept.objects.iter().filter(|((of, _, named), _)| of == plural && named == name);
        found.next().map(|(_, object)| object.clone())
    }

    fn settle(&self, place: (&str, &str, &str), object: Value) -> Value {
        let metadata = &object["metadata"];
        let held = metadata["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        let gone = metadata["deletionTimestamp"].is_string() && !held;
        self.change(if gone { "DELETED" } else { "MODIFIED" }, place, object)
    }

    fn change(
        &self,
        how: &str,
        (plural, namespace, name): (&str, &str, &str),
        mut object: Value,
    ) -> Value {
        let version = {
            let mut kept = self.kept();
            kept.version += 1;
            let version = kept.version;
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
            match how {
                "DELETED" => drop(kept.objects.remove(&key)),
                _ => drop(kept.objects.insert(key, object.clone())),
            }
            let line = json!({ "type": how, "object": object });
            kept.past.push((version, plural.to_owned(), line));
            version
        };
        self.changed.send_replace(version);
        object
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let mut answers = self.answers.subscribe();
        answers.wait_for(|answers| *answers).await.unwrap();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        if path.ends_with("/selfsubjectreviews") {
            return whole(201, &json!({ "status": { "userInfo": { "username": USER } } }));
        }
        let within = ROOTS.iter().find_map(|root| path.strip_prefix(root)).unwrap();
        let parts: Vec<&str> = within.split('/').collect();
        // Namespaces are objects, and have some.
        let (namespace, parts) = match parts.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            all => ("", all),
        };
        let value =
            |key: &str| query.split('&').find_map(|one| one.strip_prefix(key)?.strip_prefix('='));
        if method == Method::GET {
            let field = value("fieldSelector").map(|field| field.replace("%3D", "="));
            let name =
                field.and_then(|field| Some(field.strip_prefix("metadata.name=")?.to_owned()));
            return match (parts, value("resourceVersion")) {
                ([plural], Some(since)) => self.watched(plural, name, since.parse().unwrap()),
                ([plural], None) => self.listed(plural, name.as_deref()),
                ([plural, name], _) => match self.get(plural, name) {
                    Some(object) => whole(200, &object),
                    None => refused(404, "NotFound"),
                },
                other => panic!("{other:?}"),
            };
        }
        let said = serde_json::from_slice::<Value>(&body).unwrap();
        self.kept().calls.push(format!("{method} /{within}"));
        let words = self.kept().words;
        match (method, parts) {
            (Method::PATCH, [_, _, "status"]) if words == Words::Refused => {
                refused(500, "InternalError")
            }
            (Method::POST, [plural]) => self.made(plural, namespace, said),
            (Method::PATCH, [plural, name, ..]) => self.patched((plural, namespace, name), &said),
            (Method::DELETE, [plural, name]) => {
                self.deleted((plural, namespace, name), &said["preconditions"]["uid"])
            }
            other => panic!("{other:?}"),
        }
    }

    fn made(&self, plural: &str, namespace: &str, mut object: Value) -> Answer {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let key = (plural.to_owned(), namespace.to_owned(), name.clone());
        if self.kept().objects.contains_key(&key) {
            return refused(409, "AlreadyExists");
        }
        object["metadata"]["uid"] = json!(self.uid());
        whole(201, &self.change("ADDED", (plural, namespace, &name), object))
    }

    fn deleted(&self, (plural, namespace, name): (&str, &str, &str), uid: &Value) -> Answer {
        let Some(mut object) = self.get(plural, name) else { return refused(404, "NotFound") };
        if uid.is_string() && *uid != object["metadata"]["uid"] {
            return refused(409, "Conflict");
        }
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        whole(200, &self.settle((plural, namespace, name), object))
    }

    fn uid(&self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", 0xabc_0000 + self.kept().version)
    }

    fn patched(&self, (plural, namespace, name): (&str, &str, &str), patch: &Value) -> Answer {
        let Some(mut object) = self.get(plural, name) else { return refused(404, "NotFound") };
        let expected = &patch["metadata"]["resourceVersion"];
        if expected.is_string() && *expected != object["metadata"]["resourceVersion"] {
            return refused(409, "Conflict");
        }
        merge(&mut object, patch);
        whole(200, &self.settle((plural, namespace, name), object))
    }

    fn listed(&self, plural: &str, only: Option<&str>) -> Answer {
        let kept = self.kept();
        let is_asked = |name: &str| only.is_none_or(|only| only == name);
        let of = kept.objects.iter().filter(|((of, _, name), _)| of == plural && is_asked(name));
        let items: Vec<&Value> = of.map(|(_, object)| object).collect();
        let version = kept.version.to_string();
        whole(200, &json!({ "metadata": { "resourceVersion": version }, "items": items }))
    }

    fn watched(&self, plural: &str, only: Option<String>, since: u64) -> Answer {
        let (lines, stream) = tokio::sync::mpsc::channel(64);
        let (api, plural) = (self.clone(), plural.to_owned());
        tokio::spawn(async move {
            let (mut changed, mut answers) = (api.changed.subscribe(), api.answers.subscribe());
            let mut told = since;
            loop {
                answers.wait_for(|answers| *answers).await.unwrap();
                let past: Vec<(u64, String, Value)> = api.kept().past.clone();
                let before = told;
                let new = past.into_iter().filter(|(version, ..)| *version > before);
                for (version, of, line) in new {
                    told = version;
                    let is_asked = only
                        .as_ref()
                        .is_none_or(|only| line["object"]["metadata"]["name"] == **only);
                    let line = Frame::data(Bytes::from(format!("{line}\n")));
                    if of == plural && is_asked && lines.send(Ok(line)).await.is_err() {
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

/// Whether it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whether {
    Yes,
    No,
}

fn refused(code: u16, reason: &str) -> Answer {
    whole(code, &json!({ "message": "no", "reason": reason, "code": code }))
}

fn whole(code: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string())).boxed();
    Response::builder().status(code).body(body).unwrap()
}

/// The namespace of an object; empty for one of the whole cluster.
fn namespace(object: &Value) -> String {
    object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned()
}
