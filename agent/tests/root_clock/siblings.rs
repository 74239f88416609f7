//! Containers beside the one whose clock is skewed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout};

use fault::State;

use crate::node::{Node, effect};
use crate::pod::Pod;
use crate::rig::{HOUR, ahead};

/// A shell in a container that starts a program on `run`, as a probe does, and executes itself anew on `again`.
const SHELL: &str = "export WORDS='while read word; do case $word in \
    run) /bin/true; echo ran;; again) exec sh -c \"$WORDS\";; esac; done'; exec sh -c \"$WORDS\"";

/// Killed and reaped with its handle.
struct Container(Child, BufReader<ChildStdout>);

impl Container {
    fn say(&mut self, word: &str) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{word}").unwrap();
    }

    fn run(&mut self) {
        self.say("run");
        let mut said = String::new();
        self.1.read_line(&mut said).unwrap();
        assert_eq!(said, "ran\n");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_another_container_of_the_pod_are_none_that_escaped() {
    let node = Node::start();
    let pod = Pod::new();
    let container = |id: &str, name: &str| {
        let (process, said) = pod.run(id, Some(name), SHELL);
        Container(process, said)
    };
    let (mut web, mut sidecar) = (container("c1", "web"), container("c2", "sidecar"));
    // Who answers has executed itself for the first time, which is none of what is looked for.
    web.run();
    sidecar.run();
    let status = node.begin(node.fault(&format!("pod:{}/web", pod.uid), ahead(HOUR))).await;
    assert_eq!(effect(&status).covered, 1, "{status:?}");
    let id = status.fault.id;
    for _ in 0..5 {
        sidecar.run();
    }
    // What is executed is told in its order: when this is known, the others are.
    web.say("again");
    let status = node.until(id, |status| !effect(status).longest_gap.is_zero()).await;
    assert_eq!(effect(&status).escaped, 0, "{status:?}");
    let healed = node.heal(id).await;
    assert_eq!((healed.state, effect(&healed).escaped), (State::Healed, 0), "{healed:?}");
}
