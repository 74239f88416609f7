//! The product's images, of programs as they were built for this machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use image::Image;

use super::KubernetesError;
use crate::libraries::{NAMES, libraries};

/// Nobody's: a controller needs no privilege.
const UNPRIVILEGED: &str = "65532:65532";

/// The images that `schism install` names, of `schism` and `schism-agent` in a directory, with the libraries that they
/// need: what they do in a pod does not depend on how they were linked. Beside an agent there is a command, to ask it
/// without a controller.
///
/// # Errors
/// A program is not there, or what it needs is not told.
pub fn product(binaries: &Path) -> Result<[Image; 2], KubernetesError> {
    let program = |name: &str| {
        let program = binaries.join(name);
        stripped(&program).map_err(KubernetesError::file(&program))
    };
    let (agent, controller) = (program("schism-agent")?, program("schism")?);
    let image = |name: &str, program: &Path| {
        let failed = KubernetesError::file(program);
        let needed = libraries(program).map_err(failed)?;
        let path = format!("usr/bin/{name}");
        let image = Image::new(&format!("localhost/{name}:{}", env!("CARGO_PKG_VERSION")))
            .program(&path, program)
            .file("etc/nsswitch.conf", Path::new(NAMES))
            .entrypoint(&[&format!("/{path}")]);
        Ok::<_, KubernetesError>(needed.iter().fold(image, |image, path| {
            image.program(path.to_string_lossy().trim_start_matches('/'), path)
        }))
    };
    let agent = image("schism-agent", &agent)?.program("usr/bin/schism", &controller);
    Ok([agent, image("schism", &controller)?.user(UNPRIVILEGED)])
}

/// A program without what debuggers read, in a directory beside it: that is most of it, and all nodes take it up.
fn stripped(program: &Path) -> io::Result<PathBuf> {
    let place = program.with_file_name("stripped");
    fs::create_dir_all(&place)?;
    let whole = place.join(program.file_name().unwrap_or_default());
    // Whoever reads the one that is there goes on reading it.
    let work = whole.with_extension(format!("{}-{:?}", std::process::id(), thread::current().id()));
    let mut strip = Command::new("strip");
    let output = strip.arg("-o").arg(&work).arg(program).output().map_err(|error| {
        io::Error::new(error.kind(), format!("`strip` (of binutils) cannot be run: {error}"))
    })?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    fs::rename(&work, &whole)?;
    Ok(whole)
}
