//! What is said to objects of what happens to them, as events of theirs, each once.

use cluster::{Client, Happening, Involved, Metadata, Reason, Source, Within};

use super::status::instant;

/// Who says it.
const COMPONENT: &str = "schism";

/// Where events of objects are that are in no namespace: API servers take them nowhere else but in kube-system.
const OF_CLUSTER: &str = "default";

/// The longest name of an object that stands whole in the name of its event, in bytes: with what stands behind it that
/// is a DNS subdomain (RFC 1123), which has up to 253.
const LONGEST_NAME: usize = 200;

/// The longest message, in bytes: `events.k8s.io/v1` shows no longer ones.
const LONGEST: usize = 1024;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    /// Where it is.
    pub(crate) namespace: String,
    pub(crate) event: Happening,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// In one word, for programs.
    pub(crate) reason: &'static str,
    pub(crate) tone: Tone,
    /// In a sentence.
    pub(crate) message: String,
}

/// How it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It is as it should be.
    Normal,
    /// Somebody may want to look.
    Warning,
}

impl Mention {
    /// What is said to an object about what has this id; `now` is Unix time, ns.
    pub(crate) fn new(about: Involved, id: &str, said: &Said, now: u64) -> Self {
        let namespace = match about.namespace.as_str() {
            "" => OF_CLUSTER.to_owned(),
            named => named.to_owned(),
        };
        // The same for whoever leads: it is said once.
        let (whose, what) = (named(&about.name), said.reason.to_ascii_lowercase());
        let metadata = Metadata { name: format!("{whose}.{id}-{what}"), ..Metadata::default() };
        let time = Some(instant(now));
        let event = Happening {
            metadata,
            involved_object: about,
            reason: said.reason.to_owned(),
            message: said.message[..said.message.floor_char_boundary(LONGEST)].to_owned(),
            tone: match said.tone {
                Tone::Normal => "Normal".to_owned(),
                Tone::Warning => "Warning".to_owned(),
            },
            source: Source { component: COMPONENT.to_owned() },
            first_timestamp: time.clone(),
            last_timestamp: time,
            count: 1,
        };
        Self { namespace, event }
    }
}

/// The name of an object as that of its event begins.
fn named(name: &str) -> &str {
    name[..name.floor_char_boundary(LONGEST_NAME)].trim_end_matches(['.', '-'])
}

/// Says it. It changes nothing that somebody cannot be told.
pub(crate) async fn say(client: &Client, mentions: Vec<Mention>) {
    for Mention { namespace, event } in mentions {
        let Ok(namespace) = namespace.parse() else { continue };
        match client.create::<Happening>(&Within::Namespace(namespace), &event).await {
            Ok(_) => {}
            // An earlier leader has said it.
            Err(error) if error.reason() == Some(&Reason::AlreadyExists) => {}
            Err(error) => tracing::debug!(%error, "an object is not told"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mention(namespace: &str, name: &str, message: String) -> Mention {
        let about = Involved {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Involved::default()
        };
        let said = Said { reason: "RunEnded", tone: Tone::Normal, message };
        Mention::new(about, "00000000000a", &said, 0)
    }

    #[test]
    fn an_event_is_where_its_object_is_and_has_a_name_that_fits() {
        let own = mention("prod", "one", "ä".repeat(700));
        assert_eq!(own.namespace, "prod");
        assert_eq!(own.event.metadata.name, "one.00000000000a-runended");
        assert_eq!(own.event.message.len(), 1024);
        let of_cluster =
            mention("", &format!("{}.{}", "a".repeat(199), "b".repeat(53)), String::new());
        assert_eq!(of_cluster.namespace, "default");
        let cut = format!("{}.00000000000a-runended", "a".repeat(199));
        assert_eq!(of_cluster.event.metadata.name, cut);
    }
}
