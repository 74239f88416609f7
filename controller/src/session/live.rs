//! Progress while faults act: one line that is rewritten on a terminal, added lines elsewhere.

use std::io::Write;
use std::time::{Duration, Instant};

use fault::{State, Status};

use super::{LIVE, QUIET, Watch};
use crate::output::quantity::time;
use crate::output::route::{Route, done};
use crate::output::{Audience, Output};

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
    pub(crate) fn rewrite(&self, line: &str) {
        match self.audience {
            Audience::Terminal => {
                let width = terminal_size::terminal_size_of(std::io::stderr())
                    .map_or(NARROW, |(width, _)| width.0);
                self.write(&format!("{CLEAR}{}", fitting(line, width.into())));
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
fn line(watch: &Watch, now: Instant) -> String {
    let Some(first) = watch.statuses().next() else { return String::new() };
    let worst = watch.statuses().map(Status::standing).find(|state| *state != State::Active);
    let mut line = format!(
        "{} {}  {} left, lease {}",
        first.fault.id.intent,
        worst.unwrap_or(State::Active),
        time(watch.time_left_at(now)),
        time(watch.lease_left_at(now)),
    );
    for status in watch.statuses() {
        line.push_str(&format!("  {}: {}", Route::from(&status.fault), done(status)));
    }
    line
}

/// As much of a line as a terminal shows without wrapping it, which could not be rewritten.
fn fitting(line: &str, width: usize) -> String {
    let room = width.saturating_sub(1);
    if line.chars().count() <= room {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(room.saturating_sub(1)).collect();
    cut.push('…');
    cut
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
        let text = line(&Watch::new(statuses, now), now + Duration::from_millis(500));
        assert_eq!(
            text,
            "00000000000a shadowed  57.5s left, lease 12.5s  netns:a → netns:b: lost 9 packets, \
             900 B  netns:a → netns:b: lost 1 packet, 100 B"
        );
        assert_eq!(fitting(&text, 21), "00000000000a shadow…");
        assert_eq!(fitting("short", 80), "short");
    }
}
