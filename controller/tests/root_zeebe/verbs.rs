//! Every verb of `schism zeebe` that needs no fault, once, on the real cluster.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lab::directory::Directory;
use lab::topology::Family;
use lab::zeebe::{GATEWAY_PORT, Leaders, MANAGEMENT_PORT};
use serde_json::Value;
use zeebe::{
    Key, PartitionId,
    model::{Middle, process},
};

use crate::{estate::Estate, gateways::Gateways};

/// How much two clocks that are asked at once may lie apart.
const NEAR: i64 = 2_000;

pub(crate) fn all_do_what_they_say(estate: &Estate, gateways: &Gateways, leaders: &Leaders) {
    who_leads_is_shown(estate, leaders);
    what_is_deployed_is_everywhere_and_runs(estate);
    both_families_are_served(estate);
    a_message_comes_to_its_partition(estate);
    a_configuration_is_read_and_planned(estate);
    clocks_of_brokers_move_alone(estate);
    exporting_stops_and_goes_on(estate);
    what_cannot_be_is_refused_in_words(estate);
    who_is_banned_is_counted_as_such(estate, gateways);
    a_load_is_taken(estate);
    members_stand_still_and_are_kept_apart(estate);
}

fn who_leads_is_shown(estate: &Estate, leaders: &Leaders) {
    estate.holds("verify readiness --timeout 60s");
    estate.holds("rebalance");
    estate.holds("verify leadership");
    let shown = estate.holds("topology");
    assert_eq!(shown["schema"], "schism.zeebe-topology/v1");
    assert_eq!(shown["partitions"], 3);
    assert_eq!(shown["disagreements"], serde_json::json!([]), "{shown}");
    for (partition, leader) in leaders {
        for broker in 0..3 {
            let role = &shown["brokers"][broker]["partitions"][partition.to_string()]["role"];
            let wanted = if broker == *leader { "leader" } else { "follower" };
            assert_eq!(role, wanted, "partition {partition} at broker {broker}: {shown}");
        }
    }
}

fn what_is_deployed_is_everywhere_and_runs(estate: &Estate) {
    let deployed = estate.holds("deploy process");
    assert_eq!(deployed["deployed"][0]["id"], "benchmark");
    assert_eq!(deployed["deployed"][0]["version"], 1);
    estate.holds("verify deployment-on-all-partitions --process benchmark --version 1");
    // The three of that one and at least three more.
    let created = estate.holds("verify instance-creation");
    assert_eq!(created["said"], "on partitions 1, 2, 3");
    estate.holds("verify instance-count --count 5");
    let completed = estate.holds("verify job-completion --count 3");
    assert_eq!(completed["said"], "3 of 3 of type benchmark-task");

    let files = Directory::create("models").unwrap();
    let short = process("short", Middle::Nothing, 1);
    let path = files.path().join(&short.name);
    std::fs::write(&path, &short.content).unwrap();
    let deployed = estate.holds(&format!("deploy process {}", path.display()));
    assert_eq!(deployed["deployed"][0]["id"], "short");
    let awaited =
        estate.holds("verify instance-creation --process short --partition 2 --await-result");
    assert_eq!(awaited["said"], "on partitions 2");

    let deployed = estate.holds("deploy multi-version --count 10");
    let versions: Vec<i64> =
        deployed["deployed"].as_array().unwrap().iter().filter_map(version).collect();
    let both: Vec<i64> = (1..=10).flat_map(|version| [version, version]).collect();
    assert_eq!(versions, both, "{deployed}");
    estate.holds("verify deployment-on-all-partitions --process multiVersion --version 10");
    let line =
        "verify deployment-on-all-partitions --process multiVersion --version 11 --timeout 2s";
    let said = estate.zeebe(line);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.document()["holds"], false, "{said:?}");
    assert!(said.err.contains("trying again"), "{said:?}");
}

fn version(deployed: &Value) -> Option<i64> {
    deployed["version"].as_i64()
}

