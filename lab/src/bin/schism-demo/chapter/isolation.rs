//! A leader cut from everyone, one way and then the other.

use anyhow::{Context as _, Result};
use lab::{
    clock::BootTime,
    etcd::{Route, Writes},
};

use super::{aftermath, writes};
use crate::{
    balance::Balance,
    cut::Cut,
    journal::Journal,
    page::Page,
    quantity::{count, time},
    scene::{Roles, Scene},
    schism::PATIENCE,
    watch::{Election, Watch},
};

const OPTIONS: [&str; 2] = ["--for", "6s"];

/// Which way is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// What the leader sends is lost.
    Unheard,
    /// What is sent to the leader is lost.
    Deaf,
}

/// What became of the cluster while two cuts acted.
struct Course {
    election: Option<Election>,
    /// How long after the beginning the old leader was seen not to take itself for the leader.
    stepped_down: Option<BootTime>,
    /// Because too few answered it.
    missed_quorum: bool,
    /// The terms for which the old leader stood for election.
    candidacies: Vec<u64>,
    /// How often the followers stood for election.
    rounds: usize,
    during: Writes,
}

/// The leader is not heard.
pub(super) fn tell_unheard(scene: &Scene, page: &mut Page, balance: &mut Balance) -> Result<()> {
    let roles = scene.calm()?;
    let leader = scene.name(roles.leader);
    page.chapter(&format!("3a The leader, {leader}, is not heard: what it sends to both is lost"))?;
    balance.note(format!("3a packet cuts {leader} → both followers"), "");
    tell(scene, page, balance, (roles, Way::Unheard))
}

/// The leader does not hear.
pub(super) fn tell_deaf(scene: &Scene, page: &mut Page, balance: &mut Balance) -> Result<()> {
    let roles = scene.calm()?;
    let leader = scene.name(roles.leader);
    page.chapter(&format!("3b The leader, {leader}, does not hear: what both send to it is lost"))?;
    balance.note(format!("3b packet cuts both followers → {leader}"), "");
    tell(scene, page, balance, (roles, Way::Deaf))
}

fn tell(
    scene: &Scene,
    page: &mut Page,
    balance: &mut Balance,
    (roles, way): (Roles, Way),
) -> Result<()> {
    let cluster = &scene.cluster;
    let (watch, journal) = (Watch::start(cluster), Journal::open(cluster)?);
    let writer = writes::start(cluster, Route::Any);
    scene.first_write(&writer)?;
    let leader = scene.node(roles.leader);
    let cuts = [roles.follower, roles.bystander].map(|follower| {
        let other = scene.node(follower);
        let (from, to) = match way {
            Way::Unheard => (leader, other),
            Way::Deaf => (other, leader),
        };
        Cut { from, to, options: &OPTIONS }
    });
    let mut runs = Vec::new();
    for cut in &cuts {
        let mut typed = cut.words();
        runs.push(scene.schism.start(&typed)?);
        if runs.len() < cuts.len() {
            typed.push("&".to_owned());
        }
        page.command(&typed)?;
    }
    let faults = scene.acting(cuts.len(), &runs)?;
    let start = faults.iter().map(|fault| fault.start).max().context("no cut acts")?;
    let first = faults.iter().map(|fault| fault.start).min().unwrap_or(start);
    let end = faults.iter().map(|fault| fault.deadline).max().unwrap_or(start);
    let mut ended = Vec::new();
    for run in runs {
        ended.push(run.wait(PATIENCE)?);
    }
    let missed_quorum = journal.missed_quorum(cluster, roles.leader)?;
    let candidacies = journal.candidacies(cluster, roles.leader)?;
    let mut rounds = 0;
    for follower in [roles.follower, roles.bystander] {
        rounds += journal.candidacies(cluster, follower)?.len();
    }
    for (cut, ended) in cuts.iter().zip(&ended) {
        cut.tell(ended, page, balance)?;
    }
    page.figure("", &format!("the second began {} after the first", time(start - first)))?;
    aftermath::look(scene)?;
    let (seen, writes) = (watch.finish(), writer.finish());
    let course = Course {
        election: seen.election(roles.term, start).filter(|election| election.at < end),
        stepped_down: seen
            .first(roles.leader, start, |status| !status.is_leader())
            .filter(|at| *at < end),
        missed_quorum,
        candidacies,
        rounds,
        during: writes.between(start, end),
    };
    course.tell(scene, page, balance, (roles, start))?;
    let after = aftermath::tell(scene, page, balance, &seen, (&writes, end))?;
    page.explain(&course.explanation(scene, roles, way, after))?;
    Ok(())
}

