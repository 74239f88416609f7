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

use super::{Directory, Pods, Zeebe, ZeebeBroker, ZeebeGateway, ZeebeView, view::BrokerSilence};

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
    /// By these its addresses are looked up.
    hosts: BTreeSet<String>,
    /// What is known of them already.
    known: Places,
    management: Result<ManagementUrl, BrokerSilence>,
}

pub(super) async fn view(zeebe: &Zeebe) -> Result<ZeebeView, AskError> {
    let (heard, gateways) = tokio::join!(
        heard(zeebe),
        join_all(zeebe.gateways.iter().map(|gateway| place(zeebe, gateway.place().host())))
    );
    let told: Vec<&Topology> = heard.iter().filter_map(|heard| heard.as_ref().ok()).collect();
    if told.is_empty() && !zeebe.knows_brokers() {
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
    let placed = placed(zeebe, &told)?;
    let asked = placed.into_iter().map(|(id, Placed { hosts, known, management })| {
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
            for (addresses, astray) in places.into_iter().chain([known]) {
                broker.addresses.extend(addresses);
                broker.astray.extend(astray);
            }
            (id, broker)
        }
    });
    let brokers: BTreeMap<NodeId, ZeebeBroker> = join_all(asked).await.into_iter().collect();
    let own = brokers.values().filter_map(|broker| broker.answer.as_ref().ok());
    let highest = own.filter_map(|own| own.keys().last()).map(|partition| partition.number()).max();
    let named = zeebe.gateways.iter().zip(heard).zip(gateways).zip(&zeebe.names);
    let gateways = named.map(gateway).collect();
    let partitions = partitions.or(highest).unwrap_or_default();
    Ok(ZeebeView { partitions, brokers, gateways })
}

/// Where each broker is managed, by the settings or by what gateways say.
pub(super) async fn brokers(zeebe: &Zeebe) -> Result<Vec<(NodeId, ManagementUrl)>, AskError> {
    let heard = heard(zeebe).await;
    let told: Vec<&Topology> = heard.iter().filter_map(|heard| heard.as_ref().ok()).collect();
    if told.is_empty() && !zeebe.knows_brokers() {
        let at = zeebe.gateways.iter().map(|gateway| gateway.place().clone());
        let errors = heard.into_iter().filter_map(Result::err);
        return Err(AskError::Silent(at.zip(errors).collect()));
    }
    let placed = placed(zeebe, &told)?.into_iter();
    Ok(placed.filter_map(|(id, one)| Some((id, one.management.ok()?))).collect())
}

/// What every gateway has heard, all asked at once.
async fn heard(zeebe: &Zeebe) -> Vec<Result<Topology, GatewayError>> {
    let ask =
        |gateway: Gateway, patience: Duration| async move { gateway.topology(patience).await };
    join_all(zeebe.gateways.iter().map(|gateway| ask(gateway.clone(), zeebe.patience))).await
}

type Told<'a> = (((&'a Gateway, Result<Topology, GatewayError>), Places), &'a MemberName);

/// Addresses, and why a host leads to none.
type Places = (Vec<IpAddr>, Vec<String>);

fn gateway((((gateway, answer), (addresses, astray)), name): Told<'_>) -> ZeebeGateway {
    ZeebeGateway {
        name: name.clone(),
        at: gateway.place().clone(),
        addresses: addresses.into_iter().collect(),
        astray,
        answer,
    }
}

impl Zeebe {
    /// Whether brokers are known before anybody tells of them.
    fn knows_brokers(&self) -> bool {
        let numbered = self.pods.as_ref().is_some_and(|pods| !pods.brokers.numbered().is_empty());
        numbered || !self.brokers.is_empty()
    }
}

/// Every broker that is configured, that is a pod, that a gateway names, or that there is to be.
fn placed(zeebe: &Zeebe, told: &[&Topology]) -> Result<BTreeMap<NodeId, Placed>, AskError> {
    let size = told.iter().map(|topology| topology.cluster_size).max().unwrap_or_default();
    let size = size.max(u32::try_from(zeebe.brokers.len()).unwrap_or(u32::MAX));
    if size > MOST_BROKERS {
        return Err(AskError::TooMany(size));
    }
    let mut ids: BTreeSet<NodeId> = (0..size).map(NodeId::new).collect();
    ids.extend(told.iter().flat_map(|topology| topology.brokers.keys()));
    if let Some(pods) = &zeebe.pods
        && told.is_empty()
    {
        ids.extend(pods.brokers.numbered().into_keys().map(NodeId::new));
    }
    let hosts = |id: NodeId| -> BTreeSet<String> {
        let named = told.iter().filter_map(|topology| topology.brokers.get(&id));
        named.map(|broker| broker.host.clone()).collect()
    };
    let named: BTreeMap<NodeId, BTreeSet<String>> =
        ids.into_iter().map(|id| (id, hosts(id))).collect();
    let claims = zeebe.pods.as_ref().map(|pods| (pods, Claims::new(&pods.brokers, &named)));
    let place = |(id, hosts): (&NodeId, &BTreeSet<String>)| match &claims {
        Some((pods, claims)) => (*id, housed(pods, claims, *id, hosts)),
        None => (*id, configured(&zeebe.brokers, *id, hosts.clone())),
    };
    Ok(named.iter().map(place).collect())
}

