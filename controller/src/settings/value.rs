//! Values that are written as text.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use link::ServerName;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value that is written as text.
pub(super) fn text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

/// A path.
pub(super) fn path<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    match String::deserialize(deserializer)? {
        text if text.is_empty() || text.contains('\0') => {
            Err(D::Error::custom("write a path, which is not empty"))
        }
        text => Ok(Some(text.into())),
    }
}

/// A table. Without this a list would be taken for the values of its keys in their order.
pub(super) fn table<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_map(Table(PhantomData))
}

struct Table<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Table<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// The name for which a certificate must be.
pub(super) fn host<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ServerName<'static>>, D::Error> {
    let name = ServerName::try_from(String::deserialize(deserializer)?);
    name.map(Some)
        .map_err(|_| D::Error::custom("write a DNS name or an IP address, without a port"))
}

/// Lets a path begin at a directory.
pub(super) fn anchor(path: &mut Option<PathBuf>, base: &Path) {
    if let Some(path) = path {
        *path = base.join(&*path);
    }
}

/// One text or a list of them, each a value; `begin` stands before what is wrong with one.
pub(super) struct Several<T> {
    pub(super) begin: String,
    pub(super) expected: &'static str,
    pub(super) kind: PhantomData<T>,
}

impl<'de, T: FromStr<Err: Display>> DeserializeSeed<'de> for Several<T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: FromStr<Err: Display>> Visitor<'de> for Several<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a list of them", self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        One(&self).visit_str(text).map(|one| vec![one])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut several = Vec::new();
        while let Some(one) = list.next_element_seed(One(&self))? {
            several.push(one);
        }
        if several.is_empty() {
            return Err(A::Error::custom(format!("{}an empty list names nothing", self.begin)));
        }
        Ok(several)
    }
}

/// One of several.
struct One<'a, T>(&'a Several<T>);

impl<'de, T: FromStr<Err: Display>> DeserializeSeed<'de> for One<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T: FromStr<Err: Display>> Visitor<'_> for One<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|error| E::custom(format!("{}{error}", self.0.begin)))
    }
}
