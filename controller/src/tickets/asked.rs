//! From an object to what is asked of a controller. Pure.

use std::time::Duration;

use fault::{Capture as Wanted, Kept, NodeNetwork, Selector};
use proto::control as wire;

use super::resource::Capture;
use crate::capture::recording::for_packets;
use crate::cli::size;
use crate::objects::asked::selector;
use crate::objects::resource::Kind;
use crate::output::quantity::time;

/// How long and how much, where that is not said.
const TOTAL: Duration = Duration::from_secs(10);
const MOST: u64 = 64 << 20;

/// What an object asks for: pods of its own namespace, by their names or by what they are.
///
/// # Errors
/// It makes no sense, or leaves its namespace.
pub(super) fn asked(capture: &Capture) -> Result<wire::CaptureRequest, String> {
    let spec = &capture.spec;
    let namespace = capture.metadata.namespace.as_deref().unwrap_or_default();
    let within = |text: &str| -> Result<wire::Selector, String> {
        let text = selector(Kind::Fault, namespace, text)?;
        let selector = text.parse::<Selector>().map_err(|error| error.to_string())?;
        Ok((&selector).into())
    };
    let total = match &spec.total {
        None => TOTAL,
        Some(text) => fault::parse_duration(text).map_err(|error| error.to_string())?,
    };
    if total > Wanted::LONGEST {
        return Err(format!("a capture lasts at most {}", time(Wanted::LONGEST)));
    }
    let peers = match spec.peer.as_deref() {
        None => Vec::new(),
        // Addresses are nobody's packets: only those of the target are had.
        Some(text) if text.starts_with("addr:") => {
            let addresses = text.parse::<Selector>().map_err(|error| error.to_string())?;
            vec![(&addresses).into()]
        }
        Some(text) => vec![within(text)?],
    };
    let wanted = Wanted {
        peers: Vec::new(),
        port: spec.port.filter(|port| *port != 0),
        kept: spec.snaplen.filter(|most| *most != 0).map_or(Kept::Headers, Kept::Bytes),
        total,
        // What keeps it has other things to write, too.
        most: for_packets(spec.max.as_deref().map_or(Ok(MOST), size)?),
        node: NodeNetwork::Refused,
    };
    Ok(wire::CaptureRequest {
        target: Some(within(&spec.target)?),
        peers,
        capture: Some((&wanted).into()),
        seed: 0,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(spec: Value) -> Capture {
        let metadata = json!({ "name": "one", "namespace": "prod" });
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
    }

    fn named(selector: &wire::Selector) -> String {
        Selector::try_from(selector.clone()).unwrap().to_string()
    }

    #[test]
    fn an_object_asks_for_packets_of_its_own_namespace() {
        let found = asked(&object(json!({
            "target": "pod/a", "peer": "one:sts/z", "port": 80, "snaplen": 200, "max": "1MB",
            "for": "5s",
        })))
        .unwrap();
        assert_eq!(named(&found.target.unwrap()), "k8s:prod/pod/a");
        assert_eq!(named(&found.peers[0]), "one:k8s:prod/sts/z");
        let capture = found.capture.unwrap();
        assert_eq!((capture.port, capture.kept, capture.most), (80, 200, 1_000_000 - 16_384));
        assert_eq!((capture.total_ns, capture.node), (5_000_000_000, false));
        let found = asked(&object(json!({ "target": "etcd:leader", "peer": "addr:10.0.0.0/8" })));
        let found = found.unwrap();
        assert_eq!(named(&found.target.unwrap()), "etcd:prod/leader");
        assert_eq!(named(&found.peers[0]), "addr:10.0.0.0/8");
        let capture = found.capture.unwrap();
        assert_eq!((capture.kept, capture.total_ns), (0, 10_000_000_000));
    }

    #[test]
    fn what_leaves_it_or_makes_no_sense_is_a_sentence() {
        for (spec, expected) in [
            (json!({}), "names no pods of namespace prod"),
            (json!({ "target": "host:n1" }), "names no pods of namespace prod"),
            (json!({ "target": "k8s:other/pod/a" }), "names no pods of namespace prod"),
            (json!({ "target": "pod/a", "peer": "netns:b" }), "names no pods"),
            (json!({ "target": "pod/a", "for": "1h" }), "at most 10m"),
            (json!({ "target": "pod/a", "for": "x" }), "a number and a unit"),
            (json!({ "target": "pod/a", "max": "5" }), "is no size"),
        ] {
            let why = asked(&object(spec.clone())).unwrap_err();
            assert!(why.contains(expected), "{spec}: {why}");
        }
    }
}