fn both_families_are_served(estate: &Estate) {
    for family in [Family::V4, Family::V6] {
        let gateway = estate.cluster.gateway().socket_address(family, GATEWAY_PORT);
        let broker = estate.cluster.node(0).socket_address(family, MANAGEMENT_PORT);
        let words = format!("--gateway {gateway} --broker {broker} clock show --of 0");
        assert_eq!(estate.holds(&words)["brokers"].as_array().unwrap().len(), 1);
        let line = format!("--gateway {gateway} verify instance-creation --process short");
        estate.holds(&line);
    }
}

fn a_message_comes_to_its_partition(estate: &Estate) {
    for number in 1..=3 {
        let published = estate.holds(&format!("publish --partition {number} --time-to-live 1s"));
        let key = Key(published["key"].as_i64().unwrap());
        assert_eq!(key.partition(), PartitionId::new(number), "{published}");
    }
}

fn a_configuration_is_read_and_planned(estate: &Estate) {
    let shown = estate.holds("cluster status");
    let brokers = shown["brokers"].as_array().unwrap();
    assert_eq!(brokers.len(), 3, "{shown}");
    let active = brokers.iter().all(|one| one["state"] == "ACTIVE");
    let whole = brokers.iter().all(|one| one["partitions"].as_array().unwrap().len() == 3);
    assert!(active && whole, "{shown}");
    let planned = estate.holds("cluster scale --to 0,1 --replicas 2 --dry-run");
    assert!(planned["planned"].as_array().is_some_and(|steps| !steps.is_empty()), "{planned}");
    assert_eq!(estate.holds("cluster status")["brokers"], shown["brokers"], "a dry run changed it");
    let same = estate.holds("cluster scale --to 0,1,2");
    assert_eq!(
        (&same["begun"], &same["planned"]),
        (&false.into(), &serde_json::json!([])),
        "{same}"
    );
    let said = estate.zeebe("cluster wait --change 100 --timeout 1s");
    assert_eq!(said.code, Some(1), "{said:?}");
}

