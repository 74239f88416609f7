//! Jobs that are pushed, whatever becomes of the gateway that pushes them.

use lab::directory::Directory;
use zeebe::model::{Middle, process};

use crate::estate::Estate;

pub(crate) fn jobs_are_pushed_after_a_restart_and_a_kill_of_the_gateway(estate: &Estate) {
    let files = Directory::create("models").unwrap();
    let model = process("push", Middle::Job("push"), 1);
    let path = files.path().join(&model.name);
    std::fs::write(&path, &model.content).unwrap();
    estate.holds(&format!("deploy process {}", path.display()));
    estate.holds("verify deployment-on-all-partitions --process push --version 1");
    // By asking it would come by jobs only tomorrow. It has those of the line above from its first question.
    let worker = estate.begin_zeebe("worker --job-type push --stream --poll-every 24h");
    let pushed = |after: &str| {
        estate.holds("verify job-push --job-type push --timeout 60s");
        let line = "verify instance-creation --process push --await-result --timeout 60s";
        let said = estate.holds(line);
        assert_eq!(said["holds"], true, "after {after}: {said}");
    };
    pushed("the start");
    estate.holds("restart gateway --timeout 120s");
    pushed("a restart of the gateway");
    estate.holds("terminate gateway");
    estate.holds("verify readiness --timeout 120s");
    pushed("a kill of the gateway");

    worker.interrupt();
    let ended = worker.said();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told = ended.document();
    let of = |what: &str| told[what].as_u64().unwrap();
    assert!(of("pushed") >= 9 && of("completed") >= of("pushed"), "{told}");
    assert!(of("streams") >= 3, "{told}");
}