impl Course {
    fn tell(
        &self,
        scene: &Scene,
        page: &mut Page,
        balance: &mut Balance,
        (roles, start): (Roles, BootTime),
    ) -> Result<()> {
        let text = match self.election {
            Some(Election { leader, at, term }) => format!(
                "{} after the cuts began {} leads, in term {term} (before: term {}); the followers \
                 stood {}",
                time(at - start),
                scene.name(leader),
                roles.term,
                count(self.rounds as u64, "time")
            ),
            None => "none while the cuts acted".to_owned(),
        };
        page.figure("election", &text)?;
        balance.note("   election", text);
        let mut text = match self.stepped_down {
            Some(at) => format!("took itself for the leader for {} more", time(at - start)),
            None => "took itself for the leader until the end".to_owned(),
        };
        if self.missed_quorum {
            text.push_str(", then missed its quorum and stepped down");
        }
        if let Some(term) = self.candidacies.last() {
            let stood = count(self.candidacies.len() as u64, "time");
            text.push_str(&format!("; stood for election {stood} in vain, up to term {term}"));
        }
        page.figure("the old leader", &text)?;
        balance.note("   the old leader", text);
        let text = format!(
            "through any member: {} acknowledged\nlongest time without one: {}",
            writes::share(&self.during),
            time(self.during.longest_gap())
        );
        page.figure("writes", &text)?;
        balance.note("   longest time without a write", time(self.during.longest_gap()));
        Ok(())
    }

    fn explanation(
        &self,
        scene: &Scene,
        roles: Roles,
        way: Way,
        after: Option<Election>,
    ) -> String {
        let leader = scene.name(roles.leader);
        let mut text = match (way, self.election) {
            (Way::Unheard, Some(_)) => {
                "Without heartbeats for their 1 to 2 s the followers elected one of them."
                    .to_owned()
            }
            (Way::Deaf, Some(_)) => format!(
                "Nothing that {leader} sends was lost, and yet the followers elected another: its \
                 heartbeats travel over TCP, and the acknowledgements {leader} waits for are what \
                 was lost, so after a moment it could send nothing new. One way or the other, a \
                 packet cut stops TCP in both."
            ),
            (Way::Unheard | Way::Deaf, None) => {
                "There was no election in this time; see the figures.".to_owned()
            }
        };
        if self.election.is_some() && self.rounds > 1 {
            text.push_str(
                " One round was not enough this time: a round fails when both stand at once, while \
                 the other still trusts the leader that it heard last, or when the one that stands \
                 has the older log.",
            );
        }
        if let (Some(election), Some(down)) = (self.election, self.stepped_down)
            && down > election.at
        {
            text.push_str(&format!(
                " For {} two members took themselves for the leader; only the one with a majority \
                 could acknowledge writes.",
                time(down - election.at)
            ));
        }
        match (after, self.candidacies.last()) {
            (Some(_), Some(_)) => text.push_str(&format!(
                " When the cuts were over, {leader} was heard with a later term of its own: one \
                 more election, with nothing cut."
            )),
            (Some(_), None) => text.push_str(" When the cuts were over, they voted once more."),
            (None, _) => {}
        }
        text
    }
}
