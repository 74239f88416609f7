//! Whether the programs and functions that an experiment names are there, before anything of it is begun.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use experiment::model::{Activity, Experiment, Provider, Python as Function, Tolerance};
use experiment::run::{Ending, Verdicts};
use serde::Deserialize;
use serde_json::json;

use super::program::in_home;
use super::python::Python;
use super::reaper::Reaper;

/// How long modules may take to be imported (60 s).
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that a step needs and that is not here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// What the step is called.
    pub(super) step: String,
    /// By which key its provider is known, and what that is set to.
    pub(super) known: (&'static str, String),
    /// Which key of the provider it is about.
    pub(super) key: &'static str,
    /// What was expected, and what was found.
    pub(super) told: String,
}

fn steps(experiment: &Experiment) -> impl Iterator<Item = &Activity> {
    let probes = experiment.hypothesis.iter().flat_map(|hypothesis| &hypothesis.probes);
    probes.chain(&experiment.method).chain(&experiment.rollbacks)
}

/// Programs that are missing, in the order of steps.
pub(super) fn programs(experiment: &Experiment) -> Vec<Missing> {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    // Each is looked for once, however many steps name it.
    let mut known: HashMap<&str, bool> = HashMap::new();
    let mut look =
        |path| *known.entry(path).or_insert_with(|| is_there(&in_home(path), &directories));
    steps(experiment).filter_map(|step| program_of(step, &mut look)).collect()
}

fn program_of<'e>(
    step: &'e Activity,
    is_there: &mut impl FnMut(&'e str) -> bool,
) -> Option<Missing> {
    let Provider::Process(process) = &step.provider else { return None };
    let (name, path) = (&step.name, process.path.clone());
    (!is_there(&process.path)).then(|| Missing {
        step: name.clone(),
        told: format!(
            "a program of this machine was expected here, found `{path}` (step `{name}`)"
        ),
        known: ("path", path),
        key: "path",
    })
}

/// Functions of Python modules that are missing, or do not take the arguments that are given to them, in the
/// order of steps. To say so, the modules are imported, as the original does it, in an interpreter that ends
/// with this. Where verdicts are those of the original, so is what counts as a function.
pub(super) async fn functions(experiment: &Experiment, verdicts: Verdicts) -> Vec<Missing> {
    let asked: Vec<(&str, &Function)> = steps(experiment).flat_map(calls).collect();
    let Some((first, function)) = asked.first() else { return Vec::new() };
    let order = json!({
        "what": "look",
        "exact": verdicts == Verdicts::Compat,
        "steps": asked.iter().map(|(_, function)| json!({
            "module": function.module,
            "func": function.func,
            "arguments": function.arguments.keys().collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    });
    // No mark of another process begins with it.
    let reaper = Reaper::new(u64::from(std::process::id()), Verdicts::Strict);
    let python = Arc::new(Python::new(Arc::new(reaper)));
    let why = match tokio::time::timeout(PATIENCE, python.perform(order)).await {
        Ok(Ending::Returned(found)) => match Vec::<Option<Lacking>>::deserialize(found) {
            Ok(found) => {
                let both = asked.into_iter().zip(found);
                return both
                    .filter_map(|((step, function), lacking)| Some(lacking?.told(step, function)))
                    .collect();
            }
            Err(error) => error.to_string(),
        },
        Ok(Ending::Failed(why) | Ending::Crashed(why) | Ending::Interrupted(why)) => why,
        Ok(Ending::Untried) | Err(_) => {
            format!("modules are not imported within {} s", PATIENCE.as_secs())
        }
    };
    // What is wrong with one is wrong with all.
    vec![Missing {
        step: (*first).to_owned(),
        known: ("module", function.module.clone()),
        key: "type",
        told: format!(
            "an interpreter was expected here that imports the modules of all steps: {why}"
        ),
    }]
}

/// The functions that a step calls: its own, and those by which its output is compared.
fn calls(step: &Activity) -> impl Iterator<Item = (&str, &Function)> {
    let asked = step.tolerance.iter().chain(&step.until).filter_map(|tolerance| {
        if let Tolerance::Probe(probe) = tolerance { Some(&**probe) } else { None }
    });
    std::iter::once(step).chain(asked).filter_map(|step| match &step.provider {
        Provider::Python(function) => Some((step.name.as_str(), function)),
        Provider::Process(_) | Provider::Http(_) | Provider::Schism(_) => None,
    })
}

/// What the interpreter does not find, and why.
#[derive(Deserialize)]
struct Lacking(String, String);

impl Lacking {
    fn told(self, step: &str, function: &Function) -> Missing {
        let Self(part, why) = self;
        let Function { module, func, .. } = function;
        let (key, told) = match part.as_str() {
            "module" => {
                ("module", format!("a Python module was expected here, found `{module}`: {why}"))
            }
            "func" => ("func", format!("a function was expected here, found `{func}`: {why}")),
            _ => ("arguments", format!("arguments of {module}.{func} were expected here: {why}")),
        };
        let told = format!("{told} (step `{step}`)");
        Missing { step: step.to_owned(), known: ("module", module.clone()), key, told }
    }
}

/// Whether it can be executed from here; a name without a slash is looked for in all directories.
fn is_there(program: &str, directories: &OsStr) -> bool {
    if program.contains('/') {
        return is_executable(Path::new(program));
    }
    let places = std::env::split_paths(directories);
    places.map(|directory: PathBuf| directory.join(program)).any(|path| is_executable(&path))
}

fn is_executable(path: &Path) -> bool {
    let mode =
        |found: std::fs::Metadata| found.is_file() && found.permissions().mode() & 0o111 != 0;
    std::fs::metadata(path).is_ok_and(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_where_they_are_started_from() {
        let directories = OsStr::new("/nowhere:/bin");
        assert!(is_there("sh", directories) && is_there("/bin/sh", directories));
        assert!(!is_there("no-such-program", directories));
        assert!(!is_there("/bin", directories) && !is_there("/etc/passwd", directories));
        assert!(!is_there("sh", OsStr::new("/nowhere")));
    }
}
