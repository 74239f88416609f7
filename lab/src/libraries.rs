//! The libraries that programs of this machine need, for images of programs as they were built here.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// A file for `etc/nsswitch.conf`: a C library that is no static one looks there whether names are in /etc/hosts.
pub(crate) const NAMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/nsswitch.conf");

/// The libraries of a program or of another library, as the loader of this machine finds them, itself among them. None
/// of a program that needs none.
///
/// # Errors
/// `ldd` cannot be started.
pub(crate) fn libraries(program: &Path) -> io::Result<Vec<PathBuf>> {
    let ldd = Command::new("ldd").arg(program).output()?;
    Ok(listed(&String::from_utf8_lossy(&ldd.stdout)))
}

fn listed(said: &str) -> Vec<PathBuf> {
    // The kernel's own has no path.
    let path =
        |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(Into::into);
    said.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_where_the_loader_found_them() {
        let said = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)\n\
                    \tlibjvm.so => not found\n\t/lib64/ld-linux.so.2 (0x00007f)\n";
        let expected = ["/lib/x/libc.so.6", "/lib64/ld-linux.so.2"].map(PathBuf::from);
        assert_eq!(listed(said), expected);
        assert_eq!(listed("\tnot a dynamic executable\n"), [] as [PathBuf; 0]);
    }
}
