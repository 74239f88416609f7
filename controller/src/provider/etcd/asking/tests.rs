//! Servers that are no etcd, or not quite.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::*;

/// What a server does with every request.
#[derive(Clone)]
enum Manner {
    /// Answers by path: a member list and a status.
    Etcd { list: String, status: String },
    /// Writes this, and closes.
    Raw(Vec<u8>),
    /// Reads, and says nothing.
    Mute,
    /// Writes an answer without end.
    Endless,
}

struct Servers {
    endpoints: Vec<Endpoint>,
    _tasks: JoinSet<()>,
}

async fn listeners<const N: usize>() -> [(TcpListener, Endpoint); N] {
    let mut bound = Vec::new();
    for _ in 0..N {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
        bound.push((listener, endpoint));
    }
    bound.try_into().map_err(|_| ()).unwrap()
}

fn serve<const N: usize>(bound: [(TcpListener, Endpoint); N], manners: [Manner; N]) -> Servers {
    let mut tasks = JoinSet::new();
    let mut endpoints = Vec::new();
    for ((listener, endpoint), manner) in bound.into_iter().zip(manners) {
        endpoints.push(endpoint);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let manner = manner.clone();
                connections.spawn(async move {
                    let mut request = vec![0; 4096];
                    let length = stream.read(&mut request).await.unwrap_or(0);
                    let list = request[..length].windows(11).any(|part| part == b"member/list");
                    let answer = match manner {
                        Manner::Etcd { list: body, .. } if list => ok(&body),
                        Manner::Etcd { status, .. } => ok(&status),
                        Manner::Raw(bytes) => bytes,
                        Manner::Mute => return std::future::pending().await,
                        Manner::Endless => {
                            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                            let _: Result<_, _> = stream.write_all(head).await;
                            let chunk = [b"1000\r\n".as_slice(), &[b' '; 4096], b"\r\n"].concat();
                            while stream.write_all(&chunk).await.is_ok() {}
                            return;
                        }
                    };
                    let _: Result<_, _> = stream.write_all(&answer).await;
                    let _: Result<_, _> = stream.shutdown().await;
                });
            }
        });
    }
    Servers { endpoints, _tasks: tasks }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A member list of cluster 7: number, name, client URL.
fn members(cluster: u64, members: &[(u64, &str, &str)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(id, name, url)| {
            format!(
                r#"{{"ID":"{id}","name":"{name}","peerURLs":["http://10.0.0.{id}:2380"],"clientURLs":[{url}]}}"#,
            )
        })
        .collect();
    format!(
        r#"{{"header":{{"cluster_id":"{cluster}","member_id":"1"}},"members":[{}]}}"#,
        members.join(",")
    )
}

fn status(member: u64, leader: u64) -> String {
    format!(
        r#"{{"header":{{"cluster_id":"7","member_id":"{member}","revision":"42"}},"leader":"{leader}","raftTerm":"3"}}"#
    )
}

fn etcd(endpoints: &[Endpoint], patience: Duration) -> Etcd {
    Etcd { patience, ..Etcd::new(endpoints.to_vec(), None).unwrap() }
}

const PATIENT: Duration = Duration::from_secs(20);
const HASTY: Duration = Duration::from_millis(500);

async fn silence(manner: Manner, patience: Duration) -> Silence {
    let servers = serve(listeners().await, [manner]);
    let refused = etcd(&servers.endpoints, patience).view().await.unwrap_err();
    let AskError::Silent(silent) = refused else { panic!("{refused}") };
    silent.into_iter().next().unwrap().1
}

#[tokio::test]
async fn every_member_is_asked_at_its_own_url() {
    let [one, two, three] = listeners().await;
    let url = |bound: &(TcpListener, Endpoint)| format!("\"{}\"", bound.1);
    let all = [(1, "a", &*url(&one)), (2, "b", &url(&two)), (3, "c", ""), (4, "d", &url(&three))];
    let list = members(7, &all);
    let server = |id| Manner::Etcd { list: list.clone(), status: status(id, 1) };
    // The third one's address leads to the second.
    let servers = serve([one, two, three], [server(1), server(2), server(2)]);
    let view = etcd(&servers.endpoints[..1], PATIENT).view().await.unwrap();
    assert_eq!(view.cluster, ClusterId(7));
    let said: Vec<String> = view.said().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "a says leader a (term 3, revision 42)",
            "b says leader a (term 3, revision 42)",
            "c says nothing: it has not started yet",
            "d says nothing: at its URL the member 2 answers",
        ]
    );
    let a = &view.members[0];
    assert_eq!(a.addresses, ["10.0.0.1".parse().unwrap()].into());
    assert!(a.astray[0].ends_with("means whoever asks"), "{:?}", a.astray);
}

