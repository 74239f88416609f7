//! A kernel in memory, for tests without privilege and for simulations of many nodes.
//!
//! It keeps what [`crate::kernel::Linux`] would put into the kernel, refuses what the worker must never
//! ask for (a slot written twice, a second attachment at one hook), and lets a test change the node
//! under the agent: devices that leave, names that stand for another namespace, processes that end.

mod drifting;
mod gate;
mod inner;
mod loaded;
#[cfg(test)]
pub(crate) mod sample;
mod trouble;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fault::{
    Aspect, BootId, BootTime, Capability, Capture, Effect, Gone, Hook, Measured, NamespaceCookie,
    NodeName, ProcessIdentity, Selector, Side, Target,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

pub use drifting::Drifting;
pub use gate::Gate;
pub use inner::{Engaged, Skewed};
pub use loaded::Loaded;
pub use trouble::{Call, Trouble};
pub use wire::Wire;
pub use world::{DeviceId, HOST, World};

use crate::kernel::{
    Kernel, KernelError, Listing, Log, Observed, Place, ProbeOrder, ProbeResult, Sight, Slot, Step,
    Stir, Tap, bound_process, clock,
};
use crate::server::{About, Instance};
use trouble::Troubles;

/// A model of one node's kernel. Clones are handles to the same one.
#[derive(Clone)]
pub struct FakeKernel {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    troubles: Mutex<Troubles>,
    word: UnboundedSender<Stir>,
    stirs: Mutex<Option<UnboundedReceiver<Stir>>>,
}

struct State {
    time: Time,
    world: World,
    loaded: BTreeMap<NamespaceCookie, Loaded>,
    skewed: BTreeMap<(NamespaceCookie, Slot), Skewed>,
    engaged: BTreeMap<(NamespaceCookie, Slot), Engaged>,
    /// What the latest skew or act in each place did.
    measured: BTreeMap<(NamespaceCookie, Slot), Measured>,
    performed: Vec<(NamespaceCookie, Step)>,
    probes: ProbeResult,
}

#[derive(Clone, Copy)]
enum Time {
    Real,
    Set(BootTime),
    Drifting(Drifting),
}

/// Everything of ours that is in the kernel, by target.
pub type Snapshot = BTreeMap<NamespaceCookie, Loaded>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for FakeKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeKernel").field("loaded", &self.snapshot()).finish_non_exhaustive()
    }
}

impl FakeKernel {
    /// What an agent with such a kernel says of itself.
    #[must_use]
    pub fn about(node: NodeName, instance: Instance) -> About {
        About {
            node,
            boot: Self::BOOT,
            instance,
            socket: "/nowhere/agent.sock".into(),
            embedded: false,
            found_at_start: Vec::new(),
        }
    }

    /// Which boot every fake node is in.
    pub const BOOT: BootId = BootId::new(0x5c41_5300_0000_0000_0000_0000_0000_0001);

