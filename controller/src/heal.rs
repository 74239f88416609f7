//! `schism heal`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use fault::{FaultId, IdError, IdPrefix, IntentId, Kind, Status};
use serde::Serialize;

use crate::cli::HealArgs;
use crate::connect::{self, Choice};
use crate::failure::Failure;
use crate::link::Scope;
use crate::outcome::Outcome;
use crate::output::effects;
use crate::output::route::{Route, drifts};
use crate::output::{Detail, Output, Report, record};
use crate::session::unconfirmed;

/// A fault as people name it: the beginning of its id, and perhaps one part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultName {
    prefix: IdPrefix,
    part: Option<u16>,
}

impl FaultName {
    /// Whether it is one part of an intent that is meant.
    pub(crate) const fn is_of_a_part(&self) -> bool {
        self.part.is_some()
    }

    /// Whether an intent's id begins like that.
    pub(crate) fn names(&self, id: IntentId) -> bool {
        self.prefix.matches(id)
    }
}

impl FromStr for FaultName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (prefix, part) = match text.split_once('.') {
            Some((prefix, part)) => (prefix, Some(part.parse().map_err(|_| IdError::Part)?)),
            None => (text, None),
        };
        Ok(Self { prefix: prefix.parse()?, part })
    }
}

impl fmt::Display for FaultName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.prefix)?;
        match self.part {
            Some(part) => write!(f, ".{part}"),
            None => Ok(()),
        }
    }
}

/// What a heal ended.
#[derive(Debug, Serialize)]
struct HealReport {
    schema: &'static str,
    #[serde(serialize_with = "record::faults")]
    faults: Vec<Status>,
}

impl Report for HealReport {
    fn text(&self, detail: Detail) -> String {
        if self.faults.is_empty() { String::new() } else { effects(&self.faults, detail) }
    }

    fn names(&self) -> Vec<String> {
        self.faults.iter().map(|status| status.fault.id.to_string()).collect()
    }
}

/// Runs `schism heal`.
pub(crate) async fn run(
    args: &HealArgs,
    choice: &Choice,
    output: Output,
) -> Result<Outcome, Failure> {
    let Some(mut connection) = connect::find(choice, output).await? else {
        let sentence = format!(
            "no agent listens at {}, and what an agent cut ends with it (clocks that it moved come back with \
             their lease, or by `schism residue --remove`)",
            choice.place().display()
        );
        if args.all {
            output.note(format!("nothing to heal: {sentence}"));
            output.show(&HealReport { schema: "schism.heal/v1", faults: Vec::new() })?;
            return Ok(Outcome::Effective);
        }
        return Err(Failure::not_found("cannot heal", sentence));
    };
    let link = &mut connection.link;
    let scope = if args.all {
        Scope::All
    } else {
        let known = link.list().await?;
        let mut ids = BTreeSet::new();
        for name in &args.ids {
            ids.extend(named(name, &known)?);
        }
        Scope::Faults(ids.into_iter().collect())
    };
    let faults = link.heal(&scope).await?;
    if faults.is_empty() {
        output.note("nothing to heal: no fault is active");
    }
    for note in faults.iter().flat_map(drifts) {
        output.note(note);
    }
    for status in &faults {
        if !status.happened() {
            let (id, route) = (status.fault.id, Route::from(&status.fault));
            output.note(match status.fault.kind {
                Kind::Cut(_) => {
                    format!("{id} matched nothing: no packet {route} came by that it selects")
                }
                Kind::Skew(_) => format!("{id}: no clock of {route} was seen to have moved"),
                Kind::Freeze(_) => format!("{id}: no thread of {route} was seen standing still"),
                Kind::Kill(_) => format!("{id}: no process of {route} was seen to end"),
                Kind::Stress(_) => format!("{id}: nothing was taken from {route}"),
            });
        }
    }
    let confirmed = confirmed(&faults);
    output.show(&HealReport { schema: "schism.heal/v1", faults })?;
    confirmed.map(|()| Outcome::Effective)
}

/// Ends what this machine's agent has of an intent. What stays of it and does nothing any more is told.
///
/// # Errors
/// It is not confirmed that nothing of it acts.
pub(crate) async fn end(intent: IntentId, choice: &Choice, output: Output) -> Result<(), Failure> {
    // An agent that has ended took it out.
    let Some(mut connection) = connect::find(choice, output).await? else { return Ok(()) };
    let known = connection.link.list().await?;
    let ids = known.iter().map(|status| status.fault.id).filter(|id| id.intent == intent);
    let faults = connection.link.heal(&Scope::Faults(ids.collect())).await?;
    for note in faults.iter().flat_map(drifts) {
        output.note(note);
    }
    let acting: Vec<Status> = faults.into_iter().filter(|status| !status.is_inert()).collect();
    confirmed(&acting)
}

/// What is said of a skew that has ended, but not in every process whole.
pub(crate) const INERT: &str = "a process has not got its own bytes back";
/// And what that means.
pub(crate) const INERT_MEANS: &str =
    "its clocks show true time; the agent goes on trying, and `schism residue` shows what is left";

