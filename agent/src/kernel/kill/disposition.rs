//! What a process does with a signal, by what anybody can see of it in /proc (proc_pid_status(5)).

use std::fs;

use fault::Signal;

/// Whether a signal changes nothing when it is sent now: it is ignored or kept waiting, or is for the first
/// process of a namespace, which gets only what it asked for (pid_namespaces(7)).
pub(super) fn leaves_alone(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    signal != Signal::Kill && is_deaf(&status, signal)
}

fn is_deaf(status: &str, signal: Signal) -> bool {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim()
    };
    let bit = 1_u64 << (signal.number() - 1);
    let has = |name| u64::from_str_radix(field(name), 16).is_ok_and(|mask| mask & bit != 0);
    let first = field("NSpid").split_whitespace().count() > 1
        && field("NSpid").split_whitespace().next_back() == Some("1");
    has("SigIgn") || has("SigBlk") || (first && !has("SigCgt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(spaces: &str, blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tx\nNSpid:\t{spaces}\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\n\
             SigCgt:\t{caught:016x}\n"
        )
    }

    #[test]
    fn who_does_nothing_about_a_signal() {
        const TERM: u64 = 1 << 14;
        let table = [
            (status("4711", 0, 0, 0), false, "it ends by default"),
            (status("4711", 0, 0, TERM), false, "it is told"),
            (status("4711", 0, TERM, 0), true, "it ignores it"),
            (status("4711", TERM, 0, TERM), true, "it waits"),
            (status("4711 1", 0, 0, 0), true, "the first of a namespace never asked for it"),
            (status("4711 1", 0, 0, TERM), false, "it did"),
            (status("4711 12", 0, 0, 0), false, "another one of a namespace"),
            (status("1", 0, 0, 0), false, "of the node's own there is no outside"),
            (String::new(), false, "it has ended"),
        ];
        for (status, expected, why) in table {
            assert_eq!(is_deaf(&status, Signal::Terminate), expected, "{why}");
        }
    }
}
