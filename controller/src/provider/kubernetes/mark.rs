//! What says on a node that Schism has cordoned it, and until when. Pure.
//!
//! It is written by the very call that cordons the node, so that there is never the one without the other, and whoever
//! leads next knows what is to be undone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster::Node;
use fault::IntentId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The annotation.
pub const CORDON: &str = "schism.dev/cordon";

/// How long after its time nobody seems to be left who would undo one (1 h): whoever leads elsewhere is at most late.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Who has cordoned a node, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What was asked.
    pub id: IntentId,
    /// Unix time, ns; whole milliseconds are written.
    pub until: u64,
    /// Who asked, for people.
    pub asker: String,
    /// The namespace of the installation that undoes it; empty for one that is in none, and before there was this.
    pub installation: String,
}

/// As it is written: legible for whoever looks at the node.
#[derive(Deserialize, Serialize)]
struct Written {
    id: String,
    until: String,
    #[serde(default)]
    by: String,
    #[serde(default, rename = "in", skip_serializing_if = "String::is_empty")]
    installation: String,
}

/// What is to be done so that no pods come to a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Put {
    /// This is to be changed of it.
    Change(Value),
    /// It is as it is to be.
    Done,
    /// Somebody else has cordoned it, and has it stay so.
    Foreign,
    /// It is cordoned by another one of ours.
    Taken(Mark),
}

/// What is to be done so that pods may come again.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Taken {
    /// This is to be changed of it.
    Change(Value),
    /// Somebody has let pods come already: only what says otherwise is to go.
    Open(Value),
    /// Nothing of it says that it is ours.
    Nothing,
}

impl Mark {
    /// What a node says; `None` where it says nothing, or nothing that could be understood.
    pub(super) fn of(node: &Node) -> Option<Self> {
        let written: Written = serde_json::from_str(node.metadata.annotations.get(CORDON)?).ok()?;
        let until = humantime::parse_rfc3339(&written.until).ok()?;
        let until = until.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(Self {
            id: IntentId::from_random(u64::from_str_radix(&written.id, 16).ok()?),
            until: u64::try_from(until).ok()?,
            asker: written.by,
            installation: written.installation,
        })
    }

    /// Whether whoever leads an installation sees to it: it is its own or nobody's, or whoever's it was is gone. `now` is
    /// Unix time, ns.
    #[must_use]
    pub fn is_for(&self, installation: &str, now: u64) -> bool {
        let late = Duration::from_nanos(now.saturating_sub(self.until));
        self.installation.is_empty() || self.installation == installation || late > ABANDONED
    }

    fn text(&self) -> String {
        let until = SystemTime::UNIX_EPOCH + Duration::from_nanos(self.until);
        let written = Written {
            id: self.id.to_string(),
            until: humantime::format_rfc3339_millis(until).to_string(),
            by: self.asker.clone(),
            installation: self.installation.clone(),
        };
        json!(written).to_string()
    }

    /// What is to be done to have a node marked and cordoned.
    pub(super) fn put(&self, node: &Node) -> Put {
        match (Self::of(node), node.spec.unschedulable) {
            (Some(mark), true) if mark.id == self.id => Put::Done,
            (Some(mark), true) => Put::Taken(mark),
            (None, true) => Put::Foreign,
            // One that was left on a node that is open means nothing any more.
            (_, false) => Put::Change(json!({
                "metadata": {
                    "resourceVersion": node.metadata.resource_version,
                    "annotations": { CORDON: self.text() },
                },
                "spec": { "unschedulable": true },
            })),
        }
    }
}

