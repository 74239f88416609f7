//! One member's clock, moved without touching any other.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use lab::etcd::{Cluster, Route};

use super::writes;
use crate::{
    balance::Balance,
    page::Page,
    quantity::time,
    scene::{Roles, Scene},
    schism::{PATIENCE, Run},
};

/// Of the lease that etcd grants: long against the demo, short against the skew.
const LEASE: u64 = 600;

const LIMIT: Duration = Duration::from_secs(2);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(30);

const HOUR: i64 = 3_600;

/// Tells it.
pub(super) fn tell(scene: &Scene, page: &mut Page, balance: &mut Balance) -> Result<()> {
    let roles = scene.calm()?;
    let leader = scene.name(roles.leader).to_owned();
    page.chapter("8  One member an hour ahead")?;
    page.say(&format!(
        "{leader} leads. A lease of {LEASE} s is granted, then its clock, and nobody else's, is moved \
         an hour ahead while it runs. What time a member believes it is stands in its answers (Date).",
    ))?;
    let lease = scene.cluster.client(roles.follower).grant(LEASE, LIMIT)?;
    let writer = writes::start(&scene.cluster, Route::Through(roles.leader));
    scene.first_write(&writer)?;
    let pid = format!("pid:{}", scene.cluster.pid(roles.leader)?);
    let words = ["schism", "skew", &pid, "+1h", "--for", "4s", "--local", "-o", "json"];
    let words = words.map(ToOwned::to_owned);
    page.command(&words)?;
    let run = scene.schism.start(&words)?;
    acts(scene, &run)?;
    let during = offsets(&scene.cluster)?;
    let left = scene.cluster.client(roles.follower).time_to_live(lease, LIMIT)?;
    let finished = run.wait(PATIENCE)?;
    let after = offsets(&scene.cluster)?;
    let serving = writer.finish();
    for (member, offset) in during.iter().enumerate() {
        let text = format!("{offset:+} s while it acts, {:+} s after it", after[member]);
        page.figure(&format!("{} says", scene.name(member)), &text)?;
    }
    let document = finished.document("schism.skew/v1")?;
    let clock = &document["faults"][0]["measured"]["clock"];
    let held = clock["longest_hold"].as_f64().context("no hold was measured")?;
    let held = time(Duration::from_secs_f64(held));
    page.figure("the process", &format!("stood still for {held} at the longest"))?;
    page.figure("writes", &writes::told(&serving))?;
    let told = match left {
        Some(left) => format!("{left} of {LEASE} s left: etcd counts leases by CLOCK_MONOTONIC"),
        None => "ended: etcd counts leases by the time of day".to_owned(),
    };
    page.figure("the lease", &told)?;
    check(roles, &during, &after, page, balance)?;
    if finished.code != Some(0) {
        balance.deviates(page, format!("the skew ended with {}", finished.end()))?;
        page.aside(finished.err.trim())?;
    }
    let hour = format!("{:+} s, the others +0 s; held for {held}", during[roles.leader]);
    balance.note("8  one member an hour ahead, by its own words", hour);
    page.explain(
        "The clock is moved inside the process that reads it. Its end stands there, too: with the \
         lease over the process reads true time, whoever is dead.",
    )?;
    Ok(())
}

/// Waits until the command has read the moved clock.
fn acts(scene: &Scene, run: &Run) -> Result<()> {
    while !run.said().contains("realtime +1h") {
        if run.has_ended() {
            bail!("the skew ended before it began; it said:\n{}", run.said());
        }
        scene.interruption.pause(LOOK)?;
    }
    Ok(())
}

/// How far each member's time of day is off, in seconds. A member cuts off what is less than a second.
fn offsets(cluster: &Cluster) -> Result<Vec<i64>> {
    let offset = |member| {
        let told = cluster.client(member).date(LIMIT)? + Duration::from_millis(500);
        let now = SystemTime::now();
        Ok(match told.duration_since(now) {
            Ok(ahead) => ahead.as_secs_f64().round() as i64,
            Err(behind) => -(behind.duration().as_secs_f64().round() as i64),
        })
    };
    (0..cluster.size()).map(offset).collect()
}

fn check(
    roles: Roles,
    during: &[i64],
    after: &[i64],
    page: &mut Page,
    balance: &mut Balance,
) -> Result<()> {
    let is_near = |offset: i64, expected: i64| (offset - expected).abs() <= 1;
    for (member, (during, after)) in during.iter().zip(after).enumerate() {
        let expected = if member == roles.leader { HOUR } else { 0 };
        if !is_near(*during, expected) || !is_near(*after, 0) {
            let text = format!("member {member} was {during:+} s off, and {after:+} s after it");
            balance.deviates(page, text)?;
        }
    }
    Ok(())
}
