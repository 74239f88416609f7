//! Several faults on one target: which have a meaning together.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{Cut, Ending, Fault, FaultId, IntentId, Kind, Peers, Prefix, Skew, TargetIdentity};

/// A fault that may stand beside those that are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Composed {
    /// The faults on the same target with which it acts together; what any of them loses is lost.
    pub with: Vec<FaultId>,
}

/// A fault that may not stand beside another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverlapError {
    /// Two distances of one clock have no meaning together.
    #[error("{existing} has moved clocks of this target already")]
    Clocks {
        /// The one that is there.
        existing: FaultId,
    },
    /// As before; and its way back goes on in the process when it is healed, so that no other could begin there.
    #[error("{existing} has moved clocks of this target already, and they come back bit by bit")]
    Slewing {
        /// The one that is there.
        existing: FaultId,
    },
    /// Who stands still stands still, and a second freeze would have nothing to hold.
    #[error("{existing} has frozen this target already")]
    Frozen {
        /// The one that is there.
        existing: FaultId,
    },
    /// A process has one tracer, so that clocks of a frozen one can be neither moved nor restored.
    #[error("{existing} has frozen this target, and clocks are moved in processes that run")]
    ClocksOfFrozen {
        /// The freeze that is there.
        existing: FaultId,
    },
    /// As before: the skew could not be healed while the freeze stands.
    #[error(
        "{existing} has moved clocks of this target, which could not be restored while it is frozen"
    )]
    FrozenClocks {
        /// The skew that is there.
        existing: FaultId,
    },
    /// It would do what is done already: nothing could be told apart, and healing one would end nothing.
    #[error("{existing} does the same to this target already")]
    Same {
        /// The one that is there.
        existing: FaultId,
    },
}

impl OverlapError {
    /// The fault whose place the new one would take if that was healed: one of the same kind.
    #[must_use]
    pub const fn replaceable(&self) -> Option<FaultId> {
        match self {
            Self::Clocks { existing } => Some(*existing),
            Self::Slewing { .. }
            | Self::Frozen { .. }
            | Self::ClocksOfFrozen { .. }
            | Self::FrozenClocks { .. }
            | Self::Same { .. } => None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let intent = self.existing().intent;
        match self {
            Self::Clocks { .. } => format!(
                "heal it first (schism heal {intent}), ask for --replace (in a file `\"replace\": true`), or let it end"
            ),
            Self::Slewing { .. } => format!(
                "heal it (schism heal {intent}) or let it end, and wait until its way back is over: `way_back` of \
                 `schism status -o json` says how long that takes; what ends by `--heal step` can be replaced at once"
            ),
            Self::Frozen { .. }
            | Self::ClocksOfFrozen { .. }
            | Self::FrozenClocks { .. }
            | Self::Same { .. } => format!("heal it first (schism heal {intent}), or let it end"),
        }
    }

    const fn existing(&self) -> FaultId {
        match self {
            Self::Clocks { existing }
            | Self::Slewing { existing }
            | Self::Frozen { existing }
            | Self::ClocksOfFrozen { existing }
            | Self::FrozenClocks { existing }
            | Self::Same { existing } => *existing,
        }
    }
}

/// What is in the way of faults, all of it looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obstacle<P> {
    /// Where it is.
    pub place: P,
    /// What it is: of several the first whose place cannot be taken.
    pub error: OverlapError,
    /// Whether the new ones may take the place of all that is in their way.
    pub replacing: Replacing,
}

/// Whether faults may take the place of what is in their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacing {
    /// They may, of this intent first: nothing of it acts anywhere else.
    Possible(IntentId),
    /// This intent acts on others as well, where it would end and nothing would take its place.
    Wider(IntentId),
    /// Something in their way is not of their kind, or was asked for together with them.
    Impossible,
}

