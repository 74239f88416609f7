//! Whether a signal that was due is sent after all.

use std::process::{Child, Command};

use fault::Extent;

use super::*;

const START: BootTime = BootTime::from_nanos(1_000);
const END: BootTime = BootTime::from_nanos(2_000);
const KILL: Kill = Kill { extent: Extent::Named, signal: Signal::Kill, grace: None };

/// A process that is to be killed; it ends with its handle in any case.
struct Victim(Child);

impl Victim {
    fn start() -> Self {
        Self(Command::new("/bin/sleep").arg("60").spawn().unwrap())
    }

    fn meant(&self) -> BTreeSet<ProcessIdentity> {
        BTreeSet::from([process::identity(self.0.id()).unwrap()])
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn due(victim: &Victim) -> State {
    let mut state = State { lease: Some((START, END)), ..State::default() };
    state.admit(victim.meant());
    assert!(matches!(state.next(&KILL, START), Next::Send));
    state
}

#[test]
fn what_was_ended_while_processes_were_looked_for_is_sent_to_nobody() {
    let mut victim = Victim::start();
    let mut state = due(&victim);
    state.over = true;
    state.fire(victim.meant(), &KILL, || START);
    assert_eq!((state.sent, state.effect().signalled), (None, 0));
    assert!(victim.0.try_wait().unwrap().is_none(), "it was killed after all");
}

#[test]
fn what_ran_out_while_processes_were_looked_for_is_sent_to_nobody() {
    let mut victim = Victim::start();
    let mut state = due(&victim);
    state.fire(victim.meant(), &KILL, || END);
    assert_eq!((state.sent, state.effect().signalled), (None, 0));
    assert!(victim.0.try_wait().unwrap().is_none(), "it was killed after all");
    // While it is time, those who are found then are sent it, too.
    let mut late = Victim::start();
    state.fire(late.meant(), &KILL, || START);
    assert_eq!(state.effect().signalled, 2);
    assert!(!victim.0.wait().unwrap().success() && !late.0.wait().unwrap().success());
}
