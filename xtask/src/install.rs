//! What tests and demo need and a fresh machine lacks.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{command, ebpf};

/// A program and the Debian package that has it.
struct Need {
    program: &'static str,
    package: &'static str,
}

const NEEDS: &[Need] = &[
    Need { program: "etcd", package: "etcd-server" },
    Need { program: "etcdctl", package: "etcd-client" },
    Need { program: "ip", package: "iproute2" },
    Need { program: "tc", package: "iproute2" },
    Need { program: "ping", package: "iputils-ping" },
    Need { program: "nft", package: "nftables" },
    Need { program: "iptables", package: "iptables" },
    Need { program: "ipset", package: "ipset" },
    Need { program: "iperf3", package: "iperf3" },
    Need { program: "ps", package: "procps" },
    Need { program: "git", package: "git" },
    Need { program: "setpriv", package: "util-linux" },
    Need { program: "strace", package: "strace" },
    Need { program: "systemd-analyze", package: "systemd" },
    // Of every runtime one program, whose clock is skewed.
    Need { program: "gcc", package: "gcc" },
    Need { program: "musl-gcc", package: "musl-tools" },
    Need { program: "go", package: "golang-go" },
    Need { program: "java", package: "default-jdk-headless" },
    // Fetches Zeebe; the Java that it needs is not in Debian 12.
    Need { program: "mvn", package: "maven" },
    Need { program: "node", package: "nodejs" },
    Need { program: "python3", package: "python3" },
];

/// Debian's Python makes a virtual environment only with this, which has no program of its own.
const VENV: &str = "python3-venv";

/// Installs the Debian packages and the eBPF toolchain, each only if it is missing.
pub(crate) fn everything() -> Result<()> {
    command::need_root("installing packages")?;
    packages()?;
    ebpf::install_toolchain()
}

/// Installs the Debian packages of which a program is missing; starts no service.
pub(crate) fn packages() -> Result<()> {
    let mut missing: Vec<&str> = NEEDS
        .iter()
        .filter(|need| command::find(need.program).is_none())
        .map(|need| need.package)
        .collect();
    if !has_venv() {
        missing.push(VENV);
    }
    missing.dedup();
    if missing.is_empty() {
        eprintln!("every package is there");
        return Ok(());
    }
    eprintln!("missing: {}", missing.join(" "));
    let quiet = ServicesStayOff::begin()?;
    command::run(apt(&["update"]))?;
    let install = ["install", "-y", "--no-install-recommends"];
    command::run(apt(&[install.as_slice(), &missing].concat()))?;
    drop(quiet);
    if missing.contains(&"etcd-server") {
        keep_etcd_off();
    }
    Ok(())
}

/// Whether Debian's Python puts pip into virtual environments; any other brings what it needs for that.
fn has_venv() -> bool {
    let python = Path::new("/usr/bin/python3");
    if !python.is_file() {
        return command::find("python3").is_some();
    }
    let mut ask = Command::new(python);
    ask.args(["-c", "import ensurepip"]);
    ask.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    ask.status().is_ok_and(|status| status.success())
}

fn apt(arguments: &[&str]) -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Keeps the packaged etcd from starting at the next boot of a machine that had none before.
fn keep_etcd_off() {
    if !Path::new("/run/systemd/system").exists() {
        return;
    }
    let mut systemctl = Command::new("systemctl");
    systemctl.args(["disable", "etcd.service"]);
    if let Err(error) = command::run(systemctl) {
        eprintln!("note: {error:#}; etcd may start at the next boot");
    }
}

/// While this lives, Debian's maintainer scripts start no service: without it, installing
/// etcd-server puts an etcd on the host's port 2379.
struct ServicesStayOff;

impl ServicesStayOff {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    /// Writes the policy; `None` when the machine has one of its own, which is left alone.
    fn begin() -> Result<Option<Self>> {
        let created =
            OpenOptions::new().write(true).create_new(true).mode(0o755).open(Self::POLICY);
        let mut file = match created {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(error).context(Self::POLICY),
        };
        let guard = Self;
        // 101 is "action forbidden by policy" of invoke-rc.d(8).
        file.write_all(b"#!/bin/sh\nexit 101\n").context(Self::POLICY)?;
        Ok(Some(guard))
    }
}

impl Drop for ServicesStayOff {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(Self::POLICY) {
            eprintln!("note: {} could not be removed: {error}", Self::POLICY);
        }
    }
}
