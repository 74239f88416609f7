//! Images of containers, written without an engine: an OCI layout in an archive, which `docker load` takes as
//! well, of one layer that is not compressed. The same files make the same bytes.

pub mod product;
mod tar;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use ring::digest::{Context, SHA256, digest};
use serde_json::{Value, json};
use thiserror::Error;

use tar::{Archive, Mode};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// When everything in an image was made.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// Why an image was not written.
#[derive(Debug, Error)]
#[error("{path}: {source}")]
pub struct ImageError {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// What an image has and starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    reference: String,
    entries: Vec<(String, Content)>,
    entrypoint: Vec<String>,
    user: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    File { source: PathBuf, mode: Mode },
    Link { target: String },
    Directory,
}

impl Image {
    /// An empty image; its reference is as in `registry.example/name:tag`.
    #[must_use]
    pub fn new(reference: &str) -> Self {
        Self { reference: reference.to_owned(), ..Self::default() }
    }

    /// Adds a program from a file of this machine, at a path without its first slash.
    #[must_use]
    pub fn program(mut self, path: &str, source: &Path) -> Self {
        let source = source.to_owned();
        self.entries.push((path.to_owned(), Content::File { source, mode: Mode::Program }));
        self
    }

    /// Adds a file that is read only.
    #[must_use]
    pub fn file(mut self, path: &str, source: &Path) -> Self {
        let source = source.to_owned();
        self.entries.push((path.to_owned(), Content::File { source, mode: Mode::Data }));
        self
    }

    /// Adds all files beneath a directory, in the order of their names: those that may be run as programs, and whatever
    /// links lead to as what it is. Left out is what lies beneath one of `without`, by its path from there.
    ///
    /// # Errors
    /// A directory can't be read.
    pub fn tree(mut self, path: &str, source: &Path, without: &[&str]) -> Result<Self, ImageError> {
        let without: Vec<PathBuf> = without.iter().map(|name| source.join(name)).collect();
        self.add_tree(path, source, &without)?;
        Ok(self)
    }

    fn add_tree(
        &mut self,
        path: &str,
        source: &Path,
        without: &[PathBuf],
    ) -> Result<(), ImageError> {
        let unread = |error| ImageError { path: source.to_owned(), source: error };
        let entries = fs::read_dir(source).map_err(unread)?;
        let mut found = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<PathBuf>, _>>()
            .map_err(unread)?;
        found.sort();
        for source in found.into_iter().filter(|one| !without.contains(one)) {
            let unread = |error| ImageError { path: source.clone(), source: error };
            let metadata = match fs::metadata(&source) {
                Ok(metadata) => metadata,
                // A link that leads nowhere: nobody could open it here either.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(unread(error)),
            };
            let name = source.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| unread(io::ErrorKind::InvalidFilename.into()))?;
            let path = format!("{path}/{name}");
            if metadata.is_dir() {
                self.add_tree(&path, &source, without)?;
            } else if metadata.permissions().mode() & 0o111 != 0 {
                self.entries.push((path, Content::File { source, mode: Mode::Program }));
            } else {
                self.entries.push((path, Content::File { source, mode: Mode::Data }));
            }
        }
        Ok(())
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.entries.push((path.to_owned(), Content::Link { target: target.to_owned() }));
        self
    }

    /// Adds an empty directory.
    #[must_use]
    pub fn directory(mut self, path: &str) -> Self {
        self.entries.push((path.to_owned(), Content::Directory));
        self
    }

    /// What a container runs.
    #[must_use]
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// As whom a container runs, `USER:GROUP` in numbers; root where it is not said.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Writes the archive, and says how long it is.
    ///
    /// # Errors
    /// A file can't be read, or the archive can't be written.
    pub fn write(&self, path: &Path) -> Result<u64, ImageError> {
        let failed = |source| ImageError { path: path.to_owned(), source };
        let layer = Layer::write(self, &path.with_extension("layer"))?;
        let config = self.config(&layer.digest).to_string();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &hex(config.as_bytes()), config.len() as u64),
            "layers": [descriptor(LAYER, &layer.digest, layer.length)],
        });
        let manifest = manifest.to_string();
        let mut listed = descriptor(MANIFEST, &hex(manifest.as_bytes()), manifest.len() as u64);
        let tag = self.reference.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        listed["annotations"] = json!({
            "io.containerd.image.name": self.reference, "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [listed] });
        let blob = |digest: &str| format!("blobs/sha256/{digest}");
        // What `docker load` looks for.
        let docker = json!([{
            "Config": blob(&hex(config.as_bytes())), "RepoTags": [self.reference],
            "Layers": [blob(&layer.digest)],
        }]);
        let file = File::create(path).map_err(failed)?;
        let mut archive = Archive::new(BufWriter::new(file));
        let texts = [
            ("oci-layout".to_owned(), json!({ "imageLayoutVersion": "1.0.0" }).to_string()),
            ("index.json".to_owned(), index.to_string()),
            ("manifest.json".to_owned(), docker.to_string()),
            (blob(&hex(config.as_bytes())), config.clone()),
            (blob(&hex(manifest.as_bytes())), manifest.clone()),
        ];
        for (name, text) in texts {
            archive
                .file(&name, Mode::Data, text.len() as u64, &mut text.as_bytes())
                .map_err(failed)?;
        }
        let mut content = File::open(&layer.path).map_err(failed)?;
        archive
            .file(&blob(&layer.digest), Mode::Data, layer.length, &mut content)
            .and_then(|()| archive.finish())
            .and_then(|mut written| written.flush())
            .map_err(failed)?;
        fs::metadata(path).map(|metadata| metadata.len()).map_err(failed)
    }

    fn config(&self, layer: &str) -> Value {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        json!({
            "architecture": architecture, "os": "linux", "created": EPOCH,
            "config": {
                "Entrypoint": self.entrypoint, "User": self.user, "WorkingDir": "/",
                "Env": ["PATH=/usr/bin:/bin"],
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
            "history": [{ "created": EPOCH, "created_by": "schism" }],
        })
    }
}

/// The files of an image, beside it while it is written.
struct Layer {
    path: PathBuf,
    digest: String,
    length: u64,
}

impl Layer {
    fn write(image: &Image, path: &Path) -> Result<Self, ImageError> {
        let failed = |source| ImageError { path: path.to_owned(), source };
        let file = File::create(path).map_err(failed)?;
        let hashed = Hashed { inner: BufWriter::new(file), hash: Context::new(&SHA256), length: 0 };
        let mut archive = Archive::new(hashed);
        for (name, content) in &image.entries {
            archive.parents(name).map_err(failed)?;
            match content {
                Content::File { source, mode } => {
                    let unread = |error| ImageError { path: source.clone(), source: error };
                    let mut file = File::open(source).map_err(unread)?;
                    let length = file.metadata().map_err(unread)?.len();
                    archive.file(name, *mode, length, &mut file).map_err(failed)?;
                }
                Content::Link { target } => archive.link(name, target).map_err(failed)?,
                Content::Directory => archive.parents(&format!("{name}/")).map_err(failed)?,
            }
        }
        let mut hashed = archive.finish().map_err(failed)?;
        hashed.flush().map_err(failed)?;
        let digest = hashed.hash.finish();
        Ok(Self { path: path.to_owned(), digest: text(digest.as_ref()), length: hashed.length })
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            eprintln!("{}: {error}", self.path.display());
        }
    }
}

