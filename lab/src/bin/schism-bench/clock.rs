//! What a skewed clock costs: its readers at every read, its process when it comes and goes.

pub(crate) mod reader;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use agent::kernel::clock::holder::Holder;
use agent::kernel::clock::record::Records;
use agent::kernel::clock::skewed::{Restored, Skewed, Workshop};
use agent::kernel::clock::{boot_id, boot_now};
use anyhow::{Context as _, Result, bail, ensure};
use fault::{BootTime, Clocks, Ending, Extent, Offset, Rate, Shape, Skew};

use crate::Effort;
use crate::node::sibling;
use crate::report::{Report, Verdict};
use crate::statistics::{Sample, ms};
use reader::{Reader, Reading};

const HOUR: Duration = Duration::from_secs(3_600);
/// Reads of one turn: a tenth of a millisecond of them, so that most turns are not interrupted.
const READS: u32 = 5_000;
/// How often to try to restore a reader whose threads do not leave the stub.
const PATIENCE: usize = 5;
/// More than a tick of any kernel (ns).
const TICKS: u64 = 100_000_000;
/// Where both readers stand: what one finds in the caches, the other does, too.
const PROCESSOR: usize = 1;

/// All of it.
pub(crate) fn everything(effort: Effort, report: &mut Report) -> Result<()> {
    let place = Place::new()?;
    place.reads(effort, report)?;
    place.holds(effort, report)?;
    place.injections(effort, report)
}

