//! The eBPF object: its toolchain and its build.

use anyhow::Result;

/// Builds the object, or checks that the committed one is what a build gives.
pub(crate) fn build(_check: bool) -> Result<()> {
    eprintln!("there is no eBPF program yet");
    Ok(())
}

/// Installs the eBPF toolchain where it is missing.
pub(crate) fn install_toolchain() -> Result<()> {
    Ok(())
}
