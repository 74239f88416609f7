//! `schism-image`: writes the images of agent and controller from binaries that were built.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};
use image::product;

const USAGE: &str =
    "schism-image --binaries DIRECTORY --certificates FILE --tag TAG --out DIRECTORY";

/// What was typed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    binaries: PathBuf,
    certificates: PathBuf,
    tag: String,
    out: PathBuf,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("schism-image: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    let asked = parse(words)?;
    let binary = |name: &str| {
        let path = asked.binaries.join(name);
        ensure!(
            is_static(&path)?,
            "{} needs a C library, which the image has not got",
            path.display()
        );
        Ok(path)
    };
    let agent = product::agent(&binary("schism-agent")?, &asked.tag);
    let controller = product::controller(&binary("schism")?, &asked.certificates, &asked.tag);
    fs::create_dir_all(&asked.out).with_context(|| asked.out.display().to_string())?;
    for (image, name) in [(agent, "schism-agent.tar"), (controller, "schism.tar")] {
        let path = asked.out.join(name);
        let length = image.write(&path)?;
        println!("{}: {:.1} MB", path.display(), length as f64 / 1e6);
    }
    Ok(())
}

fn parse(words: &[String]) -> Result<Asked> {
    let mut asked = Asked::default();
    for pair in words.chunks(2) {
        match pair {
            [option, value] if option == "--binaries" => asked.binaries = value.into(),
            [option, value] if option == "--certificates" => asked.certificates = value.into(),
            [option, value] if option == "--tag" => asked.tag.clone_from(value),
            [option, value] if option == "--out" => asked.out = value.into(),
            _ => bail!("`{}` is not understood; there is {USAGE}", pair.join(" ")),
        }
    }
    let all = [&asked.binaries, &asked.certificates, &asked.out];
    let named = all.iter().all(|path| !path.as_os_str().is_empty()) && !asked.tag.is_empty();
    ensure!(named, "something is missing; there is {USAGE}");
    Ok(asked)
}

/// Whether an ELF file of 64 bits asks for no interpreter (PT_INTERP, elf(5)), which would be the C library's.
fn is_static(path: &Path) -> Result<bool> {
    let shown = || path.display().to_string();
    let bytes = fs::read(path).with_context(shown)?;
    asks_for_nothing(&bytes).with_context(|| format!("{} is no program of 64 bits", shown()))
}

fn asks_for_nothing(bytes: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, length: usize| {
        let field = bytes.get(at..at.checked_add(length)?)?;
        Some(field.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    // Little endian, as what we build for is.
    let known = bytes.starts_with(b"\x7fELF\x02\x01");
    let (headers, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    let mut kinds = (0..count).map(|index| number(headers.checked_add(index * size)?, 4));
    known.then(|| !kinds.any(|kind| kind == Some(PT_INTERP as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_understood_or_refused() {
        let asked =
            |line: &str| parse(&line.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>()).ok();
        let typed = asked("--tag 1 --binaries b --out o --certificates c").unwrap();
        assert_eq!((typed.tag.as_str(), typed.out), ("1", PathBuf::from("o")));
        for wrong in ["", "--tag 1", "--tag 1 --binaries b --out o", "--nothing x"] {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        let of = |kind: u8| {
            let mut bytes = vec![0; 0x40 + 56];
            bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
            (bytes[0x20], bytes[0x36], bytes[0x38], bytes[0x40]) = (0x40, 56, 1, kind);
            bytes
        };
        assert_eq!(asks_for_nothing(&of(1)), Some(true));
        assert_eq!(asks_for_nothing(&of(3)), Some(false));
        assert_eq!(asks_for_nothing(b"#!/bin/sh\n"), None);
        assert_eq!(asks_for_nothing(&[b'x'; 100]), None);
        // This test is what cargo links by default.
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(asks_for_nothing(&own).is_some());
    }
}
