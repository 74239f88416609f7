//! Where a lab says who keeps it, and once it runs what it has, for other commands.

use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use lab::{directory::Directory, identity::Identity};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// One for the machine: two clusters of Java would not leave room for anything else.
const PLACE: &str = "/run/schism-lab-zeebe";

/// Who keeps a lab, from its first moment on.
const KEEPER: &str = "keeper.json";

/// What a lab has, once it is complete.
const LAB: &str = "lab.json";

/// A lab that runs.
#[derive(Debug)]
pub(crate) struct Record {
    /// The process that keeps it.
    pub(crate) keeper: Identity,
    /// The namespace from which all can be reached.
    pub(crate) hub: String,
    /// Each member's name and address; the gateway is the last.
    pub(crate) members: Vec<(String, Ipv4Addr)>,
}

/// The place of this machine's lab, free again with the handle.
#[derive(Debug)]
pub(crate) struct Place {
    directory: Directory,
    keeper: Identity,
}

impl Place {
    /// Takes the place for this process, which nobody else has.
    pub(crate) fn claim() -> Result<Self> {
        Self::claim_at(Path::new(PLACE))
    }

    fn claim_at(place: &Path) -> Result<Self> {
        let keeper = Identity::of(Pid::this()).context("/proc does not show this process")?;
        // Until the keeper stands there: who comes meanwhile waits, and then finds it.
        let above = place.parent().unwrap_or(Path::new("/"));
        let queue = File::open(above).with_context(|| above.display().to_string())?;
        queue.lock().with_context(|| above.display().to_string())?;
        if place.exists() {
            if let Some(other) = keeper_at(place)? {
                bail!("a lab runs or starts already, kept by process {}", other.pid);
            }
            // Nobody keeps it: its process was killed together with its warden.
            fs::remove_dir_all(place).with_context(|| place.display().to_string())?;
        }
        let directory = Directory::claim(place)?;
        let said = json!({
            "schema": "schism.lab-keeper/v1", "pid": keeper.pid.as_raw(), "start": keeper.start,
        });
        write(place, KEEPER, &said)?;
        Ok(Self { directory, keeper })
    }

    /// The process that keeps it: this one.
    pub(crate) fn keeper(&self) -> Identity {
        self.keeper
    }

    /// Tells others what there is.
    pub(crate) fn tell(&self, record: &Record) -> Result<()> {
        let members: Vec<Value> = record
            .members
            .iter()
            .map(|(name, address)| json!({ "name": name, "address": address.to_string() }))
            .collect();
        let said = json!({
            "schema": "schism.lab-zeebe/v1", "keeper": record.keeper.pid.as_raw(),
            "hub": record.hub, "members": members,
        });
        write(self.directory.path(), LAB, &said)
    }
}

impl Record {
    /// The lab that runs; `None` where there is none, or it is not complete yet.
    pub(crate) fn read() -> Result<Option<Self>> {
        let place = Path::new(PLACE);
        let Some(keeper) = keeper_at(place)? else { return Ok(None) };
        let Some(said) = read(place, LAB)? else { return Ok(None) };
        let record = parse(keeper, &said);
        record.with_context(|| format!("{PLACE}/{LAB} is no record")).map(Some)
    }
}

/// The process that keeps this machine's lab; `None` where there is none.
pub(crate) fn keeper() -> Result<Option<Identity>> {
    keeper_at(Path::new(PLACE))
}

fn keeper_at(place: &Path) -> Result<Option<Identity>> {
    let Some(said) = read(place, KEEPER)? else { return Ok(None) };
    let keeper =
        said["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).zip(said["start"].as_u64());
    let (pid, start) =
        keeper.with_context(|| format!("{}/{KEEPER} names no process", place.display()))?;
    Ok(Some(Identity { pid: Pid::from_raw(pid), start }).filter(|keeper| keeper.lives()))
}

fn read(place: &Path, name: &str) -> Result<Option<Value>> {
    let path = place.join(name);
    let shown = || path.display().to_string();
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).with_context(shown),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(shown),
    }
}

/// Writes a file that is there whole or not at all.
fn write(place: &Path, name: &str, said: &Value) -> Result<()> {
    let (written, path) = (place.join("new"), place.join(name));
    fs::write(&written, said.to_string()).with_context(|| written.display().to_string())?;
    fs::rename(&written, &path).with_context(|| path.display().to_string())
}

fn parse(keeper: Identity, said: &Value) -> Option<Record> {
    let member = |member: &Value| {
        let (name, address) = (member["name"].as_str()?, member["address"].as_str()?);
        Some((name.to_owned(), address.parse().ok()?))
    };
    Some(Record {
        keeper,
        hub: said["hub"].as_str()?.to_owned(),
        members: said["members"].as_array()?.iter().map(member).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_belongs_to_who_began_first_and_to_nobody_who_is_gone() {
        let above = Directory::create("record").unwrap();
        let place = above.path().join("lab");
        let first = Place::claim_at(&place).unwrap();
        // Long before anything runs.
        let second = Place::claim_at(&place).unwrap_err().to_string();
        assert!(second.contains(&first.keeper().pid.to_string()), "{second}");
        assert_eq!(keeper_at(&place).unwrap(), Some(first.keeper()));
        // This pid, and another process that had it before.
        let said = json!({ "pid": first.keeper().pid.as_raw(), "start": first.keeper().start - 1 });
        write(&place, KEEPER, &said).unwrap();
        assert_eq!(keeper_at(&place).unwrap(), None);
        std::mem::forget(first);
        drop(Place::claim_at(&place).unwrap());
        assert!(!place.exists());
    }
}
