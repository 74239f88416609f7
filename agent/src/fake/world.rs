//! The node around the agent: namespaces, devices, processes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use fault::{
    Aspect, Capture, ContainerName, Interface, LogForm, NamespaceCookie, NodeName, NodeNetwork,
    OwnAddress, Pod, PodUid, Process, ProcessIdentity, Scheme, Selector, Side, Target,
    TargetIdentity,
};

use super::FakeKernel;
use super::wire::{self, Tapped, Wire};
use crate::kernel::{Device, Elsewhere, KernelError, Log, Place, Tap};

/// The node's own namespace.
pub const HOST: NamespaceCookie = NamespaceCookie::new(1);

/// A device for as long as it lives, whatever its index, name and namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(u64);

/// Namespaces and processes of a node. Changes of followed namespaces are told through the kernel.
pub struct World {
    node: NodeName,
    names: BTreeMap<String, NamespaceCookie>,
    pods: BTreeMap<PodUid, NamespaceCookie>,
    namespaces: BTreeMap<NamespaceCookie, Namespace>,
    processes: BTreeMap<u32, Resident>,
    followed: BTreeSet<NamespaceCookie>,
    stirred: Vec<NamespaceCookie>,
    logs: BTreeMap<NamespaceCookie, PathBuf>,
    wires: BTreeMap<NamespaceCookie, VecDeque<Tapped>>,
    agents_network: Option<NamespaceCookie>,
    next: u64,
}

/// One namespace.
#[derive(Default)]
pub(super) struct Namespace {
    devices: BTreeMap<u32, (DeviceId, Device)>,
    addresses: Vec<OwnAddress>,
    broadcasts: BTreeSet<IpAddr>,
    before: BTreeMap<(DeviceId, Side), Vec<u32>>,
}

struct Resident {
    started: u64,
    namespace: NamespaceCookie,
    container: Option<String>,
}

impl Namespace {
    pub(super) fn devices(&self) -> Vec<Device> {
        self.devices.values().map(|(_, device)| device.clone()).collect()
    }

    pub(super) fn addresses(&self) -> Vec<OwnAddress> {
        self.addresses.clone()
    }

    pub(super) fn broadcasts(&self) -> BTreeSet<IpAddr> {
        self.broadcasts.clone()
    }

    pub(super) fn device(&self, index: u32) -> Option<DeviceId> {
        self.devices.get(&index).map(|(id, _)| *id)
    }

    pub(super) fn holds(&self, index: u32, device: DeviceId) -> bool {
        self.device(index) == Some(device)
    }

    pub(super) fn before(&self, device: DeviceId, side: Side) -> &[u32] {
        self.before.get(&(device, side)).map_or(&[], Vec::as_slice)
    }
}

fn device(index: u32, name: &str, kind: Option<&str>) -> Device {
    let kind = kind.map(ToOwned::to_owned);
    Device {
        interface: Interface { index, name: name.to_owned(), kind, up: true },
        loopback: name == "lo",
        controller: None,
        parent: None,
    }
}

impl World {
    pub(super) fn new(node: NodeName) -> Self {
        let mut world = Self {
            node,
            names: BTreeMap::new(),
            pods: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            processes: BTreeMap::new(),
            followed: BTreeSet::new(),
            stirred: Vec::new(),
            logs: BTreeMap::new(),
            wires: BTreeMap::new(),
            agents_network: None,
            next: HOST.get(),
        };
        world.make(&[]);
        world
    }

    pub(super) const fn node(&self) -> &NodeName {
        &self.node
    }

    fn fresh(&mut self) -> u64 {
        let fresh = self.next;
        self.next += 1;
        fresh
    }

    fn make(&mut self, addresses: &[IpAddr]) -> NamespaceCookie {
        let cookie = NamespaceCookie::new(self.fresh());
        self.namespaces.insert(cookie, Namespace::default());
        self.add_device(cookie, device(1, "lo", None));
        self.add_device(cookie, device(2, "eth0", Some("veth")));
        for address in addresses {
            self.add_address(cookie, 2, *address);
        }
        cookie
    }

    fn stir(&mut self, cookie: NamespaceCookie) {
        if self.followed.contains(&cookie) {
            self.stirred.push(cookie);
        }
    }

    pub(super) fn take_stirred(&mut self) -> Vec<NamespaceCookie> {
        std::mem::take(&mut self.stirred)
    }

    pub(super) fn follow(&mut self, cookie: NamespaceCookie) {
        self.followed.insert(cookie);
    }

    /// A namespace of this name with `lo` (index 1) and `eth0` (index 2), which has the addresses. If the
    /// name is in use it stands for the new one from now on.
    pub fn add_namespace(&mut self, name: &str, addresses: &[IpAddr]) -> NamespaceCookie {
        self.remove_namespace(name);
        let cookie = self.make(addresses);
        self.names.insert(name.to_owned(), cookie);
        cookie
    }

