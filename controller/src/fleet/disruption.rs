//! `schism pod` and `schism node`: what the API server of a controller's cluster is asked for, followed to its end.

use fault::{IntentId, NodeName};
use proto::control as wire;

use super::client::{self, Client};
use super::connect;
use super::disrupted::{self, DisruptionReport};
use crate::cli::{CordonArgs, DrainArgs, NodeCommand, PodCommand};
use crate::disruption::{Disruption, Inmates, Manner, What, is_over, names_a_part};
use crate::failure::{Cause, Failure};
use crate::interrupts::Interrupts;
use crate::link::Rehearsal;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::processes::AskedError;
use crate::session::After;
use crate::session::live::{Line, Live, Weight};
use crate::settings::{Controller, Names};
use crate::spec::QuorumLoss;

/// What is asked for, and what to do once it stands.
#[derive(Debug)]
struct Errand {
    /// What is attempted, for people.
    attempted: String,
    asked: Disruption,
    after: After,
    output: Output,
}

/// `schism pod`.
///
/// # Errors
/// It was not done, and why.
pub(crate) async fn pods(
    command: &PodCommand,
    names: &Names,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let (attempted, asked) = removal(command, names)?;
    let after = After::of(command.pods().dry_run, false);
    Errand { attempted, asked, after, output }.carry_out(place).await
}

/// What is attempted, for people, and what is asked for, checked as far as that goes without a controller.
///
/// # Errors
/// It makes no sense.
pub(crate) fn removal(
    command: &PodCommand,
    names: &Names,
) -> Result<(String, Disruption), Failure> {
    let pods = command.pods();
    let (manner, grace) = match command {
        PodCommand::Restart(args) => (Manner::Restart, args.grace),
        PodCommand::Terminate(_) => (Manner::Terminate, None),
        PodCommand::Evict(args) => (Manner::Evict, args.grace),
    };
    let (patience, insistence) = match command {
        PodCommand::Restart(args) => (args.timeout, None),
        PodCommand::Terminate(_) => (std::time::Duration::ZERO, None),
        // Who goes on asking waits at least as long.
        PodCommand::Evict(args) => {
            (args.timeout.saturating_add(args.insistence.unwrap_or_default()), args.insistence)
        }
    };
    let attempted = format!("cannot {} {}", manner.noun(), pods.target);
    let refused = |error: AskedError| error.refused(&attempted);
    let targets = pods.target.stands_for(names).map_err(|error| refused(error.into()));
    let mut targets = targets?;
    pods.within.apply(&mut targets).map_err(|error| refused(error.into()))?;
    if let Some(part) = targets.iter().find(|target| names_a_part(target)) {
        let reason = format!("{part} names no pods, and they go as a whole");
        return Err(Failure::new(Outcome::WrongUsage, attempted, reason)
            .hint("name pods, such as k8s:NAMESPACE/pod/NAME or k8s:NAMESPACE/sts/NAME"));
    }
    let seed = pods.seed.map_or_else(crate::cut::random_seed, Ok)?;
    let asked = Disruption {
        what: What::Removal { manner, targets, grace: grace.map(cluster::Grace) },
        seed,
        quorum_loss: QuorumLoss::of(pods.allow_quorum_loss),
        patience,
        insistence: insistence.unwrap_or_default(),
    };
    Ok((attempted, asked))
}

/// `schism node`.
///
/// # Errors
/// It was not done, and why.
pub(crate) async fn node(
    command: &NodeCommand,
    place: &Controller,
    output: Output,
) -> Result<Outcome, Failure> {
    let (args, asked) = match command {
        NodeCommand::Uncordon(args) => return uncordon(&args.node, place, output).await,
        NodeCommand::Cordon(args) => (args, cordon(args)),
        NodeCommand::Drain(args) => (&args.cordon, drain(args)),
    };
    let attempted = format!("cannot {}", asked.to_string().trim_start_matches("node "));
    let after = After::of(args.dry_run, args.detach);
    Errand { attempted, asked, after, output }.carry_out(place).await
}

/// What `node drain` asks for.
pub(crate) fn drain(args: &DrainArgs) -> Disruption {
    let CordonArgs { node, total, .. } = &args.cordon;
    let inmates = Inmates::Evicted(args.grace.map(cluster::Grace));
    Disruption {
        what: What::Cordon { node: node.clone(), total: *total, inmates },
        seed: 0,
        quorum_loss: QuorumLoss::of(args.allow_quorum_loss),
        patience: args.timeout,
        insistence: args.timeout,
    }
}

/// What `node cordon` asks for.
pub(crate) fn cordon(args: &CordonArgs) -> Disruption {
    Disruption {
        what: What::Cordon { node: args.node.clone(), total: args.total, inmates: Inmates::Stay },
        seed: 0,
        quorum_loss: QuorumLoss::Refused,
        patience: std::time::Duration::ZERO,
        insistence: std::time::Duration::ZERO,
    }
}

