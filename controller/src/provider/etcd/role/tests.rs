use std::{collections::BTreeSet, time::Duration};

use fault::EtcdRole;

use super::*;
use crate::provider::etcd::{ClusterId, EtcdMember, SelectError};

/// A member that names one of the others by its place, or nobody, in a term.
#[derive(Clone, Copy)]
enum M {
    Names(u64, u64),
    Nobody(u64),
    Mute,
    /// Does not vote, and names one.
    Learner(u64, u64),
}

/// Members `m1`, `m2`, … with the numbers 1, 2, …
fn view(members: &[M]) -> EtcdView {
    let members = (1..).zip(members).map(|(id, member)| {
        let answer = |leader: Option<u64>, term, standing| EtcdAnswer {
            leader: leader.map(MemberId),
            term,
            revision: 42,
            raft_index: 9,
            standing,
        };
        let (standing, answer) = match *member {
            M::Names(leader, term) => {
                (Standing::Voter, Ok(answer(Some(leader), term, Standing::Voter)))
            }
            M::Nobody(term) => (Standing::Voter, Ok(answer(None, term, Standing::Voter))),
            M::Mute => (Standing::Voter, Err(Silence::Late(Duration::from_secs(1)))),
            M::Learner(leader, term) => {
                (Standing::Learner, Ok(answer(Some(leader), term, Standing::Learner)))
            }
        };
        EtcdMember {
            name: name(&format!("m{id}")),
            id: MemberId(id),
            standing,
            peer_urls: vec![format!("http://10.0.0.{id}:2380")],
            client_urls: vec![format!("http://10.0.0.{id}:2379")],
            addresses: [format!("10.0.0.{id}").parse().unwrap()].into(),
            astray: Vec::new(),
            answer,
        }
    });
    EtcdView { cluster: ClusterId(7), members: members.collect() }
}

fn name(text: &str) -> MemberName {
    text.parse().unwrap()
}

#[test]
fn a_majority_of_all_voters_says_who_leads() {
    use M::{Learner, Mute, Names, Nobody};
    let table: [(&[M], Result<&str, &str>); 18] = [
        (&[Names(1, 3)], Ok("m1 in 3")),
        (&[Names(2, 3), Names(2, 3), Names(2, 3)], Ok("m2 in 3")),
        // One is silent, cut off, behind or ahead.
        (&[Names(1, 3), Names(1, 3), Mute], Ok("m1 in 3")),
        (&[Mute, Names(1, 3), Names(1, 3)], Ok("m1 in 3")),
        (&[Names(1, 3), Names(1, 3), Nobody(9)], Ok("m1 in 3")),
        (&[Names(1, 4), Names(1, 4), Names(1, 3)], Ok("m1 in 4")),
        (&[Names(1, 3), Names(1, 3), Names(1, 3), Mute, Mute], Ok("m1 in 3")),
        (&[Names(1, 3), Names(1, 3), Nobody(2), Learner(1, 3)], Ok("m1 in 3")),
        // Not one.
        (&[Mute, Mute, Mute], Err("no member of etcd answers")),
        (&[Nobody(4), Nobody(5), Mute], Err("no leader")),
        // Two, in one term or in several.
        (&[Names(1, 3), Names(2, 3), Names(1, 3)], Err("do not agree")),
        (&[Names(1, 3), Names(2, 4), Names(2, 4)], Err("do not agree")),
        (&[Names(1, 3), Names(1, 3), Names(1, 3), Learner(2, 2)], Err("do not agree")),
        // It denies it.
        (&[Nobody(3), Names(1, 3), Names(1, 3)], Err("do not agree")),
        // Too few to be certain.
        (&[Names(1, 3), Nobody(4), Mute], Err("only 1 of 3 voters")),
        (&[Names(1, 3), Names(1, 3), Mute, Mute], Err("only 2 of 4 voters")),
        (&[Names(1, 3), Learner(1, 3), Learner(1, 3), Mute], Err("only 1 of 2 voters")),
        (&[Names(8, 3), Names(8, 3), Mute], Err("the leader 8 is no member")),
    ];
    for (number, (members, expected)) in table.into_iter().enumerate() {
        let roles = view(members).roles();
        match (&roles, expected) {
            (Ok(roles), Ok(expected)) => {
                assert_eq!(format!("{} in {}", roles.leader, roles.term), expected, "{number}");
            }
            (Err(error), Err(expected)) => {
                let text = error.to_string();
                assert!(text.contains(expected), "{number}: {text}");
                // Who said what is always told.
                for place in 1..=members.len() {
                    assert!(text.contains(&format!("m{place} says ")), "{number}: {text}");
                }
            }
            (_, _) => panic!("{number}: {roles:?}"),
        }
    }
}

#[test]
fn a_disagreement_is_readable() {
    let error = view(&[M::Names(1, 3), M::Names(2, 4), M::Mute]).roles().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the members of etcd do not agree on who leads: m1 says leader m1 (term 3, revision 42); \
         m2 says leader m2 (term 4, revision 42); m3 says nothing: it did not answer within 1000 ms"
    );
}

#[test]
fn roles_name_members_with_evidence() {
    let view = view(&[M::Names(2, 3), M::Names(2, 3), M::Mute, M::Learner(2, 3)]);
    let select = |role: &str| {
        let role: EtcdRole = role.parse().unwrap();
        view.select(&role).map(|found| {
            found.into_iter().map(|selected| selected.member.to_string()).collect::<Vec<_>>()
        })
    };
    assert_eq!(select("leader").unwrap(), ["m2"]);
    assert_eq!(select("follower").unwrap(), ["m1", "m3"]);
    assert_eq!(select("member/m4").unwrap(), ["m4"]);
    let missing = select("member/m9").unwrap_err();
    assert_eq!(missing.to_string(), "etcd has no member m9; it has m1, m2, m3, m4");

    let found = view.select(&EtcdRole::Leader).unwrap().remove(0);
    assert_eq!(found.addresses, ["10.0.0.2".parse().unwrap()].into());
    assert_eq!(found.evidence[0], "m1 says leader m2 (term 3, revision 42)");
    assert_eq!(found.evidence[4], "m2 is at http://10.0.0.2:2380, http://10.0.0.2:2379");
    let roles = view.roles().unwrap();
    assert_eq!(roles.learners, [name("m4")]);
}

#[test]
fn a_member_by_name_needs_no_leader_but_an_address() {
    let mut view = view(&[M::Names(1, 3), M::Names(2, 4)]);
    let role = EtcdRole::Member(name("m1"));
    let found = view.select(&role).unwrap().remove(0);
    assert_eq!(found.evidence[0], "m1 says leader m1 (term 3, revision 42)");
    assert_eq!(found.evidence.len(), 2);
    assert!(matches!(view.select(&EtcdRole::Leader), Err(SelectError::Role(_))));
    view.members[0].addresses = BTreeSet::new();
    view.members[0].astray = vec!["http://localhost:2379 means whoever asks".to_owned()];
    let error = view.select(&role).unwrap_err().to_string();
    assert!(error.contains("m1") && error.contains("localhost"), "{error}");
}

#[test]
fn who_does_not_answer_still_votes() {
    let group = view(&[M::Names(1, 3), M::Mute, M::Mute, M::Learner(1, 3)]).group().unwrap();
    assert_eq!(group.names().len(), 4);
    assert_eq!(group.voters(), ["m1", "m2", "m3"].map(name).into());
}
