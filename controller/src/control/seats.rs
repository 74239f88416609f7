//! Pods as seats: an end is a place of a fault, in which a pod sits, and another one after it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use fault::{
    FaultId, NodeName, Pick, PodUid, PodsBy, Prefix, Scheme, Selector, Side, Target, TargetIdentity,
};
use proto::control as wire;

use super::intent::Intent;
use crate::planning::{Direction, End};
use crate::provider::kubernetes::Located;
use crate::sequence::{Part, Seated};
use crate::spec::OnRestart;

/// An end that is a pod, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// Its place among the ends.
    pub(super) at: usize,
    /// By what it was named.
    pub(super) selector: Selector,
    /// The name of the pod in it, or of the last one.
    pub(super) name: String,
    /// Which pod that is.
    pub(super) uid: PodUid,
    /// As its node knows it.
    pub(super) identity: TargetIdentity,
    /// Its addresses, as its node has them.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Where it is.
    pub(super) node: Option<NodeName>,
    /// Nobody is in it.
    pub(super) vacant: bool,
}

/// Whose place others may take in a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Succession {
    /// The pod of that name.
    ByName,
    /// Any that has come since.
    ByNewcomers,
    /// Any that is meant: there are as many seats as pods.
    Open,
}

impl Seat {
    pub(super) fn of(at: usize, end: &wire::End) -> Option<Self> {
        let selector = Selector::try_from(end.selector.clone()?).ok()?;
        let Scheme::Kubernetes(pods) = &selector.scheme else { return None };
        let target = Target::try_from(end.target.clone()?).ok()?;
        let Scheme::Pod(pod) = target.selector.scheme else { return None };
        // A namespace has no dot in its name.
        let name = end.member.strip_prefix(pods.namespace.as_str())?.strip_prefix('.')?;
        Some(Self {
            at,
            name: name.to_owned(),
            selector,
            uid: pod.uid,
            identity: target.identity,
            addresses: target.addresses.iter().map(|own| own.address).collect(),
            node: NodeName::new(&end.node),
            vacant: end.vacant,
        })
    }

    /// All of an intent.
    pub(super) fn all(ends: &[wire::End]) -> Vec<Self> {
        ends.iter().enumerate().filter_map(|(at, end)| Self::of(at, end)).collect()
    }

    /// The pod, with its namespace.
    pub(super) fn pod(&self) -> String {
        let namespace = match &self.selector.scheme {
            Scheme::Kubernetes(pods) => pods.namespace.as_str(),
            Scheme::Netns(_)
            | Scheme::Pid(_)
            | Scheme::Container(_)
            | Scheme::Pod(_)
            | Scheme::Host(_)
            | Scheme::Addr(_)
            | Scheme::Etcd(_)
            | Scheme::Zeebe(_) => "",
        };
        format!("{namespace}/{}", self.name)
    }

    pub(super) fn succession(&self) -> Succession {
        succession(&self.selector)
    }
}

/// Who may take a place that a selector has named.
pub(super) fn succession(selector: &Selector) -> Succession {
    match &selector.scheme {
        Scheme::Kubernetes(pods) => match &pods.which {
            PodsBy::Name { .. } | PodsBy::StatefulSet { .. } => Succession::ByName,
            PodsBy::Deployment(_) | PodsBy::Labels(_) => Succession::ByNewcomers,
            PodsBy::Service(_) => Succession::Open,
        },
        Scheme::Netns(_)
        | Scheme::Pid(_)
        | Scheme::Container(_)
        | Scheme::Pod(_)
        | Scheme::Host(_)
        | Scheme::Addr(_)
        | Scheme::Etcd(_)
        | Scheme::Zeebe(_) => Succession::ByName,
    }
}

/// Whether a selector has picked some of several, in whose place others may come. Who was there and was not picked takes
/// nobody's place.
pub(super) fn is_picked(selector: &Selector) -> bool {
    let is_some = match selector.pick {
        Some(Pick::One | Pick::Count(_) | Pick::Percent(_)) => true,
        Some(Pick::All) | None => false,
    };
    is_some && succession(selector) == Succession::ByNewcomers
}

/// Who was there in the beginning and was not picked, by no selector; `None` where nothing was picked in whose place others
/// may come.
pub(super) fn bystanders(ends: &[End]) -> Option<BTreeSet<String>> {
    let picked = ends.iter().filter(|end| is_picked(&end.selector));
    let mut lists: Vec<&Arc<BTreeSet<String>>> = picked.map(|end| &end.passed_over).collect();
    if lists.is_empty() {
        return None;
    }
    // All that one selector has picked have one list.
    lists.dedup_by(|one, other| Arc::ptr_eq(one, other));
    let sitting = ends.iter().filter_map(|end| Some(end.pod.as_ref()?.pod.to_string()));
    let sitting: BTreeSet<String> = sitting.collect();
    let all = lists.into_iter().flat_map(|list| list.iter());
    Some(all.filter(|name| !sitting.contains(*name)).cloned().collect())
}

