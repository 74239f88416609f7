//! What selectors named, as people and programs read it. Pure.

use std::fmt;

use fault::{Prefix, Selector, Target};
use proto::control as wire;
use serde::Serialize;

use crate::output::table::Align::Left;
use crate::output::table::{Cell, Table};
use crate::output::{Detail, Report};

/// One end of a fault, as it was found right before the injection.
#[derive(Debug, Serialize)]
pub(super) struct EndRecord {
    selector: String,
    node: String,
    target: String,
    member: String,
    evidence: Vec<String>,
}

impl From<wire::End> for EndRecord {
    fn from(end: wire::End) -> Self {
        // A selector that a newer controller knows and we do not is not lost on people.
        let unknown = || "?".to_owned();
        let typed = end.selector.and_then(|typed| Selector::try_from(typed).ok());
        let found = end.target.and_then(|target| Target::try_from(target).ok());
        let addresses = end.addresses.and_then(|prefix| Prefix::try_from(prefix).ok());
        Self {
            selector: typed.map_or_else(unknown, |selector| selector.to_string()),
            node: end.node,
            target: match (found, addresses) {
                (Some(target), _) => target.selector.to_string(),
                (None, Some(prefix)) => format!("addr:{prefix}"),
                (None, None) => unknown(),
            },
            member: end.member,
            evidence: end.evidence,
        }
    }
}

impl fmt::Display for EndRecord {
    /// The member, and where it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.member.is_empty() {
            write!(f, "{}, ", self.member)?;
        }
        write!(f, "{}", self.target)?;
        if self.node.is_empty() { Ok(()) } else { write!(f, "@{}", self.node) }
    }
}

impl EndRecord {
    /// A selector of it alone.
    pub(super) fn name(&self) -> String {
        match self.node.as_str() {
            "" => self.target.clone(),
            node => format!("{}@{node}", self.target),
        }
    }

    /// How it was found; nothing where there is nothing to say.
    pub(super) fn found(&self) -> Option<String> {
        let evidence = self.evidence.join("; ");
        (!evidence.is_empty()).then(|| format!("{} is {self}: {evidence}", self.selector))
    }
}

/// Who plays the roles that were asked for, one line each.
pub(super) fn members(intent: &wire::Intent) -> Vec<String> {
    let ends = intent.ends.iter().cloned().map(EndRecord::from);
    let of_groups = ends.filter(|end| !end.member.is_empty());
    of_groups.map(|end| format!("{} is {end}", end.selector)).collect()
}

/// What a selector names.
#[derive(Debug, Serialize)]
pub(super) struct EndsReport {
    schema: &'static str,
    ends: Vec<EndRecord>,
}

impl EndsReport {
    pub(super) fn new(ends: Vec<wire::End>) -> Self {
        let ends = ends.into_iter().map(EndRecord::from).collect();
        Self { schema: "schism.fleet-targets/v1", ends }
    }
}

impl Report for EndsReport {
    fn text(&self, detail: Detail) -> String {
        let mut table =
            Table::new(&[("TARGET", Left), ("NODE", Left), ("MEMBER", Left), ("ASKED", Left)]);
        for end in &self.ends {
            let or_dash =
                |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
            table.row(vec![
                Cell::from(end.target.clone()),
                Cell::from(or_dash(&end.node)),
                Cell::from(or_dash(&end.member)),
                Cell::from(end.selector.clone()),
            ]);
        }
        let mut text = table.text();
        if detail == Detail::Wide {
            for line in self.ends.iter().filter_map(EndRecord::found) {
                text.push_str(&format!("{line}\n"));
            }
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.ends.iter().map(EndRecord::name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_who_it_is_and_how_that_is_known() {
        let end = EndRecord {
            selector: "etcd:leader".to_owned(),
            node: "n1".to_owned(),
            target: "netns:db0".to_owned(),
            member: "m0".to_owned(),
            evidence: vec!["m0 says leader m0 (term 4, revision 9)".to_owned()],
        };
        let report = EndsReport { schema: "", ends: vec![end] };
        let text = report.text(Detail::Wide);
        assert!(text.contains("netns:db0  n1    m0      etcd:leader"), "{text}");
        let found = "etcd:leader is m0, netns:db0@n1: m0 says leader m0 (term 4, revision 9)";
        assert!(text.contains(found), "{text}");
        assert_eq!(report.names(), ["netns:db0@n1"]);
    }
}
