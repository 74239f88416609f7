//! Certificates that are taken out of the list while their owners are connected.

use std::fs;
use std::time::{Duration, Instant};

use proto::control as wire;

use crate::rig::{Served, soon, until};

/// "Within a second or so", on a machine that does other things, too.
const AT_ONCE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_certificate_is_revoked_is_disconnected_and_no_other() {
    let served = Served::start().await;
    for node in ["a", "b"] {
        served.dial(node).await;
    }
    let mut client = served.local().await;
    let since = Instant::now();
    served.certs("revoke a").await;
    until(async || !served.connected(&mut client, "a").await).await;
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    // It goes on dialling, and is not let in: only the list decides.
    let refused = served.knock("a").await.unwrap_err();
    assert!(refused.to_string().contains("CertificateUnknown"), "{refused}");
    assert!(served.connected(&mut client, "b").await);
    let agents = client.agents(wire::AgentsRequest {}).await.unwrap().into_inner().agents;
    let b = agents.iter().find(|agent| agent.node == "b").unwrap();
    assert_eq!(b.remote, served.remote("b"), "by the connection that it had");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_certificate_is_revoked_is_owed_no_word_of_the_brake() {
    let served = Served::start().await;
    for node in ["a", "b"] {
        served.dial(node).await;
    }
    let mut client = served.local().await;
    served.certs("revoke a").await;
    until(async || !served.connected(&mut client, "a").await).await;
    let brake = wire::HaltRequest { reason: "a drill".to_owned() };
    let halted = soon(client.halt(brake)).await.unwrap().into_inner();
    assert_eq!(halted.untold, [""; 0]);
    let resumed = soon(client.resume(wire::ResumeRequest {})).await.unwrap().into_inner();
    assert_eq!(resumed.untold, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whose_certificate_is_revoked_is_disconnected_and_no_other() {
    let served = Served::start().await;
    served.certs("issue user ada --role operator").await;
    served.certs("issue user ben --role viewer").await;
    let (mut ada, mut ben) = (served.user("ada").await, served.user("ben").await);
    let watch = wire::WatchRequest { since: 0 };
    let mut of_ada = soon(ada.watch(watch)).await.unwrap().into_inner();
    let mut of_ben = soon(ben.watch(watch)).await.unwrap().into_inner();
    let since = Instant::now();
    served.certs("revoke ada").await;
    let told = soon(of_ada.message()).await;
    assert!(told.is_err(), "{told:?}");
    assert!(since.elapsed() < AT_ONCE, "{:?}", since.elapsed());
    assert!(soon(ada.list(wire::ListRequest {})).await.is_err());
    let brake = wire::HaltRequest { reason: "a drill".to_owned() };
    served.local().await.halt(brake).await.unwrap();
    assert!(soon(of_ben.message()).await.unwrap().is_some(), "others are told on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_replaced_or_written_in_place_disconnects_nobody_who_is_in_it() {
    let served = Served::start().await;
    for node in ["a", "b"] {
        served.dial(node).await;
    }
    let path = served.path("issued");
    let listed = fs::read_to_string(&path).unwrap();
    // Empty for a moment, as an editor leaves it that truncates and writes.
    fs::write(&path, "").unwrap();
    fs::write(&path, &listed).unwrap();
    let next = served.path("next");
    fs::write(&next, format!("# another version\n{listed}")).unwrap();
    fs::rename(&next, &path).unwrap();
    // When one of them is gone, the others have been looked at as well.
    served.certs("revoke a").await;
    let mut client = served.local().await;
    until(async || !served.connected(&mut client, "a").await).await;
    let agents = client.agents(wire::AgentsRequest {}).await.unwrap().into_inner().agents;
    let b = agents.iter().find(|agent| agent.node == "b").unwrap();
    assert!(b.connected);
    assert_eq!(b.remote, served.remote("b"), "by the connection that it had");
}