/// One that is wherever the settings say, or else where gateways say that it is.
fn configured(brokers: &[ManagementUrl], id: NodeId, mut hosts: BTreeSet<String>) -> Placed {
    let own = usize::try_from(id.number()).ok().and_then(|number| brokers.get(number));
    let management = match (own, hosts.first()) {
        (Some(own), _) => Ok(own.clone()),
        (None, Some(host)) => {
            ManagementUrl::of_host(host).map_err(|error| BrokerSilence::Place(error.to_string()))
        }
        (None, None) => Err(BrokerSilence::Unnamed),
    };
    hosts.extend(own.map(|own| own.host().to_owned()));
    Placed { hosts, known: Places::default(), management }
}

/// Which pods brokers are, by what gateways say of all of them.
struct Claims<'a> {
    /// The brokers that are said to be in a pod: one, if all is well.
    by_pod: BTreeMap<&'a str, BTreeSet<NodeId>>,
    /// Whether the number of a pod can be that of its broker: all of whom anything is said are in pods of theirs, and
    /// there are pods for all.
    is_by_number: bool,
}

impl<'a> Claims<'a> {
    fn new(pods: &'a Directory, named: &BTreeMap<NodeId, BTreeSet<String>>) -> Self {
        let mut by_pod: BTreeMap<&'a str, BTreeSet<NodeId>> = BTreeMap::new();
        let mut is_by_number = pods.numbered().len() >= named.len();
        for (id, host) in
            named.iter().flat_map(|(id, hosts)| hosts.iter().map(move |one| (id, one)))
        {
            let pod = pods.find(host).map(|(pod, _)| pod);
            is_by_number &= pod.and_then(Directory::number) == Some(id.number());
            if let Some(pod) = pod {
                by_pod.entry(pod).or_default().insert(*id);
            }
        }
        Self { by_pod, is_by_number }
    }
}

/// One that is a pod: the one that gateways name, unless they name it for another broker too; and of whom none says
/// anything the one of its number, as charts have it, where nothing that is said of others is against that.
fn housed(pods: &Pods, claims: &Claims<'_>, id: NodeId, hosts: &BTreeSet<String>) -> Placed {
    let named: BTreeMap<&str, &[IpAddr]> =
        hosts.iter().filter_map(|host| pods.brokers.find(host)).collect();
    let several = |pod: &str| claims.by_pod.get(pod).filter(|brokers| brokers.len() > 1);
    let mut found = named.iter();
    let own = match (found.next(), found.next(), hosts.first()) {
        (Some((one, _)), Some((other, _)), _) => {
            Err(BrokerSilence::Place(format!("gateways have it in pod {one} and in pod {other}")))
        }
        (Some((pod, own)), None, _) => match several(pod) {
            None => Ok(*own),
            Some(brokers) => {
                let brokers: Vec<String> = brokers.iter().map(ToString::to_string).collect();
                let brokers = brokers.join(", ");
                Err(BrokerSilence::Place(format!("gateways have brokers {brokers} in pod {pod}")))
            }
        },
        (None, _, Some(host)) => {
            let host = Legible(host);
            Err(BrokerSilence::Place(format!(
                "{host}, where gateways have it, is none of the pods"
            )))
        }
        (None, _, None) => {
            let own = pods.brokers.numbered().get(&id.number()).copied();
            own.filter(|_| claims.is_by_number).ok_or(BrokerSilence::Unnamed)
        }
    };
    let addresses = own.as_ref().map(|own| own.to_vec()).unwrap_or_default();
    let management = own.and_then(|own| {
        let at =
            own.first().ok_or(BrokerSilence::Place("its pod has no address yet".to_owned()))?;
        let at = pods.management.at(&at.to_string());
        at.map_err(|error| BrokerSilence::Place(error.to_string()))
    });
    let astray = management.as_ref().err().map(ToString::to_string);
    Placed { hosts: BTreeSet::new(), known: (addresses, astray.into_iter().collect()), management }
}

