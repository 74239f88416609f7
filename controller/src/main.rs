//! `schism`: parses the command line, does it, and exits with what it came to.

use std::io::Write;
use std::process::ExitCode;

use anstyle::AnsiColor;
use anyhow::Context;
use clap::Parser;
use controller::cli::Cli;

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let typed = std::env::args().collect();
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
            let red = AnsiColor::Red.on_default().bold();
            // The exit code says it too, if nobody can read it.
            let _ = writeln!(anstream::stderr().lock(), "{red}error:{red:#} {}", failure.text());
            failure.outcome
        }
    };
    // A read of a terminal or a kernel call that hangs must not hold the exit up.
    runtime.shutdown_background();
    Ok(ExitCode::from(outcome.code()))
}
