//! One look at the pods of an intent, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fault::{Aspect, LeaseTerms, Scheme, Selector};
use futures_util::future::join_all;
use proto::control as wire;
use tokio::time::timeout;

use super::super::driver::amending::Amendment;
use super::super::intent::Intent;
use super::super::pods;
use super::super::remainder::{WORTH, terms};
use super::super::seats::{self, Seat, Succession, addresses, place, succession};
use super::super::services;
use super::word::{Leads, Word};
use super::{Attendant, Pass, Watched};
use crate::planning::{Direction, End, Plan, in_processes, plan};
use crate::provider::kubernetes::{Found, Led, Located, PodsError, Presence, Unusable};
use crate::spec::{Between, OnRestart, Spec, Ways, What, Within};

/// How long an agent may take to say what a pod is: others may go meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// What comes in by a pass, and what leaves once that is done.
#[derive(Default)]
pub(super) struct Coming {
    pub(super) amendment: Amendment,
    pub(super) directions: BTreeSet<Direction>,
    after: BTreeSet<fault::FaultId>,
    again: bool,
}

impl Attendant {
    pub(super) async fn pass(&mut self, watched: &[Watched]) -> Pass {
        // What is told leaves before anybody is asked for anything.
        let told = self.leave(watched, &Word::default()).await;
        let Some(intent) = told else { return Pass::Over };
        let word = self.ask(&intent, watched).await;
        if !word.is_nothing() && self.leave(watched, &word).await.is_none() {
            return Pass::Over;
        }
        let Word { leads, silent, .. } = word;
        let Some((intent, left)) = self.look().await else { return Pass::Over };
        let coming = self.coming(&intent, leads, left).await;
        let Coming { amendment, after, again, .. } = coming;
        let batches: Vec<(Direction, usize)> =
            amendment.planned.iter().map(|one| (one.direction, one.parts.len())).collect();
        let news = !amendment.seated.is_empty()
            || !amendment.faults.is_empty()
            || !amendment.notes.is_empty();
        if news && self.amend(amendment).await.is_none() {
            return Pass::Over;
        }
        let Some((intent, _)) = self.look().await else { return Pass::Over };
        // A direction comes in at both of its ends or not at all.
        let leave: BTreeSet<_> =
            after.into_iter().chain(seats::halves(&intent, &batches)).collect();
        if !leave.is_empty() {
            let leaving = Amendment { leave, ..Amendment::default() };
            if self.amend(leaving).await.is_none() {
                return Pass::Over;
            }
        }
        let Some((intent, left)) = self.look().await else { return Pass::Over };
        let is_whole = seats::missing(&intent).is_empty() && seats::idle(&intent).is_empty();
        if (again || silent || !is_whole) && left > WORTH { Pass::Again } else { Pass::Settled }
    }

    /// Has whatever has left leave, by what is told and by this; the intent as it was before, `None` where it is over.
    async fn leave(&self, watched: &[Watched], word: &Word) -> Option<Box<Intent>> {
        let (intent, _) = self.look().await?;
        if let Some(amendment) = self.left(&intent, watched, word) {
            self.amend(amendment).await?;
        }
        Some(intent)
    }

    /// Asks for what is not told: what every service leads to, and whether pods are there that may have come since.
    async fn ask(&self, intent: &Intent, watched: &[Watched]) -> Word {
        let mut word = Word { leads: self.leads(watched).await, ..Word::default() };
        let seats = Seat::all(&intent.ends);
        for Watched { selector, attention } in watched {
            let Some(attention) = attention else { continue };
            let is_untold = |seat: &Seat| {
                let presence = attention.presence(seat.uid.as_str(), &seat.addresses);
                !seat.vacant && seat.selector == *selector && presence == Some(Presence::Untold)
            };
            if !seats.iter().any(is_untold) {
                continue;
            }
            match self.kubernetes.watched_now(attention).await {
                Ok(facts) => word.pods.push((selector.clone(), facts)),
                Err(error) => {
                    tracing::debug!(intent = %self.id, %selector, %error, "pods stay as they are");
                    word.silent = true;
                }
            }
        }
        word
    }

    /// What every service leads to; `None` for one that is gone.
    async fn leads(&self, watched: &[Watched]) -> Leads {
        let mut all = Vec::new();
        for Watched { selector, .. } in watched {
            let Scheme::Kubernetes(pods) = &selector.scheme else { continue };
            let Some(name) = pods.service() else { continue };
            let led = match self.kubernetes.led(pods, name).await {
                Ok(led) => Ok(Some(led)),
                Err(PodsError::NoObject { .. } | PodsError::NoNamespace { .. }) => Ok(None),
                Err(error) => Err(error),
            };
            all.push((selector.clone(), led));
        }
        all
    }