/// Where a gateway is.
async fn place(zeebe: &Zeebe, host: &str) -> Places {
    match &zeebe.pods {
        None => resolve(host.to_owned(), zeebe.patience).await,
        Some(pods) => {
            let own = pods.gateways.find(host).map(|(_, own)| own.to_vec());
            (own.unwrap_or_default(), Vec::new())
        }
    }
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

    fn own(last: u8) -> Vec<IpAddr> {
        vec![IpAddr::from([10, 0, 0, last])]
    }

    /// Three pods of namespace prod, of which the last has no address yet.
    fn in_prod() -> Zeebe {
        let brokers = [("zeebe-0", own(1)), ("zeebe-1", own(2)), ("zeebe-2", Vec::new())];
        let brokers = brokers.map(|(name, own)| (name.to_owned(), own));
        let brokers = Directory::new("prod".to_owned(), ["zeebe".to_owned()].into(), brokers);
        let management = "anywhere:9601".parse().unwrap();
        let zeebe = zeebe(Vec::new(), "gw".parse().unwrap());
        zeebe.in_pods(vec!["gw".parse().unwrap()], [brokers, Directory::default()], management)
    }

    /// What a gateway says of a cluster of three, or of more.
    fn told(size: u32, brokers: &[(u32, &str)]) -> Topology {
        let broker = |host: &str| zeebe::Broker {
            host: host.to_owned(),
            port: 26501,
            version: "8.5.8".to_owned(),
            partitions: BTreeMap::new(),
        };
        Topology {
            brokers: brokers.iter().map(|(id, host)| (NodeId::new(*id), broker(host))).collect(),
            cluster_size: size,
            partitions: 1,
            replication_factor: 3,
            gateway_version: "8.5.8".to_owned(),
        }
    }

    /// Where brokers are managed, or why that is not known.
    fn managed(zeebe: &Zeebe, told: &[&Topology]) -> Vec<(u32, Result<String, String>)> {
        let found = placed(zeebe, told).unwrap();
        let found = found.into_iter().map(|(id, one)| {
            assert!(one.hosts.is_empty(), "nobody asks where a pod is");
            assert_eq!(one.known.0.is_empty(), one.management.is_err(), "{id}");
            (id.number(), one.management.map(|at| at.to_string()).map_err(|why| why.to_string()))
        });
        found.collect()
    }

    fn at(last: u8) -> Result<String, String> {
        Ok(format!("http://10.0.0.{last}:9601"))
    }

    fn not(why: &str) -> Result<String, String> {
        Err(why.to_owned())
    }

    const UNNAMED: &str = "no gateway names it";

    // A gateway is dialled by a task, if it ever is.
    #[tokio::test]
    async fn in_a_namespace_a_broker_is_a_pod_and_nobody_else() {
        let zeebe = in_prod();
        // Numbered otherwise than the pods, as over several regions.
        let hosts = [
            (0, "zeebe-1.zeebe.prod.svc"),
            (1, "10.9.9.9"),
            (3, "zeebe-0.elsewhere"),
            (4, "zeebe-0.zeebe"),
        ];
        let elsewhere = "is none of the pods";
        let expected = [
            (0, at(2)),
            (1, not(&format!("10.9.9.9, where gateways have it, {elsewhere}"))),
            (2, not(UNNAMED)),
            (3, not(&format!("zeebe-0.elsewhere, where gateways have it, {elsewhere}"))),
            (4, at(1)),
        ];
        assert_eq!(managed(&zeebe, &[&told(3, &hosts)]), expected);
        // Two claim one pod, and of one broker two gateways say two things.
        let (first, second) = (
            told(3, &[(0, "zeebe-0.zeebe.prod"), (1, "10.0.0.1"), (2, "zeebe-0.zeebe.prod")]),
            told(3, &[(2, "zeebe-1.zeebe.prod")]),
        );
        let claimed = not("gateways have brokers 0, 1, 2 in pod zeebe-0");
        let torn = not("gateways have it in pod zeebe-0 and in pod zeebe-1");
        let expected = [(0, claimed.clone()), (1, claimed), (2, torn)];
        assert_eq!(managed(&zeebe, &[&first, &second]), expected);
    }

    #[tokio::test]
    async fn of_whom_nobody_says_anything_the_number_of_a_pod_counts_unless_others_are_against_it()
    {
        let zeebe = in_prod();
        let no_address = not("its pod has no address yet");
        let all = [(0, at(1)), (1, at(2)), (2, no_address)];
        assert_eq!(managed(&zeebe, &[]), all);
        assert_eq!(managed(&zeebe, &[&told(3, &[])]), all);
        assert_eq!(managed(&zeebe, &[&told(3, &[(0, "zeebe-0.zeebe.prod.svc")])]), all);
        // The pod of another, one that is elsewhere, and a cluster that has more than these.
        let table = [
            told(3, &[(0, "zeebe-1.zeebe.prod.svc")]),
            told(3, &[(0, "zeebe-0.zeebe.test.svc")]),
            told(6, &[(0, "zeebe-0.zeebe.prod.svc")]),
        ];
        for told in &table {
            let found = managed(&zeebe, &[told]);
            let others: Vec<_> = found.iter().filter(|(id, _)| *id != 0).collect();
            assert!(others.len() >= 2, "{found:?}");
            assert!(others.iter().all(|(_, at)| *at == not(UNNAMED)), "{found:?}");
        }
    }

    #[tokio::test]
    async fn brokers_are_those_that_are_named_or_to_be() {
        let brokers: Vec<ManagementUrl> = vec!["b0".parse().unwrap(), "b1:19600".parse().unwrap()];
        let placed = placed(&zeebe(brokers, "gw".parse().unwrap()), &[]).unwrap();
        assert_eq!(placed.len(), 2);
        let of = |id: u32| placed[&NodeId::new(id)].management.as_ref().unwrap().to_string();
        assert_eq!((of(0), of(1)), ("http://b0:9600".to_owned(), "http://b1:19600".to_owned()));
    }
}
