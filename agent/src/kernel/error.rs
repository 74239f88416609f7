//! What can go wrong in a kernel.

use std::io;

use fault::Scheme;

use super::Elsewhere;

/// Something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A system call failed.
    #[error("{call}: {source}")]
    Call {
        /// Which, such as `bpf(BPF_LINK_CREATE)`.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The object could not be loaded.
    #[error("load the eBPF object: {0}")]
    Object(String),
    /// An eBPF map refused.
    #[error("{map}: {source}")]
    Map {
        /// Its name.
        map: &'static str,
        /// Why.
        source: Box<aya::maps::MapError>,
    },
    /// The kernel's answer makes no sense to us.
    #[error("{0}")]
    Answer(String),
    /// Something could not be taken out whole, but does nothing any more.
    #[error("{0}")]
    Inert(String),
    /// The target is not there any more.
    #[error("{0} is not there any more")]
    Gone(Scheme),
    /// What is meant is not on this node.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
    /// More than there is room for.
    #[error("no more than {most} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many there can be.
        most: u64,
    },
    /// A target that we do not touch.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
        /// What to do about it.
        hint: String,
    },
}

impl KernelError {
    /// Names the system call that failed.
    pub fn call(call: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Call { call, source }
    }

    /// The errno, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Call { source, .. } => source.raw_os_error(),
            Self::Map { source, .. } => map_errno(source),
            Self::Object(_)
            | Self::Answer(_)
            | Self::Inert(_)
            | Self::Gone(_)
            | Self::Elsewhere(_)
            | Self::Limit { .. }
            | Self::Refused { .. } => None,
        }
    }
}

pub(super) fn map_errno(error: &aya::maps::MapError) -> Option<i32> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        cause = error.source();
    }
    None
}
