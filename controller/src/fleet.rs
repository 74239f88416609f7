//! Commands that go through a controller.

mod agents;
mod applying;
mod brake;
pub(crate) mod capture;
pub(crate) mod client;
pub(crate) mod cut;
pub(crate) mod disrupted;
pub(crate) mod disruption;
mod ending;
mod ends;
mod follow;
mod listing;
mod live;
pub(crate) mod order;
pub(crate) mod outcome;
pub(crate) mod processes;
mod report;
mod roles;
pub(crate) mod runs;

use std::collections::BTreeMap;

use experiment::hint::MARK;
use experiment::run::invocation::Concern;
use fault::{
    ClusterPath, EtcdMembers, EtcdRole, IntentId, Pick, Scheme, Selector, Status, ZeebeMembers,
    ZeebeRole,
};
use proto::control as wire;
use serde_json::{Value, json};

use crate::cli::{HealArgs, StatusArgs};
use crate::control::{has_ended, is_over};
use crate::failure::{Cause, Failure};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::settings::Controller;
use crate::spec::Spec;
use agents::AgentsReport;
use brake::BrakeReport;
use client::Client;
use ends::{EndRecord, EndsReport};
use listing::ListingReport;
pub(crate) use outcome::unconfirmed;
use report::IntentsReport;

/// What ends are, by name: a selector each.
pub(crate) fn names(ends: Vec<wire::End>) -> Vec<String> {
    ends.into_iter().map(|end| EndRecord::from(end).name()).collect()
}

/// Why an intent failed or was ended, and what to do about it behind that, where somebody has said so.
pub(crate) fn why(intent: &wire::Intent) -> String {
    match intent.hint.as_str() {
        "" => intent.reason.clone(),
        hint => format!("{}{MARK}{hint}", intent.reason),
    }
}

/// An intent as a journal has it: who was meant by its selectors, and each of its faults with its node.
pub(crate) fn record(intent: &wire::Intent) -> Value {
    let faults = intent.parts.iter().filter_map(|part| {
        let status = Status::try_from(part.status.clone()?).ok()?;
        let mut record = serde_json::to_value(status).ok()?;
        record["node"] = part.node.as_str().into();
        Some(record)
    });
    let ends = intent.ends.iter().cloned().map(EndRecord::from).collect::<Vec<_>>();
    let id = IntentId::from_random(intent.id).to_string();
    json!({"id": id, "ends": ends, "faults": faults.collect::<Vec<_>>()})
}

/// Connects to a controller, and says which that is and whether the brake is on.
///
/// # Errors
/// It cannot be reached.
pub(crate) async fn connect(place: &Controller, output: Output) -> Result<Client, Failure> {
    let (client, about) = reach(place, output).await?;
    if !about.halted.is_empty() {
        output.note(format!("the brake is on: {}", fault::Legible(&about.halted)));
    }
    Ok(client)
}

/// Connects to a controller, and says which that is.
async fn reach(place: &Controller, output: Output) -> Result<(Client, wire::Description), Failure> {
    let mut client = Client::open(place).await?;
    let about = client.describe().await.map_err(|failure| {
        if !matches!(failure.cause, Cause::Unreachable | Cause::Other) {
            return failure;
        }
        failure.hint(
            "a user's certificate that is still issued is needed, at the port for commands \
             (--listen-control): whoever is not admitted is disconnected without a word",
        )
    })?;
    output.note(format!(
        "controller: {} (epoch {}), as {}",
        client::name(place),
        about.epoch,
        fault::Legible(&about.caller)
    ));
    Ok((client, about))
}

