//! Several commands on one machine.

use lab::clock::BootTime;
use nix::sys::signal::Signal;

use crate::machine::{Machine, comes_back, falls_silent};

#[test]
fn the_second_command_uses_the_first_ones_agent_and_may_outlast_it() {
    let machine = Machine::hub(&["a", "b", "c"]);
    let first = machine.cut("cut --local @a @b --for 60s");
    let second = machine.cut("cut --local @c @b --for 60s");
    second.says(&format!("agent: another schism command (node {}, pid {})", node(), first.id()));
    assert!(machine.datagrams("a", "b").is_lost());
    assert!(machine.datagrams("c", "b").is_lost());

    first.signal(Signal::SIGINT);
    first.says("stays until these faults have ended:");
    assert!(machine.datagrams("a", "b").is_whole());
    assert!(machine.datagrams("c", "b").is_lost());
    assert!(first.runs() && second.runs());

    second.signal(Signal::SIGINT);
    let second = second.ended();
    assert_eq!(second.code, Some(130), "{second:?}");
    let first = first.ended();
    assert_eq!(first.code, Some(130), "{first:?}");
    assert!(machine.datagrams("c", "b").is_whole());
    machine.is_clean();
}

#[test]
fn commands_that_start_at_once_share_one_agent() {
    let machine = Machine::hub(&["a", "b", "c"]);
    let streams = [machine.stream("a", "b"), machine.stream("c", "b")];
    let cuts = ["@a", "@c"].map(|from| machine.begin(&format!("cut --local {from} @b --for 2s")));
    for (stream, cut) in streams.iter().zip(&cuts) {
        cut.says(", seed ");
        falls_silent(stream);
    }
    let ends = cuts.map(crate::running::Running::ended);
    for ended in &ends {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("end: its time is over"), "{ended:?}");
    }
    let own = ends.iter().filter(|ended| ended.stderr.contains("agent: this command")).count();
    assert_eq!(own, 1, "{ends:?}");
    drop(streams);
    machine.is_clean();
}

#[test]
fn others_see_and_heal_what_a_command_holds() {
    let machine = Machine::hub(&["a", "b", "c"]);
    let streams = [machine.stream("a", "b"), machine.stream("c", "b")];
    let first = machine.cut("cut --local @a @b --for 60s -o name");
    let second = machine.cut("cut --local @c @b --for 60s -o name");
    for (cut, stream) in [&first, &second].into_iter().zip(&streams) {
        cut.prints("\n");
        falls_silent(stream);
    }
    let id = |cut: &crate::running::Running| cut.printed().trim().to_owned();
    let (one, other) = (id(&first), id(&second));
    let status = machine.run("status -o name");
    assert_eq!(status.code, Some(0), "{status:?}");
    let mut listed: Vec<&str> = status.stdout.lines().collect();
    let mut held = [format!("{one}.0"), format!("{other}.0")];
    listed.sort_unstable();
    held.sort_unstable();
    assert_eq!(listed, held);

    let since = BootTime::now();
    let healed = machine.run(&format!("heal {}", &other[..8]));
    assert_eq!(healed.code, Some(0), "{healed:?}");
    assert!(healed.stdout.contains(&other) && !healed.stdout.contains(&one), "{healed:?}");
    comes_back(&streams[1], since);
    falls_silent(&streams[0]);
    let second = second.ended();
    assert_eq!(second.code, Some(0), "{second:?}");
    assert!(second.stderr.contains("end: it was ended before its time"), "{second:?}");

    let since = BootTime::now();
    let rest = machine.run("heal --all");
    assert_eq!(rest.code, Some(0), "{rest:?}");
    comes_back(&streams[0], since);
    let first = first.ended();
    assert_eq!(first.code, Some(0), "{first:?}");
    drop(streams);
    machine.is_clean();
}

fn node() -> String {
    nix::unistd::gethostname().unwrap().into_string().unwrap()
}