/// The selectors of an intent by which pods or services were named, each once.
pub(super) fn watched(ends: &[wire::End]) -> Vec<Selector> {
    let mut all: Vec<Selector> = Vec::new();
    for end in ends {
        let selector = end.selector.clone().and_then(|typed| Selector::try_from(typed).ok());
        let named = selector.filter(|one| matches!(one.scheme, Scheme::Kubernetes(_)));
        all.extend(named.filter(|one| !all.contains(one)));
    }
    all
}

/// Which seats have lost their pod: it is not known any more, or a node has said that it is gone.
pub(super) fn emptied(intent: &Intent, is_there: impl Fn(&Seat) -> bool) -> Vec<Seat> {
    let mut seats = Seat::all(&intent.ends);
    seats.retain(|seat| {
        let parts = intent.sequence.parts();
        let gone = parts.iter().any(|part| tells_end(part, seat));
        // Unless it has come in again.
        let gone = gone && !parts.iter().any(|part| lives_with(part, seat));
        !seat.vacant && (gone || !is_there(seat))
    });
    seats
}

/// Whether a part has ended since the pod of a seat is gone from its node.
fn tells_end(part: &Part, seat: &Seat) -> bool {
    let on_it = part.fault.target == seat.identity && part.node_is(seat.node.as_ref());
    let followed = part.fault.peers.followed.as_ref();
    let of_it = followed.is_some_and(|peer| peer.identity == seat.identity);
    match part.gone_with_its_pod() {
        Some(Seated { target: true, .. }) => on_it,
        Some(Seated { peer: true, .. }) => of_it && part.node_is(seat.node.as_ref()),
        Some(Seated { target: false, peer: false }) | None => false,
    }
}

/// Whether a part lives that would end with the pod of a seat.
fn lives_with(part: &Part, seat: &Seat) -> bool {
    let followed = part.fault.peers.followed.as_ref();
    let about = part.fault.target == seat.identity
        || followed.is_some_and(|peer| peer.identity == seat.identity);
    about && part.state.comes_in() && part.node_is(seat.node.as_ref())
}

/// The parts that live of what is between these ends and others, or in their processes.
pub(super) fn touching(intent: &Intent, ends: &BTreeSet<usize>) -> BTreeSet<FaultId> {
    let seats: Vec<Seat> =
        Seat::all(&intent.ends).into_iter().filter(|seat| ends.contains(&seat.at)).collect();
    let mut numbers = BTreeSet::new();
    for cut in &intent.cuts {
        if [cut.from, cut.to].iter().any(|end| ends.contains(&place(*end))) {
            numbers.extend(cut.parts.iter().copied());
        }
    }
    let in_processes = |part: &Part| {
        intent.cuts.is_empty()
            && seats
                .iter()
                .any(|seat| part.fault.target == seat.identity && part.node_is(seat.node.as_ref()))
    };
    let living = intent.sequence.parts().iter().filter(|part| part.state.comes_in());
    living
        .filter(|part| numbers.contains(&u32::from(part.fault.id.part)) || in_processes(part))
        .map(|part| part.fault.id)
        .collect()
}

/// The directions of a cut between ends that are there, of which nothing is in or on its way in.
pub(super) fn missing(intent: &Intent) -> Vec<Direction> {
    let living = living(intent);
    let present = |end: u32| intent.ends.get(place(end)).is_some_and(|end| !end.vacant);
    let cuts = intent.cuts.iter().filter(|cut| {
        present(cut.from) && present(cut.to) && !cut.parts.iter().any(|part| living.contains(part))
    });
    cuts.map(|cut| Direction { from: place(cut.from), to: place(cut.to) }).collect()
}

/// The parts that have come in of directions of which others have not, of the last so many of each.
pub(super) fn halves(intent: &Intent, batches: &[(Direction, usize)]) -> BTreeSet<FaultId> {
    let living = living(intent);
    let mut halves = BTreeSet::new();
    for (direction, count) in batches {
        let cuts = intent.cuts.iter();
        let cut =
            cuts.filter(|cut| (place(cut.from), place(cut.to)) == (direction.from, direction.to));
        for cut in cut {
            let last = &cut.parts[cut.parts.len().saturating_sub(*count)..];
            let alive: BTreeSet<u32> =
                last.iter().filter(|part| living.contains(part)).copied().collect();
            if alive.len() < last.len() {
                halves.extend(alive);
            }
        }
    }
    let parts = intent.sequence.parts().iter();
    let of_it = parts.filter(|part| halves.contains(&u32::from(part.fault.id.part)));
    of_it.map(|part| part.fault.id).collect()
}

