//! `schism-lab`: a real system in namespaces to try faults on, until somebody ends it.
//!
//! `cargo xtask lab zeebe up` builds it and what it needs. Everything that it makes lives in network
//! namespaces and directories of its own, and goes away with it: after Ctrl-C, after `down`, and after a
//! SIGKILL (the lab's warden).

mod arguments;
mod down;
mod kubernetes;
mod record;
mod status;
mod up;

use std::process::ExitCode;

use anyhow::Result;

use arguments::Asked;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("schism-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<ExitCode> {
    if let Some(("kubernetes", rest)) =
        words.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        return kubernetes::run(rest);
    }
    match arguments::parse(words)? {
        Asked::Up(options) => up::run(options),
        Asked::Down => down::run(),
        Asked::Status => status::run(),
        Asked::StatusInside => status::inside(),
    }
}
