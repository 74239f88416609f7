//! The way to the controller: the agent dials, says who it is, and serves on that connection.
//!
//! Nothing of an agent listens on the network. A connection that is lost changes nothing on the node:
//! faults end by their leases, and whoever is reached again within them renews.

mod backoff;
mod certificate;
mod connection;
mod controller;
mod met;
mod places;
mod token;
mod way;

use std::sync::Arc;

use proto::agent as wire;
use proto::agent::agent_server::AgentServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub use backoff::{Attempt, Backoff, Need};
pub use controller::{Controller, ControllerError};
pub use places::everywhere;
pub use token::{TokenError, TokenFile};

use crate::server::{About, Service};
use crate::worker::Agent;
use met::Met;
use way::Standing;

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

impl Uplink {
    /// That of an agent which says this of itself, shows no token, and dials by lot.
    #[must_use]
    pub fn new(agent: Agent, about: About) -> Self {
        let hello = about.hello();
        let service = AgentServer::new(Service::for_controllers(agent.clone(), about));
        Self { agent, hello, token: None, service, chance: Arc::new(by_lot) }
    }
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

/// Keeps a connection to each place of a controller, for ever.
///
/// After a stop it returns when what is under way on the connections has its answers.
pub async fn keep(uplink: Uplink, controller: Controller, stop: Stop) {
    let controller = Arc::new(controller);
    let resolve = {
        let controller = Arc::clone(&controller);
        move || {
            let controller = Arc::clone(&controller);
            async move { controller.addresses().await }
        }
    };
    let dial = move |at| {
        let controller = Arc::clone(&controller);
        async move { controller.dial(at).await }
    };
    everywhere(uplink, resolve, dial, stop).await;
}

/// Keeps one connection to the only place of a controller, for ever: dials, serves, and dials again. Never two at
/// once.
///
/// After a stop it returns when what is under way on the connection has its answers.
pub async fn run<Dial, Dialled, S, E>(uplink: Uplink, dial: Dial, stop: Stop)
where
    Dial: Fn() -> Dialled,
    Dialled: Future<Output = Result<S, E>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: std::fmt::Display,
{
    let (_standing, standing) = watch::channel(Standing::default());
    way::keep(uplink, dial, Met::default(), standing, stop).await;
}

/// A random number; where there are none, agents wait half the time.
#[must_use]
pub fn by_lot() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
