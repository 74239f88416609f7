//! How much of what has ended is kept for `status --all`. Pure.

use fault::IntentId;

/// Intents that are kept.
const INTENTS: usize = 200;
/// Parts of them that are kept: one intent may have a thousand, of a kilobyte each.
const PARTS: usize = 2_048;

/// An intent that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// When it was asked, Unix time, ns.
    pub(super) asked: u64,
    pub(super) id: IntentId,
    pub(super) parts: usize,
}

/// Those that are let go of, the oldest; never the last one, of which somebody may still want to know.
pub(super) fn surplus(mut ended: Vec<Ended>) -> Vec<IntentId> {
    ended.sort_unstable_by_key(|one| (one.asked, one.id));
    let mut parts = 0;
    let mut fits = |one: &&Ended| {
        parts += one.parts;
        parts <= PARTS
    };
    let kept = ended.iter().rev().take(INTENTS).take_while(|one| fits(one)).count();
    let surplus = ended.len() - kept.max(1).min(ended.len());
    ended.truncate(surplus);
    ended.into_iter().map(|one| one.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(count: u64, parts: usize) -> Vec<Ended> {
        let one = |asked| Ended { asked, id: IntentId::from_random(asked), parts };
        (1..=count).map(one).collect()
    }

    fn forgotten(count: u64, parts: usize) -> Vec<u64> {
        surplus(ended(count, parts)).into_iter().map(IntentId::get).collect()
    }

    #[test]
    fn the_oldest_go_by_number_and_by_parts() {
        assert_eq!(forgotten(0, 1), [0_u64; 0]);
        assert_eq!(forgotten(200, 1), [0_u64; 0]);
        assert_eq!(forgotten(202, 1), [1, 2]);
        assert_eq!(forgotten(3, 1_000), [1], "2 of a thousand are kept");
        assert_eq!(forgotten(2, 1_000_000), [1], "the last one stays");
    }
}
