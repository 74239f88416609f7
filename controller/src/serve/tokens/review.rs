//! Whose a token is, and where: by the word of the API server, which is not asked more than it can bear.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster::{ApiError, Client, Name, Pod, Reason, Review, Secret, User, Within};
use fault::NodeName;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::claims::Claims;
use super::{AUDIENCE, Account, Bounds};

/// How long a review may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the answer about a token that is not taken is remembered: an agent that was refused comes back after
/// 5 s at the earliest.
const REMEMBERED: Duration = Duration::from_secs(4);
/// Of how many tokens.
const MEMORY: usize = 1024;

/// Whose tokens are taken.
pub(super) struct Tokens {
    client: Client,
    account: Account,
    bounds: Bounds,
    reviews: Semaphore,
    refused: Mutex<Refused>,
}

/// Why a token does not let an agent in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// None was shown.
    #[error("it shows no token, and agents come here by the token of their service account")]
    Missing,
    /// What was shown is none.
    #[error("what it shows is no token of a service account")]
    Formless,
    /// It says itself that it is for others.
    #[error("its token was not made for {AUDIENCE}")]
    OtherAudience,
    /// The API server does not take it.
    #[error("the API server does not take its token: {0}")]
    Refused(String),
    /// It is somebody else's.
    #[error("its token is of {found}, and agents are system:serviceaccount:{wanted}")]
    OtherAccount {
        /// Whose.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// It was made for no pod.
    #[error(
        "its token was made for no pod; it has to be mounted by a projected volume (serviceAccountToken)"
    )]
    NoPod,
    /// Its pod is gone.
    #[error("the pod {0}, for which its token was made, is gone")]
    PodGone(String),
    /// Its pod has no node.
    #[error("the pod {0}, for which its token was made, has no node")]
    NoNode(String),
    /// It is not where it says.
    #[error("it says that it is node '{said}', and its token is of a pod on {node}")]
    Liar {
        /// What it said.
        said: String,
        /// Where its pod is.
        node: NodeName,
    },
    /// Too many others are to be looked at.
    #[error("its token is not reviewed now: too many others are")]
    Busy,
    /// It cannot be known now.
    #[error("its token cannot be reviewed now: {0}")]
    Api(#[from] ApiError),
}

/// What came of looking at a token once more.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    Good,
    /// Nobody says.
    Unknown(String),
    /// It is said not to be good.
    Bad(String),
}

/// Tokens that were not taken a moment ago, by what nobody else can make of them.
#[derive(Default)]
struct Refused {
    key: RandomState,
    latest: VecDeque<(Instant, u64, TokenError)>,
}

impl TokenError {
    /// Whether the same token may be taken later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Busy | Self::Api(_) => true,
            Self::Missing
            | Self::Formless
            | Self::OtherAudience
            | Self::Refused(_)
            | Self::OtherAccount { .. }
            | Self::NoPod
            | Self::PodGone(_)
            | Self::NoNode(_)
            | Self::Liar { .. } => false,
        }
    }
}

impl Tokens {
    /// Tokens of this account, by the word of an API server.
    pub(super) fn new(client: Client, account: Account, bounds: Bounds) -> Self {
        let reviews = Semaphore::new(bounds.reviews);
        Self { client, account, bounds, reviews, refused: Mutex::default() }
    }

    /// On which node the agent is that shows this token.
    pub(super) async fn node(&self, token: &str) -> Result<NodeName, TokenError> {
        self.check(token)?;
        if let Some(known) = self.refused().of(token, Instant::now()) {
            return Err(known);
        }
        let judged = self.judge(token).await;
        if let Err(error) = &judged
            && !error.is_passing()
        {
            self.refused().note(token, error.clone(), Instant::now());
        }
        judged
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what a token says of itself.
    fn check(&self, token: &str) -> Result<(), TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        let claims = Claims::of(token).ok_or(TokenError::Formless)?;
        if !claims.is_for(AUDIENCE) {
            return Err(TokenError::OtherAudience);
        }
        let said = User { username: claims.sub, ..User::default() };
        self.check_account(&said)
    }

    fn check_account(&self, user: &User) -> Result<(), TokenError> {
        let own = (self.account.namespace.as_str(), self.account.name.as_str());
        if user.service_account() == Some(own) {
            return Ok(());
        }
        let found = fault::Legible(&user.username).to_string();
        Err(TokenError::OtherAccount { found, wanted: self.account.to_string() })
    }

    /// Asks the API server.
    async fn judge(&self, token: &str) -> Result<NodeName, TokenError> {
        let turn = timeout(PATIENCE, self.reviews.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(TokenError::Busy) };
        let user = match self.client.review(&Secret::new(token), AUDIENCE).await? {
            Review::Somebody(user) => user,
            Review::Nobody(why) => return Err(TokenError::Refused(why)),
        };
        self.check_account(&user)?;
        let pod = user.pod().ok_or(TokenError::NoPod)?.to_owned();
        let node = match user.node() {
            Some(node) => node.to_owned(),
            None => self.node_of(&pod, &user).await?,
        };
        NodeName::new(&node).ok_or(TokenError::NoNode(pod))
    }

