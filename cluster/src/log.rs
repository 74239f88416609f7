//! What a container writes, as its node has kept it.

use std::time::Duration;

use crate::{
    ApiError, Client, Name, Pod, Resource as _, Within,
    call::Call,
    lines::{Lines, Times},
    resource::encode,
};

/// How long all of it may take (5 min).
const TIMES: Times = Times { lasts: Duration::from_secs(300), silent: None };

/// Whose log is meant, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOf {
    /// The container of the pod.
    pub container: String,
    /// Which of its lives.
    pub instance: Instance,
    /// From when on (RFC 3339): an API server hands it on in whole seconds.
    pub since: Option<String>,
    /// The last so many lines alone.
    pub last: Option<u32>,
}

/// A life of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// The one that is there.
    Current,
    /// The one before it.
    Previous,
}

/// A log that is being told: each line begins with its time (RFC 3339) and a space.
#[derive(Debug)]
pub struct Log {
    lines: Lines,
    attempted: String,
}

impl Client {
    /// What a container of a pod has written until now.
    ///
    /// # Errors
    /// There is none, it has written nothing yet, whoever asks may not read it, or nobody answers.
    pub async fn log(&self, within: &Within, pod: &Name, of: &LogOf) -> Result<Log, ApiError> {
        let path = Pod::KIND.path(within, Some(pod));
        let attempted = format!("read the log of container {} of pod {pod}{within}", of.container);
        let call = Call::read(format!("{path}/log?{}", of.query()));
        match Lines::open(self, &call, TIMES).await {
            Ok(lines) => Ok(Log { lines, attempted }),
            Err(cause) => Err(ApiError { attempted, cause }),
        }
    }
}

impl Log {
    /// The next line with its end, or `None` where no more has an end yet.
    ///
    /// # Errors
    /// It was broken off, or takes too long.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let next = self.lines.next().await;
        next.map_err(|cause| ApiError { attempted: self.attempted.clone(), cause })
    }
}

impl LogOf {
    fn query(&self) -> String {
        let Self { container, instance, since, last } = self;
        let mut query = format!("container={}&timestamps=true", encode(container));
        match instance {
            Instance::Current => {}
            Instance::Previous => query.push_str("&previous=true"),
        }
        if let Some(since) = since {
            query.push_str(&format!("&sinceTime={}", encode(since)));
        }
        if let Some(last) = last {
            query.push_str(&format!("&tailLines={last}"));
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_asked_for() {
        let all = LogOf {
            container: "web".to_owned(),
            instance: Instance::Current,
            since: None,
            last: None,
        };
        assert_eq!(all.query(), "container=web&timestamps=true");
        let some = LogOf {
            instance: Instance::Previous,
            since: Some("2026-01-01T00:00:00+01:00".to_owned()),
            last: Some(1),
            ..all
        };
        let since = "2026-01-01T00%3A00%3A00%2B01%3A00";
        let asked =
            format!("container=web&timestamps=true&previous=true&sinceTime={since}&tailLines=1");
        assert_eq!(some.query(), asked);
    }
}
