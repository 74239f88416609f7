//! What the return of a member that was cut off does to the others.

use std::time::Duration;

use anyhow::Result;
use lab::{clock::BootTime, etcd::Writes};

use super::writes;
use crate::{
    balance::Balance,
    page::Page,
    quantity::time,
    scene::Scene,
    watch::{Election, Seen},
};

/// How long the members are looked at after a cut: TCP's retransmission timer has grown to seconds
/// by then, and the member that was cut off is heard when it fires.
const AFTER: Duration = Duration::from_secs(4);

/// Lets the window pass, and what is under way in it come to an end.
pub(super) fn look(scene: &Scene) -> Result<()> {
    scene.interruption.pause(AFTER)?;
    scene.calm().map(drop)
}

/// Tells what happened from the end of a cut until now, and returns the election if there was one.
pub(super) fn tell(
    scene: &Scene,
    page: &mut Page,
    balance: &mut Balance,
    seen: &Seen,
    (writes, end): (&Writes, BootTime),
) -> Result<Option<Election>> {
    let after = writes.between(end, BootTime::now());
    let election = seen.election(seen.term(end), end);
    let text = match election {
        Some(Election { leader, at, term }) => format!(
            "{} later an election: {} leads in term {term}; longest gap between writes {}",
            time(at - end),
            scene.name(leader),
            time(after.longest_gap()),
        ),
        None => format!("no election; writes: {}", writes::told(&after)),
    };
    page.figure("after the cut", &text)?;
    balance.note("   after the cut", text);
    Ok(election)
}
