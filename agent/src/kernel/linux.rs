//! The real kernel.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fault::{
    Aspect, BootId, BootTime, Capability, Capture, Effect, Gone, Hook, Measured, NamespaceCookie,
    NodeName, Pod, ProcessIdentity, Scheme, Selector, Side, Target, TargetIdentity,
};
use tokio::sync::mpsc::UnboundedReceiver;

use super::clock::covered::Covered;
use super::clock::deputy::Urgency;
use super::clock::holder::Holder;
use super::clock::record::Records;
use super::clock::register::Register;
use super::clock::scope;
use super::clock::skewed::{ClockError, Workshop};
use super::engaged::{Engaged, Engagements};
use super::execs::Execs;
use super::instance::Instance;
use super::process::NamespaceInode;
use super::sockets::Sockets;
use super::spare::Spare;
use super::watch::Watch;
use super::{
    Elsewhere, Kernel, KernelError, Listing, Log, Observed, Place, ProbeOrder, ProbeResult, Sight,
    Slot, Step, Stir, Tap, bound_process, clock, log, netns, pod, prober, process, route, tap,
};

/// Where `ip netns` keeps the names of namespaces.
pub(super) const NAMED: &str = "/run/netns";
/// Where it is recorded what was changed in processes, unless said otherwise.
const RECORDS: &str = "/run/schism/clock";

