//! Faults in the processes of a target: put in, followed, healed and told, whatever they do there.

mod report;

use std::time::{Duration, Instant};

use fault::{
    Aspect, Fault, FaultId, IntentId, LeaseTerms, Peers, Scheme, Selector, Status, Target,
    TermsError,
};

use crate::cli::{MannerArgs, Named, NamedError, NoPods, NoRole, WithinArgs};
use crate::connect::{self, Absence, Choice, Connection};
use crate::cut::{Plan, random, random_seed};
use crate::failure::{Cause, Failure};
use crate::host;
use crate::interrupts::Interrupts;
use crate::link::{Link, Rehearsal};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::output::quantity::time;
use crate::output::route::{describe, done};
use crate::session::live::Live;
use crate::session::{self, After, Errand, Watch};
use crate::settings::Names;
use crate::skew::replacement;
use crate::spec::{IsService, OnRestart, QuorumLoss, Within};
use report::ProcessesReport;

/// What was typed of a fault in processes, checked as far as that goes without an agent.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// What is attempted, for people.
    pub(crate) attempted: String,
    /// In whose processes.
    pub(crate) selectors: Vec<Selector>,
    /// What is done to them.
    pub(crate) within: Within,
    /// How long without a renewal.
    pub(crate) lease: Duration,
    /// How long in any case.
    pub(crate) total: Duration,
    /// Whether a group may lose its majority by it.
    pub(crate) quorum_loss: QuorumLoss,
    /// What becomes of it when pods go, if that was said.
    pub(crate) restarts: Option<OnRestart>,
    /// How it is put in and kept.
    pub(crate) manner: MannerArgs,
}

impl Asked {
    /// From which picks are drawn: what was asked for, or any.
    ///
    /// # Errors
    /// The kernel gives no random number.
    pub(crate) fn seed(&self) -> Result<u64, Failure> {
        self.manner.seed.map_or_else(random_seed, Ok)
    }
}