    fn with(time: Time, node: NodeName) -> Self {
        let (word, stirs) = unbounded_channel();
        let state = State {
            time,
            world: World::new(node),
            loaded: BTreeMap::new(),
            skewed: BTreeMap::new(),
            engaged: BTreeMap::new(),
            measured: BTreeMap::new(),
            performed: Vec::new(),
            probes: ProbeResult { sent: 0, delivered: 0 },
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                troubles: Mutex::default(),
                word,
                stirs: Mutex::new(Some(stirs)),
            }),
        }
    }

    /// A node whose time stands still (at 1,000 s) until [`Self::advance`].
    #[must_use]
    pub fn frozen(node: NodeName) -> Self {
        Self::with(Time::Set(BootTime::from_nanos(1_000_000_000_000)), node)
    }

    /// A node with the time of this machine.
    #[must_use]
    pub fn running(node: NodeName) -> Self {
        Self::with(Time::Real, node)
    }

    /// A node with a clock of its own.
    #[must_use]
    pub fn drifting(node: NodeName, clock: Drifting) -> Self {
        Self::with(Time::Drifting(clock), node)
    }

    /// The kernel as the node's next agent finds it when this one is killed: the node is the same, and
    /// nothing of ours is left but the history of steps. What was written into processes stays until that
    /// agent has begun, which is now. Whoever holds on to the old handle has a node
    /// without anything.
    #[must_use]
    pub fn succeed(&self) -> Self {
        let mut old = lock(&self.shared.state);
        let nowhere = World::new(old.world.node().clone());
        let next = Self::with(old.time, old.world.node().clone());
        {
            let mut state = lock(&next.shared.state);
            state.world = std::mem::replace(&mut old.world, nowhere);
            state.performed = std::mem::take(&mut old.performed);
            state.probes = old.probes.clone();
        }
        old.loaded.clear();
        old.skewed.clear();
        old.engaged.clear();
        next
    }

    /// Lets time pass on a frozen node, and stirs, so that whoever sleeps looks at the clock.
    pub fn advance(&self, by: Duration) {
        let mut state = lock(&self.shared.state);
        if let Time::Set(now) = state.time {
            state.time = Time::Set(now + by);
        }
        drop(state);
        self.tell(Stir::Anywhere);
    }

    /// Everything of ours that is in the kernel.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        lock(&self.shared.state).loaded.clone()
    }

    /// Every skew, by its place.
    #[must_use]
    pub fn skewed(&self) -> BTreeMap<(NamespaceCookie, Slot), Skewed> {
        lock(&self.shared.state).skewed.clone()
    }

    /// Everything that is done to processes, by its place.
    #[must_use]
    pub fn engaged(&self) -> BTreeMap<(NamespaceCookie, Slot), Engaged> {
        lock(&self.shared.state).engaged.clone()
    }

    /// Ends whatever holds processes, as somebody does who kills it.
    pub fn release(&self) {
        lock(&self.shared.state).engaged.values_mut().for_each(Engaged::release);
        self.tell(Stir::Anywhere);
    }

    /// What one target has of ours; `None` where nothing is loaded.
    #[must_use]
    pub fn loaded(&self, target: NamespaceCookie) -> Option<Loaded> {
        lock(&self.shared.state).loaded.get(&target).cloned()
    }

    /// The steps that succeeded so far, in order.
    #[must_use]
    pub fn performed(&self) -> Vec<(NamespaceCookie, Step)> {
        lock(&self.shared.state).performed.clone()
    }

    /// Reads or changes the node; who follows a namespace that changed is told.
    pub fn node<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut state = lock(&self.shared.state);
        let result = change(&mut state.world);
        let stirred = state.world.take_stirred();
        drop(state);
        for cookie in stirred {
            self.tell(Stir::In(cookie));
        }
        result
    }

    /// Stirs as a netlink socket does that lost events.
    pub fn tell(&self, stir: Stir) {
        // Nobody may be listening any more.
        let _ = self.shared.word.send(stir);
    }

    /// Sets what a fault has done.
    pub fn count(&self, target: NamespaceCookie, slot: Slot, effect: Effect) {
        if let Some(loaded) = lock(&self.shared.state).loaded.get_mut(&target) {
            loaded.effects.insert(slot, effect);
        }
    }

    /// Sets what passed a hook.
    pub fn pass(&self, target: NamespaceCookie, side: Side, hook: Hook) {
        if let Some(loaded) = lock(&self.shared.state).loaded.get_mut(&target) {
            loaded.hooks.insert(side, hook);
        }
    }

    /// Moves a lease behind the agent's back.
    pub fn tamper(&self, target: NamespaceCookie, slot: Slot, lease: (BootTime, BootTime)) {
        if let Some(loaded) = lock(&self.shared.state).loaded.get_mut(&target) {
            loaded.leases.insert(slot, lease);
        }
    }

    /// Sets what every probing results in.
    pub fn answer_probes(&self, result: ProbeResult) {
        lock(&self.shared.state).probes = result;
    }

    /// Makes calls fail or slow from now on.
    pub fn trouble(&self, trouble: Trouble) {
        lock(&self.shared.troubles).add(trouble);
    }

    /// Ends all trouble.
    pub fn calm(&self) {
        lock(&self.shared.troubles).clear();
    }

    /// Holds up calls that match until the gate is opened.
    #[must_use]
    pub fn gate(&self, matches: impl Fn(&Call<'_>) -> bool + Send + Sync + 'static) -> Gate {
        let gate = Gate::new();
        self.trouble(Trouble::held(gate.clone(), matches));
        gate
    }

    /// Meets the trouble that waits for a call: first the waiting, then the failure.
    fn meet(&self, call: &Call<'_>) -> Result<(), KernelError> {
        let met = lock(&self.shared.troubles).meet(call);
        if call.may_wait() {
            met.wait();
        }
        met.fail()
    }

    fn read<T>(
        &self,
        target: NamespaceCookie,
        read: impl FnOnce(&Loaded) -> T,
    ) -> Result<T, KernelError> {
        let state = lock(&self.shared.state);
        state.loaded.get(&target).map(read).ok_or_else(loaded::nothing)
    }
}

