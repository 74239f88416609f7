//! `schism`: parses the command line, does it, and exits with what it came to.

use std::ffi::OsString;
use std::process::ExitCode;

use agent::kernel::clock::holder;
use anyhow::Context;
use controller::carried;
use controller::cli::{Cli, Misuse};
use controller::plugin::{self, Line};
use controller::run::reaper;

fn main() -> anyhow::Result<ExitCode> {
    // A command that is its own agent starts itself for this.
    if holder::is_asked() {
        return holder::run().map(|()| ExitCode::SUCCESS).context("hold a process");
    }
    if reaper::is_asked() {
        return reaper::run().map(|()| ExitCode::SUCCESS).context("end what a run left");
    }
    if carried::is_asked() {
        return carried::run().map(|()| ExitCode::SUCCESS).context("copy this program");
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    let asked = match read(&words) {
        Ok(asked) => asked,
        Err(misuse) => return Ok(ExitCode::from(misuse.tell())),
    };
    let format = match &asked {
        Asked::Command(cli) => cli.global.output,
        Asked::Plugin(line) => line.format(),
    };
    let typed = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    // Two threads: renewals go on while a slow terminal takes a table, and an agent that lives in this
    // process is not held up by its own command.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let done = match asked {
        Asked::Command(cli) => runtime.block_on(controller::run(*cli, typed)),
        Asked::Plugin(line) => runtime.block_on(plugin::run(*line)),
    };
    let outcome = match done {
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

/// What is asked of it, by the name under which it was started.
enum Asked {
    Command(Box<Cli>),
    Plugin(Box<Line>),
}

fn read(words: &[OsString]) -> Result<Asked, Misuse> {
    if plugin::is_asked(words) {
        return Line::read(words).map(|line| Asked::Plugin(Box::new(line)));
    }
    Cli::read(words).map(|cli| Asked::Command(Box::new(cli)))
}
