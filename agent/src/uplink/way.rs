//! One way to a controller: dials, serves, and dials again.

use std::time::Duration;

use fault::Holder;
use link::HelloError;
use proto::agent as wire;
use proto::{Invalid, required};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::backoff::{Attempt, Backoff, Need};
use super::met::Met;
use super::token::TokenError;
use super::{Stop, Uplink, connection};
use crate::worker::Agent;

/// How long a connection may take until the controller has answered the hello.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same while faults stand here: what is lost on the way is soon sent anew.
const HASTE: Duration = Duration::from_secs(4);
/// How long a way is left alone that leads to where another one has led already.
const SAME: Duration = Duration::from_secs(60);

/// What becomes of a way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the only one there is.
    #[default]
    Alone,
    /// There are others.
    OneOfSeveral,
    /// It is gone on no more: a connection that stands is served to its end.
    Left,
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

/// Keeps one connection until the way is left, or a stop is asked for and what is under way has its answers. Never two
/// at once.
pub(super) async fn keep<Dial, Dialled, S, E>(
    uplink: Uplink,
    dial: Dial,
    met: Met,
    standing: watch::Receiver<Standing>,
    mut stop: Stop,
) where
    Dial: Fn() -> Dialled,
    Dialled: Future<Output = Result<S, E>>,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: std::fmt::Display,
{
    let mut backoff = Backoff::default();
    let mut said = None;
    while *standing.borrow() != Standing::Left {
        let patience = match need(&uplink.agent, &standing, met.count()) {
            Need::None | Need::Leader | Need::Successor => PATIENCE,
            Need::Renewals => HASTE,
        };
        let established = tokio::select! {
            biased;
            () = stop.asked() => return,
            established = establish(&uplink, &dial, patience) => established,
        };
        let attempt = match established {
            Ok((stream, holder)) => {
                said = None;
                let Some(meeting) = met.meet(holder) else {
                    // Served twice the controller would take one connection for the other's successor.
                    drop(stream);
                    tracing::debug!(%holder, "the same controller by another address");
                    let is_over = tokio::select! {
                        biased;
                        () = stop.asked() => true,
                        _ = timeout(SAME, met.parted(holder)) => false,
                    };
                    if is_over {
                        return;
                    }
                    continue;
                };
                let begun = Instant::now();
                serve(&uplink, stream, holder, &mut stop).await;
                drop(meeting);
                Attempt::Lived(begun.elapsed())
            }
            Err(failure) => {
                let reason = failure.to_string();
                // A controller that is away for days fills no disk.
                if said.as_ref() != Some(&reason) {
                    match *standing.borrow() {
                        Standing::OneOfSeveral => {
                            tracing::info!(%reason, "no controller that leads; trying again and again");
                        }
                        Standing::Alone | Standing::Left => {
                            tracing::warn!(%reason, "no controller; trying again and again");
                        }
                    }
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
        if *standing.borrow() == Standing::Left {
            return;
        }
        let count = met.count();
        let need = need(&uplink.agent, &standing, count);
        let pause = backoff.after(attempt, need, (uplink.chance)());
        let is_relaxed = need == Need::Successor && attempt != Attempt::Refused;
        let pressed = async {
            tokio::select! {
                () = met.fewer_than(count) => {}
                () = uplink.agent.comes_to_hold() => {}
            }
        };
        let rested = tokio::select! {
            biased;
            () = stop.asked() => return,
            () = tokio::time::sleep(pause) => true,
            // From now on something waits for who leads next.
            () = pressed, if is_relaxed => false,
        };
        if rested {
            continue;
        }
        // Not all agents at once.
        let pause = backoff.after(attempt, Need::Leader, (uplink.chance)());
        tokio::select! {
            biased;
            () = stop.asked() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What waits for this way to lead somewhere: first of all faults for whoever renews them. There are so many connections
/// by other ways.
fn need(agent: &Agent, standing: &watch::Receiver<Standing>, others: usize) -> Need {
    match *standing.borrow() {
        _ if agent.holds_faults() => Need::Renewals,
        Standing::OneOfSeveral if others == 0 => Need::Leader,
        Standing::OneOfSeveral => Need::Successor,
        Standing::Alone | Standing::Left => Need::None,
    }
}

/// Obeys whoever answered, and serves until the connection ends.
async fn serve<S>(uplink: &Uplink, stream: S, holder: Holder, stop: &mut Stop)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match uplink.agent.hear(holder).await {
        Ok(()) => tracing::info!(%holder, "connected to the controller"),
        // It may look and heal; whatever else it asks is refused.
        Err(error) => tracing::warn!(%holder, %error, "connected to a controller of the past"),
    }
    let begun = Instant::now();
    match connection::serve(uplink.service.clone(), stream, stop).await {
        Ok(()) => {
            tracing::info!(lived = ?begun.elapsed(), "the connection to the controller ended");
        }
        Err(error) => tracing::warn!(%error, "the connection to the controller cannot be served"),
    }
}

/// Dials and exchanges hellos: a connection, and who is at its other end.
async fn establish<Dial, Dialled, S, E>(
    uplink: &Uplink,
    dial: &Dial,
    patience: Duration,
) -> Result<(S, Holder), Failure>
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
        timeout(patience, meeting).await.map_err(|_| Failure::Slow(patience))??;
    if !welcome.refused.is_empty() {
        return Err(Failure::Refused(welcome.refused));
    }
    Ok((stream, required(welcome.holder, "holder")?.try_into()?))
}