/// What keeps pods from a node, of those that are known.
pub(crate) fn cordoning(known: &[wire::Disruption], node: &NodeName) -> Vec<IntentId> {
    let is_of_node = |one: &&wire::Disruption| {
        let what = one.spec.as_ref().and_then(|spec| spec.what.as_ref());
        match what {
            Some(wire::disruption_spec::What::Cordon(cordon)) => cordon.node == node.as_str(),
            Some(wire::disruption_spec::What::Removal(_)) | None => false,
        }
    };
    let standing = known.iter().filter(|one| !is_over(one)).filter(is_of_node);
    standing.map(|one| IntentId::from_random(one.id)).collect()
}

/// Ends what keeps pods from a node, if it is ours.
async fn uncordon(node: &NodeName, place: &Controller, output: Output) -> Result<Outcome, Failure> {
    let mut client = connect(place, output).await?;
    let ids = cordoning(&client.all().await?.disruptions, node);
    let ids: Vec<u64> = ids.into_iter().map(IntentId::get).collect();
    if ids.is_empty() {
        let attempted = format!("cannot uncordon {node}");
        return Err(Failure::not_found(attempted, "this controller has not cordoned it")
            .hint("what somebody else has cordoned they uncordon: `kubectl uncordon`"));
    }
    let ended = client.end(ids, false).await?.disruptions;
    let mut outcome = Outcome::Effective;
    for one in &ended {
        let own = disrupted::undone(one);
        outcome = outcome.worst(own);
        output.show(&DisruptionReport::new(one, own))?;
    }
    Ok(outcome)
}

impl Errand {
    async fn carry_out(&self, place: &Controller) -> Result<Outcome, Failure> {
        let Self { attempted, asked, after, output } = self;
        let mut interrupts = Interrupts::listen()
            .map_err(|error| Failure::new(Outcome::Unconfirmed, attempted, error))?;
        let mut client = interrupts.unless(attempted, connect(place, *output)).await?;
        let id = IntentId::from_random(crate::cut::random()?);
        let rehearsal = if *after == After::Plan { Rehearsal::Yes } else { Rehearsal::No };
        let begun = tokio::select! {
            begun = client.disrupt(attempted, id.get(), asked.into(), rehearsal) => begun,
            _ = interrupts.next() => return self.withdrawn(&mut client, id).await,
        };
        let mut told = match begun {
            // Nobody knows whether it was begun.
            Err(failure) if failure.cause == Cause::Unreachable => {
                let _ = client.end(vec![id.get()], false).await;
                return Err(failure);
            }
            begun => begun?,
        };
        let mut live = Live::new(*output);
        let mut last: Option<wire::Disruption> = None;
        loop {
            let message = tokio::select! {
                message = told.message() => message,
                _ = interrupts.next() => {
                    live.tell("interrupted; undoing");
                    return self.withdrawn(&mut client, id).await;
                }
            };
            let one = match message {
                Ok(Some(one)) => one,
                Ok(None) => return Err(self.lost(id, "the controller closed the connection")),
                Err(status) => return Err(self.lost(id, &client::reason(&status))),
            };
            self.tell(&mut live, last.as_ref(), &one);
            let stands = one.stage() == wire::DisruptionStage::Standing;
            let over =
                is_over(&one) || *after == After::Plan || (*after == After::Detach && stands);
            if !over {
                last = Some(one);
                continue;
            }
            live.clear();
            let outcome = disrupted::outcome(&one);
            output.show(&DisruptionReport::new(&one, outcome))?;
            match after {
                After::Plan => output.note("dry run: nothing was touched"),
                After::Detach if stands => output.note(format!("end it with: schism heal {id}")),
                After::Detach | After::Hold => {}
            }
            return Ok(outcome);
        }
    }

    /// Says what has become of it since.
    fn tell(&self, live: &mut Live, last: Option<&wire::Disruption>, one: &wire::Disruption) {
        let id = IntentId::from_random(one.id);
        let stage = disrupted::stage(one.stage());
        match last {
            None => live.tell(&match self.asked.what {
                What::Removal { .. } => format!("{id} {}, seed {}", self.asked, self.asked.seed),
                What::Cordon { .. } => format!("{id} {}", self.asked),
            }),
            Some(last) if last.stage != one.stage => live.tell(&format!("{id} is {stage}")),
            Some(_) => {}
        }
        let is_done = |pod: &&wire::RemovedPod| match pod.fate() {
            wire::removed_pod::Fate::Gone => {
                !matches!(self.asked.what, What::Removal { manner: Manner::Restart, .. })
            }
            wire::removed_pod::Fate::Replaced => true,
            wire::removed_pod::Fate::Unspecified
            | wire::removed_pod::Fate::Pending
            | wire::removed_pod::Fate::Going
            | wire::removed_pod::Fate::Refused
            | wire::removed_pod::Fate::Failed => false,
        };
        let mut line = Line::new(format!("{id} {stage}"));
        if !one.pods.is_empty() {
            let done = one.pods.iter().filter(is_done).count();
            line.push(Weight::Part, format!("  {done} of {} pods", one.pods.len()));
        }
        if let Some(pod) = one.pods.iter().find(|pod| !pod.trouble.is_empty()) {
            let trouble = fault::Legible(&pod.trouble);
            line.push(Weight::Detail, format!("  {}: {trouble}", pod.pod));
        }
        live.rewrite(&line);
    }