    /// What has left; `None` for nothing. Pods that were not picked are taken note of the first time.
    fn left(&self, intent: &Intent, watched: &[Watched], word: &Word) -> Option<Amendment> {
        let is_there = |seat: &Seat| {
            let told = watched.iter().find(|one| one.selector == seat.selector);
            let told = told.and_then(|one| one.attention.as_ref());
            let told = told.and_then(|one| one.presence(seat.uid.as_str(), &seat.addresses));
            word.has(seat, told)
        };
        let emptied = seats::emptied(intent, is_there);
        let bystanders = self.bystanders(intent, watched);
        if emptied.is_empty() && bystanders.is_none() {
            return None;
        }
        let vacated: BTreeSet<usize> = emptied.iter().map(|seat| seat.at).collect();
        let stays = |seat: &&Seat| {
            self.on_restart == OnRestart::Reapply || seat.succession() == Succession::Open
        };
        let lost = emptied.iter().find(|seat| !stays(seat));
        Some(Amendment {
            leave: seats::touching(intent, &vacated),
            lost: lost.map(|seat| format!("pod {} is gone, with which it was to end", seat.pod())),
            notes: emptied.iter().map(|seat| format!("pod {} is gone", seat.pod())).collect(),
            vacated,
            bystanders,
            ..Amendment::default()
        })
    }

    /// Whoever could have been picked and was not, where that is not known yet.
    fn bystanders(&self, intent: &Intent, watched: &[Watched]) -> Option<BTreeSet<String>> {
        let mut picked = watched.iter().filter(|one| seats::is_picked(&one.selector)).peekable();
        if intent.bystanders.is_some() || picked.peek().is_none() {
            return None;
        }
        let seats = Seat::all(&intent.ends);
        let sits = |uid: &str| seats.iter().any(|seat| seat.uid.as_str() == uid);
        let mut all = BTreeSet::new();
        for Watched { selector, attention } in picked {
            let Scheme::Kubernetes(pods) = &selector.scheme else { continue };
            // Of all at once or of none: who comes later is nobody who was not picked.
            let known = attention.as_ref()?.pods()?;
            let others = known.iter().filter(|(uid, _)| !sits(uid));
            all.extend(others.map(|(_, fact)| format!("{}/{}", pods.namespace, fact.name)));
        }
        Some(all)
    }

    /// Who has come, and what is put in for them.
    async fn coming(&mut self, intent: &Intent, leads: Leads, left: Duration) -> Coming {
        let mut coming = Coming::default();
        let mut next = intent.clone();
        // Who was to be put in again and was not may be another one by now.
        let mut open: BTreeSet<usize> = seats::idle(intent).into_iter().collect();
        open.extend(seats::missing(intent).iter().flat_map(|one| [one.from, one.to]));
        let seats = Seat::all(&intent.ends);
        for seat in seats.iter().filter(|seat| open.contains(&seat.at)) {
            next.ends[seat.at].vacant = true;
        }
        self.sit(intent, &mut next, &leads, &mut coming).await;
        // Whoever could not be found again may still be there: it is as it was.
        for seat in seats.iter().filter(|seat| !seat.vacant) {
            let taken = coming.amendment.seated.iter().any(|(at, _)| *at == seat.at);
            if !taken && open.contains(&seat.at) {
                coming.again = true;
            }
        }
        self.lead(intent, &mut next, leads, &mut coming);
        coming.directions.extend(seats::missing(&next));
        // For now: how much is left when it comes in the driver says.
        let Some(terms) = terms(self.spec.terms.lease, left) else {
            // What is not worth putting in anew is not kept with addresses that it has lost.
            return Coming { after: coming.after, ..Coming::default() };
        };
        match self.planned(&next, terms, &coming.directions) {
            // Nobody is asked where nothing is to come in.
            Ok(Plan { faults, .. }) if faults.is_empty() => {}
            Ok(Plan { directions, faults }) => {
                let guards = self.guards(&next, &coming).await;
                coming.amendment.planned = directions;
                coming.amendment.faults = faults;
                match guards {
                    Ok(guards) => coming.amendment.guards = Some(guards),
                    Err(error) => {
                        coming.amendment.wait();
                        self.say(&mut coming, error.to_string());
                    }
                }
            }
            Err(why) => {
                // What is idle or missing is asked for again. What would be lost between these and others is neither.
                let is_cut = matches!(self.spec.what, What::Cut(..));
                let more = coming.amendment.more.iter().filter(|_| is_cut).map(called);
                for who in more.collect::<Vec<_>>() {
                    self.say(&mut coming, format!("{who} is left out, and not tried again: {why}"));
                }
                self.say(&mut coming, why);
            }
        }
        coming
    }

