//! Rules for Cargo manifests.

use std::path::Path;

use super::Violation;

/// Checks that a member's manifest inherits the lints of the workspace.
pub(super) fn check(file: &Path, text: &str, found: &mut Vec<Violation>) {
    let of_member = file.file_name().is_some_and(|name| name == "Cargo.toml")
        && file.components().count() > 1
        && text.lines().any(|line| line.trim() == "[package]");
    // A package that is a workspace of its own (a fuzz target) has nothing to inherit.
    let own_workspace = text.lines().any(|line| line.trim() == "[workspace]");
    if of_member && !own_workspace && !inherits_lints(text) {
        let rule = "no `[lints] workspace = true`".to_owned();
        found.push(Violation { file: file.to_owned(), line: 1, rule });
    }
}

fn inherits_lints(text: &str) -> bool {
    let mut in_lints = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_lints = line == "[lints]";
        }
        let dense: String = line.chars().filter(|character| *character != ' ').collect();
        if in_lints && dense == "workspace=true" || dense == "lints.workspace=true" {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(file: &str, text: &str) -> bool {
        let mut found = Vec::new();
        check(Path::new(file), text, &mut found);
        !found.is_empty()
    }

    #[test]
    fn members_inherit_the_lints() {
        assert!(!broken(
            "agent/Cargo.toml",
            "[package]\nname = \"a\"\n[lints]\nworkspace = true\n"
        ));
        assert!(broken(
            "agent/Cargo.toml",
            "[package]\nname = \"a\"\n[lints.rust]\nx = \"deny\"\n"
        ));
        assert!(broken("agent/Cargo.toml", "[package]\n[lints]\n[dependencies]\nworkspace = true"));
        assert!(!broken("Cargo.toml", "[workspace]\n"));
    }
}