/// `schism heal` through a controller.
pub(crate) async fn heal(
    args: &HealArgs,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut client = connect(place, output).await?;
    let wire::ListReply { intents: known, runs, disruptions, .. } = client.all().await?;
    let (mut ids, mut ending) = (Vec::new(), Vec::new());
    for name in &args.ids {
        if name.is_of_a_part() {
            let reason = "a controller ends an intent as a whole, not one part of it";
            return Err(Failure::caused(Cause::WrongUsage, format!("cannot heal {name}"), reason)
                .hint("leave out what follows the dot"));
        }
        let of_disruptions = disruptions.iter().map(|one| one.id);
        let matching: Vec<u64> = known
            .iter()
            .map(|intent| intent.id)
            .chain(of_disruptions)
            .map(IntentId::from_random)
            .filter(|id| name.names(*id))
            .map(IntentId::get)
            .collect();
        let attempted = format!("cannot heal {name}");
        let named = runs.iter().filter(|run| name.names(IntentId::from_random(run.id)));
        let named: Vec<u64> = named.map(|run| run.id).collect();
        match (matching.as_slice(), named.as_slice()) {
            ([one], []) => ids.push(*one),
            ([], [run]) => ending.push(*run),
            ([], []) => {
                return Err(Failure::not_found(
                    attempted,
                    "the controller has no such fault or run",
                )
                .hint("`schism status --all` lists those that it has"));
            }
            _ => {
                let reason = "several intents begin like that";
                return Err(Failure::caused(Cause::WrongUsage, attempted, reason));
            }
        }
    }
    let goes_on =
        |run: &wire::Run| !matches!(run.phase(), wire::RunPhase::Owed | wire::RunPhase::Ended);
    // First of all: a run would put in the next one.
    let ended = if !ending.is_empty() || args.all && runs.iter().any(goes_on) {
        client.end_runs(ending, args.all).await?
    } else {
        Vec::new()
    };
    let healed = if ids.is_empty() && !args.all {
        wire::HealReply::default()
    } else {
        client.end(ids, args.all).await?
    };
    let ended = ending::over(&mut client, ended, output).await;
    healed_all(healed, ended, output)
}

/// Ends every intent that `is_meant`, through a controller.
///
/// # Errors
/// The controller cannot be asked.
pub(crate) async fn heal_all(
    is_meant: impl Fn(&Spec) -> bool,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut client = connect(place, output).await?;
    let meant = client.list().await?.into_iter().filter(|intent| {
        let spec = intent.spec.clone().and_then(|spec| Spec::try_from(spec).ok());
        !is_over(intent) && spec.is_some_and(|spec| is_meant(&spec))
    });
    let ids: Vec<u64> = meant.map(|intent| intent.id).collect();
    let intents = if ids.is_empty() { Vec::new() } else { client.heal(ids, false).await? };
    let healed = wire::HealReply { intents, ..wire::HealReply::default() };
    healed_all(healed, Vec::new(), output)
}

/// Tells what was ended, and what of it is not confirmed to be out.
fn healed_all(
    healed: wire::HealReply,
    ended: Vec<wire::Run>,
    output: Output,
) -> Result<Outcome, Failure> {
    let wire::HealReply { intents, disruptions } = healed;
    let undone = disruptions.iter().map(disrupted::undone);
    let undone = undone.fold(Outcome::Effective, Outcome::worst);
    let outcome = outcome::confirmed(&intents).worst(ending::outcome(&ended)).worst(undone);
    for sentence in intents.iter().filter_map(unconfirmed) {
        output.note(sentence);
    }
    output.show(&IntentsReport::heal(intents, ended, disruptions).coming_to(outcome))?;
    Ok(outcome)
}

/// Ends an intent of a controller. What stays of it and does nothing any more is told.
///
/// # Errors
/// It is not confirmed that nothing of it acts.
pub(crate) async fn end(id: IntentId, place: &Controller, output: Output) -> Result<(), Failure> {
    let healed = connect(place, output).await?.heal(vec![id.get()], false).await?;
    for intent in &healed {
        let Some(sentence) = unconfirmed(intent) else { continue };
        if !outcome::is_inert(intent) {
            let attempted = format!("cannot confirm the heal of {id}");
            return Err(Failure::new(Outcome::Unconfirmed, attempted, sentence));
        }
        output.note(sentence);
    }
    Ok(())
}

/// `schism status` through a controller.
pub(crate) async fn status(
    args: &StatusArgs,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    // Its report says how the brake stands.
    let (mut client, _) = reach(place, output).await?;
    let mut look = async || {
        let mut told = client.all().await?;
        told.intents.retain(|intent| args.all || outcome::stands(intent));
        told.intents.sort_by_key(|intent| intent.asked);
        told.runs.retain(|run| args.all || !has_ended(run));
        told.runs.sort_by_key(|run| run.asked);
        told.disruptions.retain(|one| args.all || !crate::disruption::is_over(one));
        told.disruptions.sort_by_key(|one| one.asked);
        Ok(IntentsReport::status(told))
    };
    if args.watch {
        return crate::status::again(output, look).await;
    }
    output.show(&look().await?)?;
    Ok(Outcome::Effective)
}

