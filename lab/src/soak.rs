//! A process whose clocks are skewed, renewed and restored again and again, by holders that are killed and
//! stopped at random moments, while all its threads read them.
//!
//! After every round it must be running, traced by nobody, and have its own vDSO back. It watches its clocks
//! itself (see [`witness`]): a time that is neither true nor skewed ends it, and the soak.

mod dice;
mod saboteur;
pub mod witness;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent::kernel::clock::holder::Holder;
use agent::kernel::clock::memory::Memory;
use agent::kernel::clock::record::Records;
use agent::kernel::clock::skewed::{ClockError, Restored, Skewed, Workshop};
use agent::kernel::clock::{boot_id, boot_now, vdso};
use fault::{Clocks, Ending, Extent, Offset, Shape, Skew};
use thiserror::Error;

use dice::Dice;
use saboteur::{Luck, Saboteur};
use witness::Witness;

/// How far the clock is moved: an hour (ns).
pub const OFFSET: i64 = 3_600_000_000_000;
/// Longer than a round takes.
const LEASE: Duration = Duration::from_secs(60);
/// The same for what is to run out.
const SHORT_LEASE: Duration = Duration::from_millis(10);
/// How long to wait for what must come at once: threads that go on, or leave the stub (10 s).
const PATIENCE: Duration = Duration::from_secs(10);
/// How exactly the witness knows how far its clock is off (ns).
const ERROR: i64 = 50_000;

/// A soak ended early.
#[derive(Debug, Error)]
pub enum SoakError {
    /// The witness has ended, because of what it saw or by a crash.
    #[error("the witness, in round {round}: {source}")]
    Witness {
        /// When.
        round: u64,
        /// What it said.
        source: io::Error,
    },
    /// What must succeed did not.
    #[error("{step}, in round {round}: {source}")]
    Clock {
        /// What was attempted.
        step: &'static str,
        /// When.
        round: u64,
        /// Why it failed.
        source: Box<ClockError>,
    },
    /// The process was not left as it must be.
    #[error("after round {round}: {what}")]
    Left {
        /// When.
        round: u64,
        /// What is wrong.
        what: String,
    },
}

/// What a soak has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Rounds.
    pub rounds: u64,
    /// Holders that were killed.
    pub killed: u64,
    /// Holders that were stopped.
    pub stopped: u64,
    /// Holders that were stopped while they held, and killed by the kernel for it.
    pub left: u64,
    /// Times that a skew was put in.
    pub injected: u64,
    /// Times that it was not, as its holder was disturbed.
    pub vain: u64,
    /// Parameters replaced under readers.
    pub renewals: u64,
    /// Readings that were true, and those that were skewed.
    pub readings: (u64, u64),
    /// The longest that the process stood still for a swap that succeeded.
    pub held: Duration,
    /// How long it took.
    pub took: Duration,
}

impl Tally {
    /// Holders that were killed or stopped.
    #[must_use]
    pub const fn disturbed(&self) -> u64 {
        self.killed + self.stopped + self.left
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let disturbed = self.disturbed();
        write!(
            f,
            "{} rounds in {seconds:.0} s: {disturbed} holders disturbed ({:.1} a second), {} of them killed, \
             {} stopped, of which {} were left to the kernel; {} skews put in, {} in vain, {} renewals; {} true and {} skewed readings, no other; held \
             for {:.1} ms at most",
            self.rounds,
            disturbed as f64 / seconds,
            self.killed,
            self.stopped + self.left,
            self.left,
            self.injected,
            self.vain,
            self.renewals,
            self.readings.0,
            self.readings.1,
            self.held.as_secs_f64() * 1e3,
        )
    }
}

/// One process under test, and what does it to it.
pub struct Soak {
    witness: Witness,
    records: Records,
    holder: PathBuf,
    dice: Dice,
    tally: Tally,
    /// How long an undisturbed injection takes: the moments of disturbance are spread over it.
    span: Duration,
}