#[tokio::test]
async fn what_is_no_etcd_is_told() {
    let said = silence(Manner::Raw(ok("<html>")), PATIENT).await;
    assert!(matches!(said, Silence::Malformed(_)), "{said}");
    let said = silence(Manner::Raw(ok("{}")), PATIENT).await;
    assert!(matches!(said, Silence::Malformed(_)), "{said}");
    let said = silence(Manner::Raw(ok(&members(7, &[]))), PATIENT).await;
    assert!(matches!(said, Silence::Malformed(_)), "{said}");
    let crowd = members(7, &[(1, "a", ""); MOST_MEMBERS + 1]);
    let said = silence(Manner::Raw(ok(&crowd)), PATIENT).await;
    assert!(matches!(said, Silence::Malformed(_)), "{said}");
    let error = b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno".to_vec();
    let said = silence(Manner::Raw(error), PATIENT).await;
    assert_eq!(said, Silence::Status { status: 503, said: "no".to_owned() });
    for broken in ["", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"] {
        let said = silence(Manner::Raw(broken.into()), PATIENT).await;
        assert!(matches!(said, Silence::Broken(_)), "{broken:?}: {said}");
    }
}

#[tokio::test]
async fn what_is_too_much_is_not_read() {
    assert_eq!(silence(Manner::Endless, PATIENT).await, Silence::TooLong);
    let head = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    let said = silence(Manner::Raw(head), PATIENT).await;
    assert!(matches!(said, Silence::Broken(_)), "{said}");
}

#[tokio::test]
async fn nobody_is_waited_for_long() {
    let began = Instant::now();
    assert_eq!(silence(Manner::Mute, HASTY).await, Silence::Late(HASTY));
    assert!(began.elapsed() >= HASTY);
    let [(listener, endpoint)] = listeners().await;
    drop(listener);
    let refused = etcd(&[endpoint], PATIENT).view().await.unwrap_err();
    let AskError::Silent(silent) = refused else { panic!("{refused}") };
    assert!(matches!(silent[0].1, Silence::Connect(_)), "{}", silent[0].1);
    assert_eq!(etcd(&[], PATIENT).view().await, Err(AskError::NoEndpoints));
}

#[tokio::test]
async fn one_that_is_mute_holds_up_nobody_else() {
    let [one, two] = listeners().await;
    let list =
        members(7, &[(1, "a", &format!("\"{}\"", one.1)), (2, "b", &format!("\"{}\"", two.1))]);
    let good = Manner::Etcd { list, status: status(1, 1) };
    let servers = serve([one, two], [good, Manner::Mute]);
    let view = etcd(&servers.endpoints, HASTY).view().await.unwrap();
    assert!(view.members[0].answer.is_ok());
    assert_eq!(view.members[1].answer, Err(Silence::Late(HASTY)));
}

