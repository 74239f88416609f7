//! `schism-suite`: experiments of our own on real systems, run by `schism run` as anybody would run them.
//!
//! `schism-suite etcd`, `zeebe` and `pods` are the suites; the other words are steps of its experiments, which ask and
//! write.

mod cluster;
mod pods;
mod scene;
mod steps;
mod story;
mod suite;
mod zeebe;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
schism-suite etcd|zeebe [--short] [--report FILE] [EXPERIMENT…]
schism-suite pods [--report FILE] [EXPERIMENT…]
schism-suite write --seconds N --file FILE | check --file FILE | healthy | dates | grant | left ID
schism-suite leaders --file FILE | unmoved --file FILE | moved PARTITION --file FILE --within SECONDS
schism-suite through PARTITION --file FILE WORD…";

/// How long faults act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Long enough to see what a system makes of it.
    Full,
    /// Long enough to see that it works.
    Short,
}

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["etcd", rest @ ..] => suite(suite::run::<lab::etcd::Cluster>, rest),
        ["zeebe", rest @ ..] => suite(suite::run::<lab::zeebe::Cluster>, rest),
        ["pods", rest @ ..] => suite(pods::run, rest),
        rest => steps::perform(rest),
    }
}

/// A suite: its length, where its report goes, and which of its experiments are meant, all if there are none.
type Suite = fn(Length, Option<&Path>, &[String]) -> Result<ExitCode>;

fn suite(run: Suite, mut words: &[&str]) -> Result<ExitCode> {
    let (mut length, mut report, mut only) = (Length::Full, None, Vec::new());
    loop {
        words = match words {
            [] => break,
            ["--short", rest @ ..] => {
                length = Length::Short;
                rest
            }
            ["--report", file, rest @ ..] => {
                report = Some(PathBuf::from(file));
                rest
            }
            [name, rest @ ..] if !name.starts_with('-') => {
                only.push((*name).to_owned());
                rest
            }
            _ => bail!("{USAGE}"),
        };
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("the suite makes network namespaces and cuts traffic in them: run it as root");
    }
    run(length, report.as_deref(), &only)
}
