//! Schism's command line: it names targets, asks this machine's agent, renews, and says what was done.
//!
//! From outside in: [`cli`] (what was typed) → one module a command → `connect` (which agent) → `link`
//! (the agent, in the words of [`fault`]). Only `local` knows that the agent may live in this very
//! process. A controller that addresses many agents takes the place of `link` once there is one: the
//! commands do not know who dialled.

pub mod admit;
pub mod agents;
pub mod archive;
mod capture;
pub mod carried;
mod certs;
pub mod cli;
mod connect;
pub mod control;
mod cut;
pub mod disruption;
pub mod disruptions;
mod doctor;
pub mod experiments;
mod failure;
mod fleet;
mod freeze;
mod heal;
mod host;
mod input;
mod install;
mod interrupts;
mod keeping;
mod kill;
mod link;
mod local;
mod log;
mod manual;
pub mod metrics;
pub mod objects;
mod outcome;
mod output;
mod pause;
pub mod planning;
pub mod plugin;
mod processes;
pub mod provider;
mod residue;
mod resolve;
pub mod run;
pub mod runs;
pub mod sequence;
pub mod serve;
mod session;
pub mod settings;
pub mod sight;
mod skew;
pub mod spec;
mod status;
pub mod store;
mod stress;
mod targets;
mod tickets;
mod zeebe;

pub use failure::{Cause, Failure};
pub use heal::FaultName;
pub use outcome::Outcome;
pub use output::Format;

use cli::{Cli, Command};
use connect::{Absence, Choice};
use output::Output;
use processes::Asked;

/// Says why a command did nothing, in the format that its result would have had. The exit code says it
/// too, if nobody can read it.
pub fn tell(failure: &Failure, format: Option<Format>) {
    Output::new(format).fail(failure);
}

/// Has a controller or this machine's agent do something to processes.
async fn in_processes(
    asked: Asked,
    chosen: Option<settings::Controller>,
    choice: Choice,
    output: Output,
) -> Result<Outcome, Failure> {
    match chosen.filter(|_| !asked.manner.local) {
        Some(controller) => fleet::processes::run(asked, &controller, output).await,
        None => processes::run(asked, choice, output).await,
    }
}

