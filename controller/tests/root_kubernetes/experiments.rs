//! Experiments as objects of the API server: run by the controller, and as Jobs.

use std::thread;

use lab::{directory::Directory, kubernetes::Kubectl};
use serde_json::{Value, json};

use crate::{
    objects::Estate,
    running::{Running, until},
    site::Site,
    web,
};

/// The namespace of the pods, and of the experiments.
const SPACE: &str = "experiments";

/// The image that an object names: that of the controller, as it has its libraries here. Its program is `schism`.
const TOOLS: &str = concat!("localhost/schism:", env!("CARGO_PKG_VERSION"));

pub(crate) fn experiments_are_objects_of_the_api_server(site: &Site) {
    let files = Directory::create("experiments").unwrap();
    site.supply();
    let space = site.space(SPACE);
    let estate = Estate::new(site, &space, files.path());
    let kubectl = estate.kubectl;
    let mut command = estate.serving("first");
    command.args(["--experiments-in", SPACE, "--image", TOOLS]);
    let mut leader = Running::start(command);
    leader.says("agents dial");

    what_makes_no_sense_is_refused_with_a_sentence(kubectl);
    what_is_applied_is_run_shown_and_judged(&estate);
    what_is_deleted_in_the_middle_is_rolled_back_first(&estate);
    who_has_no_right_is_refused(&estate);
    what_happens_to_a_run_its_object_is_told(kubectl);
    what_has_programs_runs_as_a_job(&estate);
    a_job_that_is_killed_in_the_middle_leaves_no_fault(&estate);
    a_job_that_is_deleted_in_the_middle_is_rolled_back_first(&estate);
}

/// A cut that left cannot call right by, and more steps.
fn experiment(more: &[Value]) -> Value {
    let cut = json!({ "type": "action", "name": "cut", "provider": {
        "type": "schism", "action": "cut", "as": "the-cut", "effect": "optional",
        "arguments": { "from": "pod/left", "to": "pod/right", "mode": "initiator", "for": "5m" },
    } });
    let method: Vec<&Value> = std::iter::once(&cut).chain(more).collect();
    json!({
        "title": "left cannot call right", "description": "d", "method": method,
        "rollbacks": [heal("back", 0)],
    })
}

/// The end of the cut, so many seconds later.
fn heal(name: &str, seconds: u64) -> Value {
    json!({ "type": "action", "name": name, "pauses": { "before": seconds }, "provider": {
        "type": "schism", "action": "heal", "arguments": { "fault": "the-cut" },
    } })
}

/// A look at what left writes.
fn logs(pattern: &str) -> Value {
    let found = json!({ "type": "jsonpath", "path": "$.found", "expect": [true] });
    json!({ "type": "probe", "name": "logs", "tolerance": found, "provider": {
        "type": "schism", "probe": "logs", "arguments": { "target": "pod/left", "pattern": pattern },
    } })
}

/// A short freeze of each pod.
fn freeze_each() -> Value {
    json!({
        "type": "action", "name": "freeze", "for-each": { "name": "one", "targets": "all:label:web" },
        "provider": {
            "type": "schism", "action": "freeze", "effect": "optional",
            "arguments": { "target": "${one}", "for": "1s" },
        },
    })
}

fn program(name: &str, words: &[&str]) -> Value {
    json!({ "type": "probe", "name": name, "tolerance": 0, "provider": {
        "type": "process", "path": words[0], "arguments": words[1..],
    } })
}

fn object(name: &str, spec: &Value) -> String {
    let object = json!({
        "apiVersion": "schism.dev/v1alpha1", "kind": "Experiment",
        "metadata": { "name": name, "namespace": SPACE }, "spec": spec,
    });
    object.to_string()
}

fn apply(kubectl: &Kubectl, name: &str, spec: &Value) -> Result<String, String> {
    kubectl.apply(&object(name, spec)).map_err(|error| error.to_string())
}

fn status(kubectl: &Kubectl, name: &str) -> Value {
    web::get(kubectl, "experiment", name)["status"].clone()
}

/// Waits until it is over, and says what it came to.
fn comes_to(kubectl: &Kubectl, name: &str) -> Value {
    let line = format!("wait --for=condition=Complete experiment/{name} --timeout=90s");
    kubectl.run(&line).unwrap_or_else(|error| panic!("{error}: {:#}", status(kubectl, name)));
    status(kubectl, name)
}

