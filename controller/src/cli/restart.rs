//! What becomes of a fault when a pod goes, as people type it.

use clap::{Args, ValueEnum};
use fault::{Scheme, Selector};

use crate::spec::OnRestart;

/// `--on-restart`.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct RestartArgs {
    /// What becomes of it when a pod that it is about goes: the pod that takes its place gets it again for
    /// the time that is left, or it ends. Of pods that are named by k8s: alone [default: reapply]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub on_restart: Option<RestartArg>,
}

/// What becomes of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RestartArg {
    /// The pod that takes its place gets it again, for the time that is left
    Reapply,
    /// It ends
    End,
}

/// Nobody is named whose place others take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--on-restart is about pods of a cluster, k8s:NAMESPACE/…, and none is named")]
pub struct NoPods;

impl RestartArgs {
    /// What was said, of whoever is named.
    ///
    /// # Errors
    /// No pods are named, and it was said all the same.
    pub(crate) fn of<'a>(
        self,
        mut named: impl Iterator<Item = &'a Selector>,
    ) -> Result<Option<OnRestart>, NoPods> {
        let Some(said) = self.on_restart else { return Ok(None) };
        if !named.any(|selector| matches!(selector.scheme, Scheme::Kubernetes(_))) {
            return Err(NoPods);
        }
        Ok(Some(match said {
            RestartArg::Reapply => OnRestart::Reapply,
            RestartArg::End => OnRestart::End,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_about_pods_alone() {
        let of = |said: Option<RestartArg>, named: &[&str]| {
            let named: Vec<Selector> = named.iter().map(|text| text.parse().unwrap()).collect();
            RestartArgs { on_restart: said }.of(named.iter())
        };
        let (reapply, end) = (Some(RestartArg::Reapply), Some(RestartArg::End));
        assert_eq!(of(None, &["netns:a"]), Ok(None));
        assert_eq!(of(end, &["netns:a", "k8s:prod/pod/a"]), Ok(Some(OnRestart::End)));
        assert_eq!(of(reapply, &["k8s:prod/svc/a"]), Ok(Some(OnRestart::Reapply)));
        let uid = "pod:7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";
        assert_eq!(of(end, &["netns:a", uid]), Err(NoPods));
    }
}