/// This node's kernel.
pub struct Linux {
    boot: BootId,
    node: NodeName,
    own_network: Option<NamespaceCookie>,
    watch: Watch,
    stirs: Mutex<Option<UnboundedReceiver<Stir>>>,
    instances: Mutex<HashMap<NamespaceCookie, Arc<Instance>>>,
    spare: Spare<Instance>,
    clocks: Arc<Register>,
    execs: Execs,
    engagements: Engagements,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Linux {
    /// Begins to listen for events. `host:` means this node by `node`.
    ///
    /// # Errors
    /// /proc or netlink is not there.
    pub fn new(node: NodeName) -> Result<Self, KernelError> {
        let own = netns::own_cookie().map_err(KernelError::call("getsockopt(SO_NETNS_COOKIE)"))?;
        let inode = |path: &Path| {
            process::namespace_inode(path).map_err(KernelError::call("stat the namespace"))
        };
        let is_host =
            inode(Path::new("/proc/thread-self/ns/net"))? == inode(process::host_namespace())?;
        let (watch, stirs) = Watch::start(own).map_err(KernelError::call("netlink socket"))?;
        let boot = clock::boot_id().map_err(KernelError::call("read boot_id"))?;
        let records = Records::of(PathBuf::from(RECORDS));
        Ok(Self {
            boot,
            node,
            own_network: (!is_host).then_some(own),
            watch,
            stirs: Mutex::new(Some(stirs)),
            instances: Mutex::default(),
            spare: Spare::new(Instance::load),
            clocks: Arc::new(Register::new(Workshop::new(boot, records, Holder::default()))),
            execs: Execs::default(),
            engagements: Engagements::default(),
        })
    }

    /// The same with another way to skew clocks: other records, another program that holds.
    #[must_use]
    pub fn with_workshop(self, workshop: Workshop) -> Self {
        Self { clocks: Arc::new(Register::new(workshop)), ..self }
    }

    /// The same with another program that holds processes and loads them.
    #[must_use]
    pub fn with_engagements(self, engagements: Engagements) -> Self {
        Self { engagements, ..self }
    }

    /// The skews of this node.
    #[must_use]
    pub fn clocks(&self) -> &Register {
        &self.clocks
    }

    /// Has processes of skews found as soon as they execute another program. Without it they are found by a
    /// look once a second.
    fn follow_execs(&self) {
        let (clocks, stirrer) = (Arc::clone(&self.clocks), self.watch.stirrer());
        let told = move |pid, at| clocks.concerned(pid, at).into_iter().for_each(&stirrer);
        if let Err(error) = self.execs.start(told) {
            tracing::warn!(%error, "processes that execute are found by looks");
        }
    }

    pub(super) fn inode(&self, place: &Place) -> Result<NamespaceInode, KernelError> {
        let namespace = self.open(place)?;
        process::opened_inode(&namespace).map_err(KernelError::call("stat the namespace"))
    }

    /// Tells what is in a target's processes, if there is anything in that place. Waits for no process.
    fn tell(
        &self,
        target: NamespaceCookie,
        slot: Slot,
        urgency: Urgency,
        skew: impl FnOnce(&Covered) -> Result<(), ClockError> + Send + 'static,
        engaged: impl FnOnce(&dyn Engaged) -> Result<(), KernelError>,
    ) -> Option<Result<(), KernelError>> {
        if let Some(covered) = self.clocks.get(target, slot) {
            let answer = |text: String| KernelError::Answer(text);
            return Some(match covered.by_deputy(urgency, skew) {
                Some(told) => told.map_err(|error| answer(error.to_string())),
                None => Err(answer(
                    "nothing could be written into the target's processes within 100 ms: the machine \
                     is too busy, or one of them has its memory locked (mmap_lock)"
                        .to_owned(),
                )),
            });
        }
        let standing = self.engagements.get(target, slot)?;
        Some(engaged(standing.as_ref()))
    }

    /// Keeps programs loaded for the next target, so that its first cut need not wait for the verifier.
    pub fn keep_spare(&self) {
        self.spare.keep();
    }

    /// Which boot this is.
    #[must_use]
    pub const fn boot(&self) -> BootId {
        self.boot
    }

    /// By what name `host:` means this node.
    #[must_use]
    pub const fn node(&self) -> &NodeName {
        &self.node
    }

    fn instance(&self, target: NamespaceCookie) -> Result<Arc<Instance>, KernelError> {
        lock(&self.instances)
            .get(&target)
            .cloned()
            .ok_or_else(|| KernelError::Answer("nothing is loaded for the target".to_owned()))
    }

    pub(super) fn loaded(&self, target: NamespaceCookie) -> Option<Arc<Instance>> {
        lock(&self.instances).get(&target).cloned()
    }

    pub(super) fn describe(
        &self,
        selector: &Selector,
        path: &Path,
        named: Option<u32>,
    ) -> Result<Target, KernelError> {
        let call = KernelError::call;
        let identity = match named {
            Some(pid) => {
                Some(process::identity(pid).map_err(call("its process cannot be looked at"))?)
            }
            None => None,
        };
        let namespace = netns::open(path).map_err(call("open the namespace"))?;
        let read = || Ok((netns::own_cookie()?, route::devices()?, route::addresses()?));
        let (cookie, devices, (addresses, _)) = netns::inside(&namespace, read)
            .and_then(|read: io::Result<_>| read)
            .map_err(call("read the namespace"))?;
        let inode = process::namespace_inode(path).map_err(call("stat the namespace"))?;
        let pids = process::in_namespace(inode).map_err(call("read /proc"))?;
        // A pid that was used again in between would pair one process with another's namespace.
        if identity.is_some_and(|process| !process::is_alive(process)) {
            return Err(KernelError::Gone(selector.scheme.clone()));
        }
        let is_host =
            process::namespace_inode(process::host_namespace()).is_ok_and(|host| host == inode);
        // What acts on its network acts on the pod, also where a process of somebody else has been named.
        let inside = || pids.iter().copied().filter(|_| !is_host).find_map(pod::around);
        let pod = named.and_then(pod::around).or_else(inside);
        let first = pids.iter().take(Target::PROCESSES_NAMED);
        Ok(Target {
            identity: TargetIdentity { boot: self.boot, namespace: cookie, process: identity },
            selector: selector.clone(),
            addresses,
            interfaces: devices.into_iter().map(|device| device.interface).collect(),
            processes: first.filter_map(|pid| process::describe(*pid).ok()).collect(),
            process_count: pids.len(),
            cgroup: named.or_else(|| pids.first().copied()).and_then(process::cgroup),
            is_host,
            pod,
        })
    }

    pub(super) fn resolve_process(
        &self,
        selector: &Selector,
        pid: u32,
        aspect: Aspect,
    ) -> Result<Vec<Target>, KernelError> {
        if aspect == Aspect::Processes
            && let Ok(process) = process::identity(pid)
            && let Some(reason) = scope::spared(process, &scope::name(pid))
        {
            return Err(scope::refused(reason));
        }
        let path = process::namespace_path(pid);
        match process::namespace_inode(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(KernelError::call("its network namespace cannot be looked at")(error));
            }
        }
        Ok(vec![self.not_of_host(self.describe(selector, &path, Some(pid))?, aspect)?])
    }