/// Does what was asked. `typed` is the command line word by word, for hints that repeat it.
///
/// # Errors
/// What was asked did not happen, and why.
pub async fn run(cli: Cli, typed: Vec<String>) -> Result<Outcome, Failure> {
    let output = Output::new(cli.global.output);
    let chosen = chosen(&cli.global);
    let socket = cli.global.agent_socket.clone();
    let choice = Choice { socket: socket.clone(), absence: Absence::Accept, typed };
    match cli.command {
        Command::Cut(args) => {
            let names = settings(&cli.global)?.names;
            match chosen?.filter(|_| !args.local) {
                Some(controller) => fleet::cut::run(&args, &names, &controller, output).await,
                None => cut::run(&args, &names, choice, output).await,
            }
        }
        Command::Skew(args) => {
            let asked = skew::asked(&args, &settings(&cli.global)?.names, output)?;
            if args.replace {
                skew::replacement::run(asked, chosen?, choice, output).await
            } else {
                in_processes(asked, chosen?, choice, output).await
            }
        }
        Command::Freeze(args) => {
            let asked = freeze::asked(&args, &settings(&cli.global)?.names)?;
            in_processes(asked, chosen?, choice, output).await
        }
        Command::Kill(args) => {
            let asked = kill::asked(&args, &settings(&cli.global)?.names)?;
            in_processes(asked, chosen?, choice, output).await
        }
        Command::Stress(args) => {
            let asked = stress::asked(&args, &settings(&cli.global)?.names)?;
            in_processes(asked, chosen?, choice, output).await
        }
        Command::Pod(args) => {
            let names = settings(&cli.global)?.names;
            fleet::disruption::pods(&args.command, &names, &or_local(chosen?), output).await
        }
        Command::Node(args) => {
            fleet::disruption::node(&args.command, &or_local(chosen?), output).await
        }
        Command::Capture(args) => {
            let asked = capture::asked(&args, &settings(&cli.global)?.names)?;
            match chosen?.filter(|_| !args.local) {
                Some(controller) => fleet::capture::run(asked, &controller, output).await,
                None => capture::run(asked, choice, output).await,
            }
        }
        Command::Run(args) => {
            let mut read = settings(&cli.global)?;
            read.controller = cli.global.controller.clone().over(read.controller);
            let controller = if args.local { None } else { chosen? };
            let settings = cli.global.config.config;
            let places = settings::Places::of_the_environment();
            let reads = run::Reads {
                settings: settings::file(settings.as_deref(), &places),
                credentials: read.credentials(),
            };
            let names = read.names;
            let place = run::Where { names, controller, space: None, choice, settings, reads };
            run::run(&args, place, output).await
        }
        Command::Validate(args) => {
            let names = settings(&cli.global)?.names;
            run::validate(&args, (&names, &run::faults::Form::Command), output).await
        }
        Command::Schema => run::schema(output),
        Command::Heal(args) => match to_end(chosen, &cli.global, output) {
            Ok(Some(controller)) => fleet::heal(&args, &controller, output).await,
            Ok(None) => heal::run(&args, &choice, output).await,
            // What acts on this machine can be ended whatever a file says.
            Err(failure) => {
                output.warn(failure.text());
                // Whether a controller still has faults is not known then.
                let healed = heal::run(&args, &choice, output).await;
                healed.map(|outcome| outcome.worst(Outcome::Unconfirmed))
            }
        },
        Command::Status(args) => match to_end(chosen, &cli.global, output)? {
            Some(controller) => fleet::status(&args, &controller, output).await,
            None => status::run(&args, &choice, output).await,
        },
        Command::Serve(args) => serve::command::run(args, &cli.global, output).await,
        Command::Zeebe(args) => {
            zeebe::run(*args, &settings(&cli.global)?, chosen.map(or_local), output).await
        }
        Command::Agents => fleet::agents(&or_local(chosen?), output).await,
        Command::Halt(args) => {
            let chosen = to_end(chosen, &cli.global, output)?;
            fleet::halt(&args.reason, &or_local(chosen), output).await
        }
        Command::Resume => fleet::resume(&or_local(chosen?), output).await,
        Command::Targets(args) => {
            let sought = targets::sought(&args, &settings(&cli.global)?.names)?;
            let controller = chosen?.filter(|_| !args.local);
            if let (None, Some(path)) = (&args.target, &args.within.namespace) {
                return fleet::members(path, &or_local(controller), output).await;
            }
            match controller {
                Some(controller) => fleet::targets(&sought, &controller, output).await,
                None => targets::run(&args, &sought, choice, output).await,
            }
        }
        Command::Doctor => doctor::run(&choice, output).await,
        Command::Residue(args) => residue::run(&args, socket, output).await,
        Command::Certs(args) => certs::run(&args, output),
        Command::Install(args) => install::run(&args, cli.global.output, output),
        Command::Completions(args) => manual::completions(&args, output),
        Command::Man(args) => manual::pages(&args, output),
    }
}

/// The controller that was named by flag, environment or settings; none where nobody named one.
fn chosen(global: &cli::Global) -> Result<Option<settings::Controller>, Failure> {
    let file = settings(global)?.controller;
    Ok(global.controller.clone().over(file).complete()?)
}

/// The same for what ends faults or shows them: a file that is wrong elsewhere is told, and its controller
/// asked all the same.
fn to_end(
    chosen: Result<Option<settings::Controller>, Failure>,
    global: &cli::Global,
    output: Output,
) -> Result<Option<settings::Controller>, Failure> {
    chosen.or_else(|failure| {
        let places = settings::Places::of_the_environment();
        let typed = global.controller.clone();
        let controller = match settings::controller_alone(global.config.config.as_deref(), &places)
        {
            Ok(alone) => typed.over(alone).complete().ok(),
            // Whether it names one is not known; one that was named otherwise needs no file.
            Err(_) => {
                let named = typed.over(settings::ControllerSettings::default()).complete();
                named.ok().flatten().map(Some)
            }
        };
        let controller = controller.ok_or_else(|| failure.clone())?;
        output.warn(failure.text());
        Ok(controller)
    })
}

fn settings(global: &cli::Global) -> Result<settings::Settings, Failure> {
    let places = settings::Places::of_the_environment();
    Ok(settings::Settings::load(global.config.config.as_deref(), &places)?)
}

/// What is served on this machine where nobody named another one.
fn or_local(chosen: Option<settings::Controller>) -> settings::Controller {
    let local = || settings::Controller::Unix(serve::default_socket());
    chosen.unwrap_or_else(local)
}
