//! What a run is told of the ends of its faults. What is told of one that is being replaced is kept back until it is
//! known what came of that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use experiment::model::FaultLabel;
use experiment::run::Event;
use tokio::sync::mpsc;

/// Whoever tells a run. Clones tell the same one.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    events: mpsc::UnboundedSender<Event>,
    kept: Arc<Mutex<HashMap<FaultLabel, Kept>>>,
}

/// Why something is not told of a fault at once.
#[derive(Debug)]
enum Kept {
    /// It is being replaced; what would have been told.
    Back(Vec<Event>),
    /// It was replaced, and that was all.
    Settled,
}

/// Keeps back what is told of a fault. Without a word ([`Hold::settle`]) it is told when this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    teller: Teller,
    label: FaultLabel,
}

impl Teller {
    /// By this channel.
    pub(crate) fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        Self { events, kept: Arc::default() }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<FaultLabel, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody listens any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.events.is_closed()
    }

    /// Tells something of a fault.
    pub(crate) fn tell(&self, label: &FaultLabel, event: Event) {
        let mut kept = self.kept();
        match kept.get_mut(label) {
            Some(Kept::Back(events)) => events.push(event),
            Some(Kept::Settled) => {}
            // The run may be over.
            None => drop(self.events.send(event)),
        }
    }

    /// Keeps back what is told of a fault that is to be replaced.
    pub(crate) fn hold(&self, label: &FaultLabel) -> Hold {
        self.kept().insert(label.clone(), Kept::Back(Vec::new()));
        Hold { teller: self.clone(), label: label.clone() }
    }
}

impl Hold {
    /// The fault is out, and this is what is told of it; nothing else is, now or later.
    pub(crate) fn settle(self, told: Vec<Event>) {
        self.teller.kept().insert(self.label.clone(), Kept::Settled);
        for event in told {
            // The run may be over.
            let _ = self.teller.events.send(event);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut kept = self.teller.kept();
        if !matches!(kept.get(&self.label), Some(Kept::Back(_))) {
            return;
        }
        if let Some(Kept::Back(events)) = kept.remove(&self.label) {
            for event in events {
                let _ = self.teller.events.send(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use experiment::run::Effect;

    use super::*;

    fn label(name: &str) -> FaultLabel {
        name.parse().unwrap()
    }

    fn broke(name: &str) -> Event {
        Event::FaultBroke(label(name), "healed by somebody else".to_owned())
    }

    fn told(heard: &mut mpsc::UnboundedReceiver<Event>) -> Vec<Event> {
        std::iter::from_fn(|| heard.try_recv().ok()).collect()
    }

    #[test]
    fn of_a_fault_that_was_not_replaced_everything_is_told() {
        let (events, mut heard) = mpsc::unbounded_channel();
        let teller = Teller::new(events);
        let hold = teller.hold(&label("one"));
        teller.tell(&label("one"), broke("one"));
        teller.tell(&label("other"), broke("other"));
        assert_eq!(told(&mut heard), [broke("other")]);
        drop(hold);
        assert_eq!(told(&mut heard), [broke("one")]);
        teller.tell(&label("one"), broke("one"));
        assert_eq!(told(&mut heard), [broke("one")], "nor is what comes later lost");
    }

    #[test]
    fn one_that_was_replaced_has_ended_and_not_broken_off() {
        let (events, mut heard) = mpsc::unbounded_channel();
        let teller = Teller::new(events);
        let hold = teller.hold(&label("one"));
        teller.tell(&label("one"), broke("one"));
        let ended = Event::FaultEnded(label("one"), Effect::default());
        hold.settle(vec![ended.clone()]);
        teller.tell(&label("one"), broke("one"));
        assert_eq!(told(&mut heard), [ended]);
    }
}
