//! `schism targets`.

use std::collections::BTreeSet;

use fault::{Aspect, NodeName, Scheme, Selector, Target};
use serde::Serialize;

use crate::cli::TargetsArgs;
use crate::connect::{self, Absence, Choice, Connection};
use crate::cut::touched;
use crate::failure::{Cause, Failure};
use crate::host;
use crate::interrupts::Interrupts;
use crate::outcome::Outcome;
use crate::output::table::Align::{Left, Right};
use crate::output::table::Table;
use crate::output::{Detail, Output, Report};
use crate::resolve::{namespace_names, nothing, on_this_node};

/// How much of a container's id names it, as container tools print it.
const SHORT_ID: usize = 12;

/// What can be named.
#[derive(Debug, Serialize)]
struct TargetsReport {
    schema: &'static str,
    targets: Vec<Target>,
}

impl Report for TargetsReport {
    fn text(&self, detail: Detail) -> String {
        let mut columns =
            vec![("NAME", Left), ("ADDRESSES", Left), ("INTERFACES", Left), ("PROCESSES", Right)];
        if detail == Detail::Wide {
            columns.extend([("COOKIE", Right), ("CGROUP", Left), ("WHOLE", Left)]);
        }
        let mut table = Table::new(&columns);
        for target in &self.targets {
            let addresses: Vec<String> = target
                .addresses
                .iter()
                .filter(|own| own.is_reachable())
                .filter(|own| detail == Detail::Wide || !own.is_link_local())
                .map(|own| own.address.to_string())
                .collect();
            let interfaces: Vec<&str> =
                target.interfaces.iter().map(|interface| interface.name.as_str()).collect();
            let mut cells = vec![
                (&target.selector).into(),
                or_dash(&addresses.join(",")).into(),
                or_dash(&interfaces.join(",")).into(),
                target.process_count.into(),
            ];
            if detail == Detail::Wide {
                cells.push(target.identity.namespace.into());
                cells.push(or_dash(target.cgroup.as_deref().unwrap_or_default()).into());
                cells.push(touched(target, detail).into());
            }
            table.row(cells);
        }
        table.text()
    }

    fn names(&self) -> Vec<String> {
        self.targets.iter().map(|target| target.selector.to_string()).collect()
    }
}

/// Runs `schism targets`.
pub(crate) async fn run(
    args: &TargetsArgs,
    mut choice: Choice,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = "cannot look for targets";
    if let Some(Selector { scheme: Scheme::Addr(_), .. }) = &args.selector {
        let reason = "addresses are peers, never a target";
        return Err(Failure::new(Outcome::WrongUsage, attempted, reason));
    }
    choice.absence = if args.local { Absence::BecomeAsked } else { Absence::Become };
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, attempted, error))?;
    let found = interrupts.unless(attempted, connect::find(&choice, output)).await?;
    let Some(mut connection) = found else {
        return Err(Failure::caused(Cause::Unreachable, attempted, "there is no agent"));
    };
    let result = interrupts.unless(attempted, show(args, &mut connection, output)).await;
    host::leave(connection, &mut interrupts, output, result).await
}

async fn show(
    args: &TargetsArgs,
    connection: &mut Connection,
    output: Output,
) -> Result<Outcome, Failure> {
    let targets = match &args.selector {
        Some(selector) => {
            on_this_node(selector, &connection.description.node)?;
            let found = connection.link.resolve(selector, Aspect::Network).await?;
            if found.is_empty() {
                return Err(nothing(selector, &namespace_names()));
            }
            found
        }
        None => everything(connection, output).await?,
    };
    output.show(&TargetsReport { schema: "schism.targets/v1", targets })?;
    Ok(Outcome::Effective)
}

/// The machine itself, its namespaces, and the containers whose processes are in these.
async fn everything(connection: &mut Connection, output: Output) -> Result<Vec<Target>, Failure> {
    let plain = |scheme| Selector { pick: None, scheme, node: None };
    let node = NodeName::new(&connection.description.node);
    let names = namespace_names().into_iter().map(Scheme::Netns);
    let mut targets = Vec::new();
    for scheme in node.into_iter().map(Scheme::Host).chain(names) {
        look(connection, &plain(scheme), &mut targets, output).await;
    }
    let containers: BTreeSet<String> = targets
        .iter()
        .flat_map(|target| &target.processes)
        .filter_map(|process| process.container.as_deref())
        .map(|id| id.chars().take(SHORT_ID).collect())
        .collect();
    for id in containers {
        look(connection, &plain(Scheme::Container(id)), &mut targets, output).await;
    }
    Ok(targets)
}

/// One that cannot be looked at does not hide the others.
async fn look(
    connection: &mut Connection,
    selector: &Selector,
    targets: &mut Vec<Target>,
    output: Output,
) {
    match connection.link.resolve(selector, Aspect::Network).await {
        Ok(found) => targets.extend(found),
        Err(failure) => output.note(format!("note: {failure}")),
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
