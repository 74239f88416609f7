//! Which cluster is meant, and as whom it is asked: as `kubectl` has it.

use std::env;
use std::path::PathBuf;

use cluster::{Client, Programs};

use super::Line;
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;
use crate::provider::kubernetes::config_with;
use crate::settings::Access;

/// Where a namespace is not said.
pub(super) const DEFAULT: &str = "default";

/// Whom a command asks.
pub(super) struct Reached {
    pub(super) client: Client,
    /// The namespace that is meant.
    pub(super) namespace: String,
    /// The file by which it is known; `None` in a pod, which is given what it needs.
    pub(super) kubeconfig: Option<PathBuf>,
}

/// Who is asked, and the namespace that is meant.
///
/// # Errors
/// No kubeconfig that can be used.
pub(super) fn reach(line: &Line) -> Result<Reached, Failure> {
    let attempted = "cannot ask a cluster";
    let kubeconfig = kubeconfig(line);
    let access = match (&kubeconfig, &line.context) {
        (Some(path), context) => {
            Access::Kubeconfig { path: path.clone(), context: context.clone() }
        }
        (None, None) if env::var_os("KUBERNETES_SERVICE_HOST").is_some() => Access::InCluster,
        (None, _) => {
            let reason = "there is no kubeconfig";
            return Err(Failure::caused(Cause::Unreachable, attempted, reason).hint(
                "--kubeconfig or KUBECONFIG says where it is; otherwise ~/.kube/config is read",
            ));
        }
    };
    // It is the user's own command, and the user's own kubeconfig.
    let config = config_with(&access, Programs::Run)
        .map_err(|error| Failure::new(Outcome::WrongUsage, attempted, error))?;
    let own = config.namespace.as_ref().map(ToString::to_string);
    let namespace = line.namespace.clone().or(own).unwrap_or_else(|| DEFAULT.to_owned());
    Ok(Reached { client: Client::new(config).strictly(), namespace, kubeconfig })
}

/// The file that is meant: of several in KUBECONFIG the first that is there.
fn kubeconfig(line: &Line) -> Option<PathBuf> {
    if let Some(typed) = &line.kubeconfig {
        return Some(typed.clone());
    }
    if let Some(all) = env::var_os("KUBECONFIG").filter(|all| !all.is_empty()) {
        let mut all = env::split_paths(&all);
        let first = all.next()?;
        return [first.clone()].into_iter().chain(all).find(|path| path.exists()).or(Some(first));
    }
    let home = PathBuf::from(env::var_os("HOME")?);
    Some(home.join(".kube/config")).filter(|path| path.exists())
}