impl Kernel for FakeKernel {
    fn capabilities(&self) -> Vec<Capability> {
        Vec::new()
    }

    fn now(&self) -> BootTime {
        match lock(&self.shared.state).time {
            Time::Real => clock::boot_now(),
            Time::Set(now) => now,
            Time::Drifting(clock) => clock.now(),
        }
    }

    fn perform(&self, place: &Place, step: &Step) -> Result<(), KernelError> {
        self.meet(&Call::Step(place, step))?;
        let target = place.identity.namespace;
        let now = self.now();
        let mut state = lock(&self.shared.state);
        let State { world, loaded, skewed, engaged, measured, performed, .. } = &mut *state;
        let used = |slot: Slot| loaded.get(&target).is_some_and(|loaded| loaded.is_used(slot));
        match step {
            Step::Skew { slot, .. } | Step::Engage { slot, .. }
                if used(*slot)
                    || skewed.contains_key(&(target, *slot))
                    || engaged.contains_key(&(target, *slot)) =>
            {
                return Err(loaded::taken("the slot"));
            }
            Step::Skew { slot, skew } => {
                measured.remove(&(target, *slot));
                skewed.insert((target, *slot), Skewed::put_in(world, place, *skew)?);
            }
            Step::Unskew { slot } => {
                if let Some(ended) = skewed.remove(&(target, *slot)) {
                    measured.insert((target, *slot), ended.measured());
                }
            }
            Step::Engage { slot, act } => {
                measured.remove(&(target, *slot));
                engaged.insert((target, *slot), Engaged::put_in(world, place, *act)?);
            }
            Step::Disengage { slot } => {
                if let Some(ended) = engaged.remove(&(target, *slot)) {
                    measured.insert((target, *slot), ended.measured());
                }
            }
            Step::Cover { slot } if engaged.contains_key(&(target, *slot)) => {
                if let Some(act) = engaged.get_mut(&(target, *slot)) {
                    act.cover(world, now);
                }
            }
            Step::Begin { slot, .. } | Step::Renew { slot, .. } | Step::End { slot }
                if engaged.contains_key(&(target, *slot)) =>
            {
                if let Some(act) = engaged.get_mut(&(target, *slot)) {
                    act.tell(step);
                }
            }
            Step::Cover { slot } => {
                let skew = skewed.get_mut(&(target, *slot)).ok_or_else(loaded::nothing)?;
                skew.cover(world, now);
            }
            Step::Begin { slot, .. } | Step::Renew { slot, .. } | Step::End { slot }
                if skewed.contains_key(&(target, *slot)) =>
            {
                if let Some(skew) = skewed.get_mut(&(target, *slot)) {
                    skew.tell(step);
                }
            }
            Step::Load if loaded.contains_key(&target) => {
                return Err(KernelError::Answer("the target is loaded already".to_owned()));
            }
            Step::Load => {
                loaded.insert(target, Loaded::default());
            }
            Step::Unload => {
                loaded.remove(&target);
            }
            Step::Attach(_)
            | Step::Detach(_)
            | Step::Own(_)
            | Step::TaggedElsewhere(_)
            | Step::ControlPath(_)
            | Step::Rule { .. }
            | Step::Clear { .. }
            | Step::AddPeers(_)
            | Step::RemovePeers(_)
            | Step::ReadOpeners(_)
            | Step::ForgetOpeners { .. }
            | Step::Begin { .. }
            | Step::Renew { .. }
            | Step::End { .. } => {
                loaded.get_mut(&target).ok_or_else(loaded::nothing)?.perform(world, place, step)?;
            }
        }
        performed.push((target, step.clone()));
        Ok(())
    }

