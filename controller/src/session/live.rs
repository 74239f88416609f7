//! Progress while faults act: one line that is rewritten on a terminal, added lines elsewhere.

mod line;

use std::io::Write;
use std::time::{Duration, Instant};

use fault::{State, Status};

use super::{LIVE, QUIET, Watch};
use crate::output::quantity::time;
use crate::output::route::{Route, done};
use crate::output::{Audience, Output};
pub(crate) use line::{Line, Weight};

/// Where the progress goes.
#[derive(Debug)]
pub(crate) struct Live {
    output: Output,
    audience: Audience,
}

/// Back to the start of the line and nothing in it.
const CLEAR: &str = "\r\x1b[K";
/// What a terminal has at least, if it does not say.
const NARROW: u16 = 80;

impl Live {
    pub(crate) fn new(output: Output) -> Self {
        Self { output, audience: output.audience() }
    }

    /// How often effects are worth being reported.
    pub(crate) const fn interval(&self) -> Duration {
        match self.audience {
            Audience::Terminal => LIVE,
            Audience::File => QUIET,
        }
    }

    /// Says what does not act yet.
    pub(crate) fn begin(&mut self, watch: &Watch) {
        for status in watch.statuses() {
            let standing = status.standing();
            if standing != State::Active {
                self.tell(&format!("{} is {standing}", status.fault.id));
            }
        }
    }

    /// Says something that stays.
    pub(crate) fn tell(&mut self, text: &str) {
        self.clear();
        self.output.note(text);
    }

    /// Rewrites the line with how the faults stand.
    pub(crate) fn draw(&self, watch: &Watch) {
        self.rewrite(&line(watch, Instant::now()));
    }

    /// Rewrites the line.
    pub(crate) fn rewrite(&self, line: &Line) {
        match self.audience {
            Audience::Terminal => {
                let width = terminal_size::terminal_size_of(std::io::stderr())
                    .map_or(NARROW, |(width, _)| width.0);
                self.write(&format!("{CLEAR}{}", line.fitting(width.into())));
            }
            Audience::File => {}
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        match self.audience {
            Audience::Terminal => self.write(CLEAR),
            Audience::File => {}
        }
    }

    fn write(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        // A terminal that went away is told nothing more; the cut goes on.
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}

/// The faults in one line.
fn line(watch: &Watch, now: Instant) -> Line {
    let Some(first) = watch.statuses().next() else { return Line::default() };
    let worst = watch.statuses().map(Status::standing).find(|state| *state != State::Active);
    let mut line =
        Line::new(format!("{} {}", first.fault.id.intent, worst.unwrap_or(State::Active)));
    line.push(Weight::Part, format!("  {} left", time(watch.time_left_at(now))));
    line.push(Weight::Detail, format!(", lease {}", time(watch.lease_left_at(now))));
    for status in watch.statuses() {
        let done = format!("  {}: {}", Route::from(&status.fault), done(status));
        line.push_detailed(Weight::Part, &done);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::specimen;

    #[test]
    fn the_line() {
        let now = Instant::now();
        let statuses = vec![
            specimen::status(0, State::Active, 9, 9),
            specimen::status(1, State::Shadowed, 1, 1),
        ];
        let line = line(&Watch::new(statuses, now), now + Duration::from_millis(500));
        assert_eq!(
            line.fitting(200),
            "00000000000a shadowed  57.5s left, lease 12.5s  netns:a → netns:b: lost 9 packets, \
             900 B  netns:a → netns:b: lost 1 packet, 100 B"
        );
        assert_eq!(
            line.fitting(80),
            "00000000000a shadowed  57.5s left  netns:a → netns:b: lost 9 packets …"
        );
    }
}
