//! Does what a run asks for, each thing in a task of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use experiment::model::{ControlProvider, Reading, Side, Verb};
use experiment::run::invocation::{Arguments, Invocation};
use experiment::run::{CallId, Ending, Event, Hook, Level, NamedFault, Perform};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::faults::Faults;
use super::faults::withdrawal::Withdrawal;
use super::python::Python;
use super::reaper::Reaper;
use super::request::Order;
use super::{disrupting, logs, metric, program, zeebe};

/// How long is waited at the end for what is stopped (2 s).
const PATIENCE: Duration = Duration::from_secs(2);

/// Whoever performs steps.
pub(crate) struct Executor {
    /// Where faults are kept: by others than those who draw, write and wait for programs.
    keepers: Handle,
    events: mpsc::UnboundedSender<Event>,
    faults: Arc<Faults>,
    python: Arc<Python>,
    reaper: Arc<Reaper>,
    /// The settings by which Zeebe is asked; `None` where they are looked for as by every command.
    settings: Option<Arc<Path>>,
    under_way: HashMap<CallId, JoinHandle<()>>,
    /// Faults that are put in.
    on_their_way: HashMap<CallId, Withdrawal>,
}

impl Executor {
    /// Faults are kept by the runtime of whoever calls this; programs and requests are those of whoever has them
    /// performed.
    pub(crate) fn new(
        events: mpsc::UnboundedSender<Event>,
        faults: Arc<Faults>,
        reaper: Reaper,
        settings: Option<PathBuf>,
    ) -> Self {
        let reaper = Arc::new(reaper);
        let python = Arc::new(Python::new(Arc::clone(&reaper)));
        let keepers = Handle::current();
        let (settings, under_way) = (settings.map(Arc::from), HashMap::new());
        let on_their_way = HashMap::new();
        Self { keepers, events, faults, python, reaper, settings, under_way, on_their_way }
    }

    fn begin(
        &mut self,
        at: &Handle,
        call: CallId,
        work: impl Future<Output = Ending> + Send + 'static,
    ) {
        let events = self.events.clone();
        let task = at.spawn(async move {
            let ending = work.await;
            // The run may be over.
            let _ = events.send(Event::Finished(call, ending));
        });
        self.under_way.retain(|_, task| !task.is_finished());
        self.under_way.insert(call, task);
    }

    /// Performs a step.
    pub(crate) fn perform(&mut self, perform: Perform) {
        let Perform { call, invocation, fault, .. } = perform;
        let invocation = invocation.reveal().clone();
        let (faults, python) = (Arc::clone(&self.faults), Arc::clone(&self.python));
        let (reaper, settings) = (Arc::clone(&self.reaper), self.settings.clone());
        match (invocation, fault) {
            (Invocation::Schism { verb: Verb::Fault(verb), arguments }, Some(fault)) => {
                // Nobody drops it: whoever takes it out waits for it.
                let (events, turn) = (self.events.clone(), faults.reserve(&fault.label));
                let (withdrawal, withdrawn) = Withdrawal::new();
                self.on_their_way.retain(|_, other| other.is_heard());
                self.on_their_way.insert(call, withdrawal);
                self.keepers.spawn(async move {
                    let ending = faults.begin(fault, verb, &arguments, turn, withdrawn).await;
                    let _ = events.send(Event::Finished(call, ending));
                });
            }
            (invocation, _) => {
                let at = match invocation {
                    Invocation::Schism { verb: Verb::Zeebe, .. }
                    | Invocation::Process { .. }
                    | Invocation::Http { .. }
                    | Invocation::Python { .. } => Handle::current(),
                    Invocation::Schism { .. } | Invocation::Targets { .. } => self.keepers.clone(),
                };
                let work = async move {
                    let settings = settings.as_deref();
                    carry_out(invocation, &faults, &python, (&reaper, settings)).await
                };
                self.begin(&at, call, work);
            }
        }
    }

    /// Performs nothing, and says why.
    pub(super) fn refuse(&self, call: CallId, why: String) {
        // The run may be over.
        let _ = self.events.send(Event::Finished(call, Ending::Failed(why)));
    }

    /// Performs a hook.
    pub(crate) fn control(&mut self, hook: Hook) {
        let (python, reaper) = (Arc::clone(&self.python), Arc::clone(&self.reaper));
        let call = hook.call;
        let work = async move { play(hook, &python, &reaper).await };
        self.begin(&Handle::current(), call, work);
    }

    /// Stops something.
    pub(crate) fn abort(&mut self, call: CallId) {
        if let Some(task) = self.under_way.remove(&call) {
            task.abort();
        }
        if let Some(withdrawal) = self.on_their_way.get(&call) {
            withdrawal.say();
        }
    }

