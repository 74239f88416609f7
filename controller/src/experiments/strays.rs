//! Faults that a Job has made and left: those of a run that goes on no more are deleted.
//!
//! A run heals what it has put in. One that is killed heals nothing, and a Fault that goes with its pod goes only when
//! that is taken away; what is of the cluster goes with nothing in a namespace. By their label both say of which run
//! they are.

use std::collections::BTreeSet;

use cluster::{
    ApiError, Client, Metadata, Name, Precondition, Reason, Resource, Selection, Within,
};
use fault::IntentId;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::job::{LABEL, run_of};
use crate::objects::resource::{ClusterFault, Fault};
use crate::pause;

/// The runs that go on as Jobs.
pub(super) type Going = BTreeSet<u64>;

/// Deletes faults of runs that go on no more, as often as that is heard of one; first of all those that were left
/// before. Which go on is not known before all objects are.
pub(super) async fn end(client: Client, mut going: watch::Receiver<Option<Going>>) {
    let Ok(known) = going.wait_for(Option::is_some).await.map(|known| known.clone()) else {
        return;
    };
    let mut known = known.unwrap_or_default();
    let mut gone = Gone::Anybody;
    let (mut failures, mut trouble) = (0, String::new());
    loop {
        match sweep(&client, &gone, &going).await {
            Ok(()) => {
                gone = Gone::These(Going::new());
                failures = 0;
                trouble.clear();
            }
            Err(error) => {
                let reason = error.to_string();
                // Hours of it fill no disk.
                if trouble != reason {
                    tracing::warn!(%reason, "faults of runs that are over may be left; trying again");
                    trouble = reason;
                }
                // Meanwhile a run may begin and end of which nobody is told.
                gone = Gone::Anybody;
                tokio::time::sleep(pause::after(failures, &error, pause::lot())).await;
                failures = failures.saturating_add(1);
            }
        }
        while gone.is_nobody() {
            if going.changed().await.is_err() {
                return;
            }
            gone.add(&mut known, &going);
        }
        gone.add(&mut known, &going);
    }
}

/// Whose faults are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Gone {
    /// Of whatever run.
    Anybody,
    /// Of these runs.
    These(Going),
}

impl Gone {
    fn is_nobody(&self) -> bool {
        matches!(self, Self::These(runs) if runs.is_empty())
    }

    /// Takes up those that go on no more.
    fn add(&mut self, known: &mut Going, going: &watch::Receiver<Option<Going>>) {
        let now = going.borrow().clone().unwrap_or_default();
        match self {
            Self::Anybody => {}
            Self::These(runs) => runs.extend(known.difference(&now)),
        }
        *known = now;
    }

    /// As an API server is asked for them.
    fn selection(&self) -> Selection {
        Selection::labels(match self {
            Self::Anybody => LABEL.to_owned(),
            Self::These(runs) => {
                let names = runs.iter().map(|run| IntentId::from_random(*run).to_string());
                format!("{LABEL} in ({})", names.collect::<Vec<_>>().join(","))
            }
        })
    }
}

/// Deletes what is there of them. A run that begins meanwhile is known to go on before it makes anything.
async fn sweep(
    client: &Client,
    gone: &Gone,
    going: &watch::Receiver<Option<Going>>,
) -> Result<(), ApiError> {
    let pods = of::<Fault>(client, gone, going).await;
    // What is in the way of some keeps none of the others.
    of::<ClusterFault>(client, gone, going).await.and(pods)
}

async fn of<R: Resource>(
    client: &Client,
    gone: &Gone,
    going: &watch::Receiver<Option<Going>>,
) -> Result<(), ApiError> {
    let there = client.list::<R>(&Within::Cluster, &gone.selection()).await?.items;
    let mut deleting = JoinSet::new();
    for one in there {
        let metadata = one.metadata().clone();
        if is_stray(&metadata, going.borrow().as_ref()) {
            let client = client.clone();
            deleting.spawn(async move { delete::<R>(&client, &metadata).await });
        }
    }
    deleting.join_all().await.into_iter().collect()
}

/// Whether something was made by a run that goes on no more.
fn is_stray(metadata: &Metadata, going: Option<&Going>) -> bool {
    let is_over = |run: u64| going.is_some_and(|going| !going.contains(&run));
    metadata.deletion_timestamp.is_none() && run_of(metadata).is_some_and(is_over)
}

async fn delete<R: Resource>(client: &Client, metadata: &Metadata) -> Result<(), ApiError> {
    let within = match metadata.namespace.as_deref().map(str::parse) {
        Some(Ok(namespace)) => Within::Namespace(namespace),
        None => Within::Cluster,
        // No API server has such a name.
        Some(Err(_)) => return Ok(()),
    };
    let Ok(name) = metadata.name.parse::<Name>() else { return Ok(()) };
    let that = Precondition { uid: Some(metadata.uid.clone()), resource_version: None };
    match client.delete::<R>(&within, &name, &that).await {
        Ok(()) => {
            tracing::info!(kind = R::KIND.kind, %name, "deleted: its run goes on no more");
            Ok(())
        }
        // Another one has its name by now.
        Err(error) if error.reason() == Some(&Reason::Conflict) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(label: &str) -> Metadata {
        let labels = [(LABEL.to_owned(), label.to_owned())].into();
        Metadata { name: "one".to_owned(), labels, ..Metadata::default() }
    }

    #[test]
    fn a_stray_is_of_a_run_that_goes_on_no_more() {
        let going = Going::from([0xa]);
        let table = [
            (metadata("00000000000a"), Some(&going), false),
            (metadata("00000000000b"), Some(&going), true),
            // Nobody knows yet which go on.
            (metadata("00000000000b"), None, false),
            (metadata("somebody's"), Some(&going), false),
            (Metadata::default(), Some(&going), false),
        ];
        for (metadata, going, is_one) in table {
            assert_eq!(is_stray(&metadata, going), is_one, "{metadata:?}");
        }
        let deletion_timestamp = Some("2026-01-01T00:00:00Z".to_owned());
        assert!(!is_stray(&Metadata { deletion_timestamp, ..metadata("b") }, Some(&going)));
    }

    #[test]
    fn after_the_first_look_only_those_are_looked_for_that_have_ended_since() {
        let (sender, going) = watch::channel(Some(Going::from([1, 2])));
        let mut known = Going::from([1, 2]);
        let mut gone = Gone::Anybody;
        assert_eq!(gone.selection().labels.as_deref(), Some("schism.dev/experiment"));
        gone.add(&mut known, &going);
        assert!(!gone.is_nobody());
        gone = Gone::These(Going::new());
        assert!(gone.is_nobody());
        sender.send_replace(Some(Going::from([2, 3])));
        gone.add(&mut known, &going);
        sender.send_replace(Some(Going::from([3])));
        gone.add(&mut known, &going);
        let both = "schism.dev/experiment in (000000000001,000000000002)";
        assert_eq!(gone.selection().labels.as_deref(), Some(both));
        assert_eq!(known, Going::from([3]));
    }
}
