//! `cargo xtask compat`: experiments by the original and by ours, side by side.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{command, install, workspace};

/// What is installed of Python: the original, what it reads journals with, and the driver of Toxiproxy.
const PACKAGES: [&str; 5] = [
    "chaostoolkit==1.21.4",
    "chaostoolkit-lib[jsonpath]==1.45.1",
    "chaostoolkit-reporting==0.18.0",
    "chaostoolkit-toxiproxy==0.3.1",
    // Reports are made by pandoc, which comes with this.
    "pypandoc_binary==1.17",
];
const TOXIPROXY: &str = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0";
/// Where the table is kept, from the root of the workspace.
const DOCUMENT: &str = "docs/compat-chaostoolkit.md";

/// Installs the original, builds, and becomes `schism-compat`. Without files it runs those of the project and
/// writes the table and the record; with files it only prints.
///
/// # Errors
/// Something cannot be installed or built; a comparison that started never returns here.
pub(crate) fn chaostoolkit(files: &[&str]) -> Result<()> {
    install::packages()?;
    let venv = original()?;
    let toxiproxy = build_toxiproxy(&place())?;
    let build = ["build", "--locked", "-p", "controller", "-p", "lab"];
    command::run(command::cargo(build))?;
    let mut compare = Command::new(workspace::binary("debug", "schism-compat"));
    compare.arg("--venv").arg(venv).arg("--toxiproxy").arg(toxiproxy);
    if files.is_empty() {
        compare.arg("--document").arg(workspace::root().join(DOCUMENT));
    }
    let error = compare.args(files).exec();
    Err(error).context("schism-compat could not be started")
}

fn place() -> PathBuf {
    workspace::target().join("compat")
}

/// The virtual environment with the original, installed where it is missing.
///
/// # Errors
/// There is no fitting Python, or a package cannot be had.
pub(crate) fn original() -> Result<PathBuf> {
    let place = place();
    fs::create_dir_all(&place).with_context(|| place.display().to_string())?;
    let (venv, done) = (place.join("venv"), place.join("venv.installed"));
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&done).is_ok_and(|there| there == wanted) {
        return Ok(venv);
    }
    let mut create = Command::new(python()?);
    create.args(["-m", "venv", "--clear"]).arg(&venv);
    command::run(create)?;
    let mut install = Command::new(venv.join("bin/python3"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    command::run(install)?;
    // Last: an installation that was interrupted is done again.
    fs::write(&done, wanted).with_context(|| done.display().to_string())?;
    Ok(venv)
}

/// An interpreter that the original runs on: 3.12 or later, which is not the one of Debian 12.
fn python() -> Result<PathBuf> {
    let names = ["python3", "python3.12", "python3.13", "python3.14"];
    let mut candidates: Vec<PathBuf> =
        names.iter().filter_map(|name| command::find(name)).collect();
    if let Some(home) = std::env::var_os("HOME") {
        let versions = Path::new(&home).join(".pyenv/versions");
        let found = fs::read_dir(versions).into_iter().flatten().flatten();
        candidates.extend(found.map(|version| version.path().join("bin/python3")));
    }
    let is_new = |python: &PathBuf| {
        let check = "import sys; sys.exit(sys.version_info < (3, 12))";
        let mut ask = Command::new(python);
        ask.args(["-c", check]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        ask.status().is_ok_and(|status| status.success())
    };
    match candidates.into_iter().find(is_new) {
        Some(python) => Ok(python),
        None => bail!(
            "chaostoolkit 1.21.4 needs Python 3.12 or later: have one in the PATH, for example as \
             python3.12"
        ),
    }
}

fn build_toxiproxy(place: &Path) -> Result<PathBuf> {
    let program = place.join("bin/server");
    if !program.is_file() {
        let mut install = Command::new("go");
        install.args(["install", TOXIPROXY]).env("GOBIN", place.join("bin"));
        command::run(install)?;
    }
    Ok(program)
}
