//! What a pinger saw.

use std::time::Duration;

use crate::clock::BootTime;

/// One datagram that was sent. The kernel judged it between the two moments: over veth, the
/// receiver's ingress runs inside the sender's system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Just before the system call.
    pub before: BootTime,
    /// Just after it.
    pub after: BootTime,
}

/// Datagrams that were lost one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The last datagram that arrived before; `None` when none did.
    pub last_before: Option<Sending>,
    /// The first one that was lost.
    pub first_lost: Sending,
    /// The last one that was lost.
    pub last_lost: Sending,
    /// The first one that arrived again; `None` when none did.
    pub first_after: Option<Sending>,
    /// How many were lost.
    pub lost: u32,
}

impl Outage {
    /// When it began at the latest, and how much earlier it may have begun.
    #[must_use]
    pub fn began(&self) -> (BootTime, Duration) {
        let latest = self.first_lost.after;
        let earliest = self.last_before.map_or(self.first_lost.before, |sending| sending.before);
        (latest, latest - earliest)
    }

    /// When it had ended at the latest, and how much earlier it may have ended; `None` while it
    /// lasts.
    #[must_use]
    pub fn ended(&self) -> Option<(BootTime, Duration)> {
        let latest = self.first_after?.after;
        Some((latest, latest - self.last_lost.before))
    }

    /// How long it lasted at least: from the first to the last datagram that was lost.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.last_lost.before - self.first_lost.after
    }
}

/// Everything that a pinger sent, and what of it arrived when.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Every datagram, by its number.
    pub sent: Vec<Sending>,
    /// When the datagram of the same number arrived.
    pub arrived: Vec<Option<BootTime>>,
}

impl Recording {
    pub(super) fn new(sent: Vec<Sending>, arrivals: &[(u32, BootTime)]) -> Self {
        let mut arrived = vec![None; sent.len()];
        for (number, at) in arrivals {
            if let Some(slot @ None) = arrived.get_mut(*number as usize) {
                *slot = Some(*at);
            }
        }
        Self { sent, arrived }
    }

    /// How many arrived.
    #[must_use]
    pub fn delivered(&self) -> usize {
        self.arrived.iter().flatten().count()
    }

    /// Every run of lost datagrams, in order. A single one counts.
    #[must_use]
    pub fn outages(&self) -> Vec<Outage> {
        let mut outages = Vec::new();
        let mut last_before = None;
        let mut open: Option<Outage> = None;
        for (sending, arrived) in self.sent.iter().copied().zip(&self.arrived) {
            if arrived.is_some() {
                if let Some(outage) = open.take() {
                    outages.push(Outage { first_after: Some(sending), ..outage });
                }
                last_before = Some(sending);
                continue;
            }
            let outage = open.get_or_insert(Outage {
                last_before,
                first_lost: sending,
                last_lost: sending,
                first_after: None,
                lost: 0,
            });
            outage.last_lost = sending;
            outage.lost += 1;
        }
        outages.extend(open);
        outages
    }

    /// The run that lost the most datagrams.
    #[must_use]
    pub fn longest_outage(&self) -> Option<Outage> {
        self.outages().into_iter().max_by_key(|outage| outage.lost)
    }

    /// The longest time between two datagrams that were sent: what the sender could not see.
    #[must_use]
    pub fn longest_pause(&self) -> Duration {
        let pauses = self.sent.windows(2).map(|pair| pair[1].before - pair[0].before);
        pauses.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sending(number: u64) -> Sending {
        let before = BootTime::from_nanos(number * 100);
        Sending { before, after: before + Duration::from_nanos(10) }
    }

    fn recording(arrived: &[bool]) -> Recording {
        let sent = (0..).map(sending).take(arrived.len()).collect();
        let arrivals: Vec<(u32, BootTime)> = (0..)
            .zip(arrived)
            .filter(|(_, arrived)| **arrived)
            .map(|(number, _)| (number, BootTime::from_nanos(0)))
            .collect();
        Recording::new(sent, &arrivals)
    }

    #[test]
    fn an_outage_is_bounded_on_both_sides() {
        let recording = recording(&[true, true, false, false, false, true]);
        let [outage] = recording.outages()[..] else { panic!("one outage") };
        assert_eq!(outage.lost, 3);
        assert_eq!(outage.began(), (sending(2).after, Duration::from_nanos(110)));
        assert_eq!(outage.ended(), Some((sending(5).after, Duration::from_nanos(110))));
        assert_eq!(outage.duration(), Duration::from_nanos(190));
    }

    #[test]
    fn outages_at_the_edges_are_open() {
        let outages = recording(&[false, true, false]).outages();
        assert_eq!(outages.len(), 2);
        assert_eq!(outages[0].last_before, None);
        assert_eq!(outages[1].ended(), None);
    }
}
