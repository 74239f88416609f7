//! `cargo xtask proto`: the generated wire code against the definitions.

use anyhow::Result;

use crate::command;

/// What to do with generated code that differs from the committed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Fail.
    Compare,
    /// Overwrite the committed code.
    Bless,
}

/// Runs the drift tests of `proto/` and `zeebe/`.
pub(crate) fn drift(mode: Mode) -> Result<()> {
    let mut test =
        command::cargo(["test", "--locked", "-p", "proto", "-p", "zeebe", "--test", "drift"]);
    match mode {
        Mode::Compare => {}
        Mode::Bless => {
            test.env("SCHISM_BLESS", "1");
        }
    }
    command::run(test)
}
