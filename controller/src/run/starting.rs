//! From files to runs that have touched nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use experiment::configuration;
use experiment::document::Notation;
use experiment::environment::Environment;
use experiment::journal::{Host, Owed};
use experiment::model::{Experiment, Runtime};
use experiment::problem::Severity;
use experiment::run::{Beginning, FailFast, Run, Terms, Verdicts};
use experiment::secrets::{self, vault};
use experiment::timestamp::Timestamp;
use experiment::toolkit::{self, Manner};
use experiment::variables::{Variables, add_environment};
use serde_json::Value;

use super::{Source, presence};
use crate::cli::{RunArgs, ValidateArgs};
use crate::cut::random_seed;
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;
use crate::output::Output;

/// Of which version of the original journals have the shape.
const SHAPE: &str = "1.44.0";

/// A run that can begin.
pub(super) struct Started {
    pub(super) run: Run,
    pub(super) verdicts: Verdicts,
    /// Of what it was made, for whoever else is to decide it.
    pub(super) beginning: Beginning,
}

const fn verdicts(compat: bool) -> Verdicts {
    if compat { Verdicts::Compat } else { Verdicts::Strict }
}

const fn manner(compat: bool) -> Manner {
    if compat { Manner::Compat } else { Manner::Strict }
}

/// Reads all experiments, and tells all that is wrong with them.
///
/// # Errors
/// One of them cannot be run.
pub(super) async fn read(args: &RunArgs, output: Output) -> Result<Vec<Started>, Failure> {
    let (variables, environment) = given(args)?;
    let mut read = Vec::new();
    let mut wrong = 0;
    for source in &args.files {
        let (experiment, problems) = examine(source, manner(args.compat), output).await?;
        wrong += problems;
        if let Some(experiment) = experiment {
            read.push((source, experiment));
        }
    }
    if wrong > 0 {
        return Err(invalid(wrong));
    }
    let mut started = Vec::new();
    for (source, experiment) in read {
        let attempted = format!("cannot run {source}");
        started.push(begin(args, attempted, experiment, &variables, &environment).await?);
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

/// Reads an experiment and tells what is wrong with it; how many errors there are comes back, too.
async fn examine(
    source: &Source,
    manner: Manner,
    output: Output,
) -> Result<(Option<Experiment>, usize), Failure> {
    let found = source.read().await?;
    let reading = toolkit::read(&found.text, found.notation, manner);
    for problem in &reading.problems {
        output.note(format!("{source}:{problem}"));
    }
    let mut errors = reading.problems.iter().filter(|one| one.severity == Severity::Error).count();
    for missing in reading.experiment.iter().flat_map(presence::missing) {
        output.note(format!("{source}: {missing}"));
        errors += 1;
    }
    Ok((reading.experiment, errors))
}

/// Runs `schism validate`.
///
/// # Errors
/// Something is wrong.
pub(crate) async fn validate(args: &ValidateArgs, output: Output) -> Result<Outcome, Failure> {
    let mut wrong = 0;
    for source in &args.files {
        let (_, errors) = examine(source, manner(args.compat), output).await?;
        if errors == 0 {
            output.note(format!("{source}: is an experiment"));
        }
        wrong += errors;
    }
    if wrong == 0 { Ok(Outcome::Effective) } else { Err(invalid(wrong)) }
}

/// What the command line and its files say.
fn given(args: &RunArgs) -> Result<(Variables, Environment), Failure> {
    let mut variables = Variables::default();
    let mut environment: Environment = std::env::vars().collect();
    for path in &args.variable_files {
        let attempted = format!("cannot read {}", path.display());
        let failed =
            |error: &dyn std::fmt::Display| Failure::new(Outcome::WrongUsage, &attempted, error);
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
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

/// A run whose experiment is known, with values as they are here and now.
///
/// # Errors
/// A value cannot be determined.
pub(super) async fn again(
    args: &RunArgs,
    attempted: String,
    experiment: Experiment,
) -> Result<Started, Failure> {
    let (variables, environment) = given(args)?;
    begin(args, attempted, experiment, &variables, &environment).await
}

async fn begin(
    args: &RunArgs,
    attempted: String,
    experiment: Experiment,
    variables: &Variables,
    environment: &Environment,
) -> Result<Started, Failure> {
    let several =
        |errors: Vec<String>| Failure::new(Outcome::WrongUsage, &attempted, errors.join("; "));
    let words = |errors: Vec<configuration::ConfigurationError>| {
        several(errors.iter().map(ToString::to_string).collect())
    };
    let settings =
        configuration::load(&experiment.configuration, &variables.configuration, environment)
            .map_err(words)?;
    let known = settings.iter().filter_map(|(name, setup)| match setup {
        configuration::Setup::Known(value) => Some((name.clone(), value.clone())),
        configuration::Setup::Probe(_) => None,
    });
    let vault = from_vault(&attempted, &experiment, &known.collect()).await?;
    let secrets = secrets::load(&experiment.secrets, &variables.secrets, environment, &vault)
        .map_err(|errors| several(errors.iter().map(ToString::to_string).collect()))?;
    let verdicts = verdicts(args.compat);
    let terms = terms(args, verdicts, &experiment.runtime)?;
    let experiment = Arc::new(experiment);
    let beginning =
        Beginning { experiment, settings, secrets, terms, host: host(), started: now() };
    Ok(Started { run: Run::new(beginning.clone()), verdicts, beginning })
}

fn terms(args: &RunArgs, verdicts: Verdicts, experiment: &Runtime) -> Result<Terms, Failure> {
    let flags = Runtime {
        hypothesis: args.hypothesis_strategy,
        rollbacks: args.rollback_strategy,
        frequency: args.hypothesis_frequency,
        evaluations: None,
    };
    let terms = Terms {
        fail_fast: if args.fail_fast { FailFast::Stops } else { FailFast::GoesOn },
        dry: args.dry,
        seed: args.seed.map_or_else(random_seed, Ok)?,
        ..Terms::new(verdicts)
    };
    Ok(terms.decided(&flags, experiment, &Runtime::default()))
}

/// What a run still owed, as its journal has it.
///
/// # Errors
/// It is no journal, or owes nothing.
pub(super) fn resume(args: &RunArgs, journal: &Path) -> Result<Started, Failure> {
    let attempted = format!("cannot finish what {} owes", journal.display());
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Outcome::WrongUsage, &attempted, error);
    let text = std::fs::read_to_string(journal).map_err(|error| failed(&error))?;
    let (written, owed) = Owed::read(&text).map_err(|error| failed(&error))?;
    let text = Value::Object(written).to_string();
    // It was run: what its reader thought of it then does not matter any more.
    let reading = toolkit::read(&text, Notation::Json, Manner::Compat);
    let experiment =
        reading.experiment.ok_or_else(|| failed(&"the experiment in it cannot be read"))?;
    let environment: Environment = std::env::vars().collect();
    let (variables, _) = given(args)?;
    let nothing = BTreeMap::new();
    let settings =
        configuration::load(&experiment.configuration, &variables.configuration, &environment)
            .map_err(|_| failed(&"a setting cannot be determined"))?;
    let secrets = secrets::load(&experiment.secrets, &variables.secrets, &environment, &nothing)
        .map_err(|_| failed(&"a secret cannot be determined"))?;
    let verdicts = verdicts(args.compat);
    let terms = terms(args, verdicts, &experiment.runtime)?;
    let experiment = Arc::new(experiment);
    let (host, started) = (host(), now());
    let beginning = Beginning { experiment, settings, secrets, terms, host, started };
    Ok(Started { run: Run::resume(beginning.clone(), &owed), verdicts, beginning })
}

async fn from_vault(
    attempted: &str,
    experiment: &Experiment,
    configuration: &serde_json::Map<String, Value>,
) -> Result<BTreeMap<vault::Read, Value>, Failure> {
    let reads = secrets::reads(&experiment.secrets);
    let mut found = BTreeMap::new();
    if reads.is_empty() {
        return Ok(found);
    }
    let failed = |reason: String| Failure::caused(Cause::Unreachable, attempted, reason);
    let access = vault::Access::read(configuration).ok_or_else(|| {
        failed("secrets in Vault need `vault_addr` in the configuration".to_owned())
    })?;
    let vault::Login::Token(token) = &access.login else {
        let reason = "Vault is asked with `vault_token` only in this version";
        return Err(Failure::caused(Cause::Unsupported, attempted, reason));
    };
    let client = reqwest::Client::new();
    for read in reads {
        let url = format!("{}/{}", access.address.trim_end_matches('/'), access.path(&read));
        let asked = client.get(&url).header("X-Vault-Token", token).send().await;
        let told = |error: reqwest::Error| failed(super::request::told(&error));
        let answer = asked.and_then(reqwest::Response::error_for_status).map_err(told)?;
        let text = answer.text().await.map_err(told)?;
        let answer = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        let secret = access.secret(&read, &answer);
        let missing = || failed(format!("there is no secret at {} in Vault", read.path));
        found.insert(read.clone(), secret.ok_or_else(missing)?);
    }
    Ok(found)
}

/// Where runs are decided.
pub(crate) fn host() -> Host {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let node = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Host {
        version: SHAPE.to_owned(),
        platform: format!("Linux-{}-{}", release.trim(), std::env::consts::ARCH),
        node: node.trim().to_owned(),
    }
}

/// What the wall clock says.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
