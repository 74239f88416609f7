//! Who plays the roles of a cut while it acts: they may move, and then it may separate nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fault::{Aspect, Pick, Scheme, Selector};
use proto::control as wire;
use tokio::time::sleep;

use super::client::Client;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::settings::Controller;
use crate::spec::{Between, Spec, What};

/// Between two looks. A leader of Zeebe or etcd is followed by another after some seconds.
const PACE: Duration = Duration::from_secs(1);

/// What roles mean, and meant.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    from: BTreeSet<Role>,
    to: BTreeSet<Role>,
    players: BTreeMap<Role, BTreeSet<String>>,
}

/// A selector of a role, as it is typed.
type Role = String;

/// Roles that are watched.
pub(super) struct Roles {
    asked: Vec<Selector>,
    held: Held,
    /// Whether two roles that were to be apart came to one member.
    lost: bool,
    /// Whether the cut was to go with them and could not.
    stayed: bool,
    output: Output,
}

impl Roles {
    /// Those of a cut that can move; a choice of several members was made once, and is no role.
    pub(super) fn of(spec: &Spec, applied: &wire::Intent, output: Output) -> Self {
        let (asked, held) = (Vec::new(), Held::default());
        let mut roles = Self { asked, held, lost: false, stayed: false, output };
        let What::Cut(Between::Pair { from, to, .. }, _) = &spec.what else { return roles };
        roles.held.from =
            from.iter().filter(|one| can_move(one)).map(ToString::to_string).collect();
        roles.held.to = to.iter().filter(|one| can_move(one)).map(ToString::to_string).collect();
        let mut asked: Vec<Selector> =
            from.iter().chain(to).filter(|one| can_move(one)).cloned().collect();
        asked.dedup();
        roles.asked = asked;
        roles.held.players = players(applied);
        roles
    }

    /// Looks until a role has moved, and says at once which; for ever where none can. Whom it is cut from has
    /// still to be another: where all are one member there is nobody to follow.
    pub(super) async fn moved(&mut self, place: &Controller) {
        let mut silent = false;
        loop {
            sleep(PACE).await;
            if self.asked.is_empty() {
                continue;
            }
            match self.look(place).await {
                Ok(found) => {
                    silent = false;
                    let (news, lost) = self.held.take(found);
                    self.lost |= lost;
                    let moved = !news.is_empty();
                    for line in news {
                        self.output.note(line);
                    }
                    if moved && !lost {
                        return;
                    }
                }
                // In a cluster that is cut it may not be certain for a while who leads.
                Err(reason) if !silent => {
                    silent = true;
                    self.output.note(format!("who plays the roles now is not known: {reason}"));
                }
                Err(_) => {}
            }
        }
    }

    /// Another cut has taken the place of the first.
    pub(super) fn follow(&mut self, applied: &wire::Intent) {
        self.held.players = players(applied);
    }

    /// It could not go with them: it was not what was asked for.
    pub(super) const fn stay(&mut self) {
        self.stayed = true;
    }

    /// Whether the cut has lost its meaning at some time.
    pub(super) const fn lost(&self) -> bool {
        self.lost
    }

    /// What a cut came to, given what its faults did and where the roles went meanwhile.
    pub(super) fn judged(&self, measured: Outcome) -> Outcome {
        match self.lost || self.stayed {
            true => measured.worst(Outcome::Deviated),
            false => measured,
        }
    }

    async fn look(&self, place: &Controller) -> Result<BTreeMap<Role, BTreeSet<String>>, String> {
        let mut client = Client::open(place).await.map_err(|failure| failure.reason)?;
        let mut found = BTreeMap::new();
        for selector in &self.asked {
            let ends = client
                .resolve(selector, Aspect::Network, 0)
                .await
                .map_err(|failure| failure.reason)?;
            let players = ends.into_iter().map(|end| end.member).collect();
            found.insert(selector.to_string(), players);
        }
        Ok(found)
    }
}

/// Who plays each role that can move, as it was resolved.
fn players(applied: &wire::Intent) -> BTreeMap<Role, BTreeSet<String>> {
    let mut players: BTreeMap<Role, BTreeSet<String>> = BTreeMap::new();
    for end in &applied.ends {
        let selector = end.selector.clone().and_then(|typed| Selector::try_from(typed).ok());
        if let Some(selector) = selector.filter(can_move) {
            players.entry(selector.to_string()).or_default().insert(end.member.clone());
        }
    }
    players
}

