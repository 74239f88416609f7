//! Zeebe clusters: every broker is asked for its own view, and every gateway for what it has heard.
//!
//! Who leads is what brokers say of themselves. A gateway knows it by gossip, shows one leader at most, and
//! goes on showing one that is cut off; it is evidence.

mod asking;
mod role;
mod selection;
mod view;

use std::{fs, io, path::PathBuf, time::Duration};

use fault::MemberName;
use zeebe::{
    Gateway, Management, ManagementUrl, OAuthClient, OpenError, Secret, Trust, TrustError,
};

use super::Directory;

pub use self::{
    asking::AskError,
    role::{RoleError, Roles},
    selection::SelectError,
    view::{BrokerSilence, ZeebeBroker, ZeebeGateway, ZeebeView},
};
use crate::settings::ZeebeSettings;

/// How long one request may take. Members that answer do so in milliseconds, and one that is dead must not
/// hold up an injection.
const PATIENCE: Duration = Duration::from_millis(900);

/// A cluster that can be asked.
#[derive(Clone, Debug)]
pub struct Zeebe {
    /// At least one.
    gateways: Vec<Gateway>,
    /// What each of them is called here.
    names: Vec<MemberName>,
    /// Where brokers are managed, by their numbers; empty where that follows from what gateways say.
    brokers: Vec<ManagementUrl>,
    /// Asks any of them.
    management: Management,
    patience: Duration,
    /// The pods that members can be; `None` where they are wherever gateways say.
    pods: Option<Pods>,
}

/// Pods that are members.
#[derive(Clone, Debug)]
struct Pods {
    brokers: Directory,
    gateways: Directory,
    /// How a broker is managed, at whatever address.
    management: ManagementUrl,
}

/// Why a cluster cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody can be believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A gateway cannot be dialled.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The secret can't be read.
    #[error("cannot read the secret for Zeebe from {path}: {source}")]
    Secret {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Zeebe {
    /// A cluster as the settings have it. Reads files; asks nobody yet.
    ///
    /// # Errors
    /// Files that can't be read or make no sense.
    pub fn new(settings: &ZeebeSettings) -> Result<Self, ConnectError> {
        let trust = settings.ca.clone().map_or(Trust::Machine, Trust::File);
        let oauth = settings.oauth.as_ref().map(|oauth| {
            let secret = fs::read_to_string(&oauth.secret)
                .map_err(|source| ConnectError::Secret { path: oauth.secret.clone(), source })?;
            Ok::<_, ConnectError>(OAuthClient {
                server: oauth.server.clone(),
                id: oauth.id.clone(),
                secret: Secret::new(secret.trim_end().to_owned()),
                audience: oauth.audience.clone(),
                trust: oauth.ca.clone().map_or(Trust::Machine, Trust::File),
            })
        });
        let oauth = oauth.transpose()?;
        let gateway = |at: &zeebe::GatewayUrl| Gateway::new(at.clone(), &trust, oauth.clone());
        let gateways = settings.gateways.iter().map(gateway).collect::<Result<Vec<_>, _>>()?;
        // Asked only by way of `at`, so where this one itself is does not matter.
        let anywhere = settings.brokers.first().cloned();
        let anywhere = anywhere.or_else(|| ManagementUrl::of_host("localhost").ok());
        let Some(anywhere) = anywhere else { return Err(TrustError::Nobody.into()) };
        let management = Management::new(anywhere, &trust, PATIENCE)?;
        let name = |number: usize| {
            let name = MemberName::new(&format!("gateway-{number}"));
            name.unwrap_or_else(|| unreachable!("letters and digits"))
        };
        let names = (1..=gateways.len()).map(name).collect();
        let (brokers, patience) = (settings.brokers.clone(), PATIENCE);
        Ok(Self { gateways, names, brokers, management, patience, pods: None })
    }

    /// The same, whose members are pods and nothing else: gateways are called by these names, and brokers are managed as
    /// the one at `management`, which is anywhere.
    #[must_use]
    pub fn in_pods(
        mut self,
        names: Vec<MemberName>,
        [brokers, gateways]: [Directory; 2],
        management: ManagementUrl,
    ) -> Self {
        self.names = names;
        self.pods = Some(Pods { brokers, gateways, management });
        self
    }

    /// The first gateway.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateways[0]
    }

    /// All of them, at least one.
    #[must_use]
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// Where each broker is managed, as far as that is known.
    ///
    /// # Errors
    /// Nobody tells who the brokers are.
    pub async fn brokers(&self) -> Result<Vec<(zeebe::NodeId, ManagementUrl)>, AskError> {
        asking::brokers(self).await
    }

    /// Asks every gateway, and then every broker, all at once.
    ///
    /// # Errors
    /// Nobody tells who the brokers are. Members that do not answer are part of the view.
    pub async fn view(&self) -> Result<ZeebeView, AskError> {
        asking::view(self).await
    }
}
