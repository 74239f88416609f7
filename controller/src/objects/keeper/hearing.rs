//! What a keeper hears of the API server.

use cluster::{Client, Definition, Event, NamespaceObject, Resource, Selection, Within};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::objects::resource::{ClusterFault, Fault, GROUP, Kind};

/// What may have been heard and not been looked at yet.
const WAITING: usize = 64;

/// What is told by the API server.
pub(super) enum Heard {
    Fault(Event<Fault>),
    OfCluster(Event<ClusterFault>),
    Namespace(Event<NamespaceObject>),
    Definition(Kind, Event<Definition>),
}

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