/// `schism targets` through a controller.
pub(crate) async fn targets(
    sought: &[Selector],
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut client = connect(place, output).await?;
    if sought.is_empty() {
        let listing = ListingReport::new(client.targets().await?);
        for gap in listing.gaps() {
            output.note(format!("note: {gap}"));
        }
        output.show(&listing)?;
        return Ok(Outcome::Effective);
    }
    let mut ends = Vec::new();
    for selector in sought {
        let aspect = crate::resolve::aspect(selector, Concern::Anything);
        ends.extend(client.resolve(selector, aspect, 0).await?);
    }
    output.show(&EndsReport::new(ends))?;
    Ok(Outcome::Effective)
}

/// `schism targets -n NAMESPACE` through a controller: all members of whatever is found there.
pub(crate) async fn members(
    path: &ClusterPath,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let mut client = connect(place, output).await?;
    let cluster = Some(path.clone());
    let zeebe = |role| Scheme::Zeebe(ZeebeMembers { cluster: cluster.clone(), role });
    let of_etcd = EtcdMembers { cluster: cluster.clone(), role: EtcdRole::Any };
    let groups =
        [vec![Scheme::Etcd(of_etcd)], vec![zeebe(ZeebeRole::AnyBroker), zeebe(ZeebeRole::Gateway)]];
    let (mut ends, mut failures) = (Vec::new(), Vec::new());
    for group in groups {
        for scheme in group {
            let all = Selector { pick: Some(Pick::All), scheme, node: None };
            match client.resolve(&all, fault::Aspect::Network, 0).await {
                Ok(found) => ends.extend(found),
                Err(failure) => {
                    failures.push(failure);
                    break;
                }
            }
        }
    }
    if ends.is_empty() {
        let nobody = || Failure::not_found("cannot look for targets", "there is nothing");
        return Err(failures.into_iter().next().unwrap_or_else(nobody));
    }
    for failure in failures {
        output.note(format!("note: {}", failure.reason));
    }
    output.show(&EndsReport::new(ends))?;
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
    brake(&BrakeReport::on(client.halt(reason).await?), output)
}

/// `schism resume`.
pub(crate) async fn resume(place: &Controller, output: Output) -> Result<Outcome, Failure> {
    let mut client = connect(place, output).await?;
    brake(&BrakeReport::off(client.resume().await?), output)
}

fn brake(report: &BrakeReport, output: Output) -> Result<Outcome, Failure> {
    output.show(report)?;
    Ok(report.outcome())
}

/// Whether something happened in each direction of an intent, at one of its ends at least: what one end
/// loses never comes to the other. All that a service leads to is one end. Of what has no direction at each of its
/// targets; nothing where nothing was heard.
pub(crate) fn happened(intent: &wire::Intent) -> Vec<bool> {
    let statuses = statuses(intent);
    if statuses.is_empty() {
        return Vec::new();
    }
    if intent.cuts.is_empty() {
        // Of a pod that went another one has taken the place.
        let stayed = staying(intent);
        return match stayed.as_slice() {
            [] => vec![statuses.iter().any(Status::happened)],
            stayed => stayed.iter().map(Status::happened).collect(),
        };
    }
    let at = |part: &u32| {
        let mut of = statuses.iter().filter(|status| u32::from(status.fault.id.part) == *part);
        of.any(Status::happened)
    };
    let mut all: BTreeMap<(Side, Side), bool> = BTreeMap::new();
    for cut in &intent.cuts {
        let between = (Side::of(intent, cut.from), Side::of(intent, cut.to));
        *all.entry(between).or_default() |= cut.parts.iter().any(at);
    }
    all.into_values().collect()
}

/// An end of a cut as it was meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    End(u32),
    Service(String),
}

impl Side {
    fn of(intent: &wire::Intent, end: u32) -> Self {
        let found = intent.ends.get(usize::try_from(end).unwrap_or(usize::MAX));
        let selector = found.and_then(|end| Selector::try_from(end.selector.clone()?).ok());
        match selector {
            Some(selector) if selector.is_service() => Self::Service(selector.to_string()),
            Some(_) | None => Self::End(end),
        }
    }
}

/// The last that was heard of each part that no other one has taken the place of, nor could have.
pub(crate) fn staying(intent: &wire::Intent) -> Vec<Status> {
    let parts = intent.parts.iter().filter(|part| !part.let_go);
    let told = parts.filter_map(|part| part.status.clone());
    told.filter_map(|status| status.try_into().ok()).collect()
}

/// The last that was heard of each part.
pub(crate) fn statuses(intent: &wire::Intent) -> Vec<Status> {
    let told = intent.parts.iter().filter_map(|part| part.status.clone());
    told.filter_map(|status| status.try_into().ok()).collect()
}
