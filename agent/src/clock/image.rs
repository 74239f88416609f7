//! A vDSO image: its clock functions, its code, and the bytes that it has to spare.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use object::elf::SHF_EXECINSTR;
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags};

/// A function of the vDSO through which programs read clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// `clock_gettime(clock, time)`.
    ClockGettime,
    /// `gettimeofday(time, zone)`.
    Gettimeofday,
    /// `time(time)`: x86 has it, aarch64 does not.
    Time,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ClockGettime, Self::Gettimeofday, Self::Time];

    /// By what names an image exports it; the first is the one that C libraries look up.
    #[must_use]
    pub const fn names(self) -> [&'static str; 2] {
        match self {
            Self::ClockGettime => ["__vdso_clock_gettime", "clock_gettime"],
            Self::Gettimeofday => ["__vdso_gettimeofday", "gettimeofday"],
            Self::Time => ["__vdso_time", "time"],
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.names()[1])
    }
}

/// What identifies a build of the vDSO (NT_GNU_BUILD_ID).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId(Vec<u8>);

impl BuildId {
    /// Takes its bytes.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A vDSO image that was understood. Places in it are bytes from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    bytes: Vec<u8>,
    build_id: BuildId,
    functions: BTreeMap<Function, Range<u32>>,
    code: Range<u32>,
    slack: Range<u32>,
}

/// An image was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It is no 64-bit ELF file.
    #[error("read the vDSO as an ELF file: {0}")]
    Form(String),
    /// It does not say which build it is.
    #[error("the vDSO has no build id")]
    Unnamed,
    /// It has nothing that could be moved.
    #[error("the vDSO exports no clock_gettime")]
    Clockless,
    /// Two symbols of one function are two functions.
    #[error("the vDSO exports {0} twice, at different places")]
    Ambiguous(Function),
    /// It lies outside of the code.
    #[error("the vDSO's {0} lies outside of its code")]
    Outside(Function),
    /// There is no code.
    #[error("the vDSO has no .text")]
    Codeless,
    /// What looks unused holds something.
    #[error("the end of the vDSO's last page is in use")]
    SlackInUse,
}

impl Image {
    /// Reads an image as it is mapped: whole pages.
    ///
    /// # Errors
    /// What about it was not as expected.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ImageError> {
        let form = |error: object::Error| ImageError::Form(error.to_string());
        let file = ElfFile64::<object::LittleEndian>::parse(bytes.as_slice()).map_err(form)?;
        let build_id = file.build_id().map_err(form)?.ok_or(ImageError::Unnamed)?;
        let build_id = BuildId::new(build_id.to_vec());

        let text = file.section_by_name(".text").ok_or(ImageError::Codeless)?;
        let SectionFlags::Elf { sh_flags, .. } = text.flags() else {
            return Err(ImageError::Codeless);
        };
        if sh_flags & u64::from(SHF_EXECINSTR) == 0 {
            return Err(ImageError::Codeless);
        }
        let code = range(text.address(), text.size(), &bytes).ok_or(ImageError::Codeless)?;

        let mut functions = BTreeMap::new();
        for symbol in file.dynamic_symbols().filter(ObjectSymbol::is_definition) {
            let Ok(name) = symbol.name() else { continue };
            let named = |function: &Function| function.names().contains(&name);
            let Some(function) = Function::ALL.into_iter().find(named) else { continue };
            let place = range(symbol.address(), symbol.size(), &bytes);
            let place = place.filter(|place| code.start <= place.start && place.end <= code.end);
            let place = place.ok_or(ImageError::Outside(function))?;
            if functions.insert(function, place.clone()).is_some_and(|other| other != place) {
                return Err(ImageError::Ambiguous(function));
            }
        }
        if !functions.contains_key(&Function::ClockGettime) {
            return Err(ImageError::Clockless);
        }

        let slack = slack(&file, &bytes).map_err(form)?;
        if bytes[slack.start as usize..].iter().any(|byte| *byte != 0) {
            return Err(ImageError::SlackInUse);
        }
        Ok(Self { build_id, functions, code, slack, bytes })
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Which build it is.
    #[must_use]
    pub const fn build_id(&self) -> &BuildId {
        &self.build_id
    }

    /// Where a function lies; `None` if it has none.
    #[must_use]
    pub fn function(&self, function: Function) -> Option<Range<u32>> {
        self.functions.get(&function).cloned()
    }

    /// Where its code lies.
    #[must_use]
    pub fn code(&self) -> Range<u32> {
        self.code.clone()
    }

    /// The bytes behind everything that the file holds, up to the end of its last page.
    #[must_use]
    pub fn slack(&self) -> Range<u32> {
        self.slack.clone()
    }
}

fn range(start: u64, length: u64, bytes: &[u8]) -> Option<Range<u32>> {
    let start = u32::try_from(start).ok()?;
    let end = start.checked_add(u32::try_from(length).ok()?)?;
    (end as usize <= bytes.len() && start < end).then_some(start..end)
}

/// Section headers are behind the last section, and not part of any segment; debuggers read them.
fn slack(
    file: &ElfFile64<'_, object::LittleEndian>,
    bytes: &[u8],
) -> Result<Range<u32>, object::Error> {
    let header = file.elf_header();
    let endian = file.endian();
    let entries = u64::from(header.e_shnum(endian)) * u64::from(header.e_shentsize(endian));
    let mut end = header.e_shoff(endian).saturating_add(entries);
    for section in file.sections() {
        if let Some((start, length)) = section.file_range() {
            end = end.max(start.saturating_add(length));
        }
        end = end.max(section.address().saturating_add(section.size()));
    }
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let start = u32::try_from(end).unwrap_or(u32::MAX).min(length);
    Ok(start..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_is_refused() {
        assert!(matches!(Image::parse(Vec::new()), Err(ImageError::Form(_))));
        assert!(matches!(Image::parse(vec![0x7f; 8192]), Err(ImageError::Form(_))));
    }
}