    /// Has whoever can sit in what is vacant.
    async fn sit(
        &mut self,
        intent: &Intent,
        next: &mut Intent,
        leads: &Leads,
        coming: &mut Coming,
    ) {
        // Who is looked at again for what is missing at the other end has not left.
        let mut sitting = Seat::all(&intent.ends);
        sitting.retain(|seat| !seat.vacant);
        for selector in seats::watched(&next.ends) {
            let seats = Seat::all(&next.ends);
            let is_open = succession(&selector) == Succession::Open;
            let of_it = || seats.iter().filter(|seat| seat.selector == selector);
            let is_vacant = of_it().any(|seat| seat.vacant);
            let may_sit = is_open || self.on_restart == OnRestart::Reapply;
            // Of a service as TO nobody sits anywhere.
            if !may_sit || !(is_vacant || is_open && self.sends(&selector)) {
                continue;
            }
            let found = match leads.iter().find(|(of, _)| *of == selector) {
                Some((_, Ok(led))) => Ok(led.as_ref().map(|led| led.pods.clone())),
                Some((_, Err(error))) => Err(error.clone()),
                None => self.found(&selector).await,
            };
            let found = match found {
                Ok(found) => found.unwrap_or_default(),
                Err(error) => {
                    coming.again = true;
                    self.say(coming, format!("{selector}: {error}"));
                    continue;
                }
            };
            let of_node =
                |one: &Unusable| matches!(one, Unusable::NodeNotReady { .. } | Unusable::NoNode(_));
            // Nobody tells of nodes that become ready, nor slices of pods that begin to run.
            coming.again |= found
                .unusable
                .iter()
                .any(|one| is_vacant && of_node(&one.why) || is_open && one.why.may_pass());
            let bystanders = next.bystanders.as_ref();
            let (taken, more) = seats::takers(&seats, &selector, found.usable, bystanders);
            let aspect = match self.spec.what {
                What::Cut(..) => Aspect::Network,
                What::Within { .. } => Aspect::Processes,
            };
            let taken = taken.into_iter().map(|(at, located)| (Some(at), located));
            let more = more.into_iter().map(|located| (None, located));
            let ask = async |(at, located): (Option<usize>, Located)| {
                let who = format!("pod {}, {}, on {}", located.pod, located.uid, located.node);
                let is_it = |seat: &Seat| Some(seat.at) == at && seat.uid.as_str() == located.uid;
                let stayed = sitting.iter().any(is_it);
                let found = pods::end(&self.agents, &selector, located, aspect, &[]);
                let found = timeout(PATIENCE, found).await;
                (at, who, stayed, found.map_err(|_| "no answer in time".to_owned()))
            };
            // All at once: a node that does not answer holds up nobody for longer than that.
            let answered = join_all(taken.chain(more).map(ask)).await;
            for (at, who, stayed, found) in answered {
                match found.and_then(|found| found.map_err(|error| error.to_string())) {
                    Ok(end) => {
                        if !stayed {
                            self.say(coming, format!("{who}, takes its place"));
                        }
                        seat(next, coming, at, end);
                    }
                    // It may be on its way, or be gone.
                    Err(why) => {
                        coming.again = true;
                        self.say(coming, format!("{who}, cannot be hit yet: {why}"));
                    }
                }
            }
        }
        let pair = match &self.spec.what {
            What::Cut(Between::Pair { from, to, ways }, _) => {
                (from.as_slice(), to.as_slice(), *ways)
            }
            What::Cut(..) | What::Within { .. } => return,
        };
        for at in next.ends.len() - coming.amendment.more.len()..next.ends.len() {
            coming.directions.extend(directions_of(next, at, pair));
        }
    }

