//! Failures and delays that a test orders.

use std::io;
use std::time::Duration;

use super::gate::Gate;
use crate::kernel::{KernelError, Place, Step};

/// A call that may meet trouble.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// A step is performed.
    Step(&'a Place, &'a Step),
    /// A target is looked at.
    Look(&'a Place),
    /// Word of a target is asked for.
    Follow(&'a Place),
}

impl Call<'_> {
    /// Whether the kernel's contract lets it wait: what the worker performs itself may not.
    pub(super) fn may_wait(&self) -> bool {
        match self {
            Self::Step(_, Step::Begin { .. } | Step::Renew { .. } | Step::End { .. }) => false,
            Self::Step(..) | Self::Look(_) | Self::Follow(_) => true,
        }
    }

    /// Where it goes.
    #[must_use]
    pub fn place(&self) -> &Place {
        match self {
            Self::Step(place, _) | Self::Look(place) | Self::Follow(place) => place,
        }
    }
}

#[derive(Clone)]
enum Harm {
    Errno(&'static str, i32),
    Delay(Duration),
    Held(Gate),
}

/// What happens to calls that match.
pub struct Trouble {
    harm: Harm,
    matches: Box<dyn Fn(&Call<'_>) -> bool + Send + Sync>,
    spared: usize,
    left: usize,
}

impl Trouble {
    fn new(harm: Harm, matches: impl Fn(&Call<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self { harm, matches: Box::new(matches), spared: 0, left: usize::MAX }
    }

    /// They fail with this errno; `call` is the system call that is blamed.
    pub fn errno(
        call: &'static str,
        errno: i32,
        matches: impl Fn(&Call<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::new(Harm::Errno(call, errno), matches)
    }

    /// They take this long.
    pub fn delay(
        time: Duration,
        matches: impl Fn(&Call<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::new(Harm::Delay(time), matches)
    }

    pub(super) fn held(
        gate: Gate,
        matches: impl Fn(&Call<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::new(Harm::Held(gate), matches)
    }

    /// Spares the first calls that match.
    #[must_use]
    pub fn after(mut self, calls: usize) -> Self {
        self.spared = calls;
        self
    }

    /// Happens to one call only.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.left = 1;
        self
    }

    fn strikes(&mut self, call: &Call<'_>) -> bool {
        if self.left == 0 || !(self.matches)(call) {
            return false;
        }
        if self.spared > 0 {
            self.spared -= 1;
            return false;
        }
        self.left -= 1;
        true
    }
}

#[derive(Default)]
pub(super) struct Troubles(Vec<Trouble>);

impl Troubles {
    pub(super) fn add(&mut self, trouble: Trouble) {
        self.0.push(trouble);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn meet(&mut self, call: &Call<'_>) -> Met {
        let struck = self.0.iter_mut().filter_map(|trouble| {
            if trouble.strikes(call) { Some(trouble.harm.clone()) } else { None }
        });
        Met(struck.collect())
    }
}

/// What one call met.
pub(super) struct Met(Vec<Harm>);

impl Met {
    pub(super) fn wait(&self) {
        for harm in &self.0 {
            match harm {
                Harm::Errno(..) => {}
                Harm::Delay(time) => std::thread::sleep(*time),
                Harm::Held(gate) => gate.pass(),
            }
        }
    }

    pub(super) fn fail(&self) -> Result<(), KernelError> {
        for harm in &self.0 {
            if let Harm::Errno(call, errno) = harm {
                return Err(KernelError::call(call)(io::Error::from_raw_os_error(*errno)));
            }
        }
        Ok(())
    }
}
