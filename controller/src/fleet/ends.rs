//! What selectors named, as people and programs read it. Pure.

use std::fmt;

use fault::{Prefix, Selector, Target};
use proto::control as wire;
use serde::Serialize;

use crate::output::table::Align::Left;
use crate::output::table::{Cell, Table};
use crate::output::{Detail, Report};

/// How many addresses of one end are told.
const TOLD: usize = 8;

/// One end of a fault, as it was found right before the injection.
#[derive(Debug, Serialize)]
pub(super) struct EndRecord {
    selector: String,
    node: String,
    target: String,
    member: String,
    evidence: Vec<String>,
    /// It is more than one selector of targets or addresses says.
    #[serde(skip)]
    is_service: bool,
}

impl From<wire::End> for EndRecord {
    fn from(end: wire::End) -> Self {
        // A selector that a newer controller knows and we do not is not lost on people.
        let unknown = || "?".to_owned();
        let typed = end.selector.and_then(|typed| Selector::try_from(typed).ok());
        let found = end.target.and_then(|target| Target::try_from(target).ok());
        let addresses = end.addresses.into_iter().chain(end.several);
        let addresses: Vec<Prefix> =
            addresses.filter_map(|prefix| Prefix::try_from(prefix).ok()).collect();
        Self {
            is_service: typed.as_ref().is_some_and(Selector::is_service) && found.is_none(),
            selector: typed.map_or_else(unknown, |selector| selector.to_string()),
            node: end.node,
            target: match (found, addresses.as_slice()) {
                (Some(target), _) => target.selector.to_string(),
                (None, []) => unknown(),
                (None, addresses) => listed(addresses),
            },
            member: end.member,
            evidence: end.evidence,
        }
    }
}

/// Addresses, the first few of many.
fn listed(addresses: &[Prefix]) -> String {
    let told: Vec<String> = addresses.iter().take(TOLD).map(ToString::to_string).collect();
    let more = addresses.len() - told.len();
    let more = if more > 0 { format!(",… and {more} more") } else { String::new() };
    format!("addr:{}{more}", told.join(","))
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
            _ if self.is_service => self.selector.clone(),
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
            is_service: false,
        };
        let report = EndsReport { schema: "", ends: vec![end] };
        let text = report.text(Detail::Wide);
        assert!(text.contains("netns:db0  n1    m0      etcd:leader"), "{text}");
        let found = "etcd:leader is m0, netns:db0@n1: m0 says leader m0 (term 4, revision 9)";
        assert!(text.contains(found), "{text}");
        assert_eq!(report.names(), ["netns:db0@n1"]);
    }

    #[test]
    fn what_a_service_leads_to_is_named_by_the_service() {
        let selector: Selector = "k8s:prod/svc/web".parse().unwrap();
        let prefixes = ["10.96.0.7", "10.1.0.1"].map(|text| text.parse::<Prefix>().unwrap());
        let end = wire::End {
            selector: Some((&selector).into()),
            several: prefixes.iter().map(Into::into).collect(),
            ..wire::End::default()
        };
        let end = EndRecord::from(end);
        assert_eq!(end.to_string(), "addr:10.96.0.7,10.1.0.1");
        assert_eq!(end.name(), "k8s:prod/svc/web");
    }
}
