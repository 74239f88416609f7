//! A fleet, what is done to it, and what it does.

mod running;

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agent::fake::{Call, Trouble};
use agent::kernel::Step;
use controller::control::Control;
use fault::{IntentId, Limits};
use proto::control as wire;
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;

use crate::dice::Dice;
use crate::errands::{self, Errand, First, Tidings};
use crate::network::Way;
use crate::node::Node;
use crate::office::Office;
use crate::oracle::{Asked, Oracle, is_out, sender};

/// From one look of the oracle to the next.
const GLANCE: Duration = Duration::from_millis(100);
/// How long anything may take once all is well again.
const PATIENCE: Duration = Duration::from_secs(120);

/// What somebody was told.
enum Told {
    Applied(IntentId, Result<Box<wire::Intent>, String>),
    Healed(IntentId, Known, Result<Box<wire::Intent>, String>),
    /// The controller died while it was asked.
    Nothing,
}

/// Whether somebody had been told of an intent when it was asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Yes,
    No,
}

/// Whether anything breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Calm,
    Rough,
}

/// What will be well again, and when.
enum Repair {
    Road(usize, Way),
    Pace(usize),
    Agent(usize),
    Disk,
    Brake,
}

pub(crate) struct World {
    nodes: Vec<Node>,
    office: Office,
    pub(crate) oracle: Oracle,
    events: Option<broadcast::Receiver<wire::Event>>,
    answers: mpsc::UnboundedReceiver<Told>,
    answer: mpsc::UnboundedSender<Told>,
    open: usize,
    tidings: mpsc::UnboundedReceiver<Tidings>,
    tell: mpsc::UnboundedSender<Tidings>,
    errands: usize,
    repairs: Vec<(Instant, Repair)>,
    dice: Dice,
    began: Instant,
    pub(crate) history: String,
}

/// What a controller tells from now on.
async fn coming(control: &Control) -> Option<broadcast::Receiver<wire::Event>> {
    control.watch(0).await.ok().map(|watching| watching.coming)
}

