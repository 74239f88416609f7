//! One process under skews that come and go, for as long as one likes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use lab::soak::witness::{self, Witness};
use lab::soak::{OFFSET, Soak, Tally};

use crate::node::sibling;

/// The command; this program is also the witness.
pub(crate) const COMMAND: &str = "soak";
/// Issue 5 asks for so many.
const THREADS: usize = 200;

/// `soak [--seconds N] [--holders N] [--threads N] [--seed N]`: so long, and until so many holders were disturbed.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if witness::serve() {
        return Ok(());
    }
    let mut lasts = Duration::from_secs(60);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut seed = u64::from(now.subsec_nanos());
    let (mut threads, mut holders) = (THREADS, 0);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u64> {
            Ok(arguments.next().with_context(|| format!("{argument} needs a number"))?.parse()?)
        };
        match argument.as_str() {
            "--seconds" => lasts = Duration::from_secs(number()?),
            "--holders" => holders = number()?,
            "--threads" => threads = usize::try_from(number()?)?,
            "--seed" => seed = number()?,
            other => bail!("unknown argument {other}"),
        }
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("this soak holds processes: run it as root");
    }
    let place = Place::new();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(COMMAND);
    let witness = Witness::start(command, threads, OFFSET).context("start the witness")?;
    println!("seed {seed}, process {} with {threads} busy threads", witness.id());
    let soak = Soak::new(witness, sibling("schism-agent")?, place.path(), seed);
    let enough = |tally: &Tally| tally.took >= lasts && tally.disturbed() >= holders;
    let tally = soak.run(enough, |tally| println!("{tally}"))?;
    println!("{tally}");
    Ok(())
}

/// A directory for records.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("schism-soak-{}", std::process::id())))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Empty, and then not there, unless the soak has failed and said so.
        let _ = std::fs::remove_dir(&self.0);
    }
}
