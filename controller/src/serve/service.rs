//! `schism.control.v1` over one controller: who may ask, what is written down, and typed refusals.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fault::{IntentId, Limits, NodeName};
use futures_util::StreamExt as _;
use link::{Issued, Role};
use proto::control as wire;
use proto::control::error_detail::Kind;
use proto::{Invalid, required};
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::capturing;
use super::disrupting;
use super::reading::{self, Readers};
use super::redeeming::{self, Tickets};
use super::refusal::{self, refuse, refuse_control, refuse_resolve};
use super::running;
use super::watching;
use crate::archive::{Archive, Audit, Deed, Node, Verdict};
use crate::control::{Braked, Control, ControlError, is_over};
use crate::link::nanos;
use crate::log::Wanted;
use crate::runs::Runs;
use crate::spec;

/// The service of one controller.
pub(super) struct Service {
    pub(super) control: Control,
    pub(super) archive: Archive,
    pub(super) limits: Limits,
    pub(super) holder: proto::agent::Holder,
    pub(super) runs: Runs,
    pub(super) readers: Readers,
    pub(super) capturers: capturing::Capturers,
    /// Where captures are objects of a cluster.
    pub(super) tickets: Option<Tickets>,
    /// By which list agents are let in, if it is by certificates.
    pub(super) issued: Option<Arc<Issued>>,
    /// Whether the controller ends.
    pub(super) stopped: watch::Receiver<bool>,
}

/// The service as tonic takes it, on several listeners.
pub(super) struct Shared(pub(super) Arc<Service>);

pub(super) fn caller<T>(request: &Request<T>, needs: Role) -> Result<Caller, Status> {
    let unknown = || Status::unauthenticated("nobody knows who asks");
    let caller = request.extensions().get::<Caller>().cloned().ok_or_else(unknown)?;
    if caller.role < needs {
        let reason = format!("{} is {}, and this needs {needs}", caller.name, caller.role);
        let needs = refusal::role(needs).into();
        return Err(refusal::status(
            tonic::Code::PermissionDenied,
            reason,
            Kind::Forbidden(wire::Forbidden { needs }),
            String::new(),
        ));
    }
    Ok(caller)
}

pub(super) fn id(number: u64) -> Result<IntentId, Status> {
    let id = IntentId::from_random(number);
    if number == 0 || id.get() != number {
        return Err(refusal::invalid(&Invalid::new("id", "is not of 48 bits, or 0")));
    }
    Ok(id)
}

impl Service {
    /// Who asks for a change; who may not is written down as well.
    async fn permitted<T: Sync>(
        &self,
        request: &Request<T>,
        needs: Role,
        deed: Deed,
        what: String,
    ) -> Result<Caller, Status> {
        let refused = match caller(request, needs) {
            Ok(caller) => return Ok(caller),
            Err(refused) => refused,
        };
        if let Some(caller) = request.extensions().get::<Caller>() {
            let verdict = Verdict::Refused(refused.message().to_owned());
            // It is refused whether or not that can be written.
            let _ = self.audit(entry(caller, deed, what, verdict)).await;
        }
        Err(refused)
    }

    /// Who may not is written down as well.
    pub(super) async fn refused(&self, who: Option<&Caller>, deed: Deed, refused: &Status) {
        if let Some(caller) = who {
            let verdict = Verdict::Refused(refused.message().to_owned());
            // It is refused whether or not that can be written.
            let _ = self.audit(entry(caller, deed, String::new(), verdict)).await;
        }
    }

    /// Waits for the ends of intents, but not for ever: those that have not ended are as they are by then.
    async fn ended(&self, ids: &[IntentId]) -> Result<Vec<wire::Intent>, ControlError> {
        let all = ids.iter().map(|id| self.control.ended(*id));
        let all = futures_util::future::join_all(all);
        if let Ok(ended) = tokio::time::timeout(HALTING, all).await {
            return known(ended);
        }
        let (intents, _) = self.control.list().await?;
        let asked = |intent: &wire::Intent| ids.contains(&IntentId::from_random(intent.id));
        Ok(intents.into_iter().filter(asked).collect())
    }

    /// Ends whatever has this id.
    async fn heal(&self, id: IntentId, reason: &str) -> Result<Healed, ControlError> {
        match self.control.end_disruption(id, reason).await? {
            Some(disruption) => Ok(Healed::Disruption(Box::new(disruption))),
            None => Ok(Healed::Intent(Box::new(self.control.heal(id, reason).await?))),
        }
    }