fn what_makes_no_sense_is_refused_with_a_sentence(kubectl: &Kubectl) {
    let spec = json!({ "experiment": experiment(&[]) });
    let early = apply(kubectl, "early", &spec).unwrap_err();
    assert!(early.contains("namespace experiments does not let faults in"), "{early}");
    kubectl.run(&format!("label namespace {SPACE} schism.dev/faults=allowed")).unwrap();
    let unknown =
        apply(kubectl, "wrong", &json!({ "experimnt": {}, "experiment": {} })).unwrap_err();
    assert!(unknown.contains("unknown field \"spec.experimnt\""), "{unknown}");
    let no_image = json!({ "experiment": {}, "job": { "image": "x" } });
    let refused = apply(kubectl, "wrong", &no_image).unwrap_err();
    assert!(refused.contains("spec.job.serviceAccountName: Required value"), "{refused}");
    for (name, step, said) in [
        ("program", program("look", &SCHISM), "step `look` is a program"),
        ("nonsense", json!({ "type": "action" }), "`name` is missing"),
    ] {
        apply(kubectl, name, &json!({ "experiment": experiment(&[step]) })).unwrap();
        let refused = comes_to(kubectl, name);
        assert_eq!((&refused["phase"], &refused["exitCode"]), (&json!("Refused"), &json!(2)));
        assert!(refused["message"].as_str().unwrap().contains(said), "{refused:#}");
    }
}

fn what_is_applied_is_run_shown_and_judged(estate: &Estate<'_>) {
    let kubectl = estate.kubectl;
    // All that is looked at until the end of the pause takes three seconds of two quiet processors.
    let spec = json!({ "experiment": experiment(&[heal("heal", 15)]) });
    apply(kubectl, "one", &spec).unwrap();
    until("it is cut", || status(kubectl, "one")["steps"] == "1/2");
    let (shown, reached) = thread::scope(|scope| {
        let asked = scope.spawn(|| web::reach(kubectl, [("left", "right"), ("right", "left")]));
        (kubectl.run("get experiments one").unwrap(), asked.join().unwrap())
    });
    let late = || format!("the run has gone on meanwhile: {:#}", status(kubectl, "one"));
    assert_eq!(reached, [[false; 2], [true; 2]], "{}", late());
    let mut lines = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let head = ["NAME", "STATE", "STEPS", "DEVIATED", "EXIT", "AGE"];
    assert_eq!(lines.next().unwrap(), head, "{shown}");
    assert_eq!(lines.next().unwrap()[..3], ["one", "Running", "1/2"], "{shown}");
    let mut other = spec;
    other["experiment"]["title"] = json!("something else");
    let changed = apply(kubectl, "one", &other).unwrap_err();
    assert!(changed.contains("what a run is cannot be changed"), "{changed}");
    let done = comes_to(kubectl, "one");
    assert_eq!((&done["phase"], &done["exitCode"]), (&json!("Completed"), &json!(0)), "{done:#}");
    assert_eq!((&done["steps"], &done["faults"]), (&json!("2/2"), &json!(1)), "{done:#}");
    assert!(estate.reaches("left", 1));
    until("nothing holds it", || {
        web::get(kubectl, "experiment", "one")["metadata"]["finalizers"].is_null()
    });
    let both = kubectl.run("get schism -A").unwrap();
    assert!(both.contains("experiment.schism.dev/one"), "{both}");
}

fn what_is_deleted_in_the_middle_is_rolled_back_first(estate: &Estate<'_>) {
    let kubectl = estate.kubectl;
    apply(kubectl, "two", &json!({ "experiment": experiment(&[heal("heal", 300)]) })).unwrap();
    until("it is cut", || status(kubectl, "two")["steps"] == "1/2");
    assert!(!estate.reaches("left", 1));
    // It returns once that is done.
    kubectl.run("delete experiment two --timeout=30s").unwrap();
    assert!(estate.reaches("left", 1));
}

