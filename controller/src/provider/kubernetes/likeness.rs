//! What was probably meant. Pure.

/// How alike two names must be (Jaro and Winkler).
const ALIKE: f64 = 0.85;

/// How many names are listed.
const LISTED: usize = 8;

/// The name that is most like the one that was written, or all that there are.
pub(super) fn hint(wanted: &str, there: &[String]) -> String {
    // Of several that are as much alike the first.
    let alike = there.iter().rev().map(|name| (strsim::jaro_winkler(wanted, name), name));
    let best = alike.max_by(|(one, _), (other, _)| one.total_cmp(other));
    if let Some((_, name)) = best.filter(|(likeness, _)| *likeness >= ALIKE) {
        return format!("did you mean {name}?");
    }
    match there.len() {
        0 => "there is none".to_owned(),
        count if count > LISTED => {
            format!("there are {} and {} more", there[..LISTED].join(", "), count - LISTED)
        }
        _ => format!("there are {}", there.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_is_named_or_all_are_listed() {
        let there = ["zeebe-0", "zeebe-1", "gateway"].map(ToOwned::to_owned);
        assert_eq!(hint("zebee-1", &there), "did you mean zeebe-1?");
        assert_eq!(hint("web", &there), "there are zeebe-0, zeebe-1, gateway");
        assert_eq!(hint("web", &[]), "there is none");
        let many: Vec<String> = (0..20).map(|number| format!("pod-{number}")).collect();
        assert!(hint("web", &many).ends_with("pod-7 and 12 more"));
    }
}
