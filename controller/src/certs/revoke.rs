//! Which certificate is meant, and taking it out.

use link::{Entry, SCHEME};

use super::CertsError;
use super::directory::Directory;
use super::report::{Certificate, Standing};

/// The shortest beginning of a fingerprint: shorter ones are names, or accidents.
const SHORTEST: usize = 4;

/// Takes a name's certificates, or the one with a fingerprint, out of those that are admitted.
pub(super) fn revoke(directory: &Directory, what: &str) -> Result<Vec<Certificate>, CertsError> {
    let _lock = directory.lock()?;
    let meant = meant(directory.listing()?.entries, what)?;
    directory.edit_issued(|text| {
        let stays = |line: &&str| {
            let entry: Option<Entry> = line.trim().parse().ok();
            entry.is_none_or(|entry| meant.iter().all(|gone| gone.fingerprint != entry.fingerprint))
        };
        text.lines().filter(stays).map(|line| format!("{line}\n")).collect()
    })?;
    Ok(meant.into_iter().map(|entry| Certificate::new(entry, Standing::Revoked)).collect())
}

/// All certificates of a name, so that a renewed one does not go on; or one by its fingerprint.
fn meant(entries: Vec<Entry>, what: &str) -> Result<Vec<Entry>, CertsError> {
    let digits = what.to_ascii_lowercase();
    let named = |entry: &Entry| {
        let uri = entry.principal.to_string();
        entry.principal.name() == what || uri == what || uri.strip_prefix(SCHEME) == Some(what)
    };
    let begins = |entry: &Entry| {
        digits.len() >= SHORTEST && entry.fingerprint.to_string().starts_with(&digits)
    };
    let mut meant: Vec<Entry> = Vec::new();
    for entry in entries {
        let known = meant.iter().any(|other| other.fingerprint == entry.fingerprint);
        if !known && (named(&entry) || begins(&entry)) {
            meant.push(entry);
        }
    }
    let Some(first) = meant.first() else { return Err(CertsError::Unknown) };
    let one_name = meant.iter().all(|entry| named(entry) && entry.principal == first.principal);
    if meant.len() == 1 || one_name {
        return Ok(meant);
    }
    let line = |entry: &Entry| format!("    {}  {}", entry.fingerprint.short(), entry.principal);
    Err(CertsError::Ambiguous(meant.iter().map(line).collect()))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn entry(digit: char, principal: &str) -> Entry {
        Entry {
            fingerprint: format!("abcd{}", digit.to_string().repeat(60)).parse().unwrap(),
            principal: principal.parse().unwrap(),
            expires: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn one_is_meant_or_one_name() {
        let entries = [
            entry('0', "schism://agent/n1"),
            entry('1', "schism://agent/n1"),
            entry('1', "schism://agent/n1"),
            entry('2', "schism://agent/ada"),
            entry('3', "schism://user/ada/admin"),
            entry('4', "schism://user/ada/viewer"),
            entry('5', "schism://agent/abcd4"),
        ];
        let table = [
            ("n1", Ok("01")),
            ("agent/n1", Ok("01")),
            ("schism://agent/n1", Ok("01")),
            ("abcd1", Ok("1")),
            ("ABCD1", Ok("1")),
            ("agent/ada", Ok("2")),
            ("user/ada/admin", Ok("3")),
            ("abcd5", Ok("5")),
            ("ada", Err("it names 3 certificates:\n    abcd2222")),
            ("abcd", Err("it names 6 certificates")),
            ("abcd4", Err("it names 2 certificates")),
            ("abc", Err("no certificate")),
            ("", Err("no certificate")),
            ("n", Err("no certificate")),
            ("user/ada", Err("no certificate")),
        ];
        for (what, expected) in table {
            match (meant(entries.to_vec(), what), expected) {
                (Ok(meant), Ok(digits)) => {
                    let found: String =
                        meant.iter().filter_map(|e| e.fingerprint.to_string().pop()).collect();
                    assert_eq!(found, digits, "{what}");
                }
                (Err(error), Err(said)) => {
                    assert!(error.to_string().starts_with(said), "{what}: {error}");
                }
                (found, _) => panic!("{what}: {found:?}"),
            }
        }
    }
}
