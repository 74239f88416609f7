//! Runs that are told to end: they heal their faults and play their rollbacks, and only then it is known
//! what they came to.

use std::time::Duration;

use fault::IntentId;
use proto::control as wire;
use proto::control::event::Kind as Told;
use tokio::time::timeout;

use super::client::Client;
use crate::control::has_ended;
use crate::outcome::Outcome;
use crate::output::Output;

/// How long runs may take to play their rollbacks (90 s), before who waits is told that they do still.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until nothing more comes of runs by themselves: as they are by then.
pub(super) async fn over(
    client: &mut Client,
    mut runs: Vec<wire::Run>,
    output: Output,
) -> Vec<wire::Run> {
    if runs.iter().all(is_over) {
        return runs;
    }
    for run in runs.iter().filter(|run| !is_over(run)) {
        output.note(format!("{} is being rolled back", IntentId::from_random(run.id)));
    }
    match timeout(PATIENCE, follow(client, &mut runs)).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => output.note(why),
        Err(_) => {
            for run in runs.iter().filter(|run| !is_over(run)) {
                let id = IntentId::from_random(run.id);
                output.note(format!("{id} is being rolled back still: `schism status` shows it"));
            }
        }
    }
    runs
}

async fn follow(client: &mut Client, runs: &mut [wire::Run]) -> Result<(), String> {
    let mut events = client.watch().await.map_err(|failure| failure.text())?;
    while !runs.iter().all(is_over) {
        let event = events.message().await.map_err(|status| super::client::reason(&status))?;
        let event = event.ok_or("the controller closed the connection")?;
        if let Some(Told::Run(told)) = event.kind
            && let Some(run) = runs.iter_mut().find(|run| run.id == told.id)
        {
            *run = told;
        }
    }
    Ok(())
}

/// What ending them came to.
pub(super) fn outcome(runs: &[wire::Run]) -> Outcome {
    let done = |run: &wire::Run| {
        let exit = run.verdict.as_ref().map(wire::RunVerdict::exit);
        has_ended(run) && exit != Some(wire::RunExit::Unconfirmed)
    };
    if runs.iter().all(done) { Outcome::Effective } else { Outcome::Unconfirmed }
}

fn is_over(run: &wire::Run) -> bool {
    has_ended(run) || run.phase() == wire::RunPhase::Owed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rolled_back_still_or_owed_is_not_ended() {
        let run = |phase: wire::RunPhase| wire::Run { phase: phase.into(), ..wire::Run::default() };
        assert_eq!(outcome(&[run(wire::RunPhase::Ended)]), Outcome::Effective);
        for phase in [wire::RunPhase::Rollbacks, wire::RunPhase::Owed] {
            let both = [run(wire::RunPhase::Ended), run(phase)];
            assert_eq!(outcome(&both), Outcome::Unconfirmed, "{phase:?}");
        }
    }
}
