//! Whom a command asks.

use std::time::Duration;

use fault::ClusterName;
use zeebe::{Gateway, Management, ManagementUrl, Trust};

use crate::cli::ZeebePlaceArgs;
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;
use crate::provider::zeebe::{Zeebe, ZeebeView};
use crate::settings::{Settings, ZeebeSettings};

const ATTEMPTED: &str = "cannot ask Zeebe";

/// A cluster, and who speaks for it.
#[derive(Debug)]
pub(crate) struct Contact {
    zeebe: Zeebe,
    trust: Trust,
    management: ManagementUrl,
}

impl Contact {
    /// The cluster that was named by flags, else that of the settings.
    pub(crate) fn open(args: &ZeebePlaceArgs, settings: &Settings) -> Result<Self, Failure> {
        if let Some(path) = &args.namespace {
            let reason =
                "what asks Zeebe itself does not go through a controller, which alone reaches pods";
            let hint = format!(
                "forward the port of a gateway (kubectl -n {} port-forward) and name it with --gateway",
                path.name
            );
            return Err(Failure::new(Outcome::WrongUsage, ATTEMPTED, reason).hint(hint));
        }
        let chosen = match &args.gateway {
            Some(gateway) => ZeebeSettings {
                gateways: vec![gateway.clone()],
                brokers: args.brokers.clone(),
                ca: None,
                oauth: None,
            },
            None => named(args.cluster.as_ref(), settings)?.clone(),
        };
        let failed = |reason: String| Failure::caused(Cause::Other, ATTEMPTED, reason);
        let zeebe = Zeebe::new(&chosen).map_err(|error| failed(error.to_string()))?;
        let management = match &args.management {
            Some(management) => management.clone(),
            None => {
                let host = zeebe.gateway().place().host().to_owned();
                ManagementUrl::of_host(&host).map_err(|error| failed(error.to_string()))?
            }
        };
        let trust = chosen.ca.map_or(Trust::Machine, Trust::File);
        Ok(Self { zeebe, trust, management })
    }

    /// The first gateway.
    pub(crate) fn gateway(&self) -> &Gateway {
        self.zeebe.gateway()
    }

    /// All of them, at least one.
    pub(crate) fn gateways(&self) -> &[Gateway] {
        self.zeebe.gateways()
    }

    /// Who manages the whole cluster; each request may take `limit`.
    pub(crate) fn management(&self, limit: Duration) -> Result<Management, Failure> {
        self.managed(self.management.clone(), limit)
    }

    /// Who manages a broker.
    pub(crate) fn managed(
        &self,
        at: ManagementUrl,
        limit: Duration,
    ) -> Result<Management, Failure> {
        Management::new(at, &self.trust, limit)
            .map_err(|error| Failure::caused(Cause::Other, ATTEMPTED, error))
    }

    /// Where each broker is managed.
    pub(crate) async fn brokers(
        &self,
    ) -> Result<Vec<(zeebe::NodeId, ManagementUrl)>, crate::provider::zeebe::AskError> {
        self.zeebe.brokers().await
    }

    /// What all members say.
    pub(crate) async fn view(&self) -> Result<ZeebeView, crate::provider::zeebe::AskError> {
        self.zeebe.view().await
    }
}

fn named<'a>(
    name: Option<&ClusterName>,
    settings: &'a Settings,
) -> Result<&'a ZeebeSettings, Failure> {
    let wrong = |reason: &str| {
        Failure::new(Outcome::WrongUsage, ATTEMPTED, reason)
            .hint("say --gateway HOST:PORT, or write [zeebe] into schism.toml")
    };
    let mut all = settings.zeebe();
    match name {
        Some(name) => match all.find(|(one, _)| *one == name) {
            Some((_, cluster)) => Ok(cluster),
            None => Err(wrong(&format!("schism.toml has no cluster of Zeebe named {name}"))),
        },
        None => match (all.next(), all.next()) {
            (Some((_, only)), None) => Ok(only),
            (None, _) => Err(wrong("it is not said where a gateway is")),
            (Some(_), Some(_)) => Err(wrong("schism.toml has several clusters of Zeebe")
                .hint("say which one with --cluster NAME")),
        },
    }
}
