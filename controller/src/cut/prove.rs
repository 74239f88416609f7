//! `--prove`: probes both ways before, during and after a cut.

use std::time::{Duration, Instant};

use fault::{Cut, FlowAge, Mode, Protocol, Verdict};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::request::{Direction, Party, Request};
use crate::link::{Link, ProbeCount, ProbeEnd, ProbeOrder};
use crate::outcome::Outcome;
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table, Tone};
use crate::spec::Ways;

/// How many probes a way: if all of them are lost one after another, that takes a second.
const COUNT: u32 = 5;
/// From one to the next.
const INTERVAL: Duration = Duration::from_millis(20);
/// How long to wait for one: lost probes take as long as this.
const TIMEOUT: Duration = Duration::from_millis(200);

/// Why addresses are not probed.
const UNREACHABLE: &str = "only targets of this machine can send and receive probes";

/// Probes on their way one way; given up when dropped.
#[derive(Debug)]
pub(crate) struct Sent(JoinHandle<(ProbeCount, Instant)>);

impl Drop for Sent {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When probes were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing of the cut was there.
    Before,
    /// It acted.
    During,
    /// It was healed.
    After,
}

/// One way between two targets, and what arrived.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Way {
    from: String,
    to: String,
    /// What the cut has to do with this way.
    expected: Expectation,
    before: ProbeCount,
    during: ProbeCount,
    after: ProbeCount,
    #[serde(skip)]
    order: Option<ProbeOrder>,
}

/// What should arrive during the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Expectation {
    /// Nothing.
    Lost,
    /// Everything, as before.
    Delivered,
    /// That says nothing: a handshake that needs both ways.
    Open,
    /// A share of it, which so few probes cannot tell from none or all.
    Share,
    /// What depends on a flow's age: probes begin flows of their own.
    Age,
}

/// What probes showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Proof {
    protocol: Protocol,
    ways: Vec<Way>,
    verdict: ProofVerdict,
}

/// What follows from that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "result", content = "reasons")]
pub(crate) enum ProofVerdict {
    /// The cut lost what it should, let pass what it should, and is gone.
    Proven,
    /// Probes can't tell.
    NotProven(Vec<String>),
    /// Probes showed something else.
    Failed(Vec<String>),
}

impl Proof {
    /// Every way that a cut's probes go.
    pub(crate) fn plan(request: &Request, directions: &[Direction]) -> Self {
        let protocol = request.cut.protocol.unwrap_or(match request.cut.mode {
            Mode::Packet => Protocol::Udp,
            Mode::Initiator => Protocol::Tcp,
        });
        let mut ways = Vec::new();
        for direction in directions {
            ways.push(Way::new(direction, request.cut.port, lossy(&request.cut), protocol));
        }
        // With --both-ways the other way is a cut of its own and stands in the list.
        match request.ways() {
            Ways::Both => {}
            Ways::One => {
                let back = against(&request.cut, protocol);
                let new =
                    |direction: &Direction| Way::new(&direction.reversed(), None, back, protocol);
                ways.extend(directions.iter().map(new));
            }
        }
        Self { protocol, ways, verdict: ProofVerdict::NotProven(Vec::new()) }
    }

    /// Sends a stage's probes, all ways at once.
    pub(crate) fn send(&self, link: &Link) -> Vec<Sent> {
        let send = |way: &Way| {
            let (mut link, order) = (link.clone(), way.order.clone());
            let task = tokio::spawn(async move {
                let count = match order {
                    Some(order) => link.probe(&order).await,
                    None => return (none(UNREACHABLE), Instant::now()),
                };
                (count.unwrap_or_else(|failure| none(failure.to_string())), Instant::now())
            });
            Sent(task)
        };
        self.ways.iter().map(send).collect()
    }

    /// Sends a stage's probes and waits for what becomes of them.
    pub(crate) async fn measure(&self, link: &Link) -> Vec<ProbeCount> {
        let mut counts = Vec::new();
        for mut sent in self.send(link) {
            counts.push(match (&mut sent.0).await {
                Ok((count, _)) => count,
                Err(error) => none(error.to_string()),
            });
        }
        counts
    }

    /// Takes the probes of the cut's time that were back before it ended.
    pub(crate) async fn record_during(&mut self, sent: Vec<Sent>, ended: Instant) {
        const REASON: &str = "the cut ended before the probes were back";
        let mut counts = Vec::new();
        for mut sent in sent {
            counts.push(if sent.0.is_finished() {
                match (&mut sent.0).await {
                    Ok((count, back)) if back <= ended => count,
                    Ok(_) => none(REASON),
                    Err(error) => none(error.to_string()),
                }
            } else {
                none(REASON)
            });
        }
        self.record(Stage::During, counts);
    }