    /// A pod with these addresses, in which nothing runs yet. If there is one, this is its next sandbox.
    pub fn add_pod(&mut self, uid: &PodUid, addresses: &[IpAddr]) -> NamespaceCookie {
        self.remove_pod(uid);
        let cookie = self.make(addresses);
        self.pods.insert(uid.clone(), cookie);
        cookie
    }

    /// Removes the name; the namespace goes on as long as processes live in it.
    pub fn remove_namespace(&mut self, name: &str) {
        if let Some(cookie) = self.names.remove(name) {
            self.reap(cookie);
        }
    }

    /// Removes the pod; its namespace goes on as long as processes live in it.
    pub fn remove_pod(&mut self, uid: &PodUid) {
        if let Some(cookie) = self.pods.remove(uid) {
            self.reap(cookie);
        }
    }

    fn reap(&mut self, cookie: NamespaceCookie) {
        self.stir(cookie);
        let mut names = self.names.values().chain(self.pods.values());
        let named = names.any(|named| *named == cookie);
        let inhabited = self.processes.values().any(|process| process.namespace == cookie);
        if !named && !inhabited && cookie != HOST {
            self.namespaces.remove(&cookie);
        }
    }

    /// A process in a namespace. A pid in use is taken over, as after a re-use.
    pub fn spawn(
        &mut self,
        pid: u32,
        namespace: NamespaceCookie,
        container: Option<&str>,
    ) -> ProcessIdentity {
        self.kill(pid);
        let started = self.fresh();
        let container = container.map(ToOwned::to_owned);
        self.processes.insert(pid, Resident { started, namespace, container });
        ProcessIdentity { pid, started }
    }

    /// Whether there is a process of this number.
    #[must_use]
    pub fn runs(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// Ends a process, and its namespace with the last one in it that has no name.
    pub fn kill(&mut self, pid: u32) {
        if let Some(process) = self.processes.remove(&pid) {
            self.reap(process.namespace);
        }
    }

    /// Puts a device at the index that it names.
    pub fn add_device(&mut self, namespace: NamespaceCookie, device: Device) {
        let id = DeviceId(self.fresh());
        self.change(namespace, |namespace| {
            namespace.devices.insert(device.interface.index, (id, device));
        });
    }

    /// Puts a veth device there.
    pub fn add_veth(&mut self, namespace: NamespaceCookie, index: u32, name: &str) {
        self.add_device(namespace, device(index, name, Some("veth")));
    }

    /// Removes a device with its addresses.
    pub fn remove_device(&mut self, namespace: NamespaceCookie, index: u32) {
        self.change(namespace, |namespace| {
            namespace.devices.remove(&index);
            namespace.addresses.retain(|own| own.interface != index);
        });
    }

    /// Gives a device another name.
    pub fn rename_device(&mut self, namespace: NamespaceCookie, index: u32, name: &str) {
        self.change(namespace, |namespace| {
            if let Some((_, device)) = namespace.devices.get_mut(&index) {
                name.clone_into(&mut device.interface.name);
            }
        });
    }

    /// Changes a device in place: its controller, parent or kind.
    pub fn alter_device(
        &mut self,
        namespace: NamespaceCookie,
        index: u32,
        alter: impl FnOnce(&mut Device),
    ) {
        self.change(namespace, |namespace| {
            if let Some((_, device)) = namespace.devices.get_mut(&index) {
                alter(device);
            }
        });
    }

    /// Moves a device to another namespace, where it keeps its index; its links go with it.
    pub fn move_device(&mut self, from: NamespaceCookie, index: u32, to: NamespaceCookie) {
        let moved = self.namespaces.get(&from).and_then(|from| from.devices.get(&index).cloned());
        self.remove_device(from, index);
        if let Some(moved) = moved {
            self.change(to, |to| {
                to.devices.insert(index, moved);
            });
        }
    }

    /// Gives a device an address.
    pub fn add_address(&mut self, namespace: NamespaceCookie, interface: u32, address: IpAddr) {
        let length = if address.is_ipv4() { 24 } else { 64 };
        self.change(namespace, |namespace| {
            namespace.addresses.push(OwnAddress { address, length, interface });
        });
    }

    /// Takes an address away.
    pub fn remove_address(&mut self, namespace: NamespaceCookie, address: IpAddr) {
        self.change(namespace, |namespace| {
            namespace.addresses.retain(|own| own.address != address);
        });
    }

    /// Puts somebody's programs before ours; none takes them away. That makes no event.
    pub fn put_before(
        &mut self,
        namespace: NamespaceCookie,
        interface: u32,
        side: Side,
        programs: &[u32],
    ) {
        if let Some(namespace) = self.namespaces.get_mut(&namespace)
            && let Some(device) = namespace.device(interface)
        {
            namespace.before.insert((device, side), programs.to_vec());
        }
    }

    fn change(&mut self, cookie: NamespaceCookie, change: impl FnOnce(&mut Namespace)) {
        if let Some(namespace) = self.namespaces.get_mut(&cookie) {
            change(namespace);
            self.stir(cookie);
        }
    }

    /// Where a name leads now.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<NamespaceCookie> {
        self.names.get(name).copied()
    }

