//! What is done to members of a cluster by what they are: ended, held, loaded, kept apart.
//!
//! A member is a target like any other: a process that somebody supervises, and starts again when it ends. A
//! controller resolves the role, and its agents do it; what is special to Zeebe is who is meant, and when
//! somebody is back.

use std::time::Duration;

use fault::{
    ClusterPath, Cut, Extent, FlowAge, Freeze, Kill, LeaseTerms, Pick, Scheme, Selector, Signal,
    Verdict, ZeebeMembers, ZeebeRole,
};
use proto::control as wire;

use crate::cli::{
    DisconnectArgs, EndArgs, FreezeMemberArgs, MannerArgs, Named, ReconnectArgs, StressMemberArgs,
    Who, WhoArgs, WithinArgs,
};
use crate::failure::{Cause, Failure};
use crate::fleet;
use crate::fleet::client::Client;
use crate::fleet::order::{Moves, Order};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::processes::{Asked, AskedError};
use crate::session::After;
use crate::settings::{Controller, Names};
use crate::spec::{Between, Loss, QuorumLoss, Spec, Ways, What, Within};

use super::contact::Contact;
use super::patience::{Look, Patience, Reached};

/// How long a fault acts without being renewed by the controller.
const LEASE: Duration = Duration::from_secs(15);

/// How much longer than the time of grace it is watched who ends.
const WATCHED: Duration = Duration::from_secs(10);

/// Whom all of this goes through.
pub(crate) struct Through<'a> {
    cluster: Option<ClusterPath>,
    names: &'a Names,
    controller: Controller,
    output: Output,
}

impl<'a> Through<'a> {
    pub(crate) const fn new(
        cluster: Option<ClusterPath>,
        names: &'a Names,
        controller: Controller,
        output: Output,
    ) -> Self {
        Self { cluster, names, controller, output }
    }

    /// Ends members as they are to end, and waits until they answer again.
    pub(crate) async fn restart(
        &self,
        asked: &EndArgs,
        contact: Option<&Contact>,
        patience: &Patience,
    ) -> Result<Outcome, Failure> {
        let kill =
            Kill { extent: Extent::Named, signal: Signal::Terminate, grace: Some(asked.grace) };
        let total = asked.grace.saturating_add(WATCHED);
        let (attempted, spec) =
            self.within(&asked.who, "cannot restart", Within::Kill(kill), total)?;
        let order = self.order(attempted, spec, After::Hold);
        let back = async |ended: &wire::Intent| self.await_back(ended, contact, patience).await;
        order.carry_out_and(&self.controller, back).await
    }

    /// Ends members at once.
    pub(crate) async fn terminate(&self, who: &WhoArgs) -> Result<Outcome, Failure> {
        let kill = Kill { extent: Extent::Named, signal: Signal::Kill, grace: None };
        self.carry_out(who, "cannot end", Within::Kill(kill), WATCHED).await
    }

    /// Has members stand still.
    pub(crate) async fn freeze(&self, asked: &FreezeMemberArgs) -> Result<Outcome, Failure> {
        let freeze = Within::Freeze(Freeze { extent: Extent::Named });
        self.carry_out(&asked.who, "cannot freeze", freeze, asked.total).await
    }

    /// Has members have less of their machine.
    pub(crate) async fn stress(&self, asked: &StressMemberArgs) -> Result<Outcome, Failure> {
        let stress = Within::Stress(asked.taken.into());
        self.carry_out(&asked.who, "cannot load", stress, asked.total).await
    }