    /// Ends what was interrupted, and says what came of that.
    async fn withdrawn(&self, client: &mut Client, id: IntentId) -> Result<Outcome, Failure> {
        let ended = match client.end(vec![id.get()], false).await {
            Ok(ended) => ended.disruptions,
            Err(failure) if failure.cause == Cause::NotFound => Vec::new(),
            Err(failure) => {
                return Err(failure.hint("the controller undoes in time what is to be undone"));
            }
        };
        if ended.is_empty() {
            self.output.note("interrupted before anything was done");
        }
        let mut outcome = Outcome::Interrupted;
        for one in &ended {
            outcome = outcome.worst(disrupted::undone(one));
            self.output.show(&DisruptionReport::new(one, outcome))?;
        }
        Ok(outcome)
    }

    fn lost(&self, id: IntentId, reason: &str) -> Failure {
        Failure::caused(Cause::Unreachable, self.attempted.clone(), reason).hint(format!(
            "`schism status` shows what became of {id}; the next controller undoes what is to be undone"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn typed(line: &str) -> Result<Disruption, String> {
        let words = format!("schism {line}");
        let cli = Cli::try_parse_from(words.split(' ')).map_err(|error| error.to_string())?;
        if let Command::Pod(args) = &cli.command {
            let asked = removal(&args.command, &Names::default());
            return asked.map(|(_, asked)| asked).map_err(|failure| failure.text());
        }
        let Command::Node(args) = &cli.command else { panic!("{words}") };
        match &args.command {
            NodeCommand::Cordon(args) => Ok(cordon(args)),
            NodeCommand::Drain(args) => Ok(drain(args)),
            NodeCommand::Uncordon(_) => Err("nothing is asked for".to_owned()),
        }
    }

    #[test]
    fn pods_as_they_are_typed() {
        let seconds = Duration::from_secs;
        let web = "k8s:prod/sts/web/0";
        let table = [
            (format!("pod restart {web}"), Manner::Restart, None, (300, 0)),
            (
                format!("pod restart {web} --grace 10s --timeout 1m"),
                Manner::Restart,
                Some(10),
                (60, 0),
            ),
            (format!("pod restart {web} --grace 0s"), Manner::Restart, Some(0), (300, 0)),
            (format!("pod terminate {web}"), Manner::Terminate, None, (0, 0)),
            (format!("pod evict {web}"), Manner::Evict, None, (300, 0)),
            (format!("pod evict {web} --for 1m --timeout 30s"), Manner::Evict, None, (90, 60)),
        ];
        for (line, manner, grace, (patience, insistence)) in table {
            let asked = typed(&line).unwrap();
            let grace = grace.map(cluster::Grace);
            let targets = vec![web.parse().unwrap()];
            assert_eq!(asked.what, What::Removal { manner, targets, grace }, "{line}");
            let times = (asked.patience, asked.insistence);
            assert_eq!(times, (seconds(patience), seconds(insistence)), "{line}");
        }
        let drawn =
            typed("pod evict one:k8s:prod/label:app=web --seed 9 --allow-quorum-loss").unwrap();
        assert_eq!((drawn.seed, drawn.quorum_loss), (9, QuorumLoss::Allowed));
        let member = typed("pod terminate etcd:leader -n store").unwrap();
        assert_eq!(member.to_string(), "pod terminate etcd:store/leader");
    }

    #[test]
    fn nodes_as_they_are_typed() {
        let asked = typed("node cordon n1 --for 2m").unwrap();
        let node = NodeName::new("n1").unwrap();
        let (total, inmates) = (Duration::from_secs(120), Inmates::Stay);
        assert_eq!(asked.what, What::Cordon { node, total, inmates });
        let asked = typed("node drain n1 --grace 2s --timeout 9s").unwrap();
        assert_eq!(asked.total(), Some(Duration::from_secs(300)));
        let times = (asked.patience, asked.insistence);
        assert_eq!(times, (Duration::from_secs(9), Duration::from_secs(9)));
        let What::Cordon { inmates, .. } = asked.what else { panic!() };
        assert_eq!(inmates, Inmates::Evicted(Some(cluster::Grace(2))));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let table = [
            ("pod restart k8s:prod/pod/web-0/app", "names no pods"),
            ("pod evict k8s:prod/svc/web", "names no pods"),
            ("pod terminate pid:7", "names no pods"),
            ("pod terminate k8s:prod/pod/a -n prod", "where roles are looked for"),
            ("pod restart k8s:prod/pod/a --grace 1500ms", "whole seconds"),
            ("pod terminate k8s:prod/pod/a --grace 1s", "unexpected argument"),
            ("node cordon n1/x", "a node's name"),
            ("node cordon n1 --for 0s", "invalid value"),
            ("node cordon n1 --dry-run --detach", "cannot be used with"),
            ("node uncordon", "required"),
        ];
        for (line, expected) in table {
            let error = typed(line).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
