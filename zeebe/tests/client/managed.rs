//! What brokers tell those who manage them.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};
use zeebe::{
    Key, Management, ManagementError, ManagementUrl, NodeId, PartitionId, Pause, RaftRole, Scaling,
    Trust,
};

use crate::mock::SOON;

/// A broker that answers this to everything, and the first line and body of each request.
async fn broker(
    status: &'static str,
    body: &'static str,
) -> (Management, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at: ManagementUrl = listener.local_addr().unwrap().to_string().parse().unwrap();
    let (tell, asked) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let line = request.lines().next().unwrap_or_default().to_owned();
            let sent = request.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
            let _ = tell.send(format!("{line} {}", sent.unwrap_or_default()).trim_end().to_owned());
            let answer = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (Management::new(at, &Trust::Machine, SOON).unwrap(), asked)
}

#[tokio::test]
async fn a_brokers_own_view() {
    let said = r#"{"1":{"role":"LEADER","processedPosition":42,"snapshotId":"1-2-3","exporterPhase":"EXPORTING"},
        "10":{"role":"FOLLOWER","streamProcessorPhase":"REPLAY"},"2":{"role":"CANDIDATE"}}"#;
    let (broker, mut asked) = broker("200 OK", said).await;
    let view = broker.partitions().await.unwrap();
    let of = |number| view[&PartitionId::new(number).unwrap()].clone();
    assert_eq!((of(1).role, of(1).processed_position), (RaftRole::Leader, Some(42)));
    assert_eq!((of(10).role, of(2).role), (RaftRole::Follower, RaftRole::Candidate));
    assert_eq!(asked.recv().await.unwrap(), "GET /actuator/partitions HTTP/1.1");
}

#[tokio::test]
async fn what_is_asked_of_them() {
    let (broker, mut asked) = broker("204 No Content", "").await;
    broker.pin_clock(5).await.unwrap();
    broker.move_clock(-7).await.unwrap();
    broker.reset_clock().await.unwrap();
    broker.rebalance().await.unwrap();
    broker.pause_exporting(Pause::Soft).await.unwrap();
    broker.resume_exporting().await.unwrap();
    broker.ban(Key(9)).await.unwrap();
    broker.take_backup(3).await.unwrap();
    let expected = [
        "POST /actuator/clock/pin HTTP/1.1 {\"epochMilli\":5}",
        "POST /actuator/clock/add HTTP/1.1 {\"offsetMilli\":-7}",
        "DELETE /actuator/clock HTTP/1.1",
        "POST /actuator/rebalance HTTP/1.1",
        "POST /actuator/exporting/pause?soft=true HTTP/1.1",
        "POST /actuator/exporting/resume HTTP/1.1",
        "POST /actuator/banning/9 HTTP/1.1",
        "POST /actuator/backups HTTP/1.1 {\"backupId\":3}",
    ];
    for line in expected {
        assert_eq!(asked.recv().await.unwrap(), line);
    }
}

#[tokio::test]
async fn another_set_of_brokers_is_planned_or_done() {
    let said = r#"{"changeId":4,"currentTopology":[],"plannedChanges":[
        {"operation":"PARTITION_LEAVE","brokerId":2,"partitionId":1},{"operation":"BROKER_REMOVE","brokerId":2}]}"#;
    let (gateway, mut asked) = broker("202 Accepted", said).await;
    let two = [NodeId::new(0), NodeId::new(1)];
    let plan = gateway.scale(&two, Some(2), Scaling::Planned).await.unwrap();
    gateway.scale(&two, None, Scaling::Moved).await.unwrap();
    gateway.scale(&two, None, Scaling::Forced).await.unwrap();
    assert_eq!((plan.change_id, plan.planned_changes.len()), (4, 2));
    assert_eq!(plan.planned_changes[0].partition_id, Some(1));
    assert_eq!(plan.planned_changes[1].partition_id, None);
    for query in ["dryRun=true&replicationFactor=2", "dryRun=false", "dryRun=false&force=true"] {
        let line = format!("POST /actuator/cluster/brokers?{query} HTTP/1.1 [0,1]");
        assert_eq!(asked.recv().await.unwrap(), line);
    }
}

#[tokio::test]
async fn what_fails_is_told_apart() {
    let (refusing, _asked) = broker("403 Forbidden", "clock control\nis disabled").await;
    let error = refusing.clock().await.unwrap_err();
    assert!(matches!(error, ManagementError::Refused { status: 403, .. }), "{error}");
    assert!(error.to_string().ends_with("clock control is disabled"), "{error}");
    let (without, _asked) = broker("404 Not Found", "").await;
    assert!(matches!(without.configuration().await, Err(ManagementError::Absent { .. })));
    for wrong in ["", "[]", r#"{"x":{"role":"LEADER"}}"#, r#"{"1":{"role":"KING"}}"#] {
        let (odd, _asked) = broker("200 OK", wrong).await;
        let error = odd.partitions().await.unwrap_err();
        assert!(matches!(error, ManagementError::Malformed { .. }), "{wrong}: {error}");
    }
    // From 8.9 on everything is answered with 200.
    let (polite, _asked) = broker("200 OK", r#"{"status":500,"body":"no"}"#).await;
    let error = polite.pause_exporting(Pause::Hard).await.unwrap_err();
    assert!(matches!(error, ManagementError::Refused { status: 500, .. }), "{error}");
}

#[tokio::test]
async fn a_backup_that_there_is_not_is_told_from_a_broker_that_knows_none() {
    let said = r#"{"message":"Backup with id 7 does not exist"}"#;
    let (knows, _asked) = broker("404 Not Found", said).await;
    assert_eq!(knows.backup_state(7).await.unwrap(), "DOES_NOT_EXIST");
    let (has, _asked) = broker("200 OK", r#"{"backupId":7,"state":"COMPLETED"}"#).await;
    assert_eq!(has.backup_state(7).await.unwrap(), "COMPLETED");
    let unserved =
        r#"{"path":"/actuator/backups/7","status":404,"error":"Not Found","message":""}"#;
    for said in ["", "no", unserved] {
        let (without, _asked) = broker("404 Not Found", said).await;
        let error = without.backup_state(7).await.unwrap_err();
        assert!(matches!(error, ManagementError::Absent { .. }), "{said}: {error}");
    }
}

#[tokio::test]
async fn nobody_there_is_told() {
    let (gone, _asked) = broker("200 OK", "").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at: ManagementUrl = listener.local_addr().unwrap().to_string().parse().unwrap();
    drop(listener);
    let error = gone.at(at.clone()).partitions().await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("{at} does not answer: ")), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}