    async fn brake(&self, brake: wire::Brake) -> Result<Braked, Status> {
        let admitted = self.issued.as_ref().and_then(|issued| issued.nodes());
        let braked = self.control.brake_among(admitted, brake).await;
        braked.map_err(|error| refuse_control(&error))
    }

    /// Before the call is acknowledged, so that nothing is done that nobody can look up.
    pub(super) async fn audit(&self, entry: Audit) -> Result<(), Status> {
        self.archive.audit.append(&entry).await.map_err(|error| {
            let reason = format!("the audit log cannot be written, so nothing is done: {error}");
            let kind = Kind::StoreFailed(wire::StoreFailed {});
            refusal::status(tonic::Code::Unavailable, reason, kind, String::new())
        })
    }
}

/// Intents that ended, without those that are not known any more: they ended so early that they were left out
/// of the list since, and that is no failure of whoever waits.
fn known(
    ended: Vec<Result<wire::Intent, ControlError>>,
) -> Result<Vec<wire::Intent>, ControlError> {
    let is_known = |one: &Result<_, _>| !matches!(one, Err(ControlError::Unknown(_)));
    ended.into_iter().filter(is_known).collect()
}

/// Who has not confirmed how the brake stands, and why those that are there have not.
fn not_told(braked: Braked) -> (Vec<String>, Vec<wire::NotTold>) {
    let untold = braked.untold.iter().map(ToString::to_string).collect();
    let reasons = braked.reasons.into_iter();
    let told =
        |(node, reason): (NodeName, String)| wire::NotTold { node: node.to_string(), reason };
    (untold, reasons.map(told).collect())
}

/// How long the brake waits for the ends of what it heals (40 s): longer than a node may take to put
/// something in that it is to take out again.
const HALTING: Duration = Duration::from_secs(40);
/// The longest reason of a brake, in characters; agents keep up to 4 KiB.
const LONGEST_REASON: usize = 500;

/// What was ended.
enum Healed {
    Intent(Box<wire::Intent>),
    Disruption(Box<wire::Disruption>),
}

pub(super) fn entry(caller: &Caller, deed: Deed, what: String, verdict: Verdict) -> Audit {
    Audit {
        at: SystemTime::now(),
        who: caller.name.clone(),
        deed,
        what,
        intent: None,
        nodes: Vec::new(),
        until: None,
        verdict,
    }
}

#[tonic::async_trait]
impl wire::control_server::Control for Shared {
    async fn describe(
        &self,
        request: Request<wire::DescribeRequest>,
    ) -> Result<Response<wire::Description>, Status> {
        let caller = caller(&request, Role::Viewer)?;
        let revision = self.0.control.revision();
        Ok(Response::new(wire::Description {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            controller: self.0.holder.controller.clone(),
            epoch: self.0.holder.epoch,
            caller: caller.name,
            role: refusal::role(caller.role).into(),
            halted: self.0.control.halted().unwrap_or_default(),
            revision,
        }))
    }

    async fn agents(
        &self,
        request: Request<wire::AgentsRequest>,
    ) -> Result<Response<wire::AgentsReply>, Status> {
        caller(&request, Role::Viewer)?;
        let brake = Some(self.0.control.told_brake().await.map_err(|e| refuse_control(&e))?);
        let agents = self.0.control.agents().seen().into_iter().map(|seen| wire::AgentStatus {
            node: seen.node.to_string(),
            connected: seen.connected,
            description: Some(seen.description),
            heard_ago_ns: nanos(seen.heard_ago),
            clock_offset_ns: seen
                .offset
                .map_or(0, |offset| i64::try_from(-offset.nanos).unwrap_or(i64::MAX)),
            clock_error_ns: seen.offset.map_or(0, |offset| nanos(offset.error)),
            active_faults: seen.active,
            remote: seen.remote.map(|remote| remote.to_string()).unwrap_or_default(),
            contested: seen.contested,
            halted: seen.halted,
        });
        Ok(Response::new(wire::AgentsReply { agents: agents.collect(), brake }))
    }

    async fn resolve(
        &self,
        request: Request<wire::ResolveRequest>,
    ) -> Result<Response<wire::ResolveReply>, Status> {
        caller(&request, Role::Viewer)?;
        let request = request.into_inner();
        let aspect = request.aspect().into();
        let wire::ResolveRequest { selector, seed, .. } = request;
        let selector = required(selector, "selector")
            .and_then(fault::Selector::try_from)
            .map_err(|invalid| refusal::invalid(&invalid))?;
        let ends = self.0.control.resolve(&selector, aspect, seed).await;
        let ends = ends.map_err(|e| refuse_resolve(&e))?;
        Ok(Response::new(wire::ResolveReply { ends: ends.iter().map(Into::into).collect() }))
    }

