//! What a capture has come to, for people and programs.

use std::time::Duration;

use serde::Serialize;

use super::file::Destination;
use super::recording::{Device, End, Recording, Why};
use super::writing::{Found, Written};
use crate::outcome::Outcome;
use crate::output::quantity::{bytes, count, time};
use crate::output::table::Align::{Left, Right};
use crate::output::table::Table;
use crate::output::{Detail, Report};

/// What a capture has come to.
#[derive(Debug, Serialize)]
pub(crate) struct CaptureReport {
    schema: &'static str,
    target: String,
    node: String,
    /// `-` for stdout.
    file: Option<String>,
    /// How large the file is (bytes).
    size: u64,
    /// What has its name by then.
    found: Option<Found>,
    packets: u64,
    devices: Vec<Device>,
    /// How many more there were; nothing where that is not known.
    missed: Option<u64>,
    why: Why,
    /// How long it lasted (s).
    lasted: f64,
    /// Faults that stood there meanwhile.
    faults: Vec<String>,
}

/// Whose packets they are, and where they were put.
pub(crate) struct Subject {
    pub(crate) target: String,
    pub(crate) node: String,
    pub(crate) destination: Option<Destination>,
}

impl CaptureReport {
    /// `otherwise` is why it has ended where its agent has not told.
    pub(crate) fn new(
        subject: Subject,
        recording: &Recording,
        (written, lasted): (Written, Duration),
        otherwise: Why,
        faults: Vec<String>,
    ) -> Self {
        let Subject { target, node, destination } = subject;
        let file = destination.map(|destination| match destination {
            Destination::File(path, _) => path.display().to_string(),
            Destination::Stdout => "-".to_owned(),
        });
        let end = recording.end();
        Self {
            schema: "schism.capture/v1",
            target,
            node,
            file,
            size: written.size,
            found: written.found,
            packets: recording.packets(),
            devices: recording.devices().to_vec(),
            missed: end.and_then(|end| end.missed),
            why: end.map_or(otherwise, |End { why, .. }| why),
            lasted: lasted.as_secs_f64(),
            faults,
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let captured = match self.why {
            Why::Interrupted => Outcome::Interrupted,
            Why::AgentEnded | Why::TargetGone => Outcome::Deviated,
            Why::Lost => Outcome::Unconfirmed,
            Why::Time | Why::Full | Why::Unread if self.packets == 0 => Outcome::NothingMatched,
            Why::Time | Why::Full | Why::Unread => Outcome::Effective,
        };
        let kept = match self.found {
            None | Some(Found::There) => Outcome::Effective,
            Some(Found::Another | Found::Nothing) => Outcome::Deviated,
        };
        captured.worst(kept)
    }

    /// All of it in a sentence.
    fn sum(&self) -> String {
        let lasted = time(Duration::try_from_secs_f64(self.lasted).unwrap_or_default());
        let packets = count(self.packets, "packet");
        let of = format!("{packets} of {}@{} in {lasted}", self.target, self.node);
        match (&self.file, self.found) {
            (Some(_), None) => format!("{of}, written to stdout ({})", bytes(self.size)),
            (Some(file), Some(_)) => format!("{of}, written to {file} ({})", bytes(self.size)),
            (None, _) => format!("{of}, counted and not kept: --write FILE keeps them"),
        }
    }

    /// What one must know who draws conclusions from it.
    fn caveats(&self) -> Vec<String> {
        let mut said = Vec::new();
        match self.missed {
            None => said.push("how many packets it has not seen is not known".to_owned()),
            Some(0) => {}
            Some(missed) => {
                let were = if missed == 1 { "was" } else { "were" };
                let why = match self.why {
                    Why::Time => {
                        ": there was no room for them (select fewer with --peer or --port, or keep less of each)"
                    }
                    // They may have had room, and waited to be taken.
                    Why::Full
                    | Why::AgentEnded
                    | Why::TargetGone
                    | Why::Unread
                    | Why::Interrupted
                    | Why::Lost => "",
                };
                said.push(format!(
                    "{} more passed and {were} not seen{why}",
                    count(missed, "packet")
                ));
            }
        }
        match self.why {
            Why::Time => {}
            Why::Full => {
                said.push("it is as large as it may be, and ended before its time".to_owned())
            }
            Why::AgentEnded => said.push("the agent has ended, and the capture with it".to_owned()),
            Why::TargetGone => {
                said.push("the target is gone, and the capture ended with it".to_owned())
            }
            Why::Unread => {
                said.push("whoever read it has gone, and it ended before its time".to_owned())
            }
            Why::Lost => said.push("it ended before its time".to_owned()),
            Why::Interrupted => said.push("it was interrupted before its time".to_owned()),
        }
        let file = self.file.as_deref().unwrap_or_default();
        match self.found {
            None | Some(Found::There) => {}
            Some(Found::Another) => said.push(format!(
                "{file} is another file by now: somebody has put it in the place of the one with the packets"
            )),
            Some(Found::Nothing) => {
                said.push(format!("{file} is not there any more: somebody has taken it away"));
            }
        }
        said
    }
}

impl Report for CaptureReport {
    fn text(&self, _: Detail) -> String {
        let mut text = String::new();
        if !self.devices.is_empty() {
            let columns = [("DEVICE", Left), ("RECEIVED", Right), ("SENT", Right)];
            let mut table = Table::new(&columns);
            for device in &self.devices {
                table.row(vec![(&device.name).into(), device.received.into(), device.sent.into()]);
            }
            text.push_str(&table.text());
        }
        let faults = self.faults.iter().map(|fault| format!("meanwhile {fault}"));
        for line in std::iter::once(self.sum()).chain(self.caveats()).chain(faults) {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    fn names(&self) -> Vec<String> {
        // Another one of its name is not what was made.
        let ours = self.file.iter().filter(|_| self.found == Some(Found::There));
        ours.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use fault::Kept;
    use proto::agent as wire;
    use proto::agent::capture_piece::Kind;

    use super::super::file::Existing;
    use super::*;

    fn report(end: Option<(u64, wire::CaptureEnding)>, packets: u64) -> CaptureReport {
        let to = Destination::File("a.pcapng".into(), Existing::Kept);
        written(end, packets, (to, Some(Found::There)))
    }

    fn written(
        end: Option<(u64, wire::CaptureEnding)>,
        packets: u64,
        (to, found): (Destination, Option<Found>),
    ) -> CaptureReport {
        let mut recording = Recording::new("netns:a".to_owned(), Kept::Headers, 1 << 20);
        let packet = wire::CapturedPacket {
            way: wire::PacketWay::Out.into(),
            ..wire::CapturedPacket::default()
        };
        let device = wire::CaptureDevice { index: 0, name: "eth0".to_owned() };
        let packets = usize::try_from(packets).unwrap();
        if packets > 0 {
            let told =
                wire::CapturedPackets { devices: vec![device], packets: vec![packet; packets] };
            let piece = wire::CapturePiece { kind: Some(Kind::Packets(told)) };
            recording.take(piece).unwrap();
        }
        if let Some((missed, why)) = end {
            let end = wire::CaptureEnd { told: 0, missed, why: why.into(), gone: false };
            recording.take(wire::CapturePiece { kind: Some(Kind::End(end)) }).unwrap();
        }
        let subject =
            Subject { target: "netns:a".to_owned(), node: "n1".to_owned(), destination: Some(to) };
        let figures = (Written { size: 1_234, found }, Duration::from_secs(10));
        let faults = vec!["a cut".to_owned()];
        CaptureReport::new(subject, &recording, figures, Why::Interrupted, faults)
    }

    fn plain(report: &CaptureReport) -> String {
        anstream::adapter::strip_str(&report.text(Detail::Normal)).to_string()
    }

    #[test]
    fn what_was_not_seen_is_said() {
        let time = wire::CaptureEnding::Time;
        assert_eq!(
            plain(&report(Some((0, time)), 2)),
            "DEVICE  RECEIVED  SENT\neth0           0     2\n\
             2 packets of netns:a@n1 in 10s, written to a.pcapng (1.2 kB)\nmeanwhile a cut\n"
        );
        let missed = plain(&report(Some((1, time)), 2));
        assert!(
            missed.contains("\n1 packet more passed and was not seen: there was no room"),
            "{missed}"
        );
        let full = plain(&report(Some((7, wire::CaptureEnding::Full)), 2));
        assert!(full.contains("7 packets more passed and were not seen\n"), "{full}");
        assert!(full.contains("as large as it may be"), "{full}");
        let interrupted = plain(&report(None, 2));
        assert!(interrupted.contains("has not seen is not known"), "{interrupted}");
    }

    #[test]
    fn what_is_not_in_its_place_is_said_and_not_named() {
        let of = |destination, found| {
            written(Some((0, wire::CaptureEnding::Time)), 2, (destination, found))
        };
        let file = || Destination::File("a.pcapng".into(), Existing::Kept);
        let there = of(file(), Some(Found::There));
        assert_eq!(
            (there.names(), there.outcome()),
            (vec!["a.pcapng".to_owned()], Outcome::Effective)
        );
        for (found, words) in [
            (Found::Another, "a.pcapng is another file by now"),
            (Found::Nothing, "a.pcapng is not there any more"),
        ] {
            let report = of(file(), Some(found));
            assert!(plain(&report).contains(words), "{}", plain(&report));
            assert_eq!((report.names(), report.outcome()), (Vec::new(), Outcome::Deviated));
        }
        let piped = of(Destination::Stdout, None);
        assert!(plain(&piped).contains("written to stdout (1.2 kB)"), "{}", plain(&piped));
        assert!(piped.names().is_empty());
        assert_eq!(serde_json::to_value(&piped).unwrap()["file"], "-");
    }

    #[test]
    fn what_it_comes_to() {
        let table = [
            (Some((0, wire::CaptureEnding::Time)), 2, Outcome::Effective),
            (Some((0, wire::CaptureEnding::Time)), 0, Outcome::NothingMatched),
            (Some((9, wire::CaptureEnding::Full)), 2, Outcome::Effective),
            (Some((0, wire::CaptureEnding::Draining)), 2, Outcome::Deviated),
            (None, 2, Outcome::Interrupted),
        ];
        for (end, packets, outcome) in table {
            assert_eq!(report(end, packets).outcome(), outcome, "{end:?} {packets}");
        }
    }
}
