//! `schism targets`.

use experiment::run::invocation::Concern;
use fault::{Scheme, Selector, Target};
use serde::Serialize;

use crate::cli::TargetsArgs;
use crate::connect::{self, Absence, Choice, Connection};
use crate::cut::touched;
use crate::failure::{Cause, Failure};
use crate::host;
use crate::interrupts::Interrupts;
use crate::outcome::Outcome;
use crate::output::table::Align::{self, Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Detail, Output, Report};
use crate::resolve::{aspect, namespace_names, nothing, on_this_node};
use crate::settings::Names;

/// What can be named.
#[derive(Debug, Serialize)]
struct TargetsReport {
    schema: &'static str,
    targets: Vec<Target>,
}

impl Report for TargetsReport {
    fn text(&self, detail: Detail) -> String {
        let mut table = Table::new(&columns(detail));
        for target in &self.targets {
            table.row(cells(target, detail));
        }
        table.text()
    }

    fn names(&self) -> Vec<String> {
        self.targets.iter().map(|target| target.selector.to_string()).collect()
    }
}

/// What a table says of targets.
pub(crate) fn columns(detail: Detail) -> Vec<(&'static str, Align)> {
    let mut columns =
        vec![("NAME", Left), ("ADDRESSES", Left), ("INTERFACES", Left), ("PROCESSES", Right)];
    if detail == Detail::Wide {
        columns.extend([("COOKIE", Right), ("CGROUP", Left), ("WHOLE", Left)]);
    }
    columns
}

/// The same of one of them.
pub(crate) fn cells(target: &Target, detail: Detail) -> Vec<Cell> {
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
    cells
}

/// What is looked for: nothing for all that there is.
///
/// # Errors
/// A word that is not among the names, or a namespace and no role.
pub(crate) fn sought(args: &TargetsArgs, names: &Names) -> Result<Vec<Selector>, Failure> {
    let Some(target) = &args.target else { return Ok(Vec::new()) };
    let wrong = |error: String, hint| {
        Failure::new(Outcome::WrongUsage, "cannot look for targets", error).hint(hint)
    };
    let selectors = target.stands_for(names);
    let mut selectors = selectors.map_err(|error| wrong(error.to_string(), error.hint()))?;
    let applied = args.within.apply(&mut selectors);
    applied.map_err(|error| wrong(error.to_string(), error.hint()))?;
    Ok(selectors)
}

/// Runs `schism targets`.
pub(crate) async fn run(
    args: &TargetsArgs,
    sought: &[Selector],
    mut choice: Choice,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = "cannot look for targets";
    if sought.iter().any(|selector| matches!(selector.scheme, Scheme::Addr(_))) {
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
    let result = interrupts.unless(attempted, show(sought, &mut connection, output)).await;
    host::leave(connection, &mut interrupts, output, result).await
}

async fn show(
    sought: &[Selector],
    connection: &mut Connection,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut targets = Vec::new();
    for selector in sought {
        on_this_node(selector, &connection.description.node)?;
        let aspect = aspect(selector, Concern::Anything);
        let found = connection.link.resolve(selector, aspect).await?;
        if found.is_empty() {
            return Err(nothing(selector, &namespace_names()));
        }
        targets.extend(found);
    }
    if sought.is_empty() {
        let listing = connection.link.targets().await?;
        listing.unseen.into_iter().for_each(|line| output.note(format!("note: {line}")));
        if listing.left_off > 0 {
            output.note(format!("note: {} more are not shown", listing.left_off));
        }
        targets = listing.targets;
    }
    output.show(&TargetsReport { schema: "schism.targets/v1", targets })?;
    Ok(Outcome::Effective)
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