    /// Refuses what has the host's network, for what acts on the network.
    fn not_of_host(&self, target: Target, aspect: Aspect) -> Result<Target, KernelError> {
        if !target.is_host || aspect != Aspect::Network {
            return Ok(target);
        }
        Err(KernelError::Refused {
            reason: format!("{} shares the host's network namespace", target.selector.scheme),
            hint: format!(
                "a cut there would touch the whole node; if that is meant, name it: host:{}",
                self.node
            ),
        })
    }

    /// A pod by the namespace that all its containers share, whichever of them is named: it stays when they
    /// are started anew.
    fn resolve_pod(
        &self,
        selector: &Selector,
        named: &Pod,
        aspect: Aspect,
    ) -> Result<Vec<Target>, KernelError> {
        let there = pod::in_pod(&named.uid).map_err(KernelError::call("read /proc"))?;
        let Some(first) = there.first() else { return Ok(Vec::new()) };
        let meant = there.meant(named);
        if meant.is_empty() && named.container.is_some() {
            return Ok(Vec::new());
        }
        if aspect == Aspect::Processes
            && let Some(one) = meant.first()
            && let Some(reason) = scope::spared(*one, &scope::name(one.pid))
        {
            return Err(scope::refused(reason));
        }
        let path = process::namespace_path(first.pid);
        let target = self.describe(selector, &path, Some(first.pid))?;
        if target.identity.process != Some(first) {
            return Err(KernelError::Gone(selector.scheme.clone()));
        }
        Ok(vec![self.not_of_host(target, aspect)?])
    }

    fn resolve_container(
        &self,
        selector: &Selector,
        id: &str,
        aspect: Aspect,
    ) -> Result<Vec<Target>, KernelError> {
        let found = process::in_container(id).map_err(KernelError::call("read /proc"))?;
        let mut first = BTreeMap::new();
        for (name, pid) in found {
            first.entry(name).or_insert(pid);
        }
        let mut targets = Vec::new();
        for (name, pid) in first {
            let whole = Selector { scheme: Scheme::Container(name), ..selector.clone() };
            targets.extend(self.resolve_process(&whole, pid, aspect)?);
        }
        Ok(targets)
    }
}

/// The name of this node, as its kernel has it.
#[must_use]
pub fn node_name() -> NodeName {
    let name = nix::unistd::gethostname().ok().and_then(|name| NodeName::new(name.to_str()?));
    // A host name that is no node's name cannot be addressed by it.
    name.or_else(|| NodeName::new("localhost")).unwrap_or_else(|| unreachable!("a constant"))
}

impl Kernel for Linux {
    fn capabilities(&self) -> Vec<Capability> {
        crate::doctor::examine()
    }

    fn now(&self) -> BootTime {
        clock::boot_now()
    }

