//! `schism-lab zeebe status`

use std::{
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context as _, Result};
use lab::zeebe::{Broker, MANAGEMENT_PORT, Partition};

use crate::record::{self, Record};

/// How long a broker may take.
const ANSWER: Duration = Duration::from_secs(2);

/// Says how each broker sees its partitions; 1 where no lab runs or a broker does not answer.
pub(crate) fn run() -> Result<ExitCode> {
    let Some(record) = Record::read()? else {
        if let Some(keeper) = record::keeper()? {
            eprintln!("a lab starts, kept by process {}", keeper.pid);
            return Ok(ExitCode::FAILURE);
        }
        eprintln!("no lab runs; `cargo xtask lab zeebe up` starts one");
        return Ok(ExitCode::FAILURE);
    };
    // Only from inside the hub can the brokers be reached.
    let own = std::env::current_exe().context("where this binary lies is not known")?;
    let mut inside = Command::new("ip");
    inside.args(["netns", "exec", &record.hub]).arg(own).args(["zeebe", "status", "--inside"]);
    Err(inside.exec()).context("`ip netns exec` could not be started")
}

/// The same, in the hub.
pub(crate) fn inside() -> Result<ExitCode> {
    let record = Record::read()?.context("the lab is gone")?;
    println!("kept by process {}; hub: netns {}", record.keeper.pid, record.hub);
    let brokers = record.members.split_last().map_or(&[][..], |(_, brokers)| brokers);
    let mut code = ExitCode::SUCCESS;
    for (name, address) in brokers {
        let mut broker = Broker::from_here(SocketAddr::from((*address, MANAGEMENT_PORT)));
        let said = match broker.partitions(ANSWER) {
            Ok(partitions) => partitions.iter().map(told).collect::<Vec<_>>().join(", "),
            Err(error) => {
                code = ExitCode::FAILURE;
                format!("does not say: {error}")
            }
        };
        println!("{name:<4} {address:<12} {said}");
    }
    if let Some((name, address)) = record.members.last() {
        println!("{name:<4} {address:<12} the gateway that stands alone");
    }
    Ok(code)
}

fn told((number, partition): (&u32, &Partition)) -> String {
    format!("{number} {}", partition.role)
}