/// What was typed makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskedError {
    #[error(transparent)]
    Name(#[from] NamedError),
    #[error(transparent)]
    NoRole(#[from] NoRole),
    #[error(transparent)]
    NoPods(#[from] NoPods),
    #[error("{0} is no process: {1}, and addresses have none")]
    NoProcesses(String, &'static str),
    #[error(transparent)]
    Service(#[from] IsService),
    #[error("the processes of {0} may be in several control groups")]
    Groups(String),
    #[error("{0}")]
    Terms(TermsError),
}

impl AskedError {
    /// What a name stands for, if it has processes of its own. `never` says why a node has none.
    ///
    /// # Errors
    /// The name stands for nothing, or for something without.
    pub(crate) fn selectors(
        name: &Named,
        within: &WithinArgs,
        names: &Names,
        never: &'static str,
    ) -> Result<Vec<Selector>, Self> {
        let mut selectors = name.stands_for(names)?;
        within.apply(&mut selectors)?;
        IsService::none_of(&selectors)?;
        match without_processes(&selectors) {
            Some(selector) => Err(Self::NoProcesses(selector.to_string(), never)),
            None => Ok(selectors),
        }
    }

    /// One thing to do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Name(error) => error.hint(),
            Self::NoRole(error) => error.hint(),
            Self::NoPods(_) => "leave it out".to_owned(),
            Self::Service(_) => "name its pods, such as k8s:NAMESPACE/label:SELECTOR".to_owned(),
            Self::NoProcesses(..) => "name a pid:, a container:, a pod: or a netns:".to_owned(),
            Self::Groups(_) => "name a pid:, a container: or a container of a pod:".to_owned(),
            Self::Terms(TermsError::Lease) => "ask for a longer --lease".to_owned(),
            Self::Terms(TermsError::Total) => "it lasts 7 days at most".to_owned(),
        }
    }

    /// Why it is not tried.
    pub(crate) fn refused(&self, attempted: &str) -> Failure {
        Failure::new(Outcome::WrongUsage, attempted, self).hint(self.hint())
    }
}

/// What is asked of an agent.
#[derive(Clone, Debug)]
struct Wish {
    selectors: Vec<Selector>,
    within: Within,
    terms: LeaseTerms,
    seed: u64,
}

/// More faults than one intent has numbers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it would take more than 65536 faults; pick fewer targets")]
struct TooMany;

impl Wish {
    /// In whose processes, as they are found now.
    async fn targets(&self, connection: &mut Connection) -> Result<Vec<Target>, Failure> {
        let (node, link) = (&connection.description.node, &mut connection.link);
        let mut targets = Vec::new();
        for selector in &self.selectors {
            let seed = self.seed;
            let found =
                crate::resolve::targets(link, node, selector, Aspect::Processes, seed).await?;
            targets.extend(found);
        }
        Ok(targets)
    }

    /// One fault for each target.
    ///
    /// # Errors
    /// Too many of them.
    fn faults(&self, intent: IntentId, targets: &[Target]) -> Result<Vec<Fault>, TooMany> {
        let fault = |(number, target): (usize, &Target)| {
            let part = u16::try_from(number).map_err(|_| TooMany)?;
            Ok(Fault {
                id: FaultId { intent, part },
                selector: target.selector.clone(),
                target: target.identity,
                kind: self.within.into(),
                peers: Peers::default(),
                terms: self.terms,
                control_path: Vec::new(),
            })
        };
        targets.iter().enumerate().map(fault).collect()
    }
}

/// The selector that has no processes of its own, if there is one: a node's are everybody's.
pub(crate) fn without_processes(selectors: &[Selector]) -> Option<&Selector> {
    let without = |selector: &&Selector| match selector.scheme {
        Scheme::Host(_) | Scheme::Addr(_) => true,
        Scheme::Netns(_)
        | Scheme::Pid(_)
        | Scheme::Container(_)
        | Scheme::Pod(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_)
        | Scheme::Kubernetes(_) => false,
    };
    selectors.iter().find(without)
}

/// What to do where this machine has no agent.
const fn absence(manner: &MannerArgs) -> Absence {
    match (manner.detach, manner.local) {
        (true, true) => Absence::DetachLocal,
        (true, false) => Absence::Detach,
        (false, true) => Absence::BecomeAsked,
        (false, false) => Absence::Become,
    }
}

/// Has this machine's agent do it.
///
/// # Errors
/// It was not done, and why.
pub(crate) async fn run(asked: Asked, choice: Choice, output: Output) -> Result<Outcome, Failure> {
    let seed = asked.seed()?;
    let Asked { attempted, selectors, within, lease, total, manner, .. } = asked;
    let renewed = lease;
    let lease = if manner.detach { total } else { lease };
    let terms = LeaseTerms::new(lease, total)
        .map_err(|error| AskedError::Terms(error).refused(&attempted))?;
    let wish = Wish { selectors, within, terms, seed };
    let choice = Choice { absence: absence(&manner), ..choice };
    Order { wish, attempted, after: manner.after(), renewed, output }.run(&choice).await
}

/// The faults in processes of this machine, as they are found now.
///
/// # Errors
/// It makes no sense, or does not name processes.
pub(crate) async fn faults(
    intent: IntentId,
    asked: Asked,
    connection: &mut Connection,
) -> Result<(Vec<Fault>, LeaseTerms), Failure> {
    let seed = asked.seed()?;
    let Asked { attempted, selectors, within, lease, total, .. } = asked;
    let terms = LeaseTerms::new(lease, total)
        .map_err(|error| AskedError::Terms(error).refused(&attempted))?;
    let wish = Wish { selectors, within, terms, seed };
    let targets = wish.targets(connection).await?;
    let faults = wish.faults(intent, &targets);
    let faults = faults.map_err(|error| Failure::new(Outcome::WrongUsage, &attempted, error))?;
    Ok((faults, terms))
}

/// A fault on its way.
struct Order {
    wish: Wish,
    attempted: String,
    after: After,
    /// The lease that was asked for, for what somebody renews.
    renewed: Duration,
    output: Output,
}

impl Order {
    async fn run(&self, choice: &Choice) -> Result<Outcome, Failure> {
        let mut interrupts = Interrupts::listen()
            .map_err(|error| Failure::new(Outcome::Unconfirmed, &self.attempted, error))?;
        let found = connect::find(choice, self.output);
        let found = interrupts.unless(&self.attempted, found).await?;
        let Some(mut connection) = found else {
            let attempted = self.attempted.clone();
            return Err(Failure::caused(Cause::Unreachable, attempted, "there is no agent"));
        };
        let result = self.carry_out(&mut connection, &mut interrupts).await;
        host::leave(connection, &mut interrupts, self.output, result).await
    }

    async fn carry_out(
        &self,
        connection: &mut Connection,
        interrupts: &mut Interrupts,
    ) -> Result<Outcome, Failure> {
        let targets = interrupts.unless(&self.attempted, self.wish.targets(connection)).await?;
        let intent = IntentId::from_random(random()?);
        let faults = self.wish.faults(intent, &targets);
        let faults =
            faults.map_err(|error| Failure::new(Outcome::WrongUsage, &self.attempted, error))?;
        let link = &mut connection.link;
        if self.after == After::Plan {
            let prepared = link.prepare(&self.attempted, &faults, Rehearsal::Yes);
            let prepared = interrupts.unless(&self.attempted, prepared).await?;
            self.output.show(&Plan::new(self.wish.seed, faults, prepared))?;
            return Ok(Outcome::Effective);
        }
        let noun = self.wish.within.noun();
        let errand = Errand { attempted: &self.attempted, noun, output: self.output };
        let committed = match errand.begin(link, &faults, interrupts).await {
            Ok(committed) => committed,
            Err(refusal) => return Err(replacement::judged(refusal, &faults, link).await),
        };
        self.announce(&committed);
        if self.after == After::Detach {
            return self.detached(intent, committed);
        }
        if self.output.is_for_names() {
            self.output.print(&intent.to_string())?;
        }
        self.follow(link, errand, Watch::new(committed, Instant::now()), interrupts).await
    }

    fn announce(&self, committed: &[Status]) {
        let (lease, total) = (self.wish.terms.lease, self.wish.terms.total);
        for status in committed {
            self.output.note(format!(
                "{}, for {}, lease {}: {}",
                describe(&status.fault),
                time(total),
                time(lease),
                done(status)
            ));
        }
    }

    fn detached(&self, intent: IntentId, committed: Vec<Status>) -> Result<Outcome, Failure> {
        let total = self.wish.terms.total;
        let instead = if self.renewed < total {
            format!(", and not {}", time(self.renewed))
        } else {
            String::new()
        };
        self.output.note(format!(
            "detached: nobody renews it, so its lease is all of its time ({}){instead}",
            time(total)
        ));
        self.output.note(format!("end it with: schism heal {intent}"));
        self.output.show(&ProcessesReport::detached(self.wish.within, committed))?;
        Ok(Outcome::Effective)
    }

    /// Keeps the fault until it ends, heals it, and prints what it did.
    async fn follow(
        &self,
        link: &mut Link,
        errand: Errand<'_>,
        mut watch: Watch,
        interrupts: &mut Interrupts,
    ) -> Result<Outcome, Failure> {
        let mut live = Live::new(self.output);
        let end = session::hold(link, &mut watch, self.wish.terms, interrupts, &mut live).await;
        live.tell(&format!("end: {}", end.sentence()));
        let confirmation = errand.heal(link, &mut watch, &end, interrupts).await;
        let statuses = watch.statuses().cloned().collect();
        let report = ProcessesReport::ended(self.wish.within, &end, confirmation, statuses);
        if !self.output.is_for_names() {
            self.output.show(&report)?;
        }
        for note in report.notes() {
            self.output.note(note);
        }
        Ok(report.outcome())
    }
}