impl Soak {
    /// Of a witness that was told [`OFFSET`], with a program that can hold, and a place for records.
    #[must_use]
    pub fn new(witness: Witness, holder: PathBuf, directory: &Path, seed: u64) -> Self {
        let (dice, tally) = (Dice::new(seed), Tally::default());
        let records = Records::of(directory.join("clock"));
        Self { witness, records, holder, dice, tally, span: Duration::from_millis(20) }
    }

    /// Goes on until it is enough, and for two rounds at least; tells of it now and then.
    ///
    /// # Errors
    /// What is not as it must be: the process stays as it was found.
    pub fn run(
        mut self,
        enough: impl Fn(&Tally) -> bool,
        mut tell: impl FnMut(&Tally),
    ) -> Result<Tally, SoakError> {
        let began = Instant::now();
        let mut told = began;
        while !enough(&self.tally) || self.tally.rounds < 2 {
            self.tally.rounds += 1;
            self.round()?;
            self.tally.took = began.elapsed();
            if told.elapsed() > PATIENCE {
                tell(&self.tally);
                told = Instant::now();
            }
        }
        let round = self.tally.rounds;
        self.witness.finish().map_err(|source| SoakError::Witness { round, source })?;
        Ok(self.tally)
    }

    fn workshop(&self) -> Result<Workshop, SoakError> {
        let boot = boot_id().map_err(|error| self.left(error.to_string()))?;
        Ok(Workshop::new(boot, self.records.clone(), Holder::of(self.holder.clone())))
    }

    fn round(&mut self) -> Result<(), SoakError> {
        let process = self.witness.process().map_err(|error| self.left(error.to_string()))?;
        let workshop = self.workshop()?;
        let luck = match self.tally.rounds {
            // However short the soak, it sees one that succeeds and one that does not.
            1 => Luck::Spared,
            2 => Luck::Killed(Duration::ZERO),
            _ => Luck::draw(&mut self.dice, self.span),
        };
        let began = Instant::now();
        let (put_in, disturbed) =
            Saboteur::beside(process.pid, luck, || workshop.put_in(process, &skew()));
        self.count(disturbed);
        match put_in {
            Ok(mut skewed) => {
                if disturbed.is_none() {
                    self.span = began.elapsed();
                }
                self.tally.injected += 1;
                let held = skewed.swapped.map_or(0, |swapped| swapped.held);
                self.tally.held = self.tally.held.max(Duration::from_nanos(held));
                self.live(&mut skewed)?;
                self.end(&workshop, skewed)?;
            }
            // Nobody disturbed its holder: nothing excuses it.
            Err(source) if disturbed.is_none() => return Err(self.clock("put in", source)),
            Err(_) => self.tally.vain += 1,
        }
        self.assert_free()?;
        self.assert_known()?;
        // The next life of an agent.
        self.restore()?;
        self.look(0)
    }

    /// A skew that acts, is renewed, and may run out meanwhile.
    fn live(&mut self, skewed: &mut Skewed) -> Result<(), SoakError> {
        let lease = if self.tally.rounds > 1 && self.dice.one_in(4) { SHORT_LEASE } else { LEASE };
        let begun = skewed.begin(boot_now(), boot_now() + lease);
        begun.map_err(|source| self.clock("begin", source))?;
        if lease == LEASE {
            self.look(OFFSET)?;
        }
        for _ in 0..self.dice.below(64) {
            let renewed = match self.dice.below(4) {
                0 => skewed.renew(boot_now()),
                1 => skewed.renew(boot_now() + SHORT_LEASE),
                _ => skewed.renew(boot_now() + LEASE),
            };
            renewed.map_err(|source| self.clock("renew", source))?;
            self.tally.renewals += 1;
        }
        skewed.verify().map_err(|source| self.clock("verify", source))
    }

