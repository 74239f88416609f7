//! Every command that people and CI run: `cargo xtask help` lists them.
//!
//! Arguments are matched by hand and `anyhow` is the only dependency, because everybody waits for
//! this crate to compile before anything else happens.

mod bench;
mod chart;
mod command;
mod compat;
mod demo;
mod ebpf;
mod image;
mod install;
mod lab;
mod leftover;
mod proto;
mod stage;
mod suite;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask COMMAND

  test              install what is missing, then run everything that CI runs (root)
  demo              install, build, and show cuts on a real etcd cluster (root)
  lab zeebe up [--brokers 5]  a real Zeebe cluster with agents, until Ctrl-C or `down` (root)
  lab zeebe down|status  end the one that runs; how it is (root)
  lab kubernetes [--nodes 2] [--fake-nodes N] -- COMMAND  a real Kubernetes cluster as long as a command runs (root)
  lab kubernetes zeebe [--report FILE] [EXPERIMENT…]  experiments of our own on a Zeebe of its pods (root)
  lab zeebe suite [--report FILE] [EXPERIMENT…]  experiments of our own on a real Zeebe (root)
  bench cut [ARGS]  build for release and measure the cut (root)
  bench fleet [ARGS]  build for release and measure a controller of 1,000 agents (root)
  bench clock [ARGS]  build for release and measure skewed clocks (root)
  bench experiment [ARGS]  build for release and measure runs of experiments
  bench zeebe [ARGS]  build for release and measure what asks Zeebe
  bench kubernetes [ARGS]  build images and measure an installation on the lab (root)
  compat chaostoolkit [FILE|DIRECTORY…]  experiments by the original and by ours, side by side
  lab etcd suite [--short] [--report FILE]  experiments of our own on a real etcd cluster (root)
  soak clock [--seconds N] [--holders N] [--threads N]
                             skew a busy process under dying holders (root)
  chart             check the Helm chart: lint it, render it, refuse what its schema forbids
  image             build static binaries and write the images of agent and controller
  tidy              check the rules of the house over the tree
  fmt               format all Rust code
  ebpf [--check]    rebuild the eBPF object; --check compares it with the committed one
  proto [--bless]   compare the generated wire code; --bless writes it anew
  install           install what tests and demo need from Debian and the Rust registry (root)
  help              print this
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["test"] => suite::run(),
        ["demo"] => demo::run(),
        ["lab", "zeebe", rest @ ..] => lab::zeebe(rest),
        ["lab", "kubernetes", "zeebe", rest @ ..] => lab::pods(rest),
        ["lab", "kubernetes", rest @ ..] => lab::kubernetes(rest),
        ["bench", "cut", rest @ ..] => bench::cut(rest),
        ["bench", "fleet", rest @ ..] => bench::fleet(rest),
        ["bench", "clock", rest @ ..] => bench::clock(rest),
        ["bench", "experiment", rest @ ..] => bench::experiment(rest),
        ["bench", "zeebe", rest @ ..] => bench::zeebe(rest),
        ["bench", "kubernetes", rest @ ..] => bench::kubernetes(rest),
        ["lab", "etcd", "suite", rest @ ..] => suite::etcd(rest),
        ["compat", "chaostoolkit", rest @ ..] => compat::chaostoolkit(rest),
        ["soak", "clock", rest @ ..] => bench::soak(rest),
        ["chart"] => chart::check(),
        ["image"] => image::write(),
        ["tidy"] => tidy::run(),
        ["fmt"] => command::run(command::cargo(["fmt", "--all"])),
        ["ebpf"] => ebpf::build(false),
        ["ebpf", "--check"] => ebpf::build(true),
        ["proto"] => proto::drift(proto::Mode::Compare),
        ["proto", "--bless"] => proto::drift(proto::Mode::Bless),
        ["install"] => install::everything(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("unknown command `{}`\n\n{USAGE}", words.join(" ")),
    }
}