    fn perform(&self, place: &Place, step: &Step) -> Result<(), KernelError> {
        let target = place.identity.namespace;
        match step {
            Step::Load => {
                let instance = Arc::new(self.spare.take()?);
                let before = lock(&self.instances).insert(target, instance);
                // Closing links takes its time; others' leases are behind the lock.
                drop(before);
                Ok(())
            }
            Step::Unload => {
                let gone = lock(&self.instances).remove(&target);
                drop(gone);
                Ok(())
            }
            Step::Attach(attachment) => {
                let instance = self.instance(target)?;
                self.inside(place, || instance.attach(*attachment))
            }
            Step::Detach(attachment) => {
                self.instance(target)?.detach(*attachment);
                Ok(())
            }
            Step::Own(addresses) => self.instance(target)?.own(addresses),
            Step::TaggedElsewhere(devices) => self.instance(target)?.tagged_elsewhere(devices),
            Step::ControlPath(ends) => self.instance(target)?.control_path(ends),
            Step::Rule { slot, cut } => self.instance(target)?.rule(*slot, cut),
            Step::Clear { slot } => self.instance(target)?.clear(*slot),
            Step::AddPeers(set) => self.instance(target)?.add_peers(set, self.now().nanos()),
            Step::RemovePeers(set) => self.instance(target)?.remove_peers(set),
            Step::ReadOpeners(peers) => {
                let instance = self.instance(target)?;
                let now = self.now().nanos();
                let sockets = self
                    .inside(place, || Sockets::read(now).map_err(KernelError::call("inet_diag")))?;
                instance.openers(peers, &sockets)
            }
            Step::ForgetOpeners { peers, kept } => {
                self.instance(target)?.forget_openers(peers, kept)
            }
            Step::Begin { slot, start, end } => {
                let (start, end) = (*start, *end);
                let skew = move |skew: &Covered| skew.begin(start, end);
                let engaged = |engaged: &dyn Engaged| engaged.begin(start, end);
                if let Some(told) = self.tell(target, *slot, Urgency::Optional, skew, engaged) {
                    return told;
                }
                self.instance(target)?.begin(*slot, start, end);
                Ok(())
            }
            Step::Renew { slot, end } => {
                let end = *end;
                let skew = move |skew: &Covered| skew.renew(end);
                let engaged = |engaged: &dyn Engaged| engaged.renew(end);
                if let Some(told) = self.tell(target, *slot, Urgency::Optional, skew, engaged) {
                    return told;
                }
                self.instance(target)?.renew(*slot, end);
                Ok(())
            }
            Step::End { slot } => {
                let engaged = |engaged: &dyn Engaged| {
                    engaged.end();
                    Ok(())
                };
                let urgency = Urgency::Owed;
                if let Some(told) = self.tell(target, *slot, urgency, Covered::end, engaged) {
                    return told;
                }
                self.instance(target)?.end(*slot);
                Ok(())
            }
            Step::Engage { slot, act } => {
                self.clocks.forget(target, *slot);
                let stirrer = self.watch.stirrer();
                let stir = move || stirrer(target);
                self.engagements.put_in(place, *slot, *act, &|| self.inode(place), stir)
            }
            Step::Disengage { slot } => self.engagements.take_out(target, *slot),
            Step::Skew { slot, skew } => {
                self.engagements.forget(target, *slot);
                self.clocks.put_in(place, *slot, skew, || self.inode(place))?;
                self.follow_execs();
                Ok(())
            }
            Step::Unskew { slot } => {
                let taken_out = self.clocks.take_out(target, *slot);
                self.execs.stop_unless(|| !self.clocks.is_empty());
                taken_out
            }
            Step::Cover { slot } if self.engagements.get(target, *slot).is_some() => {
                self.engagements.follow(target, *slot, &|| self.inode(place))
            }
            Step::Cover { slot } => self.clocks.follow(target, *slot, || self.inode(place)),
        }
    }

    fn inspect(&self, place: &Place) -> Result<Sight, KernelError> {
        if bound_process(place).is_some_and(|process| !process::is_alive(process)) {
            return Ok(Sight::Gone(Gone::Process));
        }
        let namespace = match self.open(place) {
            Ok(namespace) => namespace,
            Err(KernelError::Gone(_)) => return Ok(Sight::Gone(Gone::Namespace)),
            Err(error) => return Err(error),
        };
        let instance = self.loaded(place.identity.namespace);
        let read = || -> Result<Observed, KernelError> {
            let call = KernelError::call;
            let devices = route::devices().map_err(call("rtnetlink dump of links"))?;
            let (addresses, broadcasts) =
                route::addresses().map_err(call("rtnetlink dump of addresses"))?;
            let mut observed = Observed { devices, addresses, broadcasts, ..Observed::default() };
            if let Some(instance) = &instance {
                observed.chains = instance.chains()?;
                let leases = Slot::all().filter_map(|slot| Some((slot, instance.lease(slot)?)));
                observed.leases = leases.collect();
            }
            Ok(observed)
        };
        let mut observed =
            netns::inside(&namespace, read).map_err(KernelError::call("setns(CLONE_NEWNET)"))??;
        let inode = || process::opened_inode(&namespace);
        let inode = || inode().map_err(KernelError::call("stat the namespace"));
        observed.coverage = self.clocks.look(place.identity.namespace, inode)?;
        observed.coverage.extend(self.engagements.look(place.identity.namespace, &inode)?);
        Ok(Sight::Present(observed))
    }