#[tokio::test]
async fn endpoints_that_do_not_belong_together_are_told() {
    let (a, b) = ((1, "a", ""), (2, "b", ""));
    let table = [
        (members(7, &[a, b]), members(8, &[a, b]), "different clusters"),
        (members(7, &[a, b]), members(7, &[a]), "do not agree on who the members are"),
        (members(7, &[a, (2, "a", "")]), members(7, &[a, b]), "two members of etcd are named a"),
    ];
    for (one, two, told) in table {
        let server = |list| Manner::Etcd { list, status: status(1, 1) };
        let servers = serve(listeners().await, [server(one), server(two)]);
        let refused = etcd(&servers.endpoints, PATIENT).view().await.unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
}

#[tokio::test]
async fn https_needs_credentials() {
    let [(listener, endpoint)] = listeners().await;
    let tls: Endpoint = format!("https://{}", endpoint.authority()).parse().unwrap();
    let refused = etcd(&[tls], PATIENT).view().await.unwrap_err();
    drop(listener);
    let AskError::Silent(silent) = refused else { panic!("{refused}") };
    assert_eq!(silent[0].1, Silence::NoCredentials);
}

/// A member list of cluster 7: number and name, and the hosts of its URLs.
fn hosted(members: &[(u64, &str, &[&str])]) -> MemberList {
    let members: Vec<String> = members
        .iter()
        .map(|(id, name, hosts)| {
            let urls: Vec<String> =
                hosts.iter().map(|host| format!(r#""http://{host}:2379""#)).collect();
            let urls = urls.join(",");
            format!(r#"{{"ID":"{id}","name":"{name}","peerURLs":[{urls}],"clientURLs":[]}}"#)
        })
        .collect();
    let header = r#"{"cluster_id":"7","member_id":"1"}"#;
    let text = format!(r#"{{"header":{header},"members":[{}]}}"#, members.join(","));
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn in_a_namespace_a_member_is_the_pod_that_nobody_else_is() {
    let own = |last: u8| IpAddr::from([10, 0, 0, last]);
    let names = ["etcd-0", "etcd-1", "etcd-2"];
    let pods = (1..).zip(names).map(|(last, name)| (name.to_owned(), vec![own(last)]));
    let pods = Directory::new("prod".to_owned(), ["etcd".to_owned()].into(), pods);
    let endpoint = |last: u8| Endpoint::at(own(last), 2379, Some("etcd".to_owned()));
    let found = async |members: &[(u64, &str, &[&str])], says: &[(u8, u64)]| {
        let members = listed(hosted(members)).unwrap();
        let statuses = says.iter().map(|(at, id)| {
            let status: Status = serde_json::from_str(&status(*id, 1)).unwrap();
            (endpoint(*at), Ok(status))
        });
        let statuses: BTreeMap<Endpoint, Result<Status, Silence>> = statuses.collect();
        let etcd = etcd(&[], PATIENT).in_pods(pods.clone());
        let resolved = resolve(&members, &etcd).await;
        let found = members.iter().map(|one| {
            let found = assembled(&etcd, one.clone(), ClusterId(7), &statuses, &resolved);
            let found = at_home(&pods, found, one, (ClusterId(7), &members), &statuses);
            match found.addresses.first() {
                Some(at) => at.to_string(),
                None => found.astray.join("; "),
            }
        });
        found.collect::<Vec<String>>()
    };
    // By their names alone, as far as they are of this namespace; a Service in a list beside is nobody.
    let members: [(u64, &str, &[&str]); 3] = [
        (1, "a", &["etcd-0.etcd.prod.svc", "etcd.prod.svc"]),
        (2, "b", &["etcd-1.etcd.test.svc"]),
        (3, "c", &["10.0.0.3"]),
    ];
    let elsewhere = "http://etcd-1.etcd.test.svc:2379: it is none of its pods";
    assert_eq!(found(&members, &[]).await, ["10.0.0.1", elsewhere, "10.0.0.3"]);
    // What answers at the pod's own address is somebody else.
    let other = "pod etcd-0, to which its URLs lead, is the member 9";
    assert_eq!(found(&members, &[(1, 9), (3, 3)]).await, [other, elsewhere, "10.0.0.3"]);
    // Two claim one, and one claims two.
    let members: [(u64, &str, &[&str]); 3] =
        [(1, "a", &["etcd-0"]), (2, "b", &["etcd-0.etcd"]), (3, "c", &["etcd-1", "etcd-2"])];
    let several = "its URLs lead to several pods: etcd-1, etcd-2";
    let (a, b) = ("b's URLs lead to pod etcd-0 as well", "a's URLs lead to pod etcd-0 as well");
    assert_eq!(found(&members, &[]).await, [a, b, several]);
    let a = "pod etcd-0, to which its URLs lead, is the member 2";
    assert_eq!(found(&members, &[(1, 2)]).await, [a, "10.0.0.1", several]);
}
