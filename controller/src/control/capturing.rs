//! Whose packets are captured, with the way to its agent.

use fault::{Capture, NodeName, Prefix, Selector, Target};

use super::Control;
use super::resolving::{ResolveError, Role};
use crate::link::Link;
use crate::planning::{End, Place};

/// One target of one node.
pub(crate) struct Captured {
    /// As it was found.
    pub(crate) end: End,
    /// Where it is.
    pub(crate) node: NodeName,
    /// What it is.
    pub(crate) target: Target,
    /// Its agent.
    pub(crate) link: Link,
    /// The addresses of the other side.
    pub(crate) peers: Vec<Prefix>,
}

impl Control {
    /// The target that a selector names, and the addresses of what others name.
    ///
    /// # Errors
    /// It names none or several, or the agent cannot be asked.
    pub(crate) async fn captured(
        &self,
        target: &Selector,
        peers: &[Selector],
        seed: u64,
    ) -> Result<Captured, ResolveError> {
        let named: Vec<Selector> = peers.iter().chain([target]).cloned().collect();
        let sight = self.sight_of(&named).await;
        let found = self.all(std::slice::from_ref(target), Role::Receiver, seed, &sight).await?;
        let end = one(target, found)?;
        let (node, found) = match &end.place {
            Place::Target(node, target) => (node.clone(), target.as_ref().clone()),
            Place::Addresses(_) => {
                let asked = "any node: addresses are no target".to_owned();
                return Err(ResolveError::Nothing { selector: target.clone(), asked });
            }
        };
        let link = self.agents().link(&node);
        let link = link.ok_or_else(|| ResolveError::Unreachable(node.clone()))?;
        let others = self.all(peers, Role::Receiver, seed, &sight).await?;
        let peers: Vec<Prefix> = others.iter().flat_map(addresses).collect();
        match (others.is_empty(), peers.is_empty(), peers.len() > Capture::MOST_PEERS) {
            (true, _, _) | (false, false, false) => {
                Ok(Captured { end, node, target: found, link, peers })
            }
            (false, is_nothing, _) => {
                let selector = named.first().unwrap_or(target).clone();
                let reason = match is_nothing {
                    true => "it has no address".to_owned(),
                    false => format!("it has more than {} addresses", Capture::MOST_PEERS),
                };
                Err(ResolveError::Other { selector, other: reason })
            }
        }
    }
}

fn one(selector: &Selector, mut found: Vec<End>) -> Result<End, ResolveError> {
    match (found.pop(), found.is_empty()) {
        (Some(end), true) => Ok(end),
        (None, _) => {
            let asked = "any node".to_owned();
            Err(ResolveError::Nothing { selector: selector.clone(), asked })
        }
        (Some(last), false) => {
            found.push(last);
            let name = |end: &End| match &end.place {
                Place::Target(node, target) => format!("{}@{node}", target.selector.scheme),
                Place::Addresses(_) => end.selector.to_string(),
            };
            let matches = found.iter().map(name).collect();
            Err(ResolveError::Ambiguous { selector: selector.clone(), matches })
        }
    }
}

/// What others reach it by.
fn addresses(end: &End) -> Vec<Prefix> {
    match &end.place {
        Place::Target(_, target) => crate::capture::addresses(target),
        Place::Addresses(prefixes) => prefixes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::specimen;

    fn end(name: &str, cookie: u64) -> End {
        let target = specimen::target(name, specimen::identity(cookie, None));
        let node = NodeName::new("n1").unwrap();
        let place = Place::Target(node, Box::new(target));
        End::found(name.parse().unwrap(), place, Vec::new())
    }

    #[test]
    fn it_must_be_one() {
        let selector: Selector = "all:container:abcd".parse().unwrap();
        let both = vec![end("container:abcd1", 1), end("container:abcd2", 2)];
        assert!(matches!(one(&selector, Vec::new()), Err(ResolveError::Nothing { .. })));
        assert_eq!(one(&selector, vec![both[0].clone()]).unwrap(), both[0]);
        let Err(ResolveError::Ambiguous { matches, .. }) = one(&selector, both) else {
            panic!("which of them is not said");
        };
        assert_eq!(matches, ["container:abcd1@n1", "container:abcd2@n1"]);
    }
}
