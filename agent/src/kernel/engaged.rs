//! What is done to the processes of a target by something of ours that runs: held in one place each, and
//! begun, renewed and ended alike.

mod register;

use std::fmt;

use fault::{BootTime, Freeze, Kill, Measured, Stress};

use super::process::NamespaceInode;
use super::{Coverage, KernelError, whose};

pub use register::Engagements;

/// What is done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// They stand still.
    Freeze(Freeze),
    /// They are ended.
    Kill(Kill),
    /// They have to share what they have with ours.
    Stress(Stress),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Freeze(freeze) => {
                write!(f, "start a process that holds all threads of {}", whose(freeze.extent))
            }
            Self::Kill(kill) => {
                write!(f, "open {} to send them {}", whose(kill.extent), kill.signal)?;
                match kill.grace {
                    Some(grace) => write!(f, ", and SIGKILL {grace:?} later"),
                    None => Ok(()),
                }
            }
            Self::Stress(stress) => {
                write!(f, "start a process in the target's control group that takes {stress}")
            }
        }
    }
}

/// By what the namespace of a target is told from others, for one look.
pub(super) type Inode<'a> = &'a dyn Fn() -> Result<NamespaceInode, KernelError>;

/// One of them. Whatever it does is over when it is dropped.
pub(super) trait Engaged: fmt::Debug + Send + Sync {
    /// Has it begin and end then. Waits for nobody.
    ///
    /// # Errors
    /// It cannot be told.
    fn begin(&self, start: BootTime, end: BootTime) -> Result<(), KernelError>;

    /// Moves its end. Waits for nobody.
    ///
    /// # Errors
    /// It cannot be told.
    fn renew(&self, end: BootTime) -> Result<(), KernelError>;

    /// Ends it at once. Waits for nobody.
    fn end(&self);

    /// From when to when it acts, as it was told; nothing if it has ended.
    fn lease(&self) -> Option<(BootTime, BootTime)>;

    /// Reaches those who came, and sees what it does.
    ///
    /// # Errors
    /// /proc cannot be read, or nobody is reached.
    fn follow(&self, inode: Inode<'_>) -> Result<(), KernelError>;

    /// Compares what it reaches with the processes that there are; changes nothing.
    ///
    /// # Errors
    /// /proc cannot be read.
    fn look(&self, inode: Inode<'_>) -> Result<Coverage, KernelError>;

    /// What was measured of it so far. Waits for nobody.
    fn measured(&self) -> Measured;

    /// Makes sure that it is over.
    ///
    /// # Errors
    /// It is not.
    fn take_out(&self) -> Result<(), KernelError>;
}
