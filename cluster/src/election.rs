//! Which of several processes is the one that acts.
//!
//! No two clocks need agree: whoever waits counts from the moment at which it saw the lease change last, by its
//! own, and whoever has it from before the request by which it was renewed. So the latter knows of its loss before
//! anybody else may act.

use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    ApiError, Client, Lease, Metadata, Name, Reason, Within,
    backoff::{Backoff, by_lot},
    kind::lease::LeaseSpec,
};

/// A candidate for a lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who asks.
    pub client: Client,
    /// Where the lease is.
    pub within: Within,
    /// What it is called.
    pub name: Name,
    /// By what name it is held; no other process ever has the same, also not the next life of this one.
    pub identity: String,
    /// How long it is left to a holder that does not renew it, at least 3 s.
    pub duration: Duration,
}

/// A lease that was won. It is renewed until this is dropped.
#[derive(Debug)]
pub struct Leadership {
    candidate: Candidate,
    /// How often the lease has changed hands, this time included.
    transitions: u64,
    until: watch::Receiver<Instant>,
    renewing: JoinSet<()>,
}

/// What is known of a lease that somebody else has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Observed {
    version: String,
    since: Option<Instant>,
}

/// What to do about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// It is nobody's.
    Take,
    /// It is somebody's.
    Wait(Duration),
}

impl Observed {
    /// What to do about a lease as it was read at this moment.
    fn decide(&mut self, lease: Option<&Lease>, own: Duration, now: Instant) -> Move {
        let Some(lease) = lease else { return Move::Take };
        if lease.spec.holder_identity.as_deref().unwrap_or_default().is_empty() {
            return Move::Take;
        }
        let version = &lease.metadata.resource_version;
        let since = match self.since {
            Some(since) if self.version == *version => since,
            Some(_) | None => {
                *self = Self { version: version.clone(), since: Some(now) };
                now
            }
        };
        let theirs = lease.spec.lease_duration_seconds.unwrap_or(0);
        let left =
            (since + own.max(Duration::from_secs(theirs.into()))).saturating_duration_since(now);
        if left.is_zero() { Move::Take } else { Move::Wait(left) }
    }
}

impl Candidate {
    /// Waits until the lease is won; for ever, where others keep it. What goes wrong is told to `trouble`, and
    /// tried again.
    pub async fn win(&self, mut trouble: impl FnMut(&ApiError)) -> Leadership {
        let mut observed = Observed::default();
        let mut backoff = Backoff::default();
        loop {
            let read_at = Instant::now();
            let pause = match self.attempt(&mut observed, read_at).await {
                Ok(Ok(transitions)) => return self.begin(transitions, read_at),
                Ok(Err(left)) => {
                    backoff.succeeded();
                    // One that is given up is taken soon.
                    left.min(self.duration / 4)
                }
                Err(error) => {
                    trouble(&error);
                    backoff.after_refusal(&error, by_lot())
                }
            };
            sleep(pause).await;
        }
    }

    /// The transitions of a lease that was won, or how long to wait.
    async fn attempt(
        &self,
        observed: &mut Observed,
        now: Instant,
    ) -> Result<Result<u64, Duration>, ApiError> {
        let found = match self.client.get::<Lease>(&self.within, &self.name).await {
            Err(error) if error.reason() == Some(&Reason::NotFound) => None,
            found => Some(found?),
        };
        if let Move::Wait(left) = observed.decide(found.as_ref(), self.duration, now) {
            return Ok(Err(left));
        }
        let written = match &found {
            None => {
                let metadata = Metadata { name: self.name.to_string(), ..Metadata::default() };
                let lease = Lease { metadata, spec: self.spec(1) };
                self.client.create(&self.within, &lease).await
            }
            Some(lease) => {
                let transitions = lease.spec.lease_transitions.unwrap_or(0) + 1;
                let patch = json!({
                    "metadata": { "resourceVersion": lease.metadata.resource_version },
                    "spec": self.spec(transitions),
                });
                self.client.merge::<Lease>(&self.within, &self.name, &patch).await
            }
        };
        match written {
            Ok(lease) => Ok(Ok(lease.spec.lease_transitions.unwrap_or(1))),
            // Somebody was quicker.
            Err(error)
                if matches!(error.reason(), Some(Reason::Conflict | Reason::AlreadyExists)) =>
            {
                Ok(Err(self.duration / 4))
            }
            Err(error) => Err(error),
        }
    }

    fn spec(&self, transitions: u64) -> LeaseSpec {
        let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: u32::try_from(self.duration.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
        }
    }

    fn begin(&self, transitions: u64, asked_at: Instant) -> Leadership {
        let (sender, until) = watch::channel(asked_at + self.duration);
        let mut renewing = JoinSet::new();
        renewing.spawn(self.clone().renew(sender));
        Leadership { candidate: self.clone(), transitions, until, renewing }
    }

