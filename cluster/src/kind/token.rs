//! Whose a token is.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Secret;

pub(crate) const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// What an API server says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Review {
    /// It is good, and somebody's.
    Somebody(User),
    /// It is not, and why: expired, of another audience, of a pod that is gone, or no token at all.
    Nobody(String),
}

/// Whose a token is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct User {
    /// The name: `system:serviceaccount:NAMESPACE:NAME` for those of service accounts.
    pub username: String,
    /// Which one it is.
    pub uid: String,
    /// What else is known; of a token that was made for a pod which pod, and which node (1.32 and later).
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Where one asks who one is.
pub(crate) const SELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// What an API server says of who asks.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Own {
    pub(crate) status: OwnStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct OwnStatus {
    pub(crate) user_info: User,
}

#[derive(Deserialize)]
pub(crate) struct Answer {
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: User,
    audiences: Vec<String>,
    error: String,
}

/// What is asked about a token.
pub(crate) fn question(token: &Secret, audience: &str) -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": { "token": token.reveal(), "audiences": [audience] },
    })
}

impl Answer {
    pub(crate) fn review(self, audience: &str) -> Review {
        let Status { authenticated, user, audiences, error } = self.status;
        if !authenticated {
            let silent = error.is_empty();
            return Review::Nobody(if silent { "it is no valid token".to_owned() } else { error });
        }
        // An API server that does not know of audiences names none, and would take a token made for others.
        if !audiences.iter().any(|one| one == audience) {
            return Review::Nobody(format!("it was not made for {audience}"));
        }
        Review::Somebody(user)
    }
}

impl User {
    /// Namespace and name, if it is a service account.
    #[must_use]
    pub fn service_account(&self) -> Option<(&str, &str)> {
        self.username.strip_prefix("system:serviceaccount:")?.split_once(':')
    }

    /// The pod that the token was made for.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        self.only("authentication.kubernetes.io/pod-name")
    }

    /// Which pod of that name it is.
    #[must_use]
    pub fn pod_uid(&self) -> Option<&str> {
        self.only("authentication.kubernetes.io/pod-uid")
    }

    /// The node on which that pod is, where the API server says so (1.32 and later).
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.only("authentication.kubernetes.io/node-name")
    }

    fn only(&self, key: &str) -> Option<&str> {
        match self.extra.get(key).map(Vec::as_slice) {
            Some([one]) => Some(one),
            Some(_) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(status: Value) -> Review {
        let answer: Answer = serde_json::from_value(json!({ "status": status })).unwrap();
        answer.review("schism")
    }

    #[test]
    fn a_token_is_somebodys_for_its_audience_alone() {
        let user = json!({
            "username": "system:serviceaccount:schism:agent",
            "extra": {
                "authentication.kubernetes.io/pod-name": ["agent-x"],
                "authentication.kubernetes.io/node-name": ["n1"],
            },
        });
        let good = json!({ "authenticated": true, "user": user, "audiences": ["schism"] });
        let Review::Somebody(found) = review(good) else { panic!("it is good") };
        assert_eq!(found.service_account(), Some(("schism", "agent")));
        assert_eq!(
            (found.pod(), found.node(), found.pod_uid()),
            (Some("agent-x"), Some("n1"), None)
        );
        let other = json!({ "authenticated": true, "user": user, "audiences": ["vault"] });
        assert_eq!(review(other), Review::Nobody("it was not made for schism".to_owned()));
        let unaware = json!({ "authenticated": true, "user": user });
        assert!(matches!(review(unaware), Review::Nobody(_)));
        let expired = json!({ "error": "token has expired" });
        assert_eq!(review(expired), Review::Nobody("token has expired".to_owned()));
        assert!(matches!(review(json!({})), Review::Nobody(_)));
    }
}
