//! One object from the moment that it is known to that in which nothing more comes of it.

use std::marker::PhantomData;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster::{ApiError, Cause as Why, NameError, Reason};
use fault::IntentId;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::{Heard, Means, ending};
use crate::archive::{Audit, Deed, Node, Verdict};
use crate::control::{AskError, ControlError, Standing};
use crate::disruption::{Disruption, is_over};
use crate::disruptions::asked;
use crate::disruptions::resource::{Kind, Object, OfKind, Place};
use crate::disruptions::status::Status;
use crate::failure::{Cause, Failure};
use crate::fleet::client;
use crate::keeping::FINALIZER;
use crate::keeping::waiting::told_to_stop;
use crate::objects::consent::{Consent, Withheld};
use crate::objects::keeper::is_passing;
use crate::serve::refusal;
use crate::sight::GroupName;

/// How long what is in the way may take to pass: agents dial a new leader within moments.
const PATIENCE: Duration = Duration::from_secs(15);

/// From one attempt to the next, at first and at most.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How often is told what becomes of pods, however many there are.
const EVERY: Duration = Duration::from_secs(2);

/// How long an object on its way out is held for what is undone: nothing may hang by it, and the node itself says what is
/// to be undone.
const HELD: Duration = Duration::from_secs(60);

/// How long it is tried to say something of an object on its way out.
const WORDS: Duration = Duration::from_secs(20);

/// How long the API server may take to let go of an object when this controller ends.
const LEAVING: Duration = Duration::from_secs(2);

/// Whoever sees to one object of a kind.
pub(super) struct Course<R> {
    means: Means,
    id: IntentId,
    place: Place,
    /// As it is known here.
    object: Object,
    heard: Heard,
    /// What was last said of it.
    said: Status,
    kind: PhantomData<fn() -> R>,
}

/// What comes of a call for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Done,
    /// The object is on its way out since, and it was not done.
    Leaving,
    /// The object is not there any more.
    Gone,
}

/// Which part of an object is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Object,
    Status,
}

impl<R: OfKind> Course<R> {
    pub(super) fn new(
        means: Means,
        (id, place): (IntentId, Place),
        object: Object,
        heard: Heard,
    ) -> Self {
        let said = object.status.clone();
        Self { means, id, place, object, heard, said, kind: PhantomData }
    }

