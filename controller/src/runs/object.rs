//! Runs that objects of a cluster ask for: nobody is at their other end.

use experiment::line::{Asked, LineError};
use fault::IntentId;
use prost::bytes::Bytes;
use proto::control as wire;
use tokio::sync::watch;

use super::driving::Word;
use super::record::Record;
use super::{LONGEST, Names, Runs, RunsError};
use crate::archive::Deed;
use crate::control::{ControlError, told};
use crate::objects::consent::Consent;

impl Runs {
    /// Begins the run that an object asks for, or says how it stands where it has begun: the same object again is the
    /// same run, whatever it says by then.
    ///
    /// # Errors
    /// Nothing was touched, and why.
    pub(crate) async fn begin_of(
        &self,
        id: IntentId,
        asked: Asked,
        asker: &str,
        object: wire::Object,
    ) -> Result<wire::Run, RunsError> {
        if let Some(run) = self.known(id).await? {
            let is_its = run.object.as_ref().is_some_and(|of| of.uid == object.uid);
            return if is_its { Ok(told(&run)) } else { Err(ControlError::Conflict(id).into()) };
        }
        let kept = asked.kept();
        let text = serde_json::to_vec(&kept).map_err(LineError::from)?;
        if text.len() > LONGEST {
            return Err(RunsError::TooLong { size: text.len() });
        }
        let run = wire::Run {
            id: id.get(),
            asker: asker.to_owned(),
            kept: Bytes::from(text),
            object: Some(object),
            ..wire::Run::default()
        };
        self.commence(asked, Record { run, kept }, Names::default(), None).await
    }

    /// Writes down that somebody has something else run an experiment.
    ///
    /// # Errors
    /// The brake is on, or it cannot be written down: then it does not begin.
    pub(crate) async fn note(
        &self,
        id: IntentId,
        asker: &str,
        what: String,
    ) -> Result<(), RunsError> {
        let halted = self.0.control.halted().map(ControlError::Halted);
        let verdict = halted.as_ref().map_or(Ok(()), Err);
        self.audit(Deed::Run, asker, (id, what), verdict).await?;
        halted.map_or(Ok(()), |halted| Err(halted.into()))
    }

    /// Ends a run in rollback for what became of its object; one that is over stays as it is.
    pub(crate) async fn end_of(&self, id: IntentId, why: &str) {
        let ended = self.audit(Deed::EndRun, why, (id, String::new()), Ok(())).await;
        if let Err(error) = ended {
            tracing::error!(%error, "ending a run all the same");
        }
        let words = self.living().get(&id).map(|living| living.words.clone());
        if let Some(words) = words {
            // It may be over by now.
            let _ = words.send(Word::End(why.to_owned())).await;
        }
    }

    /// Where it is told which namespaces let faults in.
    pub(crate) fn consent(&self) -> &watch::Sender<Consent> {
        &self.0.consent
    }
}
