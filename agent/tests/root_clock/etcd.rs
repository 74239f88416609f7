//! A real etcd member that lives in another time than the others.

use std::time::{Duration, SystemTime};

use fault::State;
use lab::etcd::{Cluster, Route, Writer};
use lab::topology::Topology;

use crate::node::{Node, effect};
use crate::rig::{HOUR, ahead};

const SOON: Duration = Duration::from_secs(10);

/// How far each member's time of day is off by what it says itself, in whole seconds: it cuts off the rest.
fn offsets(cluster: &Cluster) -> Vec<i64> {
    let offset = |member| {
        let said = cluster.client(member).date(SOON).unwrap();
        let millis = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            i64::try_from(since.as_millis()).unwrap()
        };
        let ahead = millis(said) + 500 - millis(SystemTime::now());
        (ahead + 500).div_euclid(1_000)
    };
    (0..cluster.size()).map(offset).collect()
}

fn assert_offsets(cluster: &Cluster, expected: [i64; 3]) {
    let found = offsets(cluster);
    let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= 1);
    assert!(near, "{found:?}, not {expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_an_etcd_goes_on_serving_an_hour_ahead() {
    let node = Node::start();
    let topology = Topology::hub(&["m0", "m1", "m2"]).unwrap();
    let cluster = Cluster::start(&topology, 3).unwrap();
    let (leader, term) = cluster.wait_leader(1, SOON).unwrap();
    let lease = cluster.client(leader).grant(60, SOON).unwrap();
    let writer = Writer::start(&cluster, Route::Through(leader), Duration::from_millis(5), SOON);
    assert_offsets(&cluster, [0; 3]);

    let pid = cluster.pid(leader).unwrap();
    let status = node.begin(node.fault(&format!("pid:{pid}"), ahead(HOUR))).await;
    assert!(status.happened(), "{status:?}");
    let mut expected = [0; 3];
    expected[leader] = 3_600;
    assert_offsets(&cluster, expected);
    // Longer than an election takes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_offsets(&cluster, expected);
    let left = cluster.client(leader).time_to_live(lease, SOON).unwrap();
    assert!(left.is_some_and(|left| left > 40), "leases go by the monotonic clock: {left:?}");

    let healed = node.heal(status.fault.id).await;
    assert_eq!(healed.state, State::Healed, "{:?}", healed.drifts);
    assert!(effect(&healed).longest_hold < Duration::from_millis(100), "{healed:?}");
    assert_offsets(&cluster, [0; 3]);
    node.rig.assert_untouched(pid);
    let writes = writer.finish();
    assert_eq!(writes.failed(), 0, "{writes:?}");
    assert!(writes.acknowledged() > 50, "{} writes", writes.acknowledged());
    assert_eq!(
        (cluster.leader(), cluster.term()),
        (Some(leader), term),
        "nobody stood for election"
    );
}
