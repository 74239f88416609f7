//! From files to runs that have touched nothing.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use experiment::configuration::{self, Setup};
use experiment::document::{Node, Notation};
use experiment::environment::Environment;
use experiment::journal::{Host, Owed};
use experiment::line::Values;
use experiment::model::{Experiment, Runtime};
use experiment::position::Position;
use experiment::problem::{Fault, Problem, Severity};
use experiment::restoration;
use experiment::run::{Beginning, FailFast, Run, Terms, Verdicts};
use experiment::secrets;
use experiment::timestamp::Timestamp;
use experiment::toolkit::{self, Manner, Settings};
use experiment::variables::{Variables, add_environment};
use fault::{IntentId, OnOneLine};
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::aside;
use super::book::Book;
use super::claim::Claim;
use super::faults::Form;
use super::source::file;
use super::validation::Validation;
use super::{Source, Where, disrupting, presence};
use crate::cli::{RunArgs, ValidateArgs};
use crate::cut::{random, random_seed};
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::settings::Names;

/// Of which version of the original journals have the shape.
const SHAPE: &str = "1.44.0";

/// A run that can begin.
pub(super) struct Started {
    /// What it was asked for as.
    pub(super) file: String,
    pub(super) run: Run,
    pub(super) verdicts: Verdicts,
    /// Of what it was made, for whoever else is to decide it.
    pub(super) beginning: Beginning,
    /// What it finishes.
    pub(super) left: Option<Former>,
}

/// What another run has left.
pub(super) struct Former {
    /// Where its journal stands, which nobody else writes meanwhile.
    pub(super) place: Arc<Claim>,
    /// Its journal.
    pub(super) journal: Map<String, Value>,
    /// Who was to put its faults in.
    pub(super) at: String,
}

const fn verdicts(compat: bool) -> Verdicts {
    if compat { Verdicts::Compat } else { Verdicts::Strict }
}

const fn manner(compat: bool) -> Manner {
    if compat { Manner::Compat } else { Manner::Strict }
}

const fn verdicts_of(manner: Manner) -> Verdicts {
    match manner {
        Manner::Compat => Verdicts::Compat,
        Manner::Strict => Verdicts::Strict,
    }
}

/// Whether modules are imported to see what is in them: that is to execute them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Imports {
    Done,
    LeftOut,
}

/// Reads all experiments, and tells all that is wrong with them.
///
/// # Errors
/// One of them cannot be run.
pub(super) async fn read(
    args: &RunArgs,
    place: &Where,
    output: Output,
) -> Result<Vec<Started>, Failure> {
    let (variables, environment) = given(args)?;
    let settings = settings(args, output)?;
    let form = place.form();
    let mut read = Vec::new();
    let mut wrong = Validation::new();
    // Where a controller decides, it may be what performs them.
    let is_decided_there = place.controller.is_some() && !args.local;
    let absent = if is_decided_there { Severity::Warning } else { Severity::Error };
    for source in &args.files {
        let manner = manner(args.compat);
        let (experiment, problems) =
            examine(source, manner, (&place.names, &form), (absent, Imports::Done, output)).await?;
        wrong.add(source, &problems);
        if let Some(experiment) = experiment {
            read.push((source, experiment));
        }
    }
    if wrong.errors() > 0 {
        return Err(invalid(wrong.errors()));
    }
    if !is_decided_there {
        for (source, experiment) in &read {
            disrupting::without_controller(&source.to_string(), experiment, args.dry)?;
        }
    }
    let mut started = Vec::new();
    for (source, experiment) in read {
        let (file, values) = (source.to_string(), (&variables, &environment, &settings));
        let begun = begin(args, file, experiment, values, place).await?;
        let Beginning { experiment, secrets, .. } = &begun.beginning;
        for name in secrets::short(&experiment.secrets, secrets) {
            let told = format!("{source}: warning: secrets.{name}: {}", Fault::ShortSecret);
            output.note(OnOneLine(&told));
        }
        started.push(begun);
    }
    Ok(started)
}

fn invalid(problems: usize) -> Failure {
    let reason = match problems {
        1 => "there is a problem, told above".to_owned(),
        several => format!("there are {several} problems, told above"),
    };
    Failure::new(Outcome::WrongUsage, "cannot run what is no experiment", reason)
        .hint("`schism validate` tells them, too; with --compat what Chaos Toolkit reads over is a warning")
}

