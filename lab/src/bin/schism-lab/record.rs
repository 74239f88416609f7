//! Where a lab that runs says what it has, for other commands.

use std::{
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use lab::directory::Directory;
use nix::{sys::signal::kill, unistd::Pid};
use serde_json::{Value, json};

/// One for the machine: two clusters of Java would not leave room for anything else.
const PLACE: &str = "/run/schism-lab-zeebe";

/// A lab that runs.
#[derive(Debug)]
pub(crate) struct Record {
    /// The process that keeps it.
    pub(crate) keeper: Pid,
    /// The namespace from which all can be reached.
    pub(crate) hub: String,
    /// Each member's name and address; the gateway is the last.
    pub(crate) members: Vec<(String, Ipv4Addr)>,
}

/// The place of this machine's lab, free again with the handle.
#[derive(Debug)]
pub(crate) struct Place(Directory);

impl Place {
    /// Takes the place.
    pub(crate) fn claim() -> Result<Self> {
        let place = Path::new(PLACE);
        if place.exists() {
            match Record::read() {
                Ok(Some(record)) => bail!("a lab runs already, kept by process {}", record.keeper),
                // Nobody keeps it: its process was killed together with its warden.
                Ok(None) => fs::remove_dir_all(place).context(PLACE)?,
                Err(error) => return Err(error),
            }
        }
        Ok(Self(Directory::claim(place)?))
    }

    /// Tells others what there is.
    pub(crate) fn tell(&self, record: &Record) -> Result<()> {
        let members: Vec<Value> = record
            .members
            .iter()
            .map(|(name, address)| json!({ "name": name, "address": address.to_string() }))
            .collect();
        let said = json!({
            "schema": "schism.lab-zeebe/v1", "keeper": record.keeper.as_raw(),
            "hub": record.hub, "members": members,
        });
        let (written, path) = (self.0.path().join("new"), self.0.path().join("lab.json"));
        fs::write(&written, said.to_string()).context(PLACE)?;
        fs::rename(&written, path).context(PLACE)
    }
}

impl Record {
    /// The lab that runs; `None` where there is none.
    pub(crate) fn read() -> Result<Option<Self>> {
        let path = PathBuf::from(PLACE).join("lab.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(PLACE),
        };
        let record = parse(&text).with_context(|| format!("{} is no record", path.display()))?;
        Ok(Some(record).filter(|record| kill(record.keeper, None).is_ok()))
    }
}

fn parse(text: &str) -> Option<Record> {
    let said: Value = serde_json::from_str(text).ok()?;
    let member = |member: &Value| {
        let (name, address) = (member["name"].as_str()?, member["address"].as_str()?);
        Some((name.to_owned(), address.parse().ok()?))
    };
    Some(Record {
        keeper: Pid::from_raw(i32::try_from(said["keeper"].as_i64()?).ok()?),
        hub: said["hub"].as_str()?.to_owned(),
        members: said["members"].as_array()?.iter().map(member).collect::<Option<_>>()?,
    })
}