/// What is to be done to undo what a mark of this id says.
pub(super) fn take(id: IntentId, node: &Node) -> Taken {
    if Mark::of(node).is_none_or(|mark| mark.id != id) {
        return Taken::Nothing;
    }
    let mut change = json!({
        "metadata": {
            "resourceVersion": node.metadata.resource_version,
            "annotations": { CORDON: null },
        },
    });
    if !node.spec.unschedulable {
        return Taken::Open(change);
    }
    change["spec"] = json!({ "unschedulable": null });
    Taken::Change(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(id: u64) -> Mark {
        // 2023-11-14T22:13:20.5Z
        let until = 1_700_000_000_500_000_000;
        let (id, asker) = (IntentId::from_random(id), "ann".to_owned());
        Mark { id, until, asker, installation: String::new() }
    }

    fn node(annotation: Option<&str>, unschedulable: bool) -> Node {
        let mut node = Node::default();
        node.metadata.resource_version = "7".to_owned();
        node.spec.unschedulable = unschedulable;
        if let Some(text) = annotation {
            node.metadata.annotations.insert(CORDON.to_owned(), text.to_owned());
        }
        node
    }

    const TEXT: &str = r#"{"id":"00000000000a","until":"2023-11-14T22:13:20.500Z","by":"ann"}"#;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let Put::Change(change) = mark(10).put(&node(None, false)) else { panic!() };
        let expected = json!({
            "metadata": { "resourceVersion": "7", "annotations": { CORDON: TEXT } },
            "spec": { "unschedulable": true },
        });
        assert_eq!(change, expected);
        assert_eq!(Mark::of(&node(Some(TEXT), true)), Some(mark(10)));
        for nonsense in [
            "",
            "{}",
            r#"{"id":"x","until":"2023-11-14T22:13:20Z"}"#,
            r#"{"id":"a","until":"soon"}"#,
        ] {
            assert_eq!(Mark::of(&node(Some(nonsense), true)), None, "{nonsense}");
        }
    }

    #[test]
    fn one_of_another_installation_is_theirs_until_they_seem_to_be_gone() {
        let own = Mark { installation: "chaos".to_owned(), ..mark(10) };
        let text = own.text();
        assert!(text.ends_with(r#""by":"ann","in":"chaos"}"#), "{text}");
        assert_eq!(Mark::of(&node(Some(&text), true)), Some(own.clone()));
        let hour = 3_600_000_000_000;
        for (mark, installation, now, expected) in [
            (&own, "chaos", 0, true),
            (&own, "schism", 0, false),
            (&own, "", 0, false),
            (&own, "schism", own.until + hour, false),
            (&own, "schism", own.until + hour + 1, true),
            (&mark(10), "schism", 0, true),
            (&mark(10), "", 0, true),
        ] {
            assert_eq!(mark.is_for(installation, now), expected, "{mark:?} {installation} {now}");
        }
    }

    #[test]
    fn what_somebody_else_has_cordoned_is_theirs() {
        let put = |annotation, unschedulable| mark(10).put(&node(annotation, unschedulable));
        assert_eq!(put(None, true), Put::Foreign);
        assert_eq!(put(Some("nonsense"), true), Put::Foreign);
        assert_eq!(put(Some(TEXT), true), Put::Done);
        assert_eq!(mark(11).put(&node(Some(TEXT), true)), Put::Taken(mark(10)));
        // Somebody has uncordoned it, and left what says otherwise.
        assert!(matches!(put(Some(TEXT), false), Put::Change(_)));
        assert!(matches!(mark(11).put(&node(Some(TEXT), false)), Put::Change(_)));
    }

    #[test]
    fn only_what_is_ours_is_undone() {
        let id = IntentId::from_random(10);
        let open =
            json!({ "metadata": { "resourceVersion": "7", "annotations": { CORDON: null } } });
        let mut cordoned = open.clone();
        cordoned["spec"] = json!({ "unschedulable": null });
        assert_eq!(take(id, &node(Some(TEXT), true)), Taken::Change(cordoned));
        assert_eq!(take(id, &node(Some(TEXT), false)), Taken::Open(open));
        assert_eq!(take(IntentId::from_random(11), &node(Some(TEXT), true)), Taken::Nothing);
        assert_eq!(take(id, &node(None, true)), Taken::Nothing);
        assert_eq!(take(id, &node(None, false)), Taken::Nothing);
    }
}
