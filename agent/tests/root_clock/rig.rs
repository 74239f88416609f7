//! What the tests share: a workshop with records of its own.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::kernel::clock::holder::Holder;
use agent::kernel::clock::memory::Memory;
use agent::kernel::clock::record::Records;
use agent::kernel::clock::skewed::Workshop;
use agent::kernel::clock::{boot_id, boot_now, vdso};
use fault::{BootTime, Clocks, Ending, Extent, Offset, Shape, Skew};
use tempfile::TempDir;

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// Busy threads of one test would make those of another wait: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Somewhere to keep records.
pub(crate) struct Rig {
    _alone: MutexGuard<'static, ()>,
    pub(crate) directory: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "needs root");
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self { _alone, directory: TempDir::new().unwrap() }
    }

    pub(crate) fn records(&self) -> Records {
        Records::of(self.directory.path().join("clock"))
    }

    pub(crate) fn workshop(&self) -> Workshop {
        self.workshop_with(PathBuf::from(env!("CARGO_BIN_EXE_schism-agent")))
    }

    pub(crate) fn workshop_with(&self, holder: PathBuf) -> Workshop {
        Workshop::new(boot_id().unwrap(), self.records(), Holder::of(holder))
    }

    /// Asserts that nothing of ours is left in a process, nor recorded.
    pub(crate) fn assert_untouched(&self, pid: u32) {
        let place = vdso::locate(pid).unwrap().unwrap();
        let (_, own) = vdso::own().unwrap();
        let there = Memory::open(pid).unwrap().read(place.start, own.len()).unwrap();
        assert!(there == own, "the vDSO of {pid} is not as the kernel gave it");
        assert!(self.records().all().unwrap().is_empty());
    }
}

pub(crate) fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap()
}

/// CLOCK_REALTIME ahead by so much.
pub(crate) fn ahead(time: Duration) -> Skew {
    Skew {
        shape: Shape::Offset(Offset::from_nanos(nanos(time)).unwrap()),
        clocks: Clocks::REALTIME,
        ending: Ending::Step,
        extent: Extent::Named,
    }
}

pub(crate) fn now() -> BootTime {
    boot_now()
}
