//! A cut as it is typed, and its report as it is told.

use anyhow::{Context as _, Result};
use lab::topology::Node;

use crate::{
    balance::Balance,
    page::Page,
    quantity::{bytes, count, time},
    report::{Fault, Proof, Report, Way},
    schism::{Finished, Run, Schism},
};

/// One direction that is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut<'a> {
    /// Who sends what is lost.
    pub(crate) from: &'a Node,
    /// To whom.
    pub(crate) to: &'a Node,
    /// Further words, such as `--for`.
    pub(crate) options: &'a [&'a str],
}

impl Cut<'_> {
    /// Prints the command and starts it.
    pub(crate) fn start(&self, schism: &Schism, page: &mut Page) -> Result<Run> {
        let words = self.words();
        page.command(&words)?;
        schism.start(&words)
    }

    /// The command, word by word.
    pub(crate) fn words(&self) -> Vec<String> {
        let selector = |node: &Node| format!("netns:{}", node.namespace.name());
        let mut words = vec!["schism".to_owned(), "cut".to_owned()];
        words.extend([selector(self.from), selector(self.to)]);
        words.extend(self.options.iter().map(|word| (*word).to_owned()));
        words.extend(["--local", "-o", "json"].map(ToOwned::to_owned));
        words
    }

    /// `etcd-0 → etcd-1`.
    pub(crate) fn route(&self) -> String {
        format!("{} → {}", self.from.label, self.to.label)
    }

    /// Reads a cut that went to its end, tells what it did, and checks what is promised of it.
    pub(crate) fn tell(
        &self,
        finished: &Finished,
        page: &mut Page,
        balance: &mut Balance,
    ) -> Result<Report> {
        let report = Report::read(&finished.document("schism.cut/v1")?)?;
        let route = self.route();
        for fault in &report.faults {
            page.figure(
                "the cut",
                &format!(
                    "{route} acted for {} and lost {} ({})",
                    time(fault.deadline - fault.start),
                    count(fault.lost, "packet"),
                    bytes(fault.lost_bytes as f64),
                ),
            )?;
            if let Some(late) = fault.last_loss.filter(|last| *last > fault.end) {
                let late = time(late - fault.end);
                balance
                    .deviates(page, format!("{route}: a packet was lost {late} after the end"))?;
            }
        }
        if finished.code != Some(0) {
            let (end, why) = (finished.end(), &report.ended);
            let text = format!("{route}: the command ended with {end} ({why}), not with 0");
            balance.deviates(page, text)?;
            page.aside(finished.err.trim())?;
        }
        if let Some(proof) = &report.proof {
            self.tell_proof(proof, page, balance)?;
        }
        Ok(report)
    }

    fn tell_proof(&self, proof: &Proof, page: &mut Page, balance: &mut Balance) -> Result<()> {
        let [cut, other] = proof.ways[..] else {
            anyhow::bail!("a proof has two ways, and this one has {}", proof.ways.len())
        };
        let back = format!("{} → {}", self.to.label, self.from.label);
        let route = self.route();
        let mut text = String::new();
        for (route, way) in [(&route, cut), (&back, other)] {
            text.push_str(&format!(
                "{route}   before {:<6} during {:<6} after {}\n",
                way.before, way.during, way.after
            ));
        }
        page.figure(&format!("{} probes", proof.protocol), &text)?;
        let during = |way: Way| format!("{} delivered during the cut", way.during);
        balance.note(format!("   {route} (cut)"), during(cut));
        balance.note(format!("   {back}"), during(other));
        if proof.verdict != "proven" {
            let reasons = proof.reasons.join("; ");
            balance.deviates(page, format!("the cut is {}: {reasons}", proof.verdict))?;
        }
        if cut.during.delivered > 0 {
            balance.deviates(page, format!("{route} leaks: {} arrived", cut.during))?;
        }
        if other.during.delivered < other.during.sent {
            balance.deviates(page, format!("{back} is not whole: {} arrived", other.during))?;
        }
        Ok(())
    }
}

/// The first fault of a report.
pub(crate) fn only(report: &Report) -> Result<Fault> {
    report.faults.first().copied().context("the report has no fault")
}