    async fn targets(
        &self,
        request: Request<wire::TargetsRequest>,
    ) -> Result<Response<wire::TargetsReply>, Status> {
        caller(&request, Role::Viewer)?;
        Ok(Response::new(wire::TargetsReply { nodes: self.0.control.targets().await }))
    }

    type ReadLogStream = reading::Pieces;

    async fn read_log(
        &self,
        request: Request<wire::ReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        let what = reading::typed(request.get_ref());
        let permitted = self.0.permitted(&request, Role::Operator, Deed::ReadLog, what.clone());
        let caller = permitted.await?;
        let wire::ReadLogRequest { selectors, since, ends_only, seed } = request.into_inner();
        if selectors.is_empty() {
            return Err(refusal::invalid(&Invalid::new("selectors", "is missing")));
        }
        let selectors = selectors.into_iter().map(fault::Selector::try_from);
        let selectors = selectors.collect::<Result<Vec<_>, _>>();
        let selectors = selectors.map_err(|invalid| refusal::invalid(&invalid))?;
        let place = match self.0.readers.enter() {
            Ok(place) => place,
            Err(busy) => {
                let verdict = Verdict::Refused(busy.message().to_owned());
                self.0.audit(entry(&caller, Deed::ReadLog, what, verdict)).await?;
                return Err(busy);
            }
        };
        let sought = self.0.control.logs(&selectors, &since, seed).await;
        let verdict = match &sought {
            Ok(_) => Verdict::Admitted,
            Err(error) => Verdict::Refused(error.to_string()),
        };
        let nodes = sought.iter().flatten().map(|(_, one)| one.node.clone());
        let nodes = nodes.collect::<BTreeSet<_>>().into_iter().map(Node).collect();
        self.0.audit(Audit { nodes, ..entry(&caller, Deed::ReadLog, what, verdict) }).await?;
        let sought = sought.map_err(|error| refuse_resolve(&error))?;
        let wanted = if ends_only { Wanted::Ends } else { Wanted::News };
        Ok(Response::new(reading::told(sought, wanted, place)))
    }

    type CaptureStream = capturing::Pieces;

    async fn capture(
        &self,
        request: Request<wire::CaptureRequest>,
    ) -> Result<Response<Self::CaptureStream>, Status> {
        let what = capturing::typed(request.get_ref());
        let permitted = self.0.permitted(&request, Role::Capturer, Deed::Capture, what.clone());
        let caller = permitted.await?;
        let begun = capturing::begin(&self.0, &caller, what, request.into_inner()).await?;
        Ok(Response::new(begun.pieces))
    }

    type RedeemStream = capturing::Pieces;

    async fn redeem(
        &self,
        request: Request<wire::RedeemRequest>,
    ) -> Result<Response<Self::RedeemStream>, Status> {
        let secret = request.into_inner().secret;
        redeeming::redeem(&self.0, &secret).await.map(Response::new)
    }

    async fn plan(
        &self,
        request: Request<wire::ApplyRequest>,
    ) -> Result<Response<wire::PlanReply>, Status> {
        let caller = caller(&request, Role::Viewer)?;
        let request = request.into_inner();
        let spec = required(request.spec, "spec").map_err(|e| refusal::invalid(&e))?;
        let draft = self.0.control.draft(id(request.id)?, spec, &caller.name, &self.0.limits);
        let draft = draft.await.map_err(|error| refuse(&error))?;
        let parts = match request.rehearse {
            true => self.0.control.rehearse(&draft).await.map_err(|e| refuse_resolve(&e))?,
            false => Vec::new(),
        };
        Ok(Response::new(wire::PlanReply {
            intent: Some(draft.intent.wire()),
            parts,
            matrix: draft.matrix,
        }))
    }

