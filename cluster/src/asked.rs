//! How many requests were sent: an API server is everybody's, and whoever asks it often is noticed.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::{Method, Uri};

/// Requests by what they do; one that is sent again counts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// One object, or a page of a list.
    pub read: u64,
    /// Watches that were opened; each lasts for minutes.
    pub watched: u64,
    /// Objects that were made, and questions that are objects.
    pub created: u64,
    /// Changes of objects.
    pub changed: u64,
    /// Deletions.
    pub deleted: u64,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    read: AtomicU64,
    watched: AtomicU64,
    created: AtomicU64,
    changed: AtomicU64,
    deleted: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, method: &Method, uri: &Uri) {
        let counter = match *method {
            Method::POST => &self.created,
            Method::PATCH => &self.changed,
            Method::DELETE => &self.deleted,
            _ if is_watch(uri) => &self.watched,
            _ => &self.read,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn so_far(&self) -> Asked {
        Asked {
            read: self.read.load(Ordering::Relaxed),
            watched: self.watched.load(Ordering::Relaxed),
            created: self.created.load(Ordering::Relaxed),
            changed: self.changed.load(Ordering::Relaxed),
            deleted: self.deleted.load(Ordering::Relaxed),
        }
    }
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_what_they_do() {
        let counters = Counters::default();
        let pods = "/api/v1/pods";
        let table = [
            (Method::GET, pods.to_owned()),
            (Method::GET, format!("{pods}?limit=500")),
            (Method::GET, format!("{pods}?watch=true&timeoutSeconds=240")),
            (Method::GET, format!("{pods}?labelSelector=watch%3Dtrue")),
            (Method::POST, pods.to_owned()),
            (Method::PATCH, format!("{pods}/a")),
            (Method::DELETE, format!("{pods}/a")),
        ];
        for (method, path) in &table {
            counters.count(method, &path.parse().unwrap());
        }
        let all = Asked { read: 3, watched: 1, created: 1, changed: 1, deleted: 1 };
        assert_eq!(counters.so_far(), all);
    }
}
