//! Who is cut off from whom, in words.

use std::fmt;

use fault::{Cut, Effect, Fault, FlowAge, Kind, Side, State, Status, Verdict};

use serde::Serialize;

use super::quantity::{bytes, count};
use super::table::Tone;
use super::{clocks, freezes, kills, loads};

/// On whom a fault acts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub(crate) enum Route {
    /// A cut, in the direction in which it loses.
    Between {
        /// Who sends.
        from: String,
        /// Who would receive.
        to: String,
    },
    /// A fault that has no other side.
    On {
        /// Whom it concerns.
        target: String,
    },
}

impl From<&Fault> for Route {
    fn from(fault: &Fault) -> Self {
        let mut names: Vec<String> =
            fault.peers.fixed.iter().map(|prefix| format!("addr:{prefix}")).collect();
        names.extend(fault.peers.followed.iter().map(|peer| peer.selector.to_string()));
        let (target, peers) = (fault.selector.to_string(), names.join(","));
        match &fault.kind {
            Kind::Cut(Cut { side: Side::Ingress, .. }) => Self::Between { from: peers, to: target },
            Kind::Cut(Cut { side: Side::Egress, .. }) => Self::Between { from: target, to: peers },
            Kind::Skew(_) | Kind::Freeze(_) | Kind::Kill(_) | Kind::Stress(_) => {
                Self::On { target }
            }
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between { from, to } => write!(f, "{from} → {to}"),
            Self::On { target } => f.write_str(target),
        }
    }
}

/// A fault in words: `ID a → b: packet, at the receiver`, `ID pid:4711: clocks realtime +1h`.
pub(crate) fn describe(fault: &Fault) -> String {
    format!("{} {}: {}", fault.id, Route::from(fault), what(&fault.kind))
}

/// What a fault does, but between or to whom.
pub(crate) fn what(kind: &Kind) -> String {
    match kind {
        Kind::Cut(cut) => format!("{}, at the {}", selection(cut), place(cut.side)),
        Kind::Skew(skew) => clocks::describe(skew),
        Kind::Freeze(freeze) => freezes::describe(freeze).to_owned(),
        Kind::Kill(kill) => kills::describe(kill),
        Kind::Stress(stress) => stress.to_string(),
    }
}

/// What a fault has done so far, in a line.
pub(crate) fn done(status: &Status) -> String {
    match &status.fault.kind {
        Kind::Cut(cut) => {
            let lost = match cut.verdict {
                Verdict::Drop => "lost",
                Verdict::Count => "would have lost",
            };
            let effect = &status.effect;
            format!("{lost} {}, {}", count(effect.lost, "packet"), bytes(effect.lost_bytes))
        }
        Kind::Skew(_) => clocks::moved(status.measured.as_ref()),
        Kind::Freeze(_) => freezes::stood(status.measured.as_ref()),
        Kind::Kill(_) => kills::ended(status.measured.as_ref()),
        Kind::Stress(_) => loads::took(status.measured.as_ref()),
    }
}

/// A figure of what a cut has lost; of one that only counts, of what it would have.
pub(crate) fn lost(cut: &Cut, figure: impl fmt::Display) -> String {
    match cut.verdict {
        Verdict::Drop => figure.to_string(),
        Verdict::Count => format!("would be {figure}"),
    }
}

/// How many packets of those that matched got through.
pub(crate) const fn got_through(cut: &Cut, effect: &Effect) -> u64 {
    match cut.verdict {
        Verdict::Drop => effect.matched.saturating_sub(effect.lost),
        Verdict::Count => effect.matched,
    }
}

/// Which of the two sides a cut is enforced at.
pub(crate) const fn place(side: Side) -> &'static str {
    match side {
        Side::Ingress => "receiver",
        Side::Egress => "sender",
    }
}

/// What a cut loses, but for who sends it to whom: `packet, tcp port 2380, new flows, 30% loss`.
pub(crate) fn selection(cut: &Cut) -> String {
    let mut words = vec![cut.mode.to_string()];
    match (cut.protocol, cut.port) {
        (Some(protocol), Some(port)) => words.push(format!("{protocol} port {port}")),
        (Some(protocol), None) => words.push(protocol.to_string()),
        (None, Some(port)) => words.push(format!("port {port}")),
        (None, None) => {}
    }
    match cut.flows {
        FlowAge::All => {}
        FlowAge::New | FlowAge::Established => words.push(format!("{} flows", cut.flows)),
    }
    if !cut.loss.is_certain() {
        words.push(format!("{} loss", cut.loss));
    }
    words.join(", ")
}

/// How a state is to be read.
pub(crate) const fn tone(state: State) -> Tone {
    match state {
        State::Active => Tone::Good,
        State::Shadowed | State::Healing | State::Prepared => Tone::Doubtful,
        State::Gone(_) | State::Failed => Tone::Bad,
        State::Healed | State::Expired => Tone::Plain,
    }
}

/// A note for everything that differs from what was asked.
pub(crate) fn drifts(status: &Status) -> Vec<String> {
    let about = |drift: &fault::Drift| format!("{}: {drift}", status.fault.id);
    status.drifts.iter().map(about).collect()
}
