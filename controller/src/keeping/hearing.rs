//! What a keeper hears of the API server.

use cluster::{Client, Definition, Event, NamespaceObject, Resource, Selection, Within};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{GROUP, Pair, Side};

/// What may have been heard and not been looked at yet.
const WAITING: usize = 64;

/// What is told by the API server.
pub(crate) enum Heard<S: Side> {
    Namespaced(Event<<S::Kind as Pair>::Namespaced>),
    OfCluster(Event<<S::Kind as Pair>::OfCluster>),
    Namespace(Event<NamespaceObject>),
    Definition(S::Kind, Event<Definition>),
    Other(S::Heard),
}

/// Hears of everything, each by itself, so that what happens elsewhere never has it begin anew; for as long as it is
/// kept.
pub(crate) struct Hearing<S: Side> {
    client: Client,
    watching: JoinSet<()>,
    heard: mpsc::Sender<Heard<S>>,
    hearing: mpsc::Receiver<Heard<S>>,
}

impl<S: Side> Hearing<S> {
    /// Hears of objects and their definitions, and of namespaces.
    pub(crate) fn of(client: &Client) -> Self {
        let (heard, hearing) = mpsc::channel(WAITING);
        let mut own = Self { client: client.clone(), watching: JoinSet::new(), heard, hearing };
        let all = || (Within::Cluster, Selection::default());
        own.follow(all(), Heard::Namespaced);
        own.follow(all(), Heard::OfCluster);
        own.follow(all(), Heard::Namespace);
        for kind in S::Kind::BOTH {
            let fields = Some(format!("metadata.name={}.{GROUP}", kind.names().plural));
            let definition = Selection { labels: None, fields };
            own.follow((Within::Cluster, definition), move |event| Heard::Definition(kind, event));
        }
        own
    }

    /// Hears of something else as well.
    pub(crate) fn follow<R: Resource>(
        &mut self,
        (within, selection): (Within, Selection),
        of: impl Fn(Event<R>) -> Heard<S> + Send + 'static,
    ) {
        let mut watch = self.client.watch::<R>(within, selection);
        let heard = self.heard.clone();
        self.watching.spawn(async move {
            loop {
                let event = watch.next().await;
                if heard.send(of(event)).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Has something else go on beside it, for as long as it is kept.
    pub(crate) fn beside(&mut self, other: impl Future<Output = ()> + Send + 'static) {
        self.watching.spawn(other);
    }

    /// What is heard next.
    pub(super) async fn next(&mut self) -> Option<Heard<S>> {
        self.hearing.recv().await
    }
}