    async fn apply(
        &self,
        request: Request<wire::ApplyRequest>,
    ) -> Result<Response<wire::ApplyReply>, Status> {
        let what = request.get_ref().spec.as_ref().map(spec::typed).unwrap_or_default();
        let permitted = self.0.permitted(&request, Role::Operator, Deed::Apply, what.clone());
        let caller = permitted.await?;
        let request = request.into_inner();
        let id = id(request.id)?;
        let spec = required(request.spec, "spec").map_err(|e| refusal::invalid(&e))?;
        let until = SystemTime::now() + Duration::from_nanos(spec.total_ns);
        let mut asked = Audit {
            intent: Some(id.to_string()),
            until: Some(until),
            ..entry(&caller, Deed::Apply, what, Verdict::Admitted)
        };
        let known = match self.0.control.known(id, &spec).await {
            Ok(known) => known,
            Err(error) => {
                asked.verdict = Verdict::Refused(error.to_string());
                self.0.audit(asked).await?;
                return Err(refuse_control(&error));
            }
        };
        let intent = match known {
            Some(known) => {
                let nodes = known.parts.iter().filter_map(|part| NodeName::new(&part.node));
                asked.nodes = nodes.collect::<BTreeSet<_>>().into_iter().map(Node).collect();
                self.0.audit(asked).await?;
                known
            }
            // The nodes are known once it is planned, which touches nothing.
            None => match self.0.control.draft(id, spec, &caller.name, &self.0.limits).await {
                Ok(draft) => {
                    asked.nodes = draft.intent.faults().into_keys().map(Node).collect();
                    self.0.audit(asked.clone()).await?;
                    match self.0.control.apply(draft).await {
                        Ok(intent) => intent,
                        Err(error) => {
                            asked.verdict = Verdict::Refused(error.to_string());
                            self.0.audit(asked).await?;
                            return Err(refuse_control(&error));
                        }
                    }
                }
                Err(error) => {
                    asked.verdict = Verdict::Refused(error.to_string());
                    self.0.audit(asked).await?;
                    return Err(refuse(&error));
                }
            },
        };
        Ok(Response::new(wire::ApplyReply { intent: Some(intent) }))
    }

    async fn heal(
        &self,
        request: Request<wire::HealRequest>,
    ) -> Result<Response<wire::HealReply>, Status> {
        let permitted = self.0.permitted(&request, Role::Operator, Deed::Heal, String::new());
        let caller = permitted.await?;
        let request = request.into_inner();
        let mut ids = request.ids.into_iter().map(id).collect::<Result<Vec<_>, _>>()?;
        if request.all {
            let all = self.0.control.listing().await.map_err(|e| refuse_control(&e))?;
            let living = all.intents.into_iter().filter(|intent| !is_over(intent));
            let disrupted =
                all.disruptions.into_iter().filter(|one| !crate::disruption::is_over(one));
            let living = living.map(|intent| intent.id).chain(disrupted.map(|one| one.id));
            ids = living.map(IntentId::from_random).collect();
        }
        let reason = format!("healed by {}", caller.name);
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        // Healing is never refused, not even for want of a line in the log.
        let noted =
            self.0.audit(entry(&caller, Deed::Heal, names.join(" "), Verdict::Admitted)).await;
        if let Err(error) = noted {
            tracing::error!(%error, "healing all the same");
        }
        let healing = ids.into_iter().map(|id| self.0.heal(id, &reason));
        let healed = futures_util::future::join_all(healing).await;
        let healed = healed.into_iter().collect::<Result<Vec<_>, _>>();
        let mut reply = wire::HealReply::default();
        for one in healed.map_err(|e| refuse_control(&e))? {
            match one {
                Healed::Intent(intent) => reply.intents.push(*intent),
                Healed::Disruption(disruption) => reply.disruptions.push(*disruption),
            }
        }
        Ok(Response::new(reply))
    }

    type DisruptStream = disrupting::States;

    async fn disrupt(
        &self,
        request: Request<wire::DisruptRequest>,
    ) -> Result<Response<Self::DisruptStream>, Status> {
        let asked = request.get_ref();
        let what = asked.spec.as_ref().map(crate::disruption::typed).unwrap_or_default();
        let caller = match asked.rehearse {
            true => caller(&request, Role::Viewer)?,
            false => {
                self.0.permitted(&request, Role::Operator, Deed::Disrupt, what.clone()).await?
            }
        };
        let told = disrupting::begin(&self.0, &caller, what, request.into_inner()).await?;
        // A node may be cordoned for days, and who listens to that keeps no controller from its end.
        let mut stopped = self.0.stopped.clone();
        let end = async move { drop(stopped.wait_for(|stop| *stop).await) };
        Ok(Response::new(Box::pin(told.take_until(end))))
    }

