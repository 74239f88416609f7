//! The two runners, each in a fresh directory with the same environment.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lab::directory::Directory;
use lab::process::Process;

use crate::answering::Answering;
use crate::case::Case;
use crate::outcome::{Ended, Outcome};
use crate::toxiproxy::Toxiproxy;

/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long until a run that is to be interrupted has begun.
const BEGINNING: Duration = Duration::from_secs(30);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(5);
const JOURNAL: &str = "journal.json";

/// What both find around them.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// Functions and controls in Python.
    pub(crate) modules: PathBuf,
    /// Who answers requests.
    pub(crate) answering: &'a Answering,
    /// Who delays them.
    pub(crate) toxiproxy: Option<&'a Toxiproxy>,
}

impl Place<'_> {
    /// Whether a case can be run here.
    pub(crate) fn has_what_it_needs(&self, case: &Case) -> bool {
        self.toxiproxy.is_some() || !case.needs_toxiproxy()
    }

    /// A command in a directory, with nothing of this process's environment but what both need.
    fn command(&self, program: &Path, directory: &Path, case: &Case, python: &Path) -> Command {
        let mut command = Command::new(program);
        let inherited = std::env::var("PATH").unwrap_or_default();
        let path = match python.parent() {
            Some(parent) if parent.is_dir() => format!("{}:{inherited}", parent.display()),
            _ => inherited,
        };
        command.current_dir(directory).env_clear();
        command.env("PATH", path).env("HOME", directory).env("LANG", "C.UTF-8");
        command.env("PYTHONPATH", &self.modules).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("SCHISM_PYTHON", python);
        command.envs(self.environment()).envs(&case.environment);
        command
    }

    /// What experiments need to know of this place.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut known = vec![("COMPAT_URL", self.answering.url())];
        known.extend(self.toxiproxy.into_iter().flat_map(Toxiproxy::environment));
        known
    }

    /// Runs a case to its end, and takes what was written and left.
    fn perform(&self, mut command: Command, directory: &Directory, case: &Case) -> Result<Outcome> {
        self.answering.begin_anew();
        if let Some(toxiproxy) = self.toxiproxy {
            toxiproxy.begin_anew()?;
        }
        // Outside of the directory that the run works in.
        let told = Directory::create("told")?;
        let (out, err) = (told.path().join("out"), told.path().join("err"));
        command.stdout(File::create(&out)?).stderr(File::create(&err)?);
        let process = Process::start(&mut command)?;
        if let Some(signal) = case.signal {
            let begun = directory.path().join("begun");
            let limit = Instant::now() + BEGINNING;
            while !begun.exists() && Instant::now() < limit && !process.wait_end(LOOK) {}
            process.signal(signal)?;
        }
        if !process.wait_end(PATIENCE) {
            bail!("{}: a run does not end: {}", case.name, fs::read_to_string(&err)?);
        }
        let status = process.stop()?;
        let exit = status.code().or_else(|| status.signal().map(|signal| -signal)).unwrap_or(-1);
        let journal = fs::read_to_string(directory.path().join(JOURNAL)).ok();
        let left = match self.toxiproxy.filter(|_| case.needs_toxiproxy()) {
            Some(toxiproxy) => Some(toxiproxy.left()?),
            None => None,
        };
        let said = format!("{}{}", fs::read_to_string(&out)?, fs::read_to_string(&err)?);
        let ended = Ended { exit, journal, left, said };
        let volatile =
            [(directory.path().display().to_string(), "DIRECTORY"), (self.answering.url(), "URL")];
        Outcome::of(ended, &volatile).with_context(|| case.name.clone())
    }
}

/// A directory with the experiment and the two files that experiments here work on.
fn fresh(case: &Case) -> Result<(Directory, String)> {
    let directory = Directory::create("compat")?;
    let name = case.path.file_name().context("a file without a name")?;
    let name = name.to_string_lossy().into_owned();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text);
    write("here.txt", "here\n")?;
    write("there.txt", "here\n")?;
    case.files.iter().try_for_each(|(name, text)| write(name, text))?;
    fs::copy(&case.path, directory.path().join(&name))?;
    Ok((directory, name))
}

/// `chaos run` of a virtual environment.
#[derive(Debug)]
pub(crate) struct Original {
    chaos: PathBuf,
    python: PathBuf,
}

impl Original {
    /// The one of this environment.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn find(venv: &Path) -> Result<Self> {
        let program = |name: &str| std::path::absolute(venv.join("bin").join(name));
        let (chaos, python) = (program("chaos")?, program("python3")?);
        ensure!(
            chaos.is_file(),
            "there is no {}: `cargo xtask compat` installs it",
            chaos.display()
        );
        Ok(Self { chaos, python })
    }

    /// Has it run a case.
    ///
    /// # Errors
    /// It cannot be started, or does not end.
    pub(crate) fn run(&self, case: &Case, place: &Place<'_>) -> Result<Outcome> {
        let (directory, name) = fresh(case)?;
        let mut command = place.command(&self.chaos, directory.path(), case, &self.python);
        command.args(["--no-version-check", "--no-log-file", "--settings", "none.yaml", "run"]);
        command.args(["--journal-path", JOURNAL]).args(&case.arguments).arg(&name);
        place.perform(command, &directory, case)
    }
}

/// `schism run --compat`.
#[derive(Debug)]
pub(crate) struct Ours {
    program: PathBuf,
    python: PathBuf,
}

impl Ours {
    /// The one that was built together with this program, with the interpreter of an environment or whatever
    /// `python3` is.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn find(venv: Option<&Path>) -> Result<Self> {
        let own = std::env::current_exe().context("where is this program?")?;
        let program = own.with_file_name("schism");
        ensure!(program.is_file(), "there is no {}", program.display());
        let python = match venv {
            Some(venv) => std::path::absolute(venv.join("bin/python3"))?,
            None => PathBuf::from("python3"),
        };
        Ok(Self { program, python })
    }

    /// Has it run a case.
    ///
    /// # Errors
    /// It cannot be started, or does not end.
    pub(crate) fn run(&self, case: &Case, place: &Place<'_>) -> Result<Outcome> {
        let (directory, name) = fresh(case)?;
        let mut command = place.command(&self.program, directory.path(), case, &self.python);
        command.args(["run", "--compat", "--journal", JOURNAL]).args(&case.arguments).arg(&name);
        place.perform(command, &directory, case)
    }
}
