//! What is done to pods. A real kubelet is in the controller's root_kubernetes.

use std::fs;
use std::process::Command;
use std::time::Duration;

use agent::kernel::Kernel as _;
use fault::{Aspect, Extent, Kind, Measured, State, Status, Stress};

use crate::group::Victim;
use crate::pod::Pod;
use crate::rig::{Node, effect};

impl Pod {
    /// A container that does nothing.
    fn container(&self, id: &str, name: Option<&str>) -> Victim {
        Victim(self.run(id, name, "exec sleep 600").0)
    }

    /// How many processes of a container are ours.
    fn workers(&self, id: &str) -> usize {
        let members = fs::read_to_string(self.group.join(id).join("cgroup.procs"));
        let name = |pid: &&str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let members = members.unwrap_or_default();
        members.lines().filter(|pid| name(pid).trim() == "schism-worker").count()
    }
}

/// A process that is in no pod.
fn idle() -> Victim {
    Victim(Command::new("sleep").arg("600").spawn().unwrap())
}

fn stands_still(victim: &Victim) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", victim.0.id())).unwrap();
    status.lines().any(|line| line.starts_with("State:\tt"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_a_pod_stands_still_also_when_it_was_started_anew() {
    let node = Node::start();
    let pod = Pod::new();
    let pause = pod.container("c0", None);
    let (web, sidecar) = (pod.container("c1", Some("web")), pod.container("c2", Some("sidecar")));
    let web_of_pod = format!("pod:{}/web", pod.uid);
    let status = node.begin(node.freeze(&web_of_pod, Extent::Named)).await;
    assert_eq!(status.state, State::Active, "{:?}", status.drifts);
    assert_eq!(effect(&status).processes, 1, "{status:?}");
    assert!(stands_still(&web) && !stands_still(&sidecar) && !stands_still(&pause));
    drop(web);
    let anew = pod.container("c3", Some("web"));
    let status = node.until(status.fault.id, |_| stands_still(&anew)).await;
    assert_eq!(status.state, State::Active, "{:?}", status.drifts);
    assert!(!stands_still(&sidecar));
    node.heal(status.fault.id).await;
    assert!(!stands_still(&anew));

    // All of its containers, and never what holds its namespaces.
    let all = node.begin(node.freeze(&format!("pod:{}", pod.uid), Extent::Named)).await;
    assert_eq!(effect(&all).processes, 2, "{all:?}");
    assert!(stands_still(&anew) && stands_still(&sidecar) && !stands_still(&pause));
    node.heal(all.fault.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_a_container_goes_on_in_the_one_that_takes_its_place() {
    let node = Node::start();
    let pod = Pod::new();
    let _pause = pod.container("c0", None);
    let (web, _sidecar) = (pod.container("c1", Some("web")), pod.container("c2", Some("sidecar")));
    let one = Stress { cpu: Some("1".parse().unwrap()), memory: None, io: None };
    let ambiguous =
        node.try_begin(node.fault(&format!("pod:{}", pod.uid), Kind::Stress(one))).await;
    let reason = ambiguous.unwrap_err().to_string();
    assert!(reason.contains("has a control group of its own"), "{reason}");

    let fault = node.fault(&format!("pod:{}/web", pod.uid), Kind::Stress(one));
    let id = node.begin(fault).await.fault.id;
    assert_eq!(pod.workers("c1"), 1);
    let taken = |status: &Status| match &status.measured {
        Some(Measured::Stress(effect)) => effect.cpu,
        Some(_) | None => Duration::ZERO,
    };
    let before = node.until(id, |status| taken(status) > Duration::from_millis(200)).await;
    drop(web);
    node.until(id, |_| pod.workers("c1") == 0).await;
    // Nobody keeps the old control group.
    fs::remove_dir(pod.group.join("c1")).unwrap();
    let _anew = pod.container("c3", Some("web"));
    let status = node.until(id, |_| pod.workers("c3") == 1).await;
    assert_eq!(status.state, State::Active, "{:?}", status.drifts);
    let more = taken(&before) + Duration::from_millis(200);
    node.until(id, |status| taken(status) > more).await;
    let healed = node.heal(id).await;
    assert!(taken(&healed) > more, "{healed:?}");
    assert_eq!(pod.workers("c3"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_listed_with_its_containers_and_what_is_not_there_is_nothing() {
    let node = Node::start();
    let pod = Pod::new();
    let _all = [("c0", None), ("c1", Some("web")), ("c2", Some("sidecar"))]
        .map(|(id, name)| pod.container(id, name));
    for absent in [format!("pod:{}/other", pod.uid), format!("pod:{}", "0".repeat(32))] {
        assert_eq!(node.resolve(&absent).unwrap(), [], "{absent}");
    }
    // By whatever name a process of it is found, it is told in which pod it is.
    let (in_pod, elsewhere) = (pod.container("c3", Some("job")), idle());
    let of = |name: String| {
        let found = node.kernel.resolve(&name.parse().unwrap(), Aspect::Processes).unwrap();
        let [target] = <[_; 1]>::try_from(found).unwrap();
        target.pod.map(|uid| uid.as_str().to_owned())
    };
    assert_eq!(of(format!("pid:{}", in_pod.0.id())), Some(pod.uid.clone()));
    assert_eq!(of(format!("pod:{}/web", pod.uid)), Some(pod.uid.clone()));
    assert_eq!(of(format!("pid:{}", elsewhere.0.id())), None);
    // It shares the host's network here: what acts on that is refused, and the listing says so.
    let named = format!("pod:{}", pod.uid);
    let refused = node.kernel.resolve(&named.parse().unwrap(), Aspect::Network).unwrap_err();
    assert!(refused.to_string().contains("shares the host's network namespace"), "{refused}");
    let unseen = node.kernel.listing().unseen;
    for name in [named.clone(), format!("{named}/web"), format!("{named}/sidecar")] {
        assert!(unseen.iter().any(|line| line.starts_with(&format!("{name}: "))), "{unseen:?}");
    }
}