/// The ends in whose processes something was to be done, and nothing is in or on its way in.
pub(super) fn idle(intent: &Intent) -> Vec<usize> {
    if !intent.cuts.is_empty() {
        return Vec::new();
    }
    let seats = Seat::all(&intent.ends).into_iter().filter(|seat| !seat.vacant);
    seats.map(|seat| seat.at).filter(|at| touching(intent, &[*at].into()).is_empty()).collect()
}

fn living(intent: &Intent) -> BTreeSet<u32> {
    let parts = intent.sequence.parts().iter().filter(|part| part.state.comes_in());
    parts.map(|part| u32::from(part.fault.id.part)).collect()
}

/// A number of the wire as a place in a list.
pub(super) fn place(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Who takes which seat: of those that can be hit whoever was there before, then whoever has the name, then whoever has
/// come since. Those who sit elsewhere, or were there in the beginning and not picked, take nobody's place; nobody who
/// may be one of those does while it is not known who they are.
pub(super) fn takers(
    seats: &[Seat],
    selector: &Selector,
    usable: Vec<Located>,
    bystanders: Option<&BTreeSet<String>>,
) -> (Vec<(usize, Located)>, Vec<Located>) {
    let sitting: BTreeSet<&str> =
        seats.iter().filter(|seat| !seat.vacant).map(|seat| seat.uid.as_str()).collect();
    let mut free: Vec<Located> =
        usable.into_iter().filter(|one| !sitting.contains(one.uid.as_str())).collect();
    let mut vacant: Vec<&Seat> =
        seats.iter().filter(|seat| seat.vacant && seat.selector == *selector).collect();
    let mut taken = Vec::new();
    for claim in [Claim::Pod, Claim::Name, Claim::Newcomer] {
        vacant.retain(|seat| {
            let fits = |one: &Located| claim.fits(seat, one, bystanders);
            match free.iter().position(fits) {
                Some(found) => {
                    taken.push((seat.at, free.remove(found)));
                    false
                }
                None => true,
            }
        });
    }
    let more = if succession(selector) == Succession::Open { free } else { Vec::new() };
    (taken, more)
}

/// By what a pod takes a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// It was there before: its sandbox was made anew.
    Pod,
    /// By its name.
    Name,
    /// It has come since.
    Newcomer,
}

impl Claim {
    fn fits(self, seat: &Seat, one: &Located, bystanders: Option<&BTreeSet<String>>) -> bool {
        match (self, seat.succession()) {
            (Self::Pod, _) => seat.uid.as_str() == one.uid,
            (Self::Name, _) => seat.name == one.pod.name,
            (Self::Newcomer, Succession::ByName) => false,
            (Self::Newcomer, Succession::ByNewcomers) => match bystanders {
                Some(known) => !known.contains(&one.pod.to_string()),
                None => !is_picked(&seat.selector),
            },
            (Self::Newcomer, Succession::Open) => true,
        }
    }
}

/// The addresses of an end that is nothing else.
pub(super) fn addresses(end: &wire::End) -> BTreeSet<IpAddr> {
    let all = end.addresses.iter().chain(&end.several);
    let hosts = all.filter_map(|prefix| Prefix::try_from(prefix.clone()).ok());
    hosts.map(|prefix| std::net::Ipv6Addr::from(prefix.network()).to_canonical()).collect()
}

/// At which ends of each part of an intent there is a pod whose place another one may take.
pub(super) fn seating(
    ends: &[wire::End],
    cuts: &[wire::Cut],
    on_restart: Option<OnRestart>,
) -> impl Fn(&Part) -> Seated {
    let is_taken_again = |seat: &Seat| {
        seat.succession() == Succession::Open || on_restart == Some(OnRestart::Reapply)
    };
    let mut all = Seat::all(ends);
    all.retain(is_taken_again);
    let seats: BTreeSet<usize> = all.iter().map(|seat| seat.at).collect();
    let mut between: BTreeMap<u32, Direction> = BTreeMap::new();
    for cut in cuts {
        let direction = Direction { from: place(cut.from), to: place(cut.to) };
        between.extend(cut.parts.iter().map(|part| (*part, direction)));
    }
    let is_cut = !cuts.is_empty();
    move |part: &Part| {
        let Some(direction) = between.get(&u32::from(part.fault.id.part)) else {
            let in_processes = |seat: &Seat| {
                part.fault.target == seat.identity && part.node_is(seat.node.as_ref())
            };
            return Seated { target: !is_cut && all.iter().any(in_processes), peer: false };
        };
        let (at, other) = match part.fault.kind.cut().map(|cut| cut.side) {
            Some(Side::Egress) => (direction.from, direction.to),
            Some(Side::Ingress) | None => (direction.to, direction.from),
        };
        Seated { target: seats.contains(&at), peer: seats.contains(&other) }
    }
}

#[cfg(test)]
mod tests;
