//! The way to the controller: the agent dials, says who it is, and serves on that connection.
//!
//! Nothing of an agent listens on the network. A connection that is lost changes nothing on the node:
//! faults end by their leases, and whoever is reached again within them renews.

mod backoff;
mod connection;
mod controller;
mod token;

use std::sync::Arc;
use std::time::Duration;

use fault::Holder;
use link::HelloError;
use proto::agent as wire;
use proto::agent::agent_server::AgentServer;
use proto::{Invalid, required};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

pub use backoff::{Attempt, Backoff, Need};
pub use controller::{Controller, ControllerError};
pub use token::{TokenError, TokenFile};

use crate::server::Service;
use crate::worker::Agent;

/// How long a connection may take until the controller has answered the hello.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same while faults stand here: what is lost on the way is soon sent anew.
const HASTE: Duration = Duration::from_secs(4);

/// What is said and served to controllers.
#[derive(Clone)]
pub struct Uplink {
    /// Obeys whoever answers the hello.
    pub agent: Agent,
    /// Said first.
    pub hello: wire::Hello,
    /// Shown with it, where the controller wants that.
    pub token: Option<TokenFile>,
    /// Served afterwards.
    pub service: AgentServer<Service>,
    /// Spreads the attempts of many agents.
    pub chance: Chance,
}

/// Where a number comes from that others do not have; [`by_lot`] but in simulations.
pub type Chance = Arc<dyn Fn() -> u32 + Send + Sync>;

/// Asked of everything that serves when the agent ends.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// One end that asks, by sending `true` or by being dropped, and one that is asked.
    #[must_use]
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Returns once it is asked.
    pub async fn asked(&mut self) {
        // Who cannot ask any more has asked.
        let _ = self.0.wait_for(|asked| *asked).await;
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Dial(String),
    #[error("there is no token to show: {0}")]
    Token(#[from] TokenError),
    #[error("{0}")]
    Hello(#[from] HelloError),
    #[error("the hello was not sent: {0}")]
    Send(#[from] std::io::Error),
    #[error("the controller's welcome: {0}")]
    Welcome(#[from] Invalid),
    #[error("no welcome within {0:?}")]
    Slow(Duration),
    #[error("the controller refuses this agent: {0}")]
    Refused(String),
}

/// Keeps one connection to the controller, for ever: dials, serves, and dials again. Never two at once.
///
/// After a stop it returns when what is under way on the connection has its answers.
pub async fn run<Dial, Dialled, S, E>(uplink: Uplink, dial: Dial, mut stop: Stop)
where
    Dial: Fn() -> Dialled,
    Dialled: Future<Output = Result<S, E>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: std::fmt::Display,
{
    let mut backoff = Backoff::default();
    let mut said = None;
    loop {
        let patience = match need(&uplink.agent).await {
            Need::None => PATIENCE,
            Need::Renewals => HASTE,
        };
        let established = tokio::select! {
            biased;
            () = stop.asked() => return,
            established = establish(&uplink, &dial, patience) => established,
        };
        let attempt = match established {
            Ok(stream) => {
                said = None;
                let begun = Instant::now();
                let served = connection::serve(uplink.service.clone(), stream, &mut stop).await;
                let lived = begun.elapsed();
                if let Err(error) = served {
                    tracing::warn!(%error, "the connection to the controller cannot be served");
                } else {
                    tracing::info!(?lived, "the connection to the controller ended");
                }
                Attempt::Lived(lived)
            }
            Err(failure) => {
                let reason = failure.to_string();
                // A controller that is away for days fills no disk.
                if said.as_ref() != Some(&reason) {
                    tracing::warn!(%reason, "no controller; trying again and again");
                    said = Some(reason);
                }
                match failure {
                    Failure::Refused(_) => Attempt::Refused,
                    Failure::Dial(_)
                    | Failure::Token(_)
                    | Failure::Hello(_)
                    | Failure::Send(_)
                    | Failure::Welcome(_)
                    | Failure::Slow(_) => Attempt::Failed,
                }
            }
        };
        let pause = backoff.after(attempt, need(&uplink.agent).await, (uplink.chance)());
        tokio::select! {
            biased;
            () = stop.asked() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Whether faults wait for whoever renews them.
async fn need(agent: &Agent) -> Need {
    let standing = agent.list().await.unwrap_or_default();
    match standing.iter().any(|status| !status.state.is_final()) {
        true => Need::Renewals,
        false => Need::None,
    }
}

/// Dials and exchanges hellos.
async fn establish<Dial, Dialled, S, E>(
    uplink: &Uplink,
    dial: &Dial,
    patience: Duration,
) -> Result<S, Failure>
where
    Dial: Fn() -> Dialled,
    Dialled: Future<Output = Result<S, E>>,
    S: AsyncRead + AsyncWrite + Unpin,
    E: std::fmt::Display,
{
    let meeting = async {
        let mut stream = dial().await.map_err(|error| Failure::Dial(error.to_string()))?;
        let mut hello = uplink.hello.clone();
        if let Some(token) = &uplink.token {
            hello.token = token.read()?;
        }
        link::write(&mut stream, &hello).await?;
        let welcome: wire::Welcome = link::read(&mut stream).await?;
        Ok::<_, Failure>((stream, welcome))
    };
    let (stream, welcome) =
        tokio::time::timeout(patience, meeting).await.map_err(|_| Failure::Slow(patience))??;
    if !welcome.refused.is_empty() {
        return Err(Failure::Refused(welcome.refused));
    }
    let holder: Holder = required(welcome.holder, "holder")?.try_into()?;
    match uplink.agent.hear(holder).await {
        Ok(()) => tracing::info!(%holder, "connected to the controller"),
        // It may look and heal; whatever else it asks is refused.
        Err(error) => tracing::warn!(%holder, %error, "connected to a controller of the past"),
    }
    Ok(stream)
}

/// A random number; where there are none, agents wait half the time.
#[must_use]
pub fn by_lot() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
