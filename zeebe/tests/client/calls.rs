//! What calls send and answer.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::timeout};
use zeebe::{
    Health, Jobs, Key, Message, NewInstance, NodeId, PartitionId, Resource, Role, Version,
};

use crate::mock::{Mock, SOON, serve};

fn instance(version: Version) -> NewInstance {
    NewInstance { process: "p".to_owned(), version, variables: "{\"a\":1}".to_owned() }
}

#[tokio::test]
async fn eleven_brokers_are_known_by_their_numbers() {
    let gateway = serve(Mock::default()).await;
    let topology = gateway.topology(SOON).await.unwrap();
    let numbers: Vec<u32> = topology.brokers.keys().map(|id| id.number()).collect();
    assert_eq!(numbers, (0..11).collect::<Vec<_>>());
    let one = PartitionId::new(1).unwrap();
    let leads = |id: u32| topology.brokers[&NodeId::new(id)].partitions[&one];
    assert_eq!(
        (leads(10), leads(2)),
        ((Role::Leader, Health::Healthy), (Role::Follower, Health::Healthy))
    );
    assert_eq!((topology.cluster_size, topology.partitions), (11, 3));
}

#[tokio::test]
async fn keys_tell_where_something_is() {
    let gateway = serve(Mock::default()).await;
    for expected in [1, 2, 3, 1] {
        let created = gateway.create(&instance(Version::Latest), SOON).await.unwrap();
        assert_eq!((created.key.partition(), created.version), (PartitionId::new(expected), -1));
    }
    let awaited = gateway.create_and_await(&instance(Version::Number(4)), SOON).await.unwrap();
    assert_eq!(awaited.variables.as_deref(), Some("{\"a\":1}"));
    for partition in PartitionId::first(3) {
        let message = Message {
            name: "m".to_owned(),
            correlation_key: partition.correlation_key(3, 0).unwrap(),
            time_to_live: Duration::from_secs(1),
            variables: String::new(),
            id: String::new(),
        };
        assert_eq!(gateway.publish(&message, SOON).await.unwrap().partition(), Some(partition));
    }
    gateway.cancel(Key(1), SOON).await.unwrap();
}

#[tokio::test]
async fn jobs_come_in_parts_or_one_by_one() {
    let gateway = serve(Mock::default()).await;
    let jobs = Jobs { kind: "t".to_owned(), worker: "w".to_owned(), timeout: SOON, most: 5 };
    assert_eq!(gateway.activate(&jobs, None, SOON).await.unwrap().len(), 5);
    gateway.complete(Key(1), SOON).await.unwrap();
    let mut stream = gateway.stream(&jobs);
    assert_eq!(stream.next().await.unwrap().unwrap().key, Key(1));
    assert_eq!(stream.next().await.unwrap().unwrap().key, Key(2));
    // A stream that breaks is not one that ends.
    assert!(stream.next().await.is_err());
}

#[tokio::test]
async fn a_stream_stands_although_its_gateway_says_nothing_before_the_first_job() {
    let mock = Mock::default();
    let first = Arc::new(Notify::new());
    *mock.first.lock().unwrap() = Some(Arc::clone(&first));
    let gateway = serve(mock).await;
    let jobs = Jobs { kind: "t".to_owned(), worker: "w".to_owned(), timeout: SOON, most: 5 };
    let mut stream = gateway.stream(&jobs);
    let nothing = timeout(Duration::from_millis(200), stream.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    // What was given up while it waited goes on where it was.
    first.notify_one();
    let found = timeout(SOON, stream.next()).await.unwrap();
    assert_eq!(found.unwrap().unwrap().key, Key(1));
}

#[tokio::test]
async fn four_megabytes_go_through() {
    let gateway = serve(Mock::default()).await;
    let content = vec![b'x'; 3_900_000];
    let resource = Resource { name: "big.bpmn".to_owned(), content };
    let deployed = gateway.deploy(vec![resource], SOON).await.unwrap();
    assert_eq!((deployed[0].id.as_str(), deployed[0].version), ("big.bpmn", 3_900_000));
}
