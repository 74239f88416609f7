//! What the members say about themselves, asked again and again.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use lab::{
    clock::BootTime,
    etcd::{Client, Cluster, Status},
};

/// Between two questions to a member.
const PACE: Duration = Duration::from_millis(20);

/// How long an answer may take.
const LIMIT: Duration = Duration::from_millis(300);

/// Asks every member until it is finished or dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    /// Dropped to end the thread.
    stop: Sender<()>,
    thread: JoinHandle<Vec<Sight>>,
}

/// What a member said at one moment.
#[derive(Clone, Copy, Debug)]
struct Sight {
    at: BootTime,
    status: Status,
}

impl Watch {
    /// Begins to ask.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let members = (0..cluster.size()).map(|member| {
            let client = cluster.client(member);
            let (stop, stopped) = mpsc::channel::<()>();
            let thread = thread::spawn(move || {
                let mut sights = Vec::new();
                let mut client: Client = client;
                loop {
                    // The clients' way to the members is never cut.
                    if let Ok(status) = client.status(LIMIT) {
                        sights.push(Sight { at: BootTime::now(), status });
                    }
                    if stopped.recv_timeout(PACE) != Err(RecvTimeoutError::Timeout) {
                        return sights;
                    }
                }
            });
            Member { stop, thread }
        });
        Self { members: members.collect() }
    }

    /// Stops and returns what was seen.
    pub(crate) fn finish(self) -> Seen {
        let sights = self.members.into_iter().map(|member| {
            drop(member.stop);
            member.thread.join().unwrap_or_default()
        });
        Seen(sights.collect())
    }
}

/// What the members said, by member.
#[derive(Clone, Debug)]
pub(crate) struct Seen(Vec<Vec<Sight>>);

impl Seen {
    /// When a member was first seen so, at or after a moment.
    pub(crate) fn first(
        &self,
        member: usize,
        since: BootTime,
        so: impl Fn(&Status) -> bool,
    ) -> Option<BootTime> {
        let mut sights = self.0.get(member)?.iter().filter(|sight| sight.at >= since);
        sights.find(|sight| so(&sight.status)).map(|sight| sight.at)
    }

    /// The first leader of a term later than this one that was seen at or after a moment.
    pub(crate) fn election(&self, term: u64, since: BootTime) -> Option<Election> {
        let later = |status: &Status| status.is_leader() && status.term > term;
        let firsts = self.0.iter().enumerate().filter_map(|(leader, sights)| {
            let sight = sights.iter().find(|sight| sight.at >= since && later(&sight.status))?;
            Some(Election { leader, at: sight.at, term: sight.status.term })
        });
        firsts.min_by_key(|election| election.at)
    }

    /// The latest term that a member had seen something applied in before a moment.
    pub(crate) fn term(&self, before: BootTime) -> u64 {
        let sights = self.0.iter().flatten().filter(|sight| sight.at < before);
        sights.map(|sight| sight.status.term).max().unwrap_or(0)
    }
}

/// Somebody leads who did not before, or does so again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Election {
    /// Who.
    pub(crate) leader: usize,
    /// When it was seen.
    pub(crate) at: BootTime,
    /// In which term.
    pub(crate) term: u64,
}
