//! What people see of a run: lines that stay, and on a terminal one below them that is rewritten with what
//! goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use experiment::run::{Progress, Section};
use fault::Legible;
use tokio::time::Instant;

use super::faults::acting::{Acting, Sight};
use super::outlets::place;
use crate::output::quantity::time;
use crate::output::{Audience, Output};
use crate::session::live::{Line, Live, Weight};

/// From one rewriting to the next (200 ms).
pub(super) const EVERY: Duration = Duration::from_millis(200);
/// From one look at the faults to the next (1 s).
const LOOK: Duration = Duration::from_secs(1);

/// What people see.
pub(super) struct View {
    live: Live,
    audience: Audience,
    faults: Sight,
    began: Instant,
    steps: Vec<(Section, String, Instant)>,
    steady: Option<(Section, bool)>,
    /// What was last heard of the faults that act.
    acting: Arc<Mutex<Vec<Acting>>>,
    looked: Option<Instant>,
}

impl View {
    pub(super) fn new(output: Output, faults: Sight) -> Self {
        Self {
            live: Live::new(output),
            audience: output.audience(),
            faults,
            began: Instant::now(),
            steps: Vec::new(),
            steady: None,
            acting: Arc::default(),
            looked: None,
        }
    }

    /// Whether it wants to be drawn again and again.
    pub(super) const fn is_live(&self) -> bool {
        match self.audience {
            Audience::Terminal => true,
            Audience::File => false,
        }
    }

    /// Says something that stays.
    pub(super) fn tell(&mut self, text: &str) {
        self.live.tell(text);
        self.draw();
    }

    /// Takes note of what goes on.
    pub(super) fn hear(&mut self, progress: &Progress) {
        match progress {
            Progress::StepBegan { section, name, .. } => {
                self.steps.push((*section, name.clone(), Instant::now()));
            }
            Progress::StepEnded { section, name, .. } => {
                let is_it =
                    |step: &(Section, String, Instant)| step.0 == *section && step.1 == *name;
                if let Some(at) = self.steps.iter().position(is_it) {
                    self.steps.remove(at);
                }
            }
            Progress::EvaluationEnded { section, met, .. } => self.steady = Some((*section, *met)),
            Progress::FaultBegan(_) | Progress::FaultEnded(..) => self.looked = None,
            Progress::RunEnded { .. } => {
                self.steps.clear();
                self.live.clear();
                self.audience = Audience::File;
            }
            Progress::RunBegan { .. }
            | Progress::EvaluationBegan(_)
            | Progress::MethodBegan
            | Progress::MethodEnded
            | Progress::RollbacksBegan
            | Progress::RollbacksEnded
            | Progress::RollbacksLeftOut
            | Progress::Pause { .. }
            | Progress::FaultBroke(..)
            | Progress::FaultLost(..)
            | Progress::FaultUnconfirmed(..)
            | Progress::Interrupted(_)
            | Progress::Noted(_) => (),
        }
    }

    /// Rewrites the line.
    pub(super) fn draw(&mut self) {
        if !self.is_live() {
            return;
        }
        let now = Instant::now();
        if self.looked.is_none_or(|looked| now - looked >= LOOK) {
            self.looked = Some(now);
            let (faults, acting) = (self.faults.clone(), Arc::clone(&self.acting));
            tokio::spawn(async move {
                let heard = faults.acting().await;
                *acting.lock().unwrap_or_else(PoisonError::into_inner) = heard;
            });
        }
        self.live.rewrite(&self.line(now));
    }

    fn line(&self, now: Instant) -> Line {
        let acting = self.acting.lock().unwrap_or_else(PoisonError::into_inner);
        let steps: Vec<_> = self
            .steps
            .iter()
            .map(|(section, name, since)| (*section, &**name, now - *since))
            .collect();
        line(now - self.began, &steps, self.steady, &acting)
    }
}

/// What goes on: for how long the run lasts, its steps and how long each has taken, whether the steady state was
/// met, and what acts. The step that began last is shown as long as anything is, of a long name the beginning.
fn line(
    lasted: Duration,
    steps: &[(Section, &str, Duration)],
    steady: Option<(Section, bool)>,
    acting: &[Acting],
) -> Line {
    let mut line = Line::new(format!("  {}", time(lasted)));
    for (number, (section, name, took)) in steps.iter().enumerate() {
        let weight = if number + 1 == steps.len() { Weight::Main } else { Weight::Aside };
        let step = format!("  {}: {}", place(*section), Legible(name));
        line.push(weight, step);
        line.push(Weight::Detail, format!(" {}", time(*took)));
    }
    for fault in acting {
        let [left, lease] = fault.times();
        line.push_detailed(Weight::Part, &format!("  ! {}", fault.doing));
        line.push(Weight::Aside, left);
        line.push(Weight::Detail, lease);
    }
    if let Some((section, met)) = steady {
        let mark = if met { '✓' } else { '✗' };
        line.push(Weight::Part, format!("  steady {mark}"));
        line.push(Weight::Detail, format!(" ({})", place(section)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_keeps_the_step_and_the_fault() {
        let seconds = Duration::from_secs;
        let acting = Acting {
            doing: "the-cut: lost 9 packets, 900 B".to_owned(),
            left: Some(seconds(50)),
            lease: Some(seconds(12)),
        };
        let steps = [
            (Section::Method, "write in the background", seconds(9)),
            (Section::Method, "read back", seconds(3)),
        ];
        let line = line(seconds(10), &steps, Some((Section::During(4), true)), &[acting]);
        let table = [
            (
                200,
                "  10s  method: write in the background 9s  method: read back 3s  ! the-cut: lost 9 packets, \
                 900 B, left 50s, lease 12s  steady ✓ (during #4)",
            ),
            (
                120,
                "  10s  method: write in the background 9s  method: read back 3s  ! the-cut: lost 9 packets, \
                 900 B, left 50s  steady ✓",
            ),
            (80, "  10s  method: read back  ! the-cut: lost 9 packets  steady ✓ …"),
            (60, "  10s  method: read back  ! the-cut: lost 9 packets …"),
            (40, "  10s  method: read back …"),
        ];
        for (columns, expected) in table {
            assert_eq!(line.fitting(columns), expected, "{columns}");
        }
    }
}
