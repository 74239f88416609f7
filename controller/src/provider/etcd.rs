//! etcd clusters, asked member by member through etcd's own gateway from JSON to gRPC.
//!
//! Every member is asked, not the one that happens to answer: a member that was cut off goes on naming
//! the leader that it knew.

mod asking;
mod endpoint;
mod http;
mod role;
mod selection;
mod tls;
mod view;
mod wire;

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;

use super::Directory;

pub use self::{
    asking::AskError,
    endpoint::{Endpoint, EndpointError},
    http::Silence,
    role::{Claim, RoleError, Roles, Said},
    selection::SelectError,
    tls::{Credentials, OwnCertificate, TlsError},
    view::{ClusterId, EtcdAnswer, EtcdMember, EtcdView, MemberId},
};

/// How long one request may take, with the connection and the name of the host.
const PATIENCE: Duration = Duration::from_secs(1);

/// A cluster that can be asked.
#[derive(Clone, Debug)]
pub struct Etcd {
    endpoints: Vec<Endpoint>,
    tls: Option<Arc<ClientConfig>>,
    patience: Duration,
    /// The pods that members can be; `None` where they are wherever their URLs lead.
    pods: Option<Directory>,
}

impl Etcd {
    /// A cluster at these client URLs; any of them will do to find the others. For https there have to
    /// be credentials. Reads their files; asks nobody yet.
    ///
    /// # Errors
    /// Files that can't be read or make no sense.
    pub fn new(
        endpoints: Vec<Endpoint>,
        credentials: Option<&Credentials>,
    ) -> Result<Self, TlsError> {
        let tls = credentials.map(tls::config).transpose()?;
        Ok(Self { endpoints, tls, patience: PATIENCE, pods: None })
    }

    /// The same, whose members are pods: each is asked at its endpoint alone, and is nowhere else.
    #[must_use]
    pub fn in_pods(mut self, pods: Directory) -> Self {
        self.pods = Some(pods);
        self
    }

    /// At which endpoints a member is asked that calls these its client URLs.
    fn endpoints_of(&self, urls: &[String]) -> Vec<Result<Endpoint, EndpointError>> {
        let parsed = urls.iter().map(|url| url.parse::<Endpoint>());
        let Some(pods) = &self.pods else { return parsed.collect() };
        let own = parsed.flatten().filter_map(|url| {
            let (_, addresses) = pods.find(&url.host)?;
            let is_it = |one: &&Endpoint| one.address().is_some_and(|at| addresses.contains(&at));
            self.endpoints.iter().find(is_it).cloned()
        });
        own.map(Ok).collect()
    }

    /// Asks every member, all at once. Takes as long as the slowest of them, 2 s at most.
    ///
    /// # Errors
    /// Nobody tells who the members are, or they tell different things. Members that do not say who
    /// leads are part of the view.
    pub async fn view(&self) -> Result<EtcdView, AskError> {
        asking::view(self).await
    }
}