    async fn found(&self, selector: &Selector) -> Result<Option<Found>, PodsError> {
        let Scheme::Kubernetes(pods) = &selector.scheme else { return Ok(None) };
        let found = if self.apart.contains(selector) {
            self.kubernetes.find_anew(pods).await
        } else {
            self.kubernetes.find_told(pods).await
        };
        match found {
            Ok(found) => Ok(Some(match &selector.node {
                Some(node) => found.on(node),
                None => found,
            })),
            // It comes back, or it does not.
            Err(PodsError::NoObject { .. } | PodsError::NoNamespace { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Goes with services that lead elsewhere.
    fn lead(&mut self, intent: &Intent, next: &mut Intent, leads: Leads, coming: &mut Coming) {
        for (selector, led) in leads {
            let ends = intent.ends.iter().enumerate().filter(|(_, end)| {
                end.target.is_none() && end.selector.as_ref() == Some(&(&selector).into())
            });
            let ends: Vec<usize> = ends.map(|(at, _)| at).collect();
            let led = match led {
                Ok(led) => led,
                Err(error) => {
                    coming.again = true;
                    self.say(coming, format!("{selector}: {error}"));
                    continue;
                }
            };
            for at in ends {
                let known = addresses(&intent.ends[at]);
                let sends = self.sends(&selector);
                let mut all = match &led {
                    Some(led) if sends => led.own.union(&led.elsewhere).copied().collect(),
                    Some(led) => led.addresses(),
                    None => BTreeSet::new(),
                };
                if let Some(Err(error)) = led.as_ref().filter(|_| !sends).map(Led::admit) {
                    // What it has led to before stays cut; what is left alone does not come to it.
                    all = all.intersection(&known).copied().collect();
                    self.say(coming, format!("{selector}: {error}"));
                }
                if all == known && !intent.ends[at].vacant {
                    continue;
                }
                let count = all.len();
                coming.after.extend(seats::touching(intent, &[at].into()));
                match services::addresses(&selector, all, intent.ends[at].evidence.clone()) {
                    Some(end) => {
                        let touched = next.cuts.iter().map(direction);
                        let touched = touched.filter(|one| one.from == at || one.to == at);
                        coming.directions.extend(touched);
                        next.ends[at] = wire::End::from(&end);
                        coming.amendment.seated.push((at, end));
                        let plural = if count == 1 { "address" } else { "addresses" };
                        coming.amendment.notes.push(format!("{selector} is {count} {plural} now"));
                    }
                    None if intent.ends[at].vacant => {}
                    None => {
                        next.ends[at].vacant = true;
                        coming.amendment.vacated.insert(at);
                        coming.amendment.notes.push(format!("{selector} leads nowhere now"));
                    }
                }
            }
        }
        coming.directions.retain(|one| {
            [one.from, one.to].iter().all(|at| next.ends.get(*at).is_some_and(|end| !end.vacant))
        });
    }

    /// Whether a service was named as the side that sends.
    fn sends(&self, selector: &Selector) -> bool {
        match &self.spec.what {
            What::Cut(Between::Pair { from, .. }, _) => from.contains(selector),
            What::Cut(..) | What::Within { .. } => false,
        }
    }

    fn planned(
        &self,
        next: &Intent,
        terms: LeaseTerms,
        directions: &BTreeSet<Direction>,
    ) -> Result<Plan, String> {
        let ends: Result<Vec<End>, _> = next.ends.iter().map(End::try_from).collect();
        let ends = ends.map_err(|error| error.to_string())?;
        let spec = Spec { terms, ..self.spec.clone() };
        match &self.spec.what {
            What::Cut(_, loss) => {
                let control_path = self.agents.control_path();
                plan(self.id, &spec, loss, &ends, directions, &control_path)
                    .map_err(|error| error.to_string())
            }
            What::Within { within, .. } => {
                if let Within::Skew(skew) = within {
                    skew.check(terms).map_err(|error| error.to_string())?;
                }
                let idle: Vec<End> =
                    seats::idle(next).into_iter().map(|at| ends[at].clone()).collect();
                in_processes(self.id, (*within).into(), terms, &idle)
                    .map_err(|error| error.to_string())
            }
        }
    }

    /// Tells something once.
    fn say(&mut self, coming: &mut Coming, what: String) {
        if !self.told.contains(&what) {
            tracing::info!(intent = %self.id, what, "pods");
            coming.amendment.notes.push(what.clone());
            self.told.push(what);
        }
    }
}

/// Has a pod sit where the last one sat, or in a place of its own.
fn seat(next: &mut Intent, coming: &mut Coming, at: Option<usize>, end: End) {
    match at {
        Some(at) => {
            next.ends[at] = wire::End::from(&end);
            coming.amendment.seated.push((at, end));
        }
        None => {
            next.ends.push(wire::End::from(&end));
            coming.amendment.more.push(end);
        }
    }
}

/// An end that is new, for people.
fn called(end: &End) -> String {
    match &end.pod {
        Some(pod) => format!("pod {}", pod.pod),
        None => end.selector.to_string(),
    }
}

fn direction(cut: &wire::Cut) -> Direction {
    Direction { from: place(cut.from), to: place(cut.to) }
}

/// The directions of a pod that a service leads to, between which and the other side something is lost.
fn directions_of(
    next: &Intent,
    at: usize,
    (from, to, ways): (&[Selector], &[Selector], Ways),
) -> Vec<Direction> {
    let named: BTreeMap<usize, Selector> = next
        .ends
        .iter()
        .enumerate()
        .filter_map(|(at, end)| Some((at, Selector::try_from(end.selector.clone()?).ok()?)))
        .collect();
    let Some(own) = named.get(&at) else { return Vec::new() };
    if !from.contains(own) {
        return Vec::new();
    }
    let others = named.iter().filter(|(other, selector)| {
        **other != at && to.contains(selector) && !next.ends[**other].vacant
    });
    let both = |(other, _): (&usize, &Selector)| {
        let back = Direction { from: *other, to: at };
        let there = Direction { from: at, to: *other };
        [Some(there), (ways == Ways::Both).then_some(back)]
    };
    others.flat_map(both).flatten().collect()
}
