//! `[SYSTEM]` and `[SYSTEM.NAME]`: the one cluster of a system, or several by their names.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;

use fault::{ClusterName, Legible};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// A cluster as it is written.
pub(super) trait Written: Default + for<'de> Deserialize<'de> {
    /// What it means.
    type Settings;
    /// The word of its section, which the one cluster is called by.
    const SYSTEM: &'static str;

    /// Takes the value of a key; what is no key of a cluster is left, and is one by its name.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<Taken, A::Error>;

    /// What is written, where it makes sense together; `name` stands before what does not.
    fn check(self, name: &str) -> Result<Self::Settings, String>;
}

/// Whether a value was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was.
    Key,
    /// It has yet to be.
    Name,
}

/// Reads the one cluster or all of them. Key by key, so that an error has its place in the file.
pub(super) fn read<'de, D, W>(
    deserializer: D,
) -> Result<BTreeMap<ClusterName, W::Settings>, D::Error>
where
    D: Deserializer<'de>,
    W: Written,
{
    deserializer.deserialize_map(Table::<W>(PhantomData))
}

/// A path in a table that is read key by key.
pub(super) fn path<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<PathBuf>, A::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Path(#[serde(deserialize_with = "super::value::path")] Option<PathBuf>);

    map.next_value().map(|Path(path)| path)
}

/// What is written as text in such a table.
pub(super) fn text<'de, A, T>(map: &mut A) -> Result<Option<T>, A::Error>
where
    A: MapAccess<'de>,
    T: FromStr<Err: fmt::Display>,
{
    #[derive(Deserialize)]
    #[serde(transparent, bound = "T: FromStr<Err: fmt::Display>")]
    struct Text<T>(#[serde(deserialize_with = "super::value::text")] Option<T>);

    map.next_value().map(|Text(value)| value)
}

struct Table<W>(PhantomData<W>);

/// The table of a cluster that has a name.
#[derive(Deserialize)]
#[serde(transparent, bound = "W: Written")]
struct Named<W>(#[serde(deserialize_with = "super::value::table")] W);

impl<'de, W: Written> Visitor<'de> for Table<W> {
    type Value = BTreeMap<ClusterName, W::Settings>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of a cluster, or of clusters by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut clusters = BTreeMap::new();
        let (mut only, mut taken) = (W::default(), Taken::Name);
        while let Some(key) = map.next_key::<String>()? {
            match only.take(&key, &mut map)? {
                Taken::Key => taken = Taken::Key,
                Taken::Name => {
                    let Named(written) = map.next_value::<Named<W>>()?;
                    let name = ClusterName::new(&key).ok_or_else(|| {
                        A::Error::custom(format!(
                            "{}: a cluster's name has letters, digits, '.', '_' and '-', and is no \
                             word of a role",
                            Legible(&key)
                        ))
                    })?;
                    clusters.insert(name, written.check(&key).map_err(A::Error::custom)?);
                }
            }
        }
        if taken == Taken::Name {
            return Ok(clusters);
        }
        let system = W::SYSTEM;
        if !clusters.is_empty() {
            let reason = format!("write [{system}] for one cluster, or [{system}.NAME] for each");
            return Err(A::Error::custom(reason));
        }
        let name = ClusterName::new(system).ok_or_else(|| A::Error::custom(system))?;
        Ok(BTreeMap::from([(name, only.check(system).map_err(A::Error::custom)?)]))
    }
}
