//! `schism cut`.

pub(crate) mod plan;
mod prove;
pub(crate) mod report;
pub(crate) mod request;
#[cfg(test)]
pub(crate) mod specimen;

use std::collections::BTreeSet;
use std::time::Instant;

use fault::{Aspect, Fault, IntentId, LeaseTerms, Scheme, Selector, Status, seeds};

pub(crate) use plan::touched;

use crate::cli::CutArgs;
use crate::connect::{self, Absence, Choice, Connection};
use crate::failure::{Cause, Failure};
use crate::host;
use crate::interrupts::Interrupts;
use crate::link::{Link, Rehearsal};
use crate::outcome::Outcome;
use crate::output::quantity::time;
use crate::output::route::describe;
use crate::output::{Detail, Output, Report, record};
use crate::session::live::Live;
use crate::session::{self, Errand, Watch};
use crate::settings::Names;
use crate::spec::Between;
pub(crate) use plan::Plan;
use prove::{Proof, Stage};
use report::CutReport;
use request::{Direction, Party, Request, RequestError};

/// Runs `schism cut`.
pub(crate) async fn run(
    args: &CutArgs,
    names: &Names,
    mut choice: Choice,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = args.attempt();
    let request = Request::new(args, names, random_seed()?);
    let request = request.map_err(|error| refused(&attempted, &error))?;
    if matches!(request.between, Between::Partition { .. } | Between::Groups(_)) {
        return Err(apart(&attempted));
    }
    if args.follow {
        let reason = "who plays a role is known to a controller";
        return Err(Failure::caused(Cause::Unsupported, attempted, reason)
            .hint("name one with --controller, or leave --follow out"));
    }
    choice.absence = match (args.detach, args.local) {
        (true, true) => Absence::DetachLocal,
        (true, false) => Absence::Detach,
        (false, true) => Absence::BecomeAsked,
        (false, false) => Absence::Become,
    };
    let mut interrupts = Interrupts::listen()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, &attempted, error))?;
    let found = interrupts.unless(&attempted, connect::find(&choice, output)).await?;
    let Some(mut connection) = found else {
        return Err(Failure::caused(Cause::Unreachable, attempted, "there is no agent"));
    };
    let order = Order { request, attempted, after: After::from(args), output };
    let result = order.carry_out(&mut connection, &mut interrupts).await;
    host::leave(connection, &mut interrupts, output, result).await
}

/// Checks what was typed as far as that goes without an agent.
///
/// # Errors
/// It makes no sense, whatever the names stand for.
pub(crate) fn check(args: &CutArgs, names: &Names) -> Result<(), Failure> {
    Request::new(args, names, 0).map(drop).map_err(|error| refused(&args.attempt(), &error))
}

/// The faults of a cut between targets of this machine, as they are found now.
///
/// # Errors
/// It makes no sense, or does not name targets.
pub(crate) async fn faults(
    intent: IntentId,
    args: &CutArgs,
    names: &Names,
    connection: &mut Connection,
    output: Output,
) -> Result<(Vec<Fault>, LeaseTerms), Failure> {
    let attempted = args.attempt();
    let request = Request::new(args, names, random_seed()?);
    let request = request.map_err(|error| refused(&attempted, &error))?;
    let order = Order { request, attempted, after: After::Hold, output };
    let directions = order.directions(connection).await?;
    let faults = order.request.faults(intent, &directions).map_err(|e| order.refused(&e))?;
    order.tell_bystanders(&directions, &faults);
    Ok((faults, order.request.terms))
}

/// What to do once the faults are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Say what would be done.
    Plan,
    /// Leave it to the agent.
    Detach,
    /// Renew it until it ends.
    Hold,
    /// The same, with probes.
    HoldAndProve,
}

impl From<&CutArgs> for After {
    fn from(args: &CutArgs) -> Self {
        match (args.dry_run, args.detach, args.prove) {
            (true, _, _) => Self::Plan,
            (false, true, _) => Self::Detach,
            (false, false, true) => Self::HoldAndProve,
            (false, false, false) => Self::Hold,
        }
    }
}