/// One who may make experiments, and has no right to any pod, until she is given it.
fn who_has_no_right_is_refused(estate: &Estate<'_>) {
    let kubectl = estate.kubectl;
    let jane = estate.cluster.kubectl_as("jane", "people").unwrap().within(SPACE).unwrap();
    let makers = "create role makers --verb=get,list,watch,create,patch,delete --resource=experiments.schism.dev";
    kubectl.run(makers).unwrap();
    kubectl.run("create rolebinding makers --role=makers --user=jane").unwrap();
    let short = || experiment(&[heal("heal", 0)]);
    let refused = apply(&jane, "hers", &json!({ "experiment": short() })).unwrap_err();
    let said = "jane may not inject faults into pods of namespace experiments";
    assert!(refused.contains(said), "{refused}");
    kubectl.run("create rolebinding hers --clusterrole=schism-inject --user=jane").unwrap();
    let table = [
        (json!({ "requestedBy": "ann" }), "requestedBy names ann, and it is jane who asks"),
        (
            json!({ "readsLogs": true }),
            "jane may not read the logs of pods of namespace experiments",
        ),
        (
            json!({ "job": { "image": TOOLS, "serviceAccountName": "default" } }),
            "jane may not create Jobs in namespace experiments",
        ),
    ];
    for (more, said) in table {
        let mut spec = json!({ "experiment": short() });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let refused = apply(&jane, "hers", &spec).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
    apply(&jane, "hers", &json!({ "experiment": short(), "requestedBy": "jane" })).unwrap();
    assert_eq!(comes_to(kubectl, "hers")["phase"], "Completed");
}

/// By events of its own, each once: `one` ran to its end, and `program` was refused.
fn what_happens_to_a_run_its_object_is_told(kubectl: &Kubectl) {
    let told = |name: &str| {
        let line = format!("get events --field-selector involvedObject.name={name} -o json");
        let events: Value = serde_json::from_str(&kubectl.run(&line).unwrap()).unwrap();
        let all = events["items"].as_array().unwrap().iter();
        let mut reasons: Vec<String> =
            all.map(|event| event["reason"].as_str().unwrap().to_owned()).collect();
        reasons.sort_unstable();
        reasons
    };
    let own = |name: &str| told(name).into_iter().filter(|reason| reason != "RollbacksBegan");
    assert_eq!(own("one").collect::<Vec<_>>(), ["RunBegan", "RunEnded"]);
    assert_eq!(own("program").collect::<Vec<_>>(), ["RunRefused"]);
}

/// A program that is in the image, and comes to a good end.
const SCHISM: [&str; 2] = ["/usr/bin/schism", "--version"];

/// How an object names the image, and as whom it runs.
fn job() -> Value {
    json!({ "image": TOOLS, "serviceAccountName": "chaos", "imagePullPolicy": "Never" })
}

fn what_has_programs_runs_as_a_job(estate: &Estate<'_>) {
    let kubectl = estate.kubectl;
    kubectl.run("create serviceaccount chaos").unwrap();
    let bound =
        "create rolebinding chaos --clusterrole=schism-inject --serviceaccount=experiments:chaos";
    kubectl.run(bound).unwrap();
    // Its pod keeps to that, and nobody else's is new.
    let restricted =
        format!("label namespace {SPACE} pod-security.kubernetes.io/enforce=restricted");
    kubectl.run(&restricted).unwrap();
    // What pods there are, and what they write, it asks the API server as that account.
    kubectl
        .run("create rolebinding looks --clusterrole=view --serviceaccount=experiments:chaos")
        .unwrap();
    let steps = [program("look", &SCHISM), heal("heal", 0), logs("ready"), freeze_each()];
    apply(kubectl, "three", &json!({ "experiment": experiment(&steps), "job": job() })).unwrap();
    let done = comes_to(kubectl, "three");
    assert_eq!((&done["phase"], &done["exitCode"]), (&json!("Completed"), &json!(0)), "{done:#}");
    // One of the cut, and one for each of both pods.
    assert_eq!(done["faults"], 3, "{done:#}");
    assert!(estate.reaches("left", 1));
    assert_eq!(faults(kubectl), "");
    // What was made for it goes with it.
    let name = done["job"].as_str().unwrap().replace("experiments/", "");
    kubectl.run("delete experiment three --timeout=30s").unwrap();
    until("its Job and its experiment are gone", || {
        let left = kubectl.run("get jobs,configmaps -o name").unwrap();
        !left.contains(&name)
    });
}

fn a_job_that_is_deleted_in_the_middle_is_rolled_back_first(estate: &Estate<'_>) {
    let kubectl = estate.kubectl;
    let steps = [program("look", &SCHISM), heal("heal", 300)];
    apply(kubectl, "four", &json!({ "experiment": experiment(&steps), "job": job() })).unwrap();
    until("it is cut", || !faults(kubectl).is_empty() && !estate.reaches("left", 1));
    assert_eq!(status(kubectl, "four")["phase"], "Running");
    kubectl.run("delete experiment four --timeout=90s").unwrap();
    assert!(estate.reaches("left", 1));
    assert_eq!(faults(kubectl), "");
}

fn a_job_that_is_killed_in_the_middle_leaves_no_fault(estate: &Estate<'_>) {
    let kubectl = estate.kubectl;
    let steps = [program("look", &SCHISM), heal("heal", 300)];
    apply(kubectl, "killed", &json!({ "experiment": experiment(&steps), "job": job() })).unwrap();
    until("it is cut", || !faults(kubectl).is_empty() && !estate.reaches("left", 1));
    let of = faults(kubectl);
    let fault = kubectl.run(&format!("get {} -o json", of.trim())).unwrap();
    let fault: Value = serde_json::from_str(&fault).unwrap();
    assert_eq!(fault["metadata"]["ownerReferences"][0]["kind"], "Pod", "{fault:#}");
    let run = fault["metadata"]["labels"]["schism.dev/experiment"].as_str().unwrap();
    assert_eq!(status(kubectl, "killed")["run"], run);
    let delete = "delete pod --grace-period=0 --force -l schism.dev/experiment=";
    kubectl.run(&format!("{delete}{run}")).unwrap();
    until("its fault is gone", || faults(kubectl).is_empty() && estate.reaches("left", 1));
    // Where the kubelet lets it hear of its end, it still takes the fault out itself, and says by what it ended.
    let code = &comes_to(kubectl, "killed")["exitCode"];
    assert!([json!(5), json!(130)].contains(code), "{code}");
}

/// All faults that are objects; those of a run are gone with it.
fn faults(kubectl: &Kubectl) -> String {
    kubectl.run("get faults -o name").unwrap()
}
