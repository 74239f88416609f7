//! Which members a role names.

use std::collections::BTreeSet;
use std::net::IpAddr;

use fault::{MemberName, ZeebeRole};
use zeebe::NodeId;

use super::{RoleError, ZeebeBroker, ZeebeView, view};
use crate::provider::Selected;

/// Why a role names nobody that can be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// It is not known who leads.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// No broker of that number.
    #[error("Zeebe has no broker {number}; it has {}", list(there))]
    NoSuchBroker {
        /// Which was asked for.
        number: u32,
        /// Who is there.
        there: Vec<NodeId>,
    },
    /// Nothing leads to an address that it alone has.
    #[error("nothing tells where {member} of Zeebe is: {}", why.join("; "))]
    NoAddress {
        /// Which.
        member: MemberName,
        /// Why.
        why: Vec<String>,
    },
}

impl ZeebeView {
    /// The members that play a role; an empty answer where nobody follows.
    ///
    /// For a broker by its number it does not matter who leads.
    ///
    /// # Errors
    /// It is not known who leads, there is no such broker, or nothing tells where it is.
    pub fn select(&self, role: &ZeebeRole) -> Result<Vec<Selected>, SelectError> {
        match role {
            ZeebeRole::Leader(partition) => {
                let roles = self.roles(*partition)?;
                self.brokers_of(&[roles.leader], &roles.said)
            }
            ZeebeRole::Follower(partition) => {
                let roles = self.roles(*partition)?;
                self.brokers_of(&roles.followers, &roles.said)
            }
            ZeebeRole::AnyBroker => {
                let all: Vec<NodeId> = self.brokers.keys().copied().collect();
                self.brokers_of(&all, &[])
            }
            ZeebeRole::Broker(number) => {
                let id = NodeId::new(*number);
                if !self.brokers.contains_key(&id) {
                    let there = self.brokers.keys().copied().collect();
                    return Err(SelectError::NoSuchBroker { number: *number, there });
                }
                self.brokers_of(&[id], &[])
            }
            ZeebeRole::Gateway => {
                let found = self.gateways.iter().map(|gateway| {
                    let said = match &gateway.answer {
                        Ok(topology) => {
                            let count = topology.brokers.len();
                            format!("{} has heard of {count} brokers", gateway.name)
                        }
                        Err(error) => format!("{} says nothing: {error}", gateway.name),
                    };
                    let evidence = vec![said, format!("{} is at {}", gateway.name, gateway.at)];
                    found(gateway.name.clone(), &gateway.addresses, &gateway.astray, evidence)
                });
                found.collect()
            }
        }
    }

    fn brokers_of(&self, ids: &[NodeId], said: &[String]) -> Result<Vec<Selected>, SelectError> {
        let chosen = self.brokers.iter().filter(|(id, _)| ids.contains(id));
        let found = chosen.map(|(id, broker)| {
            let ZeebeBroker { addresses, astray, answer } = broker;
            let mut evidence = said.to_vec();
            if let Err(silence) = answer
                && said.is_empty()
            {
                evidence.push(format!("{} says nothing: {silence}", view::name(*id)));
            }
            found(view::name(*id), addresses, astray, evidence)
        });
        found.collect()
    }
}

fn found(
    member: MemberName,
    addresses: &BTreeSet<IpAddr>,
    astray: &[String],
    mut evidence: Vec<String>,
) -> Result<Selected, SelectError> {
    if addresses.is_empty() {
        return Err(SelectError::NoAddress { member, why: astray.to_vec() });
    }
    evidence.push(format!("{member} is at {}", list(addresses)));
    evidence.extend(astray.iter().cloned());
    Ok(Selected { member, addresses: addresses.clone(), evidence })
}

fn list<T: ToString>(things: impl IntoIterator<Item = T>) -> String {
    things.into_iter().map(|thing| thing.to_string()).collect::<Vec<_>>().join(", ")
}
