//! What an object is told of its run, as events of it. Pure.

use cluster::Involved;

use super::resource::{Kind, Object, Place};
use super::status::{Phase, Status};
use crate::keeping::{GROUP, VERSION};
use crate::objects::happening::{Mention, Said, Tone};

/// What is said to an object whose status is news, where this was its phase before; `now` is Unix time, ns.
pub(super) fn of(
    place: &Place,
    object: &Object,
    (before, status): (Phase, &Status),
    now: u64,
) -> Option<Mention> {
    let said = said(before, status)?;
    let about = Involved {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: place.kind.word().to_owned(),
        namespace: match place.kind {
            Kind::Experiment => place.namespace.clone(),
            Kind::ClusterExperiment => String::new(),
        },
        name: place.name.clone(),
        uid: object.metadata.uid.clone(),
    };
    Some(Mention::new(about, &status.run, &said, now))
}

fn said(before: Phase, status: &Status) -> Option<Said> {
    let Status { phase, message: why, .. } = status;
    if before == *phase {
        return None;
    }
    let because = if why.is_empty() { String::new() } else { format!(": {why}") };
    let (reason, tone, message) = match phase {
        // One that is taken over has begun before.
        Phase::Running if matches!(before, Phase::Pending | Phase::Unknown) => {
            ("RunBegan", Tone::Normal, begun(status))
        }
        Phase::RollingBack => {
            ("RollbacksBegan", Tone::Normal, format!("its rollbacks are played{because}"))
        }
        Phase::Completed | Phase::Failed | Phase::Aborted | Phase::Interrupted => {
            let is_well = status.exit_code == Some(0);
            let tone = if is_well { Tone::Normal } else { Tone::Warning };
            ("RunEnded", tone, format!("{}{because}", ended(status)))
        }
        Phase::Owed => {
            let (many, names) = (status.owes.unwrap_or_default(), status.owed.join(", "));
            ("RollbacksOwed", Tone::Warning, format!("owed are {many}: {names}{because}"))
        }
        Phase::Refused => ("RunRefused", Tone::Warning, format!("it is not run{because}")),
        Phase::Pending | Phase::Running | Phase::Unknown => return None,
    };
    Some(Said { reason, tone, message })
}

fn begun(status: &Status) -> String {
    let Status { run, seed, job, .. } = status;
    match job.as_str() {
        "" => format!("run {run} has begun, seed {seed}"),
        job => format!("run {run} has begun as Job {job}, seed {seed}"),
    }
}

/// How a run has ended: its verdict, and what a command would end with.
fn ended(status: &Status) -> String {
    let Status { phase, steps, exit_code, deviated, owes, .. } = status;
    // Of one that was killed nobody knows it.
    let is_rolled_back = *phase == Phase::Interrupted && *owes == Some(0);
    let mut all = phase.word().to_lowercase();
    all.extend(is_rolled_back.then_some(" and rolled back"));
    if !steps.is_empty() {
        all.push_str(&format!(", steps {steps}"));
    }
    all.extend((*deviated == Some(true)).then_some(", deviated"));
    if let Some(code) = exit_code {
        all.push_str(&format!(", exit code {code}"));
    }
    all
}

#[cfg(test)]
mod tests {
    use cluster::Metadata;

    use super::*;

    fn told(kind: Kind, before: Phase, status: &Status) -> Option<Mention> {
        let namespace = "prod".to_owned();
        let place = Place { kind, namespace, name: "one".to_owned() };
        let metadata = Metadata { uid: "u-1".to_owned(), ..Metadata::default() };
        let object = Object { metadata, ..Object::default() };
        of(&place, &object, (before, status), 0)
    }

    #[test]
    fn a_run_is_told_when_it_begins_and_what_it_came_to() {
        let base =
            Status { run: "00000000000a".to_owned(), seed: "7".to_owned(), ..Status::default() };
        let status =
            |phase, message: &str| Status { phase, message: message.to_owned(), ..base.clone() };
        let mut well = status(Phase::Completed, "");
        (well.steps, well.exit_code, well.deviated) = ("2/2".to_owned(), Some(0), Some(false));
        let mut back = status(Phase::Interrupted, "somebody ended it");
        (back.exit_code, back.owes, back.deviated) = (Some(130), Some(0), Some(true));
        let mut owed = status(Phase::Owed, "");
        (owed.owes, owed.owed) = (Some(2), vec!["a".to_owned(), "b".to_owned()]);
        let job = Status { job: "prod/j".to_owned(), ..status(Phase::Running, "") };
        let running = status(Phase::Running, "");
        let table = [
            (Phase::Pending, &running, Some("Normal RunBegan: run 00000000000a has begun, seed 7")),
            (
                Phase::Pending,
                &job,
                Some("Normal RunBegan: run 00000000000a has begun as Job prod/j, seed 7"),
            ),
            (Phase::Running, &running, None),
            (Phase::Owed, &running, None),
            (
                Phase::Running,
                &status(Phase::RollingBack, "no"),
                Some("Normal RollbacksBegan: its rollbacks are played: no"),
            ),
            (Phase::Running, &well, Some("Normal RunEnded: completed, steps 2/2, exit code 0")),
            (
                Phase::RollingBack,
                &back,
                Some(
                    "Warning RunEnded: interrupted and rolled back, deviated, exit code 130: somebody ended it",
                ),
            ),
            (Phase::Running, &owed, Some("Warning RollbacksOwed: owed are 2: a, b")),
            (
                Phase::Pending,
                &status(Phase::Refused, "no"),
                Some("Warning RunRefused: it is not run: no"),
            ),
            (Phase::Pending, &status(Phase::Pending, "its pod waits"), None),
        ];
        for (before, status, said) in table {
            let mention = told(Kind::Experiment, before, status);
            let event = mention.map(|Mention { event, .. }| event);
            let line =
                event.map(|event| format!("{} {}: {}", event.tone, event.reason, event.message));
            assert_eq!(line.as_deref(), said, "{status:?}");
        }
    }

    #[test]
    fn an_object_of_the_cluster_is_told_as_one() {
        let status = Status { phase: Phase::Running, run: "a".to_owned(), ..Status::default() };
        let own = told(Kind::Experiment, Phase::Pending, &status).unwrap();
        let about = &own.event.involved_object;
        assert_eq!((own.namespace.as_str(), about.namespace.as_str()), ("prod", "prod"));
        assert_eq!(
            (about.api_version.as_str(), about.uid.as_str()),
            ("schism.dev/v1alpha1", "u-1")
        );
        let of_cluster = told(Kind::ClusterExperiment, Phase::Pending, &status).unwrap();
        let about = &of_cluster.event.involved_object;
        assert_eq!((of_cluster.namespace.as_str(), about.namespace.as_str()), ("default", ""));
        assert_eq!(about.kind, "ClusterExperiment");
        // Whoever leads next says it under the same name.
        assert_eq!(own.event.metadata.name, "one.a-runbegan");
    }
}