/// A cut on its way.
struct Order {
    request: Request,
    attempted: String,
    after: After,
    output: Output,
}

impl Order {
    async fn carry_out(
        &self,
        connection: &mut Connection,
        interrupts: &mut Interrupts,
    ) -> Result<Outcome, Failure> {
        let directions = self.directions(connection);
        let directions = interrupts.unless(&self.attempted, directions).await?;
        let intent = IntentId::from_random(random()?);
        let faults = self.request.faults(intent, &directions).map_err(|e| self.refused(&e))?;
        let link = &mut connection.link;
        self.tell_bystanders(&directions, &faults);
        if self.after == After::Plan {
            let prepared = link.prepare(&self.attempted, &faults, Rehearsal::Yes);
            let prepared = interrupts.unless(&self.attempted, prepared).await?;
            self.output.show(&Plan::new(self.request.cut.seed, faults, prepared))?;
            return Ok(Outcome::Effective);
        }
        let mut proof = match self.after {
            After::HoldAndProve => Some(Proof::plan(&self.request, &directions)),
            After::Plan | After::Detach | After::Hold => None,
        };
        if let Some(proof) = &mut proof {
            self.output.note("probing before the cut");
            let measured = async { Ok(proof.measure(link).await) };
            let counts = interrupts.unless(&self.attempted, measured).await?;
            proof.record(Stage::Before, counts);
        }
        let committed = self.errand().begin(link, &faults, interrupts).await?;
        if self.after == After::Detach {
            self.detached(intent, &committed)?;
            return Ok(Outcome::Effective);
        }
        self.announce(&committed);
        if self.output.is_for_names() {
            self.output.print(&intent.to_string())?;
        }
        self.follow(link, Watch::new(committed, Instant::now()), proof, interrupts).await
    }

    /// Both sides, as they are found now.
    async fn directions(&self, connection: &mut Connection) -> Result<Vec<Direction>, Failure> {
        let Between::Pair { from, to, .. } = &self.request.between else {
            return Err(apart(&self.attempted));
        };
        let [first, second] = seeds(self.request.cut.seed);
        let from = self.parties(connection, from, first).await?;
        let to = self.parties(connection, to, second).await?;
        self.request.directions(&from, &to).map_err(|error| self.refused(&error))
    }

    /// What selectors name together.
    async fn parties(
        &self,
        connection: &mut Connection,
        selectors: &[Selector],
        seed: u64,
    ) -> Result<Vec<Party>, Failure> {
        let (node, link) = (&connection.description.node, &mut connection.link);
        let mut parties = Vec::new();
        for selector in selectors {
            match &selector.scheme {
                Scheme::Addr(prefix) => parties.push(Party::Addresses(prefix.clone())),
                Scheme::Netns(_)
                | Scheme::Pid(_)
                | Scheme::Container(_)
                | Scheme::Pod(_)
                | Scheme::Host(_)
                | Scheme::Etcd(_)
                | Scheme::Zeebe(_)
                | Scheme::Kubernetes(_) => {
                    let found =
                        crate::resolve::targets(link, node, selector, Aspect::Network, seed)
                            .await?;
                    parties.extend(found.into_iter().map(|one| Party::Target(Box::new(one))));
                }
            }
        }
        Ok(parties)
    }

