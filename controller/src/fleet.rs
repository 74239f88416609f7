//! Commands that go through a controller.

pub(crate) mod client;
mod ends;
mod live;
mod report;

use fault::{IntentId, Status};
use proto::control as wire;

use crate::cli::{CutArgs, HealArgs, StatusArgs, TargetsArgs};
use crate::control::is_over;
use crate::cut::request::Request;
use crate::failure::{Cause, Failure};
use crate::interrupts::Interrupts;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::session::live::Live;
use crate::settings::{Controller, Names};
use crate::spec::{QuorumLoss, Spec, What};
use client::Client;
use ends::{EndsReport, members};
use live::Parts;
use report::{AgentsReport, IntentsReport};

async fn connect(place: &Controller, output: Output) -> Result<Client, Failure> {
    let mut client = Client::open(place).await?;
    let about = client.describe().await?;
    output.note(format!(
        "controller: {} (epoch {}), as {}",
        client::name(place),
        about.epoch,
        fault::Legible(&about.caller)
    ));
    Ok(client)
}

/// `schism cut` through a controller.
pub(crate) async fn cut(
    args: &CutArgs,
    names: &Names,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = args.attempt();
    if args.prove || args.local {
        let reason = "--prove and --local do not go through a controller yet";
        return Err(Failure::caused(Cause::Unsupported, attempted, reason));
    }
    let request = Request::new(args, names, crate::cut::random_seed()?);
    let request = request.map_err(|error| crate::cut::refused(&attempted, &error))?;
    let spec = Spec {
        what: request.what,
        cut: request.cut,
        enforcement: request.enforcement,
        seed: request.cut.seed,
        // A controller renews what a command leaves to it.
        terms: fault::LeaseTerms::new(args.lease, args.total)
            .map_err(|error| Failure::caused(Cause::WrongUsage, attempted.clone(), error))?,
        quorum_loss: match args.allow_quorum_loss {
            true => QuorumLoss::Allowed,
            false => QuorumLoss::Refused,
        },
    };
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, &attempted, error))?;
    let mut client = interrupts.unless(&attempted, connect(place, output)).await?;
    let id = IntentId::from_random(crate::cut::random()?);
    if args.dry_run {
        let plan = client.plan(&attempted, id.get(), (&spec).into()).await?;
        output.show(&IntentsReport::plan(plan))?;
        return Ok(Outcome::Effective);
    }
    if let What::Partition { .. } = spec.what {
        let plan = interrupts.unless(&attempted, client.plan(&attempted, id.get(), (&spec).into()));
        output.note(plan.await?.matrix.trim_end());
    }
    let applying = client.apply(&attempted, id.get(), (&spec).into());
    let applied = tokio::select! {
        applied = applying => Some(applied?),
        _ = interrupts.next() => None,
    };
    let Some(applied) = applied else {
        let ended = client.heal(vec![id.get()], false).await;
        output.note("interrupted while the cut was put in; healed");
        return ended.map(|_| Outcome::Interrupted);
    };
    for line in members(&applied) {
        output.note(line);
    }
    output.note(format!("{id} {}, seed {}", report::standing(&applied), spec.seed));
    if applied.stage() != wire::Stage::Active {
        output.show(&IntentsReport::cut(vec![applied.clone()]))?;
        let cause = Failure::caused(Cause::Unreachable, attempted, applied.reason.clone());
        return Err(cause);
    }
    if args.detach {
        output
            .note(format!("detached: its effect is not yet known; end it with: schism heal {id}"));
        output.show(&IntentsReport::cut(vec![applied]))?;
        return Ok(Outcome::Effective);
    }
    if output.is_for_names() {
        output.print(&id.to_string())?;
    }
    let mut live = Live::new(output);
    let ended = tokio::select! {
        ended = over(&mut client, id, &mut live) => ended,
        _ = interrupts.next() => {
            live.tell("interrupted; healing");
            let healed = client.heal(vec![id.get()], false).await?;
            output.show(&IntentsReport::cut(healed.clone()))?;
            return Ok(report::outcome(&healed).worst(Outcome::Interrupted));
        }
    };
    live.clear();
    let ended = ended?;
    let outcome = report::outcome(std::slice::from_ref(&ended));
    if !output.is_for_names() {
        output.show(&IntentsReport::cut(vec![ended]))?;
    }
    Ok(outcome)
}