    /// API servers before 1.32 do not say it of a token.
    async fn node_of(&self, pod: &str, user: &User) -> Result<String, TokenError> {
        let gone = || TokenError::PodGone(pod.to_owned());
        let name: Name = pod.parse().map_err(|_| gone())?;
        let within = Within::Namespace(self.account.namespace.clone());
        let found = match self.client.get::<Pod>(&within, &name).await {
            Err(error) if error.reason() == Some(&Reason::NotFound) => return Err(gone()),
            found => found?,
        };
        // Another one has its name by now.
        if user.pod_uid() != Some(found.metadata.uid.as_str()) {
            return Err(gone());
        }
        found.spec.node_name.ok_or_else(|| TokenError::NoNode(pod.to_owned()))
    }

    /// Returns when a token is not good any more, with why. An API server that is away says nothing of it.
    pub(super) async fn spent(self: Arc<Self>, token: String, node: NodeName) -> String {
        let look = || {
            let (tokens, token, node) = (Arc::clone(&self), token.clone(), node.clone());
            async move {
                match tokens.judge(&token).await {
                    Ok(found) if found == node => Look::Good,
                    Ok(found) => Look::Bad(format!("its token is of node {found} now")),
                    Err(error) if error.is_passing() => Look::Unknown(error.to_string()),
                    Err(error) => Look::Bad(error.to_string()),
                }
            }
        };
        spent(self.bounds, look).await
    }
}

/// Looks again and again, until it is said twice that a token is not good: an API server whose own look-up has
/// failed says so once, in the same words.
async fn spent<Looking>(bounds: Bounds, mut look: impl FnMut() -> Looking) -> String
where
    Looking: Future<Output = Look>,
{
    let mut pause = bounds.again.mul_f64(0.9 + 0.2 * share());
    let mut doubted = false;
    loop {
        sleep(pause).await;
        match look().await {
            Look::Good => {
                doubted = false;
                pause = bounds.again.mul_f64(0.9 + 0.2 * share());
            }
            Look::Unknown(reason) => tracing::debug!(%reason, "token not reviewed"),
            Look::Bad(reason) if doubted => return reason,
            Look::Bad(reason) => {
                tracing::info!(%reason, "a token may be good no more; asking again");
                doubted = true;
                pause = bounds.doubt;
            }
        }
    }
}

impl Refused {
    fn note(&mut self, token: &str, error: TokenError, now: Instant) {
        self.latest.truncate(MEMORY - 1);
        self.latest.push_front((now, self.key.hash_one(token), error));
    }

    fn of(&mut self, token: &str, now: Instant) -> Option<TokenError> {
        let is_past = |(at, ..): &(Instant, u64, TokenError)| now.duration_since(*at) >= REMEMBERED;
        while self.latest.pop_back_if(|one| is_past(one)).is_some() {}
        let sought = self.key.hash_one(token);
        self.latest.iter().find(|(_, one, _)| *one == sought).map(|(.., error)| error.clone())
    }
}

/// A number from 0 to 1 that others do not have.
fn share() -> f64 {
    f64::from(agent::uplink::by_lot()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_for_a_moment_and_of_so_many() {
        let (mut refused, now) = (Refused::default(), Instant::now());
        let why = |number: usize| TokenError::Refused(number.to_string());
        for number in 0..MEMORY + 7 {
            refused.note(&number.to_string(), why(number), now);
        }
        assert_eq!(refused.latest.len(), MEMORY);
        assert_eq!(refused.of("6", now), None, "the oldest are forgotten");
        assert_eq!(refused.of("7", now), Some(why(7)));
        assert_eq!(refused.of("another", now), None);
        assert_eq!(refused.of("7", now + REMEMBERED), None);
        assert!(refused.latest.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_spent_once_that_is_said_twice() {
        let bad = |number: u32| Look::Bad(number.to_string());
        let away = || Look::Unknown("away".to_owned());
        let told = [
            Look::Good,
            bad(1),
            Look::Good,
            away(),
            bad(2),
            away(),
            Look::Good,
            bad(3),
            bad(4),
            Look::Good,
        ];
        let (mut told, begun) = (told.into_iter(), Instant::now());
        let bounds = Bounds::default();
        let spent = spent(bounds, || std::future::ready(told.next().unwrap()));
        assert_eq!(spent.await, "4");
        assert_eq!(told.next(), Some(Look::Good), "nobody looks any more");
        // Five times the long pause, a tenth less or more of each, and the short one four times.
        let (long, doubt) = (bounds.again.as_secs_f64(), bounds.doubt.as_secs_f64());
        let lasted = begun.elapsed().as_secs_f64() - 4.0 * doubt;
        assert!((4.4 * long..5.6 * long).contains(&lasted), "{lasted} s");
    }
}
