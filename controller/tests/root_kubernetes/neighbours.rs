//! What else may be in a cluster: another installation, and definitions of another version.

use serde_json::{Value, json};

use crate::{
    agents,
    running::until,
    site::{Site, Space},
};

/// Where the other one is installed.
const OTHER: &str = "later";

/// What the leading controller of an installation says of its health.
fn health(site: &Site, namespace: &str) -> String {
    let leader = agents::leader_in(site.kubectl(), namespace);
    let path = format!("/api/v1/namespaces/{namespace}/pods/{leader}:9090/proxy/healthz");
    site.kubectl().run_with(&["get", "--raw", &path]).unwrap_or_else(|error| error.to_string())
}

/// Waits until its health says this.
fn says(site: &Site, namespace: &str, words: &str) {
    until(&format!("{namespace} says `{words}`"), || health(site, namespace).contains(words));
}

/// Two pods, of which one is to be cut off from the other by an object.
fn space(site: &Site, name: &str) -> Space {
    let [here, there] = site.nodes();
    let space = site.space(name);
    space.serve([("left", here), ("right", there)]);
    space.lets_faults_in();
    space
}

fn create(space: &Space, name: &str) {
    let cut = json!({ "from": "pod/left", "to": "pod/right", "mode": "initiator" });
    let fault = json!({
        "apiVersion": "schism.dev/v1alpha1", "kind": "Fault",
        "metadata": { "name": name }, "spec": { "cut": cut, "for": "120s" },
    });
    space.kubectl.apply(&fault.to_string()).unwrap();
}

fn fault(space: &Space, name: &str) -> Value {
    crate::web::get(&space.kubectl, "fault", name)
}

/// Creates one, sees that it acts, and deletes it.
fn acts_and_is_healed(space: &Space, name: &str) {
    create(space, name);
    let line = format!("wait --for=condition=Active fault/{name} --timeout=60s");
    space.kubectl.run(&line).unwrap_or_else(|error| panic!("{error}: {:#}", fault(space, name)));
    assert_eq!(space.reach([("left", "right"), ("right", "left")]), [[false; 2], [true; 2]]);
    space.kubectl.run(&format!("delete fault {name} --timeout=60s")).unwrap();
    assert_eq!(space.reach([("left", "right")]), [[true; 2]]);
}

pub(crate) fn a_second_installation_keeps_no_objects_and_takes_nothing_from_the_first(site: &Site) {
    let kubectl = site.kubectl();
    says(site, agents::NAMESPACE, "ok\n");
    agents::apply(kubectl, &agents::manifest_in(OTHER));
    until("it has a leader", || !agents::leader_in(kubectl, OTHER).is_empty());
    says(site, OTHER, "ok, but faults as objects are kept by the installation in namespace schism");
    assert_eq!(health(site, agents::NAMESPACE), "ok\n");
    let agents = format!("-n {OTHER} logs -l app.kubernetes.io/component=agent --tail=20");
    until("its agents say that others are there", || {
        let said = kubectl.run(&agents).unwrap_or_default();
        said.contains("another agent of this machine holds")
    });
    // The first one has its agents, and its objects for itself.
    until("the agents are those of the first one", || site.has_both());
    let space = space(site, "between");
    acts_and_is_healed(&space, "one");
    let log = format!("-n {OTHER} logs -l app.kubernetes.io/component=controller --tail=-1");
    let log = kubectl.run(&log).unwrap();
    assert!(!log.contains("Fault between/one"), "{log}");

    // It goes without what both have.
    kubectl.run(&format!("delete namespace {OTHER} --wait=false")).unwrap();
    for kind in ["clusterrole", "clusterrolebinding"] {
        let names = ["controller", "faults"].map(|part| format!("schism:{OTHER}:{part}"));
        kubectl.run_with(&["delete", kind, &names[0], &names[1]]).unwrap();
    }
    acts_and_is_healed(&space, "two");
}

pub(crate) fn where_a_definition_is_older_nothing_is_done_by_halves(site: &Site) {
    let kubectl = site.kubectl();
    let is_it = |object: &&Value| {
        object["metadata"]["name"] == "faults.schism.dev"
            && object["kind"] == "CustomResourceDefinition"
    };
    let own = site.manifest().iter().find(is_it).unwrap();
    let mut older = own.clone();
    let fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = older.pointer_mut(fields).unwrap().as_object_mut().unwrap();
    // No rule of the definition is about it.
    fields.remove("seed").unwrap();
    let space = space(site, "older");
    kubectl.apply(&older.to_string()).unwrap();
    let said = "the definition faults.schism.dev is older than this controller: it lacks spec.seed";
    says(site, agents::NAMESPACE, said);
    create(&space, "half");
    until("it is refused", || fault(&space, "half")["status"]["phase"] == "Refused");
    let status = fault(&space, "half")["status"].clone();
    assert!(status["message"].as_str().unwrap().contains(said), "{status:#}");
    assert_eq!(space.reach([("left", "right")]), [[true; 2]]);

    kubectl.apply(&own.to_string()).unwrap();
    says(site, agents::NAMESPACE, "ok\n");
    acts_and_is_healed(&space, "whole");
}