    /// Keeps groups apart, until `connect` or for a time; leaves that to the controller.
    pub(crate) async fn disconnect(&self, asked: &DisconnectArgs) -> Result<Outcome, Failure> {
        let groups: Vec<String> = asked.groups.iter().map(ToString::to_string).collect();
        let attempted = format!("cannot disconnect {}", groups.join(" from "));
        let wrong = |reason: &str| {
            Err(Failure::caused(Cause::WrongUsage, attempted.clone(), reason.to_owned()))
        };
        let mut sides = Vec::new();
        for group in &asked.groups {
            let mut side = Vec::new();
            for who in &group.0 {
                side.extend(self.selectors(who, Match::All, &attempted)?);
            }
            sides.push(side);
        }
        let between = match (asked.one_way, <[Vec<Selector>; 2]>::try_from(sides)) {
            (true, Ok([from, to])) => Between::Pair { from, to, ways: Ways::One },
            (false, Ok([from, to])) => Between::Pair { from, to, ways: Ways::Both },
            (false, Err(sides)) => Between::Groups(sides),
            (true, Err(_)) => return wrong("--one-way is between two groups"),
        };
        if !asked.one_way && asked.mode != crate::cli::ModeArg::Packet {
            return wrong("--mode says what one way means: it takes --one-way");
        }
        let seed = crate::cut::random_seed()?;
        let cut = Cut {
            mode: asked.mode.into(),
            protocol: None,
            port: None,
            flows: FlowAge::All,
            loss: fault::Chance::CERTAIN,
            seed,
            verdict: Verdict::Drop,
            side: fault::Side::Ingress,
        };
        let spec = Spec {
            what: What::Cut(between, Loss { cut, enforcement: None }),
            seed,
            terms: terms(asked.total, &attempted)?,
            quorum_loss: QuorumLoss::of(asked.allow_quorum_loss),
            restarts: None,
        };
        let order = self.order(attempted, spec, After::Detach);
        order.carry_out(&self.controller).await
    }

    /// Ends what keeps members apart.
    pub(crate) async fn connect(&self, asked: &ReconnectArgs) -> Result<Outcome, Failure> {
        let mut named = Vec::new();
        for who in &asked.who {
            named.extend(self.selectors(who, Match::All, "cannot connect")?);
        }
        let is_meant = |spec: &Spec| {
            let What::Cut(between, _) = &spec.what else { return false };
            let ends = ends(between);
            ends.iter().all(|end| self.is_ours(end))
                && (named.is_empty()
                    || ends.iter().any(|end| named.iter().any(|one| one.scheme == end.scheme)))
        };
        fleet::heal_all(is_meant, &self.controller, self.output).await
    }

    async fn carry_out(
        &self,
        who: &WhoArgs,
        verb: &str,
        within: Within,
        total: Duration,
    ) -> Result<Outcome, Failure> {
        let (attempted, spec) = self.within(who, verb, within, total)?;
        let order = self.order(attempted, spec, After::Hold);
        order.carry_out(&self.controller).await
    }

    const fn order(&self, attempted: String, spec: Spec, after: After) -> Order {
        Order { attempted, spec, after, roles: Moves::Told, output: self.output }
    }

    /// What is to be done to whose processes, and what is attempted, for people.
    fn within(
        &self,
        who: &WhoArgs,
        verb: &str,
        within: Within,
        total: Duration,
    ) -> Result<(String, Spec), Failure> {
        let attempted = format!("{verb} {}", who.who);
        let which = if who.all { Match::All } else { Match::Only };
        let asked = Asked {
            selectors: self.selectors(&who.who, which, &attempted)?,
            within,
            lease: LEASE.min(total),
            total,
            quorum_loss: QuorumLoss::of(who.allow_quorum_loss),
            restarts: None,
            manner: MannerArgs { seed: None, dry_run: false, detach: false, local: false },
            attempted,
        };
        fleet::processes::spec(asked)
    }

    fn selectors(
        &self,
        who: &Who,
        which: Match,
        attempted: &str,
    ) -> Result<Vec<Selector>, Failure> {
        let named = match who {
            Who::Member(members) => {
                let cluster = members.cluster.clone().or_else(|| self.cluster.clone());
                let members = ZeebeMembers { cluster, role: members.role };
                let scheme = Scheme::Zeebe(members);
                Named::Selector(Selector { pick: None, scheme, node: None })
            }
            Who::Other(named) => named.clone(),
        };
        let nowhere = WithinArgs::default();
        let never = "a node is no member";
        let selectors = AskedError::selectors(&named, &nowhere, self.names, never);
        let mut selectors = selectors.map_err(|error| error.refused(attempted))?;
        for selector in &mut selectors {
            match which {
                Match::All => selector.pick = selector.pick.or(Some(Pick::All)),
                Match::Only => {}
            }
        }
        Ok(selectors)
    }

