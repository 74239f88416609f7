//! What a user asks an API server about objects: to make one, to delete it, and what becomes of it.

use cluster::{
    ApiError, Client, Event, NameError, Precondition, Reason, Resource, Selection, Watch, Within,
};

use serde_json::json;

use super::resource::{COUNT, ClusterFault, Fault, Kind, Object, Place};
use crate::failure::{Cause, Failure};

/// Makes an object.
///
/// # Errors
/// The API server says no, or does not answer.
pub(crate) async fn create(
    client: &Client,
    place: &Place,
    object: &Object,
) -> Result<Object, ApiError> {
    let within = match place.kind {
        Kind::Fault => Within::Namespace(named(place.namespace.parse(), place)?),
        Kind::ClusterFault => Within::Cluster,
    };
    match place.kind {
        Kind::Fault => client.create(&within, &Fault(object.clone())).await.map(Object::from),
        Kind::ClusterFault => {
            client.create(&within, &ClusterFault(object.clone())).await.map(Object::from)
        }
    }
}

/// The object that is there; `None` if there is none.
///
/// # Errors
/// The API server says no, or does not answer.
pub(crate) async fn find(client: &Client, place: &Place) -> Result<Option<Object>, ApiError> {
    let (within, name) = named(place.path(), place)?;
    let found = match place.kind {
        Kind::Fault => client.get::<Fault>(&within, &name).await.map(Object::from),
        Kind::ClusterFault => client.get::<ClusterFault>(&within, &name).await.map(Object::from),
    };
    match found {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.reason() == Some(&Reason::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn named<T>(name: Result<T, NameError>, place: &Place) -> Result<T, ApiError> {
    name.map_err(|error| ApiError {
        attempted: format!("name {place}"),
        cause: cluster::Cause::Malformed(error.to_string()),
    })
}

/// Deletes an object: that one, where it is known which.
///
/// # Errors
/// The API server says no, or does not answer.
pub(crate) async fn delete(
    client: &Client,
    place: &Place,
    uid: Option<&str>,
) -> Result<(), ApiError> {
    let (within, name) = named(place.path(), place)?;
    let that = Precondition { uid: uid.map(ToOwned::to_owned), resource_version: None };
    match place.kind {
        Kind::Fault => client.delete::<Fault>(&within, &name, &that).await,
        Kind::ClusterFault => client.delete::<ClusterFault>(&within, &name, &that).await,
    }
}

/// Asks for the counts of an object to be told anew, with a word by which they are known.
///
/// # Errors
/// The API server says no, or does not answer.
pub(crate) async fn count(client: &Client, place: &Place, word: &str) -> Result<(), ApiError> {
    let (within, name) = named(place.path(), place)?;
    let patch = json!({ "metadata": { "annotations": { COUNT: word } } });
    match place.kind {
        Kind::Fault => client.merge::<Fault>(&within, &name, &patch).await.map(drop),
        Kind::ClusterFault => client.merge::<ClusterFault>(&within, &name, &patch).await.map(drop),
    }
}

/// A watch of one object of either kind.
pub(crate) enum Watched {
    Fault(Box<Watch<Fault>>),
    OfCluster(Box<Watch<ClusterFault>>),
}

/// What was told of it.
pub(crate) enum Told {
    Object(Box<Object>),
    /// It is gone, and was so last, if that is known.
    Gone(Option<Box<Object>>),
    /// It is tried again.
    Trouble(String),
}

impl Watched {
    /// Whatever has the name.
    pub(crate) fn new(client: &Client, place: &Place) -> Self {
        let fields = Some(format!("metadata.name={}", place.name));
        let selection = Selection { labels: None, fields };
        match (place.kind, place.path()) {
            (Kind::Fault, Ok((within, _))) => {
                Self::Fault(Box::new(client.watch(within, selection)))
            }
            (Kind::Fault | Kind::ClusterFault, _) => {
                Self::OfCluster(Box::new(client.watch(Within::Cluster, selection)))
            }
        }
    }

    /// What is told next. A call that is dropped loses nothing.
    pub(crate) async fn next(&mut self) -> Told {
        match self {
            Self::Fault(watch) => told(watch.next().await),
            Self::OfCluster(watch) => told(watch.next().await),
        }
    }
}

fn told<R: Resource + Into<Object>>(event: Event<R>) -> Told {
    match event {
        Event::Listed(all) => match all.into_iter().next() {
            Some(one) => Told::Object(Box::new(one.into())),
            None => Told::Gone(None),
        },
        Event::Applied(one) => Told::Object(Box::new(one.into())),
        Event::Deleted(one) => Told::Gone(Some(Box::new(one.into()))),
        Event::Trouble(error) => Told::Trouble(error.to_string()),
    }
}

/// Why an API server did not do something, for people.
pub(crate) fn refused(attempted: &str, error: &ApiError) -> Failure {
    let cluster::Cause::Refused { code, reason, message, .. } = &error.cause else {
        return Failure::caused(Cause::Unreachable, attempted, &error.cause);
    };
    // Its own sentence, and not by whom it was found.
    let message =
        message.rsplit_once("denied request: ").map_or(message.as_str(), |(_, said)| said);
    let failure = |cause| Failure::caused(cause, attempted, message);
    match reason {
        Reason::Forbidden => failure(Cause::Refused),
        Reason::Unauthorized => failure(Cause::Refused).hint(error.hint()),
        Reason::Invalid => failure(Cause::WrongUsage),
        Reason::NotFound if message.contains("requested resource") => failure(Cause::Unsupported)
            .hint("this cluster knows no faults: `schism install | kubectl apply -f -` tells it of them"),
        Reason::NotFound => failure(Cause::NotFound),
        Reason::Other(_) if *code == 400 => failure(Cause::WrongUsage),
        Reason::AlreadyExists
        | Reason::Conflict
        | Reason::Expired
        | Reason::Budget
        | Reason::Other(_) => failure(Cause::Unreachable),
    }
}