/// Waits until an intent is over.
async fn over(client: &mut Client, id: IntentId, live: &mut Live) -> Result<wire::Intent, Failure> {
    let lost = |reason: String| {
        Failure::caused(Cause::Unreachable, format!("cannot follow {id}"), reason)
            .hint("the fault goes on without this command: `schism status` shows it")
    };
    let mut events = client.watch().await?;
    let mut parts = Parts::default();
    loop {
        match events.message().await {
            Ok(Some(event)) => {
                if let Some(wire::event::Kind::Intent(intent)) = event.kind
                    && intent.id == id.get()
                {
                    parts.show(live, &intent);
                    if is_over(&intent) {
                        return Ok(intent);
                    }
                }
            }
            Ok(None) => return Err(lost("the controller closed the connection".to_owned())),
            Err(status) => return Err(lost(status.message().to_owned())),
        }
    }
}

/// `schism heal` through a controller.
pub(crate) async fn heal(
    args: &HealArgs,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut client = connect(place, output).await?;
    let known = client.list().await?;
    let mut ids = Vec::new();
    for name in &args.ids {
        let matching: Vec<u64> = known
            .iter()
            .map(|intent| IntentId::from_random(intent.id))
            .filter(|id| name.names(*id))
            .map(IntentId::get)
            .collect();
        let attempted = format!("cannot heal {name}");
        match matching.as_slice() {
            [one] => ids.push(*one),
            [] => return Err(Failure::not_found(attempted, "the controller has no such intent")),
            _ => {
                let reason = "several intents begin like that";
                return Err(Failure::caused(Cause::WrongUsage, attempted, reason));
            }
        }
    }
    let healed = client.heal(ids, args.all).await?;
    let outcome = report::outcome(&healed);
    output.show(&IntentsReport::heal(healed))?;
    // A heal is done when it is confirmed, whatever the fault has matched.
    Ok(if outcome == Outcome::NothingMatched { Outcome::Effective } else { outcome })
}

/// `schism status` through a controller.
pub(crate) async fn status(
    args: &StatusArgs,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut client = connect(place, output).await?;
    let mut look = async || {
        let mut intents = client.list().await?;
        intents.retain(|intent| args.all || !is_over(intent));
        intents.sort_by_key(|intent| intent.asked);
        Ok(IntentsReport::status(intents))
    };
    if args.watch {
        return crate::status::again(output, look).await;
    }
    output.show(&look().await?)?;
    Ok(Outcome::Effective)
}

/// `schism targets` through a controller.
pub(crate) async fn targets(
    args: &TargetsArgs,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let Some(selector) = &args.selector else {
        let reason = "a controller looks up what is named; it does not list every node";
        return Err(Failure::caused(Cause::WrongUsage, "cannot look for targets", reason)
            .hint("name a selector, such as all:etcd:member or host:NODE"));
    };
    let mut client = connect(place, output).await?;
    output.show(&EndsReport::new(client.resolve(selector).await?))?;
    Ok(Outcome::Effective)
}

/// `schism agents`.
pub(crate) async fn agents(place: &Controller, output: Output) -> Result<Outcome, Failure> {
    let mut client = connect(place, output).await?;
    output.show(&AgentsReport::new(client.agents().await?))?;
    Ok(Outcome::Effective)
}

/// `schism halt`.
pub(crate) async fn halt(
    reason: &str,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut client = connect(place, output).await?;
    let reply = client.halt(reason).await?;
    output.note("the brake is on: new faults are refused until `schism resume`");
    untold(&reply.untold, output)
}

/// `schism resume`.
pub(crate) async fn resume(place: &Controller, output: Output) -> Result<Outcome, Failure> {
    let mut client = connect(place, output).await?;
    let reply = client.resume().await?;
    output.note("the brake is off");
    untold(&reply.untold, output)
}

fn untold(nodes: &[String], output: Output) -> Result<Outcome, Failure> {
    if nodes.is_empty() {
        return Ok(Outcome::Effective);
    }
    output.note(format!("could not be told: {}", nodes.join(", ")));
    Ok(Outcome::Unconfirmed)
}

/// The last that was heard of each part.
fn statuses(intent: &wire::Intent) -> Vec<Status> {
    let told = intent.parts.iter().filter_map(|part| part.status.clone());
    told.filter_map(|status| status.try_into().ok()).collect()
}
