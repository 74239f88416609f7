//! What people see of a run: lines that stay, and on a terminal one below them that is rewritten with what
//! goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use experiment::run::{Progress, Section};
use fault::OnOneLine;
use tokio::time::Instant;

use super::faults::Faults;
use super::outlets::place;
use crate::output::quantity::time;
use crate::output::{Audience, Output};
use crate::session::live::{Line, Live};

/// From one rewriting to the next (200 ms).
pub(super) const EVERY: Duration = Duration::from_millis(200);
/// From one look at the faults to the next (1 s).
const LOOK: Duration = Duration::from_secs(1);

/// What people see.
pub(super) struct View {
    live: Live,
    audience: Audience,
    faults: Arc<Faults>,
    began: Instant,
    steps: Vec<(Section, String, Instant)>,
    steady: Option<(Section, bool)>,
    /// What was last heard of the faults that act.
    acting: Arc<Mutex<Vec<String>>>,
    looked: Option<Instant>,
}

impl View {
    pub(super) fn new(output: Output, faults: Arc<Faults>) -> Self {
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
            let (faults, acting) = (Arc::clone(&self.faults), Arc::clone(&self.acting));
            tokio::spawn(async move {
                let heard = faults.acting().await;
                *acting.lock().unwrap_or_else(PoisonError::into_inner) = heard;
            });
        }
        self.live.rewrite(&Line::new(self.line(now)));
    }

    fn line(&self, now: Instant) -> String {
        let mut line = format!("  {}", time(now - self.began));
        for (section, name, since) in &self.steps {
            let name = OnOneLine(name);
            line.push_str(&format!("  {}: {name} {}", place(*section), time(now - *since)));
        }
        if let Some((section, met)) = self.steady {
            let mark = if met { '✓' } else { '✗' };
            line.push_str(&format!("  steady {mark} ({})", place(section)));
        }
        for fault in self.acting.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            line.push_str(&format!("  ! {fault}"));
        }
        line
    }
}
