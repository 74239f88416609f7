//! `schism`: parses the command line, does it, and exits with what it came to.

use std::ffi::OsString;
use std::process::ExitCode;

use agent::kernel::clock::holder;
use anyhow::Context;
use controller::cli::Cli;
use controller::run::reaper;

fn main() -> anyhow::Result<ExitCode> {
    // A command that is its own agent starts itself for this.
    if holder::is_asked() {
        return holder::run().map(|()| ExitCode::SUCCESS).context("hold a process");
    }
    if reaper::is_asked() {
        return reaper::run().map(|()| ExitCode::SUCCESS).context("end what a run left");
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::read(&words) {
        Ok(cli) => cli,
        Err(misuse) => return Ok(ExitCode::from(misuse.tell())),
    };
    let format = cli.global.output;
    let typed = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    // Two threads: renewals go on while a slow terminal takes a table, and an agent that lives in this
    // process is not held up by its own command.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let outcome = match runtime.block_on(controller::run(cli, typed)) {
        Ok(outcome) => outcome,
        Err(failure) => {
            controller::tell(&failure, format);
            failure.outcome
        }
    };
    // A read of a terminal or a kernel call that hangs must not hold the exit up.
    runtime.shutdown_background();
    Ok(ExitCode::from(outcome.code()))
}
