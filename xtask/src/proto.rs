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

/// Runs the drift tests, in the selection that everything else is built in: another one has other features,
/// and compiles half of the dependencies anew.
pub(crate) fn drift(mode: Mode) -> Result<()> {
    let mut test = command::cargo(["test", "--workspace", "--locked", "--test", "drift"]);
    match mode {
        Mode::Compare => {}
        Mode::Bless => {
            test.env("SCHISM_BLESS", "1");
        }
    }
    command::run(test)
}
