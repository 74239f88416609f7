//! Asking all members, and putting together what they said.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::IpAddr,
};

use fault::{Legible, MemberName, Standing};
use hyper::Uri;
use tokio::{net::lookup_host, task::JoinSet, time::timeout};

use super::{
    ClusterId, Directory, Endpoint, EndpointError, Etcd, EtcdAnswer, EtcdMember, EtcdView,
    MemberId, Silence,
    http::ask,
    wire::{MEMBER_LIST, MemberList, STATUS, Status},
};

/// No cluster of etcd's is larger, and whoever says so is not to have us ask everybody.
const MOST_MEMBERS: usize = 64;

/// No member has more URLs of one sort.
const MOST_URLS: usize = 16;

/// Why it is not known who the members are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No client URL was given.
    #[error("no endpoint of etcd is configured")]
    NoEndpoints,
    /// Not one endpoint tells it.
    #[error("no endpoint of etcd answers: {}", silences(.0))]
    Silent(Vec<(Endpoint, Silence)>),
    /// Endpoints of different clusters.
    #[error("the endpoints of etcd belong to different clusters: {}", said(.0))]
    Clusters(Vec<(Endpoint, ClusterId)>),
    /// A member was added or removed, and not all know it yet; or one is cut off and will not know.
    #[error("the endpoints of etcd do not agree on who the members are: {}", memberships(.0))]
    Membership(Vec<(Endpoint, Vec<MemberName>)>),
    /// etcd allows it; here a name must mean one member.
    #[error("two members of etcd are named {0}")]
    NamedTwice(MemberName),
}

type Answered<T> = Vec<(Endpoint, Result<T, Silence>)>;

pub(super) async fn view(etcd: &Etcd) -> Result<EtcdView, AskError> {
    if etcd.endpoints.is_empty() {
        return Err(AskError::NoEndpoints);
    }
    let lists = ask_all::<MemberList>(etcd, etcd.endpoints.iter().cloned(), MEMBER_LIST).await;
    let (cluster, members) = agreed(lists)?;
    let told = members.iter().flat_map(|member| etcd.endpoints_of(&member.client_urls));
    let endpoints: BTreeSet<Endpoint> =
        told.filter_map(Result::ok).chain(etcd.endpoints.iter().cloned()).collect();
    let (statuses, addresses) =
        tokio::join!(ask_all::<Status>(etcd, endpoints, STATUS), resolve(&members, etcd));
    let statuses: BTreeMap<Endpoint, Result<Status, Silence>> = statuses.into_iter().collect();
    let assembled = |member: &Listed| {
        let found = assembled(etcd, member.clone(), cluster, &statuses, &addresses);
        match &etcd.pods {
            None => found,
            Some(pods) => at_home(pods, found, member, (cluster, &members), &statuses),
        }
    };
    let mut members: Vec<EtcdMember> = members.iter().map(assembled).collect();
    members.sort_by(|one, other| one.name.cmp(&other.name));
    match members.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(AskError::NamedTwice(pair[0].name.clone())),
        None => Ok(EtcdView { cluster, members }),
    }
}

/// A member as the others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    id: MemberId,
    name: MemberName,
    standing: Standing,
    peer_urls: Vec<String>,
    client_urls: Vec<String>,
}

async fn ask_all<T: serde::de::DeserializeOwned + Send + 'static>(
    etcd: &Etcd,
    endpoints: impl IntoIterator<Item = Endpoint>,
    path: &'static str,
) -> Answered<T> {
    let patience = etcd.patience;
    all(endpoints.into_iter().map(|endpoint| {
        let tls = etcd.tls.clone();
        async move {
            let answer = ask(&endpoint, path, tls, patience).await;
            (endpoint, answer)
        }
    }))
    .await
}

