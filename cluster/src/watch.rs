//! What becomes of objects.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep_until};

use crate::{
    ApiError, Cause, Client, Reason, Resource, Selection, Within,
    backoff::{Backoff, by_lot},
    call::Call,
    error::Status,
    lines::{Lines, Times},
    pulse::{Pulse, SILENT},
};

/// How long one watch lasts; the next goes on where it ended.
const LASTS: Duration = Duration::from_secs(240);

/// How much later than that it ends at the latest.
const GRACE: Duration = Duration::from_secs(15);

/// What could not be watched for so long is listed anew, also where the API server would still tell it from where the last
/// watch ended: nobody goes by what is older than that while it answers at all.
const BLIND: Duration = Duration::from_secs(15);

/// Where nothing came for so long, nobody may be there any more.
const TIMES: Times = Times { lasts: LASTS.saturating_add(GRACE), silent: Some(SILENT) };

/// A watch of objects. It never ends: what breaks is begun again, and told.
#[derive(Debug)]
pub struct Watch<R> {
    client: Client,
    within: Within,
    selection: Selection,
    state: State,
    backoff: Backoff,
    /// Before it nothing is tried.
    pause: Option<Instant>,
    pulse: Pulse,
    /// Since when nothing can be told.
    blind: Option<Instant>,
    /// What is kept of an object.
    kept: fn(R) -> R,
}

/// What a watch tells.
#[derive(Debug)]
pub enum Event<R> {
    /// All that there are; what was told before and is not among them is gone.
    Listed(Vec<R>),
    /// One that is new or has changed.
    Applied(R),
    /// One that is gone, as it was last.
    Deleted(R),
    /// What is known may be old; it is tried again.
    Trouble(ApiError),
}

#[derive(Debug)]
enum State {
    /// Nothing is known.
    Unlisted,
    /// What happened since then is not.
    Since(String),
    /// It is being told.
    Open { since: String, lines: Box<Lines> },
}

/// A line of a watch.
#[derive(Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE", bound = "R: DeserializeOwned")]
enum Line<R> {
    Added(R),
    Modified(R),
    Deleted(R),
    Bookmark(Bookmark),
    Error(Status),
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: BookmarkMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMetadata {
    resource_version: String,
}

impl<R: Resource> Watch<R> {
    pub(crate) fn new(client: Client, within: Within, selection: Selection) -> Self {
        Self {
            client,
            within,
            selection,
            state: State::Unlisted,
            backoff: Backoff::default(),
            pause: None,
            pulse: Pulse::default(),
            blind: None,
            kept: |object| object,
        }
    }

    /// The same, where only that is kept of each object, also while others are still on their way: a thousand of them
    /// never take the room of all that is told of them.
    #[must_use]
    pub fn keeping(mut self, kept: fn(R) -> R) -> Self {
        self.kept = kept;
        self
    }

    /// Tells of it, from elsewhere, whether it is current.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// What happens next; first all that there are. A call that is dropped loses nothing.
    pub async fn next(&mut self) -> Event<R> {
        loop {
            if let Some(pause) = self.pause {
                sleep_until(pause).await;
                self.pause = None;
            }
            let told = match &mut self.state {
                State::Unlisted => self.list().await,
                State::Since(since) => {
                    let since = since.clone();
                    self.open(since).await
                }
                State::Open { lines, .. } => {
                    let line = lines.next().await;
                    self.take(line)
                }
            };
            match &self.state {
                State::Open { .. } => {}
                State::Unlisted | State::Since(_) => self.pulse.closed(),
            }
            if let Some(event) = told {
                return event;
            }
        }
    }

    async fn list(&mut self) -> Option<Event<R>> {
        match self.client.list_keeping::<R>(&self.within, &self.selection, self.kept).await {
            Ok(list) => {
                self.blind = None;
                self.state = State::Since(list.resource_version);
                Some(Event::Listed(list.items))
            }
            Err(error) => Some(self.trouble(error)),
        }
    }

    async fn open(&mut self, since: String) -> Option<Event<R>> {
        let mut query = vec![
            "watch=true".to_owned(),
            "allowWatchBookmarks=true".to_owned(),
            format!("timeoutSeconds={}", LASTS.as_secs()),
            format!("resourceVersion={}", crate::resource::encode(&since)),
        ];
        query.extend(self.selection.query());
        let path = R::KIND.path(&self.within, None);
        let call = Call::read(format!("{path}?{}", query.join("&")));
        match Lines::open(&self.client, &call, TIMES).await {
            Ok(lines) => {
                self.blind = None;
                self.state = State::Open { since, lines: Box::new(lines) };
                self.pulse.opened();
                None
            }
            Err(cause) => {
                if self.blind.get_or_insert_with(Instant::now).elapsed() > BLIND {
                    self.state = State::Unlisted;
                }
                self.ended(cause)
            }
        }
    }

    /// Takes a line; what is told by it, if anything.
    fn take(&mut self, line: Result<Option<Vec<u8>>, Cause>) -> Option<Event<R>> {
        let line = match line {
            Ok(Some(line)) => line,
            // It has lasted as long as it should, or the API server ends.
            Ok(None) => {
                if self.has_lasted() {
                    self.backoff.succeeded();
                } else {
                    // One that ends at once, again and again, is begun less and less often.
                    self.pause = Some(Instant::now() + self.backoff.after_failure(by_lot()));
                }
                self.resume();
                return None;
            }
            Err(cause) => {
                self.resume();
                return self.ended(cause);
            }
        };
        match serde_json::from_slice::<Line<R>>(&line) {
            Ok(Line::Added(object) | Line::Modified(object)) => {
                self.advance(object.metadata().resource_version.clone());
                Some(Event::Applied((self.kept)(object)))
            }
            Ok(Line::Deleted(object)) => {
                self.advance(object.metadata().resource_version.clone());
                Some(Event::Deleted((self.kept)(object)))
            }
            Ok(Line::Bookmark(bookmark)) => {
                self.advance(bookmark.metadata.resource_version);
                None
            }
            Ok(Line::Error(status)) => {
                self.resume();
                let code = status.code;
                self.ended(Cause::of_status(status, code))
            }
            Err(error) => {
                // What it said is lost, so what is known is old.
                self.state = State::Unlisted;
                self.ended(Cause::Malformed(error.to_string()))
            }
        }
    }

    fn advance(&mut self, to: String) {
        self.backoff.succeeded();
        self.pulse.heard();
        if let State::Open { since, .. } = &mut self.state
            && !to.is_empty()
        {
            *since = to;
        }
    }

    /// The next watch goes on where this one ended.
    fn resume(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Unlisted);
        self.state = match state {
            State::Open { since, .. } | State::Since(since) => State::Since(since),
            State::Unlisted => State::Unlisted,
        };
    }

    fn has_lasted(&self) -> bool {
        match &self.state {
            State::Open { lines, .. } => lines.age() > GRACE,
            State::Unlisted | State::Since(_) => false,
        }
    }

    fn ended(&mut self, cause: Cause) -> Option<Event<R>> {
        if matches!(cause, Cause::Refused { reason: Reason::Expired, .. }) {
            // Not a trouble: what is known is listed anew.
            self.state = State::Unlisted;
            self.pause = Some(Instant::now() + self.backoff.after_failure(by_lot()));
            return None;
        }
        let attempted = format!("watch {}{}", R::KIND.plural, self.within);
        Some(self.trouble(ApiError { attempted, cause }))
    }

    fn trouble(&mut self, error: ApiError) -> Event<R> {
        self.pause = Some(Instant::now() + self.backoff.after_refusal(&error, by_lot()));
        Event::Trouble(error)
    }
}
