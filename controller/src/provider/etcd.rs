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
        Ok(Self { endpoints, tls, patience: PATIENCE })
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
