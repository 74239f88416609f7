//! An agent that dialled becomes one that can be asked.

use std::net::SocketAddr;
use std::time::Duration;

use fault::NodeName;
use link::HelloError;
use proto::agent as wire;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use super::session;
use super::{Agents, Clock, Known, Notice, Renewals};
use crate::failure::Failure;
use crate::link::Link;
use crate::sequence::Moment;

/// How long a caller may take to say hello.
const PATIENCE: Duration = Duration::from_secs(5);
/// The version of the hello.
const PROTOCOL: u32 = 1;

/// Why a connection did not become an agent.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// It said nothing, or something else.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// It took too long.
    #[error("no hello within 5 s")]
    Slow,
    /// Its hello is of another version.
    #[error("a hello of version {0}, where this controller speaks 1")]
    Protocol(u32),
    /// It is not who it says: the certificate decides.
    #[error("it says that it is node '{said}', and its certificate is for {certified}")]
    Liar {
        /// What it said.
        said: String,
        /// What its certificate says.
        certified: NodeName,
    },
    /// It does not answer as an agent.
    #[error("{0}")]
    Silent(Failure),
}

/// Between which addresses a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The agent's end.
    pub remote: Option<SocketAddr>,
    /// Ours.
    pub local: Option<SocketAddr>,
}

impl Agents {
    /// Takes a connection whose certificate is for `certified`. Returns when the connection has ended.
    ///
    /// # Errors
    /// It did not become an agent; if it said hello it was told why.
    pub async fn admit<S>(
        &self,
        mut stream: S,
        certified: NodeName,
        way: Way,
    ) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let hello = self.hear(&mut stream).await?;
        self.admit_as(stream, hello, certified, way).await
    }

    /// Reads what an agent says first. Whether it is true is not looked at.
    ///
    /// # Errors
    /// It said nothing, or something else.
    pub async fn hear<S>(&self, stream: &mut S) -> Result<wire::Hello, AdmissionError>
    where
        S: AsyncRead + Unpin,
    {
        let said = tokio::time::timeout(PATIENCE, link::read(stream)).await;
        Ok(said.map_err(|_| AdmissionError::Slow)??)
    }

    /// Tells an agent why it is not let in; whether it hears that is its own matter.
    pub async fn turn_away<S>(&self, stream: &mut S, refused: String)
    where
        S: AsyncWrite + Unpin,
    {
        let welcome = wire::Welcome { holder: Some(self.0.holder.clone()), refused };
        let _ = tokio::time::timeout(PATIENCE, link::write(stream, &welcome)).await;
    }

    /// Takes a connection of which it is known that it is of the agent of `certified`. Returns when the
    /// connection has ended.
    ///
    /// # Errors
    /// It did not become an agent, and was told why.
    pub async fn admit_as<S>(
        &self,
        mut stream: S,
        hello: wire::Hello,
        certified: NodeName,
        way: Way,
    ) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let greeting = Box::pin(self.greet(&mut stream, &hello, &certified));
        let greeting = tokio::time::timeout(PATIENCE, greeting).await;
        let instance = greeting.map_err(|_| AdmissionError::Slow)??;
        let mut link = Box::pin(Link::over(stream, Some(self.0.holder.clone())))
            .await
            .map_err(|error| AdmissionError::Hello(HelloError::Io(error)))?;
        let description = link.describe().await.map_err(AdmissionError::Silent)?;
        let (renewals, wanted) = watch::channel(Renewals::default());
        let connection = {
            let mut known = self.known();
            let earlier = known.remove(&certified);
            let connection = earlier.as_ref().map_or(1, |earlier| earlier.connection + 1);
            let contested = earlier.as_ref().and_then(|earlier| earlier.contested(instance));
            if contested.is_some() {
                tracing::warn!(
                    node = certified.as_str(),
                    remote = ?way.remote,
                    "another agent with this node's certificate took its place: one of them must go"
                );
            }
            // What was to be renewed goes on over the new connection.
            if let Some(earlier) = &earlier {
                renewals.send_replace(earlier.renewals.borrow().clone());
            }
            let one = Known {
                connection,
                link: Some(link.clone()),
                halted: description.halted.clone(),
                tells_halted: false,
                braked: Moment::ZERO,
                description,
                remote: way.remote,
                local: way.local,
                heard: Instant::now(),
                clock: Clock::default(),
                renewals,
                active: earlier.map_or(0, |earlier| earlier.active),
                instance,
                contested,
            };
            known.insert(certified.clone(), one);
            connection
        };
        tracing::info!(node = certified.as_str(), "agent found");
        session::run(self, &certified, connection, link, wanted).await;
        let mut known = self.known();
        if let Some(known) = known.get_mut(&certified).filter(|one| one.connection == connection) {
            known.link = None;
            tracing::info!(node = certified.as_str(), "agent lost");
            self.notify(Notice::Lost(certified));
        }
        Ok(())
    }

    /// Which process of an agent it is.
    async fn greet<S>(
        &self,
        stream: &mut S,
        hello: &wire::Hello,
        certified: &NodeName,
    ) -> Result<u64, AdmissionError>
    where
        S: AsyncWrite + Unpin,
    {
        let refused = if hello.protocol != PROTOCOL {
            Some(AdmissionError::Protocol(hello.protocol))
        } else if hello.node != certified.as_str() {
            let said = fault::Legible(&hello.node).to_string();
            Some(AdmissionError::Liar { said, certified: certified.clone() })
        } else {
            None
        };
        let reason = refused.as_ref().map(ToString::to_string).unwrap_or_default();
        let welcome = wire::Welcome { holder: Some(self.0.holder.clone()), refused: reason };
        link::write(stream, &welcome).await.map_err(HelloError::Io)?;
        refused.map_or(Ok(hello.instance), Err)
    }
}

impl Known {
    /// When two agents were last seen to share this node's certificate, if one of this instance dials now:
    /// a process that was started anew does so after its earlier one's connection has ended.
    fn contested(&self, instance: u64) -> Option<Instant> {
        let other = self.instance != instance && self.link.is_some();
        if other { Some(Instant::now()) } else { self.contested }
    }
}