/// Whether somebody else may come to play it.
fn can_move(selector: &Selector) -> bool {
    let picked = match selector.pick {
        None | Some(Pick::All) => false,
        Some(Pick::One | Pick::Count(_) | Pick::Percent(_)) => true,
    };
    let role = match selector.scheme {
        Scheme::Etcd(_) | Scheme::Zeebe(_) => true,
        Scheme::Netns(_)
        | Scheme::Pid(_)
        | Scheme::Container(_)
        | Scheme::Pod(_)
        | Scheme::Host(_)
        | Scheme::Addr(_)
        // Of pods the controller sees who takes whose place.
        | Scheme::Kubernetes(_) => false,
    };
    role && !picked
}

impl Held {
    /// Takes note of who plays the roles now: what is new of it, and whether a role of one side and one of
    /// the other have come to the same member, between which and itself nothing is cut.
    fn take(&mut self, found: BTreeMap<Role, BTreeSet<String>>) -> (Vec<String>, bool) {
        let mut news = Vec::new();
        for (role, players) in &found {
            let before = self.players.get(role);
            if before.is_some_and(|before| before != players) {
                let before = before.map(list).unwrap_or_default();
                news.push(format!("{role} has moved from {before} to {}", list(players)));
            }
        }
        let changed = !news.is_empty();
        self.players.extend(found);
        let mut lost = false;
        for from in &self.from {
            for to in self.to.iter().filter(|to| *to != from) {
                let (Some(one), Some(other)) = (self.players.get(from), self.players.get(to))
                else {
                    continue;
                };
                if !one.is_empty() && one == other {
                    lost = true;
                    if changed {
                        let shared = list(one);
                        news.push(format!(
                            "{from} and {to} are both {shared} now: the cut separates them no more"
                        ));
                    }
                }
            }
        }
        (news, lost)
    }
}

fn list(members: &BTreeSet<String>) -> String {
    members.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playing(all: &[(&str, &str)]) -> BTreeMap<Role, BTreeSet<String>> {
        let one =
            |(role, member): &(&str, &str)| ((*role).to_owned(), [(*member).to_owned()].into());
        all.iter().map(one).collect()
    }

    #[test]
    fn what_moves_is_told_once_and_what_comes_together_is_a_loss() {
        let mut held = Held {
            from: ["one".to_owned()].into(),
            to: ["three".to_owned()].into(),
            players: playing(&[("one", "broker-0"), ("three", "broker-2")]),
        };
        let calm = held.take(playing(&[("one", "broker-0"), ("three", "broker-2")]));
        assert_eq!(calm, (Vec::new(), false));
        let (news, lost) = held.take(playing(&[("one", "broker-1"), ("three", "broker-2")]));
        assert_eq!(
            (news, lost),
            (vec!["one has moved from broker-0 to broker-1".to_owned()], false)
        );
        let (news, lost) = held.take(playing(&[("one", "broker-2"), ("three", "broker-2")]));
        assert!(lost);
        assert_eq!(news[1], "one and three are both broker-2 now: the cut separates them no more");
        let (news, lost) = held.take(playing(&[("one", "broker-2"), ("three", "broker-2")]));
        assert!(news.is_empty() && lost);
    }

    #[test]
    fn a_cut_that_lost_its_meaning_has_deviated_whatever_it_lost() {
        let (asked, held) = (Vec::new(), Held::default());
        let mut roles =
            Roles { asked, held, lost: false, stayed: false, output: Output::new(None) };
        assert_eq!(roles.judged(Outcome::Effective), Outcome::Effective);
        roles.lost = true;
        assert_eq!(roles.judged(Outcome::Effective), Outcome::Deviated);
        assert_eq!(roles.judged(Outcome::NothingMatched), Outcome::Deviated);
        assert_eq!(roles.judged(Outcome::Refused), Outcome::Refused);
    }

    #[test]
    fn a_choice_is_no_role() {
        let moves = |text: &str| can_move(&text.parse().unwrap());
        assert!(moves("zeebe:partition/1/leader") && moves("all:etcd:follower"));
        assert!(!moves("one:etcd:follower") && !moves("netns:a"));
    }
}
