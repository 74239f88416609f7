//! What asks the API server, against a real one.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use cluster::{
    Candidate, Client, Event, Kubeconfig, Metadata, Name, NamespaceObject, Node, Precondition,
    Reason, Review, Secret, Selection, Within,
};
use controller::store::{Expected, Id, Key, Kind, Memory, Objects, PutError, Store};
use lab::kubernetes::Kubectl;
use serde_json::json;
use tokio::{runtime::Builder, time::timeout};

use crate::site::Site;

/// A namespace for all of it.
const HOUSE: &str = "house";

/// Long enough on a busy machine.
const SOON: Duration = Duration::from_secs(30);

pub(crate) fn a_real_api_server_is_understood(site: &Site) {
    let space = site.space(HOUSE);
    let kubectl = &space.kubectl;
    let token = |audience: &str| {
        let line = format!("create token default --audience {audience}");
        Secret::new(&kubectl.run(&line).unwrap())
    };
    let (own, other) = (token("schism"), token("vault"));
    kubectl.apply(&controller::store::definition().to_string()).unwrap();
    kubectl.run("wait --for=condition=Established crd/records.schism.dev --timeout=60s").unwrap();
    let client = client(kubectl);
    let hub = &site.cluster().topology().hub_node().unwrap().namespace;
    let nodes = site.nodes();
    let asked = hub.inside(|| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            what_there_is_is_listed(&client, nodes).await;
            what_becomes_of_it_is_told(&client).await;
            who_was_quicker_wins(&client).await;
            tokens_are_of_somebody_for_one_audience(&client, &own, &other).await;
            // The one waits, the other one works.
            tokio::join!(one_of_two_leads(&client), a_store_in_it_does_as_one_in_memory(&client));
        });
    });
    asked.unwrap();
}

/// As `kubectl` has it.
fn client(kubectl: &Kubectl) -> Client {
    let command = kubectl.command("true");
    let mut settings = command.get_envs().filter(|(name, _)| *name == "KUBECONFIG");
    let path = PathBuf::from(settings.next().unwrap().1.unwrap());
    let file: Kubeconfig = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    Client::new(file.config(None, path.parent().unwrap()).unwrap())
}

fn house() -> Within {
    Within::Namespace(HOUSE.parse().unwrap())
}

fn namespace(name: &str) -> NamespaceObject {
    NamespaceObject { metadata: Metadata { name: name.to_owned(), ..Metadata::default() } }
}

async fn what_there_is_is_listed(client: &Client, names: [&str; 2]) {
    let nodes = client.list::<Node>(&Within::Cluster, &Selection::default()).await.unwrap().items;
    let found: Vec<&str> = nodes.iter().map(|node| node.metadata.name.as_str()).collect();
    assert_eq!(found, names);
    for node in &nodes {
        assert_eq!((node.unready(), node.is_of_control_plane()), (None, false));
        assert!(!node.status.node_info.boot_id.is_empty());
    }
    let paged = client.clone().in_pages_of(1);
    let all = paged.list::<NamespaceObject>(&Within::Cluster, &Selection::default()).await.unwrap();
    let names: BTreeSet<&str> = all.items.iter().map(|one| one.metadata.name.as_str()).collect();
    assert!(names.is_superset(&["default", "kube-system", HOUSE].into()), "{names:?}");
    let labels = format!("kubernetes.io/metadata.name in (default,{HOUSE}),!nobody");
    let labels = Selection::labels(labels);
    let some = client.list::<NamespaceObject>(&Within::Cluster, &labels).await.unwrap();
    assert_eq!(some.items.len(), 2);
    let name: Name = "nobody".parse().unwrap();
    let error = client.get::<Node>(&Within::Cluster, &name).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::NotFound));
    assert!(error.to_string().contains("nodes \"nobody\" not found"), "{error}");
}

async fn what_becomes_of_it_is_told(client: &Client) {
    let labels = Selection::labels("kubernetes.io/metadata.name=watched");
    let mut watch = client.watch::<NamespaceObject>(Within::Cluster, labels);
    let mut next = async || timeout(SOON, watch.next()).await.unwrap();
    assert!(matches!(next().await, Event::Listed(none) if none.is_empty()));
    client.create(&Within::Cluster, &namespace("watched")).await.unwrap();
    let Event::Applied(made) = next().await else { panic!("it was not told") };
    let (name, that) = (
        "watched".parse().unwrap(),
        Precondition { uid: Some(made.metadata.uid), resource_version: None },
    );
    client.delete::<NamespaceObject>(&Within::Cluster, &name, &that).await.unwrap();
    loop {
        match next().await {
            // It is on its way out.
            Event::Applied(_) => {}
            Event::Deleted(gone) => return assert_eq!(gone.metadata.name, "watched"),
            other @ (Event::Listed(_) | Event::Trouble(_)) => panic!("{other:?}"),
        }
    }
}

