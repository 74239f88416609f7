//! What is refused on a real machine, and with which exit code.

use crate::machine::Machine;

#[test]
fn what_is_refused_touches_nothing() {
    let machine = Machine::pair();
    let own = std::process::id();
    let table = [
        ("cut --local @a @a".to_owned(), 2, "are the same network namespace"),
        ("cut --local @a netns:x/y".to_owned(), 2, "    netns:x/y\n          ^^^"),
        ("cut --local --detach @a @b".to_owned(), 2, "cannot detach"),
        ("cut --local @a netns:schism-nowhere".to_owned(), 5, "there is no network namespace"),
        ("cut --local @a pid:4194304".to_owned(), 5, "there is no process 4194304"),
        ("cut --local @a container:0123456789ab".to_owned(), 5, "no container's id begins"),
        ("targets --local netns:schism-nowhere".to_owned(), 5, "there is no network namespace"),
        (format!("cut --local @a addr:{}", machine.node("a").v4), 2, "itself"),
        (format!("cut --local @a pid:{own}"), 4, "host"),
        ("cut @a @b".to_owned(), 5, "cannot reach an agent: none listens at "),
        ("status".to_owned(), 5, "cannot reach an agent: none listens at "),
        ("heal --all".to_owned(), 5, "cannot reach an agent: none listens at "),
    ];
    for (line, code, said) in table {
        let ended = machine.run(&line);
        assert_eq!(ended.code, Some(code), "{line}: {ended:?}");
        assert!(ended.stderr.contains(said), "{line}: {ended:?}");
        assert_eq!(ended.stdout, "", "{line}");
    }
    assert!(machine.datagrams("a", "b").is_whole());
    machine.is_clean();
}

#[test]
fn an_agent_that_has_no_place_says_what_to_do() {
    let machine = Machine::pair();
    let ended = machine.run("targets --local @a --agent-socket no/such/place");
    assert_eq!(ended.code, Some(5), "{ended:?}");
    let hint =
        "  hint: name another place with --agent-socket; of its directories only the last one";
    assert!(ended.stderr.contains("make no/such: No such file or directory"), "{ended:?}");
    assert!(ended.stderr.contains(hint), "{ended:?}");
    machine.is_clean();
}

#[test]
fn a_bare_name_of_a_socket_is_one_of_the_current_directory() {
    let machine = Machine::pair();
    let ended = machine.run("cut --local @a @b --proto tcp --for 200ms --agent-socket f");
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains(", at f\n"), "{ended:?}");
    machine.is_clean();
}

#[test]
fn targets_are_found_by_name() {
    let machine = Machine::pair();
    let found = machine.run("targets --local @a -o json");
    assert_eq!(found.code, Some(0), "{found:?}");
    let document: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    let name = format!("netns:{}", machine.node("a").namespace.name());
    assert_eq!(document["targets"][0]["selector"], name, "{document:#}");
    machine.is_clean();
}