    /// Takes a stage's counts.
    pub(crate) fn record(&mut self, stage: Stage, counts: Vec<ProbeCount>) {
        for (way, count) in self.ways.iter_mut().zip(counts) {
            match stage {
                Stage::Before => way.before = count,
                Stage::During => way.during = count,
                Stage::After => way.after = count,
            }
        }
    }

    /// Notes that a stage tells nothing.
    pub(crate) fn spoil(&mut self, stage: Stage, reason: &str) {
        self.record(stage, self.ways.iter().map(|_| none(reason)).collect());
    }

    /// Judges what was measured.
    pub(crate) fn judge(&mut self) {
        let verdicts: Vec<ProofVerdict> = self.ways.iter().map(Way::verdict).collect();
        let mut failed = Vec::new();
        let mut open = Vec::new();
        for verdict in verdicts {
            match verdict {
                ProofVerdict::Proven => {}
                ProofVerdict::NotProven(reasons) => open.extend(reasons),
                ProofVerdict::Failed(reasons) => failed.extend(reasons),
            }
        }
        self.verdict = match (failed.is_empty(), open.is_empty()) {
            (false, _) => ProofVerdict::Failed(failed),
            (true, false) => ProofVerdict::NotProven(open),
            (true, true) => ProofVerdict::Proven,
        };
    }

    /// What follows for the command: only what was shown to be wrong counts.
    pub(crate) const fn outcome(&self) -> Outcome {
        match self.verdict {
            ProofVerdict::Proven | ProofVerdict::NotProven(_) => Outcome::Effective,
            ProofVerdict::Failed(_) => Outcome::Deviated,
        }
    }

    /// Delivered of sent, by way and stage, and what follows.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new(&[
            ("PROBES", Left),
            ("FROM → TO", Left),
            ("BEFORE", Right),
            ("DURING", Right),
            ("AFTER", Right),
        ]);
        for way in &self.ways {
            table.row(vec![
                self.protocol.into(),
                format!("{} → {}", way.from, way.to).into(),
                cell(&way.before),
                cell(&way.during),
                cell(&way.after),
            ]);
        }
        let mut text = table.text();
        let (word, tone, reasons): (_, _, &[String]) = match &self.verdict {
            ProofVerdict::Proven => ("proven", Tone::Good, &[]),
            ProofVerdict::NotProven(reasons) => ("not proven", Tone::Doubtful, reasons),
            ProofVerdict::Failed(reasons) => ("proof failed", Tone::Bad, reasons),
        };
        let mut reasons = reasons.to_vec();
        reasons.dedup();
        let word = tone.paint(word);
        if reasons.is_empty() {
            text.push_str(&format!("{word}: delivered/sent are as the cut says\n"));
        }
        for reason in reasons {
            text.push_str(&format!("{word}: {reason}\n"));
        }
        text
    }
}

impl Way {
    fn new(
        direction: &Direction,
        port: Option<u16>,
        expected: Expectation,
        protocol: Protocol,
    ) -> Self {
        let order = match (&direction.from, &direction.to) {
            (Party::Target(from), Party::Target(to)) => Some(ProbeOrder {
                from: ProbeEnd { selector: from.selector.clone(), identity: from.identity },
                to: ProbeEnd { selector: to.selector.clone(), identity: to.identity },
                protocol,
                port,
                count: COUNT,
                interval: INTERVAL,
                timeout: TIMEOUT,
            }),
            (Party::Addresses(_), _) | (_, Party::Addresses(_)) => None,
        };
        let unsent = || none("no probe was sent");
        Self {
            from: direction.from.name(),
            to: direction.to.name(),
            expected,
            before: unsent(),
            during: unsent(),
            after: unsent(),
            order,
        }
    }

    fn verdict(&self) -> ProofVerdict {
        let name = format!("{} → {}", self.from, self.to);
        let stages = [("before", &self.before), ("during", &self.during), ("after", &self.after)];
        for (stage, count) in stages {
            if let Some(reason) = &count.not_proven {
                return ProofVerdict::NotProven(vec![format!("{name}, {stage}: {reason}")]);
            }
            if count.sent == 0 {
                return ProofVerdict::NotProven(vec![format!("{name}, {stage}: nothing was sent")]);
            }
        }
        if self.before.delivered == 0 {
            let reason = format!("{name}: nothing arrived even before the cut");
            return ProofVerdict::NotProven(vec![reason]);
        }
        let untold = match self.expected {
            Expectation::Share => Some("a share of the packets cannot be told by a few probes"),
            Expectation::Age => Some("probes begin flows of their own and cannot tell ages apart"),
            Expectation::Lost | Expectation::Delivered | Expectation::Open => None,
        };
        if let Some(reason) = untold {
            return ProofVerdict::NotProven(vec![format!("{name}: {reason}")]);
        }
        let delivered = self.during.delivered;
        let failed = match self.expected {
            Expectation::Lost if delivered > 0 => {
                Some(format!("{name}: {delivered} of {} arrived during the cut", self.during.sent))
            }
            Expectation::Delivered if delivered == 0 => {
                Some(format!("{name}: nothing arrived during the cut, which should not touch it"))
            }
            Expectation::Lost
            | Expectation::Delivered
            | Expectation::Open
            | Expectation::Share
            | Expectation::Age => None,
        };
        if let Some(reason) = failed {
            return ProofVerdict::Failed(vec![reason]);
        }
        if self.after.delivered == 0 {
            let reason =
                format!("{name}: nothing arrives after the heal, as it did before the cut");
            return ProofVerdict::Failed(vec![reason]);
        }
        ProofVerdict::Proven
    }
}

