//! What experiments cost: the whole process, its programs, and a steady state that is looked at all the time.

pub(crate) mod launch;
mod page;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::directory::Directory;
use serde_json::{Value, json};

use crate::Effort;
use crate::footprint::MEBIBYTE;
use crate::node::sibling;
use crate::report::{Report, Verdict};
use crate::statistics::{Sample, ms};
use launch::Launch;
use page::Page;

/// How many programs one experiment runs.
const PROGRAMS: usize = 1_000;
/// For how long a steady state is looked at.
const WATCHED: Duration = Duration::from_secs(10);

/// The two runners, in a directory of the bench's own.
struct Bench {
    directory: Directory,
    schism: PathBuf,
    chaos: Option<PathBuf>,
}

/// Every row. Without the original, rows that need it are only shown.
pub(crate) fn everything(
    effort: Effort,
    chaos: Option<PathBuf>,
    report: &mut Report,
) -> Result<()> {
    let directory = Directory::create("bench")?;
    let bench = Bench { directory, schism: sibling("schism")?, chaos };
    bench.empty(effort, report)?;
    bench.programs(effort, report)?;
    bench.continuous(effort, report)
}

impl Bench {
    fn file(&self, name: &str, experiment: &Value) -> Result<PathBuf> {
        let path = self.directory.path().join(name);
        std::fs::write(&path, experiment.to_string())?;
        Ok(path)
    }