    pub(super) fn lives(&self, process: ProcessIdentity) -> bool {
        self.processes.get(&process.pid).is_some_and(|found| found.started == process.started)
    }

    /// The namespace of a place, if one of its ways in still leads there.
    pub(super) fn open(&self, place: &Place) -> Option<&Namespace> {
        let cookie = place.identity.namespace;
        if place.identity.boot != FakeKernel::BOOT {
            return None;
        }
        let direct = match &place.selector.scheme {
            Scheme::Netns(name) => self.named(name) == Some(cookie),
            Scheme::Host(_) => cookie == HOST,
            Scheme::Pod(pod) => self.pods.get(&pod.uid) == Some(&cookie),
            Scheme::Pid(_)
            | Scheme::Container(_)
            | Scheme::Addr(_)
            | Scheme::Etcd(_)
            | Scheme::Zeebe(_)
            | Scheme::Kubernetes(_) => false,
        };
        let inhabited = || self.processes.values().any(|process| process.namespace == cookie);
        if direct || inhabited() { self.namespaces.get(&cookie) } else { None }
    }

    /// Has the agent be in a namespace that is not the node's.
    pub fn keep_agent_in(&mut self, cookie: NamespaceCookie) {
        self.agents_network = Some(cookie);
    }

    pub(super) const fn agents_network(&self) -> Option<NamespaceCookie> {
        self.agents_network
    }

    /// Has whoever is in a namespace write to a file of this machine.
    pub fn write_to(&mut self, cookie: NamespaceCookie, log: PathBuf) {
        self.logs.insert(cookie, log);
    }

    pub(super) fn logs(&self, place: &Place) -> Result<Vec<Log>, KernelError> {
        if self.open(place).is_none() {
            return Err(KernelError::Gone(place.selector.scheme.clone()));
        }
        let log = self.logs.get(&place.identity.namespace).ok_or_else(|| KernelError::Refused {
            reason: format!("{} writes to no file", place.selector.scheme),
            hint: "give it one".to_owned(),
        })?;
        let file = File::open(log).map_err(KernelError::call("open"))?;
        Ok(vec![Log { form: LogForm::Plain, files: vec![file] }])
    }

