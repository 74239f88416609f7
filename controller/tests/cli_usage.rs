//! What is refused before anything is touched, and how that reads.

mod cli;

use cli::{Fake, Habit, ended, schism};
use proto::agent::State;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_told_with_its_place() {
    let fake = Fake::serve(Habit::Sound, 9);
    let table = [
        ("cut netns:a pid:x", "    pid:x\n        ^"),
        ("cut db0 netns:b", "did you mean netns:db0?"),
        ("cut netns:a netns:b --for 5", "write a number and a unit, such as 60s"),
        ("cut netns:a netns:b --loss 0%", "must be more than 0%"),
        ("cut netns:a netns:b --port 0", "0 is not in 1..=65535"),
        ("cut netns:a netns:b --nonsense", "unexpected argument '--nonsense'"),
        ("cut netns:a netns:b --dry-run --detach", "cannot be used with"),
        ("cut netns:a netns:b --lease 10ms", "a lease is at least 1s"),
        ("cut netns:a netns:b --proto icmp --port 1", "icmp has none"),
        ("cut netns:b pid:4711", "netns:b and pid:4711 are the same network namespace"),
        ("cut netns:a netns:b --for 1ms", "--for 1ms is too short: a cut lasts at least 100ms"),
        ("cut netns:a netns:b --loss -5", "invalid value '-5' for '--loss <PERCENT>'"),
        ("cut netns:a netns:b --for -1s", "invalid value '-1s' for '--for <TIME>'"),
        ("cut netns:a netns:.", "'.' and '..' are directories, never a namespace"),
        ("cut netns:a addr:10.0.0.1", "addr:10.0.0.1 is an address of netns:a itself"),
        ("cut addr:10.0.0.2 netns:b --both-ways", "is an address of netns:b itself"),
        ("cut netns:a container:c0ff", "it names 2 targets:\n    container:c0ffee01\n"),
        ("targets addr:10.0.0.1", "addresses are peers, never a target"),
        ("heal", "the following required arguments were not provided"),
        ("heal", "--all"),
        ("heal 0123 --all", "cannot be used with"),
        ("heal xyz", "an id has only the digits"),
    ];
    for (line, expected) in table {
        let ended = fake.run(line).await;
        assert_eq!(ended.code, 2, "{line}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{line}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{line}");
    }
    assert!(fake.record.lock().unwrap().faults.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_no_wrong_usage() {
    let fake = Fake::serve(Habit::Sound, 9);
    let table = [
        ("cut netns:a netns:nowhere", "there is no network namespace 'nowhere'"),
        ("cut netns:a 3:container:c0ff", "it asks for 3, and there are only 2"),
        ("cut netns:a netns:b@n2", "it is on node n2, and this agent is node n1"),
        ("targets netns:nowhere", "there is no network namespace 'nowhere'\n  hint: "),
        ("heal 0123", "this agent has no such fault"),
    ];
    for (line, expected) in table {
        let ended = fake.run(line).await;
        assert_eq!(ended.code, 5, "{line}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{line}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{line}");
    }
    assert!(fake.record.lock().unwrap().faults.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_a_document_where_results_are() {
    let fake = Fake::serve(Habit::Sound, 9);
    let table = [
        ("cut netns:a netns:nowhere -o json", "not-found", 5),
        ("cut netns:a netns:a -o json", "wrong-usage", 2),
        ("cut netns:a pid:x --output=json", "wrong-usage", 2),
        ("cut -o json", "wrong-usage", 2),
    ];
    for (line, kind, code) in table {
        let ended = fake.run(line).await;
        assert_eq!(ended.code, code, "{line}: {ended:?}");
        let last = ended.stderr.lines().last().unwrap();
        let document: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(document["schema"], "schism.error/v1", "{line}: {document}");
        assert_eq!(document["kind"], kind, "{line}: {document}");
        assert_eq!(document["exit_code"], code, "{line}: {document}");
        assert!(document["message"].as_str().unwrap().starts_with("cannot "), "{document}");
    }
    let yaml = fake.run("cut netns:a netns:nowhere -o yaml").await;
    assert!(yaml.stderr.contains("---\nschema: schism.error/v1\nkind: not-found\n"), "{yaml:?}");
    let help = fake.run("cut --help -o json").await;
    assert_eq!(help.code, 0, "{help:?}");
    assert!(help.stdout.contains("Usage: schism cut"), "{help:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_found_at_its_start_is_told() {
    let fake = Fake::serve(Habit::Sound, 9);
    let doctor = fake.run("doctor").await;
    assert!(doctor.stdout.contains("agent 0.1.0 (pid 99) found when it started:\n  schism_faults"));
    let json = fake.run("doctor -o json").await;
    let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let found = &document["agent"]["found_at_start"][0];
    assert_eq!((&found["kind"], &found["name"]), (&"map".into(), &"schism_faults".into()));
    let names = fake.run("doctor -o name").await;
    let listed = document["capabilities"].as_array().unwrap().len();
    assert_eq!(names.stdout.lines().count(), listed, "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_refuses_is_told_and_nothing_stays() {
    let full = Fake::serve(Habit::IsFull, 9);
    let cut = full.run("cut netns:a netns:b").await;
    assert_eq!(cut.code, 4, "{cut:?}");
    let said = "error: cannot cut netns:a → netns:b: netns:b has no room for another fault (at most \
                64 faults on one target)\n  hint: heal one first\n";
    assert!(cut.stderr.ends_with(said), "{}", cut.stderr);

    let refused = Fake::serve(Habit::IsRefusedByTheKernel, 9);
    let cut = refused.run("cut netns:a netns:b").await;
    assert_eq!(cut.code, 5, "{cut:?}");
    let said = "the peers of netns:b were not stored (bpf(BPF_MAP_UPDATE_ELEM): ENOMEM, ";
    assert!(cut.stderr.contains(said), "{}", cut.stderr);
    assert_eq!(refused.record.lock().unwrap().heals.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_touches_nothing() {
    let fake = Fake::serve(Habit::Sound, 9);
    let plan = fake.run("cut netns:a netns:b --both-ways --dry-run").await;
    assert_eq!(plan.code, 0, "{plan:?}");
    for said in [
        ".0 netns:a → netns:b: packet, at the receiver, for 1m with a lease of 15s",
        ".1 netns:b → netns:a: packet",
        "  step 1  attach schism_ingress to eth0",
        "  note    loopback is not touched",
        "its whole namespace with 1 process: etcd 4711",
        "dry run: nothing was touched",
    ] {
        assert!(plan.stdout.contains(said), "{said}: {}", plan.stdout);
    }
    let record = fake.record.lock().unwrap();
    assert_eq!((record.dry_runs, record.faults.len(), record.heals.len()), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_shown_and_healed_by_the_beginning_of_their_ids() {
    let fake = Fake::serve(Habit::Sound, 9);
    fake.plant(0xabc0_0000_0001, 0, State::Active);
    fake.plant(0xabd0_0000_0002, 0, State::Active);
    fake.plant(0xfff0_0000_0003, 0, State::Expired);
    let status = fake.run("status").await;
    assert_eq!(status.code, 0, "{status:?}");
    let row = "abc000000001.0  netns:a → netns:b  packet  active   59s    14s    10       2\n";
    assert!(status.stdout.contains(row), "{}", status.stdout);
    assert!(!status.stdout.contains("fff"), "{}", status.stdout);
    let all = fake.run("status --all -o name").await;
    assert_eq!(all.stdout.lines().count(), 3, "{}", all.stdout);

    let ambiguous = fake.run("heal ab").await;
    assert_eq!(ambiguous.code, 2, "{ambiguous:?}");
    let listed = "    abc000000001  netns:a → netns:b\n    abd000000002  netns:a → netns:b\n";
    assert!(ambiguous.stderr.contains(listed), "{}", ambiguous.stderr);
    assert!(fake.record.lock().unwrap().heals.is_empty());

    let one = fake.run("heal abd").await;
    assert_eq!(one.code, 0, "{one:?}");
    assert!(one.stdout.contains("abd000000002.0") && !one.stdout.contains("abc"), "{one:?}");
    let rest = fake.run("heal --all -o name").await;
    assert_eq!(rest.code, 0, "{rest:?}");
    assert!(fake.record.lock().unwrap().heals[1].all);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_wrong_keep_nobody_from_ending_and_seeing_faults() {
    let fake = Fake::serve(Habit::Sound, 9);
    fake.plant(0xabc0_0000_0001, 0, State::Active);
    let directory = tempfile::tempdir().unwrap();
    let settings = directory.path().join("schism.toml");
    std::fs::write(&settings, "[limits]\nmax-target = 1\n").unwrap();
    let typed = async |line: &str| {
        let mut command = schism(line);
        command.env("SCHISM_AGENT_SOCKET", fake.socket()).env("SCHISM_CONFIG", &settings);
        ended(command.spawn().unwrap()).await
    };
    let place = settings.display();
    let wrong = format!("cannot use the settings: {place}:2:1: unknown field `max-target`");
    for line in ["status", "heal --all"] {
        let told = typed(line).await;
        assert_eq!(told.code, 0, "{line}: {told:?}");
        assert!(told.stderr.contains(&format!("warning: {wrong}")), "{line}: {told:?}");
    }
    let refused = typed("cut netns:a netns:b").await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains(&format!("error: {wrong}")), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_shown() {
    let fake = Fake::serve(Habit::Sound, 9);
    let one = fake.run("targets netns:a").await;
    assert_eq!(one.code, 0, "{one:?}");
    let table =
        "NAME     ADDRESSES  INTERFACES  PROCESSES\nnetns:a  10.0.0.1   eth0                1\n";
    assert_eq!(one.stdout, table);
    let both = fake.run("targets container:c0ff -o name").await;
    assert_eq!(both.stdout, "container:c0ffee01\ncontainer:c0ffee02\n");
}

#[tokio::test]
async fn no_agent_at_a_named_socket_is_told() {
    let nowhere = tempfile::tempdir().unwrap();
    let socket = nowhere.path().join("agent.sock");
    for line in ["cut netns:a netns:b", "status", "heal --all", "targets"] {
        let child = schism(line).env("SCHISM_AGENT_SOCKET", &socket).spawn().unwrap();
        let ended = ended(child).await;
        assert_eq!(ended.code, 5, "{line}: {ended:?}");
        let said = format!("cannot reach an agent: none listens at {}", socket.display());
        assert!(ended.stderr.contains(&said), "{line}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_command_that_would_be_its_own_agent_cannot_detach() {
    let nowhere = tempfile::tempdir().unwrap();
    let socket = nowhere.path().join("agent.sock");
    let mut command = schism("cut netns:a netns:b --local --detach");
    let ended = ended(command.arg("--agent-socket").arg(socket).spawn().unwrap()).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("a fault ends with the command that is its own agent"));
}

#[tokio::test]
async fn the_manual_is_generated() {
    let page = ended(schism("man").spawn().unwrap()).await;
    assert_eq!(page.code, 0, "{page:?}");
    assert!(page.stdout.contains(".TH schism 1"), "{}", page.stdout);
    let pages = tempfile::tempdir().unwrap();
    let directory = pages.path().to_str().unwrap();
    assert_eq!(ended(schism(&format!("man --dir {directory}")).spawn().unwrap()).await.code, 0);
    assert!(pages.path().join("schism-cut.1").exists());
    for shell in ["bash", "zsh", "fish"] {
        let script = ended(schism(&format!("completions {shell}")).spawn().unwrap()).await;
        assert!(script.stdout.contains("both-ways"), "{shell}");
    }
}
