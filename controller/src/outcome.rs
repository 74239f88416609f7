//! What a command came to.

/// What a command came to; its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Done, and it had an effect (0).
    Effective,
    /// It went otherwise than asked, residue was found, or `doctor` misses something (1).
    Deviated,
    /// What was asked makes no sense (2).
    WrongUsage,
    /// Applied, but nothing matched (3).
    NothingMatched,
    /// A guard refused it (4).
    Refused,
    /// Unreachable, unsupported, or a heal that was not confirmed (5).
    Unconfirmed,
    /// Interrupted, and healed (130).
    Interrupted,
}

impl Outcome {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Effective => 0,
            Self::Deviated => 1,
            Self::WrongUsage => 2,
            Self::NothingMatched => 3,
            Self::Refused => 4,
            Self::Unconfirmed => 5,
            Self::Interrupted => 130,
        }
    }

    /// What a controller says by an exit code; `None` of one that no command has.
    pub(crate) fn of_code(code: u8) -> Option<Self> {
        let all = [
            Self::Effective,
            Self::Deviated,
            Self::WrongUsage,
            Self::NothingMatched,
            Self::Refused,
            Self::Unconfirmed,
            Self::Interrupted,
        ];
        all.into_iter().find(|outcome| outcome.code() == code)
    }

    /// The one of the two that counts.
    ///
    /// The worst in the order 5, 4, 1, 3, 0. An interruption says why there may be no effect, so it
    /// stands before 3; it says "healed", so 5, 4 and 1 stand before it.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        if self.rank() >= other.rank() { self } else { other }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Effective => 0,
            Self::NothingMatched => 1,
            Self::Interrupted => 2,
            Self::WrongUsage => 3,
            Self::Deviated => 4,
            Self::Refused => 5,
            Self::Unconfirmed => 6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome::{
        Deviated, Effective, Interrupted, NothingMatched, Refused, Unconfirmed, WrongUsage,
    };

    #[test]
    fn the_worst_counts_in_the_order_5_4_1_3_0() {
        let order =
            [Unconfirmed, Refused, Deviated, WrongUsage, Interrupted, NothingMatched, Effective];
        for (index, worse) in order.iter().enumerate() {
            for better in &order[index..] {
                assert_eq!(worse.worst(*better), *worse);
                assert_eq!(better.worst(*worse), *worse);
            }
        }
        assert_eq!(order.map(|outcome| outcome.code()), [5, 4, 1, 2, 130, 3, 0]);
    }
}
