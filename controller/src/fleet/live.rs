//! One line for a cut over many nodes while it acts.

use std::collections::BTreeMap;
use std::time::Duration;

use fault::{Aspect, Cut, FaultId, IntentId, State, Status, Verdict};
use proto::control as wire;

use super::{report, statuses};
use crate::output::quantity::{bytes, count, time};
use crate::output::route::{Route, done};
use crate::session::live::Live;

/// How many parts the line names; the others are summed up.
const NAMED: usize = 3;

/// What was last told of each part.
#[derive(Debug, Default)]
pub(super) struct Parts(BTreeMap<FaultId, State>);

impl Parts {
    /// Rewrites the line, and says what stays: parts that came to another state.
    pub(super) fn show(&mut self, live: &mut Live, intent: &wire::Intent) {
        let known = statuses(intent);
        for status in &known {
            let standing = status.standing();
            let before = self.0.insert(status.fault.id, standing);
            if before.is_some_and(|before| before != standing) {
                live.tell(&format!("{} is {standing}", status.fault.id));
            }
        }
        live.rewrite(&line(intent, &known));
    }
}

fn line(intent: &wire::Intent, known: &[Status]) -> String {
    let id = IntentId::from_random(intent.id);
    let least = |left: fn(&Status) -> Option<Duration>| {
        known.iter().filter_map(left).min().map_or_else(|| "-".to_owned(), time)
    };
    let worst = known.iter().map(Status::standing).find(|state| *state != State::Active);
    let standing = worst.map_or_else(|| report::stage(intent), |state| state.to_string());
    let mut line = format!(
        "{id} {standing}  {} left, lease {}",
        least(Status::time_left),
        least(Status::lease_left)
    );
    for status in known.iter().take(NAMED) {
        line.push_str(&format!("  {}: {}", Route::from(&status.fault), effect(&[status])));
    }
    let others: Vec<&Status> = known.iter().skip(NAMED).collect();
    if !others.is_empty() {
        line.push_str(&format!("  and {} more: {}", others.len(), effect(&others)));
    }
    line
}

fn effect(of: &[&Status]) -> String {
    if let [one] = of
        && one.fault.kind.aspect() == Aspect::Processes
    {
        return done(one);
    }
    let counts = |cut: &Cut| cut.verdict == Verdict::Count;
    let shadow = of.iter().all(|status| status.fault.kind.cut().is_none_or(counts));
    let lost = of.iter().map(|status| status.effect.lost).sum();
    let size = of.iter().map(|status| status.effect.lost_bytes).sum();
    let verb = if shadow { "would have lost" } else { "lost" };
    format!("{verb} {}, {}", count(lost, "packet"), bytes(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::specimen;

    #[test]
    fn the_line_names_some_and_counts_the_others() {
        let known: Vec<Status> =
            (0..5).map(|part| specimen::status(part, State::Active, 9, 9)).collect();
        let intent =
            wire::Intent { id: 10, stage: wire::Stage::Active.into(), ..wire::Intent::default() };
        assert_eq!(
            line(&intent, &known),
            "00000000000a active  58s left, lease 13s  netns:a → netns:b: lost 9 packets, 900 B  \
             netns:a → netns:b: lost 9 packets, 900 B  netns:a → netns:b: lost 9 packets, 900 B  \
             and 2 more: lost 18 packets, 1.8 kB"
        );
        let shadowed = [specimen::status(0, State::Shadowed, 1, 1)];
        assert!(line(&intent, &shadowed).starts_with("00000000000a shadowed  "));
    }
}
