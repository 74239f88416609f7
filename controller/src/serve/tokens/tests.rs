//! The door over loopback, and what an API server says of tokens.

use std::io::Write as _;

use agent::brake::Brake;
use agent::fake::FakeKernel;
use agent::server::Instance;
use agent::uplink::{self, Stop, TokenFile, Uplink};
use agent::worker::Agent;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use fault::NodeName;
use link::{Connector, HelloError, HostPort, ServerName, dial_without_certificate};
use proto::agent as wire;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::*;
use crate::agents::Notices;
use crate::provider::kubernetes::mock::{self, Living};
use crate::store::{Memory, incarnate};

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const POD: &str = "/api/v1/namespaces/schism/pods/agent-x";
const ACCOUNT: &str = "system:serviceaccount:schism:schism-agent";
/// Nothing here takes long; a test that waits this long has failed.
const LIMIT: Duration = Duration::from_secs(20);

fn account() -> Account {
    Account { namespace: "schism".parse().unwrap(), name: "schism-agent".parse().unwrap() }
}

/// A token that says this of itself, and is no other's.
fn token(sub: &str, audience: &str, mark: &str) -> String {
    let claims = json!({ "sub": sub, "aud": [audience], "jti": mark }).to_string();
    format!("head.{}.signature", BASE64_URL_SAFE_NO_PAD.encode(claims))
}

/// What comes of a token of which the API server says this, where `agent-x` is as given.
async fn judged(status: Value, pod: Option<Value>) -> Result<NodeName, TokenError> {
    let pod = pod.map(|pod| (POD, pod));
    let review = (REVIEWS, json!({ "status": status }));
    let client = mock::client([review].into_iter().chain(pod).collect()).await;
    let tokens = Tokens::new(client, account(), Bounds::default());
    tokens.node(&token(ACCOUNT, AUDIENCE, "1")).await
}

fn good(username: &str, extra: &Value) -> Value {
    let user = json!({ "username": username, "extra": extra });
    json!({ "authenticated": true, "audiences": [AUDIENCE], "user": user })
}

/// Of the agent of a node.
fn of(node: &str) -> Value {
    let extra = json!({
        "authentication.kubernetes.io/pod-name": ["agent-x"],
        "authentication.kubernetes.io/pod-uid": ["u"],
        "authentication.kubernetes.io/node-name": [node],
    });
    good(ACCOUNT, &extra)
}

