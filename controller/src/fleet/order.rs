//! What is asked of a controller on its way: put in, followed to its end, taken out where interrupted.

use std::time::Duration;

use fault::{IntentId, LeaseTerms};
use proto::control as wire;
use tokio::time::Instant;

use super::applying::Applying;
use super::client::Client;
use super::connect;
use super::ends::members;
use super::follow::Follower;
use super::outcome;
use super::report::{self, IntentsReport};
use super::roles::Roles;
use crate::control::is_over;
use crate::failure::{Cause, Failure};
use crate::interrupts::Interrupts;
use crate::link::Rehearsal;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::session::After;
use crate::session::live::Live;
use crate::settings::Controller;
use crate::spec::{Between, Spec, What};

/// The shortest time for which it is worth going with roles that have moved.
const WORTH: Duration = Duration::from_secs(1);

/// What is done about roles that move while a cut acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moves {
    /// They are told.
    Told,
    /// Whom they have come to is cut instead.
    Followed,
}

/// What is asked for, and what to do once it acts.
pub(crate) struct Order {
    /// What is attempted, for people.
    pub(crate) attempted: String,
    pub(crate) spec: Spec,
    pub(crate) after: After,
    pub(crate) roles: Moves,
    pub(crate) output: Output,
}

impl Order {
    /// Has a controller do it.
    ///
    /// # Errors
    /// It was not done, and why.
    pub(crate) async fn carry_out(&self, place: &Controller) -> Result<Outcome, Failure> {
        self.carry_out_and(place, async |_| Outcome::Effective).await
    }

