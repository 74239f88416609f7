//! Agents that show a token of a service account instead of a certificate.
//!
//! Which node an agent is on is nothing that it says: the API server says for which pod the token was made, and
//! where that pod is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cluster::{ApiError, Client, Name, Namespace, Pod, Reason, Review, Secret, User, Within};
use fault::NodeName;
use link::OpenDoor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use super::authority::{AuthorityError, House};
use super::revocation::Revocable;
use crate::agents::{Agents, Way};

/// How often it is asked whether a token is good while its agent is connected, give or take a tenth: a token
/// that its kubelet has renewed is shown at the next connection, and this one ends as the old one does.
const AGAIN: Duration = Duration::from_secs(300);

/// For whom tokens of agents are made.
const AUDIENCE: &str = "schism";

/// How often the own certificate is made anew.
const DAILY: Duration = Duration::from_secs(24 * 3600);
/// How soon it is tried again where that failed.
const SOON: Duration = Duration::from_secs(60);

/// By which tokens agents come, and where the authority is kept that they trust.
#[derive(Clone, Debug)]
pub struct ByToken {
    /// Where the authority is kept.
    pub house: House,
    /// Whose tokens are taken.
    pub account: Account,
}

/// A port for agents that come by token.
pub(super) struct Entrance {
    listener: TcpListener,
    door: OpenDoor,
    house: House,
    tokens: Arc<Tokens>,
}

/// Whose tokens are taken.
#[derive(Clone, Debug)]
struct Tokens {
    client: Client,
    account: Account,
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// In which namespace.
    pub namespace: Namespace,
    /// Its name there.
    pub name: Name,
}

/// Why a token does not let an agent in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// None was shown.
    #[error("it shows no token, and agents come here by the token of their service account")]
    Missing,
    /// The API server does not take it.
    #[error("the API server does not take its token: {0}")]
    Refused(String),
    /// It is somebody else's.
    #[error("its token is of {found}, and agents are system:serviceaccount:{wanted}")]
    OtherAccount {
        /// Whose.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// It was made for no pod.
    #[error(
        "its token was made for no pod; it has to be mounted by a projected volume (serviceAccountToken)"
    )]
    NoPod,
    /// Its pod is gone.
    #[error("the pod {0}, for which its token was made, is gone")]
    PodGone(String),
    /// Its pod has no node.
    #[error("the pod {0}, for which its token was made, has no node")]
    NoNode(String),
    /// It is not where it says.
    #[error("it says that it is node '{said}', and its token is of a pod on {node}")]
    Liar {
        /// What it said.
        said: String,
        /// Where its pod is.
        node: NodeName,
    },
    /// It cannot be known now.
    #[error("its token cannot be reviewed now: {0}")]
    Api(#[from] ApiError),
}

impl TokenError {
    /// Whether the same token may be taken later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Api(_) => true,
            Self::Missing
            | Self::Refused(_)
            | Self::OtherAccount { .. }
            | Self::NoPod
            | Self::PodGone(_)
            | Self::NoNode(_)
            | Self::Liar { .. } => false,
        }
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.namespace, self.name)
    }
}

impl ByToken {
    /// Opens a port, with a certificate of the authority that is kept in the cluster.
    pub(super) async fn open(self, listener: TcpListener) -> Result<Arc<Entrance>, AuthorityError> {
        let Self { house, account } = self;
        let signed = house.certificate(SystemTime::now()).await?;
        let door = OpenDoor::new(&signed.certificate, &signed.key);
        let door = door.map_err(|error| house.damaged(&error))?;
        let tokens = Arc::new(Tokens { client: house.client.clone(), account });
        Ok(Arc::new(Entrance { listener, door, house, tokens }))
    }
}

impl Entrance {
    /// Shows a new certificate every day, until the controller ends.
    pub(super) async fn keep_certificate(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut pause = DAILY;
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.renew().await {
                Ok(()) => DAILY,
                Err(error) => {
                    tracing::warn!(%error, "own certificate not made anew");
                    SOON
                }
            };
        }
    }

    async fn renew(&self) -> Result<(), AuthorityError> {
        let signed = self.house.certificate(SystemTime::now()).await?;
        let renewed = self.door.renew(&signed.certificate, &signed.key);
        renewed.map_err(|error| self.house.damaged(&error))
    }

    /// Lets agents in, until the controller ends.
    pub(super) async fn let_agents_in(
        self: Arc<Self>,
        agents: Agents,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut inside = JoinSet::new();
        while let Some((stream, remote)) = super::next(&self.listener, &mut stopped).await {
            // Those whose connection has ended.
            while inside.try_join_next().is_some() {}
            let (entrance, agents) = (Arc::clone(&self), agents.clone());
            inside.spawn(async move {
                match entrance.door.accept(stream).await {
                    Ok(stream) => Box::pin(entrance.attend(stream, &agents, remote)).await,
                    Err(error) => super::turned_away(remote, &error),
                }
            });
        }
    }

    async fn attend(&self, mut stream: TlsStream<TcpStream>, agents: &Agents, remote: SocketAddr) {
        let way = Way { remote: Some(remote), local: stream.get_ref().0.local_addr().ok() };
        let mut hello = match agents.hear(&mut stream).await {
            Ok(hello) => hello,
            Err(error) => return tracing::warn!(%remote, %error, "not an agent"),
        };
        // Nothing of it is kept but here.
        let token = std::mem::take(&mut hello.token);
        let node = match self.tokens.node(&token).await {
            Ok(node) => node,
            Err(error) => {
                tracing::warn!(%remote, %error, "not an agent");
                // It tries again soon where it is told nothing, and later where it was refused.
                if !error.is_passing() {
                    agents.turn_away(&mut stream, error.to_string()).await;
                }
                return;
            }
        };
        if hello.node != node.as_str() {
            let said = fault::Legible(&hello.node).to_string();
            let error = TokenError::Liar { said, node };
            tracing::warn!(%remote, %error, "not an agent");
            return agents.turn_away(&mut stream, error.to_string()).await;
        }
        let (stream, revoked) = Revocable::new(stream);
        let watched = Arc::clone(&self.tokens).spent(token, node.clone());
        let mut watch = JoinSet::new();
        let name = node.clone();
        watch.spawn(async move {
            let reason = watched.await;
            tracing::warn!(node = name.as_str(), %reason, "its token is good no more: disconnected");
            // It may have ended by itself.
            let _ = revoked.send(());
        });
        // Ends with the connection, and the look at the token with it.
        if let Err(error) = agents.admit_as(stream, hello, node, way).await {
            tracing::warn!(%remote, %error, "not an agent");
        }
    }
}

