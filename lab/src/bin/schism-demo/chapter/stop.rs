//! A cut whose holder is stopped: nobody renews its lease, and nobody can take it out.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{clock::BootTime, topology::Family, traffic::Pinger};
use nix::sys::signal::Signal;

use super::kill::{LIMIT, PING, SILENCE};
use crate::{
    balance::Balance,
    cut::{Cut, only},
    page::Page,
    quantity::time,
    report::Report,
    scene::Scene,
    schism::PATIENCE,
};

/// Long enough for a renewal, which comes every third of the lease.
const HELD: Duration = Duration::from_millis(1_000);

/// How late or early a lease may end, on a busy machine.
const PROMISED: Duration = Duration::from_millis(50);

const OPTIONS: [&str; 4] = ["--for", "60s", "--lease", "2s"];

/// Tells it.
pub(super) fn tell(scene: &Scene, page: &mut Page, balance: &mut Balance) -> Result<()> {
    let roles = scene.calm()?;
    let (from, to) = (scene.node(roles.follower), scene.node(roles.bystander));
    page.chapter("5  A lease that nobody renews: SIGSTOP of the process that holds the cut")?;
    page.say(&format!(
        "The same datagrams over IPv6, {} → {}; again 60 s, on a lease of 2 s that the command \
         renews as long as it can.",
        from.label, to.label
    ))?;
    let pinger = Pinger::start(from, to, Family::V6, PING)?;
    ensure!(pinger.wait_arrival(BootTime::now(), LIMIT).is_some(), "no datagram arrives");
    let cut = Cut { from, to, options: &OPTIONS };
    let run = cut.start(&scene.schism, page)?;
    ensure!(pinger.wait_silence(SILENCE, LIMIT), "the cut does not act; it said:\n{}", run.said());
    // Not a wait for something: the time for which the lease is renewed.
    scene.interruption.pause(HELD)?;
    page.command(&["kill".to_owned(), "-STOP".to_owned(), run.id().to_string()])?;
    let stopped = BootTime::now();
    run.signal(Signal::SIGSTOP)?;
    let arrived = pinger.wait_arrival(stopped + SILENCE, LIMIT);
    let state = state(run.id())?;
    let recording = pinger.finish();
    page.command(&["kill".to_owned(), "-CONT".to_owned(), run.id().to_string()])?;
    run.signal(Signal::SIGCONT)?;
    let finished = run.wait(PATIENCE)?;
    let report = Report::read(&finished.document("schism.cut/v1")?)?;
    let end = only(&report)?.end;
    let outage = recording.longest_outage().context("no datagram was lost")?;
    let Some((passed, unsure)) = arrived.and(outage.ended()) else {
        let text = format!("nobody renews, and no traffic came back within {}", time(LIMIT));
        return Ok(balance.deviates(page, text)?);
    };
    ensure!(state == 'T', "the process was not stopped all the time, but in state {state}");
    let (late, early) = (passed - end, end - passed);
    let lateness = if early.is_zero() {
        format!("{} after the lease's end", time(late))
    } else {
        format!("{} before the lease's end", time(early))
    };
    page.figure(
        "traffic",
        &format!(
            "back {} after SIGSTOP, which is {lateness} (to {} exactly), while the process was \
             stopped (state T)",
            time(passed - stopped),
            time(unsure)
        ),
    )?;
    balance.note("5  lease that nobody renews: traffic back", lateness);
    if late.max(early) > PROMISED {
        balance.deviates(
            page,
            format!("the lease ended {} late, {} early", time(late), time(early)),
        )?;
    }
    page.figure(
        "the command",
        &format!("woke up, found the lease over, and said so ({})", finished.end()),
    )?;
    page.explain(
        "The end of a lease stands in the kernel beside the cut, and every packet is compared with \
         it: no living process is needed for a cut to end, and a stopped one can't prolong it.",
    )?;
    Ok(())
}

/// The state of a process, one letter: field 3 of proc_pid_stat(5).
fn state(pid: u32) -> Result<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(") ").context("a stat without a name")?;
    rest.chars().next().context("a stat without a state")
}
