//! Which members a role names.

use fault::{EtcdRole, Legible, MemberName};

use super::{EtcdMember, EtcdView, RoleError, Said};
use crate::provider::Selected;

/// Why a role names nobody that can be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// It is not known who leads.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// No member of that name.
    #[error("etcd has no member {member}; it has {}", list(there))]
    NoSuchMember {
        /// Who was asked for.
        member: MemberName,
        /// Who is there.
        there: Vec<MemberName>,
    },
    /// None of its URLs leads to an address that it alone has.
    #[error("nothing tells where the member {member} of etcd is: {}", why.join("; "))]
    NoAddress {
        /// Which.
        member: MemberName,
        /// Of each URL, why.
        why: Vec<String>,
    },
}

impl EtcdView {
    /// The members that play a role, by name; an empty answer for followers of a cluster of one.
    ///
    /// For a member by its name it does not matter who leads.
    ///
    /// # Errors
    /// It is not known who leads, there is no such member, or nothing tells where it is.
    pub fn select(&self, role: &EtcdRole) -> Result<Vec<Selected>, SelectError> {
        match role {
            EtcdRole::Leader => {
                let roles = self.roles()?;
                let named = |member: &&EtcdMember| member.name == roles.leader;
                self.members.iter().filter(named).map(|m| found(m, &roles.said)).collect()
            }
            EtcdRole::Follower => {
                let roles = self.roles()?;
                let named = |member: &&EtcdMember| roles.followers.contains(&member.name);
                self.members.iter().filter(named).map(|m| found(m, &roles.said)).collect()
            }
            EtcdRole::Any => {
                let said = self.said();
                self.members.iter().map(|member| found(member, &said)).collect()
            }
            EtcdRole::Member(name) => {
                let Some(member) = self.members.iter().find(|member| member.name == *name) else {
                    let there = self.members.iter().map(|member| member.name.clone()).collect();
                    return Err(SelectError::NoSuchMember { member: name.clone(), there });
                };
                let own = self.said().into_iter().filter(|said| said.member == *name);
                Ok(vec![found(member, &own.collect::<Vec<_>>())?])
            }
        }
    }
}

fn found(member: &EtcdMember, said: &[Said]) -> Result<Selected, SelectError> {
    let name = member.name.clone();
    if member.addresses.is_empty() {
        return Err(SelectError::NoAddress { member: name, why: member.astray.clone() });
    }
    let mut evidence: Vec<String> = said.iter().map(ToString::to_string).collect();
    let urls = member.peer_urls.iter().chain(&member.client_urls);
    let urls: Vec<String> = urls.map(|url| Legible(url).to_string()).collect();
    evidence.push(format!("{name} is at {}", urls.join(", ")));
    evidence.extend(member.astray.iter().cloned());
    Ok(Selected { member: name, addresses: member.addresses.clone(), evidence })
}

fn list(names: &[MemberName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