/// Reads an experiment and tells what is wrong with it; how severe it is that a program is absent here,
/// whoever begins the run knows.
async fn examine(
    source: &Source,
    manner: Manner,
    words: (&Names, &Form),
    (absent, imports, output): (Severity, Imports, Output),
) -> Result<(Option<Experiment>, Vec<Problem>), Failure> {
    let found = source.read().await?;
    let reading = toolkit::read(&found.text, found.notation, manner);
    let mut problems = reading.problems;
    if let Ok(node) = Node::read(&found.text, found.notation) {
        problems.extend(super::checks::problems(&node, words, output));
        let mut missing = Vec::new();
        if let Some(experiment) = &reading.experiment {
            missing = presence::programs(experiment);
            if imports == Imports::Done {
                missing.extend(presence::functions(experiment, verdicts_of(manner)).await);
            }
        }
        for missing in missing {
            let place = super::checks::place(&node, &missing);
            let (at, place) = place.unwrap_or((Position::START, String::new()));
            let fault = Fault::Argument(missing.told);
            problems.push(Problem { at, place, fault, severity: absent });
        }
        problems.sort_by_key(|problem| problem.at);
    }
    for problem in &problems {
        output.note(OnOneLine(&format!("{source}:{problem}")));
    }
    let is_whole = problems.iter().all(|one| one.severity < Severity::Error);
    Ok((reading.experiment.filter(|_| is_whole), problems))
}

/// Runs `schism validate`.
///
/// # Errors
/// Something is wrong.
pub(crate) async fn validate(
    args: &ValidateArgs,
    words: (&Names, &Form),
    output: Output,
) -> Result<Outcome, Failure> {
    let mut wrong = Validation::new();
    // Nobody knows where it is to be run; the original refuses it anyway.
    let (absent, imports) = if args.compat {
        (Severity::Error, Imports::Done)
    } else {
        (Severity::Warning, Imports::LeftOut)
    };
    for source in &args.files {
        let (experiment, problems) =
            examine(source, manner(args.compat), words, (absent, imports, output)).await?;
        if experiment.is_some() {
            output.note(format!("{source}: is an experiment"));
        }
        wrong.add(source, &problems);
    }
    output.show(&wrong)?;
    if wrong.errors() == 0 {
        return Ok(Outcome::Effective);
    }
    let mut failure = invalid(wrong.errors());
    "this is no experiment".clone_into(&mut failure.attempted);
    let hint = "with --compat what Chaos Toolkit reads over is a warning";
    failure.hint = (!args.compat).then(|| hint.to_owned());
    Err(failure)
}

/// What the command line and its files say.
fn given(args: &RunArgs) -> Result<(Variables, Environment), Failure> {
    let mut variables = Variables::default();
    let mut environment: Environment = std::env::vars().collect();
    for path in &args.variable_files {
        let attempted = format!("cannot read {}", path.display());
        let failed =
            |error: &dyn std::fmt::Display| Failure::new(Outcome::WrongUsage, &attempted, error);
        let text = file(path, &attempted)?;
        let is_environment = path.extension().is_some_and(|extension| extension == "env")
            || path.file_name().is_some_and(|name| name == ".env");
        if is_environment {
            add_environment(&text, &mut environment).map_err(|error| failed(&error))?;
        } else {
            let notation = Notation::of(path).unwrap_or(Notation::Json);
            variables.add_file(&text, notation).map_err(|error| failed(&error))?;
        }
    }
    args.variables.iter().cloned().for_each(|variable| variables.add(variable));
    Ok((variables, environment))
}

/// Values of a run that a controller keeps, as far as they are known here and now.
///
/// # Errors
/// What was given cannot be read.
pub(super) async fn again(
    args: &RunArgs,
    run: &str,
    mut experiment: Experiment,
    output: Output,
) -> Result<Values, Failure> {
    let attempted = format!("cannot finish what {run} owes");
    let (settings, secrets) = found(args, &mut experiment, &attempted, output).await?;
    Ok(Values::new(&settings, secrets))
}

