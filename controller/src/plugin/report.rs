//! Objects as people and programs read them. Pure.

use serde::Serialize;

use crate::fleet::disrupted::{self, DisruptionRecord};
use crate::objects::resource::{Kind, Object};
use crate::objects::status::Status;
use crate::outcome::Outcome;
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Detail, Report};

/// Objects with what became of them.
#[derive(Debug, Serialize)]
pub(super) struct FaultsReport {
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    faults: Vec<Record>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disruptions: Vec<DisruptionRecord>,
    #[serde(skip)]
    empty: &'static str,
}

#[derive(Debug, Serialize)]
struct Record {
    object: &'static str,
    namespace: Option<String>,
    name: String,
    requested_by: Option<String>,
    status: Status,
}

impl FaultsReport {
    fn new(schema: &'static str, all: Vec<(Kind, Object)>, empty: &'static str) -> Self {
        let record = |(kind, object): (Kind, Object)| Record {
            object: kind.word(),
            namespace: object.metadata.namespace,
            name: object.metadata.name,
            requested_by: object.spec.requested_by,
            status: object.status,
        };
        let faults = all.into_iter().map(record).collect();
        Self { schema, exit_code: None, faults, disruptions: Vec::new(), empty }
    }

    /// With what objects ask of the API server beside faults.
    pub(super) fn with(self, disruptions: Vec<DisruptionRecord>) -> Self {
        Self { disruptions, ..self }
    }

    pub(super) fn one(kind: Kind, object: Object) -> Self {
        Self::new("schism.object/v1", vec![(kind, object)], "")
    }

    pub(super) fn healed(all: Vec<(Kind, Object)>) -> Self {
        Self::new("schism.object-heal/v1", all, "nothing to heal")
    }

    pub(super) fn status(all: Vec<(Kind, Object)>) -> Self {
        Self::new("schism.object-status/v1", all, "there is no fault")
    }

    /// With what the command exits with.
    pub(super) fn coming_to(self, outcome: Outcome) -> Self {
        Self { exit_code: Some(outcome.code()), ..self }
    }
}

impl Report for FaultsReport {
    fn text(&self, detail: Detail) -> String {
        let faults = (!self.faults.is_empty()).then(|| self.table(detail));
        let disruptions =
            (!self.disruptions.is_empty()).then(|| disrupted::list(&self.disruptions, detail));
        let parts: Vec<String> = faults.into_iter().chain(disruptions).collect();
        match parts.is_empty() {
            true => self.empty.to_owned(),
            false => parts.join("\n\n"),
        }
    }

    fn names(&self) -> Vec<String> {
        let faults = self.faults.iter().map(|one| &one.name);
        faults.chain(self.disruptions.iter().map(|one| &one.name)).cloned().collect()
    }
}

impl FaultsReport {
    fn table(&self, detail: Detail) -> String {
        let spread = self.faults.iter().any(|one| one.namespace != self.faults[0].namespace);
        let mut columns = vec![
            ("NAME", Left),
            ("KIND", Left),
            ("FROM", Left),
            ("TO", Left),
            ("STATE", Left),
            ("UNTIL", Left),
            ("LOST", Right),
        ];
        if spread {
            columns.insert(0, ("NAMESPACE", Left));
        }
        if detail == Detail::Wide {
            columns.extend([("BY", Left), ("EFFECT", Left)]);
        }
        let mut table = Table::new(&columns);
        let mut notes = Vec::new();
        for Record { namespace, name, requested_by, status, .. } in &self.faults {
            let or_dash =
                |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
            let mut row: Vec<Cell> = Vec::new();
            if spread {
                row.push(or_dash(namespace.as_deref().unwrap_or_default()).into());
            }
            row.extend([
                name.clone().into(),
                or_dash(&status.kind).into(),
                or_dash(&status.from).into(),
                or_dash(&status.to).into(),
                status.phase.word().to_lowercase().into(),
                or_dash(status.until.as_deref().unwrap_or_default()).into(),
                status.lost.map_or_else(|| "-".to_owned(), |lost| lost.to_string()).into(),
            ]);
            if detail == Detail::Wide {
                row.push(or_dash(requested_by.as_deref().unwrap_or_default()).into());
                row.push(or_dash(&status.effect).into());
            }
            table.row(row);
            let is_cut = status.lost.is_some();
            if !is_cut && !status.effect.is_empty() {
                notes.push(format!("{name}: {}", status.effect));
            }
            if !status.message.is_empty() {
                notes.push(format!("{name}: {}", status.message));
            }
            notes.extend(
                status
                    .failures
                    .iter()
                    .map(|one| format!("{name} on {}: {}", one.node, one.message)),
            );
        }
        let mut text = table.text();
        for note in notes {
            text.push('\n');
            text.push_str(&note);
        }
        text
    }
}
