//! Pods of Kubernetes, as a node knows them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The identifier by which a node's kubelet knows a pod, and which no other pod ever has.
///
/// It is a UUID in its usual form, or 32 hexadecimal digits without dashes where the kubelet has the pod from
/// a file (a static pod; the API server shows that one in the annotation `kubernetes.io/config.hash`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodUid(String);

impl PodUid {
    /// Takes an identifier in lower case; `None` for anything else.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_uuid = text.split('-').map(str::len).eq(GROUPS);
        let fits = (is_uuid || text.len() == 32)
            && text.bytes().all(|byte| is_digit(byte) || (is_uuid && byte == b'-'));
        fits.then(|| Self(text.to_owned()))
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a container in its pod, which stays the same when the container is started anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerName(String);

impl ContainerName {
    /// Takes a label of a domain name (RFC 1123 2.1, in lower case): up to 63 letters, digits and dashes, the
    /// latter not at its ends; `None` for anything else.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let ends = text.starts_with('-') || text.ends_with('-');
        ((1..=63).contains(&text.len()) && text.bytes().all(fits) && !ends)
            .then(|| Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The PATH of `pod:`, `UID[/CONTAINER]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pod {
    /// Which pod.
    pub uid: PodUid,
    /// Which of its containers; `None` for all of them. The network is the whole pod's in any case.
    pub container: Option<ContainerName>,
}

/// A text names no pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PodError {
    /// Not the identifier of one.
    #[error(
        "a pod is named by its UID, as `kubectl get pod NAME -o jsonpath={{.metadata.uid}}` shows it"
    )]
    Uid,
    /// Not the name of a container.
    #[error("a container's name has 1 to 63 lower-case letters, digits and '-'")]
    Container,
}

impl FromStr for ContainerName {
    type Err = PodError;

    fn from_str(text: &str) -> Result<Self, PodError> {
        Self::new(text).ok_or(PodError::Container)
    }
}

impl FromStr for Pod {
    type Err = PodError;

    fn from_str(text: &str) -> Result<Self, PodError> {
        let (uid, container) = match text.split_once('/') {
            Some((uid, name)) => (uid, Some(name.parse()?)),
            None => (text, None),
        };
        Ok(Self { uid: PodUid::new(uid).ok_or(PodError::Uid)?, container })
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.container {
            Some(container) => write!(f, "{}/{container}", self.uid),
            None => self.uid.fmt(f),
        }
    }
}

impl Serialize for PodUid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for ContainerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6";

    #[test]
    fn pods_are_named_by_their_uid_and_containers_by_their_name() {
        let digits = UID.replace('-', "");
        for uid in [UID, &digits] {
            for (text, container) in
                [(uid.to_owned(), None), (format!("{uid}/web-1"), Some("web-1"))]
            {
                let pod: Pod = text.parse().unwrap();
                assert_eq!((pod.uid.as_str(), pod.to_string()), (uid, text));
                assert_eq!(pod.container.as_ref().map(ContainerName::as_str), container);
            }
        }
        let upper = UID.to_uppercase();
        let odd = UID.replacen('-', "_", 1);
        let moved = "7f3e2a104-b5c-4d6e-8f90-a1b2c3d4e5f6";
        let dashed = format!("-{}", &digits[1..]);
        for wrong in ["web", &upper, &odd, moved, &dashed, &digits[1..], ""] {
            assert_eq!(wrong.parse::<Pod>(), Err(PodError::Uid), "{wrong}");
        }
        let long = "x".repeat(64);
        for wrong in ["", "Web", "a.b", "-a", "a-", "a/b", &long] {
            let text = format!("{UID}/{wrong}");
            assert_eq!(text.parse::<Pod>(), Err(PodError::Container), "{text}");
        }
    }
}