impl<P> Obstacle<P> {
    /// The intent to heal first so that the new ones take the place of all that is in their way.
    #[must_use]
    pub const fn replaceable(&self) -> Option<IntentId> {
        match self.replacing {
            Replacing::Possible(intent) => Some(intent),
            Replacing::Wider(_) | Replacing::Impossible => None,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self.replacing {
            Replacing::Possible(_) => self.error.hint(),
            Replacing::Impossible if self.error.replaceable().is_none() => self.error.hint(),
            Replacing::Wider(intent) => format!(
                "heal it first (schism heal {intent}), name all of its targets with --replace (in a file \
                 `\"replace\": true`), or let it end: it has moved other clocks as well"
            ),
            Replacing::Impossible => {
                format!(
                    "heal it first (schism heal {}), or let it end",
                    self.error.existing().intent
                )
            }
        }
    }
}

/// What is in the way of faults that are asked for, each at its place: of what acts there, and of one another.
///
/// A boot tells nodes apart only as far as nobody has copied it; so a place is more than that.
#[must_use]
pub fn obstacle<P: Clone + Ord>(
    asked: &[(P, Fault)],
    active: &[(P, Fault)],
) -> Option<Obstacle<P>> {
    let mut by_place: BTreeMap<&P, Vec<&Fault>> = BTreeMap::new();
    for (place, fault) in active {
        by_place.entry(place).or_default().push(fault);
    }
    let mut met: Vec<(&P, OverlapError)> = Vec::new();
    for (place, fault) in asked {
        let others = by_place.entry(place).or_default();
        met.extend(fault.overlaps(others).map(|error| (place, error)));
        others.push(fault);
    }
    let own: BTreeSet<IntentId> = asked.iter().map(|(_, fault)| fault.id.intent).collect();
    let replaceable = |error: &OverlapError| {
        error.replaceable().filter(|existing| !own.contains(&existing.intent))
    };
    let stays = met.iter().find(|(_, error)| replaceable(error).is_none());
    let (place, error) = *stays.or(met.first())?;
    let replacing = match stays {
        Some(_) => Replacing::Impossible,
        None => {
            let ending: BTreeSet<FaultId> =
                met.iter().filter_map(|(_, error)| replaceable(error)).collect();
            let intents: BTreeSet<IntentId> = ending.iter().map(|id| id.intent).collect();
            let is_wider = |id: &FaultId| intents.contains(&id.intent) && !ending.contains(id);
            match active.iter().map(|(_, fault)| fault.id).find(is_wider) {
                Some(id) => Replacing::Wider(id.intent),
                None => Replacing::Possible(error.existing().intent),
            }
        }
    };
    Some(Obstacle { place: place.clone(), error, replacing })
}

impl Fault {
    /// Whether it may join others that have not ended. Those on other targets do not matter, nor does
    /// one with its own id: that is the same request, made again.
    ///
    /// # Errors
    /// The first fault with which it has no meaning.
    pub fn beside<'a>(
        &self,
        others: impl IntoIterator<Item = &'a Self>,
    ) -> Result<Composed, OverlapError> {
        let mut with = Vec::new();
        for other in others {
            with.extend(self.meets(other)?);
        }
        Ok(Composed { with })
    }

    /// Why it may not join them: one reason for each with which it has no meaning.
    fn overlaps(&self, others: &[&Self]) -> impl Iterator<Item = OverlapError> {
        others.iter().filter_map(|other| self.meets(other).err())
    }

    /// Another one if both act together, `None` if they have nothing to do with each other.
    fn meets(&self, other: &Self) -> Result<Option<FaultId>, OverlapError> {
        if other.id == self.id {
            return Ok(None);
        }
        match (&other.kind, &self.kind) {
            (Kind::Skew(_) | Kind::Freeze(_), Kind::Skew(_) | Kind::Freeze(_)) => {
                if same_processes(&other.target, &self.target) {
                    return Err(self.within(other));
                }
                Ok(None)
            }
            _ if !same_target(&other.target, &self.target) => Ok(None),
            (Kind::Cut(there), Kind::Cut(new)) => {
                if same_cut(there, new) && same_peers(&other.peers, &self.peers) {
                    return Err(OverlapError::Same { existing: other.id });
                }
                Ok(Some(other.id))
            }
            // Packets and processes have nothing to do with each other, loads add up, and whoever is
            // killed takes what is in it along.
            (
                Kind::Cut(_) | Kind::Skew(_) | Kind::Freeze(_) | Kind::Kill(_) | Kind::Stress(_),
                Kind::Skew(_) | Kind::Freeze(_) | Kind::Kill(_) | Kind::Stress(_),
            )
            | (Kind::Skew(_) | Kind::Freeze(_) | Kind::Kill(_) | Kind::Stress(_), Kind::Cut(_)) => {
                Ok(Some(other.id))
            }
        }
    }

    /// Why it may not be in the processes in which another one is.
    const fn within(&self, other: &Self) -> OverlapError {
        let existing = other.id;
        let slews = matches!(&other.kind, Kind::Skew(Skew { ending: Ending::Slew(_), .. }));
        match (matches!(other.kind, Kind::Freeze(_)), matches!(self.kind, Kind::Freeze(_))) {
            (true, true) => OverlapError::Frozen { existing },
            (true, false) => OverlapError::ClocksOfFrozen { existing },
            (false, true) => OverlapError::FrozenClocks { existing },
            (false, false) if slews => OverlapError::Slewing { existing },
            (false, false) => OverlapError::Clocks { existing },
        }
    }
}

