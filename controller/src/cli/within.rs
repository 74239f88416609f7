//! In which namespace roles are looked for, as people type it.

use clap::Args;
use fault::{ClusterPath, Scheme, Selector};

/// `-n`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct WithinArgs {
    /// The namespace of Kubernetes in which the etcd or Zeebe is whose roles are named, and which of several there
    #[arg(short, long, value_name = "NAMESPACE[/INSTANCE]")]
    pub namespace: Option<ClusterPath>,
}

/// A namespace, and nothing that is looked for in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("-n {0} is where roles are looked for, and none is named")]
pub struct NoRole(ClusterPath);

impl NoRole {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        format!(
            "roles are such as etcd:leader; pods are named with their namespace, k8s:{}/pod/NAME",
            self.0.name
        )
    }
}

impl WithinArgs {
    /// Has roles that say no cluster be those of the namespace.
    ///
    /// # Errors
    /// One was typed, and no role.
    pub fn apply<'a>(
        &self,
        selectors: impl IntoIterator<Item = &'a mut Selector>,
    ) -> Result<(), NoRole> {
        let Some(path) = &self.namespace else { return Ok(()) };
        let mut named = false;
        for selector in selectors {
            let cluster = match &mut selector.scheme {
                Scheme::Etcd(members) => &mut members.cluster,
                Scheme::Zeebe(members) => &mut members.cluster,
                Scheme::Netns(_)
                | Scheme::Pid(_)
                | Scheme::Container(_)
                | Scheme::Pod(_)
                | Scheme::Host(_)
                | Scheme::Addr(_)
                | Scheme::Kubernetes(_) => continue,
            };
            named = true;
            cluster.get_or_insert_with(|| path.clone());
        }
        if named { Ok(()) } else { Err(NoRole(path.clone())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_that_say_no_cluster_are_those_of_the_namespace() {
        let meant = |namespace: &str, texts: &[&str]| {
            let mut all: Vec<Selector> = texts.iter().map(|text| text.parse().unwrap()).collect();
            let within = WithinArgs { namespace: Some(namespace.parse().unwrap()) };
            let applied = within.apply(&mut all);
            applied.map(|()| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let both = ["zeebe:partition/1/leader", "one:etcd:follower@n1"];
        assert_eq!(
            meant("camunda", &both).unwrap(),
            ["zeebe:camunda/partition/1/leader", "one:etcd:camunda/follower@n1"]
        );
        assert_eq!(
            meant("camunda/blue", &["zeebe:gateway", "zeebe:red/broker", "k8s:a/pod/b"]).unwrap(),
            ["zeebe:camunda/blue/gateway", "zeebe:red/broker", "k8s:a/pod/b"]
        );
        let error = meant("camunda", &["k8s:a/pod/b"]).unwrap_err();
        assert!(error.to_string().starts_with("-n camunda is where roles"), "{error}");
        assert_eq!(WithinArgs::default().apply(&mut []), Ok(()));
    }
}
