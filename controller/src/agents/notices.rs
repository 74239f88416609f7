//! What agents say, on its way to whoever drives intents.
//!
//! It is told in its order as long as there is room. Nobody waits for room: who drives may be behind a
//! slow disk, and agents must be renewed meanwhile. From then on what is told of the same thing takes the
//! place of what was told of it before, so that what waits is bounded by what there is to know.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fault::{FaultId, NodeName};
use tokio::sync::Notify;

use super::Notice;

/// How much may wait before what is told of the same thing is merged.
const ROOM: usize = 8_192;

/// What a notice is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Presence(NodeName),
    Absence(NodeName),
    Renewals(NodeName),
    Fault(NodeName, FaultId),
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Notice>,
    /// The number of the first that waits.
    first: u64,
    /// The last of each subject that waits, by number.
    last: BTreeMap<Subject, u64>,
    room: usize,
    merged: u64,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Notify,
}

/// What agents say, as it is taken.
#[derive(Debug)]
pub struct Notices(Arc<Shared>);

/// The other end.
#[derive(Clone, Debug)]
pub(super) struct Teller(Arc<Shared>);

/// Both ends.
pub(super) fn notices() -> (Teller, Notices) {
    let shared = Arc::new(Shared { queue: Mutex::new(Queue::of(ROOM)), arrived: Notify::new() });
    (Teller(Arc::clone(&shared)), Notices(shared))
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Teller {
    pub(super) fn tell(&self, notice: Notice) {
        self.0.queue().put(notice);
        self.0.arrived.notify_one();
    }
}

impl Notices {
    /// The next, once there is one.
    pub async fn next(&mut self) -> Notice {
        loop {
            if let Some(notice) = self.take() {
                return notice;
            }
            self.0.arrived.notified().await;
        }
    }

    /// The next, if there is one.
    pub fn take(&mut self) -> Option<Notice> {
        self.0.queue().take()
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.queue().waiting.len()
    }

    /// How many were not told, as something newer took their places, since this was last asked.
    pub fn merged(&mut self) -> u64 {
        std::mem::take(&mut self.0.queue().merged)
    }
}

impl Queue {
    fn of(room: usize) -> Self {
        Self { waiting: VecDeque::new(), first: 0, last: BTreeMap::new(), room, merged: 0 }
    }

    fn put(&mut self, notice: Notice) {
        let subject = Subject::of(&notice);
        let full = self.waiting.len() >= self.room;
        if full && let Some(before) = self.last.get(&subject).and_then(|at| self.place(*at)) {
            self.merged += 1;
            // That a fault has ended is taken back by nobody.
            if !ends(&self.waiting[before]) || ends(&notice) {
                self.waiting[before] = notice;
            }
            return;
        }
        self.last.insert(subject, self.first + self.waiting.len() as u64);
        self.waiting.push_back(notice);
    }

    fn take(&mut self) -> Option<Notice> {
        let notice = self.waiting.pop_front()?;
        let subject = Subject::of(&notice);
        if self.last.get(&subject) == Some(&self.first) {
            self.last.remove(&subject);
        }
        self.first += 1;
        Some(notice)
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

fn ends(notice: &Notice) -> bool {
    match notice {
        Notice::Status(_, status) => status.state.is_final(),
        Notice::Found(_) | Notice::Lost(_) | Notice::Renewed(..) => false,
    }
}

impl Subject {
    fn of(notice: &Notice) -> Self {
        match notice {
            Notice::Found(node) => Self::Presence(node.clone()),
            Notice::Lost(node) => Self::Absence(node.clone()),
            Notice::Renewed(node, _, _) => Self::Renewals(node.clone()),
            Notice::Status(node, status) => Self::Fault(node.clone(), status.fault.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fault::State;

    use super::*;
    use crate::cut::specimen;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn status(part: u16, lost: u64) -> Notice {
        Notice::Status(node("a"), Box::new(specimen::status(part, State::Active, lost, lost)))
    }

    fn renewed(name: &str, second: u64) -> Notice {
        Notice::Renewed(node(name), vec![specimen::id(0)], Duration::from_secs(second))
    }

    fn short(notice: &Notice) -> String {
        match notice {
            Notice::Found(node) => format!("{node} found"),
            Notice::Lost(node) => format!("{node} lost"),
            Notice::Status(_, status) => format!("{} {}", status.fault.id.part, status.effect.lost),
            Notice::Renewed(node, _, at) => format!("{node} {}", at.as_secs()),
        }
    }

    fn all(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.take()).map(|notice| short(&notice)).collect()
    }

    #[test]
    fn what_has_room_is_told_in_its_order() {
        let mut queue = Queue::of(9);
        let told = [status(0, 1), Notice::Lost(node("a")), Notice::Found(node("a")), status(0, 2)];
        told.into_iter().for_each(|notice| queue.put(notice));
        assert_eq!(all(&mut queue), ["0 1", "a lost", "a found", "0 2"]);
        assert_eq!((queue.merged, queue.last.len()), (0, 0));
    }

    #[test]
    fn what_has_none_takes_the_place_of_what_was_told_of_the_same_and_is_counted() {
        let mut queue = Queue::of(3);
        let told = [status(0, 1), status(1, 1), renewed("a", 1)];
        told.into_iter().for_each(|notice| queue.put(notice));
        for second in 2..100 {
            queue.put(status(1, second));
            queue.put(renewed("a", second));
        }
        queue.put(renewed("b", 5));
        assert_eq!(queue.merged, 2 * 98);
        assert_eq!(all(&mut queue), ["0 1", "1 99", "a 99", "b 5"], "nothing new is left out");
        // With room again everything is told.
        queue.put(status(1, 100));
        queue.put(status(1, 101));
        assert_eq!(all(&mut queue), ["1 100", "1 101"]);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let (teller, mut notices) = notices();
        let told = tokio::spawn(async move { short(&notices.next().await) });
        tokio::task::yield_now().await;
        teller.tell(Notice::Found(node("a")));
        assert_eq!(told.await.unwrap(), "a found");
    }
}