/// What is written is hashed and counted.
struct Hashed<W> {
    inner: W,
    hash: Context,
    length: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn descriptor(kind: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": size })
}

fn hex(bytes: &[u8]) -> String {
    text(digest(&SHA256, bytes).as_ref())
}

fn text(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_same_files_make_the_same_image_and_tar_finds_them_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("program"), "#!/bin/true\n").unwrap();
        let image = Image::new("schism.invalid/x:1")
            .program("usr/bin/program", &at("program"))
            .link("bin", "usr/bin")
            .directory("tmp")
            .entrypoint(&["/usr/bin/program"]);
        let length = image.write(&at("one.tar")).unwrap();
        image.write(&at("two.tar")).unwrap();
        assert_eq!(fs::read(at("one.tar")).unwrap(), fs::read(at("two.tar")).unwrap());
        assert_eq!(fs::metadata(at("one.tar")).unwrap().len(), length);
        assert!(!at("one.layer").exists());

        let tar = |arguments: &[&str]| {
            let output = Command::new("tar").args(arguments).current_dir(directory.path()).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let manifest: Value =
            serde_json::from_str(&tar(&["-xOf", "one.tar", "manifest.json"])).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "schism.invalid/x:1");
        let layer = manifest[0]["Layers"][0].as_str().unwrap();
        tar(&["-xf", "one.tar", layer]);
        assert_eq!(layer.rsplit_once('/').unwrap().1, hex(&fs::read(at(layer)).unwrap()));
        assert_eq!(tar(&["-tf", layer]), "usr/\nusr/bin/\nusr/bin/program\nbin\ntmp/\n");
        assert_eq!(tar(&["-xOf", layer, "usr/bin/program"]), "#!/bin/true\n");
    }

    #[test]
    fn a_tree_is_all_files_with_what_links_lead_to() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("tree/b/deep")).unwrap();
        fs::create_dir(at("tree/left")).unwrap();
        for name in ["tree/b/deep/data", "tree/b/gone", "tree/left/out", "apart"] {
            fs::write(at(name), name).unwrap();
        }
        fs::set_permissions(at("tree/b/deep/data"), fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink(at("apart"), at("tree/a")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("tree/c")).unwrap();

        let image = Image::new("x").tree("opt", &at("tree"), &["left", "b/gone"]).unwrap();
        let (a, data) = (at("tree/a"), at("tree/b/deep/data"));
        let expected = Image::new("x").file("opt/a", &a).program("opt/b/deep/data", &data);
        assert_eq!(image, expected);
        assert!(Image::new("x").tree("opt", &at("nowhere"), &[]).is_err());
    }
}
