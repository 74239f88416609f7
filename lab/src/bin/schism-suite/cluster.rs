//! The members as steps of an experiment know them: by the environment.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use lab::etcd::Client;

/// The variable that names them: `NAME=ADDRESS` for each, with commas between.
pub(crate) const VARIABLE: &str = "SUITE_ETCD";

/// A member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Where its clients connect.
    pub(crate) address: SocketAddr,
}

impl Member {
    /// A client of it, from where this process is.
    pub(crate) fn client(&self) -> Client {
        Client::here(self.address)
    }
}

/// All members.
///
/// # Errors
/// The environment does not name any.
pub(crate) fn members() -> Result<Vec<Member>> {
    let text = std::env::var(VARIABLE).with_context(|| format!("{VARIABLE} is not set"))?;
    let members = text.split(',').map(|one| {
        let (name, address) = one.split_once('=').context("NAME=ADDRESS")?;
        Ok(Member { name: name.to_owned(), address: address.parse().context("an address")? })
    });
    let members: Vec<Member> = members.collect::<Result<_>>()?;
    ensure!(!members.is_empty(), "{VARIABLE} names nobody");
    Ok(members)
}
