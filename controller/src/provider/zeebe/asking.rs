//! Asking all members, and putting together what they said.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use fault::{Legible, MemberName};
use futures_util::future::join_all;
use tokio::{net::lookup_host, time::timeout};
use zeebe::{Gateway, GatewayError, GatewayUrl, ManagementUrl, NodeId, Topology};

use super::{Zeebe, ZeebeBroker, ZeebeGateway, ZeebeView, view::BrokerSilence};

/// No cluster is larger, and whoever says so is not to have us ask everybody.
const MOST_BROKERS: u32 = 1024;

/// Why it is not known who the brokers are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Not one gateway tells it, and no brokers are configured.
    #[error("no gateway of Zeebe answers: {}", silences(.0))]
    Silent(Vec<(GatewayUrl, GatewayError)>),
    /// Gateways of different clusters.
    #[error(
        "the gateways of Zeebe tell of {one} and of {other} partitions, so they belong to different clusters"
    )]
    Clusters {
        /// How many partitions one tells of.
        one: u32,
        /// How many another does.
        other: u32,
    },
    /// More than any cluster has.
    #[error("Zeebe tells of {0} brokers, and at most {MOST_BROKERS} are asked")]
    TooMany(u32),
}

/// Where a broker is, as far as anybody says.
struct Placed {
    hosts: BTreeSet<String>,
    management: Result<ManagementUrl, BrokerSilence>,
}

pub(super) async fn view(zeebe: &Zeebe) -> Result<ZeebeView, AskError> {
    let (heard, gateways) = tokio::join!(
        heard(zeebe),
        join_all(
            zeebe
                .gateways
                .iter()
                .map(|gateway| { resolve(gateway.place().host().to_owned(), zeebe.patience) })
        )
    );
    let told: Vec<&Topology> = heard.iter().filter_map(|heard| heard.as_ref().ok()).collect();
    if told.is_empty() && zeebe.brokers.is_empty() {
        let at = zeebe.gateways.iter().map(|gateway| gateway.place().clone());
        let errors = heard.into_iter().filter_map(Result::err);
        return Err(AskError::Silent(at.zip(errors).collect()));
    }
    let mut counts = told.iter().map(|topology| topology.partitions);
    let partitions = counts.next();
    if let (Some(one), Some(other)) = (partitions, counts.find(|other| Some(*other) != partitions))
    {
        return Err(AskError::Clusters { one, other });
    }
    let placed = placed(&zeebe.brokers, &told)?;
    let asked = placed.into_iter().map(|(id, Placed { hosts, management })| {
        let (any, patience) = (zeebe.management.clone(), zeebe.patience);
        async move {
            let answer = async {
                match management {
                    Ok(at) => any.at(at).partitions().await.map_err(BrokerSilence::from),
                    Err(silence) => Err(silence),
                }
            };
            let places = join_all(hosts.into_iter().map(|host| resolve(host, patience)));
            let (answer, places) = tokio::join!(answer, places);
            let mut broker = ZeebeBroker { addresses: BTreeSet::new(), astray: Vec::new(), answer };
            for (addresses, astray) in places {
                broker.addresses.extend(addresses);
                broker.astray.extend(astray);
            }
            (id, broker)
        }
    });
    let brokers: BTreeMap<NodeId, ZeebeBroker> = join_all(asked).await.into_iter().collect();
    let own = brokers.values().filter_map(|broker| broker.answer.as_ref().ok());
    let highest = own.filter_map(|own| own.keys().last()).map(|partition| partition.number()).max();
    let gateways = zeebe.gateways.iter().zip(heard).zip(gateways).zip(1..).map(gateway).collect();
    let partitions = partitions.or(highest).unwrap_or_default();
    Ok(ZeebeView { partitions, brokers, gateways })
}

/// Where each broker is managed, by the settings or by what gateways say.
pub(super) async fn brokers(zeebe: &Zeebe) -> Result<Vec<(NodeId, ManagementUrl)>, AskError> {
    let heard = heard(zeebe).await;
    let told: Vec<&Topology> = heard.iter().filter_map(|heard| heard.as_ref().ok()).collect();
    if told.is_empty() && zeebe.brokers.is_empty() {
        let at = zeebe.gateways.iter().map(|gateway| gateway.place().clone());
        let errors = heard.into_iter().filter_map(Result::err);
        return Err(AskError::Silent(at.zip(errors).collect()));
    }
    let placed = placed(&zeebe.brokers, &told)?.into_iter();
    Ok(placed.filter_map(|(id, one)| Some((id, one.management.ok()?))).collect())
}

/// What every gateway has heard, all asked at once.
async fn heard(zeebe: &Zeebe) -> Vec<Result<Topology, GatewayError>> {
    let ask =
        |gateway: Gateway, patience: Duration| async move { gateway.topology(patience).await };
    join_all(zeebe.gateways.iter().map(|gateway| ask(gateway.clone(), zeebe.patience))).await
}