    fn errand(&self) -> Errand<'_> {
        Errand { attempted: &self.attempted, noun: "cut", output: self.output }
    }

    /// Names who else lives in the namespaces that the cut acts on.
    fn tell_bystanders(&self, directions: &[Direction], faults: &[Fault]) {
        // The plan of a dry run says it part by part.
        if self.after == After::Plan {
            return;
        }
        let mut told = BTreeSet::new();
        let parties = directions.iter().flat_map(|direction| [&direction.from, &direction.to]);
        for party in parties {
            let Party::Target(target) = party else { continue };
            let acted_on = faults.iter().any(|fault| fault.target == target.identity);
            if acted_on && target.process_count > 1 && told.insert(target.identity.namespace) {
                self.output
                    .note(format!("note: the cut acts on {}", touched(target, Detail::Normal)));
            }
        }
    }

    fn announce(&self, committed: &[Status]) {
        let LeaseTerms { lease, total } = self.request.terms;
        for status in committed {
            let fault = &status.fault;
            self.output.note(format!(
                "{}, for {}, lease {}{}",
                describe(fault),
                time(total),
                time(lease),
                fault.kind.cut().map_or_else(String::new, |cut| format!(", seed {}", cut.seed)),
            ));
        }
    }

    fn detached(&self, intent: IntentId, committed: &[Status]) -> Result<(), Failure> {
        self.announce(committed);
        self.output.note(format!(
            "detached: nobody renews it, so its lease is all of its time ({}); effect not yet known",
            time(self.request.terms.total)
        ));
        self.output.note(format!("end it with: schism heal {intent}"));
        self.output.show(&Detached {
            schema: "schism.cut/v1",
            id: intent.to_string(),
            seed: self.request.cut.seed,
            ended: None,
            faults: committed,
        })
    }

    /// Keeps the cut until it ends, heals it, and prints what it did.
    async fn follow(
        &self,
        link: &mut Link,
        mut watch: Watch,
        mut proof: Option<Proof>,
        interrupts: &mut Interrupts,
    ) -> Result<Outcome, Failure> {
        let mut live = Live::new(self.output);
        let during = proof.as_ref().map(|proof| proof.send(link));
        let terms = self.request.terms;
        let end = session::hold(link, &mut watch, terms, interrupts, &mut live).await;
        let ended = Instant::now();
        live.tell(&format!("end: {}", end.sentence()));

        let confirmation = self.errand().heal(link, &mut watch, &end, interrupts).await;
        if let (Some(proof), Some(during)) = (&mut proof, during) {
            proof.record_during(during, ended).await;
            let counts = tokio::select! {
                counts = proof.measure(link) => Some(counts),
                _ = interrupts.next() => None,
            };
            match counts {
                Some(counts) => proof.record(Stage::After, counts),
                None => proof.spoil(Stage::After, "interrupted"),
            }
            proof.judge();
        }
        let faults = watch.statuses().cloned().collect();
        let report = CutReport::new(&end, confirmation, faults, self.request.cut.seed, proof);
        if !self.output.is_for_names() {
            self.output.show(&report)?;
        }
        for note in report.notes() {
            self.output.note(note);
        }
        Ok(report.outcome())
    }

    fn refused(&self, error: &RequestError) -> Failure {
        refused(&self.attempted, error)
    }
}

/// A cut that is left to its agent.
#[derive(serde::Serialize)]
struct Detached<'a> {
    schema: &'static str,
    id: String,
    seed: u64,
    ended: Option<&'static str>,
    #[serde(serialize_with = "record::faults")]
    faults: &'a [Status],
}

impl Report for Detached<'_> {
    fn text(&self, _detail: Detail) -> String {
        self.id.clone()
    }

    fn names(&self) -> Vec<String> {
        vec![self.id.clone()]
    }
}

pub(crate) fn refused(attempted: &str, error: &RequestError) -> Failure {
    Failure::new(Outcome::WrongUsage, attempted, error).hint(error.hint())
}

fn apart(attempted: &str) -> Failure {
    let reason = "a group falls apart through a controller only";
    Failure::caused(Cause::Unsupported, attempted, reason)
        .hint("start one with `schism serve`, and say --controller")
}

/// A seed of 53 bits: JSON's readers keep numbers as doubles.
pub(crate) fn random_seed() -> Result<u64, Failure> {
    Ok(random()? >> 11)
}

pub(crate) fn random() -> Result<u64, Failure> {
    getrandom::u64()
        .map_err(|error| Failure::new(Outcome::Unconfirmed, "cannot draw a random number", error))
}
