//! What pods are told that a fault is about, as events of theirs. Pure.

use std::collections::BTreeSet;

use cluster::Involved;
use proto::control as wire;

use super::happening::{Mention, Said, Tone};
use super::resource::Place;
use super::status::{Phase, Status};

/// How many pods of a fault are told: each takes a call.
const TOLD: usize = 10;

/// A pod that a fault is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    namespace: String,
    name: String,
    uid: String,
}

/// What is said to pods when a status is news; `now` is Unix time, ns.
pub(crate) fn of(place: &Place, status: &Status, intent: &wire::Intent, now: u64) -> Vec<Mention> {
    let Some(said) = said(status) else { return Vec::new() };
    let said = Said { message: format!("{} ({place})", said.message), ..said };
    subjects(intent)
        .into_iter()
        .take(TOLD)
        .map(|subject| {
            let Subject { namespace, name, uid } = subject;
            let about = Involved {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                namespace,
                name,
                uid,
            };
            Mention::new(about, &status.intent, &said, now)
        })
        .collect()
}

/// What is said, without of which object.
fn said(status: &Status) -> Option<Said> {
    let (kind, from, to) = (&status.kind, &status.from, &status.to);
    let between = if from.is_empty() { to.clone() } else { format!("from {from} to {to}") };
    match status.phase {
        Phase::Active => {
            let until = status.until.as_deref().unwrap_or("its end");
            let message = format!("{kind} {between} until {until}");
            Some(Said { reason: "FaultBegan", tone: Tone::Warning, message })
        }
        Phase::Healed | Phase::Expired | Phase::Failed | Phase::Unconfirmed => {
            let how = match status.phase {
                Phase::Unconfirmed => "not confirmed to be healed: its lease ends it",
                Phase::Failed => "failed and taken out",
                Phase::Healed
                | Phase::Expired
                | Phase::Pending
                | Phase::Refused
                | Phase::Active
                | Phase::Healing
                | Phase::Unknown => "healed",
            };
            let effect = match status.lost {
                Some(lost) => format!("{} packets lost", grouped(lost)),
                None => status.effect.clone(),
            };
            let tone = match status.phase {
                Phase::Unconfirmed => Tone::Warning,
                Phase::Healed
                | Phase::Expired
                | Phase::Failed
                | Phase::Pending
                | Phase::Refused
                | Phase::Active
                | Phase::Healing
                | Phase::Unknown => Tone::Normal,
            };
            // That it began may not have been told.
            let since = status.started_at.as_ref().map(|began| format!(" since {began}"));
            let since = since.unwrap_or_default();
            let message = format!("{kind} {between} {how}, {effect}{since}");
            Some(Said { reason: "FaultEnded", tone, message })
        }
        Phase::Pending | Phase::Refused | Phase::Healing | Phase::Unknown => None,
    }
}

/// The pods at its ends.
fn subjects(intent: &wire::Intent) -> BTreeSet<Subject> {
    let pods = intent.ends.iter().filter_map(|end| {
        let target = fault::Target::try_from(end.target.clone()?).ok()?;
        let fault::Scheme::Pod(pod) = target.selector.scheme else { return None };
        // An earlier version kept it in the member's name; a namespace has no dot in its own.
        let named = end.pod.split_once('/').or_else(|| end.member.split_once('.'));
        let (namespace, name) = named?;
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Some(Subject { namespace, name, uid: pod.uid.to_string() })
    });
    pods.collect()
}

/// A number as people read it: `1,204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