/// A workshop with records of its own.
struct Place {
    workshop: Workshop,
    directory: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        // A heal that failed was told; its record is of no use to others.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A row of the table of reads: what to read under which skew, and how much slower it may be.
struct Case {
    name: &'static str,
    shape: Shape,
    ending: Ending,
    reading: Reading,
    most: f64,
}

fn offset(time: Duration) -> Result<Offset> {
    Offset::from_nanos(i64::try_from(time.as_nanos())?).context("an offset out of range")
}

fn ahead() -> Result<Skew> {
    Ok(Skew {
        shape: Shape::Offset(offset(HOUR)?),
        clocks: Clocks::REALTIME,
        ending: Ending::Step,
        extent: Extent::Named,
    })
}

fn cases() -> Result<Vec<Case>> {
    let rate = |billionths| Rate::from_billionths(billionths).context("a rate out of range");
    let constant = Shape::Offset(offset(HOUR)?);
    let step = Shape::Step { offset: offset(HOUR)?, after: Duration::from_millis(1) };
    // So that the turn changes within a measurement now and then, not at every read.
    let period = Duration::from_millis(200);
    let strobe =
        Shape::Strobe { first: offset(HOUR)?, second: offset(Duration::from_millis(4))?, period };
    let drift = Shape::Drift { offset: offset(HOUR)?, rate: rate(200_000)? };
    let slew = Ending::Slew(rate(500_000)?);
    let case = |name, shape, ending, reading, most| Case { name, shape, ending, reading, most };
    let by_offset = |name, reading, most| case(name, constant, Ending::Step, reading, most);
    Ok(vec![
        by_offset("REALTIME, offset", Reading::Realtime, 1.25),
        case("REALTIME, step", step, Ending::Step, Reading::Realtime, 1.25),
        case("REALTIME, strobe", strobe, Ending::Step, Reading::Realtime, 1.25),
        case("REALTIME, drift", drift, Ending::Step, Reading::Realtime, 2.2),
        case("REALTIME, slew on its way back", constant, slew, Reading::Realtime, 2.2),
        by_offset("MONOTONIC, untouched", Reading::Monotonic, 1.06),
        by_offset("MONOTONIC_COARSE, untouched", Reading::MonotonicCoarse, f64::INFINITY),
        by_offset("REALTIME_COARSE, offset", Reading::RealtimeCoarse, 2.5),
        by_offset("time(), offset", Reading::Time, 4.0),
    ])
}

impl Place {
    fn new() -> Result<Self> {
        let name = format!("schism-bench-clock-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let holder = Holder::of(sibling("schism-agent")?);
        let records = Records::of(directory.join("clock"));
        Ok(Self { workshop: Workshop::new(boot_id()?, records, holder), directory })
    }

    /// Puts a skew into a process and lets it act; one with a slew is on its way back from the beginning.
    fn begin(&self, reader: &Reader, skew: &Skew) -> Result<Skewed> {
        let mut skewed = self.workshop.put_in(reader.process()?, skew)?;
        let now = boot_now();
        let (start, lease) = match skew.ending {
            Ending::Step => (now, HOUR),
            // The coarse clock has to have passed the end.
            Ending::Slew(_) => {
                (BootTime::from_nanos(now.nanos().saturating_sub(TICKS)), Duration::ZERO)
            }
        };
        skewed.begin(start, start + lease)?;
        Ok(skewed)
    }

    fn heal(&self, mut skewed: Skewed) -> Result<()> {
        // An hour back takes two: it is not waited for.
        skewed.end()?;
        let mut restored = vec![self.workshop.heal(skewed)?];
        for _ in 0..PATIENCE {
            if restored.iter().all(|restored| *restored == Restored::Whole) {
                return Ok(());
            }
            let again = self.workshop.restore_all()?.into_iter();
            restored = again.map(|(_, outcome)| outcome).collect::<Result<_, _>>()?;
        }
        bail!("a reader was not restored: {restored:?}")
    }

    fn reads(&self, effort: Effort, report: &mut Report) -> Result<()> {
        let mut native = Reader::start(0, Some(PROCESSOR))?;
        let mut reader = Reader::start(0, Some(PROCESSOR))?;
        let mut best_of_ours = f64::INFINITY;
        for case in cases()? {
            let skew = Skew {
                shape: case.shape,
                clocks: Clocks::REALTIME,
                ending: case.ending,
                extent: Extent::Named,
            };
            let skewed = self.begin(&reader, &skew)?;
            let pair =
                side_by_side(effort, (&mut reader, case.reading), (&mut native, case.reading));
            let (ours, theirs) = pair?;
            self.heal(skewed)?;
            if case.name == "REALTIME, offset" {
                best_of_ours = ours;
            }
            row(report, case.name, case.most, ours, theirs);
        }
        let (by_call, native_time) = side_by_side(
            effort,
            (&mut reader, Reading::SystemCall),
            (&mut native, Reading::Realtime),
        )?;
        report.add(
            "REALTIME with a system call at each read, the known way",
            "shown; ours ≥ 3 × faster",
            format!(
                "{by_call:.1} ns: {:.2} × native, {:.2} × ours",
                by_call / native_time,
                by_call / best_of_ours
            ),
            Verdict::of(by_call / best_of_ours >= 3.0),
        );
        for reading in [Reading::Realtime, Reading::RealtimeCoarse, Reading::Time] {
            let pair = side_by_side(effort, (&mut reader, reading), (&mut native, reading));
            let (healed, native) = pair?;
            row(report, &format!("{}, after heal", reading.name()), 1.01, healed, native);
        }
        Ok(())
    }

    /// How long processes with busy threads stand still.
    fn holds(&self, effort: Effort, report: &mut Report) -> Result<()> {
        for (threads, most) in [(1, 0.5), (100, 2.0), (1_000, 10.0)] {
            let reader = Reader::start(threads, None)?;
            let (mut ins, mut outs, mut attempts) = (Vec::new(), Vec::new(), 0);
            for _ in 0..effort.times(30) {
                let mut skewed = self.begin(&reader, &ahead()?)?;
                let swapped = skewed.swapped.take().context("not put in")?;
                ins.push(Duration::from_nanos(swapped.held));
                attempts += swapped.attempts;
                let began = Instant::now();
                self.heal(skewed)?;
                outs.push(began.elapsed());
            }
            let (held, healed) = (Sample::new(ins), Sample::new(outs));
            report.add(
                &format!("held to put it in, {threads} busy threads"),
                &format!("≤ {most} ms"),
                format!(
                    "median {}, best {}, worst {} (n = {}, {attempts} attempts); heal {}",
                    ms(held.median()),
                    ms(held.best()),
                    ms(held.worst()),
                    held.count(),
                    ms(healed.median()),
                ),
                Verdict::of(held.median().as_secs_f64() * 1e3 <= most),
            );
        }
        Ok(())
    }

    /// From the call until it is verified, in the bytes and by a probe.
    fn injections(&self, effort: Effort, report: &mut Report) -> Result<()> {
        let reader = Reader::start(20, None)?;
        let mut measured = Vec::new();
        for _ in 0..effort.times(100) {
            let began = Instant::now();
            let skewed = self.begin(&reader, &ahead()?)?;
            let probed = self.workshop.probe(&skewed, 0)?;
            skewed.verify()?;
            measured.push(began.elapsed());
            let off = probed.offset - offset(HOUR)?.nanos();
            ensure!(off.abs() <= probed.error, "not an hour ahead: {probed:?}");
            self.heal(skewed)?;
        }
        let sample = Sample::new(measured);
        report.add(
            "inject until verified, one process with 20 threads",
            "median ≤ 20 ms",
            format!(
                "median {}, p99 {} (n = {})",
                ms(sample.median()),
                ms(sample.quantile(0.99)),
                sample.count()
            ),
            Verdict::of(sample.median() <= Duration::from_millis(20)),
        );
        Ok(())
    }
}

/// The least that a read took each (ns), by turns.
fn side_by_side(
    effort: Effort,
    (one, first): (&mut Reader, Reading),
    (other, second): (&mut Reader, Reading),
) -> Result<(f64, f64)> {
    let mut least = (f64::INFINITY, f64::INFINITY);
    for _ in 0..effort.times(4_000) {
        least.0 = least.0.min(one.measure(first, READS)?);
        least.1 = least.1.min(other.measure(second, READS)?);
    }
    Ok(least)
}

fn row(report: &mut Report, name: &str, most: f64, ours: f64, native: f64) {
    let ratio = ours / native;
    let (goal, verdict) = if most.is_finite() {
        (format!("≤ {most} × native"), Verdict::of(ratio <= most))
    } else {
        (String::new(), Verdict::Shown)
    };
    report.add(name, &goal, format!("{ratio:.2} ×: {ours:.1} ns, native {native:.1}"), verdict);
}