/// Whether faults that were to end are out.
///
/// # Errors
/// Not all of them are.
pub(crate) fn confirmed(faults: &[Status]) -> Result<(), Failure> {
    let open = unconfirmed(faults.iter());
    if open.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = open.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    let mut of = faults.iter().filter(|status| open.contains(&status.fault.id));
    if of.all(Status::is_inert) {
        let attempted = format!("cannot take {names} out whole");
        return Err(Failure::new(Outcome::Unconfirmed, attempted, INERT).hint(INERT_MEANS));
    }
    let attempted = format!("cannot confirm the heal of {names}");
    Err(Failure::new(Outcome::Unconfirmed, attempted, "the agent did not take it out whole")
        .hint("the kernel ends it at its lease's end; `schism status --all` shows how it stands"))
}

/// The faults that a name means.
fn named(name: &FaultName, known: &[Status]) -> Result<Vec<FaultId>, Failure> {
    let attempted = || format!("cannot heal {name}");
    let fail = |reason: String| Failure::not_found(attempted(), reason);
    let ids = || known.iter().map(|status| status.fault.id);
    let intents: BTreeSet<IntentId> =
        ids().map(|id| id.intent).filter(|intent| name.prefix.matches(*intent)).collect();
    let mut intents = intents.into_iter();
    match (intents.next(), intents.next()) {
        (None, _) => Err(fail("this agent has no such fault".to_owned())
            .hint("`schism status --all` lists those that it has")),
        (Some(intent), None) => {
            let found: Vec<FaultId> = ids()
                .filter(|id| id.intent == intent && name.part.is_none_or(|part| part == id.part))
                .collect();
            if found.is_empty() {
                return Err(fail(format!("{intent} has no such part"))
                    .hint("`schism status --all` lists those that it has"));
            }
            Ok(found)
        }
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(intents);
            let lines: Vec<String> = all
                .map(|intent| {
                    let route = known
                        .iter()
                        .find(|status| status.fault.id.intent == intent)
                        .map(|status| Route::from(&status.fault).to_string());
                    format!("\n    {intent}  {}", route.unwrap_or_default())
                })
                .collect();
            let reason = format!("several ids begin like this:{}", lines.concat());
            Err(Failure::new(Outcome::WrongUsage, attempted(), reason).hint("write more of the id"))
        }
    }
}

#[cfg(test)]
mod tests {
    use fault::State;

    use super::*;
    use crate::cut::specimen;

    fn known() -> Vec<Status> {
        let mut faults = vec![
            specimen::status(0, State::Active, 1, 1),
            specimen::status(1, State::Active, 1, 1),
            specimen::status(0, State::Active, 1, 1),
        ];
        faults[2].fault.id.intent = IntentId::from_random(0xb << 4);
        faults
    }

    fn ids(text: &str) -> Result<Vec<String>, String> {
        named(&text.parse().unwrap(), &known())
            .map(|ids| ids.iter().map(ToString::to_string).collect())
            .map_err(|failure| failure.text())
    }

    #[test]
    fn prefixes_name_intents_and_parts() {
        let table: [(&str, Result<&[&str], &str>); 5] = [
            ("00000000000", Ok(&["00000000000a.0", "00000000000a.1"])),
            ("00000000000a.1", Ok(&["00000000000a.1"])),
            ("0000000000b", Ok(&["0000000000b0.0"])),
            ("00000000000a.7", Err("00000000000a has no such part")),
            ("f", Err("this agent has no such fault")),
        ];
        for (text, expected) in table {
            match (ids(text), expected) {
                (Ok(ids), Ok(expected)) => assert_eq!(ids, expected, "{text}"),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn what_has_not_got_its_bytes_back_is_not_said_to_act() {
        let mut cut = specimen::status(0, State::Failed, 1, 1);
        cut.drifts = vec![fault::Drift::NotTakenOut("detach".to_owned())];
        let acts = confirmed(std::slice::from_ref(&cut)).unwrap_err();
        assert!(acts.text().contains("the kernel ends it at its lease's end"), "{}", acts.text());
        let mut skew = cut.clone();
        skew.fault.kind = specimen::skew();
        let undecided = confirmed(std::slice::from_ref(&skew)).unwrap_err();
        assert!(undecided.text().contains("lease's end"), "{}", undecided.text());
        skew.drifts = vec![fault::Drift::Inert("the bytes of process 7".to_owned())];
        let inert = confirmed(std::slice::from_ref(&skew)).unwrap_err();
        assert_eq!(inert.outcome, Outcome::Unconfirmed);
        assert!(inert.text().contains("its clocks show true time"), "{}", inert.text());
        let both = confirmed(&[cut, skew]).unwrap_err();
        assert!(both.text().contains("lease's end"), "{}", both.text());
    }

    #[test]
    fn an_ambiguous_prefix_lists_what_it_may_mean() {
        let expected = "cannot heal 0: several ids begin like this:\n    \
                        00000000000a  netns:a → netns:b\n    \
                        0000000000b0  netns:a → netns:b\n  hint: write more of the id";
        assert_eq!(ids("0"), Err(expected.to_owned()));
    }

    #[test]
    fn names_are_printed_as_they_are_read() {
        for text in ["a", "00ff.3"] {
            assert_eq!(text.parse::<FaultName>().unwrap().to_string(), text);
        }
        for text in ["", "x", "a.", "a.70000", "0123456789abc"] {
            assert!(text.parse::<FaultName>().is_err(), "{text}");
        }
    }
}