#[tokio::test]
async fn the_api_server_says_on_which_node_an_agent_is() {
    let pod = "authentication.kubernetes.io/pod-name";
    let uid = "authentication.kubernetes.io/pod-uid";
    let old = json!({ pod: ["agent-x"], uid: ["u"] });
    let is = |uid: &str, node: Option<&str>| {
        Some(json!({ "metadata": { "uid": uid }, "spec": { "nodeName": node } }))
    };
    let table = [
        (of("n1"), None, Ok("n1")),
        (good(ACCOUNT, &old), is("u", Some("n2")), Ok("n2")),
        (good(ACCOUNT, &old), is("u", None), Err("has no node")),
        (good(ACCOUNT, &old), is("another", Some("n2")), Err("is gone")),
        (good(ACCOUNT, &old), None, Err("is gone")),
        (good(ACCOUNT, &json!({})), None, Err("made for no pod")),
        (good("system:serviceaccount:schism:web", &old), None, Err("agents are")),
        (good("system:serviceaccount:prod:schism-agent", &old), None, Err("agents are")),
        (good("ada", &old), None, Err("its token is of ada")),
        (json!({ "error": "token has expired" }), None, Err("token has expired")),
        (
            json!({ "authenticated": true, "audiences": ["vault"], "user": {} }),
            None,
            Err("it was not made for schism"),
        ),
    ];
    for (status, pod, expected) in table {
        let found = judged(status.clone(), pod).await;
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.as_str(), expected),
            (Err(error), Err(said)) => {
                assert!(error.to_string().contains(said), "{said}: {error}");
                assert!(!error.is_passing(), "{error}");
            }
            (found, expected) => panic!("{status}: {found:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_reviewed_may_be_good_later() {
    let client = mock::client(mock::Objects::new()).await;
    let tokens = Tokens::new(client, account(), Bounds::default());
    assert_eq!(tokens.node("").await, Err(TokenError::Missing));
    let word = token(ACCOUNT, AUDIENCE, "1");
    let error = tokens.node(&word).await.unwrap_err();
    assert!(error.is_passing() && !error.to_string().contains(&word), "{error}");
}

#[tokio::test]
async fn what_says_itself_that_it_is_no_agents_is_asked_of_nobody() {
    // It would take all of them.
    let review = (REVIEWS, json!({ "status": of("n1") }));
    let client = mock::client([review].into()).await;
    let tokens = Tokens::new(client, account(), Bounds::default());
    let table = [
        ("word".to_owned(), "no token of a service account"),
        (token(ACCOUNT, "vault", "1"), "was not made for schism"),
        (token("system:serviceaccount:prod:web", AUDIENCE, "1"), "its token is of system:"),
    ];
    for (token, said) in table {
        let error = tokens.node(&token).await.unwrap_err();
        assert!(error.to_string().contains(said) && !error.is_passing(), "{token}: {error}");
    }
    assert!(tokens.node(&token(ACCOUNT, AUDIENCE, "1")).await.is_ok());
}

#[tokio::test]
async fn whether_a_token_has_expired_is_said_by_the_clock_of_the_api_server() {
    let review = (REVIEWS, json!({ "status": of("n1") }));
    let client = mock::client([review].into()).await;
    let tokens = Tokens::new(client, account(), Bounds::default());
    // To a controller whose node is an hour late a new token is from the future, and to one that is early an old one.
    for (begins, ends) in [(1, 2), (99_999_999_999_u64, 99_999_999_999_u64)] {
        let claims = json!({ "sub": ACCOUNT, "aud": [AUDIENCE], "nbf": begins, "exp": ends });
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let found = tokens.node(&format!("head.{claims}.signature")).await;
        assert_eq!(found.unwrap().as_str(), "n1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_turn_does_not_come_is_not_refused() {
    let client = mock::client(mock::Objects::new()).await;
    let none = Bounds { reviews: 0, ..Bounds::default() };
    let tokens = Tokens::new(client, account(), none);
    let error = tokens.node(&token(ACCOUNT, AUDIENCE, "1")).await.unwrap_err();
    assert_eq!((&error, error.is_passing()), (&TokenError::Busy, true));
}

/// A controller's door, and the API server behind it.
struct Opened {
    server: Living,
    agents: Agents,
    address: SocketAddr,
    /// Asks it to close.
    _stop: watch::Sender<bool>,
    _notices: Notices,
}

impl Opened {
    async fn within(bounds: Bounds) -> Self {
        let server = Living::default();
        let client = server.client().await;
        let house = House { client, namespace: "schism".parse().unwrap() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let by_token = ByToken { house, account: account() };
        let entrance = by_token.open_within(listener, bounds).await.unwrap();
        let holder = incarnate(&Memory::new()).await.unwrap().into();
        let (agents, notices) = Agents::new(holder);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(entrance.let_agents_in(agents.clone(), stopped));
        Self { server, agents, address, _stop: stop, _notices: notices }
    }

    /// What dials whoever is vouched for by the authority that is shown in the cluster.
    fn connector(&self) -> Connector {
        let shown = self.server.get("/api/v1/namespaces/schism/configmaps/schism-ca").unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(shown["data"]["ca.pem"].as_str().unwrap().as_bytes()).unwrap();
        dial_without_certificate(file.path()).unwrap()
    }

    /// What the API server says of a token from now on.
    fn say(&self, token: &str, status: &Value) {
        self.server.put(&format!("{REVIEWS}?{token}"), json!({ "status": status }));
    }

    /// What is answered to an agent that says this; an error where nothing is.
    async fn greeted(&self, node: &str, token: &str) -> Result<String, HelloError> {
        let dialled = self.connector().dial(&self.host(), &name()).await;
        let mut stream = dialled.unwrap();
        let hello = wire::Hello {
            protocol: 1,
            node: node.to_owned(),
            token: token.to_owned(),
            ..wire::Hello::default()
        };
        link::write(&mut stream, &hello).await.unwrap();
        let welcome: wire::Welcome = soon(link::read(&mut stream)).await?;
        Ok(welcome.refused)
    }

    fn host(&self) -> HostPort {
        self.address.to_string().parse().unwrap()
    }

    fn is_connected(&self) -> bool {
        self.agents.seen().iter().any(|seen| seen.node.as_str() == "n1" && seen.connected)
    }
}

fn name() -> ServerName<'static> {
    "schism-controller".try_into().unwrap()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap()
}

/// Looked at again and again: what it is made of makes no event here.
async fn until(so: impl Fn() -> bool) {
    let waited = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(waited).await;
}

#[tokio::test]
async fn an_agent_is_told_why_it_may_not_come_in_and_nothing_where_nobody_knows() {
    let door = Opened::within(Bounds::default()).await;
    let (own, ended, unknown) = (
        token(ACCOUNT, AUDIENCE, "own"),
        token(ACCOUNT, AUDIENCE, "ended"),
        token(ACCOUNT, AUDIENCE, "unknown"),
    );
    door.say(&own, &of("n1"));
    door.say(&ended, &json!({ "error": "token has expired" }));
    assert_eq!(door.greeted("n1", &own).await.unwrap(), "");
    let table = [
        ("n2", own.as_str(), "it says that it is node 'n2', and its token is of a pod on n1"),
        ("n1", "", "it shows no token"),
        ("n1", ended.as_str(), "token has expired"),
    ];
    for (node, token, said) in table {
        let refused = door.greeted(node, token).await.unwrap();
        assert!(refused.contains(said), "{said}: {refused}");
    }
    // An API server that does not answer has refused nobody: the agent tries again soon.
    door.greeted("n1", &unknown).await.unwrap_err();
}

#[tokio::test]
async fn an_agent_shows_its_token_and_is_parted_with_once_that_is_good_no_more() {
    let (again, doubt) = (Duration::from_millis(50), Duration::from_millis(20));
    let door = Opened::within(Bounds { again, doubt, ..Bounds::default() }).await;
    let word = token(ACCOUNT, AUDIENCE, "own");
    door.say(&word, &of("n1"));
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(word.as_bytes()).unwrap();
    let node = NodeName::new("n1").unwrap();
    let agent = Agent::start(Arc::new(FakeKernel::running(node.clone())), Brake::in_memory());
    let about = FakeKernel::about(node, Instance::new(7));
    let token = Some(TokenFile::new(file.path()).unwrap());
    let uplink = Uplink { token, ..Uplink::new(agent, about) };
    let (connector, host) = (door.connector(), door.host());
    let dial = move || {
        let (connector, host) = (connector.clone(), host.clone());
        async move { connector.dial(&host, &name()).await }
    };
    let (_running, stop) = Stop::new();
    tokio::spawn(uplink::run(uplink, dial, stop));
    until(|| door.is_connected()).await;
    door.say(&word, &json!({ "error": "token has expired" }));
    until(|| !door.is_connected()).await;
}

#[tokio::test]
async fn so_many_are_on_their_way_in_at_once_and_whoever_is_in_is_none_of_them() {
    let door = Opened::within(Bounds { coming: 1, ..Bounds::default() }).await;
    let word = token(ACCOUNT, AUDIENCE, "own");
    door.say(&word, &of("n1"));
    let mut inside = door.connector().dial(&door.host(), &name()).await.unwrap();
    let hello = wire::Hello {
        protocol: 1,
        node: "n1".to_owned(),
        token: word.clone(),
        ..wire::Hello::default()
    };
    link::write(&mut inside, &hello).await.unwrap();
    let welcome: wire::Welcome = soon(link::read(&mut inside)).await.unwrap();
    assert_eq!(welcome.refused, "");
    // One that says nothing has the only place until it goes, or its time is over.
    let silent = TcpStream::connect(door.address).await.unwrap();
    let (connector, host) = (door.connector(), door.host());
    let mut next = std::pin::pin!(async { connector.dial(&host, &name()).await });
    let waited = tokio::time::timeout(Duration::from_millis(300), next.as_mut()).await;
    assert!(waited.is_err(), "there is one place");
    drop(silent);
    soon(next).await.unwrap();
}

#[tokio::test]
async fn a_controller_of_another_authority_is_not_spoken_to() {
    let (door, other) =
        (Opened::within(Bounds::default()).await, Opened::within(Bounds::default()).await);
    let dialled = other.connector().dial(&door.host(), &name()).await;
    assert!(dialled.is_err(), "nobody vouches for it");
    let another = "schism-controller.elsewhere".try_into().unwrap();
    assert!(door.connector().dial(&door.host(), &another).await.is_err(), "it is not its name");
}