/// What a cut should do to probes in its own direction. Probes are new flows that their sender opens.
fn lossy(cut: &Cut) -> Expectation {
    match (cut.verdict, cut.flows) {
        (Verdict::Count, _) => Expectation::Delivered,
        (Verdict::Drop, FlowAge::New | FlowAge::Established) => Expectation::Age,
        (Verdict::Drop, FlowAge::All) if cut.loss.is_certain() => Expectation::Lost,
        (Verdict::Drop, FlowAge::All) => Expectation::Share,
    }
}

/// What a cut should do to probes against its direction.
fn against(cut: &Cut, protocol: Protocol) -> Expectation {
    match (cut.verdict, cut.mode, protocol) {
        (Verdict::Count, _, _) | (_, Mode::Initiator, _) | (_, _, Protocol::Udp) => {
            Expectation::Delivered
        }
        // The answer to a SYN or an echo request goes in the cut's direction.
        (Verdict::Drop, Mode::Packet, Protocol::Tcp | Protocol::Icmp) => Expectation::Open,
    }
}

fn none(reason: impl Into<String>) -> ProbeCount {
    ProbeCount { sent: 0, delivered: 0, not_proven: Some(reason.into()) }
}

fn cell(count: &ProbeCount) -> Cell {
    match count.not_proven {
        Some(_) => "-".into(),
        None => format!("{}/{}", count.delivered, count.sent).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(delivered: u32) -> ProbeCount {
        ProbeCount { sent: 10, delivered, not_proven: None }
    }

    fn way(expected: Expectation, before: u32, during: u32, after: u32) -> Way {
        Way {
            from: "netns:a".to_owned(),
            to: "netns:b".to_owned(),
            expected,
            before: count(before),
            during: count(during),
            after: count(after),
            order: None,
        }
    }

    fn text(ways: Vec<Way>) -> (String, u8) {
        let verdict = ProofVerdict::NotProven(Vec::new());
        let mut proof = Proof { protocol: Protocol::Udp, ways, verdict };
        proof.judge();
        let plain = anstream::adapter::strip_str(&proof.text()).to_string();
        (plain, proof.outcome().code())
    }

    #[test]
    fn verdicts() {
        use Expectation::{Delivered, Lost, Open};
        let table = [
            (way(Lost, 10, 0, 10), "proven: delivered/sent are as the cut says", 0),
            (way(Open, 10, 7, 10), "proven: delivered/sent are as the cut says", 0),
            (
                way(Lost, 10, 3, 10),
                "proof failed: netns:a → netns:b: 3 of 10 arrived during the cut",
                1,
            ),
            (
                way(Lost, 10, 0, 0),
                "proof failed: netns:a → netns:b: nothing arrives after the heal, as it did before \
                 the cut",
                1,
            ),
            (
                way(Delivered, 10, 0, 10),
                "proof failed: netns:a → netns:b: nothing arrived during the cut, which should not \
                 touch it",
                1,
            ),
            (
                way(Lost, 0, 0, 0),
                "not proven: netns:a → netns:b: nothing arrived even before the cut",
                0,
            ),
        ];
        for (way, expected, code) in table {
            let (text, found) = text(vec![way]);
            assert_eq!(text.lines().last(), Some(expected));
            assert_eq!(found, code, "{expected}");
        }
    }

    #[test]
    fn what_is_shown_to_be_wrong_outweighs_what_is_not_shown() {
        let mut silent = way(Expectation::Delivered, 10, 0, 10);
        silent.during = none("the cut ended first");
        let (text, code) = text(vec![silent, way(Expectation::Lost, 10, 1, 10)]);
        assert_eq!(code, 1);
        let expected = "\
PROBES  FROM → TO          BEFORE  DURING  AFTER
udp     netns:a → netns:b   10/10       -  10/10
udp     netns:a → netns:b   10/10    1/10  10/10
proof failed: netns:a → netns:b: 1 of 10 arrived during the cut
";
        assert_eq!(text, expected);
    }
}
