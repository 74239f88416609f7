//! `schism zeebe clock`.

use futures_util::future::join_all;
use serde::Serialize;
use zeebe::{ActorClock, Management, NodeId};

use crate::cli::{ClockArgs, ClockCommand};
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::table::{Align, Table};
use crate::output::{Detail, Output, Report};

use super::contact::Contact;
use super::patience::Patience;

/// Brokers' clocks, after what was asked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Clocks {
    schema: &'static str,
    brokers: Vec<Clock>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Clock {
    id: NodeId,
    #[serde(flatten)]
    clock: ActorClock,
}

impl Report for Clocks {
    fn text(&self, _: Detail) -> String {
        let mut table = Table::new(&[("BROKER", Align::Right), ("CLOCK (MS)", Align::Right)]);
        for broker in &self.brokers {
            table.row(vec![broker.id.into(), broker.clock.epoch_milli.into()]);
        }
        table.text()
    }

    fn names(&self) -> Vec<String> {
        self.brokers.iter().map(|broker| broker.id.to_string()).collect()
    }
}

/// Does it on every broker that is meant, at once, and shows what their clocks say then.
pub(crate) async fn run(
    contact: &Contact,
    args: &ClockArgs,
    patience: &Patience,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = "cannot reach brokers' clocks";
    let places = patience.asked(attempted, async || contact.brokers().await).await?;
    let mut meant: Vec<(NodeId, Management)> = Vec::new();
    for (id, at) in places {
        if args.of.is_empty() || args.of.contains(&id.number()) {
            meant.push((id, contact.managed(at, patience.call())?));
        }
    }
    let missing = args.of.iter().find(|id| !meant.iter().any(|(one, _)| one.number() == **id));
    if let Some(id) = missing {
        return Err(Failure::not_found(attempted, format!("Zeebe has no broker {id}")));
    }
    let all = meant.iter().map(|(id, at)| async move {
        let attempted = format!("cannot reach the clock of broker-{id}");
        match args.what {
            ClockCommand::Show => {}
            ClockCommand::Pin { at: moment } => {
                patience.management(&attempted, async || at.pin_clock(moment).await).await?;
            }
            ClockCommand::Reset => {
                patience.management(&attempted, async || at.reset_clock().await).await?;
            }
            ClockCommand::Add { by } => {
                // Twice would be twice as far: it is awaited that the broker answers, and then tried once.
                patience.management(&attempted, async || at.clock().await).await?;
                let moved = patience.once(&attempted, at.move_clock(by)).await;
                moved.map_err(|failure| failure.hint("see `schism zeebe clock show`"))?;
            }
        }
        let clock = patience.management(&attempted, async || at.clock().await).await?;
        Ok::<Clock, Failure>(Clock { id: *id, clock })
    });
    let brokers = join_all(all).await.into_iter().collect::<Result<_, _>>()?;
    output.show(&Clocks { schema: "schism.zeebe-clocks/v1", brokers })?;
    Ok(Outcome::Effective)
}