    /// Renews until that is not possible any more.
    async fn renew(self, until: watch::Sender<Instant>) {
        let mut backoff = Backoff::default();
        let mut pause = self.duration / 3;
        loop {
            sleep(pause).await;
            let (asked_at, end) = (Instant::now(), *until.borrow());
            if asked_at >= end {
                return;
            }
            let Ok(renewed) = timeout_at(end, self.renew_once()).await else { return };
            pause = match renewed {
                Ok(Renewed::Yes) => {
                    backoff.succeeded();
                    until.send_replace(asked_at + self.duration);
                    self.duration / 3
                }
                Ok(Renewed::Lost) => return,
                // However busy it is: who waits for longer loses the lease.
                Err(error) => backoff.after_refusal(&error, by_lot()).min(self.duration / 6),
            };
        }
    }

    async fn renew_once(&self) -> Result<Renewed, ApiError> {
        let lease = self.client.get::<Lease>(&self.within, &self.name).await;
        let lease = match lease {
            Err(error) if error.reason() == Some(&Reason::NotFound) => return Ok(Renewed::Lost),
            found => found?,
        };
        if lease.spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
            return Ok(Renewed::Lost);
        }
        let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let patch = json!({
            "metadata": { "resourceVersion": lease.metadata.resource_version },
            "spec": { "renewTime": now },
        });
        match self.client.merge::<Lease>(&self.within, &self.name, &patch).await {
            Ok(_) => Ok(Renewed::Yes),
            Err(error) if error.reason() == Some(&Reason::NotFound) => Ok(Renewed::Lost),
            // Somebody who may has changed something else of it, or has taken it: the next look tells.
            Err(error) => Err(error),
        }
    }
}

/// What became of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewed {
    /// It goes on.
    Yes,
    /// It is somebody else's, or gone.
    Lost,
}

impl Leadership {
    /// How often the lease has changed hands, this time included: grows with every leader.
    #[must_use]
    pub const fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Returns once somebody else may act.
    pub async fn lost(&self) {
        Held::of(self).lost().await;
    }

    /// Gives the lease up, so that the next need not wait for its end. Whatever it was for must have ended before.
    pub async fn resign(mut self) {
        self.renewing.shutdown().await;
        let Candidate { client, within, name, identity, .. } = &self.candidate;
        let Ok(lease) = client.get::<Lease>(within, name).await else { return };
        if lease.spec.holder_identity.as_deref() == Some(identity.as_str()) {
            let patch = json!({
                "metadata": { "resourceVersion": lease.metadata.resource_version },
                "spec": { "holderIdentity": "" },
            });
            // Whoever was quicker has it.
            let _ = client.merge::<Lease>(within, name, &patch).await;
        }
    }
}

/// Whether a lease is held, asked from anywhere.
#[derive(Clone, Debug)]
pub struct Held(watch::Receiver<Instant>);

impl Held {
    /// Of this leadership.
    #[must_use]
    pub fn of(leadership: &Leadership) -> Self {
        Self(leadership.until.clone())
    }

    /// Whether nobody else can act yet.
    #[must_use]
    pub fn now(&self) -> bool {
        Instant::now() < *self.0.borrow()
    }

    /// Returns once somebody else may act.
    pub async fn lost(mut self) {
        loop {
            let end = *self.0.borrow_and_update();
            tokio::select! {
                () = sleep_until(end) => return,
                changed = self.0.changed() => if changed.is_err() {
                    // Nobody renews any more: what is left of it is all there is.
                    return sleep_until(end).await;
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(version: &str, holder: &str, seconds: u32) -> Lease {
        Lease {
            metadata: Metadata { resource_version: version.to_owned(), ..Metadata::default() },
            spec: LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(seconds),
                // By a clock that is wrong by hours.
                renew_time: Some("2001-01-01T00:00:00.000000Z".to_owned()),
                ..LeaseSpec::default()
            },
        }
    }

    #[test]
    fn a_lease_is_taken_that_has_not_changed_for_its_time() {
        let (begin, own) = (Instant::now(), Duration::from_secs(15));
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let wait = |seconds: u64| Move::Wait(Duration::from_secs(seconds));
        let mut observed = Observed::default();
        let table = [
            (lease("1", "a", 10), 100, wait(15)),
            (lease("1", "a", 10), 110, wait(5)),
            // It was renewed.
            (lease("2", "a", 10), 114, wait(15)),
            (lease("2", "a", 10), 128, wait(1)),
            (lease("2", "a", 10), 129, Move::Take),
            // Its holder has asked for more than we would leave it.
            (lease("3", "b", 60), 130, wait(60)),
            (lease("3", "b", 60), 189, wait(1)),
            (lease("3", "b", 60), 190, Move::Take),
            (lease("4", "", 60), 190, Move::Take),
        ];
        for (lease, seconds, expected) in table {
            assert_eq!(observed.decide(Some(&lease), own, at(seconds)), expected, "{lease:?}");
        }
        assert_eq!(Observed::default().decide(None, own, begin), Move::Take);
    }
}
