//! Skews through an agent: as faults with leases, beside others, on processes that come and go.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use agent::kernel::process;
use agent::worker::AgentError;
use fault::{Aspect, Clock, Extent, Gone, Shape, Skew, State};
use nix::unistd::Pid;
use proto::agent as wire;

use crate::container::Group;
use crate::leftovers::Tracer;
use crate::node::{Daemon, Node, effect, skewing};
use crate::rig::{HOUR, Rig, ahead, nanos, now};
use crate::witness::Witness;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_skewed_measured_renewed_and_healed() {
    let node = Node::start();
    let mut witness = Witness::start(4, nanos(HOUR), &[]);
    let mut sibling = Witness::start(1, 0, &[]);
    let fault = node.fault(&format!("pid:{}", witness.pid()), ahead(HOUR));
    let id = fault.id;
    let status = node.begin(fault).await;
    assert_eq!(status.state, State::Active, "{:?}", status.drifts);
    assert!(status.happened(), "{status:?}");
    let found = effect(&status);
    assert_eq!((found.covered, found.uncovered.len()), (1, 0));
    let reading = found.readings[0];
    assert_eq!((reading.clock, reading.process), (Clock::Realtime, witness.process()));
    assert!(reading.offset.abs_diff(nanos(HOUR)) <= reading.error, "{reading:?}");
    assert!(!found.longest_hold.is_zero() && found.longest_gap.is_zero(), "{found:?}");
    witness.assert_offset(HOUR);
    sibling.assert_offset(Duration::ZERO);

    let before = status.lease.unwrap().end;
    let renewed = node.agent.renew(vec![id], None).await.unwrap();
    assert_eq!(renewed.renewed, [id]);
    let status = node.status(id).await;
    assert!(status.lease.unwrap().end > before && status.drifts.is_empty(), "{status:?}");
    witness.assert_offset(HOUR);

    let healed = node.heal(id).await;
    assert_eq!(healed.state, State::Healed, "{:?}", healed.drifts);
    assert!(healed.happened() && effect(&healed).covered == 1, "{healed:?}");
    witness.assert_offset(Duration::ZERO);
    node.rig.assert_untouched(witness.pid());
    node.rig.assert_untouched(sibling.pid());
    witness.finish();
    sibling.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_nobody_renews_ends_and_the_bytes_come_back() {
    let node = Node::start();
    let mut witness = Witness::start(1, nanos(HOUR), &[]);
    let selector = format!("pid:{}", witness.pid());
    let target = node.resolve(&selector).unwrap().pop().unwrap();
    let second = Duration::from_secs(1);
    let fault = skewing(target, ahead(HOUR), second, 10 * second);
    let id = fault.id;
    node.begin(fault).await;
    witness.assert_offset(HOUR);
    let ended = node.until(id, |status| status.state.is_final()).await;
    assert_eq!(ended.state, State::Expired, "{:?}", ended.drifts);
    assert!(ended.happened());
    witness.assert_offset(Duration::ZERO);
    node.rig.assert_untouched(witness.pid());
    witness.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_leaves_true_time_at_the_leases_end_and_its_next_life_the_bytes() {
    let rig = Rig::new();
    let mut witness = Witness::start(2, nanos(HOUR), &[]);
    let daemon = Daemon::start(&rig);
    let mut client = daemon.client().await;
    let selector: fault::Selector = format!("pid:{}", witness.pid()).parse().unwrap();
    let request = wire::ResolveRequest {
        selector: Some((&selector).into()),
        aspect: wire::Aspect::from(Aspect::Processes).into(),
    };
    let found = client.resolve(request).await.unwrap().into_inner().targets.remove(0);
    let lease = Duration::from_secs(2);
    let fault = skewing(found.try_into().unwrap(), ahead(HOUR), lease, 30 * lease);
    let request = wire::PrepareRequest { faults: vec![(&fault).into()], ..Default::default() };
    client.prepare(request).await.unwrap();
    let began = now();
    let request = wire::CommitRequest { ids: vec![fault.id.into()], ..Default::default() };
    let status = client.commit(request).await.unwrap().into_inner().faults.remove(0);
    let status = fault::Status::try_from(status).unwrap();
    assert!(status.happened(), "{status:?}");
    daemon.kill();
    witness.assert_offset(HOUR);
    let end = status.lease.unwrap().end;
    assert!(began + lease <= end + Duration::from_millis(1));
    let tick = Duration::from_millis(12);
    loop {
        let asked = now();
        if witness.ask().offset.abs() < 1_000_000 {
            assert!(now() + tick > end, "it ended early");
            break;
        }
        assert!(asked < end + tick, "it goes on after its lease");
    }
    assert_eq!(rig.records().all().unwrap().len(), 1, "its bytes are still ours");

    let next = Daemon::start(&rig);
    let mut client = next.client().await;
    let about = client.describe(wire::DescribeRequest {}).await.unwrap().into_inner();
    let kinds: Vec<_> = about.found_at_start.iter().map(|found| found.kind()).collect();
    assert!(kinds.contains(&wire::remnant::Kind::Clock), "{about:?}");
    rig.assert_untouched(witness.pid());
    witness.assert_offset(Duration::ZERO);
    witness.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_moved_is_refused_with_what_to_do() {
    let node = Node::start();
    let mut witness = Witness::start(1, nanos(HOUR), &[]);
    let host = format!("host:{}", node.kernel.node());
    let refused = node.resolve(&host).unwrap_err().to_string();
    assert!(refused.contains("a node as a whole is no target"), "{refused}");
    for (pid, reason) in [(1, "the node's own"), (std::process::id(), "the agent itself")] {
        let refused = node.resolve(&format!("pid:{pid}")).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
    assert!(node.resolve("pid:4194304").unwrap().is_empty(), "nobody has that number");

    let selector = format!("pid:{}", witness.pid());
    let first = node.begin(node.fault(&selector, ahead(HOUR))).await.fault.id;
    let second = node.try_begin(node.fault(&selector, ahead(2 * HOUR))).await.unwrap_err();
    assert!(matches!(second, AgentError::Overlap(_)), "{second}");
    witness.assert_offset(HOUR);
    assert_eq!(node.heal(first).await.state, State::Healed);
    node.rig.assert_untouched(witness.pid());
    assert!(node.rig.records().all().unwrap().is_empty());
    witness.finish();
}

/// A shell that lives in a cgroup or a namespace, forks on `fork`, executes on `exec`, and tells by how much
/// CLOCK_REALTIME is ahead of CLOCK_MONOTONIC in each of its processes on `tell`.
const FAMILY: &str = r"
import os, sys, time
def apart():
    return time.time_ns() - time.monotonic_ns()
print('ready', os.getpid(), apart(), flush=True)
while True:
    word = sys.stdin.readline().strip()
    if word == 'fork':
        out, asked = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            os.close(asked[1])
            while os.read(asked[0], 1):
                os.write(out[1], b'%d\n' % apart())
            os._exit(0)
        os.close(asked[0])
        answers = os.fdopen(out[0], 'rb')
        print('child', child, flush=True)
    elif word == 'child':
        os.write(asked[1], b'?')
        print('apart', int(answers.readline()), flush=True)
    elif word == 'exec':
        os.execv('/usr/bin/python3', ['python3', '-c', os.environ['FAMILY']])
    elif word == 'self':
        print('apart', apart(), flush=True)
    else:
        sys.exit()
";

struct Family {
    process: std::process::Child,
    stdin: std::process::ChildStdin,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    truth: i64,
}

impl Family {
    fn start(command: &mut Command) -> Self {
        command.env("FAMILY", FAMILY).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stdin = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut family = Self { process, stdin, lines, truth: 0 };
        family.truth = family.line()[2].parse().unwrap();
        family
    }

    fn line(&mut self) -> Vec<String> {
        let line = self.lines.next().expect("it goes on").unwrap();
        line.split(' ').map(ToOwned::to_owned).collect()
    }

    fn say(&mut self, word: &str) -> Vec<String> {
        writeln!(self.stdin, "{word}").unwrap();
        self.line()
    }

    /// By how much one of them is off, to a second.
    fn offset(&mut self, who: &str) -> i64 {
        let apart: i64 = self.say(who)[1].parse().unwrap();
        (apart - self.truth + 500_000_000).div_euclid(1_000_000_000)
    }

    fn end(mut self) {
        drop(self.stdin);
        self.process.wait().unwrap();
    }
}

fn python() -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", FAMILY]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn all_processes_of_a_namespace_are_covered_with_those_that_come() {
    let node = Node::start();
    let namespace = lab::netns::Namespace::create("clocks").unwrap();
    let name = namespace.name().to_owned();
    let inside = || {
        let mut command = namespace.exec("/usr/bin/python3");
        command.args(["-c", FAMILY]);
        command
    };
    let (mut one, mut two) = (Family::start(&mut inside()), Family::start(&mut inside()));
    let mut outside = Family::start(&mut python());
    let status = node.begin(node.fault(&format!("netns:{name}"), ahead(HOUR))).await;
    let id = status.fault.id;
    assert_eq!(effect(&status).covered, 2, "{status:?}");
    assert_eq!((one.offset("self"), two.offset("self")), (3_600, 3_600));
    assert_eq!(outside.offset("self"), 0);

    // A fork is joined, and renewed with the others.
    one.say("fork");
    node.until(id, |status| effect(status).covered == 3).await;
    assert_eq!(one.offset("child"), 3_600);
    assert!(effect(&node.status(id).await).longest_gap.is_zero(), "it was never uncovered");

    // What executes itself anew has true time for some milliseconds, and that is told: the kernel says at
    // once that it did.
    two.say("exec");
    let status = node.until(id, |status| !effect(status).longest_gap.is_zero()).await;
    assert!(effect(&status).longest_gap < Duration::from_millis(500), "{status:?}");
    assert_eq!(two.offset("self"), 3_600);

    let healed = node.heal(id).await;
    assert_eq!(healed.state, State::Healed, "{:?}", healed.drifts);
    assert_eq!((one.offset("self"), one.offset("child"), two.offset("self")), (0, 0, 0));
    for family in [&one, &two] {
        node.rig.assert_untouched(family.process.id());
    }
    assert!(node.rig.records().all().unwrap().is_empty());
    for family in [one, two, outside] {
        family.end();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_processes_of_a_container_are_covered_with_those_that_come() {
    let node = Node::start();
    let group = Group::new(200, 1 << 30);
    let (mut one, mut two) = (Family::start(&mut python()), Family::start(&mut python()));
    let mut outside = Family::start(&mut python());
    for family in [&one, &two] {
        group.admit(family.process.id());
    }
    let selector = format!("container:{}", group.id);
    let status = node.begin(node.fault(&selector, ahead(HOUR))).await;
    let id = status.fault.id;
    assert_eq!(effect(&status).covered, 2, "{status:?}");
    assert_eq!((one.offset("self"), two.offset("self")), (3_600, 3_600));
    assert_eq!(outside.offset("self"), 0);

    // A second one that means a process of it finds the first one's traces, and leaves it alone.
    let second = format!("pid:{}", two.process.id());
    let refused = node.try_begin(node.fault(&second, ahead(2 * HOUR))).await.unwrap_err();
    assert!(refused.to_string().contains("a detour of ours already"), "{refused}");
    assert_eq!(two.offset("self"), 3_600);

    // Who forks, who executes, and who comes in from elsewhere.
    one.say("fork");
    node.until(id, |status| effect(status).covered == 3).await;
    assert_eq!(one.offset("child"), 3_600);
    two.say("exec");
    node.until(id, |status| !effect(status).longest_gap.is_zero()).await;
    assert_eq!(two.offset("self"), 3_600);
    group.admit(outside.process.id());
    node.until(id, |status| effect(status).covered == 4).await;
    assert_eq!(outside.offset("self"), 3_600);

    let healed = node.heal(id).await;
    assert_eq!(healed.state, State::Healed, "{:?}", healed.drifts);
    assert_eq!((one.offset("self"), one.offset("child"), two.offset("self")), (0, 0, 0));
    for family in [&one, &two, &outside] {
        node.rig.assert_untouched(family.process.id());
    }
    for family in [one, two, outside] {
        family.end();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_goes_on_without_its_first_process() {
    let node = Node::start();
    // The shell is the first, and ends when it is told to.
    let mut command = Command::new("/bin/sh");
    let script = "python3 -c \"$FAMILY\" <&3 & exec 3<&-; trap 'exit 0' TERM; wait";
    command.args(["-c", &format!("exec 3<&0; {script}")]);
    let mut family = Family::start(&mut command);
    let first = family.process.id();
    let tree = Skew { extent: Extent::Tree, ..ahead(HOUR) };
    let status = node.begin(node.fault(&format!("pid:{first}"), tree)).await;
    assert_eq!((effect(&status).covered, family.offset("self")), (2, 3_600), "{status:?}");
    let first = Pid::from_raw(first.cast_signed());
    nix::sys::signal::kill(first, nix::sys::signal::Signal::SIGTERM).unwrap();
    family.process.wait().unwrap();
    let status = node.until(status.fault.id, |status| effect(status).covered == 1).await;
    assert_eq!((status.state, family.offset("self")), (State::Active, 3_600), "{status:?}");
    assert_eq!(node.heal(status.fault.id).await.state, State::Healed);
    assert_eq!(family.offset("self"), 0);
    assert!(node.rig.records().all().unwrap().is_empty());
    family.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_has_the_descendants_and_a_process_alone_has_not() {
    let node = Node::start();
    let mut family = Family::start(&mut python());
    let _ = family.say("fork");
    let selector = format!("pid:{}", family.process.id());
    let status = node.begin(node.fault(&selector, ahead(HOUR))).await;
    assert_eq!((family.offset("self"), family.offset("child")), (3_600, 0));
    assert_eq!(node.heal(status.fault.id).await.state, State::Healed);

    let tree = Skew { extent: Extent::Tree, ..ahead(HOUR) };
    let status = node.begin(node.fault(&selector, tree)).await;
    assert_eq!(effect(&status).covered, 2, "{status:?}");
    assert_eq!((family.offset("self"), family.offset("child")), (3_600, 3_600));
    assert_eq!(node.heal(status.fault.id).await.state, State::Healed);
    assert_eq!((family.offset("self"), family.offset("child")), (0, 0));
    node.rig.assert_untouched(family.process.id());
    family.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_nobody_followed_gets_its_bytes_back_with_its_parent() {
    let node = Node::start();
    let mut family = Family::start(&mut python());
    let selector = format!("pid:{}", family.process.id());
    let status = node.begin(node.fault(&selector, ahead(HOUR))).await;
    let child: u32 = family.say("fork")[1].parse().unwrap();
    assert_eq!(family.offset("child"), 3_600, "a copy of everything");
    assert_eq!(node.heal(status.fault.id).await.state, State::Healed);
    assert_eq!(family.offset("child"), 0);
    node.rig.assert_untouched(child);
    family.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_nobody_followed_shows_the_truth_although_it_is_traced() {
    let node = Node::start();
    let mut family = Family::start(&mut python());
    let selector = format!("pid:{}", family.process.id());
    let status = node.begin(node.fault(&selector, ahead(HOUR))).await;
    let child: u32 = family.say("fork")[1].parse().unwrap();
    let tracer = Tracer::of(child);
    assert_eq!(family.offset("child"), 3_600, "a copy of everything, the lease as well");
    let failed = node.heal(status.fault.id).await;
    assert!(failed.is_inert(), "{failed:?}");
    assert_eq!(family.offset("child"), 0);
    drop(tracer);
    let until = now() + Duration::from_secs(30);
    while !node.rig.records().all().unwrap().is_empty() {
        assert!(now() < until, "it has not its own bytes again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.rig.assert_untouched(child);
    family.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_ends_ends_its_skew() {
    let node = Node::start();
    let mut command = python();
    command.process_group(0);
    let family = Family::start(&mut command);
    let pid = family.process.id();
    let status = node.begin(node.fault(&format!("pid:{pid}"), ahead(HOUR))).await;
    family.end();
    let ended = node.until(status.fault.id, |status| status.state.is_final()).await;
    assert_eq!(ended.state, State::Gone(Gone::Process));
    assert!(process::identity(pid).is_err() && node.rig.records().all().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_grows_and_what_comes_later_is_read_when_it_is_there() {
    let node = Node::start();
    let witness = Witness::start(1, nanos(HOUR), &[]);
    let selector = format!("pid:{}", witness.pid());
    let after = Duration::from_millis(1_500);
    let Shape::Offset(offset) = ahead(HOUR).shape else { panic!("an offset") };
    let step = Skew { shape: Shape::Step { offset, after }, ..ahead(HOUR) };
    let status = node.begin(node.fault(&selector, step)).await;
    assert!(!status.happened(), "it has not come yet: {status:?}");
    let status = node.until(status.fault.id, |status| status.happened()).await;
    assert!(effect(&status).readings[0].offset.abs_diff(nanos(HOUR)) < 1_000, "{status:?}");
    assert_eq!(node.heal(status.fault.id).await.state, State::Healed);
    node.rig.assert_untouched(witness.pid());
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_slewed_back_keep_our_code_until_they_are_right() {
    let node = Node::start();
    let mut family = Family::start(&mut python());
    let pid = family.process.id();
    // Ten seconds ahead, and back in two by going at a fifth: five times as fast is not possible.
    let rate = fault::Rate::from_billionths(1_000_000_000).unwrap();
    let skew = Skew {
        shape: Shape::Offset(fault::Offset::from_nanos(2_000_000_000).unwrap()),
        ending: fault::Ending::Slew(rate),
        ..ahead(HOUR)
    };
    let status = node.begin(node.fault(&format!("pid:{pid}"), skew)).await;
    assert_eq!(family.offset("self"), 2);
    let healed = node.heal(status.fault.id).await;
    assert_eq!(healed.state, State::Healed, "{:?}", healed.drifts);
    let way_back = effect(&healed).way_back;
    assert!(way_back > Duration::from_millis(1_900) && way_back < Duration::from_millis(2_100));
    assert!(family.say("self").len() == 2 && !node.rig.records().all().unwrap().is_empty());
    let until = now() + Duration::from_secs(10);
    while !node.rig.records().all().unwrap().is_empty() {
        assert!(now() < until, "it has not its own bytes again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(family.offset("self"), 0);
    node.rig.assert_untouched(pid);
    family.end();
}
