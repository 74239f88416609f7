//! The calls.

use std::{sync::Arc, time::Duration};

use hyper::Method;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    ApiError, Asked, Cause, Config, Kind, Metadata, Name, Pod, Reason, Resource, Review, Secret,
    User, Watch, Within,
    call::{Call, Content},
    connection::Connections,
    kind::token,
    resource::encode,
};

/// How long a call may take, with what is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many objects come in one answer.
const PAGE: usize = 500;

/// How often a list is begun anew that has expired between two of its pages.
const LISTS: usize = 3;

/// Asks one API server. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    connections: Arc<Connections>,
    patience: Duration,
    page: usize,
    fields: Fields,
}

/// What becomes of fields of a new object that the API server does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fields {
    /// They are dropped.
    Dropped,
    /// The object is refused.
    Refused,
}

/// Which objects of a kind are meant; all of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// By their labels, as `kubectl -l` takes them.
    pub labels: Option<String>,
    /// By their fields, as `kubectl --field-selector` takes them.
    pub fields: Option<String>,
}

/// Objects as they were at one moment.
#[derive(Clone, Debug)]
pub struct List<R> {
    /// Sorted by namespace and name.
    pub items: Vec<R>,
    /// From where on a watch tells what became of them.
    pub resource_version: String,
}

/// What an object must be for it to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Precondition {
    /// That one and no later one of its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// In this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// How long the processes of a pod have to end, whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grace(pub u32);

fn add_grace(options: &mut Value, grace: Option<Grace>) {
    if let Some(Grace(seconds)) = grace {
        options["gracePeriodSeconds"] = json!(seconds);
    }
}

#[derive(Deserialize)]
#[serde(bound = "R: DeserializeOwned")]
struct Page<R> {
    #[serde(default)]
    metadata: PageMetadata,
    // A list without any is null.
    items: Option<Vec<R>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    rest: String,
}