impl Tokens {
    /// On which node the agent is that shows this token.
    pub(super) async fn node(&self, token: &str) -> Result<NodeName, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        let user = match self.client.review(&Secret::new(token), AUDIENCE).await? {
            Review::Somebody(user) => user,
            Review::Nobody(why) => return Err(TokenError::Refused(why)),
        };
        let own = (self.account.namespace.as_str(), self.account.name.as_str());
        if user.service_account() != Some(own) {
            let (found, wanted) = (user.username, self.account.to_string());
            return Err(TokenError::OtherAccount { found, wanted });
        }
        let pod = user.pod().ok_or(TokenError::NoPod)?.to_owned();
        let node = match user.node() {
            Some(node) => node.to_owned(),
            None => self.node_of(&pod, &user).await?,
        };
        NodeName::new(&node).ok_or(TokenError::NoNode(pod))
    }

    /// API servers before 1.32 do not say it of a token.
    async fn node_of(&self, pod: &str, user: &User) -> Result<String, TokenError> {
        let gone = || TokenError::PodGone(pod.to_owned());
        let name: Name = pod.parse().map_err(|_| gone())?;
        let within = Within::Namespace(self.account.namespace.clone());
        let found = match self.client.get::<Pod>(&within, &name).await {
            Err(error) if error.reason() == Some(&Reason::NotFound) => return Err(gone()),
            found => found?,
        };
        // Another one has its name by now.
        if user.pod_uid() != Some(found.metadata.uid.as_str()) {
            return Err(gone());
        }
        found.spec.node_name.ok_or_else(|| TokenError::NoNode(pod.to_owned()))
    }

    /// Returns when a token is not good any more, with why. An API server that is away says nothing of it.
    pub(super) async fn spent(self: Arc<Self>, token: String, node: NodeName) -> String {
        loop {
            tokio::time::sleep(AGAIN.mul_f64(0.9 + 0.2 * share())).await;
            match self.node(&token).await {
                Ok(found) if found == node => {}
                Ok(found) => return format!("its token is of node {found} now"),
                Err(error) if error.is_passing() => {
                    tracing::debug!(node = node.as_str(), %error, "token not reviewed");
                }
                Err(error) => return error.to_string(),
            }
        }
    }
}

/// A number from 0 to 1 that others do not have.
fn share() -> f64 {
    f64::from(agent::uplink::by_lot()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::kubernetes::mock;

    const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
    const POD: &str = "/api/v1/namespaces/schism/pods/agent-x";

    /// What comes of a token of which the API server says this, where `agent-x` is as given.
    async fn judged(status: Value, pod: Option<Value>) -> Result<NodeName, TokenError> {
        let pod = pod.map(|pod| (POD, pod));
        let review = (REVIEWS, json!({ "status": status }));
        let client = mock::client([review].into_iter().chain(pod).collect()).await;
        let account =
            Account { namespace: "schism".parse().unwrap(), name: "schism-agent".parse().unwrap() };
        Tokens { client, account }.node("word").await
    }

    fn good(username: &str, extra: &Value) -> Value {
        let user = json!({ "username": username, "extra": extra });
        json!({ "authenticated": true, "audiences": [AUDIENCE], "user": user })
    }

    #[tokio::test]
    async fn the_api_server_says_on_which_node_an_agent_is() {
        let account = "system:serviceaccount:schism:schism-agent";
        let pod = "authentication.kubernetes.io/pod-name";
        let uid = "authentication.kubernetes.io/pod-uid";
        let node = "authentication.kubernetes.io/node-name";
        let new = json!({ pod: ["agent-x"], uid: ["u"], node: ["n1"] });
        let old = json!({ pod: ["agent-x"], uid: ["u"] });
        let is = |uid: &str, node: Option<&str>| {
            Some(json!({ "metadata": { "uid": uid }, "spec": { "nodeName": node } }))
        };
        let table = [
            (good(account, &new), None, Ok("n1")),
            (good(account, &old), is("u", Some("n2")), Ok("n2")),
            (good(account, &old), is("u", None), Err("has no node")),
            (good(account, &old), is("another", Some("n2")), Err("is gone")),
            (good(account, &old), None, Err("is gone")),
            (good(account, &json!({})), None, Err("made for no pod")),
            (good("system:serviceaccount:schism:web", &new), None, Err("agents are")),
            (good("system:serviceaccount:prod:schism-agent", &new), None, Err("agents are")),
            (good("ada", &new), None, Err("its token is of ada")),
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
        let account =
            Account { namespace: "schism".parse().unwrap(), name: "schism-agent".parse().unwrap() };
        let tokens = Tokens { client, account };
        assert_eq!(tokens.node("").await, Err(TokenError::Missing));
        let error = tokens.node("word").await.unwrap_err();
        assert!(error.is_passing() && !error.to_string().contains("word"), "{error}");
    }
}