/// Values of a run that is finished, as far as they are known here and now. What is missing is told at once: what needs
/// it stays owed, and nothing else waits for it.
async fn found(
    args: &RunArgs,
    experiment: &mut Experiment,
    attempted: &str,
    output: Output,
) -> Result<(Vec<(String, Setup)>, Map<String, Value>), Failure> {
    let (mut variables, environment) = given(args)?;
    let lost = restoration::restore(experiment, &mut variables, &environment);
    let (mut settings, unset) =
        configuration::known(&experiment.configuration, &variables.configuration, &environment);
    restoration::forget(&lost, &mut settings);
    let mut missing: Vec<String> = lost.iter().map(ToString::to_string).collect();
    missing.extend(unset.iter().map(ToString::to_string));
    let vault = super::vault::read(attempted, &experiment.secrets, &known(&settings)).await;
    let vault = vault.unwrap_or_else(|failure| {
        missing.push(failure.reason);
        BTreeMap::new()
    });
    let (mut secrets, unread) =
        secrets::known(&experiment.secrets, &variables.secrets, &environment, &vault);
    restoration::forget_secrets(&mut secrets);
    missing.extend(unread.iter().map(ToString::to_string));
    if !missing.is_empty() {
        let missing = missing.join("; ");
        output.note(OnOneLine(&format!("what needs these stays owed: {missing}")));
        output.note("  hint: set or give them, and finish the run again: it plays what is left");
    }
    Ok((settings, secrets))
}

/// All values that are missing, at once.
fn several(attempted: &str, errors: &[impl ToString]) -> Failure {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Failure::new(Outcome::WrongUsage, attempted, errors.join("; "))
}

async fn begin(
    args: &RunArgs,
    file: String,
    experiment: Experiment,
    (variables, environment, own): (&Variables, &Environment, &Settings),
    place: &Where,
) -> Result<Started, Failure> {
    let attempted = format!("cannot run {file}");
    let settings =
        configuration::load(&experiment.configuration, &variables.configuration, environment)
            .map_err(|errors| several(&attempted, &errors))?;
    let vault = super::vault::read(&attempted, &experiment.secrets, &known(&settings)).await?;
    let secrets = secrets::load(&experiment.secrets, &variables.secrets, environment, &vault)
        .map_err(|errors| several(&attempted, &errors))?;
    let verdicts = verdicts(args.compat);
    let terms = terms(args, (verdicts, args.seed), &experiment.runtime, own)?;
    let experiment = Arc::new(experiment);
    let (identity, host, started) = (random()?, host_of(args, place), now());
    let beginning = Beginning { experiment, settings, secrets, terms, identity, host, started };
    Ok(Started { file, run: Run::new(beginning.clone()), verdicts, beginning, left: None })
}

/// Where settings of the original stand: those that were named, and where it is what runs are measured by, its own.
pub(super) fn settings_file(args: &RunArgs) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|_| args.compat).map(PathBuf::from);
    let usual = home.map(|home| home.join(".chaostoolkit/settings.yaml"));
    args.settings.clone().or(usual.filter(|path| path.exists()))
}

fn settings(args: &RunArgs, output: Output) -> Result<Settings, Failure> {
    let Some(path) = settings_file(args) else { return Ok(Settings::default()) };
    let attempted = format!("cannot read the settings {}", path.display());
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Outcome::WrongUsage, &attempted, error);
    let text = file(&path, &attempted)?;
    let settings = toolkit::settings(&text);
    for problem in &settings.problems {
        output.note(format!("{}:{problem}", path.display()));
    }
    if settings.problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(failed(&"there is a problem, told above"));
    }
    Ok(settings)
}

fn terms(
    args: &RunArgs,
    (verdicts, seed): (Verdicts, Option<u64>),
    experiment: &Runtime,
    settings: &Settings,
) -> Result<Terms, Failure> {
    let flags = Runtime {
        hypothesis: args.hypothesis_strategy,
        rollbacks: args.rollback_strategy,
        frequency: args.hypothesis_frequency,
        evaluations: None,
    };
    let terms = Terms {
        fail_fast: if args.fail_fast { FailFast::Stops } else { FailFast::GoesOn },
        dry: args.dry,
        seed: seed.map_or_else(random_seed, Ok)?,
        controls: settings.controls.clone(),
        ..Terms::new(verdicts)
    };
    Ok(terms.decided(&flags, experiment, &settings.runtime))
}

