//! Agents and controllers that are replaced one by one while a cut acts, as they are when a manifest has changed: by one
//! that allows captures.

use std::time::Instant;

use crate::{
    agents::{self, NAMESPACE},
    harness::tell,
    running::until,
    site::{Site, Space},
};

/// What FROM cannot do while it is cut off from TO, and what it can; the other way round always.
const CUT_OFF: [[bool; 2]; 2] = [[false; 2], [true; 2]];
const OPEN: [[bool; 2]; 2] = [[true; 2]; 2];

fn reached(space: &Space) -> [[bool; 2]; 2] {
    space.reach([("left", "right"), ("right", "left")])
}

/// Two pods on two nodes, and how one is cut off from the other.
fn cut(site: &Site, space: &Space) -> String {
    let [here, there] = site.nodes();
    space.serve([("left", here), ("right", there)]);
    let (left, right) = (space.pod("left"), space.pod("right"));
    format!("cut {left} {right} --mode initiator --for 300s --detach")
}

/// The pods of the controllers.
fn controllers(site: &Site) -> Vec<String> {
    let line = format!("-n {NAMESPACE} get pods -l app.kubernetes.io/component=controller -o name");
    let names = site.kubectl().run(&line).unwrap();
    names.lines().map(|name| name.trim_start_matches("pod/").to_owned()).collect()
}

pub(crate) fn a_rolling_update_of_the_controllers_leaves_a_cut_as_it_is(site: &Site) {
    let kubectl = site.kubectl();
    let space = site.space("controllers");
    site.done(&cut(site, &space));
    assert_eq!(reached(&space), CUT_OFF);
    // What an agent has put in, it says once.
    let agents = site.nodes().map(|node| agents::of(kubectl, node));
    let put_in = || agents.each_ref().map(|agent| agents::put_in(kubectl, agent));
    let (before, old) = (put_in(), controllers(site));
    assert!(before.iter().all(|count| *count > 0), "nothing was put in: {before:?}");

    let asking = space.ask_on("left", "right");
    let began = Instant::now();
    site.upgrade(&["ConfigMap", "Deployment"]);
    agents::rolled_out(kubectl, "deployment/schism-controller");
    until("a new one leads", || {
        let leader = site.leader();
        !leader.is_empty() && !old.contains(&leader)
    });
    until("both agents have found it", || site.has_both());
    tell!("all controllers were others after {:.1} s", began.elapsed().as_secs_f64());
    until("the old ones are gone", || controllers(site).iter().all(|new| !old.contains(new)));

    assert_eq!(site.acts(), Some(1));
    let asked = space.told("left", asking);
    assert!(asked.code == Some(0) && asked.said.contains("asked "), "{asked:?}");
    assert!(!asked.said.contains("through"), "it was not cut off for a while: {asked:?}");
    assert_eq!(put_in(), before, "nothing was put in again");
    assert_eq!(reached(&space), CUT_OFF);
    site.done("heal --all");
    assert_eq!(reached(&space), OPEN);
}

pub(crate) fn a_rolling_update_of_the_agents_ends_a_cut_everywhere_and_leaves_nothing(site: &Site) {
    let kubectl = site.kubectl();
    let space = site.space("agents");
    let cut = cut(site, &space);
    site.done(&cut);
    assert_eq!(reached(&space), CUT_OFF);
    let agents = || site.nodes().map(|node| agents::of(kubectl, node));
    let (old, began) = (agents(), Instant::now());
    site.upgrade(&["DaemonSet"]);
    agents::rolled_out(kubectl, "daemonset/schism-agent");
    until("both agents have come", || site.has_both());
    tell!("both agents were others after {:.1} s", began.elapsed().as_secs_f64());
    assert!(agents().iter().all(|new| !old.contains(new)), "{old:?}");

    // It ended on a node with its agent, and the controller has healed what was left of it on the other one.
    until("the cut is over", || site.acts() == Some(0));
    assert_eq!(reached(&space), OPEN);
    // The new ones know nothing of it, and do what they are asked to.
    site.done(&cut);
    assert_eq!(reached(&space), CUT_OFF);
    site.done("heal --all");
    assert_eq!(reached(&space), OPEN);
}
