//! Agents that show a token of a service account instead of a certificate.
//!
//! Which node an agent is on is nothing that it says: the API server says for which pod the token was made, and
//! where that pod is.

mod claims;
mod review;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cluster::{Name, Namespace};
use link::OpenDoor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use super::authority::{AuthorityError, House};
use super::revocation::Revocable;
use crate::agents::{Agents, Way};
use review::{TokenError, Tokens};

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

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// In which namespace.
    pub namespace: Namespace,
    /// Its name there.
    pub name: Name,
}

/// A port for agents that come by token.
pub(super) struct Entrance {
    listener: TcpListener,
    door: OpenDoor,
    house: House,
    tokens: Arc<Tokens>,
    coming: Arc<Semaphore>,
}

/// What whoever dials may cost, who has shown nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    /// How many may be on their way in at once; others wait in the kernel's queue.
    coming: usize,
    /// How many tokens are reviewed at once: the API server also renews this controller's lead.
    reviews: usize,
    /// How often it is asked whether a token is good while its agent is connected, give or take a tenth: a
    /// token that its kubelet has renewed is shown at the next connection, and this one ends as the old one does.
    again: Duration,
    /// How soon it is asked once more about one that is said not to be.
    doubt: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        let (again, doubt) = (Duration::from_secs(300), Duration::from_secs(5));
        Self { coming: 256, reviews: 8, again, doubt }
    }
}

impl ByToken {
    /// Opens a port, with a certificate of the authority that is kept in the cluster.
    pub(super) async fn open(self, listener: TcpListener) -> Result<Arc<Entrance>, AuthorityError> {
        self.open_within(listener, Bounds::default()).await
    }

    async fn open_within(
        self,
        listener: TcpListener,
        bounds: Bounds,
    ) -> Result<Arc<Entrance>, AuthorityError> {
        let Self { house, account } = self;
        let signed = house.certificate(SystemTime::now()).await?;
        let door = OpenDoor::new(&signed.certificate, &signed.key);
        let door = door.map_err(|error| house.damaged(&error))?;
        let tokens = Arc::new(Tokens::new(house.client.clone(), account, bounds));
        let coming = Arc::new(Semaphore::new(bounds.coming));
        Ok(Arc::new(Entrance { listener, door, house, tokens, coming }))
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
        loop {
            let place = tokio::select! {
                place = Arc::clone(&self.coming).acquire_owned() => place,
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            let Ok(place) = place else { return };
            let Some((stream, remote)) = super::next(&self.listener, &mut stopped).await else {
                return;
            };
            // Those whose connection has ended.
            while inside.try_join_next().is_some() {}
            let (entrance, agents) = (Arc::clone(&self), agents.clone());
            inside.spawn(async move {
                match entrance.door.accept(stream).await {
                    Ok(stream) => Box::pin(entrance.attend(stream, &agents, remote, place)).await,
                    Err(error) => super::turned_away(remote, &error),
                }
            });
        }
    }

    /// Hears somebody who has shown nothing yet; `place` is held until it is known who that is.
    async fn attend(
        &self,
        mut stream: TlsStream<TcpStream>,
        agents: &Agents,
        remote: SocketAddr,
        place: OwnedSemaphorePermit,
    ) {
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
        drop(place);
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

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.namespace, self.name)
    }
}