    /// Sees to it until nothing more comes of it, or this controller is told to stop.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        tokio::select! {
            biased;
            () = told_to_stop(&mut stopped) => {}
            () = self.goes() => return,
        }
        // Whoever leads next holds it again where it is still to be held; where nobody does, nothing of it hangs. What was
        // being written may have come through unheard, and nobody tells of it any more.
        let letting_go = async {
            self.read().await;
            self.let_go().await;
        };
        let _ = timeout(LEAVING, letting_go).await;
    }

    async fn goes(&mut self) {
        let (status, now) = (&self.object.status, self.now());
        // A controller that ends leaves it to its next life.
        let Ok(standing) = self.means.control.standing(self.id).await else { return };
        match standing {
            Some(standing) => return self.follow(standing).await,
            None if status.phase.is_final() => {}
            // It is never begun twice.
            None if status.phase.has_begun() => {
                let lost = Status::lost(&self.object, now);
                self.tell(lost).await;
            }
            None if self.object.is_leaving() => {}
            None => match self.begin().await {
                Ok(Some(standing)) => return self.follow(standing).await,
                // It went before that.
                Ok(None) => {}
                Err(refusal) => {
                    let refused = Status::refused(&self.object, &refusal, self.now());
                    self.tell(refused).await;
                }
            },
        }
        self.let_go().await;
    }

    fn now(&self) -> u64 {
        self.means.control.wall().now()
    }

    fn attempted(&self) -> String {
        format!("cannot do what {} asks for", self.place)
    }

    /// Whether it is on its way out, or gone.
    fn leaves(&self) -> bool {
        self.heard.borrow().as_ref().is_none_or(Object::is_leaving)
    }

    /// Takes up what was heard of it.
    fn learn(&mut self) {
        let heard = self.heard.borrow_and_update().clone();
        // The answer to an own call may have come before.
        if let Some(heard) = heard.filter(|heard| !heard.is_before(&self.object)) {
            self.object = heard;
        }
    }

    /// Begins what it asks for; `None` where it goes before that.
    async fn begin(&mut self) -> Result<Option<Standing>, Failure> {
        let asked = asked::asked(self.place.kind, &self.object)?;
        self.consents(&asked).await?;
        if self.hold().await == Call::Gone {
            return Ok(None);
        }
        let since = Instant::now();
        loop {
            self.learn();
            if self.leaves() {
                return Ok(None);
            }
            let error = match self.ask(&asked).await {
                Ok(standing) => return Ok(Some(standing)),
                Err(error) => error,
            };
            if !is_passing(&error) || since.elapsed() > PATIENCE {
                return Err(client::failure(&self.attempted(), &refusal::refuse(&error)));
            }
            self.pause(AGAIN).await;
        }
    }

    /// Makes sure that the namespaces let it in.
    async fn consents(&self, asked: &Disruption) -> Result<(), Failure> {
        let is_of_settings = |group: &GroupName| self.means.control.has_cluster(group);
        let elsewhere = match self.place.kind {
            Kind::Disruption => asked::groups(asked).into_iter().find(is_of_settings),
            Kind::ClusterDisruption => None,
        };
        let mut consent = self.means.runs.consent().subscribe();
        let withheld = match elsewhere {
            Some(group) => Err(Withheld::Elsewhere(group.to_string())),
            None => {
                // Where nobody tells of them it is not known, and said so.
                let _ = timeout(PATIENCE, consent.wait_for(Consent::is_known)).await;
                consent.borrow().check(&asked::namespaces(asked, is_of_settings))
            }
        };
        withheld.map_err(|withheld| {
            let hint = match &withheld {
                // No object of this kind does, whoever makes it.
                Withheld::Elsewhere(_) => {
                    "`schism pod`, asked of a controller itself, may name it".to_owned()
                }
                Withheld::Unknown | Withheld::Namespace(_) => withheld.hint(),
            };
            Failure::caused(Cause::Refused, self.attempted(), withheld).hint(hint)
        })
    }

    /// Asks for it once. The same object again has the same answer.
    async fn ask(&self, asked: &Disruption) -> Result<Standing, AskError> {
        let Means { control, audit, limits, .. } = &self.means;
        if let Some(standing) = control.standing(self.id).await? {
            let is_its = standing
                .borrow()
                .object
                .as_ref()
                .is_some_and(|of| of.uid == self.object.metadata.uid);
            return if is_its { Ok(standing) } else { Err(ControlError::Conflict(self.id).into()) };
        }
        let mut line = Audit {
            at: SystemTime::now(),
            who: self.object.asker(&self.place),
            deed: Deed::Disrupt,
            what: asked.to_string(),
            intent: Some(self.id.to_string()),
            nodes: Vec::new(),
            until: None,
            verdict: Verdict::Admitted,
        };
        let begun = control.undertake(self.id, asked.into(), &line.who, limits).await;
        let mut undertaking = match begun {
            Ok(undertaking) => undertaking,
            Err(error) => {
                if !is_passing(&error) {
                    self.refused(line, &error).await;
                }
                return Err(error);
            }
        };
        undertaking.disruption.object = Some(self.object.wire(self.place.kind));
        line.nodes = undertaking.nodes().into_iter().map(Node).collect();
        let deadline = undertaking.disruption.deadline;
        line.until = (deadline != 0).then(|| UNIX_EPOCH + Duration::from_nanos(deadline));
        // Nothing is done that nobody can look up.
        audit.append(&line).await.map_err(|error| {
            tracing::error!(%error, "the audit log cannot be written, so nothing is done");
            AskError::Control(ControlError::Ending)
        })?;
        match control.disrupt(undertaking).await {
            Ok(standing) => Ok(standing),
            Err(error) => {
                let error = AskError::from(error);
                self.refused(line, &error).await;
                Err(error)
            }
        }
    }

    async fn refused(&self, line: Audit, error: &AskError) {
        let refused = Audit { verdict: Verdict::Refused(error.to_string()), ..line };
        // It is refused whether or not that can be written.
        if let Err(error) = self.means.audit.append(&refused).await {
            tracing::error!(%error, "a refusal is not written down");
        }
    }

    /// Says what becomes of it, and has it undone once its object goes.
    async fn follow(&mut self, mut standing: Standing) {
        let (mut ends, mut due) = (None, Instant::now());
        loop {
            self.learn();
            let one = standing.borrow_and_update().clone();
            // Before anything is said of it: nothing is kept standing for words that do not come through.
            if self.leaves() && ends.is_none() && !is_over(&one) {
                let reason = format!("its object was deleted: {}", self.place);
                tokio::spawn(ending::one(self.means.clone(), self.id, reason));
                ends = Some(Instant::now() + HELD);
            }
            let told = Status::told(&self.object, &one, self.now());
            let is_news = told.settled() != self.said.settled();
            let is_due = told != self.said && Instant::now() >= due;
            if is_news || is_due {
                self.tell(told.clone()).await;
                due = Instant::now() + EVERY;
                continue;
            }
            if is_over(&one) {
                // The last word has what became of every pod, also where it goes meanwhile.
                for _ in 0..2 {
                    if told != self.said {
                        self.tell(told.clone()).await;
                    }
                }
                return self.let_go().await;
            }
            if !self.leaves() && !self.object.is_held() && self.hold().await == Call::Gone {
                // That it is gone is told within moments.
                self.pause(AGAIN).await;
                continue;
            }
            if self.leaves() && ends.is_none() {
                // It was deleted just now.
                continue;
            }
            let wakes = [ends, (told != self.said).then_some(due)];
            let wake = wakes.into_iter().flatten().min();
            if !self.happens(&mut standing, wake).await
                && ends.is_some_and(|at| Instant::now() >= at)
            {
                return self.let_go().await;
            }
        }
    }

    /// Waits until there is something new, or until then; whether there is.
    async fn happens(&mut self, standing: &mut Standing, wake: Option<Instant>) -> bool {
        let wakes = async {
            match wake {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = standing.changed() => {
                if changed.is_err() {
                    // Nobody sees to it yet, as to what was found on a node, or the controller ends.
                    sleep(AGAIN).await;
                    match self.means.control.standing(self.id).await {
                        Ok(Some(anew)) => *standing = anew,
                        Ok(None) | Err(_) => std::future::pending::<()>().await,
                    }
                }
                true
            }
            Ok(()) = self.heard.changed() => true,
            () = wakes => false,
        }
    }

    async fn pause(&mut self, pause: Duration) {
        let _ = timeout(pause, self.heard.changed()).await;
    }

    /// Has it wait for what it asks for to be over before it goes.
    async fn hold(&mut self) -> Call {
        loop {
            self.learn();
            if self.leaves() {
                return Call::Gone;
            }
            if self.object.is_held() {
                return Call::Done;
            }
            let mut finalizers = self.object.metadata.finalizers.clone();
            finalizers.push(FINALIZER.to_owned());
            match self.keep(&finalizers).await {
                Call::Gone => return Call::Gone,
                Call::Done if self.object.is_held() => return Call::Done,
                // Its API server does not take it, as of what is on its way out.
                Call::Done => self.pause(AGAIN).await,
                Call::Leaving => {}
            }
        }
    }

    /// Has it wait no longer.
    async fn let_go(&mut self) {
        loop {
            self.learn();
            if self.heard.borrow().is_none() || !self.object.is_held() {
                return;
            }
            let before = self.object.metadata.resource_version.clone();
            let mut finalizers = self.object.metadata.finalizers.clone();
            finalizers.retain(|one| one != FINALIZER);
            match self.keep(&finalizers).await {
                Call::Gone => return,
                Call::Done if !self.object.is_held() => return,
                Call::Done if self.object.metadata.resource_version != before => {}
                Call::Done => self.pause(AGAIN).await,
                Call::Leaving => {}
            }
        }
    }

    async fn keep(&mut self, finalizers: &[String]) -> Call {
        self.persist(&json!({ "finalizers": finalizers }), &Value::Null, Part::Object).await
    }

    /// Says it of the object.
    async fn tell(&mut self, status: Status) {
        if self.heard.borrow().is_none() {
            self.said = status;
            return;
        }
        if self.said.phase != status.phase {
            tracing::info!(place = %self.place, phase = status.phase.word(), "told");
        }
        let mut written = serde_json::to_value(&status).unwrap_or_default();
        // What is not said any more: a node that somebody else has cordoned is not undone.
        for key in ["until", "went", "pods", "notes", "message"] {
            if written.get(key).is_none() {
                written[key] = Value::Null;
            }
        }
        if self.persist(&json!({}), &written, Part::Status).await != Call::Leaving {
            self.said = status;
        }
    }

    /// Changes the object in the very state that is known, however often that has to be tried; what its API server will
    /// never take is not offered again. Once the object goes, ending what it asks for comes first, and what is said of it
    /// holds it no longer than that.
    async fn persist(&mut self, metadata: &Value, status: &Value, part: Part) -> Call {
        let (mut pause, was_leaving, begun) = (AGAIN, self.leaves(), Instant::now());
        loop {
            let mut patch = json!({ "metadata": metadata });
            let state = self.object.metadata.resource_version.clone();
            patch["metadata"]["resourceVersion"] = state.into();
            if part == Part::Status {
                patch["status"] = status.clone();
            }
            let error = match self.change(&patch, part).await {
                Ok(object) => {
                    if object.metadata.uid != self.object.metadata.uid {
                        return Call::Gone;
                    }
                    self.object = object;
                    return Call::Done;
                }
                Err(error) => error,
            };
            match error.reason() {
                Some(Reason::NotFound) => return Call::Gone,
                Some(Reason::Invalid) => {
                    tracing::error!(place = %self.place, %error, "not written");
                    return Call::Done;
                }
                // Its finalizers may be others by now, and are looked at anew.
                Some(Reason::Conflict) => {
                    self.look_again().await;
                    if part == Part::Object {
                        return Call::Done;
                    }
                }
                Some(_) | None => {
                    tracing::warn!(place = %self.place, %error, "trying again");
                    let end = Instant::now() + pause.max(error.retry_after().unwrap_or_default());
                    self.rest(end, was_leaving).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
            if self.heard.borrow().is_none() {
                return Call::Gone;
            }
            if self.leaves() && !was_leaving {
                return Call::Leaving;
            }
            if was_leaving && part == Part::Status && begun.elapsed() > WORDS {
                return Call::Done;
            }
        }
    }

    /// Waits until then, or until the object goes.
    async fn rest(&mut self, end: Instant, was_leaving: bool) {
        while Instant::now() < end {
            let waited = timeout_at(end, self.heard.changed()).await;
            self.learn();
            let is_gone = self.heard.borrow().is_none();
            if waited.is_err() || is_gone || (self.leaves() && !was_leaving) {
                return;
            }
        }
    }

    /// Waits for the state that another one has made; asks for it where nobody tells of it.
    async fn look_again(&mut self) {
        let (before, end) = (self.object.metadata.resource_version.clone(), Instant::now() + AGAIN);
        loop {
            self.learn();
            if self.object.metadata.resource_version != before {
                return;
            }
            match timeout_at(end, self.heard.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => break,
            }
        }
        self.read().await;
    }

    /// Reads the object as it is.
    async fn read(&mut self) {
        let Ok((within, name)) = self.place.path() else { return };
        if let Ok(found) = self.means.client.get::<R>(&within, &name).await {
            let found: Object = found.into();
            if found.metadata.uid == self.object.metadata.uid {
                self.object = found;
            }
        }
    }

    async fn change(&self, patch: &Value, part: Part) -> Result<Object, ApiError> {
        let failed = |error: NameError| ApiError {
            attempted: format!("change {}", self.place),
            cause: Why::Malformed(error.to_string()),
        };
        let (within, name) = self.place.path().map_err(failed)?;
        let client = &self.means.client;
        let changed = match part {
            Part::Object => client.merge::<R>(&within, &name, patch).await,
            Part::Status => client.merge_status::<R>(&within, &name, patch).await,
        };
        changed.map(Into::into)
    }
}