/// What a run still owed, as its journal has it.
///
/// # Errors
/// It is no journal, or owes nothing.
pub(super) async fn resume(
    args: &RunArgs,
    journal: &Path,
    place: &Where,
    output: Output,
) -> Result<Started, Failure> {
    let attempted = format!("cannot finish what {} owes", journal.display());
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Outcome::WrongUsage, &attempted, error);
    // A run that goes on owes what its journal says, and does it itself.
    let claim = Claim::take(journal).map_err(|error| failed(&error))?;
    let broken = "a journal is what `schism run --journal` writes; `schism status` and `schism residue` tell whether \
                  anything stands, and rollbacks are left to you";
    let mut before = Book::read(journal).map_err(|error| {
        let is_broken = matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof);
        if is_broken { failed(&error).hint(broken) } else { failed(&error) }
    })?;
    let (written, owed) = Owed::read(&before).map_err(|error| match error.hint() {
        Some(hint) => failed(&error).hint(hint),
        None => failed(&error),
    })?;
    let (verdicts, seed) = rules(args, &before, &attempted)?;
    if let Some(original) = aside::original(&before, journal) {
        let original = original.display();
        return Err(failed(&format!("it is a copy of {original}, by which that is finished"))
            .hint(format!("`schism run --resume-rollbacks {original}` sees to it")));
    }
    aside::unmark(&mut before);
    if owed.run.is_some() || owed.at == CONTROLLER {
        return Err(of_a_controller(&attempted, owed.run.as_deref()));
    }
    let text = Value::Object(written).to_string();
    // It was run: what its reader thought of it then does not matter any more.
    let reading = toolkit::read(&text, Notation::Json, Manner::Compat);
    let mut experiment =
        reading.experiment.ok_or_else(|| failed(&"the experiment in it cannot be read"))?;
    let (settings, secrets) = found(args, &mut experiment, &attempted, output).await?;
    let terms = terms(args, (verdicts, seed), &experiment.runtime, &Settings::default())?;
    let experiment = Arc::new(experiment);
    let (identity, host, started) = (random()?, host_of(args, place), now());
    let beginning = Beginning { experiment, settings, secrets, terms, identity, host, started };
    let run = Run::resume(beginning.clone(), &owed);
    let left = Some(Former { place: claim, journal: before, at: owed.at });
    let file = journal.display().to_string();
    Ok(Started { file, run, verdicts, beginning, left })
}

/// By which verdicts and from which seed a run that is finished went, unless it does not say so.
///
/// # Errors
/// Other verdicts were asked for: what was left is played as the rest was.
fn rules(
    args: &RunArgs,
    journal: &Map<String, Value>,
    attempted: &str,
) -> Result<(Verdicts, Option<u64>), Failure> {
    let ours = journal.get("schism");
    let known = |key: &str| ours.and_then(|ours| ours.get(key));
    let written = known("verdicts").and_then(|word| Verdicts::deserialize(word).ok());
    let verdicts = written.unwrap_or(verdicts(args.compat));
    let (asked, other) = match verdicts {
        Verdicts::Compat => (args.strict, "--compat"),
        Verdicts::Strict => (args.compat, "--strict"),
    };
    if asked {
        let reason = format!("the run went with {other}, and is finished so");
        let failure = Failure::new(Outcome::WrongUsage, attempted, reason);
        return Err(failure.hint("leave it out: the journal says it"));
    }
    Ok((verdicts, args.seed.or(known("seed").and_then(Value::as_u64))))
}

/// What a controller decided it keeps, too: played from here as well, it would be played twice.
fn of_a_controller(attempted: &str, run: Option<&str>) -> Failure {
    let reason = "the controller that decided the run keeps what it owes";
    let run = run.unwrap_or("RUN");
    Failure::new(Outcome::WrongUsage, attempted, reason).hint(format!(
        "`schism run --resume-rollbacks {run}` plays it, with the controller set; `schism status` shows it"
    ))
}

/// The settings that are known before the run.
fn known(settings: &[(String, Setup)]) -> Map<String, Value> {
    let known = settings.iter().filter_map(|(name, setup)| match setup {
        Setup::Known(value) => Some((name.clone(), value.clone())),
        Setup::Probe(_) => None,
    });
    known.collect()
}

/// Where this command is, and who puts its faults in.
fn host_of(args: &RunArgs, place: &Where) -> Host {
    Host { faults: place.holder(args).whereabouts(), ..host() }
}

/// Who puts in the faults of a run that a controller decides.
const CONTROLLER: &str = "the controller that decides the run";

/// Where a controller decides a run, and what it calls it.
pub(crate) fn host_of_run(id: IntentId) -> Host {
    Host { faults: CONTROLLER.to_owned(), run: Some(id.to_string()), ..host() }
}

/// Where runs are decided.
fn host() -> Host {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let node = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Host {
        version: SHAPE.to_owned(),
        platform: format!("Linux-{}-{}", release.trim(), std::env::consts::ARCH),
        node: node.trim().to_owned(),
        ..Host::default()
    }
}

/// What the wall clock says.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
