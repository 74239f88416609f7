//! A leader that can't call one follower, while that follower can call it.

use std::time::Duration;

use anyhow::Result;
use lab::{clock::BootTime, etcd::Route};

use super::writes;
use crate::{
    balance::Balance,
    cut::{Cut, only},
    page::Page,
    peers::{Census, Connections},
    quantity::time,
    scene::Scene,
    schism::PATIENCE,
    watch::Watch,
};

/// How much before a cut's end the last look is taken.
pub(super) const BEFORE_THE_END: Duration = Duration::from_millis(300);

const OPTIONS: [&str; 5] = ["--mode", "initiator", "--for", "9s", "--prove"];

/// The first part of the cut ends before etcd's timeout for a stream (5 s in 3.4's rafthttp), the
/// second begins after it.
const FIRST_PART: Duration = Duration::from_secs(4);
const SECOND_PART: Duration = Duration::from_secs(6);

/// Tells it.
pub(super) fn tell(scene: &Scene, page: &mut Page, balance: &mut Balance) -> Result<()> {
    let roles = scene.calm()?;
    let cluster = &scene.cluster;
    let [leader, follower, bystander] =
        [roles.leader, roles.follower, roles.bystander].map(|member| scene.name(member));
    page.chapter(&format!(
        "2  An initiator cut: the leader, {leader}, can't call {follower}; {follower} can call it"
    ))?;
    balance.note(format!("2  initiator cut {leader} → {follower}"), "");
    let watch = Watch::start(cluster);
    let through_bystander = writes::start(cluster, Route::Through(roles.bystander));
    scene.first_write(&through_bystander)?;
    let (from, to) = (scene.node(roles.leader), scene.node(roles.follower));
    let before = Connections::list(from, to)?;

    let cut = Cut { from, to, options: &OPTIONS };
    let run = [cut.start(&scene.schism, page)?];
    let faults = scene.acting(1, &run)?;
    let start = faults.first().map_or_else(BootTime::now, |fault| fault.start);
    let through_follower = writes::start(cluster, Route::Through(roles.follower));
    let mut looks = vec![Census::take(cluster)?];
    for part in [FIRST_PART, SECOND_PART] {
        scene.until(start + part)?;
        looks.push(Census::take(cluster)?);
    }
    for fault in &faults {
        scene.until(fault.deadline.before(BEFORE_THE_END))?;
    }
    looks.push(Census::take(cluster)?);
    let after = Connections::list(from, to)?;
    let of_follower = through_follower.finish();
    let [run] = run;
    let report = cut.tell(&run.wait(PATIENCE)?, page, balance)?;
    let fault = only(&report)?;
    let seen = watch.finish();
    let during = through_bystander.finish().between(fault.start, fault.deadline);

    page.figure(
        "packets",
        &format!(
            "{leader} → {follower} of flows that {leader} opened: {} lost; of flows that {follower} \
             opened: {} passed; opener unknown: {}",
            fault.lost, fault.other_opener, fault.opener_unknown
        ),
    )?;
    page.figure(
        "TCP connections",
        &format!(
            "opened by {leader}: {} before the cut, {} at its end; opened by {follower}: {}, then {}",
            before.opened_here, after.opened_here, before.opened_there, after.opened_there
        ),
    )?;
    let mut text = String::new();
    let mut rates = Vec::new();
    for (from, to) in [(roles.leader, roles.follower), (roles.follower, roles.leader)] {
        for pair in [[&looks[0], &looks[1]], [&looks[2], &looks[3]]] {
            let [since, until] = pair;
            let talk = until.talk(since, from, to);
            text.push_str(&format!(
                "{} → {}, {:.0} to {:.0} s: {talk}\n",
                scene.name(from),
                scene.name(to),
                (since.at - start).as_secs_f64(),
                (until.at - start).as_secs_f64(),
            ));
            rates.push(talk.received / (until.at - since.at).as_secs_f64());
        }
    }
    page.figure("raft messages", &text)?;
    let [_, _, early, late] = rates[..] else { anyhow::bail!("two ways have two parts each") };
    let through = writes::told(&of_follower);
    let told = writes::told(&during);
    page.figure("writes", &format!("through {bystander}: {told}\nthrough {follower}: {through}"))?;
    balance.note(format!("   writes through {bystander}"), told);
    balance.note(format!("   writes through {follower}"), through);
    let last = &looks[3];
    let behind = last.status(roles.leader).index.saturating_sub(last.status(roles.follower).index);
    let lonely = seen.first(roles.follower, fault.start, |status| status.leader.is_none());
    let calm = lonely.is_none() && seen.election(roles.term, fault.start).is_none();
    let text = format!(
        "{}; log index at the end {behind} behind",
        if calm { "kept its leader; no election" } else { "lost its leader, or had a new one" }
    );
    page.figure(follower, &text)?;
    balance.note(format!("   {follower}"), text);

    let mut text = format!(
        "What {leader} says to {follower} went on, because raft's streams are opened by their \
         reader: it travels on connections that {follower} opened. "
    );
    if early < late / 2.0 {
        text.push_str(&format!(
            "What {follower} answers stopped: {leader} reads it on connections that {leader} \
             opened, and the acknowledgements {leader} → {follower} of these were lost. etcd gives \
             a silent stream up after 5 s; then {follower} sent its answers by requests that it \
             opens itself, and these the cut lets pass: {follower} can call {leader}. Writes \
             through {follower} waited for {} until then. No heartbeat was lost, so nobody asked \
             for an election.",
            time(of_follower.longest_gap())
        ));
    } else {
        text.push_str(&format!(
            "What {follower} answers did not clearly stop in this run: it found its way over \
             connections that it opened itself."
        ));
    }
    page.explain(&text)?;
    Ok(())
}