impl Client {
    /// Asks the API server of a configuration. Dials nobody yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let connections = Arc::new(Connections::new(config));
        Self { connections, patience: PATIENCE, page: PAGE, fields: Fields::Dropped }
    }

    /// Kills a program of the kubeconfig that is asked for a login, which would outlive this process. None is asked any
    /// more, so that calls that need one fail.
    pub async fn end_login(&self) {
        self.connections.logins().end().await;
    }

    /// The same, where a call may take so long (10 s otherwise).
    #[must_use]
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same, where so many objects come in one answer (500 otherwise).
    #[must_use]
    pub fn in_pages_of(mut self, page: usize) -> Self {
        self.page = page;
        self
    }

    /// The same, where new objects are refused that have fields of which the API server does not know; they are
    /// dropped otherwise.
    #[must_use]
    pub fn strictly(mut self) -> Self {
        self.fields = Fields::Refused;
        self
    }

    /// Whom it asks, and how.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.connections.config()
    }

    /// How many requests were sent so far, by all clones.
    #[must_use]
    pub fn asked(&self) -> Asked {
        self.connections.asked().so_far()
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// One object.
    ///
    /// # Errors
    /// There is none of this name, or nobody answers.
    pub async fn get<R: Resource>(&self, within: &Within, name: &Name) -> Result<R, ApiError> {
        let call = Call::read(R::KIND.path(within, Some(name)));
        self.object(&call, || one("get", R::KIND, within, name)).await
    }

    /// All objects that are meant, page by page.
    ///
    /// # Errors
    /// Nobody answers, or they change quicker than they can be listed.
    pub async fn list<R: Resource>(
        &self,
        within: &Within,
        selection: &Selection,
    ) -> Result<List<R>, ApiError> {
        self.list_keeping(within, selection, |object| object).await
    }

    /// The same, where only that is kept of each object.
    pub(crate) async fn list_keeping<R: Resource>(
        &self,
        within: &Within,
        selection: &Selection,
        kept: fn(R) -> R,
    ) -> Result<List<R>, ApiError> {
        let mut tries = 1;
        loop {
            match self.pages(within, selection, kept).await {
                Err(error) if error.reason() == Some(&Reason::Expired) && tries < LISTS => {
                    tries += 1;
                }
                Ok(mut list) => {
                    list.items.sort_by(|one: &R, other| place(one).cmp(&place(other)));
                    return Ok(list);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn pages<R: Resource>(
        &self,
        within: &Within,
        selection: &Selection,
        kept: fn(R) -> R,
    ) -> Result<List<R>, ApiError> {
        let attempted = || format!("list {}{within}", R::KIND.plural);
        let path = R::KIND.path(within, None);
        let mut list = List { items: Vec::new(), resource_version: String::new() };
        let mut rest = String::new();
        loop {
            let mut query = vec![format!("limit={}", self.page)];
            query.extend(selection.query());
            if !rest.is_empty() {
                query.push(format!("continue={}", encode(&rest)));
            }
            let call = Call::read(format!("{path}?{}", query.join("&")));
            let page: Page<R> = self.object(&call, attempted).await?;
            list.items.extend(page.items.unwrap_or_default().into_iter().map(kept));
            list.resource_version = page.metadata.resource_version;
            if page.metadata.rest.is_empty() {
                return Ok(list);
            }
            rest = page.metadata.rest;
        }
    }

    /// What becomes of the objects that are meant, from now on.
    #[must_use]
    pub fn watch<R: Resource>(&self, within: Within, selection: Selection) -> Watch<R> {
        Watch::new(self.clone(), within, selection)
    }

    /// Makes an object, and says what became of it.
    ///
    /// # Errors
    /// There is one of its name, it is not valid, or nobody answers.
    pub async fn create<R: Resource + Serialize>(
        &self,
        within: &Within,
        object: &R,
    ) -> Result<R, ApiError> {
        let name = &object.metadata().name;
        let attempted = || format!("create {} {name}{within}", R::KIND.kind);
        let body = whole(object, R::KIND, attempted)?;
        let mut path = R::KIND.path(within, None);
        match self.fields {
            Fields::Dropped => {}
            Fields::Refused => path.push_str("?fieldValidation=Strict"),
        }
        let call = Call { method: Method::POST, path, body: Some((Content::Json, body)) };
        self.object(&call, attempted).await
    }

    /// Changes what of an object the patch names (RFC 7396). With a `metadata.resourceVersion` in it only that
    /// state of the object is changed: somebody who was quicker is a conflict.
    ///
    /// # Errors
    /// There is none of this name, somebody was quicker, it would not be valid, or nobody answers.
    pub async fn merge<R: Resource>(
        &self,
        within: &Within,
        name: &Name,
        patch: &Value,
    ) -> Result<R, ApiError> {
        self.patch(R::KIND.path(within, Some(name)), patch, || one("change", R::KIND, within, name))
            .await
    }

    /// The same for an object's status, which is a part of its own where its kind says so.
    ///
    /// # Errors
    /// As those of [`Self::merge`].
    pub async fn merge_status<R: Resource>(
        &self,
        within: &Within,
        name: &Name,
        patch: &Value,
    ) -> Result<R, ApiError> {
        let path = format!("{}/status", R::KIND.path(within, Some(name)));
        self.patch(path, patch, || one("change the status of", R::KIND, within, name)).await
    }

    async fn patch<R: Resource>(
        &self,
        path: String,
        patch: &Value,
        attempted: impl Fn() -> String,
    ) -> Result<R, ApiError> {
        let body = patch.to_string().into_bytes();
        let call = Call { method: Method::PATCH, path, body: Some((Content::MergePatch, body)) };
        self.object(&call, attempted).await
    }

    /// Deletes an object; one that is not there any more is deleted already. It goes at once, or when those who
    /// have to be done with it are.
    ///
    /// # Errors
    /// It is another one than it must be, or nobody answers.
    pub async fn delete<R: Resource>(
        &self,
        within: &Within,
        name: &Name,
        precondition: &Precondition,
    ) -> Result<(), ApiError> {
        let attempted = || one("delete", R::KIND, within, name);
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": precondition,
        });
        let body = Some((Content::Json, options.to_string().into_bytes()));
        let path = R::KIND.path(within, Some(name));
        let call = Call { method: Method::DELETE, path, body };
        self.ended(&call, attempted).await
    }

    /// Deletes a pod, or rather begins to: how long its processes have to end says `grace`, or else the pod itself.
    /// With none at all it is gone at once, whatever its node knows. One that is not there any more is gone.
    ///
    /// # Errors
    /// There is another one of its name ([`Reason::Conflict`]), or nobody answers.
    pub async fn delete_pod(
        &self,
        within: &Within,
        name: &Name,
        uid: &str,
        grace: Option<Grace>,
    ) -> Result<(), ApiError> {
        let attempted = || one("delete", Pod::KIND, within, name);
        let mut options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": uid },
        });
        add_grace(&mut options, grace);
        let body = Some((Content::Json, options.to_string().into_bytes()));
        let path = Pod::KIND.path(within, Some(name));
        let call = Call { method: Method::DELETE, path, body };
        self.ended(&call, attempted).await
    }

    /// The same unless a PodDisruptionBudget forbids it.
    ///
    /// # Errors
    /// As those of [`Self::delete_pod`], and that a budget forbids it ([`ApiError::budget`]).
    pub async fn evict(
        &self,
        within: &Within,
        name: &Name,
        uid: &str,
        grace: Option<Grace>,
    ) -> Result<(), ApiError> {
        let attempted = || one("evict", Pod::KIND, within, name);
        let mut options = json!({ "preconditions": { "uid": uid } });
        add_grace(&mut options, grace);
        let mut metadata = json!({ "name": name.to_string() });
        if let Within::Namespace(namespace) = within {
            metadata["namespace"] = json!(namespace.to_string());
        }
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata,
            "deleteOptions": options,
        });
        let path = format!("{}/eviction", Pod::KIND.path(within, Some(name)));
        let body = Some((Content::Json, eviction.to_string().into_bytes()));
        self.ended(&Call { method: Method::POST, path, body }, attempted).await
    }

    async fn ended(&self, call: &Call, attempted: impl Fn() -> String) -> Result<(), ApiError> {
        match call.answer(&self.connections, self.patience).await {
            Ok(_) | Err(Cause::Refused { reason: Reason::NotFound, .. }) => Ok(()),
            Err(cause) => Err(ApiError { attempted: attempted(), cause }),
        }
    }

    /// Asks whose a token is; it must have been made for this audience.
    ///
    /// # Errors
    /// Nobody answers. That a token is nobody's is an answer.
    pub async fn review(&self, token: &Secret, audience: &str) -> Result<Review, ApiError> {
        let attempted = || "review a token".to_owned();
        let question = token::question(token, audience).to_string();
        let body = Some((Content::Json, question.into_bytes()));
        let call = Call { method: Method::POST, path: token::PATH.to_owned(), body };
        let answer: token::Answer = self.object(&call, attempted).await?;
        Ok(answer.review(audience))
    }

    /// Asks who it is that asks.
    ///
    /// # Errors
    /// Nobody answers, or it is nobody.
    pub async fn who_am_i(&self) -> Result<User, ApiError> {
        let attempted = || "ask who one is".to_owned();
        let question = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
        });
        let body = Some((Content::Json, question.to_string().into_bytes()));
        let call = Call { method: Method::POST, path: token::SELF.to_owned(), body };
        let answer: token::Own = self.object(&call, attempted).await?;
        Ok(answer.status.user_info)
    }

    async fn object<T: DeserializeOwned>(
        &self,
        call: &Call,
        attempted: impl Fn() -> String,
    ) -> Result<T, ApiError> {
        let failed = |cause| ApiError { attempted: attempted(), cause };
        let answer = call.answer(&self.connections, self.patience).await.map_err(failed)?;
        // A list of nothing would be read as an object of nothing.
        if answer.trim_ascii_start().first() != Some(&b'{') {
            return Err(failed(Cause::Malformed("it is no object".to_owned())));
        }
        serde_json::from_slice(&answer).map_err(|error| failed(Cause::Malformed(error.to_string())))
    }
}