/// Awaits all, and gives their results in the order of the futures.
async fn all<T: Send + 'static>(
    futures: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut tasks = JoinSet::new();
    for (index, future) in futures.enumerate() {
        tasks.spawn(async move { (index, future.await) });
    }
    let mut results = tasks.join_all().await;
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Who the members are, if all that answer say the same.
fn agreed(lists: Answered<MemberList>) -> Result<(ClusterId, Vec<Listed>), AskError> {
    let (mut told, mut silent) = (Vec::new(), Vec::new());
    for (endpoint, answer) in lists {
        match answer.and_then(|list| Ok((ClusterId(list.header.cluster_id), listed(list)?))) {
            Ok((cluster, members)) => told.push((endpoint, cluster, members)),
            Err(silence) => silent.push((endpoint, silence)),
        }
    }
    let Some((_, cluster, members)) = told.first().cloned() else {
        return Err(AskError::Silent(silent));
    };
    if told.iter().any(|(_, other, _)| *other != cluster) {
        let told = told.into_iter().map(|(endpoint, cluster, _)| (endpoint, cluster));
        return Err(AskError::Clusters(told.collect()));
    }
    let votes = |members: &[Listed]| -> BTreeMap<MemberId, bool> {
        members.iter().map(|member| (member.id, member.standing == Standing::Voter)).collect()
    };
    if told.iter().any(|(_, _, others)| votes(others) != votes(&members)) {
        let names = |members: Vec<Listed>| members.into_iter().map(|member| member.name).collect();
        let told = told.into_iter().map(|(endpoint, _, members)| (endpoint, names(members)));
        return Err(AskError::Membership(told.collect()));
    }
    Ok((cluster, members))
}

fn listed(list: MemberList) -> Result<Vec<Listed>, Silence> {
    match list.members.len() {
        1..=MOST_MEMBERS => {}
        count => return Err(Silence::Malformed(format!("{count} members"))),
    }
    let members = list.members.into_iter().map(|mut member| {
        member.peer_urls.truncate(MOST_URLS);
        member.client_urls.truncate(MOST_URLS);
        let id = MemberId(member.id);
        let number = || {
            let number = MemberName::new(&id.to_string());
            number.ok_or_else(|| Silence::Malformed("a member without number".to_owned()))
        };
        Ok(Listed {
            id,
            // etcd takes any text for a name.
            name: MemberName::new(&member.name).map_or_else(number, Ok)?,
            standing: standing(member.is_learner),
            peer_urls: member.peer_urls,
            client_urls: member.client_urls,
        })
    });
    members.collect()
}

fn assembled(
    etcd: &Etcd,
    member: Listed,
    cluster: ClusterId,
    statuses: &BTreeMap<Endpoint, Result<Status, Silence>>,
    resolved: &BTreeMap<String, Result<Vec<IpAddr>, String>>,
) -> EtcdMember {
    let Listed { id, name, standing, peer_urls, client_urls } = member;
    let (mut addresses, mut astray) = (BTreeSet::new(), Vec::new());
    for url in peer_urls.iter().chain(&client_urls) {
        let found = host(url).and_then(|host| resolved.get(&host));
        match found {
            Some(Ok(found)) => {
                // The API server says where a pod is.
                let usable = |ip: &&IpAddr| {
                    etcd.pods.is_some() || !(ip.is_loopback() || ip.is_unspecified())
                };
                let before = found.len();
                let found: Vec<IpAddr> = found.iter().filter(usable).copied().collect();
                if found.len() < before {
                    astray.push(format!("{} means whoever asks", Legible(url)));
                }
                addresses.extend(found);
            }
            Some(Err(reason)) => astray.push(format!("{}: {reason}", Legible(url))),
            None => astray.push(format!("{} has no host", Legible(url))),
        }
    }
    astray.dedup();
    let answer = answer(id, cluster, &etcd.endpoints_of(&client_urls), statuses);
    EtcdMember { name, id, standing, peer_urls, client_urls, addresses, astray, answer }
}

