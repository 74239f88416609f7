//! Rules for Rust files.

use std::path::Path;

use super::{
    Violation,
    source::{code_only, has_word},
};

const LONGEST: usize = 600;
const FORBIDDEN_NAMES: [&str; 4] = ["utils", "common", "helpers", "manager"];
/// Where `unsafe` may stand.
const UNSAFE: [&str; 2] = ["agent/src/kernel", "agent-ebpf/"];
/// The two modules that enter a network namespace: the product's and the lab's.
const ENTERS_NAMESPACES: [&str; 2] = ["agent/src/kernel/netns.rs", "lab/src/netns.rs"];
/// Modules that do no IO and read no clock (invariants in ARCHITECTURE.md); a prefix of the path.
const PURE: [&str; 7] = [
    "fault/src/",
    "agent/src/clock",
    "agent/src/plan",
    "agent/src/ledger",
    "agent-ebpf/src/",
    "controller/src/admit",
    "controller/src/sequence",
];
/// The kernel programs themselves, which read the kernel's clock, live beside the pure decision.
const NOT_PURE: [&str; 2] = ["agent-ebpf/src/main.rs", "agent-ebpf/src/bin/"];
/// Tests that bring their own harness: it runs no function that is marked as a test.
const OWN_HARNESS: [&str; 1] = ["controller/tests/root_kubernetes/"];
const IMPURITIES: [&str; 8] = [
    "Instant::now",
    "SystemTime::now",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
    "tokio",
];

/// Checks one Rust file.
pub(super) fn check(file: &Path, text: &str, found: &mut Vec<Violation>) {
    let path = file.to_string_lossy();
    let mut report = |line: usize, rule: String| {
        found.push(Violation { file: file.to_owned(), line, rule });
    };

    if let Some(name) = file.iter().filter_map(|part| part.to_str()).find(|part| forbidden(part)) {
        report(1, format!("`{name}` says nothing: modules are nouns of the domain"));
    }
    // What a generator writes is as long as it is and has the generator's attributes.
    if path.contains("/gen/") {
        return;
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        report(lines, format!("{lines} lines, more than {LONGEST}"));
    }

    let may_be_unsafe = UNSAFE.iter().any(|prefix| path.starts_with(prefix));
    let may_enter = ENTERS_NAMESPACES.contains(&path.as_ref());
    let pure = PURE.iter().any(|prefix| path.starts_with(prefix))
        && !NOT_PURE.iter().any(|prefix| path.starts_with(prefix));
    let own_harness = OWN_HARNESS.iter().any(|prefix| path.starts_with(prefix));
    for (index, line) in code_only(text).lines().enumerate() {
        let number = index + 1;
        let dense: String = line.chars().filter(|character| !character.is_whitespace()).collect();
        if dense.contains("#[allow(") || dense.contains("#![allow(") {
            report(number, "a bare allow: write #[expect(lint, reason = \"…\")]".to_owned());
        }
        if dense.contains("cfg_attr(") && dense.contains(",allow(") {
            report(number, "an allow inside cfg_attr: write expect with a reason".to_owned());
        }
        if !may_be_unsafe && has_word(line, "unsafe") {
            report(number, "unsafe outside agent/src/kernel and agent-ebpf".to_owned());
        }
        if !may_enter && dense.contains("setns(") {
            report(number, "setns outside agent/src/kernel/netns.rs".to_owned());
        }
        if own_harness && dense.contains("#[test]") {
            report(number, "nobody runs it: a case stands in the list of main.rs".to_owned());
        }
        if pure && let Some(impurity) = IMPURITIES.iter().find(|word| has_word(line, word)) {
            report(number, format!("{impurity} in a module that does no IO and reads no clock"));
        }
    }
}

fn forbidden(part: &str) -> bool {
    FORBIDDEN_NAMES.contains(&part.strip_suffix(".rs").unwrap_or(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(file: &str, text: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        check(Path::new(file), text, &mut found);
        found.into_iter().map(|violation| (violation.line, violation.rule)).collect()
    }

    #[test]
    fn a_file_may_have_600_lines() {
        assert!(rules("agent/src/worker.rs", &"x;\n".repeat(600)).is_empty());
        assert_eq!(rules("agent/src/worker.rs", &"x;\n".repeat(601)).len(), 1);
        assert!(rules("proto/src/gen/v1.rs", &"x;\n".repeat(601)).is_empty());
    }

    #[test]
    fn allow_is_found_with_its_line() {
        assert_eq!(rules("agent/src/a.rs", "x;\n#[allow(dead_code)]\n")[0].0, 2);
        assert_eq!(rules("agent/src/a.rs", "#! [ allow(dead_code)]\n").len(), 1);
        assert_eq!(rules("agent/src/a.rs", "#[cfg_attr(test, allow(dead_code))]\n").len(), 1);
        assert!(rules("agent/src/a.rs", "// #[allow(dead_code)]\n").is_empty());
    }

    #[test]
    fn a_test_that_nobody_would_run_is_found() {
        let text = "#[test]\nfn a() {}\n";
        assert_eq!(rules("controller/tests/root_kubernetes/pods.rs", text)[0].0, 1);
        assert!(rules("controller/tests/root_cli/cut.rs", text).is_empty());
    }

    #[test]
    fn unsafe_has_its_places() {
        assert_eq!(rules("agent/src/plan.rs", "unsafe {}\n").len(), 1);
        assert!(rules("agent/src/kernel/tc.rs", "unsafe {}\n").is_empty());
        assert!(rules("agent-ebpf/src/main.rs", "unsafe {}\n").is_empty());
        assert!(rules("agent/src/plan.rs", "#![deny(unsafe_code)]\n").is_empty());
    }

    #[test]
    fn one_module_enters_namespaces() {
        assert_eq!(rules("agent/src/kernel/tc.rs", "setns(fd, flags)?;\n").len(), 1);
        assert!(rules("agent/src/kernel/netns.rs", "setns(fd, flags)?;\n").is_empty());
    }

    #[test]
    fn pure_modules_do_nothing() {
        assert_eq!(rules("agent/src/ledger/lease.rs", "let now = Instant::now();\n").len(), 1);
        assert_eq!(rules("fault/src/plan.rs", "use tokio::sync::mpsc;\n").len(), 1);
        assert!(rules("agent/src/server.rs", "use tokio::sync::mpsc;\n").is_empty());
    }

    #[test]
    fn names_say_something() {
        assert_eq!(rules("agent/src/utils.rs", "").len(), 1);
        assert_eq!(rules("agent/src/common/x.rs", "").len(), 1);
        assert!(rules("agent/src/commonality.rs", "").is_empty());
    }
}
