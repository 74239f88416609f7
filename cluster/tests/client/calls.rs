//! What is asked, and what is made of the answers.

use cluster::{
    Grace, Metadata, NamespaceObject, Node, Pod, Precondition, Reason, Review, Secret, Selection,
    Within,
};
use serde_json::{Value, json};

use crate::mock::{Said, list, pod, serve, status};

fn prod() -> Within {
    Within::Namespace("prod".parse().unwrap())
}

#[tokio::test]
async fn one_connection_serves_one_call_after_the_other() {
    let (client, record) = serve(|_, _| Said::Answer(200, pod("web", 7))).await;
    for _ in 0..3 {
        let found: Pod = client.get(&prod(), &"web".parse().unwrap()).await.unwrap();
        assert_eq!(found.metadata.uid, "u-web");
    }
    let record = record.lock().unwrap();
    let lines: Vec<&str> = record.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(lines, ["GET /api/v1/namespaces/prod/pods/web"; 3]);
    assert!(record.iter().all(|asked| asked.connection == 0));
    assert!(record[0].head.contains("authorization: bearer word"), "{}", record[0].head);
    assert!(record[0].head.contains("host: 127.0.0.1:"), "{}", record[0].head);
}

#[tokio::test]
async fn a_list_is_read_page_by_page_and_sorted() {
    let (client, record) = serve(|number, _| {
        Said::Answer(
            200,
            match number {
                0 => list(5, "next/page", &[pod("c", 1), pod("b", 2)]),
                _ => list(5, "", &[pod("a", 3)]),
            },
        )
    })
    .await;
    let labels = Selection::labels("app in (a,b),!old");
    let found = client.in_pages_of(2).list::<Pod>(&prod(), &labels).await.unwrap();
    let names: Vec<&str> = found.items.iter().map(|pod| pod.metadata.name.as_str()).collect();
    assert_eq!((names, found.resource_version.as_str()), (vec!["a", "b", "c"], "5"));
    let record = record.lock().unwrap();
    assert_eq!(
        record[0].line,
        "GET /api/v1/namespaces/prod/pods?limit=2&labelSelector=app%20in%20%28a%2Cb%29%2C%21old"
    );
    assert!(record[1].line.ends_with("&continue=next%2Fpage"), "{}", record[1].line);
}

#[tokio::test]
async fn a_list_that_expires_between_its_pages_is_begun_anew() {
    let (client, record) = serve(|number, _| match number {
        0 => Said::Answer(200, list(5, "more", &[pod("old", 1)])),
        1 => Said::Answer(410, status(410, "Expired", "too old")),
        _ => Said::Answer(200, list(9, "", &[pod("new", 8)])),
    })
    .await;
    let found = client.list::<Pod>(&Within::Cluster, &Selection::default()).await.unwrap();
    assert_eq!(found.items.len(), 1);
    assert_eq!(found.items[0].metadata.name, "new");
    assert_eq!(record.lock().unwrap().len(), 3);

    let (client, record) = serve(|_, _| Said::Answer(410, status(410, "Expired", "too old"))).await;
    let error = client.list::<Pod>(&Within::Cluster, &Selection::default()).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Expired));
    assert_eq!(record.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn an_empty_list_may_be_null() {
    let (client, _) = serve(|_, _| Said::Answer(200, r#"{"items":null}"#.to_owned())).await;
    let found = client.list::<Node>(&Within::Cluster, &Selection::default()).await.unwrap();
    assert!(found.items.is_empty());
}

#[tokio::test]
async fn what_is_written_says_what_it_is_and_of_which_state() {
    let (client, record) = serve(|_, asked| match asked.line.split(' ').next() {
        Some("DELETE") => Said::Answer(404, status(404, "NotFound", "gone")),
        _ => Said::Answer(200, r#"{"metadata":{"name":"a","resourceVersion":"8"}}"#.to_owned()),
    })
    .await;
    let name = "a".parse().unwrap();
    let new =
        NamespaceObject { metadata: Metadata { name: "a".to_owned(), ..Metadata::default() } };
    client.create(&Within::Cluster, &new).await.unwrap();
    let patch = json!({ "metadata": { "resourceVersion": "7" }, "status": { "phase": "Held" } });
    client.merge::<NamespaceObject>(&Within::Cluster, &name, &patch).await.unwrap();
    client.merge_status::<NamespaceObject>(&Within::Cluster, &name, &patch).await.unwrap();
    let that = Precondition { uid: Some("u".to_owned()), resource_version: None };
    // What is gone already is deleted.
    client.delete::<NamespaceObject>(&Within::Cluster, &name, &that).await.unwrap();

    let record = record.lock().unwrap();
    let lines: Vec<&str> = record.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "POST /api/v1/namespaces",
            "PATCH /api/v1/namespaces/a",
            "PATCH /api/v1/namespaces/a/status",
            "DELETE /api/v1/namespaces/a"
        ]
    );
    let body = |number: usize| -> Value { serde_json::from_str(&record[number].body).unwrap() };
    let created = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "a" } });
    assert_eq!((body(0), body(1), body(2)), (created, patch.clone(), patch));
    assert_eq!(body(3)["preconditions"], json!({ "uid": "u" }));
    assert!(record[1].head.contains("content-type: application/merge-patch+json"));
}