/// The same of one that is a pod: the one to which its URLs lead, unless that says that it is somebody else, or says
/// nothing where it is claimed for another member too.
fn at_home(
    pods: &Directory,
    mut found: EtcdMember,
    member: &Listed,
    (cluster, members): (ClusterId, &[Listed]),
    statuses: &BTreeMap<Endpoint, Result<Status, Silence>>,
) -> EtcdMember {
    let homes = |member: &Listed| -> BTreeMap<&str, &[IpAddr]> {
        let urls = member.peer_urls.iter().chain(&member.client_urls);
        urls.filter_map(|url| pods.find(&host(url)?)).collect()
    };
    let own = homes(member);
    let names: Vec<&str> = own.keys().copied().collect();
    let why = match (names.as_slice(), own.values().next()) {
        ([pod], Some(addresses)) => {
            let is_there = |at: &Endpoint| at.address().is_some_and(|at| addresses.contains(&at));
            let mut there = statuses.iter().filter(|(at, _)| is_there(at));
            match there.find_map(|(_, said)| Some(&said.as_ref().ok()?.header)) {
                Some(said) if (said.cluster_id, said.member_id) == (cluster.0, member.id.0) => None,
                Some(said) => {
                    let other = MemberId(said.member_id);
                    Some(format!("pod {pod}, to which its URLs lead, is the member {other}"))
                }
                None => {
                    let is_other =
                        |one: &&Listed| one.id != member.id && homes(one).contains_key(pod);
                    let other = members.iter().find(is_other);
                    other.map(|other| format!("{}'s URLs lead to pod {pod} as well", other.name))
                }
            }
        }
        ([], _) | (_, None) => return found,
        (several, _) => Some(format!("its URLs lead to several pods: {}", several.join(", "))),
    };
    if let Some(why) = why {
        found.addresses.clear();
        found.astray = vec![why];
    } else if !found.addresses.is_empty() {
        // A Service has all of them, and so is none; that is no news of a member that is found otherwise.
        found.astray.clear();
    }
    found
}

/// What a member said, at whichever URL; else why it said nothing at its own.
fn answer(
    id: MemberId,
    cluster: ClusterId,
    endpoints: &[Result<Endpoint, EndpointError>],
    statuses: &BTreeMap<Endpoint, Result<Status, Silence>>,
) -> Result<EtcdAnswer, Silence> {
    let own = statuses
        .values()
        .flatten()
        .find(|status| (status.header.cluster_id, status.header.member_id) == (cluster.0, id.0));
    if let Some(status) = own {
        return Ok(EtcdAnswer {
            leader: Some(MemberId(status.leader)).filter(|leader| leader.0 != 0),
            term: status.raft_term,
            revision: status.header.revision,
            raft_index: status.raft_index,
            standing: standing(status.is_learner),
        });
    }
    let mut silence = Silence::NotStarted;
    for endpoint in endpoints {
        silence = match endpoint.as_ref().map(|endpoint| statuses.get(endpoint)) {
            Err(error) => Silence::Url(error.to_string()),
            Ok(Some(Ok(status))) => Silence::Other(MemberId(status.header.member_id)),
            Ok(Some(Err(silence))) => silence.clone(),
            Ok(None) => continue,
        };
    }
    Err(silence)
}

async fn resolve(members: &[Listed], etcd: &Etcd) -> BTreeMap<String, Result<Vec<IpAddr>, String>> {
    let patience = etcd.patience;
    let urls = members.iter().flat_map(|member| member.peer_urls.iter().chain(&member.client_urls));
    let hosts: BTreeSet<String> = urls.filter_map(|url| host(url)).collect();
    if let Some(pods) = &etcd.pods {
        let found = hosts.into_iter().map(|host| {
            let own = match pods.find(&host) {
                Some((pod, [])) => Err(format!("pod {pod} has no address yet")),
                Some((_, own)) => Ok(own.to_vec()),
                None => Err("it is none of its pods".to_owned()),
            };
            (host, own)
        });
        return found.collect();
    }
    let found = all(hosts.into_iter().map(|host| async move {
        let found = match host.parse::<IpAddr>() {
            Ok(address) => Ok(vec![address]),
            Err(_) => match timeout(patience, lookup_host((host.as_str(), 0))).await {
                Ok(Ok(found)) => Ok(found.map(|socket| socket.ip()).collect()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("the name was not resolved in time".to_owned()),
            },
        };
        (host, found)
    }));
    found.await.into_iter().collect()
}

/// The host of a URL, IPv6 without brackets.
fn host(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| host.to_owned())
}

const fn standing(is_learner: bool) -> Standing {
    if is_learner { Standing::Learner } else { Standing::Voter }
}

fn silences(told: &[(Endpoint, Silence)]) -> String {
    joined(told.iter().map(|(endpoint, silence)| format!("{endpoint}: {silence}")))
}

fn said(told: &[(Endpoint, ClusterId)]) -> String {
    joined(told.iter().map(|(endpoint, cluster)| format!("{endpoint} says {cluster}")))
}

fn memberships(told: &[(Endpoint, Vec<MemberName>)]) -> String {
    let names =
        |names: &[MemberName]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    joined(told.iter().map(|(endpoint, members)| format!("{endpoint} says {}", names(members))))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