async fn who_was_quicker_wins(client: &Client) {
    let name: Name = HOUSE.parse().unwrap();
    let found: NamespaceObject = client.get(&Within::Cluster, &name).await.unwrap();
    let patch = |label: &str| {
        let version = &found.metadata.resource_version;
        json!({ "metadata": { "resourceVersion": version, "labels": { "quick": label } } })
    };
    let within = Within::Cluster;
    let first = client.merge::<NamespaceObject>(&within, &name, &patch("first")).await.unwrap();
    assert_eq!(first.metadata.labels["quick"], "first");
    let late = client.merge::<NamespaceObject>(&within, &name, &patch("late")).await.unwrap_err();
    assert_eq!(late.reason(), Some(&Reason::Conflict), "{late}");
    let again = client.create(&within, &namespace(HOUSE)).await.unwrap_err();
    assert_eq!(again.reason(), Some(&Reason::AlreadyExists), "{again}");
}

async fn tokens_are_of_somebody_for_one_audience(client: &Client, own: &Secret, other: &Secret) {
    let Review::Somebody(user) = client.review(own, "schism").await.unwrap() else { panic!() };
    assert_eq!(user.service_account(), Some((HOUSE, "default")));
    assert_eq!(user.pod(), None);
    for bad in [other.clone(), Secret::new("nonsense")] {
        let review = client.review(&bad, "schism").await.unwrap();
        assert!(matches!(review, Review::Nobody(_)), "{review:?}");
    }
}

async fn one_of_two_leads(client: &Client) {
    let candidate = |identity: &str| Candidate {
        client: client.clone(),
        within: house(),
        name: "schism-controller".parse().unwrap(),
        identity: identity.to_owned(),
        duration: Duration::from_secs(3),
    };
    let first = timeout(SOON, candidate("a").win(|error| panic!("{error}"))).await.unwrap();
    let second = candidate("b");
    let waited = timeout(Duration::from_secs(5), second.win(|error| panic!("{error}"))).await;
    assert!(waited.is_err(), "it has been taken");
    first.resign().await;
    let second = timeout(SOON, second.win(|error| panic!("{error}"))).await.unwrap();
    assert_eq!(second.transitions(), 2);
}

async fn a_store_in_it_does_as_one_in_memory(client: &Client) {
    let open = async || Objects::open(client.clone(), HOUSE.parse().unwrap(), None).await.unwrap();
    let (memory, mut objects) = (Memory::new(), open().await);
    let mut lot = 7_u64;
    let mut draw = |below: u64| {
        lot = lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (lot >> 33) % below
    };
    let told = |result: Result<_, PutError>| result.map_err(|error| error.to_string());
    for step in 0..400 {
        let kind = Kind::ALL[usize::try_from(draw(4)).unwrap()];
        let key =
            Key { kind, id: Id::new(["a", "B_c"][usize::try_from(draw(2)).unwrap()]).unwrap() };
        let standing = memory.get(key.clone()).await.unwrap();
        let at = standing.map(|record| record.revision);
        match draw(8) {
            0 => objects = open().await,
            1..=2 if at.is_some() => {
                let at = at.unwrap();
                let (one, other) =
                    (memory.delete(key.clone(), at).await, objects.delete(key, at).await);
                assert_eq!(told(one), told(other), "step {step}");
            }
            choice => {
                let expected = match (choice % 4, at) {
                    (0, _) => Expected::Never,
                    (1, _) => Expected::Absent,
                    (2, Some(at)) => Expected::At(at),
                    (_, _) => Expected::Any,
                };
                let value = vec![u8::try_from(draw(256)).unwrap(); 3];
                let one = memory.put(key.clone(), expected, value.clone()).await;
                let other = objects.put(key, expected, value).await;
                assert_eq!(told(one), told(other), "step {step}");
            }
        }
        let since = controller::store::Revision(draw(200));
        for kind in Kind::ALL {
            assert_eq!(memory.list(kind).await.unwrap(), objects.list(kind).await.unwrap());
        }
        let (one, other) = (memory.changes_since(since).await, objects.changes_since(since).await);
        assert_eq!(one.unwrap(), other.unwrap(), "step {step}");
    }
}
