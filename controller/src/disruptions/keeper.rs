//! The tasks that keep objects and disruptions the same: one that watches each kind, and one for each object.
//!
//! Only who leads has them. What they know is what the API server and the controller tell; whatever one was about to do
//! when it ended, the next leader's comes to it by itself.

mod course;
mod ending;

use std::collections::BTreeMap;

use cluster::{Client, Event, Selection, Within};
use fault::{IntentId, Limits};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::resource::{ClusterDisruption, Disruption, Kind, Object, OfKind};
use crate::archive::{Audit, Journal};
use crate::control::Control;
use crate::disruption::is_over;
use crate::keeping::waiting::told_to_stop;
use crate::objects::{Tenure, while_own};
use crate::runs::Runs;
use course::Course;

/// What they work with.
#[derive(Clone)]
pub struct Means {
    /// Whether objects are this installation's to keep.
    pub tenure: watch::Receiver<Tenure>,
    /// Whom they ask for objects.
    pub client: Client,
    /// Whom they ask for disruptions.
    pub control: Control,
    /// Who knows which namespaces let them in.
    pub runs: Runs,
    /// Where it is written down who asked.
    pub audit: Journal<Audit>,
    /// How much may be hit at once.
    pub limits: Limits,
}

/// Keeps objects and disruptions the same as long as that is this installation's to do, until it is told to stop. What
/// was begun for objects is undone once they are another one's to keep.
pub async fn keep(means: Means, stopped: watch::Receiver<bool>) {
    let keeper = |stopped: watch::Receiver<bool>| {
        let means = means.clone();
        async move {
            let pods = run::<Disruption>(means.clone(), stopped.clone());
            tokio::join!(pods, run::<ClusterDisruption>(means, stopped));
        }
    };
    let yields = |namespace| ending::all(means.clone(), namespace);
    while_own(means.tenure.clone(), stopped, keeper, yields).await;
}

/// What is told to whoever sees to an object: how it is now, nothing once it is gone.
type Heard = watch::Receiver<Option<Object>>;

/// Objects of one kind, each with whoever sees to it, by their UIDs.
struct Keeper {
    means: Means,
    kind: Kind,
    told: BTreeMap<String, watch::Sender<Option<Object>>>,
    stopped: watch::Receiver<bool>,
    tasks: JoinSet<()>,
    /// What was last told of an API server that does not answer, so that hours of it fill no disk.
    trouble: String,
}

async fn run<R: OfKind>(means: Means, mut stopped: watch::Receiver<bool>) {
    let mut watch = means.client.watch::<R>(Within::Cluster, Selection::default());
    let mut keeper = Keeper {
        means,
        kind: R::OWN,
        told: BTreeMap::new(),
        stopped: stopped.clone(),
        tasks: JoinSet::new(),
        trouble: String::new(),
    };
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopped) => break,
            event = watch.next() => keeper.happened::<R>(event).await,
            Some(_) = keeper.tasks.join_next() => {}
        }
    }
    // Each lets go of its object, within a time of its own.
    while keeper.tasks.join_next().await.is_some() {}
}

impl Keeper {
    async fn happened<R: OfKind>(&mut self, event: Event<R>) {
        match event {
            Event::Listed(all) => {
                self.trouble.clear();
                let all: Vec<Object> = all.into_iter().map(Into::into).collect();
                let is_there = |uid: &String| all.iter().any(|one| one.metadata.uid == *uid);
                self.told.retain(|uid, told| {
                    let stays = is_there(uid);
                    if !stays {
                        told.send_replace(None);
                    }
                    stays
                });
                self.end_orphans(&all).await;
                all.into_iter().for_each(|object| self.take::<R>(object));
            }
            Event::Applied(object) => self.take::<R>(object.into()),
            Event::Deleted(object) => {
                let told = self.told.remove(&object.metadata().uid);
                drop(told.map(|told| told.send_replace(None)));
            }
            Event::Trouble(error) => {
                let reason = error.to_string();
                if self.trouble != reason {
                    tracing::warn!(%reason, "disruptions as objects are not watched; trying again and again");
                    self.trouble = reason;
                }
            }
        }
    }

    fn take<R: OfKind>(&mut self, object: Object) {
        if let Some(told) = self.told.get(&object.metadata.uid) {
            told.send_replace(Some(object));
            return;
        }
        let place = object.place(self.kind);
        let Some(id) = object.id() else {
            // No API server makes such a UID; nothing could be known by it.
            return tracing::error!(%place, "left alone: its UID is none");
        };
        let uid = object.metadata.uid.clone();
        let (told, heard) = watch::channel(Some(object.clone()));
        self.told.insert(uid, told);
        let course = Course::<R>::new(self.means.clone(), (id, place), object, heard);
        self.tasks.spawn(course.run(self.stopped.clone()));
    }

    /// Ends what goes on for an object that is not there any more, however it went.
    async fn end_orphans(&mut self, all: &[Object]) {
        // A controller that ends leaves it to its next life.
        let Ok(known) = self.means.control.listing().await else { return };
        for one in known.disruptions.into_iter().filter(|one| !is_over(one)) {
            let Some(of) = one.object.filter(|of| of.kind == self.kind.word()) else { continue };
            if all.iter().any(|object| object.metadata.uid == of.uid) {
                continue;
            }
            let reason = format!("{} {} is gone", of.kind, of.name);
            let id = IntentId::from_random(one.id);
            self.tasks.spawn(ending::one(self.means.clone(), id, reason));
        }
    }
}
