//! Rules for Cargo manifests.

use std::{collections::HashMap, path::Path};

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

/// Checks that no two of these manifests build a binary of one name: cargo writes both to the same
/// file of the target directory, and the last one wins.
pub(super) fn check_binaries(manifests: &[(&Path, &str)], found: &mut Vec<Violation>) {
    let mut owners: HashMap<&str, &Path> = HashMap::new();
    for (file, text) in manifests {
        for (line, name) in binaries(text) {
            if let Some(other) = owners.insert(name, file) {
                let rule = format!("the binary `{name}` is also built by {}", other.display());
                found.push(Violation { file: (*file).to_owned(), line, rule });
            }
        }
    }
}

/// The names under `[[bin]]`, with their lines.
fn binaries(text: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let mut in_binary = false;
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.starts_with('[') {
            in_binary = line == "[[bin]]";
        } else if in_binary
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "name"
        {
            names.push((index + 1, value.trim().trim_matches('"')));
        }
    }
    names
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

    #[test]
    fn binaries_have_names_of_their_own() {
        let one = "[package]\nname = \"a\"\n[[bin]]\nname = \"tool\"\n[dependencies]\n";
        let two = "[package]\nname = \"b\"\n[[bin]]\npath = \"x.rs\"\nname = \"tool\"\n";
        let mut found = Vec::new();
        check_binaries(&[(Path::new("a/Cargo.toml"), one)], &mut found);
        assert!(found.is_empty());
        let both = [(Path::new("a/Cargo.toml"), one), (Path::new("b/Cargo.toml"), two)];
        check_binaries(&both, &mut found);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 5);
    }
}
