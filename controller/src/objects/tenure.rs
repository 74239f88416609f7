//! Whether this controller keeps the faults that are objects: those of a cluster are kept by one installation.

use std::fmt;

use cluster::{ClusterRoleBinding, Event, Selection, Within};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::installations::{Installations, Keeper, binding};
use super::keeper::{self, Means};
use crate::keeping::Lack;
use crate::keeping::waiting::in_turn;

/// What all objects of installations have.
const OWN: &str = "app.kubernetes.io/part-of=schism";

/// Whether a controller keeps objects, as its health tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tenure {
    /// Whether it does is not known yet.
    #[default]
    Unknown,
    /// The API server does not say what there is to know for that, and why.
    Untold(String),
    /// It keeps all of them.
    Whole,
    /// The installation in this namespace does.
    Other(String),
    /// It keeps those that it knows, and refuses new ones of these kinds, whose definitions lack so much.
    Partial(Vec<Lack>),
}

impl Tenure {
    /// By what definitions lack.
    pub(crate) fn of(lacks: Vec<Lack>) -> Self {
        if lacks.is_empty() { Self::Whole } else { Self::Partial(lacks) }
    }

    /// Whose it is to keep objects.
    pub(crate) fn whose(&self) -> Keeper {
        match self {
            Self::Whole | Self::Partial(_) => Keeper::Own,
            Self::Other(namespace) => Keeper::Other(namespace.clone()),
            Self::Unknown | Self::Untold(_) => Keeper::Unknown,
        }
    }

    /// Whether objects are this installation's to keep.
    pub(crate) const fn is_own(&self) -> bool {
        match self {
            Self::Whole | Self::Partial(_) => true,
            Self::Unknown | Self::Untold(_) | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for Tenure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("whether it keeps faults as objects is not known yet"),
            Self::Untold(reason) => write!(f, "faults as objects are not kept: {reason}"),
            Self::Whole => f.write_str("all faults as objects are kept"),
            Self::Other(namespace) => write!(
                f,
                "faults as objects are kept by the installation in namespace {namespace}, which is older: it has \
                 ClusterRoleBinding {}",
                binding(namespace)
            ),
            Self::Partial(lacking) => {
                let all: Vec<String> = lacking.iter().map(ToString::to_string).collect();
                write!(f, "new faults as objects are refused: {}", all.join("; "))
            }
        }
    }
}

/// Keeps objects and faults the same as long as that is this installation's to do, until it is told to stop. What it has
/// put in for objects ends once they are another one's to keep.
pub async fn keep(means: Means, stopped: watch::Receiver<bool>) {
    let (told, whose) = watch::channel(Keeper::Unknown);
    let mut following = JoinSet::new();
    following.spawn(follow(means.clone(), told));
    let means = &means;
    let yields = |namespace: String| async move {
        // Once more: whoever kept them until now may have told of itself since.
        says(&means.tenure, Tenure::Other(namespace.clone()));
        keeper::end_all(means, &namespace).await;
    };
    let keeping = |ending| keeper::run(means.clone(), ending);
    in_turn(whose, Keeper::clone, stopped, yields, keeping).await;
}

/// Has a keeper of other objects go on as long as objects are this installation's to keep, until it is told to stop; once
/// they are another one's, in that namespace, what was begun for them is yielded.
pub(crate) async fn while_own<K, Y>(
    tenure: watch::Receiver<Tenure>,
    stopped: watch::Receiver<bool>,
    keeper: impl Fn(watch::Receiver<bool>) -> K,
    yields: impl Fn(String) -> Y,
) where
    K: Future<Output = ()>,
    Y: Future<Output = ()>,
{
    in_turn(tenure, Tenure::whose, stopped, yields, keeper).await;
}

/// Tells whose it is to keep objects, as often as that changes.
async fn follow(means: Means, told: watch::Sender<Keeper>) {
    let mut watch =
        means.client.watch::<ClusterRoleBinding>(Within::Cluster, Selection::labels(OWN));
    let mut known = Installations::new(means.namespace.clone());
    loop {
        match watch.next().await {
            Event::Listed(all) => known.listed(&all),
            Event::Applied(one) => known.applied(&one),
            Event::Deleted(one) => known.deleted(&one),
            Event::Trouble(error) => {
                // Once it is known an API server that is away changes nothing.
                if known.keeper() == Keeper::Unknown {
                    says(&means.tenure, Tenure::Untold(error.to_string()));
                }
                continue;
            }
        }
        let whose = known.keeper();
        match &whose {
            // What of them it can keep is told by who does.
            Keeper::Unknown | Keeper::Own => {}
            Keeper::Other(namespace) => says(&means.tenure, Tenure::Other(namespace.clone())),
        }
        told.send_if_modified(|before| {
            let is_new = *before != whose;
            *before = whose;
            is_new
        });
    }
}

/// Tells how it is, where that is new.
pub(super) fn says(tenure: &watch::Sender<Tenure>, now: Tenure) {
    tenure.send_if_modified(|before| {
        let is_new = *before != now;
        if is_new {
            match &now {
                Tenure::Unknown | Tenure::Whole => tracing::info!("{now}"),
                Tenure::Untold(_) | Tenure::Other(_) | Tenure::Partial(_) => {
                    tracing::warn!("{now}")
                }
            }
            *before = now;
        }
        is_new
    });
}
