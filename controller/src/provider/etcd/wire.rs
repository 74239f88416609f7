//! What etcd's gateway answers; the fields are the same since 3.4.

use serde::{Deserialize, Deserializer, de};

pub(super) const MEMBER_LIST: &str = "/v3/cluster/member/list";
pub(super) const STATUS: &str = "/v3/maintenance/status";

/// Of every answer. The JSON of proto3 leaves out what is zero; these ids never are.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) cluster_id: u64,
    #[serde(deserialize_with = "number")]
    pub(super) member_id: u64,
    #[serde(default, deserialize_with = "number")]
    pub(super) revision: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct MemberList {
    pub(super) header: Header,
    pub(super) members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Member {
    #[serde(rename = "ID", deserialize_with = "number")]
    pub(super) id: u64,
    /// Empty before its first start.
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, rename = "peerURLs")]
    pub(super) peer_urls: Vec<String>,
    /// None before its first start.
    #[serde(default, rename = "clientURLs")]
    pub(super) client_urls: Vec<String>,
    #[serde(default, rename = "isLearner")]
    pub(super) is_learner: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) header: Header,
    /// 0 for none.
    #[serde(default, deserialize_with = "number")]
    pub(super) leader: u64,
    #[serde(default, rename = "raftIndex", deserialize_with = "number")]
    pub(super) raft_index: u64,
    #[serde(default, rename = "raftTerm", deserialize_with = "number")]
    pub(super) raft_term: u64,
    #[serde(default, rename = "isLearner")]
    pub(super) is_learner: bool,
}

/// The JSON of proto3 writes 64 bits as text, and lets others write a number.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Number(u64),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(number) => Ok(number),
        Written::Text(text) => text.parse().map_err(de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_of_3_4() {
        let text = r#"{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437",
            "revision":"42","raft_term":"3"},"version":"3.4.23","dbSize":"20480",
            "leader":"10276657743932975437","raftIndex":"9","raftTerm":"3","raftAppliedIndex":"9",
            "dbSizeInUse":"16384"}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!(status.header.member_id, 10_276_657_743_932_975_437);
        assert_eq!(
            (status.leader, status.raft_term, status.raft_index),
            (status.header.member_id, 3, 9)
        );
        assert_eq!((status.header.revision, status.is_learner), (42, false));
    }

    #[test]
    fn what_is_zero_is_left_out() {
        let text = r#"{"header":{"cluster_id":1,"member_id":"2"},"members":[{"ID":"2","peerURLs":["x"]}]}"#;
        let list: MemberList = serde_json::from_str(text).unwrap();
        assert_eq!((list.header.cluster_id, list.members[0].id), (1, 2));
        assert!(list.members[0].name.is_empty() && list.members[0].client_urls.is_empty());
    }

    #[test]
    fn what_is_not_etcd_is_an_error() {
        for text in ["{}", "[]", "null", r#"{"header":{}}"#, r#"{"header":{"cluster_id":"x"}}"#] {
            assert!(serde_json::from_str::<Status>(text).is_err(), "{text}");
            assert!(serde_json::from_str::<MemberList>(text).is_err(), "{text}");
        }
    }
}