    fn inspect(&self, place: &Place) -> Result<Sight, KernelError> {
        self.meet(&Call::Look(place))?;
        let now = self.now();
        let state = lock(&self.shared.state);
        if bound_process(place).is_some_and(|process| !state.world.lives(process)) {
            return Ok(Sight::Gone(Gone::Process));
        }
        let Some(namespace) = state.world.open(place) else {
            return Ok(Sight::Gone(Gone::Namespace));
        };
        let mut observed = Observed {
            devices: namespace.devices(),
            addresses: namespace.addresses(),
            broadcasts: namespace.broadcasts(),
            ..Observed::default()
        };
        if let Some(loaded) = state.loaded.get(&place.identity.namespace) {
            observed.chains = loaded.chains(namespace);
            observed.leases = loaded.leases.clone();
        }
        let cookie = place.identity.namespace;
        let skewed = state.skewed.iter().filter(|((here, _), _)| *here == cookie);
        let skewed = skewed.map(|((_, slot), skew)| (*slot, skew.look(&state.world, now)));
        let engaged = state.engaged.iter().filter(|((here, _), _)| *here == cookie);
        let engaged = engaged.map(|((_, slot), act)| (*slot, act.look(&state.world, now)));
        observed.coverage = skewed.chain(engaged).collect();
        Ok(Sight::Present(observed))
    }

    fn own_network(&self) -> Option<NamespaceCookie> {
        lock(&self.shared.state).world.agents_network()
    }

    fn lives(&self, process: ProcessIdentity) -> bool {
        lock(&self.shared.state).world.lives(process)
    }

    fn resolve(&self, selector: &Selector, aspect: Aspect) -> Result<Vec<Target>, KernelError> {
        lock(&self.shared.state).world.resolve(selector, aspect)
    }

    fn owners(&self, addresses: &[IpAddr]) -> Result<Vec<Target>, KernelError> {
        Ok(lock(&self.shared.state).world.owners(addresses))
    }

    fn listing(&self) -> Listing {
        let state = lock(&self.shared.state);
        let look = |selector: &Selector| state.world.resolve(selector, Aspect::Network);
        Listing::of(state.world.schemes(), look)
    }

    fn logs(&self, place: &Place) -> Result<Vec<Log>, KernelError> {
        lock(&self.shared.state).world.logs(place)
    }

    fn capture(&self, place: &Place, capture: &Capture) -> Result<Box<dyn Tap>, KernelError> {
        lock(&self.shared.state).world.tap(place, capture)
    }

    fn effect(&self, target: NamespaceCookie, slot: Slot) -> Result<Effect, KernelError> {
        self.read(target, |loaded| loaded.effects.get(&slot).copied().unwrap_or_default())
    }

    fn hook(&self, target: NamespaceCookie, side: Side) -> Result<Hook, KernelError> {
        self.read(target, |loaded| loaded.hooks.get(&side).copied().unwrap_or_default())
    }

    fn lease(&self, target: NamespaceCookie, slot: Slot) -> Option<(BootTime, BootTime)> {
        {
            let state = lock(&self.shared.state);
            if let Some(skew) = state.skewed.get(&(target, slot)) {
                return skew.lease;
            }
            if let Some(act) = state.engaged.get(&(target, slot)) {
                return act.lease;
            }
        }
        self.read(target, |loaded| loaded.leases.get(&slot).copied()).ok().flatten()
    }

    fn measured(&self, target: NamespaceCookie, slot: Slot) -> Option<Measured> {
        let state = lock(&self.shared.state);
        let standing = state.skewed.get(&(target, slot)).map(Skewed::measured);
        let engaged = || state.engaged.get(&(target, slot)).map(Engaged::measured);
        standing.or_else(engaged).or_else(|| state.measured.get(&(target, slot)).cloned())
    }

    fn follow(&self, place: &Place) -> Result<(), KernelError> {
        self.meet(&Call::Follow(place))?;
        let mut state = lock(&self.shared.state);
        if state.world.open(place).is_none() {
            return Err(KernelError::Gone(place.selector.scheme.clone()));
        }
        state.world.follow(place.identity.namespace);
        Ok(())
    }

    fn stirs(&self) -> Option<UnboundedReceiver<Stir>> {
        lock(&self.shared.stirs).take()
    }

    fn probe(&self, order: &ProbeOrder) -> Result<ProbeResult, KernelError> {
        let state = lock(&self.shared.state);
        for place in [&order.from, &order.to] {
            if state.world.open(place).is_none() {
                return Err(KernelError::Gone(place.selector.scheme.clone()));
            }
        }
        Ok(ProbeResult { sent: order.count, ..state.probes.clone() })
    }
}