    /// The same, and `then` whatever belongs to it once it has ended well.
    ///
    /// # Errors
    /// It was not done, and why.
    pub(crate) async fn carry_out_and(
        &self,
        place: &Controller,
        then: impl AsyncFnOnce(&wire::Intent) -> Outcome,
    ) -> Result<Outcome, Failure> {
        let Self { attempted, spec, after, output, .. } = self;
        let mut interrupts = Interrupts::listen()
            .map_err(|error| Failure::new(Outcome::Unconfirmed, attempted, error))?;
        let mut client = interrupts.unless(attempted, connect(place, *output)).await?;
        let mut id = IntentId::from_random(crate::cut::random()?);
        if *after == After::Plan {
            let plan = client.plan(attempted, id.get(), spec.into(), Rehearsal::Yes);
            let plan = interrupts.unless(attempted, plan).await?;
            output.show(&IntentsReport::plan(plan))?;
            output.note("dry run: nothing was touched");
            return Ok(Outcome::Effective);
        }
        let applying = Applying { client: &mut client, place, id: &mut id };
        let Some(applied) = self.apply(applying, &mut interrupts).await? else {
            return self.withdrawn(&mut client, id).await;
        };
        output.note(format!("{id} {}, seed {}", report::standing(&applied), spec.seed));
        // What has done all that it was to do by now is over already.
        if !matches!(applied.stage(), wire::Stage::Active | wire::Stage::Expired) {
            let cause = Failure::caused(Cause::Unreachable, attempted, applied.reason.clone())
                .hint(applied.hint.clone());
            self.show(vec![applied], cause.outcome)?;
            return Err(cause);
        }
        for line in report::in_processes(&applied) {
            output.note(line);
        }
        if *after == After::Detach && !is_over(&applied) {
            let end = format!("end it with: schism heal {id}");
            output.note(format!("detached: its effect is not yet known; {end}"));
            self.show(vec![applied], Outcome::Effective)?;
            return Ok(Outcome::Effective);
        }
        if output.is_for_names() {
            output.print(&id.to_string())?;
        }
        let mut live = Live::new(*output);
        let mut follower = Follower { client, place, id };
        let mut roles = Roles::of(spec, &applied, *output);
        let deadline = Instant::now() + spec.terms.total;
        let mut past = Vec::new();
        let ended = loop {
            tokio::select! {
                ended = follower.over(spec.terms, &mut live) => break ended,
                () = roles.moved(place) => match self.roles {
                    Moves::Told => {}
                    Moves::Followed => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        match self.follow(&mut follower.client, left).await {
                            Some(next) => {
                                let next_id = IntentId::from_random(next.id);
                                let former = std::mem::replace(&mut follower.id, next_id);
                                let healed = withdraw(&mut follower.client, former).await?;
                                past.extend(healed.unwrap_or_default());
                                roles.follow(&next);
                            }
                            None if left < WORTH => {}
                            None => roles.stay(),
                        }
                    }
                },
                _ = interrupts.next() => {
                    live.tell("interrupted; healing");
                    return self.withdrawn(&mut follower.client, follower.id).await;
                }
            }
        };
        live.clear();
        let ended = ended?;
        past.push(ended.clone());
        let measured = outcome::outcome(&past);
        // Before it is shown: what is printed and the exit code are the same outcome.
        let judged = roles.judged(measured);
        let outcome = if judged == Outcome::Effective { then(&ended).await } else { judged };
        if !output.is_for_names() {
            self.show(past, outcome)?;
        }
        if measured == Outcome::NothingMatched {
            output.note(match spec.what {
                What::Cut(..) => outcome::UNMATCHED,
                What::Within { .. } => outcome::UNMEASURED,
            });
        }
        if roles.lost() {
            output.note(
                "roles of both sides came to one member while it acted: it lost its effect then",
            );
        }
        Ok(outcome)
    }

    /// Has the same put in for whom the roles have come to, for the time that is left. Where that is not done
    /// what acts goes on as it is.
    async fn follow(&self, client: &mut Client, left: Duration) -> Option<wire::Intent> {
        let Self { attempted, spec, output, .. } = self;
        let terms = LeaseTerms::new(spec.terms.lease.min(left), left).ok()?;
        if left < WORTH {
            return None;
        }
        let spec = Spec { terms, ..spec.clone() };
        let id = IntentId::from_random(crate::cut::random().ok()?);
        match client.apply(attempted, id.get(), (&spec).into()).await {
            Ok(applied) if applied.stage() == wire::Stage::Active => {
                output.note(format!("{id} goes with the roles:"));
                for line in members(&applied) {
                    output.note(line);
                }
                Some(applied)
            }
            Ok(applied) => {
                output.note(format!("the roles could not be followed: {}", applied.reason));
                None
            }
            Err(failure) => {
                output.note(format!("the roles could not be followed: {}", failure.reason));
                // Nobody knows whether it was put in.
                let _ = withdraw(client, id).await;
                None
            }
        }
    }

    /// Has it put in, and says on whom; `None` if that was interrupted.
    async fn apply(
        &self,
        mut applying: Applying<'_>,
        interrupts: &mut Interrupts,
    ) -> Result<Option<wire::Intent>, Failure> {
        let Self { attempted, spec, output, .. } = self;
        let mut planned = None;
        if let What::Cut(Between::Partition { .. }, _) = spec.what {
            let id = applying.id.get();
            let plan = applying.client.plan(attempted, id, spec.into(), Rehearsal::No);
            let plan = interrupts.unless(attempted, plan).await?;
            output.note(plan.matrix.trim_end());
            planned = plan.intent.map(|intent| members(&intent));
        }
        let applied = tokio::select! {
            applied = applying.carry_out(self) => applied,
            _ = interrupts.next() => return Ok(None),
        };
        let applied = match applied {
            // Nobody knows whether it was put in.
            Err(failure) if failure.cause == Cause::Unreachable => {
                if let Ok(Some(healed)) = withdraw(applying.client, *applying.id).await {
                    self.show(healed, failure.outcome)?;
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
        Ok(Some(applied))
    }

    /// Takes out what was interrupted, and says what came of that.
    async fn withdrawn(&self, client: &mut Client, id: IntentId) -> Result<Outcome, Failure> {
        let Some(healed) = withdraw(client, id).await? else {
            self.output.note("interrupted before anything was put in");
            return Ok(Outcome::Interrupted);
        };
        let outcome = outcome::outcome(&healed).worst(Outcome::Interrupted);
        self.show(healed, outcome)?;
        Ok(outcome)
    }

    fn show(&self, intents: Vec<wire::Intent>, outcome: Outcome) -> Result<(), Failure> {
        let report = match self.spec.what {
            What::Cut(..) => IntentsReport::cut(intents),
            What::Within { within, .. } => IntentsReport::within(within, intents),
        };
        self.output.show(&report.coming_to(outcome))
    }
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
