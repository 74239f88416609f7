//! One line for a cut over many nodes while it acts.

use std::collections::BTreeMap;
use std::time::Duration;

use fault::{Aspect, Cut, FaultId, IntentId, State, Status, Verdict};
use proto::control as wire;

use super::{report, staying};
use crate::output::quantity::{bytes, count, time};
use crate::output::route::{Route, done};
use crate::session::live::{Line, Live, Weight};

/// How many directions or targets the line names; the others are summed up.
const NAMED: usize = 3;

/// What was last told of each part, and of pods that went and came.
#[derive(Debug, Default)]
pub(super) struct Parts {
    states: BTreeMap<FaultId, State>,
    /// `None` before the first look: what was noted by then is told elsewhere.
    notes: Option<Vec<String>>,
}

impl Parts {
    /// Rewrites the line, and says what stays: parts that came to another state, pods that went and came.
    pub(super) fn show(&mut self, live: &mut Live, intent: &wire::Intent) {
        // Of a pod that went another one has taken the place, which is noted.
        let known = staying(intent);
        let before = self.notes.replace(intent.notes.clone());
        for note in
            before.iter().flat_map(|told| intent.notes.iter().filter(|one| !told.contains(one)))
        {
            live.tell(note);
        }
        for status in &known {
            let standing = status.standing();
            let before = self.states.insert(status.fault.id, standing);
            if before.is_some_and(|before| before != standing) {
                live.tell(&format!("{} is {standing}", status.fault.id));
            }
        }
        live.rewrite(&line(intent, &known));
    }
}

fn line(intent: &wire::Intent, known: &[Status]) -> Line {
    let id = IntentId::from_random(intent.id);
    let least = |left: fn(&Status) -> Option<Duration>| {
        known.iter().filter_map(left).min().map_or_else(|| "-".to_owned(), time)
    };
    let worst = known.iter().map(Status::standing).find(|state| *state != State::Active);
    let standing = worst.map_or_else(|| report::stage(intent), |state| state.to_string());
    let mut line = Line::new(format!("{id} {standing}"));
    line.push(Weight::Part, format!("  {} left", least(Status::time_left)));
    line.push(Weight::Detail, format!(", lease {}", least(Status::lease_left)));
    let routes = routes(known);
    for (route, of) in routes.iter().take(NAMED) {
        line.push_detailed(Weight::Part, &format!("  {route}: {}", effect(of)));
    }
    let others: Vec<&Status> = routes.iter().skip(NAMED).flat_map(|(_, of)| of).copied().collect();
    if !others.is_empty() {
        let more = routes.len() - NAMED;
        line.push_detailed(Weight::Aside, &format!("  and {more} more: {}", effect(&others)));
    }
    line
}

/// Parts by what they are about, in their order: a direction that is enforced at both ends is one, and what one
/// end loses never comes to the other.
fn routes(known: &[Status]) -> Vec<(String, Vec<&Status>)> {
    let mut routes: Vec<(String, Vec<&Status>)> = Vec::new();
    for status in known {
        let route = Route::from(&status.fault).to_string();
        let is_cut = status.fault.kind.cut().is_some();
        match routes.iter_mut().find(|(of, _)| is_cut && *of == route) {
            Some((_, of)) => of.push(status),
            None => routes.push((route, vec![status])),
        }
    }
    routes
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
        let mut known: Vec<Status> =
            (0..6).map(|part| specimen::status(part, State::Active, 9, 9)).collect();
        for (number, status) in known.iter_mut().enumerate().skip(2) {
            status.fault.selector = format!("netns:c{number}").parse().unwrap();
        }
        let intent =
            wire::Intent { id: 10, stage: wire::Stage::Active.into(), ..wire::Intent::default() };
        assert_eq!(
            line(&intent, &known).fitting(300),
            "00000000000a active  58s left, lease 13s  netns:a → netns:b: lost 18 packets, 1.8 kB  \
             netns:a → netns:c2: lost 9 packets, 900 B  netns:a → netns:c3: lost 9 packets, 900 B  \
             and 2 more: lost 18 packets, 1.8 kB"
        );
        assert_eq!(
            line(&intent, &known).fitting(80),
            "00000000000a active  58s left  netns:a → netns:b: lost 18 packets …"
        );
        let shadowed = [specimen::status(0, State::Shadowed, 1, 1)];
        let line = line(&intent, &shadowed).fitting(80);
        assert!(line.starts_with("00000000000a shadowed  "), "{line}");
    }
}
