//! Who performs a step, and what it is told.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ActivityKind, FaultLabel, StrategyError, Template};

/// Who performs a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Provider {
    /// A program.
    Process(Process),
    /// A request.
    Http(Http),
    /// A function.
    Python(Python),
    /// This system itself.
    Schism(Call),
}

/// A program and what it is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// A file, or a name that is looked for in PATH. No value is put into it.
    pub path: String,
    /// Its arguments.
    pub arguments: ProcessArguments,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// Arguments of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessArguments {
    /// One each. Empty ones are left out.
    Words(Vec<Value>),
    /// One text: words of a shell. `compat` gives it to one, as the original does.
    Line(Template),
    /// Names and values in turn.
    Pairs(Map<String, Value>),
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Whom to ask.
    pub url: Template,
    /// How, in capitals.
    pub method: String,
    /// Headers, whose values may hold values.
    pub headers: Map<String, Value>,
    /// The query of a GET, the body of anything else.
    pub arguments: Option<Value>,
    /// How long it may take; without end if unset.
    pub timeout: Option<HttpTimeout>,
    /// Whether the other side's certificate matters.
    pub tls: Tls,
    /// How often a connection is tried again.
    pub retries: u32,
}

/// How long a request may take.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpTimeout {
    /// Each of connecting and waiting for bytes.
    Each(Duration),
    /// Connecting, and waiting for bytes.
    Both(Duration, Duration),
    /// What a value says.
    Value(Template),
}

/// Whether a certificate must be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// It must.
    Verified,
    /// It need not.
    Unverified,
}

/// A function.
#[derive(Clone, Debug, PartialEq)]
pub struct Python {
    /// Where it is.
    pub module: String,
    /// What it is called.
    pub func: String,
    /// What it is given by name.
    pub arguments: Map<String, Value>,
    /// Which groups of secrets it is given.
    pub secrets: Vec<String>,
    /// How long it may take, where its step says nothing. The original reads over it.
    pub timeout: Option<Duration>,
}

/// Something that this system does or sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What.
    pub verb: Verb,
    /// What the command line takes, by the names of its options.
    pub arguments: Map<String, Value>,
    /// What the fault is called.
    pub label: Option<FaultLabel>,
    /// Whether the fault must have had an effect.
    pub effect: EffectPolicy,
}

/// What this system does or sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// It puts a fault in, which lasts until it is healed, its deadline, or the end of the run.
    Fault(FaultVerb),
    /// It takes one out.
    Heal,
    /// It looks.
    Read(Reading),
    /// It asks a Zeebe cluster, or has it do something, as an action or as a probe.
    Zeebe,
    /// It has pods of a Kubernetes cluster go.
    Pod,
    /// It has no pods come to a node of one, for a while, or lets them come again.
    Node,
}

/// Faults that last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultVerb {
    /// Packets are lost.
    Cut,
    /// Clocks are moved.
    Skew,
    /// Processes stand still.
    Freeze,
    /// Processes are ended.
    Kill,
    /// Processes have less of the machine.
    Stress,
}

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// What a fault has done so far, or did.
    Effect,
    /// A metric.
    Metric,
    /// Lines of a log.
    Logs,
}

/// Whether a fault must have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectPolicy {
    /// The run has failed without one.
    Required,
    /// It need not.
    Optional,
}

impl Verb {
    /// All, as they are written.
    pub const KNOWN: &[&str] = &[
        "cut", "skew", "freeze", "kill", "stress", "heal", "effect", "metric", "logs", "zeebe",
        "pod", "node",
    ];

    /// Whether a step of this kind may do it.
    #[must_use]
    pub const fn fits(self, kind: ActivityKind) -> bool {
        match (self, kind) {
            (Self::Fault(_) | Self::Heal | Self::Pod | Self::Node, ActivityKind::Action)
            | (Self::Read(_), ActivityKind::Probe)
            | (Self::Zeebe, _) => true,
            (Self::Fault(_) | Self::Heal | Self::Pod | Self::Node, ActivityKind::Probe)
            | (Self::Read(_), ActivityKind::Action) => false,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fault(FaultVerb::Cut) => "cut",
            Self::Fault(FaultVerb::Skew) => "skew",
            Self::Fault(FaultVerb::Freeze) => "freeze",
            Self::Fault(FaultVerb::Kill) => "kill",
            Self::Fault(FaultVerb::Stress) => "stress",
            Self::Heal => "heal",
            Self::Read(Reading::Effect) => "effect",
            Self::Read(Reading::Metric) => "metric",
            Self::Read(Reading::Logs) => "logs",
            Self::Zeebe => "zeebe",
            Self::Pod => "pod",
            Self::Node => "node",
        })
    }
}

impl FromStr for Verb {
    type Err = StrategyError;

    fn from_str(text: &str) -> Result<Self, StrategyError> {
        Ok(match text {
            "cut" => Self::Fault(FaultVerb::Cut),
            "skew" => Self::Fault(FaultVerb::Skew),
            "freeze" => Self::Fault(FaultVerb::Freeze),
            "kill" => Self::Fault(FaultVerb::Kill),
            "stress" => Self::Fault(FaultVerb::Stress),
            "heal" => Self::Heal,
            "effect" => Self::Read(Reading::Effect),
            "metric" => Self::Read(Reading::Metric),
            "logs" => Self::Read(Reading::Logs),
            "zeebe" => Self::Zeebe,
            "pod" => Self::Pod,
            "node" => Self::Node,
            _ => return Err(StrategyError { text: text.to_owned(), known: Self::KNOWN }),
        })
    }
}
