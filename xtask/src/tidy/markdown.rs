//! Rules for Markdown files: links inside the repository lead somewhere.

use std::path::Path;

use super::Violation;

/// Checks the links of one Markdown file against the tree under `root`.
pub(super) fn check(root: &Path, file: &Path, text: &str, found: &mut Vec<Violation>) {
    let directory = root.join(file.parent().unwrap_or(Path::new("")));
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(line) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || is_address(target) {
                continue;
            }
            if !directory.join(path).exists() {
                let rule = format!("the link to `{target}` leads nowhere");
                found.push(Violation { file: file.to_owned(), line: index + 1, rule });
            }
        }
    }
}

/// The targets of `[text](target)`, `![text](target "title")` and `[label]: target`.
fn targets(line: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut rest = line;
    while let Some(begin) = rest.find("](") {
        rest = &rest[begin + 2..];
        let Some(end) = rest.find(')') else { break };
        targets.extend(rest[..end].split_whitespace().next());
        rest = &rest[end..];
    }
    if line.starts_with('[')
        && let Some((_, target)) = line.split_once("]: ")
    {
        targets.extend(target.split_whitespace().next());
    }
    targets
}

fn is_address(target: &str) -> bool {
    ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found() {
        assert_eq!(targets("see [a](x.md), [b](y.md#z \"t\")"), ["x.md", "y.md#z"]);
        assert_eq!(targets("[label]: docs/a.md"), ["docs/a.md"]);
    }

    #[test]
    fn a_dead_link_has_a_line() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = "[here](src/main.rs)\n[web](https://example.org)\n[top](#top)\n\n[no](no.md)\n";
        let mut found = Vec::new();
        check(root, Path::new("README.md"), text, &mut found);
        let lines: Vec<usize> = found.iter().map(|violation| violation.line).collect();
        assert_eq!(lines, [5]);
    }

    #[test]
    fn code_is_not_read() {
        let mut found = Vec::new();
        check(Path::new("/"), Path::new("a.md"), "```\n[no](no.md)\n```\n", &mut found);
        assert!(found.is_empty());
    }
}
