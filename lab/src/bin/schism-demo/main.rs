//! `schism-demo`: cuts on a real etcd cluster on this machine, told with figures of this run.
//!
//! Everything that it makes lives in network namespaces and a directory of its own, and goes away
//! with it: at the end, after Ctrl-C, and after a SIGKILL (the lab's warden).

mod balance;
mod chapter;
mod cut;
mod ending;
mod estate;
mod journal;
mod page;
mod peers;
mod quantity;
mod report;
mod scene;
mod schism;
mod watch;

use std::{io::Write as _, process::ExitCode, time::Instant};

use anyhow::Result;

use balance::Balance;
use lab::interruption::{Interrupted, Interruption};
use page::Page;
use scene::Scene;

/// What the product says for a privilege that is missing (DESIGN, exit codes).
const UNSUPPORTED: u8 = 5;
const DEVIATED: u8 = 1;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    if !nix::unistd::geteuid().is_root() {
        let _: std::io::Result<()> = writeln!(
            std::io::stderr(),
            "the demo makes network namespaces and cuts traffic in them, which takes root: \
             run it in a root shell"
        );
        return ExitCode::from(UNSUPPORTED);
    }
    let error = match demo() {
        Ok(code) => return code,
        Err(error) => error,
    };
    let (text, code) = if error.is::<Interrupted>() {
        ("interrupted; everything that the demo made is taken away".to_owned(), INTERRUPTED)
    } else {
        (format!("the demo could not go on: {error:#}"), DEVIATED)
    };
    // Who closed the other end of the output is told nothing.
    let _: std::io::Result<()> = writeln!(std::io::stderr(), "\n{text}");
    ExitCode::from(code)
}

fn demo() -> Result<ExitCode> {
    let began = Instant::now();
    let mut page = Page::stdout();
    let mut balance = Balance::default();
    let interruption = Interruption::listen()?;
    let scene = Scene::open(&mut page, &interruption)?;
    let traces = scene.traces();
    for tell in chapter::ALL {
        tell(&scene, &mut page, &mut balance)?;
        interruption.check()?;
    }
    ending::residue(&scene, &mut page, &mut balance)?;
    drop(scene);
    ending::traces(&traces, &mut page, &mut balance)?;
    balance.show(&mut page, began.elapsed())?;
    Ok(if balance.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(DEVIATED) })
}
