//! What was typed.

use anyhow::{Result, bail};
use lab::zeebe::Options;

/// How it is typed.
const USAGE: &str = "schism-lab zeebe up [--brokers 3|5] | down | status";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Start a cluster, and keep it until somebody ends it.
    Up(Options),
    /// End the one that runs.
    Down,
    /// Say how it is.
    Status,
    /// The same, in a process that is where the cluster can be reached.
    StatusInside,
}

pub(crate) fn parse(words: &[String]) -> Result<Asked> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(match words.as_slice() {
        ["zeebe", "up"] => Asked::Up(Options::default()),
        ["zeebe", "up", "--brokers", count @ ("3" | "5")] => {
            Asked::Up(Options { brokers: count.parse()?, ..Options::default() })
        }
        ["zeebe", "down"] => Asked::Down,
        ["zeebe", "status"] => Asked::Status,
        ["zeebe", "status", "--inside"] => Asked::StatusInside,
        _ => bail!("`{}` is not understood; there is {USAGE}", words.join(" ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_understood_or_refused() {
        let asked =
            |line: &str| parse(&line.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>()).ok();
        let five = Options { brokers: 5, ..Options::default() };
        assert_eq!(asked("zeebe up"), Some(Asked::Up(Options::default())));
        assert_eq!(asked("zeebe up --brokers 5"), Some(Asked::Up(five)));
        assert_eq!(asked("zeebe down"), Some(Asked::Down));
        for wrong in ["zeebe up --brokers 4", "zeebe", "etcd up", "zeebe status x"] {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
    }
}
