//! A line that is rewritten: where it does not fit, what matters least is left out. Pure.

use std::cmp::Reverse;

/// How much a piece of a line matters, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// A figure beside another one: nobody misses it.
    Detail,
    /// Worth a look.
    Aside,
    /// One of what the line is about.
    Part,
    /// Without it the line says nothing.
    Main,
}

/// Pieces in their order, each with the blanks before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Weight, String)>);

/// Stands for what was left out.
const MORE: &str = " …";

impl Line {
    /// A line that begins with what it is about.
    pub(crate) fn new(main: impl Into<String>) -> Self {
        Self(vec![(Weight::Main, main.into())])
    }

    /// Adds a piece.
    pub(crate) fn push(&mut self, weight: Weight, text: impl Into<String>) {
        self.0.push((weight, text.into()));
    }

    /// Adds a piece of which what follows its first comma is a detail.
    pub(crate) fn push_detailed(&mut self, weight: Weight, text: &str) {
        let (head, detail) = text.split_at(text.find(", ").unwrap_or(text.len()));
        self.push(weight, head);
        self.push(Weight::Detail, detail);
    }

    /// As much of it as a terminal of so many columns shows without wrapping it, which could not be rewritten.
    /// Of what matters as much the last goes first, and marks what is missed.
    pub(crate) fn fitting(&self, columns: usize) -> String {
        let room = columns.saturating_sub(1);
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_by_key(|at| (self.0[*at].0, Reverse(*at)));
        let mut left_out = vec![false; self.0.len()];
        let mut text = self.text(&left_out);
        for at in order {
            if length(&text) <= room || self.0[at].0 == Weight::Main {
                break;
            }
            left_out[at] = true;
            text = self.text(&left_out);
        }
        if length(&text) <= room {
            return text;
        }
        text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
    }

    fn text(&self, left_out: &[bool]) -> String {
        let mut text = String::new();
        let mut missed = false;
        for ((weight, piece), left_out) in self.0.iter().zip(left_out) {
            if !left_out {
                text.push_str(piece);
            } else if *weight > Weight::Detail {
                missed = true;
            }
        }
        if missed {
            text.push_str(MORE);
        }
        text
    }
}

/// Columns that a text takes: names and numbers are letters one column wide.
fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let mut line = Line::new("0a active");
        line.push(Weight::Part, "  57s left");
        line.push(Weight::Detail, ", lease 12s");
        line.push_detailed(Weight::Part, "  a → b: lost 9 packets, 900 B");
        line.push_detailed(Weight::Part, "  b → a: lost 1 packet, 100 B");
        line.push(Weight::Aside, "  and 2 more");
        line
    }

    #[test]
    fn what_matters_least_is_left_out_first() {
        let table = [
            (
                120,
                "0a active  57s left, lease 12s  a → b: lost 9 packets, 900 B  b → a: lost 1 packet, 100 B  \
                 and 2 more",
            ),
            (
                100,
                "0a active  57s left, lease 12s  a → b: lost 9 packets, 900 B  b → a: lost 1 packet  \
                 and 2 more",
            ),
            (
                92,
                "0a active  57s left, lease 12s  a → b: lost 9 packets  b → a: lost 1 packet  and 2 more",
            ),
            (80, "0a active  57s left  a → b: lost 9 packets  b → a: lost 1 packet  and 2 more"),
            (70, "0a active  57s left  a → b: lost 9 packets  b → a: lost 1 packet …"),
            (50, "0a active  57s left  a → b: lost 9 packets …"),
            (30, "0a active  57s left …"),
            (20, "0a active …"),
            (10, "0a activ…"),
            (3, "0…"),
        ];
        for (columns, expected) in table {
            assert_eq!(line().fitting(columns), expected, "{columns}");
        }
    }

    #[test]
    fn no_line_is_as_wide_as_its_terminal() {
        for columns in 2..140 {
            let text = line().fitting(columns);
            assert!(length(&text) < columns, "{columns}: {text}");
        }
    }

    #[test]
    fn details_are_left_out_without_a_mark() {
        let mut line = Line::new("a");
        line.push(Weight::Detail, ", b");
        assert_eq!(line.fitting(3), "a");
        assert_eq!(line.fitting(5), "a, b");
    }
}
