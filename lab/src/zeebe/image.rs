//! Zeebe as an image of a container: the archive, the Java of this machine, and the libraries that both need.

use std::path::{Path, PathBuf};

use ::image::Image;

use super::{Java, ZeebeError, archive, configuration};
use crate::libraries::{NAMES, libraries};

/// Where the archive is.
const ZEEBE: &str = "opt/zeebe";

/// Where Java is.
const JAVA: &str = "opt/java";

/// What of a Java only those need who write programs.
const OF_NO_USE: [&str; 6] = ["include", "jmods", "legal", "lib/ct.sym", "lib/src.zip", "man"];

/// What the databases of brokers are linked with, and Java itself is not.
const OF_DATABASES: [&str; 2] = ["libstdc++.so.6", "libgcc_s.so.1"];

/// The image, by its reference. It starts nothing by itself.
///
/// # Errors
/// No Java, no Zeebe, or no library that one of them needs.
pub fn image(reference: &str) -> Result<Image, ZeebeError> {
    let java = Java::find()?;
    let distribution = archive::distribution()?;
    let image = Image::new(reference)
        .tree(ZEEBE, &distribution, &["bin"])?
        .tree(JAVA, &java.home, &OF_NO_USE)?
        .file("etc/nsswitch.conf", Path::new(NAMES))
        .directory("tmp");
    let needed = needed(&java)?;
    Ok(needed.iter().fold(image, |image, path| {
        image.program(path.to_string_lossy().trim_start_matches('/'), path)
    }))
}

/// The words that start a program of Zeebe's in the image, by the name of its script in the archive and its class.
pub(super) fn command(java: &Java, name: &str, class: &str) -> Vec<String> {
    let options = configuration::options(java);
    let mut words = vec![format!("/{JAVA}/bin/java")];
    words.extend(options.split_whitespace().map(ToOwned::to_owned));
    words.extend([
        "-XX:+ExitOnOutOfMemoryError".to_owned(),
        "-Dfile.encoding=UTF-8".to_owned(),
        format!("-Dapp.name={name}"),
        format!("-Dapp.home=/{ZEEBE}"),
        format!("-Dbasedir=/{ZEEBE}"),
        "-classpath".to_owned(),
        format!("/{ZEEBE}/config:/{ZEEBE}/lib/*"),
        class.to_owned(),
    ]);
    words
}

/// The libraries that do not come with Java, each once.
fn needed(java: &Java) -> Result<Vec<PathBuf>, ZeebeError> {
    let failed = |source| ZeebeError::File { path: java.home.clone(), source };
    // By no link, as the loader has it.
    let home = java.home.canonicalize().map_err(failed)?;
    let mut all = Vec::new();
    for part in ["bin/java", "lib/server/libjvm.so", "lib/libzip.so"] {
        let path = home.join(part);
        let found = libraries(&path).map_err(|source| ZeebeError::File { path, source })?;
        all.extend(found.into_iter().filter(|one| !one.starts_with(&home)));
    }
    // Where the C library is there is that of C++.
    let place = all.iter().find(|path| path.ends_with("libc.so.6")).and_then(|path| path.parent());
    let place = place.unwrap_or(Path::new("/lib")).to_owned();
    for name in OF_DATABASES {
        let path = place.join(name);
        path.metadata().map_err(|source| ZeebeError::File { path: path.clone(), source })?;
        all.push(path);
    }
    all.sort();
    all.dedup();
    Ok(all)
}