    async fn list(
        &self,
        request: Request<wire::ListRequest>,
    ) -> Result<Response<wire::ListReply>, Status> {
        caller(&request, Role::Viewer)?;
        self.0.control.listing().await.map(Response::new).map_err(|e| refuse_control(&e))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<wire::Event, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        caller(&request, Role::Viewer)?;
        let since = request.into_inner().since;
        let told = watching::told(self.0.control.clone(), since).await;
        let told = told.map_err(|e| refuse_control(&e))?;
        // Who watches waits for nothing in particular, and would keep a controller from its end.
        let mut stopped = self.0.stopped.clone();
        let end = async move { drop(stopped.wait_for(|stop| *stop).await) };
        Ok(Response::new(Box::pin(told.take_until(end))))
    }

    async fn halt(
        &self,
        request: Request<wire::HaltRequest>,
    ) -> Result<Response<wire::HaltReply>, Status> {
        let permitted = self.0.permitted(&request, Role::Operator, Deed::Halt, String::new());
        let caller = permitted.await?;
        // The brake is not refused for its words.
        let reason: String = request.into_inner().reason.chars().take(LONGEST_REASON).collect();
        let noted =
            self.0.audit(entry(&caller, Deed::Halt, reason.clone(), Verdict::Admitted)).await;
        if let Err(error) = noted {
            tracing::error!(%error, "halting all the same");
        }
        let brake = wire::Brake { on: true, reason, who: caller.name, ..wire::Brake::default() };
        let braked = self.0.brake(brake).await?;
        let intents = self.0.ended(&braked.ending).await.map_err(|e| refuse_control(&e))?;
        let (untold, reasons) = not_told(braked);
        Ok(Response::new(wire::HaltReply { intents, untold, reasons }))
    }

    async fn resume(
        &self,
        request: Request<wire::ResumeRequest>,
    ) -> Result<Response<wire::ResumeReply>, Status> {
        let permitted = self.0.permitted(&request, Role::Admin, Deed::Resume, String::new());
        let caller = permitted.await?;
        self.0.audit(entry(&caller, Deed::Resume, String::new(), Verdict::Admitted)).await?;
        let brake = wire::Brake { who: caller.name, ..wire::Brake::default() };
        let braked = self.0.brake(brake).await?;
        let (untold, reasons) = not_told(braked);
        Ok(Response::new(wire::ResumeReply { untold, reasons }))
    }

    type RunStream = running::Replies;

    async fn run(
        &self,
        request: Request<tonic::Streaming<wire::RunRequest>>,
    ) -> Result<Response<Self::RunStream>, Status> {
        let who = request.extensions().get::<Caller>().cloned();
        let caller = caller(&request, Role::Operator);
        let requests = request.into_inner();
        match caller {
            Ok(caller) => running::begin(&self.0, caller, requests).await.map(Response::new),
            Err(refused) => {
                self.0.refused(who.as_ref(), Deed::Run, &refused).await;
                Err(refused)
            }
        }
    }

    async fn describe_run(
        &self,
        request: Request<wire::DescribeRunRequest>,
    ) -> Result<Response<wire::RunDescription>, Status> {
        caller(&request, Role::Viewer)?;
        let id = id(request.into_inner().id)?;
        let found = self.0.runs.describe(id).await;
        let (run, journal) = found.map_err(|error| running::refuse(&error))?;
        let journal = journal.unwrap_or_default().into();
        Ok(Response::new(wire::RunDescription { run: Some(run), journal }))
    }

    async fn end_runs(
        &self,
        request: Request<wire::EndRunsRequest>,
    ) -> Result<Response<wire::EndRunsReply>, Status> {
        let permitted = self.0.permitted(&request, Role::Operator, Deed::EndRun, String::new());
        let caller = permitted.await?;
        let request = request.into_inner();
        let mut ids = request.ids.into_iter().map(id).collect::<Result<Vec<_>, _>>()?;
        if request.all {
            ids = self.0.runs.ids();
        }
        let ended = self.0.runs.end(&ids, &caller.name).await;
        let runs = ended.map_err(|error| running::refuse(&error))?;
        Ok(Response::new(wire::EndRunsReply { runs }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_that_is_not_known_any_more_fails_no_brake() {
        let intent = |id: u64| wire::Intent { id, ..wire::Intent::default() };
        let id = IntentId::from_random(2);
        let ended = vec![Ok(intent(1)), Err(ControlError::Unknown(id)), Ok(intent(3))];
        assert_eq!(known(ended).unwrap(), [intent(1), intent(3)]);
        assert!(known(vec![Ok(intent(1)), Err(ControlError::Conflict(id))]).is_err());
    }
}