    /// Stops whatever is still under way, and waits until it is: a program's group is killed by that.
    pub(crate) async fn end(self) {
        let tasks: Vec<JoinHandle<()>> = self.under_way.into_values().collect();
        tasks.iter().for_each(JoinHandle::abort);
        let all = async {
            futures_util::future::join_all(tasks).await;
            self.reaper.settle().await;
        };
        // What does not stop by then stops with this process.
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }

    /// Takes a fault out.
    pub(crate) fn heal(&self, call: CallId, fault: NamedFault) {
        let (events, faults) = (self.events.clone(), Arc::clone(&self.faults));
        self.keepers.spawn(async move {
            let healing = faults.heal(&fault).await;
            let _ = events.send(Event::Healed(call, healing));
        });
    }
}

async fn carry_out(
    invocation: Invocation,
    faults: &Faults,
    python: &Arc<Python>,
    (reaper, settings): (&Arc<Reaper>, Option<&Path>),
) -> Ending {
    match invocation {
        Invocation::Process { path, arguments, timeout } => {
            program::perform(&path, &arguments, &[], timeout, reaper).await
        }
        Invocation::Http { url, method, headers, arguments, timeout, tls, retries } => {
            Order { url, method, headers, arguments, timeout, tls, retries }.perform().await
        }
        Invocation::Python { module, func, arguments, configuration, secrets } => {
            let order = json!({"what": "function", "module": module, "func": func,
                "arguments": arguments, "configuration": configuration, "secrets": secrets});
            python.perform(order).await
        }
        Invocation::Schism { verb: Verb::Read(Reading::Effect), arguments } => {
            let label = arguments.get("fault").and_then(Value::as_str).unwrap_or_default();
            match label.parse() {
                Ok(label) => faults.effect(&label).await,
                Err(error) => Ending::Failed(format!("`effect` takes a fault: {error}")),
            }
        }
        Invocation::Schism { verb: Verb::Read(Reading::Metric), arguments } => {
            metric::perform(&arguments).await
        }
        Invocation::Schism { verb: Verb::Read(Reading::Logs), arguments } => {
            logs::perform(&arguments, faults, reaper).await
        }
        Invocation::Schism { verb: Verb::Zeebe, arguments } => {
            zeebe::perform(&arguments, settings, reaper).await
        }
        Invocation::Schism { verb: Verb::Pod | Verb::Node, .. } => {
            Ending::Failed(disrupting::NO_CONTROLLER.to_owned())
        }
        Invocation::Schism { verb: Verb::Fault(_), .. } => {
            Ending::Failed("the fault has no name".to_owned())
        }
        Invocation::Schism { verb: Verb::Heal, .. } => {
            Ending::Failed("`heal` takes the name of a fault as `fault`".to_owned())
        }
        Invocation::Targets { selector, seed, concern } => {
            faults.targets(&selector, seed, concern).await
        }
    }
}

async fn play(hook: Hook, python: &Arc<Python>, reaper: &Arc<Reaper>) -> Ending {
    let side = match hook.side {
        Side::Before => "before",
        Side::After => "after",
    };
    let level = hook.level;
    match hook.provider {
        ControlProvider::Python { module, arguments } => {
            let func = match level {
                Level::Experiment => format!("{side}_experiment_control"),
                Level::Hypothesis => format!("{side}_hypothesis_control"),
                Level::Method => format!("{side}_method_control"),
                Level::Rollback => format!("{side}_rollback_control"),
                Level::Activity => format!("{side}_activity_control"),
            };
            let extra: Map<String, Value> = [
                ("state".to_owned(), hook.state),
                ("configuration".to_owned(), Value::Object(Map::new())),
                ("secrets".to_owned(), Value::Object(Map::new())),
            ]
            .into_iter()
            .collect();
            let order = json!({"what": "control", "module": module, "func": func,
                "context": hook.context, "arguments": arguments, "extra": extra});
            python.perform(order).await
        }
        ControlProvider::Process(process) => {
            let words = match &process.arguments {
                experiment::model::ProcessArguments::Words(words) => {
                    words.iter().filter_map(Value::as_str).map(str::to_owned).collect()
                }
                experiment::model::ProcessArguments::Line(_)
                | experiment::model::ProcessArguments::Pairs(_) => Vec::new(),
            };
            let variables = [
                ("SCHISM_CONTROL_LEVEL".to_owned(), level.to_string()),
                ("SCHISM_CONTROL_SIDE".to_owned(), side.to_owned()),
            ];
            let arguments = Arguments::Words(words);
            program::perform(&process.path, &arguments, &variables, process.timeout, reaper).await
        }
    }
}
