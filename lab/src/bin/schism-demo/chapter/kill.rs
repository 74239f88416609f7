//! SIGKILL of the process that holds a cut.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::{clock::BootTime, topology::Family, traffic::Pinger};
use nix::sys::signal::Signal;

use crate::{
    balance::Balance,
    cut::Cut,
    ending,
    page::Page,
    quantity::{count, time},
    scene::Scene,
    schism::PATIENCE,
};

/// From one datagram to the next.
pub(super) const PING: Duration = Duration::from_micros(200);

/// Longer than any pause of the sender's on a busy machine.
pub(super) const SILENCE: Duration = Duration::from_millis(30);

/// How long traffic may take to come back until the demo gives up.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// How long the cut is seen to hold before its holder is killed.
const HELD: Duration = Duration::from_millis(700);

/// What a SIGKILL may take at most until traffic is back, on a busy machine.
const PROMISED: Duration = Duration::from_millis(500);

const OPTIONS: [&str; 2] = ["--for", "60s"];

/// Tells it.
pub(super) fn tell(scene: &Scene, page: &mut Page, balance: &mut Balance) -> Result<()> {
    let roles = scene.calm()?;
    let (from, to) = (scene.node(roles.follower), scene.node(roles.bystander));
    page.chapter("4  SIGKILL of the process that holds a cut")?;
    page.say(&format!(
        "A datagram every 200 µs goes from {} to {}. The cut asks for 60 s; the command is its own \
         agent.",
        from.label, to.label
    ))?;
    let pinger = Pinger::start(from, to, Family::V4, PING)?;
    ensure!(pinger.wait_arrival(BootTime::now(), LIMIT).is_some(), "no datagram arrives");
    let cut = Cut { from, to, options: &OPTIONS };
    let run = cut.start(&scene.schism, page)?;
    ensure!(pinger.wait_silence(SILENCE, LIMIT), "the cut does not act; it said:\n{}", run.said());
    // Not a wait for something: the time for which the cut is held.
    scene.interruption.pause(HELD)?;
    page.command(&["kill".to_owned(), "-KILL".to_owned(), run.id().to_string()])?;
    let killed = BootTime::now();
    run.signal(Signal::SIGKILL)?;
    let arrived = pinger.wait_arrival(killed, LIMIT);
    let recording = pinger.finish();
    let finished = run.wait(PATIENCE)?;
    ensure!(finished.signal == Some(Signal::SIGKILL as i32), "it ended before the signal");
    let outage = recording.longest_outage().context("no datagram was lost")?;
    let Some((passed, unsure)) = arrived.and(outage.ended()) else {
        let text = format!("after SIGKILL no traffic came back within {}", time(LIMIT));
        return Ok(balance.deviates(page, text)?);
    };
    let took = passed - killed;
    page.figure(
        "traffic",
        &format!(
            "{} lost one after the other in {}; back {} after SIGKILL (to {} exactly)",
            count(outage.lost.into(), "datagram"),
            time(outage.duration()),
            time(took),
            time(unsure)
        ),
    )?;
    balance.note("4  SIGKILL of the holder: traffic back", format!("after {}", time(took)));
    if took > PROMISED {
        balance.deviates(page, format!("traffic was back only {} after SIGKILL", time(took)))?;
    }
    let found = ending::search(scene)?;
    let files = found.left.iter().all(|remnant| matches!(&*remnant.kind, "socket" | "lock"));
    page.figure("left by it", &found.words())?;
    if !files {
        let text = format!("SIGKILL left more than files behind: {}", found.words());
        balance.deviates(page, text)?;
    }
    page.explain(
        "The cut hangs on file descriptors of the process and nothing is pinned: the kernel takes \
         it off when it takes the process away. Two files stay, which the next agent takes over.",
    )?;
    Ok(())
}
