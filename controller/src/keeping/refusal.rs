//! Why what an object asks for does not begin.

use std::time::Duration;

use super::decision::Attempt;
use super::keeper::AGAIN;
use super::lacking::Unfit;
use crate::failure::{Cause, Failure};
use crate::link::nanos;
use crate::objects::consent::Withheld;

/// How long what is in the way of an object may take to pass: agents dial a new leader within moments.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why something does not begin.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) passing: Passing,
    pub(crate) failure: Failure,
}

/// Whether it may begin a little later, without anybody changing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passing {
    /// Others go on, and come to their ends: who they are.
    Always(String),
    /// It is a matter of moments, or of somebody who repairs something.
    Soon,
    /// It may not.
    Never,
}

/// Why it is not even tried.
#[derive(Debug)]
pub(crate) enum Unready {
    /// What there is to know for that is told within moments.
    Untold,
    /// It is refused.
    Refused(Box<Failure>),
}

impl Unready {
    /// For want of a namespace's consent.
    pub(crate) fn withheld(withheld: &Withheld, attempted: String) -> Self {
        match withheld {
            Withheld::Unknown => Self::Untold,
            Withheld::Namespace(_) | Withheld::Elsewhere(_) => {
                let refusal = Failure::caused(Cause::Refused, attempted, withheld);
                Self::Refused(Box::new(refusal.hint(withheld.hint())))
            }
        }
    }

    /// As what an object says may be half of what was asked for.
    pub(super) fn unfit(unfit: &Unfit, attempted: String) -> Self {
        match unfit {
            Unfit::Unknown => Self::Untold,
            Unfit::Lacking(lack) => {
                let refusal = Failure::caused(Cause::Refused, attempted, lack);
                Self::Refused(Box::new(refusal.hint(lack.hint())))
            }
        }
    }
}

impl From<Failure> for Unready {
    fn from(refusal: Failure) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl Refusal {
    /// What becomes of an attempt that was first made then, and has come to this now.
    pub(super) fn attempt(self, since: u64, now: u64) -> Attempt {
        let at = now.saturating_add(nanos(AGAIN));
        let is_early = now.saturating_sub(since) < nanos(PATIENCE);
        match self.passing {
            Passing::Always(why) => Attempt::Crowded { at, why },
            Passing::Soon if is_early => Attempt::Again { since, at },
            Passing::Soon | Passing::Never => Attempt::Refused(Box::new(self.failure)),
        }
    }
}
