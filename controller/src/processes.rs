//! Faults in the processes of a target: put in, followed, healed and told, whatever they do there.

mod report;

use std::time::Instant;

use fault::{
    Aspect, Fault, FaultId, IntentId, Kind, LeaseTerms, Peers, Scheme, Selector, Status, Target,
};

use crate::connect::{self, Absence, Choice, Connection};
use crate::cut::{Plan, random};
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
use report::ProcessesReport;

/// What is asked for, checked as far as that goes without an agent.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// In whose processes.
    pub(crate) selectors: Vec<Selector>,
    /// What is done to them.
    pub(crate) kind: Kind,
    /// For how long.
    pub(crate) terms: LeaseTerms,
    /// From which picks are drawn.
    pub(crate) seed: u64,
}

/// More faults than one intent has numbers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it would take more than 65536 faults; pick fewer targets")]
pub(crate) struct TooMany;

impl Wish {
    /// One fault for each target.
    ///
    /// # Errors
    /// Too many of them.
    pub(crate) fn faults(
        &self,
        intent: IntentId,
        targets: &[Target],
    ) -> Result<Vec<Fault>, TooMany> {
        let fault = |(number, target): (usize, &Target)| {
            let part = u16::try_from(number).map_err(|_| TooMany)?;
            Ok(Fault {
                id: FaultId { intent, part },
                selector: target.selector.clone(),
                target: target.identity,
                kind: self.kind,
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
        Scheme::Netns(_) | Scheme::Pid(_) | Scheme::Container(_) | Scheme::Etcd(_) => false,
    };
    selectors.iter().find(without)
}

/// What to do where this machine has no agent.
pub(crate) const fn absence(detach: bool, local: bool) -> Absence {
    match (detach, local) {
        (true, true) => Absence::DetachLocal,
        (true, false) => Absence::Detach,
        (false, true) => Absence::BecomeAsked,
        (false, false) => Absence::Become,
    }
}

/// A fault on its way.
pub(crate) struct Order {
    /// What is asked for.
    pub(crate) wish: Wish,
    /// What is attempted, for people.
    pub(crate) attempted: String,
    /// What is put in, in a word.
    pub(crate) noun: &'static str,
    /// What to do once it acts.
    pub(crate) after: After,
    pub(crate) output: Output,
}

impl Order {
    /// Has this machine's agent do it.
    pub(crate) async fn run(&self, choice: &Choice) -> Result<Outcome, Failure> {
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
        let targets = interrupts.unless(&self.attempted, self.targets(connection)).await?;
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
        let errand = Errand { attempted: &self.attempted, noun: self.noun, output: self.output };
        let committed = errand.begin(link, &faults, interrupts).await?;
        self.announce(&committed);
        if self.after == After::Detach {
            return self.detached(intent, committed);
        }
        if self.output.is_for_names() {
            self.output.print(&intent.to_string())?;
        }
        self.follow(link, errand, Watch::new(committed, Instant::now()), interrupts).await
    }

    /// In whose processes, as they are found now.
    async fn targets(&self, connection: &mut Connection) -> Result<Vec<Target>, Failure> {
        let (node, link) = (&connection.description.node, &mut connection.link);
        let mut targets = Vec::new();
        for selector in &self.wish.selectors {
            let seed = self.wish.seed;
            let found =
                crate::resolve::targets(link, node, selector, Aspect::Processes, seed).await?;
            targets.extend(found);
        }
        Ok(targets)
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
        self.output.note(format!(
            "detached: nobody renews it, so its lease is all of its time ({})",
            time(self.wish.terms.total)
        ));
        self.output.note(format!("end it with: schism heal {intent}"));
        self.output.show(&ProcessesReport::detached(&self.wish.kind, committed))?;
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
        let report = ProcessesReport::ended(&self.wish.kind, &end, confirmation, statuses);
        if !self.output.is_for_names() {
            self.output.show(&report)?;
        }
        for note in report.notes() {
            self.output.note(note);
        }
        Ok(report.outcome())
    }
}