    /// What the next capture of a namespace hears.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn wire(&mut self, cookie: NamespaceCookie) -> io::Result<Wire> {
        let (wire, tapped) = wire::pair()?;
        self.wires.entry(cookie).or_default().push_back(tapped);
        Ok(wire)
    }

    pub(super) fn tap(
        &mut self,
        place: &Place,
        capture: &Capture,
    ) -> Result<Box<dyn Tap>, KernelError> {
        if self.open(place).is_none() {
            return Err(KernelError::Gone(place.selector.scheme.clone()));
        }
        let refused = |reason: String| KernelError::Refused { reason, hint: String::new() };
        if place.identity.namespace == HOST && capture.node == NodeNetwork::Refused {
            return Err(refused(format!("{} is the whole node", place.selector.scheme)));
        }
        let wires = self.wires.get_mut(&place.identity.namespace);
        let tapped = wires.and_then(VecDeque::pop_front);
        let tapped = tapped.ok_or_else(|| refused("nothing passes there".to_owned()))?;
        Ok(Box::new(tapped))
    }

    /// The processes of a place.
    pub(super) fn within(&self, place: &Place) -> BTreeSet<ProcessIdentity> {
        let belongs = |(pid, process): &(&u32, &Resident)| match &place.selector.scheme {
            Scheme::Pid(named) => {
                *pid == named && place.identity.process == Some(self.identity(**pid))
            }
            Scheme::Container(id) => {
                process.container.as_ref().is_some_and(|container| container.starts_with(id))
            }
            Scheme::Netns(_) => process.namespace == place.identity.namespace,
            Scheme::Pod(Pod { container, .. }) => {
                let is_in =
                    |name: &ContainerName| process.container.as_deref() == Some(name.as_str());
                process.namespace == place.identity.namespace
                    && container.as_ref().is_none_or(is_in)
            }
            Scheme::Host(_)
            | Scheme::Addr(_)
            | Scheme::Etcd(_)
            | Scheme::Zeebe(_)
            | Scheme::Kubernetes(_) => false,
        };
        self.processes.iter().filter(belongs).map(|(pid, _)| self.identity(*pid)).collect()
    }

    pub(super) fn resolve(
        &self,
        selector: &Selector,
        aspect: Aspect,
    ) -> Result<Vec<Target>, KernelError> {
        let refused = |reason: String| KernelError::Refused { reason, hint: String::new() };
        match &selector.scheme {
            Scheme::Netns(name) => {
                let target = self.named(name).map(|cookie| self.target(selector, cookie, None));
                Ok(target.into_iter().collect())
            }
            Scheme::Pid(pid) => match self.processes.get(pid) {
                None => Ok(Vec::new()),
                Some(process) if process.namespace == HOST && aspect == Aspect::Network => {
                    let scheme = &selector.scheme;
                    Err(refused(format!("{scheme} shares the host's network namespace")))
                }
                Some(process) => {
                    Ok(vec![self.target(selector, process.namespace, Some(self.identity(*pid)))])
                }
            },
            Scheme::Container(id) => {
                let within = |process: &Resident| {
                    process.container.as_ref().is_some_and(|container| container.starts_with(id))
                };
                let found = self.processes.iter().filter(|(_, process)| within(process));
                let found = found
                    .map(|(pid, p)| self.target(selector, p.namespace, Some(self.identity(*pid))));
                Ok(found.collect())
            }
            Scheme::Host(node) if *node != self.node => {
                let (named, own) = (node.clone(), self.node.clone());
                Err(Elsewhere::Node { named, own }.into())
            }
            Scheme::Host(_) if aspect == Aspect::Processes => {
                Err(refused("a node as a whole is no target of what concerns processes".to_owned()))
            }
            Scheme::Host(_) => Ok(vec![self.target(selector, HOST, None)]),
            Scheme::Pod(pod) => {
                let found = self.pods.get(&pod.uid).map(|cookie| Target {
                    pod: Some(pod.uid.clone()),
                    ..self.target(selector, *cookie, None)
                });
                Ok(found.into_iter().collect())
            }
            Scheme::Addr(_) => Ok(Vec::new()),
            Scheme::Etcd(_) | Scheme::Zeebe(_) | Scheme::Kubernetes(_) => {
                Err(Elsewhere::Role(selector.scheme.clone()).into())
            }
        }
    }

    /// By what its namespaces are named.
    pub(super) fn schemes(&self) -> impl Iterator<Item = Scheme> {
        let host = Scheme::Host(self.node.clone());
        std::iter::once(host).chain(self.names.keys().cloned().map(Scheme::Netns))
    }

    pub(super) fn owners(&self, addresses: &[IpAddr]) -> Vec<Target> {
        let owns = |cookie: &NamespaceCookie| {
            let own = self.namespaces.get(cookie).map(Namespace::addresses).unwrap_or_default();
            own.iter().any(|own| addresses.contains(&own.address))
        };
        let named = self.names.iter().map(|(name, cookie)| (Scheme::Netns(name.clone()), *cookie));
        let host = (Scheme::Host(self.node.clone()), HOST);
        let owning = std::iter::once(host).chain(named).filter(|(_, cookie)| owns(cookie));
        let target = |(scheme, cookie)| {
            self.target(&Selector { pick: None, scheme, node: None }, cookie, None)
        };
        owning.map(target).collect()
    }

    fn identity(&self, pid: u32) -> ProcessIdentity {
        let started = self.processes.get(&pid).map_or(0, |process| process.started);
        ProcessIdentity { pid, started }
    }

    fn target(
        &self,
        selector: &Selector,
        cookie: NamespaceCookie,
        process: Option<ProcessIdentity>,
    ) -> Target {
        let namespace = self.namespaces.get(&cookie);
        let inside = self.processes.iter().filter(|(_, process)| process.namespace == cookie);
        let processes: Vec<Process> = inside
            .map(|(pid, process)| Process {
                identity: ProcessIdentity { pid: *pid, started: process.started },
                name: "fake".to_owned(),
                container: process.container.clone(),
            })
            .collect();
        Target {
            identity: TargetIdentity { boot: FakeKernel::BOOT, namespace: cookie, process },
            selector: selector.clone(),
            addresses: namespace.map(Namespace::addresses).unwrap_or_default(),
            interfaces: namespace
                .map(|namespace| namespace.devices().into_iter().map(|d| d.interface).collect())
                .unwrap_or_default(),
            process_count: processes.len(),
            processes,
            cgroup: None,
            is_host: cookie == HOST,
            pod: None,
        }
    }
}