    /// A heal, disturbed or not, or an agent that has ended.
    fn end(&mut self, workshop: &Workshop, skewed: Skewed) -> Result<(), SoakError> {
        let pid = skewed.process().pid;
        if self.dice.one_in(4) {
            return Ok(());
        }
        let luck = match self.tally.rounds {
            1 => Luck::Spared,
            _ => Luck::draw(&mut self.dice, self.span),
        };
        let (healed, disturbed) = Saboteur::beside(pid, luck, || workshop.heal(skewed));
        self.count(disturbed);
        match healed {
            Ok(_) => Ok(()),
            Err(source) if disturbed.is_none() => Err(self.clock("heal", source)),
            Err(_) => Ok(()),
        }
    }

    fn restore(&self) -> Result<(), SoakError> {
        let until = Instant::now() + PATIENCE;
        let workshop = self.workshop()?;
        loop {
            let restored =
                workshop.restore_all().map_err(|source| self.clock("restore", source))?;
            let mut whole = true;
            for (_, outcome) in restored {
                whole &=
                    outcome.map_err(|source| self.clock("restore", source))? == Restored::Whole;
            }
            if whole {
                break;
            }
            if Instant::now() > until {
                return Err(self.left("a thread does not leave the stub".to_owned()));
            }
        }
        if self.is_whole()? { Ok(()) } else { Err(self.left("its vDSO is another one".to_owned())) }
    }

    /// Where its vDSO is not its own, there is a record that says so.
    fn assert_known(&self) -> Result<(), SoakError> {
        let records = self.records.all().map_err(|error| self.left(error.to_string()))?;
        if records.is_empty() && !self.is_whole()? {
            return Err(self.left("its vDSO is another one, and there is no record".to_owned()));
        }
        Ok(())
    }

    fn is_whole(&self) -> Result<bool, SoakError> {
        let pid = self.witness.id();
        let read = || -> io::Result<bool> {
            let place = vdso::locate(pid)?.ok_or_else(|| io::Error::other("no vDSO"))?;
            let (_, own) = vdso::own()?;
            Ok(Memory::open(pid)?.read(place.start, own.len())? == own)
        };
        read().map_err(|error| self.left(error.to_string()))
    }

    /// All threads run, and nobody traces them. That one goes on again makes no event.
    fn assert_free(&self) -> Result<(), SoakError> {
        let until = Instant::now() + PATIENCE;
        while let Some(what) = saboteur::held(self.witness.id()) {
            if Instant::now() > until {
                return Err(self.left(what));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Has the witness say how far its clock is off, and what it has seen.
    fn look(&mut self, offset: i64) -> Result<(), SoakError> {
        let round = self.tally.rounds;
        let seen = self.witness.ask().map_err(|source| SoakError::Witness { round, source })?;
        self.tally.readings = (seen.true_ones, seen.skewed);
        if (seen.offset - offset).abs() < ERROR {
            Ok(())
        } else {
            Err(self.left(format!("its clock is off by {} ns instead of {offset}", seen.offset)))
        }
    }

    const fn count(&mut self, disturbed: Option<Luck>) {
        match disturbed {
            Some(Luck::Killed(_)) => self.tally.killed += 1,
            Some(Luck::Stopped { .. }) => self.tally.stopped += 1,
            Some(Luck::Left { .. }) => self.tally.left += 1,
            Some(Luck::Spared) | None => {}
        }
    }

    fn clock(&self, step: &'static str, source: ClockError) -> SoakError {
        SoakError::Clock { step, round: self.tally.rounds, source: Box::new(source) }
    }

    fn left(&self, what: String) -> SoakError {
        SoakError::Left { round: self.tally.rounds, what }
    }
}

fn skew() -> Skew {
    let offset = Offset::from_nanos(OFFSET).unwrap_or(Offset::NONE);
    Skew {
        shape: Shape::Offset(offset),
        clocks: Clocks::REALTIME,
        ending: Ending::Step,
        extent: Extent::Named,
    }
}
