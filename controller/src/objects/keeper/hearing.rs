//! What a keeper waits for: the API server, the driver of intents, a time, its own end.

use std::pin::Pin;
use std::time::Duration;

use cluster::{Client, Definition, Event, NamespaceObject, Resource, Selection, Within};
use futures_util::Stream;
use proto::control as wire;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::Status as Refusal;

use crate::control::Control;
use crate::objects::resource::{ClusterFault, Fault, GROUP, Kind};
use crate::serve::watching;

/// What may have been heard and not been looked at yet.
const WAITING: usize = 64;

/// What is told by the API server.
pub(super) enum Heard {
    Fault(Event<Fault>),
    OfCluster(Event<ClusterFault>),
    Namespace(Event<NamespaceObject>),
    Definition(Kind, Event<Definition>),
}

type Intents = Pin<Box<dyn Stream<Item = Result<wire::Event, Refusal>> + Send>>;

/// Hears of everything, each by itself, so that what happens elsewhere never has it begin anew; for as long as the tasks
/// are kept.
pub(super) fn hear(client: &Client) -> (JoinSet<()>, mpsc::Receiver<Heard>) {
    let (heard, hearing) = mpsc::channel(WAITING);
    let mut watching = JoinSet::new();
    let client = || client.clone();
    let all = Selection::default;
    watching.spawn(follow(client(), all(), heard.clone(), Heard::Fault));
    watching.spawn(follow(client(), all(), heard.clone(), Heard::OfCluster));
    watching.spawn(follow(client(), all(), heard.clone(), Heard::Namespace));
    for kind in Kind::ALL {
        let of = move |event| Heard::Definition(kind, event);
        watching.spawn(follow(client(), defining(kind), heard.clone(), of));
    }
    (watching, hearing)
}

/// The definition of a kind.
fn defining(kind: Kind) -> Selection {
    let fields = Some(format!("metadata.name={}.{GROUP}", kind.plural()));
    Selection { labels: None, fields }
}

async fn follow<R: Resource>(
    client: Client,
    selection: Selection,
    heard: mpsc::Sender<Heard>,
    of: impl Fn(Event<R>) -> Heard + Send,
) {
    let mut watch = client.watch::<R>(Within::Cluster, selection);
    loop {
        let event = watch.next().await;
        if heard.send(of(event)).await.is_err() {
            return;
        }
    }
}

/// What became of intents, and what becomes of them; `None` of a controller that ends.
pub(super) async fn told(control: &Control) -> Option<Intents> {
    let told = watching::told(control.clone(), 0).await.ok()?;
    Some(Box::pin(told))
}

pub(in crate::objects) async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone is a controller that ends.
    let _ = stopped.wait_for(|stop| *stop).await;
}

pub(super) async fn passed(wake: Option<u64>, now: u64) {
    match wake {
        Some(at) => tokio::time::sleep(Duration::from_nanos(at.saturating_sub(now))).await,
        None => std::future::pending().await,
    }
}