    fn ours(&self, file: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(&self.schism);
        command.args(["run", "--journal", "ours.json"]).args(more).arg(file);
        command.current_dir(self.directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn original(&self, chaos: &Path, file: &Path) -> Command {
        let mut command = Command::new(chaos);
        command.args(["--no-version-check", "--no-log-file", "--settings", "none.yaml", "run"]);
        command.args(["--journal-path", "theirs.json"]).arg(file);
        command.current_dir(self.directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The whole process, from its start to its end.
    fn empty(&self, effort: Effort, report: &mut Report) -> Result<()> {
        let file = self.file("empty.json", &experiment(json!([])))?;
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        // In turns, so that both see the same machine.
        for round in 0..effort.times(200) {
            ours.push(timed(&mut self.ours(&file, &[]))?);
            if let Some(chaos) = self.chaos.as_ref().filter(|_| round % 10 == 0) {
                theirs.push(timed(&mut self.original(chaos, &file))?);
            }
        }
        let peak = (0..effort.times(20))
            .map(|_| Launch::of(&self.ours(&file, &[])).map(|launch| launch.peak))
            .try_fold(0_u64, |most, peak| peak.map(|peak| most.max(peak)))?;
        let ours = Sample::new(ours);
        let peak = peak as f64 / MEBIBYTE;
        let mut told = format!("median {} (n = {})", ms(ours.median()), ours.count());
        let mut verdict = Verdict::Shown;
        if !theirs.is_empty() {
            let theirs = Sample::new(theirs);
            let ratio = theirs.median().as_secs_f64() / ours.median().as_secs_f64();
            let of = format!("; `chaos run` {} (n = {})", ms(theirs.median()), theirs.count());
            told = format!("{ratio:.0} × faster: {told}{of}");
            verdict = Verdict::of(ratio >= 20.0);
        }
        report.add(
            "empty experiment, the whole process",
            "≥ 20 × faster than `chaos run`",
            told,
            verdict,
        );
        report.add(
            "the same, memory at its peak",
            "≤ 30 MiB resident",
            format!("{peak:.1} MiB"),
            Verdict::of(peak <= 30.0),
        );
        Ok(())
    }

    /// Many programs, one after the other, against spawning them and nothing else.
    fn programs(&self, effort: Effort, report: &mut Report) -> Result<()> {
        let program = json!({"type": "action", "name": "true",
            "provider": {"type": "process", "path": "true"}});
        let file = self.file("programs.json", &experiment(vec![program; PROGRAMS].into()))?;
        let (mut ours, mut bare, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..effort.times(10) {
            ours.push(timed(&mut self.ours(&file, &[]))?);
            bare.push(spawned()?);
            if let Some(chaos) = self.chaos.as_ref().filter(|_| round == 0) {
                theirs.push(timed(&mut self.original(chaos, &file))?);
            }
        }
        let (ours, bare) = (Sample::new(ours), Sample::new(bare));
        let ratio = ours.median().as_secs_f64() / bare.median().as_secs_f64();
        let mut told = format!(
            "{ratio:.2} ×: median {}, bare {} (n = {})",
            ms(ours.median()),
            ms(bare.median()),
            ours.count()
        );
        if let Some(theirs) = theirs.first() {
            told.push_str(&format!("; `chaos run` {}", ms(*theirs)));
        }
        report.add(
            &format!("{PROGRAMS} programs in one experiment, journal included"),
            "≤ 1.3 × spawning them",
            told,
            Verdict::of(ratio <= 1.3),
        );
        Ok(())
    }

    /// A steady state that is looked at every 10 ms, against the same run without one.
    fn continuous(&self, effort: Effort, report: &mut Report) -> Result<()> {
        let page = Page::open()?;
        let seconds = WATCHED.as_secs();
        let wait = json!([{"type": "action", "name": "wait",
            "provider": {"type": "process", "path": "sleep", "arguments": [seconds.to_string()]}}]);
        let without = self.file("without.json", &experiment(wait.clone()))?;
        let mut watched = experiment(wait);
        watched["steady-state-hypothesis"] = json!({"title": "it answers", "probes": [
            {"type": "probe", "name": "answers", "tolerance": 200,
                "provider": {"type": "http", "url": page.url()}}]});
        let with = self.file("with.json", &watched)?;
        let flags = ["--hypothesis-strategy", "continuously", "--hypothesis-frequency", "0.01"];
        let (mut shares, mut requests) = (Vec::new(), Vec::new());
        let mut looks = 0;
        // In turns, so that both see the same machine.
        for _ in 0..effort.times(5) {
            let idle = Launch::of(&self.ours(&without, &[]))?;
            let busy = Launch::of(&self.ours(&with, &flags))?;
            shares.push(busy.processor.saturating_sub(idle.processor));
            looks = self.looks()?;
            requests.push(page.asked(looks, WATCHED)?);
        }
        let percent = |time: Duration| time.as_secs_f64() / WATCHED.as_secs_f64() * 100.0;
        let (whole, bare) = (Sample::new(shares), Sample::new(requests));
        let rounds = bare.count();
        let (whole, bare) = (percent(whole.median()), percent(bare.median()));
        // A run cannot take less than its requests: whoever is that far below has measured something else.
        let is_measured = whole - bare >= -1.0;
        report.add(
            "a steady state of one request, looked at every 10 ms",
            "≤ 1 % of a core above the bare requests",
            format!(
                "{:.2} %: {whole:.2} %, the bare requests {bare:.2} % (n = {rounds}); {looks} looks in \
                 {seconds} s",
                whole - bare
            ),
            Verdict::of(is_measured && whole - bare <= 1.0),
        );
        Ok(())
    }

    /// How often it was looked, as the journal has it.
    fn looks(&self) -> Result<usize> {
        let text = std::fs::read_to_string(self.directory.path().join("ours.json"))?;
        let journal: Value = serde_json::from_str(&text)?;
        let during = journal["steady_states"]["during"].as_array();
        let looks = during.map_or(0, Vec::len);
        ensure!(looks > 0, "the steady state was not looked at");
        Ok(looks)
    }
}

fn experiment(method: Value) -> Value {
    json!({"title": "bench", "description": "to be measured", "method": method})
}

fn timed(command: &mut Command) -> Result<Duration> {
    let began = Instant::now();
    let status = command.status().with_context(|| format!("{command:?}"))?;
    let took = began.elapsed();
    ensure!(status.success(), "{command:?}: {status}");
    Ok(took)
}

/// Spawns as many programs with pipes, as an experiment has them, and reads what they say.
fn spawned() -> Result<Duration> {
    let began = Instant::now();
    for _ in 0..PROGRAMS {
        let output = Command::new("true").stdin(Stdio::null()).output().context("start true")?;
        ensure!(output.status.success(), "true is false");
    }
    Ok(began.elapsed())
}
