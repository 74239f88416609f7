//! The kill: the processes of a target are sent a signal, and are watched to their end.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::Extent;

/// What a kill does. It is over once all of them have ended; what its lease ends is the watching, and that
/// whoever is left is killed after the time of grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Kill {
    /// Whose processes.
    pub extent: Extent,
    /// What they are sent first.
    pub signal: Signal,
    /// How long after that whoever is left is sent SIGKILL; in documents a number of seconds. `None`: never.
    #[serde(serialize_with = "seconds")]
    pub grace: Option<Duration>,
}

/// A signal by which processes are asked to end, or told something. None of those that stop: what they stop
/// nobody would let go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGHUP.
    Hangup,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGABRT.
    Abort,
    /// SIGKILL.
    Kill,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Hangup,
        Self::Interrupt,
        Self::Quit,
        Self::Abort,
        Self::Kill,
        Self::User1,
        Self::User2,
        Self::Terminate,
    ];

    /// What it is called, without `SIG`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hangup => "HUP",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
            Self::Abort => "ABRT",
            Self::Kill => "KILL",
            Self::User1 => "USR1",
            Self::User2 => "USR2",
            Self::Terminate => "TERM",
        }
    }

    /// Its number on Linux, which all architectures that we know share for these (signal(7)).
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Hangup => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Abort => 6,
            Self::Kill => 9,
            Self::User1 => 10,
            Self::User2 => 12,
            Self::Terminate => 15,
        }
    }

    /// Whether whoever gets it is meant to end by it. The others are told something.
    #[must_use]
    pub const fn ends(self) -> bool {
        match self {
            Self::Interrupt | Self::Quit | Self::Abort | Self::Kill | Self::Terminate => true,
            Self::Hangup | Self::User1 | Self::User2 => false,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", self.name())
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text is no signal that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// One that has processes stand still, for which there is the freeze.
    #[error("nothing would end a stop by signal; freeze the processes instead")]
    Stops,
    /// Another one, or none.
    #[error("must be HUP, INT, QUIT, ABRT, KILL, USR1, USR2 or TERM")]
    Unknown,
}

impl FromStr for Signal {
    type Err = SignalError;

    /// Takes `TERM`, `SIGTERM` and `15`, in whatever case.
    fn from_str(text: &str) -> Result<Self, SignalError> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if ["STOP", "TSTP", "TTIN", "TTOU", "19", "20", "21", "22"].contains(&name) {
            return Err(SignalError::Stops);
        }
        let means = |signal: &Self| signal.name() == name || signal.number().to_string() == name;
        Self::ALL.into_iter().find(means).ok_or(SignalError::Unknown)
    }
}

#[expect(clippy::ref_option, reason = "what serde passes")]
fn seconds<S: Serializer>(grace: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match grace {
        Some(grace) => serializer.serialize_some(&grace.as_secs_f64()),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_by_name_and_by_number() {
        for signal in Signal::ALL {
            let texts = [signal.to_string(), signal.number().to_string(), signal.name().to_owned()];
            for text in texts {
                assert_eq!(text.parse(), Ok(signal), "{text}");
                assert_eq!(text.to_ascii_lowercase().parse(), Ok(signal), "{text}");
            }
        }
        for text in ["STOP", "sigtstp", "19"] {
            assert_eq!(text.parse::<Signal>(), Err(SignalError::Stops), "{text}");
        }
        for text in ["", "SIG", "CONT", "SEGV", "0", "-9", "SIGSIGTERM"] {
            assert_eq!(text.parse::<Signal>(), Err(SignalError::Unknown), "{text}");
        }
    }
}