fn clocks_of_brokers_move_alone(estate: &Estate) {
    let of =
        |shown: &Value, broker: usize| shown["brokers"][broker]["epoch-milli"].as_i64().unwrap();
    // All are asked at once.
    let ahead = || {
        let shown = estate.holds("clock show");
        of(&shown, 2) - of(&shown, 0)
    };
    assert!(ahead().abs() < NEAR, "{}", ahead());
    // No farther: what a broker plans for itself meanwhile is due only then once its clock is set again.
    let moved = estate.holds("clock add 6000 --of 2");
    assert_eq!(moved["brokers"].as_array().unwrap().len(), 1, "{moved}");
    let by = ahead();
    assert!((by - 6000).abs() < NEAR, "{by}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let pinned = estate.holds(&format!("clock pin {now} --of 2"));
    assert_eq!(of(&pinned, 0), i64::try_from(now).unwrap(), "{pinned}");
    let again = estate.holds("clock show --of 2");
    assert_eq!(of(&again, 0), of(&pinned, 0), "a clock that is pinned stands still");
    estate.holds("clock reset");
    assert!(ahead().abs() < NEAR, "{}", ahead());
}

fn exporting_stops_and_goes_on(estate: &Estate) {
    // What only leaders say: followers do not export. On a busy machine a broker may be late to say it.
    let phases = || -> Vec<String> {
        let began = Instant::now();
        loop {
            let shown = estate.holds("topology");
            let brokers = shown["brokers"].as_array().unwrap().clone();
            let own = brokers
                .iter()
                .flat_map(|broker| broker["partitions"].as_object().unwrap().values());
            let leading = own.filter(|own| own["role"] == "leader");
            let phase = |own: &Value| own["exporter-phase"].as_str().unwrap_or("-").to_owned();
            let phases: Vec<String> = leading.map(phase).collect();
            if phases.len() == 3 {
                return phases;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{shown}");
        }
    };
    let all = |phase: &str| vec![phase.to_owned(); 3];
    let before = phases();
    estate.holds("exporting pause");
    assert_eq!(phases(), all("PAUSED"));
    estate.holds("exporting pause --soft");
    assert_eq!(phases(), all("SOFT_PAUSED"));
    estate.holds("exporting resume");
    assert_eq!(phases(), before);
}

fn what_cannot_be_is_refused_in_words(estate: &Estate) {
    let files = Directory::create("models").unwrap();
    let broken = files.path().join("broken.bpmn");
    std::fs::write(&broken, "<bpmn:definitions>").unwrap();
    let missing = files.path().join("missing.bpmn");
    let (broken, missing) = (broken.display(), missing.display());
    let table = [
        ("verify instance-creation --partition 9".to_owned(), 5, "partitions 1 to 3"),
        ("publish --partition 4".to_owned(), 5, "partitions 1 to 3"),
        ("clock show --of 3".to_owned(), 5, "no broker 3"),
        (format!("deploy process {broken}"), 4, "broken.bpmn"),
        (format!("deploy process {missing}"), 5, "missing.bpmn"),
        ("verify instance-creation --variables nonsense".to_owned(), 2, "no JSON"),
        ("verify instance-creation --variables [1]".to_owned(), 2, "JSON object"),
        ("verify instance-creation --process nobody --timeout 2s".to_owned(), 1, "not found"),
        ("ban 42".to_owned(), 2, "it is no key"),
        ("backup take --id 1".to_owned(), 4, "No backup store"),
        ("--gateway 10.255.255.1 --timeout 1s verify readiness".to_owned(), 1, ""),
    ];
    for (line, code, word) in table {
        let said = estate.zeebe(&line);
        assert_eq!(said.code, Some(code), "{line}: {said:?}");
        assert!((said.out.clone() + &said.err).contains(word), "{line}: {said:?}");
    }
}

fn who_is_banned_is_counted_as_such(estate: &Estate, gateways: &Gateways) {
    let [left, banned] = [gateways.create("benchmark"), gateways.create("benchmark")];
    let before = estate.counted("zeebe_banned_instances_total");
    estate.holds(&format!("ban {}", banned.0));
    // By the leader of its partition, and by those who follow it once they do.
    let began = Instant::now();
    while estate.counted("zeebe_banned_instances_total") <= before {
        assert!(began.elapsed() < Duration::from_secs(30), "nobody counts what is banned");
    }
    gateways.cancel(left).unwrap();
}

fn a_load_is_taken(estate: &Estate) {
    let told = estate.holds("load --process short --rate 50 --for 2s");
    assert_eq!((&told["due"], &told["succeeded"]), (&100.into(), &100.into()), "{told}");
    assert_eq!(told["duplicates"], 0, "{told}");
    assert_eq!(told["partitions"].as_object().unwrap().len(), 3, "{told}");
    let said = estate.zeebe("load --process nobody --rate 20 --for 1s");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.document()["failures"]["not-found"], 20, "{said:?}");
}

fn members_stand_still_and_are_kept_apart(estate: &Estate) {
    let frozen = estate.holds("freeze partition/3/leader --for 1500ms");
    assert_eq!(frozen["schema"], "schism.fleet-freeze/v1");
    let apart = estate.holds("disconnect gateway broker/1 --for 60s");
    assert_eq!(apart["intents"][0]["stage"], "active", "{apart}");
    let again = estate.holds("connect gateway");
    assert_eq!(again["intents"].as_array().unwrap().len(), 1, "{again}");
    assert_eq!(estate.holds("connect")["intents"].as_array().unwrap().len(), 0);
    // Nobody would hear anybody.
    let said = estate.zeebe("disconnect broker/0 broker/1 broker/2 --for 60s");
    assert_eq!(said.code, Some(4), "{said:?}");
    estate.holds("disconnect broker/0 broker/1 broker/2 --for 60s --allow-quorum-loss");
    let again = estate.holds("connect broker/2");
    assert_eq!(again["intents"][0]["parts"].as_array().unwrap().len(), 6, "{again}");
    let said = estate.zeebe("freeze partition/1/king");
    assert_eq!(said.code, Some(2), "{said:?}");
    let said = estate.zeebe("terminate broker/7");
    assert_eq!(said.code, Some(5), "{said:?}");
    estate.holds("verify readiness --timeout 60s");
}
