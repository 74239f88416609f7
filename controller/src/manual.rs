//! Completions and manual pages, from the same definitions as `--help`.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;

/// Runs `schism completions`.
pub(crate) fn completions(args: &CompletionsArgs, output: Output) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "schism", &mut script);
    output.print(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Effective)
}

/// Runs `schism man`.
pub(crate) fn pages(args: &ManArgs, output: Output) -> Result<Outcome, Failure> {
    let fail = |error: std::io::Error| {
        Failure::new(Outcome::Unconfirmed, "cannot write the manual pages", error)
    };
    match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(fail)?;
            clap_mangen::generate_to(Cli::command(), dir).map_err(fail)?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(fail)?;
            output.print(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(Outcome::Effective)
}
