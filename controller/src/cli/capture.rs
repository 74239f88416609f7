//! `schism capture` as people type it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fault::{Capture, Legible};

use super::{Named, WithinArgs};

/// `capture`.
#[derive(Debug, Args)]
pub struct CaptureArgs {
    /// Whose packets: one netns:NAME, pid:NUMBER, container:ID or pod:UID, through a controller also one role or pod
    /// by its name. All that has its network is in it
    pub target: Named,
    /// Where roles are.
    #[command(flatten)]
    pub within: WithinArgs,
    /// How long, at most 10m; it ends then in any case
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = fault::parse_duration, allow_hyphen_values = true)]
    pub total: Duration,
    /// The file to write them to (pcapng, which Wireshark reads), or `-` for stdout, where another program reads them;
    /// without it they are only counted
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long, requires = "write")]
    pub force: bool,
    /// Only packets from or to this other target or addr:PREFIX, by the addresses that it has now
    #[arg(long, value_name = "OTHER")]
    pub peer: Option<Named>,
    /// Only packets from or to this port
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..), allow_hyphen_values = true)]
    pub port: Option<u16>,
    /// How many bytes of each packet to keep, from its network header on [default: its headers, at most 128, and no
    /// payload: what people and programs say to each other is private, and most questions are answered without it]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(1..), allow_hyphen_values = true)]
    pub snaplen: Option<u16>,
    /// End before the file is larger than this, such as 500kB, at most 1GiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size, allow_hyphen_values = true)]
    pub max: u64,
    /// Take host:NODE, and whatever else has the network of a whole node: the packets of everybody there
    #[arg(long)]
    pub whole_node: bool,
    /// Become this machine's agent if there is none
    #[arg(long)]
    pub local: bool,
}

impl CaptureArgs {
    /// What is attempted, for people.
    #[must_use]
    pub fn attempt(&self) -> String {
        format!("cannot capture the packets of {}", self.target)
    }
}

/// A size that a capture may have (bytes).
///
/// # Errors
/// It is none, or out of bounds.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{} is no size from 1kB to 1GiB with its unit", Legible(text));
    // A number alone is hardly meant as so many bytes.
    let size: bytesize::ByteSize = match text.parse::<u64>() {
        Ok(_) => return Err(wrong()),
        Err(_) => text.parse().map_err(|_| wrong())?,
    };
    Some(size.as_u64()).filter(|size| (1_000..=Capture::MOST).contains(size)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_bounds() {
        let table = [
            ("64MiB", Some(64 << 20)),
            ("500kB", Some(500_000)),
            ("1GiB", Some(1 << 30)),
            ("1.1GiB", None),
            ("2GB", None),
            ("999B", None),
            ("64", None),
            ("much", None),
            ("-1MB", None),
        ];
        for (text, expected) in table {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }
}
