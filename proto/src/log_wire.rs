//! Places in logs on the wire.

use fault::{LogFile, LogForm, LogMark};

use crate::Invalid;
use crate::agent as wire;
use crate::invalid::{known, unspecified};

impl From<LogMark> for wire::LogMark {
    fn from(mark: LogMark) -> Self {
        let LogFile { device, inode } = mark.file;
        Self { device, inode, offset: mark.offset, print: mark.print() }
    }
}

impl From<wire::LogMark> for LogMark {
    fn from(mark: wire::LogMark) -> Self {
        let file = LogFile { device: mark.device, inode: mark.inode };
        Self::restored(file, mark.offset, mark.print)
    }
}

impl From<LogForm> for wire::LogForm {
    fn from(form: LogForm) -> Self {
        match form {
            LogForm::Plain => Self::Plain,
            LogForm::Cri => Self::Cri,
            LogForm::Json => Self::Json,
        }
    }
}

impl wire::LogFile {
    /// Which file it is.
    #[must_use]
    pub const fn number(&self) -> LogFile {
        LogFile { device: self.device, inode: self.inode }
    }

    /// How it is written.
    ///
    /// # Errors
    /// It does not say so.
    pub fn written(&self) -> Result<LogForm, Invalid> {
        match known(self.form, "form")? {
            wire::LogForm::Unspecified => Err(unspecified("form")),
            wire::LogForm::Plain => Ok(LogForm::Plain),
            wire::LogForm::Cri => Ok(LogForm::Cri),
            wire::LogForm::Json => Ok(LogForm::Json),
        }
    }
}