    fn own_network(&self) -> Option<NamespaceCookie> {
        self.own_network
    }

    fn lives(&self, process: ProcessIdentity) -> bool {
        process::is_alive(process)
    }

    fn resolve(&self, selector: &Selector, aspect: Aspect) -> Result<Vec<Target>, KernelError> {
        match &selector.scheme {
            Scheme::Netns(name) => {
                let path = Path::new(NAMED).join(name);
                match path.try_exists() {
                    Ok(true) => Ok(vec![self.describe(selector, &path, None)?]),
                    Ok(false) => Ok(Vec::new()),
                    Err(error) => Err(KernelError::call("stat the namespace")(error)),
                }
            }
            Scheme::Pid(pid) => self.resolve_process(selector, *pid, aspect),
            Scheme::Container(id) => self.resolve_container(selector, id, aspect),
            Scheme::Pod(pod) => self.resolve_pod(selector, pod, aspect),
            Scheme::Host(node) if *node != self.node => {
                let (named, own) = (node.clone(), self.node.clone());
                Err(Elsewhere::Node { named, own }.into())
            }
            Scheme::Host(_) if aspect == Aspect::Processes => Err(scope::of_node()),
            Scheme::Host(_) => {
                Ok(vec![self.describe(selector, process::host_namespace(), None)?])
            }
            Scheme::Addr(_) => Ok(Vec::new()),
            Scheme::Etcd(_) | Scheme::Zeebe(_) | Scheme::Kubernetes(_) => {
                Err(Elsewhere::Role(selector.scheme.clone()).into())
            }
        }
    }

    fn owners(&self, addresses: &[IpAddr]) -> Result<Vec<Target>, KernelError> {
        self.owners_of(addresses)
    }

    fn listing(&self) -> Listing {
        self.all_targets()
    }

    fn logs(&self, place: &Place) -> Result<Vec<Log>, KernelError> {
        if place.identity.boot != self.boot {
            return Err(KernelError::Gone(place.selector.scheme.clone()));
        }
        log::of(place, || self.inode(place))
    }

    fn capture(&self, place: &Place, capture: &Capture) -> Result<Box<dyn Tap>, KernelError> {
        tap::at(self, place, capture)
    }

    fn effect(&self, target: NamespaceCookie, slot: Slot) -> Result<Effect, KernelError> {
        self.instance(target)?.effect(slot)
    }

    fn measured(&self, target: NamespaceCookie, slot: Slot) -> Option<Measured> {
        let clocks = || self.clocks.measured(target, slot);
        match self.clocks.get(target, slot) {
            Some(_) => clocks(),
            None => self.engagements.measured(target, slot).or_else(clocks),
        }
    }

    fn hook(&self, target: NamespaceCookie, side: Side) -> Result<Hook, KernelError> {
        self.instance(target)?.hook(side)
    }

    fn lease(&self, target: NamespaceCookie, slot: Slot) -> Option<(BootTime, BootTime)> {
        if let Some(skew) = self.clocks.get(target, slot) {
            return skew.by_deputy(Urgency::Optional, Covered::lease).flatten();
        }
        match self.engagements.get(target, slot) {
            Some(engaged) => engaged.lease(),
            None => self.loaded(target)?.lease(slot),
        }
    }

    fn follow(&self, place: &Place) -> Result<(), KernelError> {
        if self.watch.follows(place.identity.namespace) {
            return Ok(());
        }
        let namespace = self.open(place)?;
        self.watch
            .follow(place.identity.namespace, &namespace)
            .map_err(KernelError::call("rtnetlink(RTM_NEWNSID)"))
    }

    fn stirs(&self) -> Option<UnboundedReceiver<Stir>> {
        lock(&self.stirs).take()
    }

    fn probe(&self, order: &ProbeOrder) -> Result<ProbeResult, KernelError> {
        prober::probe(self, order)
    }
}