impl World {
    pub(crate) async fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let mut office = Office::new(&dice);
        let count = 1 + u8::try_from(dice.below(4)).unwrap();
        let nodes: Vec<Node> = (1..=count).map(|n| Node::new(n, &office.port, &dice)).collect();
        office.start().await;
        let oracle = Oracle::new(office.platter.clone());
        let (answer, answers) = mpsc::unbounded_channel();
        let (tell, tidings) = mpsc::unbounded_channel();
        let events = match &office.life {
            Some(life) => coming(&life.control).await,
            None => None,
        };
        Self {
            nodes,
            office,
            oracle,
            events,
            answers,
            answer,
            open: 0,
            tidings,
            tell,
            errands: 0,
            repairs: Vec::new(),
            dice: dice.fork(),
            began: Instant::now(),
            history: String::new(),
        }
    }

    /// Lives through a whole history, and comes to rest.
    pub(crate) async fn run(&mut self) {
        self.until("every agent is found", Self::all_found).await;
        let mood = if self.dice.happens(10) { Mood::Calm } else { Mood::Rough };
        for _ in 0..10 + self.dice.below(20) {
            let pause = self.dice.millis(0, 2_500);
            self.pass(pause).await;
            match mood {
                Mood::Rough if self.dice.happens(50) => self.harm(),
                Mood::Rough | Mood::Calm => self.act().await,
            }
        }
        if mood == Mood::Calm {
            self.pass(Duration::from_secs(30)).await;
        }
        self.mend().await;
        self.until("every agent is found", Self::all_found).await;
        self.heal_all();
        self.finish_runs().await;
        self.until("every question has its answer", |world| world.open == 0).await;
        self.until("everything is out", Self::all_out).await;
        self.settle().await;
        self.end(mood).await;
    }

    fn note(&mut self, what: impl std::fmt::Display) {
        let at = self.began.elapsed().as_secs_f64();
        // A string takes everything.
        let _ = writeln!(self.history, "{at:9.3} {what}");
    }

    fn control(&self) -> Option<Control> {
        Some(self.office.life.as_ref()?.control.clone())
    }

    fn all_found(&self) -> bool {
        let Some(control) = self.control() else { return false };
        self.nodes.iter().all(|node| control.agents().offset(&node.name).is_some())
            && control.agents().seen().iter().filter(|seen| seen.connected).count()
                == self.nodes.len()
    }

    fn all_out(&self) -> bool {
        self.nodes.iter().all(|node| node.kernel.snapshot().is_empty())
    }

    /// Lets time pass, while the oracle looks.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let step = GLANCE.min(end.saturating_duration_since(Instant::now()));
            tokio::time::sleep(step).await;
            self.listen().await;
            self.oracle.look(&self.nodes).await;
            self.repair().await;
            if Instant::now() >= end {
                return;
            }
        }
    }

    async fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is(self) {
            if began.elapsed() > PATIENCE {
                let state = self.state().await;
                return self.oracle.demand(false, || format!("never: {what}\n{state}"));
            }
            self.pass(GLANCE).await;
        }
    }

    async fn state(&self) -> String {
        let mut state = String::new();
        if let Some(control) = self.control() {
            for intent in control.list().await.unwrap().0 {
                let parts = intent.parts.iter().map(|p| format!("{}:{}", p.node, p.trouble));
                let parts: Vec<String> = parts.collect();
                let id = IntentId::from_random(intent.id);
                let _ = writeln!(state, "{id} {:?} {} {parts:?}", intent.stage(), intent.reason);
            }
        }
        for node in &self.nodes {
            let _ = writeln!(state, "{} has {}", node.name, node.living().await);
        }
        state
    }

    async fn listen(&mut self) {
        self.hear();
        while let Some(Ok(event)) = self.events.as_mut().map(broadcast::Receiver::try_recv) {
            if let Some(wire::event::Kind::Intent(intent)) = event.kind {
                let id = IntentId::from_random(intent.id);
                self.note(format_args!("  {id} is {:?} {}", intent.stage(), intent.reason));
                self.oracle.told(&intent).await;
            }
        }
        while let Ok(told) = self.answers.try_recv() {
            self.open -= 1;
            match told {
                Told::Nothing => self.note("  no answer: the controller is gone"),
                Told::Applied(id, Ok(intent)) | Told::Healed(id, _, Ok(intent)) => {
                    self.note(format_args!("  told: {id} is {:?}", intent.stage()));
                    self.oracle.told(&intent).await;
                }
                Told::Applied(id, Err(error)) => self.note(format_args!("  told: {id}: {error}")),
                Told::Healed(id, known, Err(error)) => {
                    self.note(format_args!("  told: heal {id}: {error}"));
                    self.oracle.demand(known == Known::No, || format!("{id} is lost: {error}"));
                }
            }
        }
    }

    async fn act(&mut self) {
        match self.dice.below(16) {
            10..13 => self.begin_run(),
            13..15 => self.take_over_some().await,
            15 => self.end_some(),
            0..6 => self.ask_anew(),
            6..8 => {
                let known: Vec<IntentId> = self.oracle.asked.keys().copied().collect();
                if !known.is_empty() {
                    let id = *self.dice.one_of(&known);
                    self.heal(id);
                }
            }
            8 => {
                let known: Vec<IntentId> = self.oracle.asked.keys().copied().collect();
                if !known.is_empty() {
                    let id = *self.dice.one_of(&known);
                    self.ask(id);
                }
            }
            _ => self.check_list().await,
        }
    }

    /// A number that nobody has, and whom its fault concerns.
    fn aim(&self) -> (u8, String) {
        let known = self.oracle.asked.len() + self.oracle.of_runs.len();
        let node = self.dice.one_of(&self.nodes).name.clone();
        let to = match self.dice.below(3) {
            0 => format!("netns:shared@{node}"),
            1 => "50%:netns:shared".to_owned(),
            _ => "all:netns:shared".to_owned(),
        };
        (u8::try_from(known + 1).unwrap(), to)
    }

    fn ask_anew(&mut self) {
        let (number, to) = self.aim();
        let lease = self.dice.millis(1_000, 4_000);
        let total = lease + self.dice.millis(0, 20_000);
        let spec = spec(&sender(number), &to, lease, total, self.dice.number());
        let id = IntentId::from_random(self.dice.number());
        self.oracle.asked.insert(id, Asked::new(number, spec, lease, total));
        self.note(format_args!("ask {id} (no {number}) → {to} for {total:?}, lease {lease:?}"));
        self.ask(id);
    }

    fn ask(&mut self, id: IntentId) {
        let spec = self.oracle.asked[&id].spec.clone();
        self.question(format!("ask {id}"), async move |control| {
            let limits = Limits::default();
            let result = control.request(id, spec, "a simulation", &limits).await;
            Told::Applied(id, result.map(Box::new).map_err(|error| error.to_string()))
        });
    }

    fn heal(&mut self, id: IntentId) {
        let known = if self.oracle.asked[&id].acknowledged { Known::Yes } else { Known::No };
        self.question(format!("heal {id}"), async move |control| {
            let result = control.heal(id, "a simulation").await;
            Told::Healed(id, known, result.map(Box::new).map_err(|error| error.to_string()))
        });
    }

    fn heal_all(&mut self) {
        let known: Vec<IntentId> = self.oracle.asked.keys().copied().collect();
        known.into_iter().for_each(|id| self.heal(id));
    }

    fn question<F>(&mut self, what: String, ask: impl FnOnce(Control) -> F)
    where
        F: Future<Output = Told> + Send + 'static,
    {
        let Some(life) = &self.office.life else { return };
        let (asking, mut death) = (ask(life.control.clone()), life.death());
        let answer = self.answer.clone();
        self.open += 1;
        tokio::spawn(async move {
            let told = tokio::select! {
                biased;
                _ = death.wait_for(|dead| *dead) => Told::Nothing,
                told = asking => told,
            };
            // The history may have ended.
            let _ = answer.send(told);
        });
        self.note(what);
    }

    /// Whoever was told that an intent stands must find it.
    async fn check_list(&mut self) {
        let Some(control) = self.control() else { return };
        // A disk that is slow makes everybody wait.
        let Ok(listed) = tokio::time::timeout(PATIENCE, control.list()).await else {
            return self.oracle.demand(false, || "no list within 2 min".to_owned());
        };
        let Ok((listed, _)) = listed else { return };
        let known: Vec<(IntentId, bool)> =
            self.oracle.asked.iter().map(|(id, asked)| (*id, asked.acknowledged)).collect();
        for (id, acknowledged) in known {
            let there = listed.iter().any(|intent| intent.id == id.get());
            self.oracle.demand(there || !acknowledged, || format!("{id} is lost"));
        }
    }

    fn harm(&mut self) {
        let node = usize::try_from(self.dice.below(self.nodes.len() as u64)).unwrap();
        let name = self.nodes[node].name.clone();
        let long = self.dice.millis(50, 9_000);
        let back = Instant::now() + long;
        match self.dice.below(16) {
            0..5 => {
                let ways: &[Way] = match self.dice.below(4) {
                    0 => &[Way::Out],
                    1 => &[Way::Back],
                    _ => &[Way::Out, Way::Back],
                };
                self.note(format_args!("{name} is cut off {ways:?} for {long:?}"));
                for way in ways {
                    self.nodes[node].road.close(*way);
                    self.repairs.push((back, Repair::Road(node, *way)));
                }
            }
            5..7 => {
                let slow = 1 + self.dice.below(3_000);
                self.note(format_args!("{name} takes up to {slow} ms for {long:?}"));
                self.nodes[node].road.slow.store(slow, Ordering::Relaxed);
                self.repairs.push((back, Repair::Pace(node)));
            }
            7..9 => {
                self.note(format_args!("the agent of {name} is killed for {long:?}"));
                self.nodes[node].kill();
                self.repairs.push((back, Repair::Agent(node)));
            }
            9..12 => {
                self.note("the controller is killed");
                self.office.kill();
                self.events = None;
                let restart = self.dice.millis(0, 6_000);
                self.repairs.push((Instant::now() + restart, Repair::Disk));
            }
            12 => {
                self.note(format_args!("the disk is full for {long:?}"));
                self.office.platter.weather.full.store(true, Ordering::Relaxed);
                self.repairs.push((back, Repair::Disk));
            }
            13 => {
                self.note(format_args!("the disk is slow for {long:?}"));
                self.office.platter.weather.slow.store(3_000, Ordering::Relaxed);
                self.repairs.push((back, Repair::Disk));
            }
            14 => self.spoil(node),
            _ => {
                self.brake(Some("enough"));
                self.repairs.push((back, Repair::Brake));
            }
        }
    }

    fn spoil(&mut self, node: usize) {
        let after = usize::try_from(self.dice.below(6)).unwrap();
        let name = self.nodes[node].name.clone();
        self.note(format_args!("{name}: a step fails"));
        let comes_in = |call: &Call<'_>| {
            let step = match call {
                Call::Step(_, step) => step,
                Call::Look(_) | Call::Follow(_) => return false,
            };
            matches!(step, Step::Load | Step::Attach(_) | Step::Rule { .. } | Step::AddPeers(_))
        };
        let trouble = Trouble::errno("bpf", 12, comes_in).after(after).once();
        self.nodes[node].kernel.trouble(trouble);
    }

    /// Puts it on for a reason, or takes it off.
    fn brake(&mut self, reason: Option<&str>) {
        let Some(control) = self.control() else { return };
        self.note(format_args!("brake: {reason:?}"));
        let (on, reason) = (reason.is_some(), reason.unwrap_or_default().to_owned());
        let brake = wire::Brake { on, reason, ..wire::Brake::default() };
        tokio::spawn(async move {
            // A store that is full refuses it.
            let _ = control.brake(brake).await;
        });
    }

    async fn repair(&mut self) {
        let now = Instant::now();
        let due;
        (due, self.repairs) =
            std::mem::take(&mut self.repairs).into_iter().partition(|(at, _)| *at <= now);
        for (_, repair) in due {
            match repair {
                Repair::Road(node, way) => self.nodes[node].road.reopen(way),
                Repair::Pace(node) => self.nodes[node].road.slow.store(2, Ordering::Relaxed),
                Repair::Agent(node) => self.nodes[node].start(),
                Repair::Disk => {
                    self.office.platter.weather.full.store(false, Ordering::Relaxed);
                    self.office.platter.weather.slow.store(0, Ordering::Relaxed);
                    self.reopen().await;
                }
                Repair::Brake => self.brake(None),
            }
        }
    }

    async fn reopen(&mut self) {
        if self.office.life.is_some() {
            return;
        }
        self.office.start().await;
        self.note("the controller is there");
        self.events = match self.control() {
            Some(control) => coming(&control).await,
            None => None,
        };
        self.check_list().await;
    }

    /// What could not be confirmed is asked for with the next heartbeats.
    async fn settle(&mut self) {
        let Some(control) = self.control() else { return };
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let (intents, _) = control.list().await.unwrap();
            if intents.iter().all(|intent| is_out(intent.stage())) {
                return;
            }
            self.pass(GLANCE).await;
        }
    }

    /// Everything is well again.
    async fn mend(&mut self) {
        self.note("all is well again");
        let all = std::mem::take(&mut self.repairs);
        self.repairs = all.into_iter().map(|(_, repair)| (Instant::now(), repair)).collect();
        self.repairs.push((Instant::now(), Repair::Disk));
        self.repair().await;
        for node in &self.nodes {
            node.kernel.calm();
        }
        self.until("every agent is found", Self::all_found).await;
        self.brake(None);
        self.pass(GLANCE * 10).await;
    }

    async fn end(&mut self, mood: Mood) {
        self.pass(Duration::from_secs(1)).await;
        let Some(control) = self.control() else { return };
        let (intents, _) = control.list().await.unwrap();
        for intent in &intents {
            let (id, stage) = (IntentId::from_random(intent.id), intent.stage());
            self.oracle.demand(is_out(stage), || {
                format!("{id} is {stage:?} in the end: {} {:?}", intent.reason, intent.parts)
            });
            let went_well = matches!(stage, wire::Stage::Healed | wire::Stage::Expired);
            self.oracle.demand(went_well || mood == Mood::Rough, || {
                format!("{id} is {stage:?} though nothing was wrong: {}", intent.reason)
            });
        }
        self.check_list().await;
        for node in &self.nodes {
            let living = node.living().await;
            let name = &node.name;
            self.oracle.demand(living == 0, || format!("{name} has {living} faults in the end"));
        }
        self.oracle.judge_history(&self.nodes);
        let steps: usize = self.nodes.iter().map(|node| node.kernel.performed().len()).sum();
        self.note(format_args!("the end, after {steps} steps"));
    }
}

fn spec(from: &str, to: &str, lease: Duration, total: Duration, seed: u64) -> wire::Spec {
    let selector = |text: &str| vec![(&text.parse::<fault::Selector>().unwrap()).into()];
    let pair = wire::Pair {
        from: selector(from),
        to: selector(to),
        direction: wire::Direction::OneWay.into(),
    };
    wire::Spec {
        what: Some(wire::spec::What::Pair(pair)),
        cut: Some(proto::agent::Cut {
            mode: proto::agent::Mode::Packet.into(),
            flows: proto::agent::FlowAge::All.into(),
            loss: 1 << 32,
            verdict: proto::agent::Verdict::Drop.into(),
            side: proto::agent::Side::Ingress.into(),
            ..Default::default()
        }),
        seed,
        lease_ns: u64::try_from(lease.as_nanos()).unwrap(),
        total_ns: u64::try_from(total.as_nanos()).unwrap(),
        ..Default::default()
    }
}