type Told<'a> = (((&'a Gateway, Result<Topology, GatewayError>), Places), u32);

/// Addresses, and why a host leads to none.
type Places = (Vec<IpAddr>, Vec<String>);

fn gateway((((gateway, answer), (addresses, astray)), number): Told<'_>) -> ZeebeGateway {
    let name = MemberName::new(&format!("gateway-{number}"));
    ZeebeGateway {
        name: name.unwrap_or_else(|| unreachable!("letters and digits")),
        at: gateway.place().clone(),
        addresses: addresses.into_iter().collect(),
        astray,
        answer,
    }
}

/// Every broker that is configured, that a gateway names, or that there is to be.
fn placed(
    configured: &[ManagementUrl],
    told: &[&Topology],
) -> Result<BTreeMap<NodeId, Placed>, AskError> {
    let size = told.iter().map(|topology| topology.cluster_size).max().unwrap_or_default();
    let size = size.max(u32::try_from(configured.len()).unwrap_or(u32::MAX));
    if size > MOST_BROKERS {
        return Err(AskError::TooMany(size));
    }
    let mut ids: BTreeSet<NodeId> = (0..size).map(NodeId::new).collect();
    ids.extend(told.iter().flat_map(|topology| topology.brokers.keys()));
    let place = |id: NodeId| {
        let named = told.iter().filter_map(|topology| topology.brokers.get(&id));
        let mut hosts: BTreeSet<String> = named.map(|broker| broker.host.clone()).collect();
        let own = usize::try_from(id.number()).ok().and_then(|number| configured.get(number));
        let management = match (own, hosts.first()) {
            (Some(own), _) => Ok(own.clone()),
            (None, Some(host)) => ManagementUrl::of_host(host)
                .map_err(|error| BrokerSilence::Place(error.to_string())),
            (None, None) => Err(BrokerSilence::Unnamed),
        };
        hosts.extend(own.map(|own| own.host().to_owned()));
        (id, Placed { hosts, management })
    };
    Ok(ids.into_iter().map(place).collect())
}

/// Where a host is, without what means whoever asks.
async fn resolve(host: String, patience: Duration) -> Places {
    let shown = || Legible(&host).to_string();
    let found: Result<Vec<IpAddr>, String> = match host.parse::<IpAddr>() {
        Ok(address) => Ok(vec![address]),
        Err(_) => match timeout(patience, lookup_host((host.as_str(), 0))).await {
            Ok(Ok(found)) => Ok(found.map(|socket| socket.ip()).collect()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the name was not resolved in time".to_owned()),
        },
    };
    match found {
        Err(reason) => (Vec::new(), vec![format!("{}: {reason}", shown())]),
        Ok(found) => {
            let usable = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified();
            let (kept, left): (Vec<IpAddr>, Vec<IpAddr>) = found.into_iter().partition(usable);
            let astray = if left.is_empty() {
                Vec::new()
            } else {
                vec![format!("{} means whoever asks", shown())]
            };
            (kept, astray)
        }
    }
}

fn silences(told: &[(GatewayUrl, GatewayError)]) -> String {
    let lines = told.iter().map(|(_, error)| error.to_string());
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::settings::ZeebeSettings;

    fn zeebe(brokers: Vec<ManagementUrl>, gateway: GatewayUrl) -> Zeebe {
        let gateways = vec![gateway];
        let settings = ZeebeSettings { gateways, brokers, ca: None, oauth: None };
        Zeebe::new(&settings).unwrap()
    }

    /// An address at which nobody listens.
    async fn nobody() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    }

    #[tokio::test]
    async fn without_anybody_who_answers_it_is_said_whom_one_asked() {
        let gateway = nobody().await.to_string();
        let error = zeebe(Vec::new(), gateway.parse().unwrap()).view().await.unwrap_err();
        assert!(error.to_string().contains(&gateway), "{error}");
    }

    #[tokio::test]
    async fn a_broker_that_does_not_answer_is_there_all_the_same() {
        let (gateway, broker) = (nobody().await.to_string(), nobody().await.to_string());
        let view = zeebe(vec![broker.parse().unwrap()], gateway.parse().unwrap()).view().await;
        let view = view.unwrap();
        let first = &view.brokers[&NodeId::new(0)];
        assert!(first.answer.is_err());
        assert_eq!(first.astray, ["127.0.0.1 means whoever asks"]);
    }

    #[test]
    fn brokers_are_those_that_are_named_or_to_be() {
        let configured: Vec<ManagementUrl> =
            vec!["b0".parse().unwrap(), "b1:19600".parse().unwrap()];
        let placed = placed(&configured, &[]).unwrap();
        assert_eq!(placed.len(), 2);
        let of = |id: u32| placed[&NodeId::new(id)].management.as_ref().unwrap().to_string();
        assert_eq!((of(0), of(1)), ("http://b0:9600".to_owned(), "http://b1:19600".to_owned()));
    }
}
