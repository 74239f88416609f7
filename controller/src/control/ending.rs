//! One line for each intent that has ended, and never two.

use std::collections::HashSet;
use std::time::Duration;

use fault::IntentId;
use proto::control as wire;
use tokio::time::Instant;

use crate::archive::{ArchiveError, Ended, Journal};

/// Writes the lines.
///
/// A line is written before its intent's record says so. Where the two do not agree, after a crash in
/// between or a disk that failed, the archive is looked through.
pub(super) struct Endings {
    journal: Option<Journal<Ended>>,
    /// Those whose line is there although their record does not say so.
    there: HashSet<IntentId>,
    /// Those whose line may be there.
    doubtful: HashSet<IntentId>,
    /// A disk that has failed is let be until then: looking for a line reads the whole archive.
    rests: Option<Instant>,
}

/// How long a disk that has failed is let be (5 s).
const REST: Duration = Duration::from_secs(5);

impl Endings {
    /// Looks for the lines of intents whose records do not say that they have one.
    pub(super) async fn open(journal: Option<Journal<Ended>>, without: HashSet<IntentId>) -> Self {
        let mut endings =
            Self { journal, there: HashSet::new(), doubtful: HashSet::new(), rests: None };
        let Some(journal) = endings.journal.as_ref().filter(|_| !without.is_empty()) else {
            return endings;
        };
        match journal.subjects().await {
            Ok(lines) => {
                let there = without.into_iter().filter(|id| lines.contains(&id.to_string()));
                endings.there = there.collect();
            }
            Err(error) => {
                tracing::error!(%error, "the archive cannot be looked through");
                endings.doubtful = without;
            }
        }
        endings
    }

    /// Whether it is worth trying.
    pub(super) fn is_ready(&self) -> bool {
        self.rests.is_none_or(|until| Instant::now() >= until)
    }

    /// Makes sure that the line of an intent that has ended is on the disk.
    pub(super) async fn write(&mut self, intent: wire::Intent) -> Result<(), ArchiveError> {
        let id = IntentId::from_random(intent.id);
        let (Some(journal), Some(line)) = (&self.journal, Ended::of(intent)) else { return Ok(()) };
        let found = self.there.remove(&id)
            || self.doubtful.contains(&id) && journal.subjects().await?.contains(&line.id);
        if !found && let Err(error) = journal.append(&line).await {
            // All of it may be there: what failed may have been the wait for the disk.
            self.doubtful.insert(id);
            self.rests = Some(Instant::now() + REST);
            return Err(error);
        }
        self.doubtful.remove(&id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proto::control::Stage;

    use super::*;
    use crate::archive::{Archive, Limits};

    fn intent(number: u64) -> wire::Intent {
        wire::Intent { id: number, stage: Stage::Healed.into(), ..wire::Intent::default() }
    }

    async fn lines(journal: &Journal<Ended>) -> Vec<String> {
        journal.read().await.unwrap().entries.into_iter().map(|line| line.id).collect()
    }

    #[tokio::test]
    async fn a_line_that_is_there_is_not_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Archive::open(directory.path(), Limits::default()).await.unwrap().ended;
        let mut first = Endings::open(Some(journal.clone()), HashSet::new()).await;
        first.write(intent(1)).await.unwrap();
        // The next life: the records of both do not say that they have a line.
        let both = [1, 2].map(IntentId::from_random).into();
        let mut next = Endings::open(Some(journal.clone()), both).await;
        for number in [1, 2] {
            next.write(intent(number)).await.unwrap();
        }
        assert_eq!(lines(&journal).await, ["000000000001", "000000000002"]);
    }

    #[tokio::test]
    async fn what_is_doubtful_is_looked_up() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Archive::open(directory.path(), Limits::default()).await.unwrap().ended;
        let mut endings = Endings::open(Some(journal.clone()), HashSet::new()).await;
        endings.write(intent(1)).await.unwrap();
        endings.doubtful = [1, 2].map(IntentId::from_random).into();
        for number in [1, 2] {
            endings.write(intent(number)).await.unwrap();
        }
        assert_eq!(lines(&journal).await, ["000000000001", "000000000002"]);
        assert!(endings.doubtful.is_empty());
    }

    #[tokio::test]
    async fn what_goes_on_has_no_line() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Archive::open(directory.path(), Limits::default()).await.unwrap().ended;
        let mut endings = Endings::open(Some(journal.clone()), HashSet::new()).await;
        let active = wire::Intent { stage: Stage::Active.into(), ..intent(1) };
        endings.write(active).await.unwrap();
        assert!(lines(&journal).await.is_empty());
    }
}
