//! `schism-lab zeebe down`

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::record;

/// How long everything may take to be gone.
const LIMIT: Duration = Duration::from_secs(30);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Has the process that keeps the lab end it, and waits until it has.
pub(crate) fn run() -> Result<ExitCode> {
    let Some(keeper) = record::keeper()? else {
        eprintln!("no lab runs");
        return Ok(ExitCode::SUCCESS);
    };
    keeper
        .signal(Signal::SIGTERM)
        .with_context(|| format!("process {} can't be asked to end", keeper.pid))?;
    let began = Instant::now();
    // It is no child of ours, so its end is no event for us.
    while keeper.lives() {
        ensure!(began.elapsed() < LIMIT, "process {} has not ended the lab", keeper.pid);
        thread::sleep(LOOK);
    }
    eprintln!("the lab is gone, after {:.1} s", began.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}
