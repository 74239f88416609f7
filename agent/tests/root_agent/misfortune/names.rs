//! Names that mean nothing, something else, or more than one thing.

use std::fs;
use std::path::{Path, PathBuf};

use agent::kernel::{Kernel, KernelError};
use fault::{Aspect, Selector};
use lab::process::Process;
use nix::sys::signal::Signal;

use crate::rig::{Rig, eventually, idler};

/// Where the cgroup v2 hierarchy is: beside those of v1, or alone.
fn hierarchy() -> &'static Path {
    let beside = Path::new("/sys/fs/cgroup/unified");
    if beside.exists() { beside } else { Path::new("/sys/fs/cgroup") }
}

/// A cgroup that is named as a container's, with one process in it.
struct Container {
    path: PathBuf,
    process: Option<Process>,
}

impl Container {
    fn around(process: Process, id: &str) -> Self {
        let path = hierarchy().join(id);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("cgroup.procs"), process.id().to_string()).unwrap();
        Self { path, process: Some(process) }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A cgroup can go when its last process is reaped.
        drop(self.process.take());
        let _ = fs::remove_dir(&self.path);
    }
}

fn found(rig: &Rig, selector: &str) -> Vec<fault::Target> {
    rig.kernel.resolve(&selector.parse::<Selector>().unwrap(), Aspect::Network).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_nothing_name_nothing() {
    let rig = Rig::pair();
    for selector in ["netns:schism-nobody", "pid:4194304", "container:schism-nobody"] {
        assert!(found(&rig, selector).is_empty(), "{selector}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_pid_names_nothing_whether_it_was_reaped_or_not() {
    let rig = Rig::pair();
    let process = idler(rig.node("b"));
    let selector = format!("pid:{}", process.id());
    assert_eq!(found(&rig, &selector).len(), 1);
    process.signal(Signal::SIGKILL).unwrap();
    assert!(process.wait_end(std::time::Duration::from_secs(1)));
    assert!(found(&rig, &selector).is_empty(), "it is a zombie");
    process.kill().unwrap();
    assert!(found(&rig, &selector).is_empty(), "it is reaped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_in_the_hosts_namespace_is_refused_with_a_hint() {
    let rig = Rig::pair();
    let selector = format!("pid:{}", std::process::id()).parse().unwrap();
    match rig.kernel.resolve(&selector, Aspect::Network) {
        Err(KernelError::Refused { reason, hint }) => {
            assert!(reason.contains("shares the host's network namespace"), "{reason}");
            assert!(hint.contains("host:"), "{hint}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_two_containers_ids_names_both() {
    let rig = Rig::pair();
    let beginning = format!("{:012x}", u64::from(std::process::id()) << 16);
    let (first, second) = (format!("{beginning:0<64}"), format!("{beginning:f<64}"));
    let containers = [
        Container::around(idler(rig.node("a")), &first),
        Container::around(idler(rig.node("b")), &second),
    ];
    let both = found(&rig, &format!("container:{beginning}"));
    let named: Vec<String> = both.iter().map(|target| target.selector.to_string()).collect();
    assert_eq!(named, [format!("container:{first}"), format!("container:{second}")]);
    assert_eq!(both[0].identity.namespace, rig.target("a").identity.namespace);
    assert_eq!(both[1].identity.namespace, rig.target("b").identity.namespace);
    assert_eq!(both[1].cgroup.as_deref(), Some(format!("/{second}").as_str()));

    let one = found(&rig, &format!("container:{second}"));
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].identity, both[1].identity);
    let paths: Vec<PathBuf> = containers.iter().map(|container| container.path.clone()).collect();
    drop(containers);
    eventually("the cgroups are removed", || paths.iter().all(|path| !path.exists()));
    assert!(found(&rig, &format!("container:{beginning}")).is_empty());
}
