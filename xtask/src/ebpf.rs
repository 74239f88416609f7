//! The eBPF object: its toolchain, its build, and the check that the committed one is what a build
//! gives, byte by byte.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{command, workspace};

/// Where the object lies, from the root of the workspace.
const OBJECT: &str = "agent-ebpf/object/schism.o";
/// Debian's rustc with a precompiled `core` for BPF; rustup's has none.
const RUSTC: &str = "/usr/bin/rustc";
/// The LLVM that rustc-web writes bitcode of.
const LLVM: &str = "/usr/lib/llvm-22";
const TARGET: &str = "bpfel-unknown-none";
const LINKER: &str = "bpf-linker";
const LINKER_VERSION: &str = "0.13.0";
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf", "llvm-22-dev"];

/// Builds the object, or checks that the committed one is what a build gives.
///
/// The check builds in two copies of the tree, so that a byte that depends on where the tree lies
/// is found as well as one that was not rebuilt.
pub(crate) fn build(check: bool) -> Result<()> {
    need_toolchain()?;
    let scratch = std::env::temp_dir().join(format!("schism-ebpf-{}", std::process::id()));
    let result = if check { compare(&scratch) } else { renew(&scratch) };
    if scratch.exists() {
        fs::remove_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
    }
    result
}

/// Installs what [`build`] needs where it is missing: four Debian packages and the linker, which
/// is compiled (5 minutes on two cores).
pub(crate) fn install_toolchain() -> Result<()> {
    if missing().is_empty() {
        eprintln!("the eBPF toolchain is there");
        return Ok(());
    }
    command::need_root("installing the eBPF toolchain")?;
    if !has_compiler() {
        let mut update = Command::new("apt-get");
        update.args(["-q", "-o", "DPkg::Lock::Timeout=300", "update"]);
        command::run(update)?;
        let mut install = Command::new("apt-get");
        install.args(["-q", "-o", "DPkg::Lock::Timeout=300", "install", "-y"]);
        install.arg("--no-install-recommends").args(PACKAGES);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        command::run(install)?;
    }
    if linker().is_none() {
        let mut install = command::cargo(["install", LINKER, "--version", LINKER_VERSION]);
        install.args(["--no-default-features", "--features", "llvm-22"]);
        install.env("LLVM_PREFIX", LLVM);
        command::run(install)?;
    }
    need_toolchain()
}

fn renew(scratch: &Path) -> Result<()> {
    let bytes = object(workspace::root(), &scratch.join("target"))?;
    let path = workspace::root().join(OBJECT);
    if fs::read(&path).is_ok_and(|old| old == bytes) {
        eprintln!("{OBJECT}: as it was, {} bytes", bytes.len());
        return Ok(());
    }
    fs::write(&path, &bytes).with_context(|| path.display().to_string())?;
    eprintln!("{OBJECT}: new, {} bytes", bytes.len());
    Ok(())
}

fn compare(scratch: &Path) -> Result<()> {
    let path = workspace::root().join(OBJECT);
    let committed = fs::read(&path).with_context(|| path.display().to_string())?;
    for place in ["one", "another/and/deeper"] {
        let tree = scratch.join(place);
        copy_tree(&tree)?;
        let built = object(&tree, &scratch.join("targets").join(place))?;
        ensure!(
            built == committed,
            "{OBJECT} is not what its sources give: run `cargo xtask ebpf` and commit the object",
        );
    }
    eprintln!("{OBJECT}: {} bytes, the same from two other places", committed.len());
    Ok(())
}

/// Builds the object of the workspace at `root` and gives its bytes, with BTF and without DWARF.
fn object(root: &Path, target: &Path) -> Result<Vec<u8>> {
    // `profile.ebpf` of the workspace makes one unit of it. Cargo separates these flags by 0x1f.
    let flags = [
        format!("-Clinker={}", linker().context("bpf-linker is missing")?.display()),
        // Atomic operations that return a value (kernel 5.12).
        "-Ctarget-cpu=v3".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        format!("--remap-path-prefix={}=", root.display()),
        format!("--remap-path-prefix={}=cargo", cargo_home()?.display()),
    ];
    let manifest = root.join("Cargo.toml");
    let mut cargo = command::cargo(["build", "--quiet", "--locked", "--manifest-path"]);
    cargo.arg(manifest).args(["--package", "agent-ebpf", "--bin", "schism-classifier"]);
    cargo.args(["--profile", "ebpf", "--target", TARGET, "--target-dir"]).arg(target);
    cargo.env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env_remove("RUSTFLAGS");
    // A wrapper or a toolchain of the caller's would make other bytes.
    cargo.env_remove("RUSTC_WRAPPER").env_remove("RUSTC_WORKSPACE_WRAPPER");
    command::run(cargo)?;

    let built = target.join(TARGET).join("ebpf/schism-classifier");
    let stripped = target.join("schism.o");
    let mut strip = Command::new(format!("{LLVM}/bin/llvm-objcopy"));
    strip.arg("--strip-debug").arg(&built).arg(&stripped);
    command::run(strip)?;
    fs::read(&stripped).with_context(|| stripped.display().to_string())
}

/// Copies every file that git knows or would add.
fn copy_tree(to: &Path) -> Result<()> {
    for file in workspace::files()? {
        let (source, copy) = (workspace::root().join(&file), to.join(&file));
        if let Some(directory) = copy.parent() {
            fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        fs::copy(&source, &copy).with_context(|| source.display().to_string())?;
    }
    Ok(())
}

fn need_toolchain() -> Result<()> {
    let missing = missing();
    if !missing.is_empty() {
        bail!(
            "the eBPF object can't be built without {}: run `cargo xtask install`",
            missing.join(", ")
        );
    }
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !has_compiler() {
        missing.extend(PACKAGES);
    }
    if linker().is_none() {
        missing.push(LINKER);
    }
    missing
}

fn has_compiler() -> bool {
    Path::new(LLVM).join("bin/llvm-objcopy").exists()
        && Path::new("/usr/lib/rustlib").join(TARGET).exists()
        && Path::new(RUSTC).exists()
}

/// The linker, also where cargo installs it and `PATH` does not look.
fn linker() -> Option<PathBuf> {
    let installed = cargo_home().ok()?.join("bin").join(LINKER);
    command::find(LINKER).or_else(|| installed.exists().then_some(installed))
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cargo"))
}