    /// Whether a selector is of the cluster that is meant, or of any where none is.
    fn is_ours(&self, selector: &Selector) -> bool {
        let Scheme::Zeebe(members) = &selector.scheme else { return false };
        self.cluster.is_none() || members.cluster == self.cluster
    }

    /// What a controller says of those that were ended.
    async fn look_through_controller(&self, gone: &[&str]) -> Look<()> {
        let look = async || {
            let mut client = Client::open(&self.controller).await?;
            let mut found = Vec::new();
            for role in [ZeebeRole::AnyBroker, ZeebeRole::Gateway] {
                let members = ZeebeMembers { cluster: self.cluster.clone(), role };
                let scheme = Scheme::Zeebe(members);
                let all = Selector { pick: Some(Pick::All), scheme, node: None };
                found.extend(client.resolve(&all, fault::Aspect::Network, 0).await?);
            }
            Ok::<_, Failure>(found)
        };
        match look().await {
            Err(failure) => Look::Not(failure.reason),
            Ok(found) => judged(&troubles(gone, &found)),
        }
    }

    /// Waits until those that were ended answer again.
    async fn await_back(
        &self,
        ended: &wire::Intent,
        contact: Option<&Contact>,
        patience: &Patience,
    ) -> Outcome {
        let gone: Vec<&str> = ended.ends.iter().map(|end| end.member.as_str()).collect();
        if gone.iter().any(|member| member.is_empty()) {
            self.output.note("whether what is no member of Zeebe is back is not known");
            return Outcome::Effective;
        }
        self.output.note(format!("{} ended; waiting until back", gone.join(", ")));
        let reached = patience.until("not all are back", async || match contact {
            None => self.look_through_controller(&gone).await,
            Some(contact) => match contact.view().await {
                Err(error) => Look::Not(error.to_string()),
                Ok(view) => judged(&view.troubles_of(&gone)),
            },
        });
        match reached.await {
            Reached::Held(()) => Outcome::Effective,
            Reached::Missed(why) => {
                self.output.note(format!("not all are back: {why}"));
                Outcome::Deviated
            }
        }
    }
}

/// Whether what was ended is of use again.
fn judged(troubles: &[String]) -> Look<()> {
    match troubles {
        [] => Look::Holds(()),
        troubles => Look::Not(troubles.join("; ")),
    }
}

/// What is still the matter with members, by what was found of all that there are.
fn troubles(gone: &[&str], found: &[wire::End]) -> Vec<String> {
    let of = |member: &&str| match found.iter().find(|end| end.member == **member) {
        Some(end) => end.troubles.clone(),
        None => vec![format!("{member} is not there")],
    };
    gone.iter().flat_map(of).collect()
}

/// How many of those that match are meant.
#[derive(Clone, Copy)]
enum Match {
    /// Each.
    All,
    /// The one that there is.
    Only,
}

fn terms(total: Duration, attempted: &str) -> Result<LeaseTerms, Failure> {
    LeaseTerms::new(LEASE.min(total), total)
        .map_err(|error| AskedError::Terms(error).refused(attempted))
}

fn ends(between: &Between) -> Vec<&Selector> {
    match between {
        Between::Pair { from, to, .. } => from.iter().chain(to).collect(),
        Between::Partition { group, .. } => group.iter().collect(),
        Between::Groups(groups) => groups.iter().flatten().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_back_when_the_controller_hears_that_they_are_of_use() {
        let end = |member: &str, troubles: &[&str]| wire::End {
            member: member.to_owned(),
            troubles: troubles.iter().map(|one| (*one).to_owned()).collect(),
            ..wire::End::default()
        };
        let found = [
            end("broker-0", &[]),
            end("broker-1", &["broker-1 says nothing: late"]),
            end("camunda-gateway-x", &[]),
        ];
        let table: [(&[&str], &[&str]); 4] = [
            (&["broker-0", "camunda-gateway-x"], &[]),
            (&["broker-1"], &["broker-1 says nothing: late"]),
            (&["broker-2", "broker-0"], &["broker-2 is not there"]),
            (&[], &[]),
        ];
        for (gone, expected) in table {
            assert_eq!(troubles(gone, &found), expected, "{gone:?}");
        }
        assert!(matches!(judged(&[]), Look::Holds(())));
        assert!(matches!(judged(&["late".to_owned()]), Look::Not(why) if why == "late"));
    }
}
