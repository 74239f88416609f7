//! A follower that can't hear its leader.

use anyhow::Result;
use lab::etcd::Route;

use super::{aftermath, initiator::BEFORE_THE_END, writes};
use crate::{
    balance::Balance,
    cut::{Cut, only},
    journal::Journal,
    page::Page,
    peers::Census,
    quantity::{count, time},
    scene::Scene,
    schism::PATIENCE,
    watch::Watch,
};

const OPTIONS: [&str; 3] = ["--for", "6s", "--prove"];

/// Tells it.
pub(super) fn tell(scene: &Scene, page: &mut Page, balance: &mut Balance) -> Result<()> {
    let roles = scene.calm()?;
    let cluster = &scene.cluster;
    let [leader, follower, bystander] =
        [roles.leader, roles.follower, roles.bystander].map(|member| scene.name(member));
    page.chapter(&format!("1  A packet cut: {follower} can't hear the leader, {leader}"))?;
    balance.note(format!("1  packet cut {leader} → {follower}"), "");
    let (watch, journal) = (Watch::start(cluster), Journal::open(cluster)?);
    let through_bystander = writes::start(cluster, Route::Through(roles.bystander));
    scene.first_write(&through_bystander)?;

    let (from, to) = (scene.node(roles.leader), scene.node(roles.follower));
    let cut = Cut { from, to, options: &OPTIONS };
    let run = [cut.start(&scene.schism, page)?];
    let faults = scene.acting(1, &run)?;
    let first = Census::take(cluster)?;
    let through_follower = writes::start(cluster, Route::Through(roles.follower));
    for fault in &faults {
        scene.until(fault.deadline.before(BEFORE_THE_END))?;
    }
    let last = Census::take(cluster)?;
    let candidacies = journal.candidacies(cluster, roles.follower)?;
    let of_follower = through_follower.finish();
    let [run] = run;
    let report = cut.tell(&run.wait(PATIENCE)?, page, balance)?;
    let fault = only(&report)?;
    aftermath::look(scene)?;
    let (seen, writes) = (watch.finish(), through_bystander.finish());
    let during = writes.between(fault.start, fault.deadline);

    let cut_talk = last.talk(&first, roles.leader, roles.follower);
    page.figure(
        "raft messages",
        &format!(
            "{leader} → {follower}: {cut_talk}\n{follower} → {leader}: {}\nin {} of the cut, as \
             etcd counts",
            last.talk(&first, roles.follower, roles.leader),
            time(last.at - first.at)
        ),
    )?;
    if cut_talk.received > 0.0 {
        balance.deviates(page, format!("{follower} read messages of {leader} during the cut"))?;
    }
    let behind = last.status(roles.leader).index.saturating_sub(last.status(roles.follower).index);
    let leaderless = seen.first(roles.follower, fault.start, |status| status.leader.is_none());
    let mut text = match leaderless {
        Some(at) => format!("without a leader after {}", time(at - fault.start)),
        None => "kept its leader".to_owned(),
    };
    if let Some(term) = candidacies.last() {
        let stood = count(candidacies.len() as u64, "time");
        text.push_str(&format!("; stood for election {stood}, up to term {term}"));
    }
    text.push_str(&format!("; log index at the end {behind} behind"));
    page.figure(follower, &text)?;
    balance.note(format!("   {follower}"), text);
    let led = last.status(roles.leader).is_leader();
    let changes = last.grown(&first, roles.bystander, "etcd_server_leader_changes_seen_total");
    page.figure(
        leader,
        &format!(
            "{} in term {}; {bystander} saw {changes} changes of the leader",
            if led { "led until the cut's end" } else { "did not lead at the cut's end" },
            roles.term
        ),
    )?;
    let (told, lost) = (writes::told(&during), writes::share(&of_follower));
    page.figure(
        "writes",
        &format!("through {bystander}: {told}\nthrough {follower}: {lost} acknowledged"),
    )?;
    balance.note(format!("   writes through {bystander}"), told);
    balance.note(format!("   writes through {follower}"), format!("{lost} acknowledged"));
    let election = aftermath::tell(scene, page, balance, &seen, (&writes, fault.deadline))?;

    let mut text = format!(
        "Datagrams from {leader} to {follower} were lost and those the other way arrived. "
    );
    text.push_str(match (candidacies.is_empty(), led && changes == 0.0) {
        (true, _) => "The follower did not stand for election while it was cut off.",
        (false, true) => {
            "The follower heard no heartbeat, so it stood for election again and again and counted \
             its term up, in vain: the others have a leader and ignore it."
        }
        (false, false) => {
            "The follower heard no heartbeat and stood for election, and the others did not keep \
             their leader."
        }
    });
    text.push_str(match (candidacies.is_empty(), election) {
        (false, Some(_)) => {
            " The price came after the cut: heard again, its higher term unseated the leader that \
             was well (etcd 3.4 has pre-vote off by default), and everybody had to vote."
        }
        (_, None) => " Its return went unnoticed this time.",
        (true, Some(_)) => " After the cut there was an election nevertheless.",
    });
    page.explain(&text)?;
    Ok(())
}
