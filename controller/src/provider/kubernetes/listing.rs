//! Pods as whoever may list them finds them, who need not be allowed to know anything of nodes.

use cluster::Within;
use fault::KubernetesPods;

use super::asking::{PodsError, Source, check_containers};
use super::selection::{begun, touchable};
use super::{Found, Kubernetes};

/// For what pods are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Something is to be done to them.
    Fault,
    /// What they write is to be read.
    Log,
}

impl Kubernetes {
    /// The pods that a selector names now, and how they are by what they say themselves. Whether one may be hit decides
    /// whoever does it.
    ///
    /// # Errors
    /// The API server does not say, or there is nothing of that name.
    pub async fn list(&self, pods: &KubernetesPods, purpose: Purpose) -> Result<Found, PodsError> {
        let namespace = pods.namespace.as_str();
        let within = Within::Namespace(namespace.parse()?);
        let named = self.named(&within, pods, Source::Asked).await?;
        if named.is_empty() {
            self.check_namespace(namespace).await?;
        }
        check_containers(&named, &pods.which)?;
        Ok(match purpose {
            Purpose::Fault => Found::sorted(&named, touchable),
            Purpose::Log => Found::sorted(&named, begun),
        })
    }
}
