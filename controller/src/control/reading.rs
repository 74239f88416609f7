//! Whose logs are looked at.

use fault::{NodeName, Selector, Target};
use proto::control as wire;

use super::handle::Control;
use super::resolving::{ResolveError, Role};
use crate::failure::{Cause, Failure};
use crate::link::Link;
use crate::log::{self, Sought};
use crate::planning::{End, Place};

impl Control {
    /// The targets whose logs are meant, with the ways to their agents.
    ///
    /// # Errors
    /// They are not those that were meant before, or one of them cannot be asked.
    pub(crate) async fn logs(
        &self,
        selectors: &[Selector],
        since: &[wire::TargetLog],
        seed: u64,
    ) -> Result<Vec<(Link, Sought)>, ResolveError> {
        let sight = self.sight_of(selectors).await;
        let found = self.all(selectors, Role::Processes, seed, &sight).await?;
        let found: Vec<(NodeName, Target)> = found.into_iter().filter_map(target).collect();
        let Some(first) = selectors.first() else { return Ok(Vec::new()) };
        if found.is_empty() {
            let asked = "any node: addresses write nothing".to_owned();
            return Err(ResolveError::Nothing { selector: first.clone(), asked });
        }
        let sought = log::sought(found, since).map_err(|other| ResolveError::Other {
            selector: first.clone(),
            other: other.to_string(),
        })?;
        let linked = |sought: Sought| match self.agents().link(&sought.node) {
            Some(link) => Ok((link, sought)),
            None => Err(ResolveError::Unreachable(sought.node)),
        };
        sought.into_iter().map(linked).collect()
    }
}

fn target(end: End) -> Option<(NodeName, Target)> {
    match end.place {
        Place::Target(node, target) => Some((node, *target)),
        Place::Addresses(_) => None,
    }
}

/// What an agent said instead of telling a log.
pub(crate) fn unread(node: NodeName, failure: Failure) -> ResolveError {
    match failure {
        Failure { cause: Cause::Refused, reason, hint, .. } => {
            ResolveError::Refused { node, reason, hint: hint.unwrap_or_default() }
        }
        Failure { reason, .. } => ResolveError::Agent { node, reason },
    }
}