#[tokio::test]
async fn a_pod_is_deleted_or_evicted_as_the_one_that_it_is() {
    let budget = r#"{"reason":"TooManyRequests","message":"no","code":429,"details":{"causes":[
        {"reason":"DisruptionBudget","message":"The disruption budget web needs 1 healthy pods and has 1 currently"}
    ]}}"#;
    let (client, record) = serve(|number, _| match number {
        0 => Said::Answer(200, "{}".to_owned()),
        1 => Said::Answer(404, status(404, "NotFound", "gone")),
        2 => Said::Answer(201, "{}".to_owned()),
        _ => Said::Answer(429, budget.to_owned()),
    })
    .await;
    let name = "web-0".parse().unwrap();
    client.delete_pod(&prod(), &name, "u", Some(Grace(0))).await.unwrap();
    // What is gone already is deleted.
    client.delete_pod(&prod(), &name, "u", None).await.unwrap();
    client.evict(&prod(), &name, "u", Some(Grace(7))).await.unwrap();
    let error = client.evict(&prod(), &name, "u", None).await.unwrap_err();
    assert!(error.budget().is_some_and(|said| said.contains("budget web needs 1")), "{error}");

    let record = record.lock().unwrap();
    let lines: Vec<&str> = record.iter().map(|asked| asked.line.as_str()).collect();
    let pod = "/api/v1/namespaces/prod/pods/web-0";
    assert_eq!(
        lines,
        [
            format!("DELETE {pod}"),
            format!("DELETE {pod}"),
            format!("POST {pod}/eviction"),
            format!("POST {pod}/eviction"),
        ]
    );
    let body = |number: usize| -> Value { serde_json::from_str(&record[number].body).unwrap() };
    assert_eq!(body(0)["gracePeriodSeconds"], 0);
    assert_eq!(body(0)["preconditions"], json!({ "uid": "u" }));
    assert_eq!(body(1)["gracePeriodSeconds"], Value::Null);
    let eviction = body(2);
    assert_eq!(
        (&eviction["kind"], &eviction["apiVersion"]),
        (&json!("Eviction"), &json!("policy/v1"))
    );
    assert_eq!(eviction["metadata"], json!({ "name": "web-0", "namespace": "prod" }));
    let options = json!({ "preconditions": { "uid": "u" }, "gracePeriodSeconds": 7 });
    assert_eq!(eviction["deleteOptions"], options);
}

#[tokio::test]
async fn a_conflict_is_one() {
    let (client, _) =
        serve(|_, _| Said::Answer(409, status(409, "Conflict", "the object has been modified")))
            .await;
    let name = "a".parse().unwrap();
    let patch = json!({ "metadata": { "resourceVersion": "7" } });
    let error = client.merge::<NamespaceObject>(&Within::Cluster, &name, &patch).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Conflict));
    assert_eq!(
        error.to_string(),
        "cannot change Namespace a: the API server says: the object has been modified (409 Conflict)"
    );
}

#[tokio::test]
async fn a_token_is_reviewed_for_one_audience() {
    let (client, record) =
        serve(|_, _| Said::Answer(201, r#"{"status":{"error":"token has expired"}}"#.to_owned()))
            .await;
    let review = client.review(&Secret::new("shown"), "schism").await.unwrap();
    assert_eq!(review, Review::Nobody("token has expired".to_owned()));
    let record = record.lock().unwrap();
    assert_eq!(record[0].line, "POST /apis/authentication.k8s.io/v1/tokenreviews");
    let asked: Value = serde_json::from_str(&record[0].body).unwrap();
    assert_eq!(asked["spec"], json!({ "token": "shown", "audiences": ["schism"] }));
}
