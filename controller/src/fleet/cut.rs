//! `schism cut` through a controller.

use fault::IntentId;
use proto::control as wire;

use super::client::Client;
use super::connect;
use super::ends::members;
use super::follow::Follower;
use super::report::{self, IntentsReport};
use crate::cli::CutArgs;
use crate::cut::request::Request;
use crate::failure::{Cause, Failure};
use crate::interrupts::Interrupts;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::session::live::Live;
use crate::settings::{Controller, Names};
use crate::spec::{QuorumLoss, Spec, What};

/// `schism cut` through a controller.
pub(crate) async fn run(
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
    let mut planned = None;
    if let What::Partition { .. } = spec.what {
        let plan = interrupts.unless(&attempted, client.plan(&attempted, id.get(), (&spec).into()));
        let plan = plan.await?;
        output.note(plan.matrix.trim_end());
        planned = plan.intent.map(|intent| members(&intent));
    }
    let applying = client.apply(&attempted, id.get(), (&spec).into());
    let applied = tokio::select! {
        applied = applying => applied,
        _ = interrupts.next() => {
            return withdrawn(&mut client, id, output).await;
        }
    };
    let applied = match applied {
        // Nobody knows whether it was put in.
        Err(failure) if failure.cause == Cause::Unreachable => {
            if let Ok(Some(healed)) = withdraw(&mut client, id).await {
                output.show(&IntentsReport::cut(healed))?;
            }
            return Err(failure);
        }
        other => other?,
    };
    let members = members(&applied);
    if planned.is_some_and(|planned| planned != members) {
        output.note("the roles have moved since the matrix was made; these are cut:");
    }
    for line in members {
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
    let mut follower = Follower { client, place, id };
    let ended = tokio::select! {
        ended = follower.over(spec.terms, &mut live) => ended,
        _ = interrupts.next() => {
            live.tell("interrupted; healing");
            return withdrawn(&mut follower.client, id, output).await;
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

/// Takes out what was interrupted, and says what came of that.
async fn withdrawn(client: &mut Client, id: IntentId, output: Output) -> Result<Outcome, Failure> {
    let Some(healed) = withdraw(client, id).await? else {
        output.note("interrupted before anything was put in");
        return Ok(Outcome::Interrupted);
    };
    let outcome = report::outcome(&healed).worst(Outcome::Interrupted);
    output.show(&IntentsReport::cut(healed))?;
    Ok(outcome)
}

/// Takes an intent out; `None` if there is none.
async fn withdraw(client: &mut Client, id: IntentId) -> Result<Option<Vec<wire::Intent>>, Failure> {
    match client.heal(vec![id.get()], false).await {
        Ok(healed) => Ok(Some(healed)),
        Err(failure) if failure.cause == Cause::NotFound => Ok(None),
        Err(failure) => {
            Err(failure.hint("its lease ends it if nobody renews it: `schism status` shows it"))
        }
    }
}