/// Whether faults on both meet: a cut acts on a whole namespace, whatever process named it.
fn same_target(one: &TargetIdentity, other: &TargetIdentity) -> bool {
    one.boot == other.boot && one.namespace == other.namespace
}

/// Whether both may mean one process: the same one, or one of a namespace that is meant as a whole.
///
/// Which processes a container or a tree has only the kernel knows; there the second skew finds the first
/// one's traces, and leaves that process alone.
fn same_processes(one: &TargetIdentity, other: &TargetIdentity) -> bool {
    one.boot == other.boot
        && match (one.process, other.process) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => one.namespace == other.namespace,
        }
}

/// Whether two cuts lose the same share of the same packets. The seed is no difference: it is drawn
/// anew for a command that is merely typed twice, and 30 % twice would be 51 %.
fn same_cut(there: &Cut, new: &Cut) -> bool {
    Cut { seed: there.seed, ..*new } == *there
}

fn same_peers(there: &Peers, new: &Peers) -> bool {
    let fixed = |peers: &Peers| peers.fixed.iter().cloned().collect::<BTreeSet<Prefix>>();
    let followed = |peers: &Peers| peers.followed.as_ref().map(|peer| peer.identity);
    let same_followed = match (followed(there), followed(new)) {
        (Some(one), Some(other)) => same_target(&one, &other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    same_followed && fixed(there) == fixed(new)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        BootId, Chance, FlowAge, IntentId, LeaseTerms, Mode, NamespaceCookie, PeerTarget,
        ProcessIdentity, Protocol, Side, Verdict,
    };

    type Change = fn(&mut Fault);

    const CUT: Cut = Cut {
        mode: Mode::Packet,
        protocol: None,
        port: None,
        flows: FlowAge::All,
        loss: Chance::CERTAIN,
        seed: 1,
        verdict: Verdict::Drop,
        side: Side::Ingress,
    };

    fn identity(namespace: u64) -> TargetIdentity {
        let process = None;
        TargetIdentity { boot: BootId::new(1), namespace: NamespaceCookie::new(namespace), process }
    }

    fn fault(intent: u64) -> Fault {
        Fault {
            id: FaultId { intent: IntentId::from_random(intent), part: 0 },
            selector: "netns:a".parse().unwrap(),
            target: identity(1),
            kind: Kind::Cut(CUT),
            peers: Peers { fixed: prefixes(&["10.0.0.1", "10.0.0.2"]), followed: None },
            terms: LeaseTerms::new(Duration::from_secs(15), Duration::from_secs(60)).unwrap(),
            control_path: Vec::new(),
        }
    }

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn follows(namespace: u64) -> Peers {
        let selector = "netns:b".parse().unwrap();
        let peer = PeerTarget { selector, identity: identity(namespace) };
        Peers { fixed: Vec::new(), followed: Some(peer) }
    }

    #[test]
    fn what_differs_composes() {
        let table: [(&str, Change); 13] = [
            ("mode", |fault| fault.kind = Kind::Cut(Cut { mode: Mode::Initiator, ..CUT })),
            ("protocol", |fault| {
                fault.kind = Kind::Cut(Cut { protocol: Some(Protocol::Tcp), ..CUT });
            }),
            ("port", |fault| fault.kind = Kind::Cut(Cut { port: Some(2380), ..CUT })),
            ("flows", |fault| fault.kind = Kind::Cut(Cut { flows: FlowAge::New, ..CUT })),
            ("loss", |fault| {
                fault.kind = Kind::Cut(Cut { loss: "30%".parse().unwrap(), ..CUT });
            }),
            ("verdict", |fault| fault.kind = Kind::Cut(Cut { verdict: Verdict::Count, ..CUT })),
            ("side", |fault| fault.kind = Kind::Cut(Cut { side: Side::Egress, ..CUT })),
            ("fewer peers", |fault| fault.peers.fixed = prefixes(&["10.0.0.1"])),
            ("more peers", |fault| fault.peers.fixed.extend(prefixes(&["10.0.0.3"]))),
            ("a prefix around them", |fault| fault.peers.fixed = prefixes(&["10.0.0.0/24"])),
            ("the other family", |fault| fault.peers.fixed = prefixes(&["fd00::1"])),
            ("a peer that is followed", |fault| fault.peers = follows(2)),
            ("the same and one that is followed", |fault| {
                fault.peers.followed = follows(2).followed;
            }),
        ];
        for (what, change) in table {
            let there = fault(7);
            let mut new = fault(8);
            change(&mut new);
            let composed = Ok(Composed { with: vec![there.id] });
            assert_eq!(new.beside([&there]), composed, "{what}");
            assert_eq!(there.beside([&new]), Ok(Composed { with: vec![new.id] }), "{what}");
            assert!(
                new.beside([&there, &Fault { id: fault(9).id, ..new.clone() }]).is_err(),
                "{what}"
            );
        }
    }

    #[test]
    fn what_differs_by_name_alone_is_refused() {
        let table: [(&str, Change); 6] = [
            ("nothing", |_| {}),
            ("seed", |fault| fault.kind = Kind::Cut(Cut { seed: 2, ..CUT })),
            ("selector", |fault| fault.selector = "pid:4711".parse().unwrap()),
            ("process", |fault| {
                fault.target.process = Some(ProcessIdentity { pid: 4711, started: 1 });
            }),
            ("terms", |fault| fault.terms.total = Duration::from_secs(99)),
            ("order of peers", |fault| {
                fault.peers.fixed = prefixes(&["10.0.0.2", "10.0.0.1", "10.0.0.2"]);
            }),
        ];
        for (what, change) in table {
            let there = fault(7);
            let mut new = fault(8);
            change(&mut new);
            let error = OverlapError::Same { existing: there.id };
            assert_eq!(new.beside([&there]), Err(error), "{what}");
        }
        let (there, new) =
            (Fault { peers: follows(2), ..fault(7) }, Fault { peers: follows(2), ..fault(8) });
        assert!(new.beside([&there]).is_err());
        assert!(Fault { peers: follows(3), ..new }.beside([&there]).is_ok());
    }

    fn skew(intent: u64, namespace: u64, pid: Option<u32>) -> Fault {
        let process = pid.map(|pid| ProcessIdentity { pid, started: 1 });
        let shape = crate::Shape::Offset(crate::Offset::from_nanos(1).unwrap());
        let skew = crate::Skew {
            shape,
            clocks: crate::Clocks::REALTIME,
            ending: crate::Ending::Step,
            extent: crate::Extent::Named,
        };
        Fault {
            target: TargetIdentity { process, ..identity(namespace) },
            kind: Kind::Skew(skew),
            peers: Peers::default(),
            ..fault(intent)
        }
    }

    #[test]
    fn a_clock_is_moved_once() {
        let there = skew(7, 1, Some(4711));
        let refused = Err(OverlapError::Clocks { existing: there.id });
        assert_eq!(skew(8, 1, Some(4711)).beside([&there]), refused);
        assert_eq!(skew(8, 1, None).beside([&there]), refused, "it is in that namespace");
        let alone = Ok(Composed { with: Vec::new() });
        assert_eq!(skew(8, 1, Some(4712)).beside([&there]), alone, "another process");
        assert_eq!(skew(8, 2, None).beside([&there]), alone, "another namespace");
    }

    fn freeze(intent: u64, namespace: u64, pid: Option<u32>) -> Fault {
        Fault { kind: Kind::Freeze(crate::Freeze::default()), ..skew(intent, namespace, pid) }
    }

    #[test]
    fn a_process_is_frozen_once_and_not_while_its_clocks_are_moved() {
        let (frozen, moved) = (freeze(7, 1, Some(4711)), skew(7, 1, Some(4711)));
        let existing = frozen.id;
        let refused = |new: Fault, there: &Fault| new.beside([there]).unwrap_err();
        let again = refused(freeze(8, 1, None), &frozen);
        assert_eq!(again, OverlapError::Frozen { existing });
        let moving = refused(skew(8, 1, Some(4711)), &frozen);
        assert_eq!(moving, OverlapError::ClocksOfFrozen { existing });
        let freezing = refused(freeze(8, 1, Some(4711)), &moved);
        assert_eq!(freezing, OverlapError::FrozenClocks { existing });
        assert!(freezing.hint().contains("schism heal 000000000007"));
        let alone = Ok(Composed { with: Vec::new() });
        assert_eq!(freeze(8, 1, Some(4712)).beside([&frozen, &moved]), alone, "another process");
        let cut = fault(9);
        assert_eq!(frozen.beside([&cut]), Ok(Composed { with: vec![cut.id] }));
        assert_eq!(cut.beside([&frozen]), Ok(Composed { with: vec![existing] }));
    }

    /// One part of an intent, on a node.
    fn on(node: &'static str, part: u16, fault: Fault) -> (&'static str, Fault) {
        (node, Fault { id: FaultId { part, ..fault.id }, ..fault })
    }

    #[test]
    fn a_skew_takes_the_place_of_skews_that_end_whole_and_of_nothing_else() {
        let moved = |intent, node, part| on(node, part, skew(intent, 1, None));
        let frozen = |intent, node| on(node, 0, freeze(intent, 1, None));
        let both = [moved(9, "a", 0), moved(9, "b", 1)];
        let one = [moved(9, "a", 0)];
        let intent = IntentId::from_random;
        let table = [
            ("nothing", &both[..], vec![], None),
            ("elsewhere", &one[..], vec![moved(7, "b", 0)], None),
            ("one", &one[..], vec![moved(7, "a", 0)], Some(Replacing::Possible(intent(7)))),
            (
                "two intents",
                &both[..],
                vec![moved(7, "a", 0), moved(8, "b", 0)],
                Some(Replacing::Possible(intent(7))),
            ),
            (
                "more than was asked for",
                &one[..],
                vec![moved(7, "a", 0), moved(7, "c", 1)],
                Some(Replacing::Wider(intent(7))),
            ),
            (
                "the second is wider",
                &both[..],
                vec![moved(7, "a", 0), moved(8, "b", 0), moved(8, "c", 1)],
                Some(Replacing::Wider(intent(8))),
            ),
            (
                "a freeze behind a skew",
                &both[..],
                vec![moved(7, "a", 0), frozen(8, "b")],
                Some(Replacing::Impossible),
            ),
            (
                "themselves",
                &[moved(9, "a", 0), on("a", 1, skew(9, 1, Some(4711)))][..],
                vec![],
                Some(Replacing::Impossible),
            ),
        ];
        for (what, asked, active, expected) in table {
            let found = obstacle(asked, &active);
            assert_eq!(found.map(|one| one.replacing), expected, "{what}");
        }
        // Told is what stays in the way, not what comes first.
        let told = obstacle(&both, &[moved(7, "a", 0), frozen(8, "b")]).unwrap();
        assert_eq!((told.place, told.replaceable()), ("b", None));
        assert!(matches!(told.error, OverlapError::ClocksOfFrozen { .. }), "{told:?}");
        assert!(!told.hint().contains("--replace"), "{}", told.hint());
        let slewing = |part| {
            let (node, mut fault) = moved(7, "a", part);
            let Kind::Skew(skew) = &mut fault.kind else { panic!("{fault:?}") };
            skew.ending = Ending::Slew("500ppm".parse().unwrap());
            (node, fault)
        };
        let goes_on = obstacle(&one, &[slewing(0)]).unwrap();
        assert_eq!((goes_on.replaceable(), goes_on.error.replaceable()), (None, None));
        assert!(goes_on.hint().contains("wait until its way back is over"), "{}", goes_on.hint());
        let wider = obstacle(&one, &[moved(7, "a", 0), moved(7, "c", 1)]).unwrap();
        assert_eq!(wider.replaceable(), None);
        assert!(wider.hint().contains("moved other clocks as well"), "{}", wider.hint());
    }

    #[test]
    fn packets_and_clocks_compose() {
        let (cut, moved) = (fault(7), skew(8, 1, Some(4711)));
        assert_eq!(moved.beside([&cut]), Ok(Composed { with: vec![cut.id] }));
        assert_eq!(cut.beside([&moved]), Ok(Composed { with: vec![moved.id] }));
        assert_eq!(skew(8, 2, None).beside([&cut]), Ok(Composed { with: Vec::new() }));
    }

    #[test]
    fn other_targets_and_its_own_request_do_not_matter() {
        let elsewhere = Fault { target: identity(2), ..fault(7) };
        let before = BootId::new(2);
        let reboot = Fault { target: TargetIdentity { boot: before, ..identity(1) }, ..fault(6) };
        let alone = Ok(Composed { with: Vec::new() });
        assert_eq!(fault(8).beside([&elsewhere, &reboot, &fault(8)]), alone);
        assert_eq!(fault(8).beside([]), alone);
    }

    #[test]
    fn a_refusal_names_the_other_and_what_to_do() {
        let error = fault(8).beside([&fault(7)]).unwrap_err();
        assert_eq!(error.to_string(), "000000000007.0 does the same to this target already");
        assert_eq!(error.hint(), "heal it first (schism heal 000000000007), or let it end");
    }
}
