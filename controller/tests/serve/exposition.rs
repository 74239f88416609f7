//! Metrics as Prometheus fetches them.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use agent::kernel::Slot;
use fault::{Effect, IntentId};
use proto::agent as agent_wire;
use proto::control as wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::{Served, soon, until};

/// What was answered to bytes: the head and the body.
async fn exchange(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = soon(TcpStream::connect(address)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

async fn get(address: SocketAddr, path: &str) -> (String, String) {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
}

/// Samples by name and labels, as OpenMetrics 1.0 has them; panics at what is none.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("a whole text ends with # EOF");
    let mut families: Vec<(String, String)> = Vec::new();
    let mut samples = BTreeMap::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (word, name, rest) = (words.next(), words.next().unwrap(), words.next());
            match word {
                Some("TYPE") => families.push((name.to_owned(), rest.unwrap().to_owned())),
                Some("HELP" | "UNIT") => assert!(rest.is_some(), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let (family, kind) = families.last().unwrap();
        let suffix = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line}"));
        let allowed: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            other => panic!("a type {other}"),
        };
        assert!(allowed.contains(&suffix), "{line}");
        assert!(
            samples.insert(series.to_owned(), value.parse().unwrap()).is_none(),
            "twice: {line}"
        );
    }
    let names: HashSet<&str> = families.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), families.len(), "a family twice");
    samples
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_can_be_seen_is_told_by_node() {
    let served = Served::start().await;
    for node in ["a", "b"] {
        served.dial(node).await;
    }
    let address = served.controller.metrics.unwrap();
    let metrics = async || parse(&get(address, "/metrics").await.1);
    let mut client = served.local().await;
    let apply = wire::ApplyRequest {
        id: 7,
        spec: Some(crate::rig::spec("netns:a@a", "netns:b@b")),
        rehearse: false,
    };
    let intent = soon(client.apply(apply)).await.unwrap().into_inner().intent.unwrap();
    assert_eq!(intent.stage(), wire::Stage::Active, "{intent:?}");

    let acting = metrics().await;
    let fault = fault::FaultId { intent: IntentId::from_random(7), part: 0 };
    assert_eq!(acting["schism_faults{node=\"b\",stage=\"active\"}"], 1.0);
    let lease =
        acting[&format!("schism_fault_lease_remaining_seconds{{node=\"b\",fault=\"{fault}\"}}")];
    assert!(lease > 0.0 && lease <= 3.0, "{lease}");
    assert_eq!(acting["schism_apply_seconds_count"], 1.0);
    assert_eq!(acting["schism_heal_seconds_count"], 0.0);
    assert_eq!(acting["schism_agents_connected"], 2.0);
    for node in ["a", "b"] {
        let of = |name: &str| acting[&format!("schism_agent_{name}{{node=\"{node}\"}}")];
        assert_eq!(of("connected"), 1.0);
        assert!((0.0..20.0).contains(&of("heartbeat_age_seconds")));
        assert!((0.0..1.0).contains(&of("clock_error_seconds")));
        assert!(of("clock_offset_seconds").is_finite());
    }
    let about = acting.keys().filter(|key| key.starts_with("schism_agent_info{")).count();
    assert_eq!(about, 2, "{acting:?}");
    assert!(acting.keys().any(|key| key.starts_with("schism_build_info{version=")));
    assert_eq!(
        (acting["schism_store_errors_total{of=\"store\"}"], acting["schism_halted"]),
        (0.0, 0.0)
    );

    // The kernel has counted; the agent tells at the latest when the fault ends.
    let kernel = served.kernel("b");
    let cookie = kernel.node(|world| world.named("b")).unwrap();
    let effect = Effect { matched: 10, lost: 7, spared: 3, ..Effect::default() };
    kernel.count(cookie, Slot::all().next().unwrap(), effect);
    let heal = wire::HealRequest { ids: vec![7], all: false };
    soon(client.heal(heal)).await.unwrap();
    until(async || metrics().await.contains_key("schism_intents_ended_total{outcome=\"healed\"}"))
        .await;
    let ended = metrics().await;
    for (verdict, count) in [("matched", 10.0), ("lost", 7.0), ("passed", 3.0)] {
        let key = format!("schism_packets_total{{node=\"b\",verdict=\"{verdict}\"}}");
        assert_eq!(ended[&key], count, "{verdict}");
    }
    assert_eq!(ended["schism_heal_seconds_count"], 1.0);
    assert!(!ended.keys().any(|key| key.contains("fault=")), "no ids of what has ended: {ended:?}");
    assert!(!ended.keys().any(|key| key.starts_with("schism_faults{")), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_else_and_nothing_can_be_changed() {
    let served = Served::start().await;
    let address = served.controller.metrics.unwrap();
    let (head, _) = get(address, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    let (head, body) = get(address, "/healthz").await;
    assert!(head.starts_with("HTTP/1.1 200 OK") && body == "ok\n", "{head} {body}");
    for path in ["/", "/metrics/", "/schism.control.v1.Control/Halt", "/../metrics"] {
        let (head, _) = get(address, path).await;
        assert!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let request = format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let (head, _) = exchange(address, &request).await;
        assert!(head.starts_with("HTTP/1.1 405"), "{method}: {head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_bounded() {
    let served = Served::start().await;
    let address = served.controller.metrics.unwrap();
    // More than fits: answered with a refusal, or cut off while it was still being sent.
    let mut stream = soon(TcpStream::connect(address)).await.unwrap();
    let long = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    // As many as are served at once say nothing; the next is answered when their time is over.
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(soon(TcpStream::connect(address)).await.unwrap());
    }
    let (head, _) = get(address, "/healthz").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    for mut stream in silent {
        assert_eq!(soon(stream.read(&mut [0])).await.unwrap_or(0), 0, "cut off");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_are_told_while_a_fault_acts() {
    let served = Served::start().await;
    for node in ["a", "b"] {
        served.dial(node).await;
    }
    let mut client = served.local().await;
    let apply = wire::ApplyRequest {
        id: 8,
        spec: Some(crate::rig::spec("netns:a@a", "netns:b@b")),
        rehearse: false,
    };
    soon(client.apply(apply)).await.unwrap();
    let kernel = served.kernel("b");
    let cookie = kernel.node(|world| world.named("b")).unwrap();
    kernel.count(
        cookie,
        Slot::all().next().unwrap(),
        Effect { matched: 4, lost: 4, ..Effect::default() },
    );
    until(async || {
        let intents = client.list(wire::ListRequest {}).await.unwrap().into_inner().intents;
        let status: Option<&agent_wire::Status> = intents[0].parts[0].status.as_ref();
        status.and_then(|status| status.effect).is_some_and(|effect| effect.lost == 4)
    })
    .await;
}