impl Selection {
    /// The objects with these labels, as `kubectl -l` takes them.
    #[must_use]
    pub fn labels(labels: impl Into<String>) -> Self {
        Self { labels: Some(labels.into()), fields: None }
    }

    /// The parts of a query.
    pub(crate) fn query(&self) -> Vec<String> {
        let labels = self.labels.iter().map(|text| format!("labelSelector={}", encode(text)));
        let fields = self.fields.iter().map(|text| format!("fieldSelector={}", encode(text)));
        labels.chain(fields).collect()
    }
}

fn place<R: Resource>(object: &R) -> (&Option<String>, &str) {
    let Metadata { namespace, name, .. } = object.metadata();
    (namespace, name)
}

fn one(verb: &str, kind: Kind, within: &Within, name: &Name) -> String {
    format!("{verb} {} {name}{within}", kind.kind)
}

/// An object with what it is, as it is sent.
fn whole<R: Serialize>(
    object: &R,
    kind: Kind,
    attempted: impl Fn() -> String,
) -> Result<Vec<u8>, ApiError> {
    let failed = |error: serde_json::Error| ApiError {
        attempted: attempted(),
        cause: Cause::Malformed(error.to_string()),
    };
    let mut fields = match serde_json::to_value(object).map_err(failed)? {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    };
    fields.insert("apiVersion".to_owned(), kind.api_version().into());
    fields.insert("kind".to_owned(), kind.kind.into());
    Ok(Value::Object(fields).to_string().into_bytes())
}
