//! `schism skew`.

mod report;
pub(crate) mod request;

use std::time::Instant;

use fault::{Aspect, Clock, Fault, IntentId, Skew, Status, Target};

use crate::cli::SkewArgs;
use crate::connect::{self, Absence, Choice, Connection};
use crate::cut::{Plan, random, random_seed};
use crate::failure::{Cause, Failure};
use crate::host;
use crate::interrupts::Interrupts;
use crate::link::{Link, Rehearsal};
use crate::outcome::Outcome;
use crate::output::quantity::time;
use crate::output::route::describe;
use crate::output::{Output, clocks};
use crate::session::live::Live;
use crate::session::{self, After, Errand, Watch};
use crate::settings::Names;
use report::SkewReport;
use request::{Request, RequestError};

/// Why a skew that makes no sense is not tried.
pub(crate) fn refused(attempted: &str, error: &RequestError) -> Failure {
    Failure::new(Outcome::WrongUsage, attempted, error).hint(error.hint())
}

/// Says of which clocks software believes that nobody moves them.
pub(crate) fn warn(skew: &Skew, output: Output) {
    for clock in skew.clocks.iter().filter(|clock| *clock != Clock::Realtime) {
        output.note(format!(
            "warning: software takes {clock} for a clock that nobody moves; time-outs and schedulers go \
             by it"
        ));
    }
}

/// Runs `schism skew`.
pub(crate) async fn run(
    args: &SkewArgs,
    names: &Names,
    mut choice: Choice,
    output: Output,
) -> Result<Outcome, Failure> {
    let attempted = args.attempt();
    let request = Request::new(args, names, random_seed()?);
    let request = request.map_err(|error| refused(&attempted, &error))?;
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
    let order = Order { request, attempted, after: After::of(args.dry_run, args.detach), output };
    let result = order.carry_out(&mut connection, &mut interrupts).await;
    host::leave(connection, &mut interrupts, output, result).await
}

/// A skew on its way.
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
        let targets = interrupts.unless(&self.attempted, self.targets(connection)).await?;
        let intent = IntentId::from_random(random()?);
        let faults = self.request.faults(intent, &targets);
        let faults = faults.map_err(|error| refused(&self.attempted, &error))?;
        let link = &mut connection.link;
        warn(&self.request.skew, self.output);
        if self.after == After::Plan {
            let prepared = link.prepare(&self.attempted, &faults, Rehearsal::Yes);
            let prepared = interrupts.unless(&self.attempted, prepared).await?;
            self.output.show(&Plan::new(self.request.seed, faults, prepared))?;
            return Ok(Outcome::Effective);
        }
        let errand = Errand { attempted: &self.attempted, noun: "skew", output: self.output };
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

    /// Whose clocks, as they are found now.
    async fn targets(&self, connection: &mut Connection) -> Result<Vec<Target>, Failure> {
        let (node, link) = (&connection.description.node, &mut connection.link);
        let mut targets = Vec::new();
        for selector in &self.request.selectors {
            let seed = self.request.seed;
            let found =
                crate::resolve::targets(link, node, selector, Aspect::Processes, seed).await?;
            targets.extend(found);
        }
        Ok(targets)
    }

    fn announce(&self, committed: &[Status]) {
        let (lease, total) = (self.request.terms.lease, self.request.terms.total);
        for status in committed {
            let fault: &Fault = &status.fault;
            self.output.note(format!(
                "{}, for {}, lease {}: {}",
                describe(fault),
                time(total),
                time(lease),
                clocks::moved(status.measured.as_ref())
            ));
        }
    }

    fn detached(&self, intent: IntentId, committed: Vec<Status>) -> Result<Outcome, Failure> {
        self.output.note(format!(
            "detached: nobody renews it, so its lease is all of its time ({})",
            time(self.request.terms.total)
        ));
        self.output.note(format!("end it with: schism heal {intent}"));
        self.output.show(&SkewReport::detached(committed))?;
        Ok(Outcome::Effective)
    }

    /// Keeps the skew until it ends, heals it, and prints what it did.
    async fn follow(
        &self,
        link: &mut Link,
        errand: Errand<'_>,
        mut watch: Watch,
        interrupts: &mut Interrupts,
    ) -> Result<Outcome, Failure> {
        let mut live = Live::new(self.output);
        let terms = self.request.terms;
        let end = session::hold(link, &mut watch, terms, interrupts, &mut live).await;
        live.tell(&format!("end: {}", end.sentence()));
        let confirmation = errand.heal(link, &mut watch, &end, interrupts).await;
        let report = SkewReport::ended(&end, confirmation, watch.statuses().cloned().collect());
        if !self.output.is_for_names() {
            self.output.show(&report)?;
        }
        for note in report.notes() {
            self.output.note(note);
        }
        Ok(report.outcome())
    }
}
