//! Steps of experiments: each prints one JSON document, and exits with 0 where all is well.

use std::fs;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use lab::etcd::{Attempt, Route, Writer, Writes};
use serde_json::{Map, Value, json};

use crate::USAGE;
use crate::cluster::{Member, members};
use crate::zeebe;

/// Between two writes.
const PACE: Duration = Duration::from_millis(20);
/// How long one write may take: then another member is asked.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a question may take.
const ANSWER: Duration = Duration::from_secs(2);
/// Of a lease that is granted (s): long against the suite, short against an hour.
const LEASE: u64 = 600;

/// Performs one.
///
/// # Errors
/// It cannot be asked, which is another thing than that something is not well.
pub(crate) fn perform(words: &[&str]) -> Result<ExitCode> {
    let (well, document) = match words {
        ["write", "--seconds", seconds, "--file", file] => {
            write(Duration::from_secs_f64(seconds.parse().context("a number of seconds")?), file)?
        }
        ["check", "--file", file] => check(file)?,
        ["healthy"] => healthy()?,
        ["dates"] => dates()?,
        ["grant"] => grant()?,
        ["left", lease] => left(lease.parse().context("the id of a lease")?)?,
        ["leaders", "--file", file] => zeebe::leaders(file)?,
        ["unmoved", "--file", file] => zeebe::unmoved(file)?,
        ["moved", partition, "--file", file, "--within", seconds] => {
            let limit = Duration::from_secs_f64(seconds.parse().context("a number of seconds")?);
            zeebe::moved(partition.parse().context("a partition")?, file, limit)?
        }
        ["through", partition, "--file", file, words @ ..] => {
            zeebe::through(partition.parse().context("a partition")?, file, words)?
        }
        _ => bail!("{USAGE}"),
    };
    println!("{document}");
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes through whichever member answers, and notes what was acknowledged.
fn write(time: Duration, file: &str) -> Result<(bool, Value)> {
    let clients = members()?.iter().map(Member::client).collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let prefix = format!("suite/{}-{}", since.as_nanos(), std::process::id());
    let writer = Writer::of(clients, &prefix, Route::Any, PACE, LIMIT);
    // It writes for as long as it is told to.
    thread::sleep(time);
    let writes = writer.finish();
    let acknowledged: Vec<u64> = acknowledged(&writes).collect();
    let told = json!({
        "attempts": writes.attempts.len(),
        "acknowledged": acknowledged.len(),
        "failed": writes.failed(),
        "longest_gap_ms": u64::try_from(writes.longest_gap().as_millis()).unwrap_or(u64::MAX),
        "median_latency_ms": writes.median_latency().map(|latency| latency.as_secs_f64() * 1_000.0),
    });
    let noted = json!({"prefix": prefix, "acknowledged": acknowledged});
    fs::write(file, noted.to_string()).with_context(|| file.to_owned())?;
    Ok((!acknowledged.is_empty(), told))
}

fn acknowledged(writes: &Writes) -> impl Iterator<Item = u64> + '_ {
    let of = |attempt: &Attempt| attempt.result.is_ok().then_some(attempt.number);
    writes.attempts.iter().filter_map(of)
}

/// Reads everything that was acknowledged. Before anything was written nothing is lost.
fn check(file: &str) -> Result<(bool, Value)> {
    if !fs::exists(file)? {
        return Ok((true, json!({"acknowledged": 0, "lost": []})));
    }
    let noted: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let prefix = noted["prefix"].as_str().context("no prefix")?;
    let numbers: Vec<u64> =
        noted["acknowledged"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    ensure!(!numbers.is_empty(), "no write was acknowledged, so none can be lost");
    let mut lost = Vec::new();
    let members = members()?;
    let mut clients: Vec<_> = members.iter().map(Member::client).collect();
    for number in &numbers {
        let key = format!("{prefix}/{number}");
        // As a majority has it, whoever is asked.
        let asked = clients.iter_mut().find_map(|client| client.get(&key, ANSWER).ok());
        if asked.context("no member answers")?.as_deref() != Some("written") {
            lost.push(*number);
        }
    }
    Ok((lost.is_empty(), json!({"acknowledged": numbers.len(), "lost": lost})))
}

/// Asks all members whether they are.
fn healthy() -> Result<(bool, Value)> {
    let mut told = Map::new();
    for member in members()? {
        let healthy = member.client().health(ANSWER);
        let said = healthy.as_ref().map_or_else(ToString::to_string, |()| "healthy".to_owned());
        told.insert(member.name, said.into());
    }
    let well = told.values().all(|said| said == "healthy");
    Ok((well, Value::Object(told)))
}

/// How far each member's time of day is from this process's, in seconds, as its own words have it.
fn dates() -> Result<(bool, Value)> {
    let mut told = Map::new();
    let mut most = 0;
    for member in members()? {
        // A member cuts off what is less than a second.
        let date = member.client().date(ANSWER)? + Duration::from_millis(500);
        let now = SystemTime::now();
        let offset = match date.duration_since(now) {
            Ok(ahead) => ahead.as_secs_f64().round() as i64,
            Err(behind) => -(behind.duration().as_secs_f64().round() as i64),
        };
        if offset.abs() > i64::abs(most) {
            most = offset;
        }
        told.insert(member.name, offset.into());
    }
    let skewed = told.values().filter(|offset| offset.as_i64().unwrap_or(0).abs() > 1).count();
    Ok((true, json!({"offsets": told, "farthest": most, "skewed": skewed})))
}

fn grant() -> Result<(bool, Value)> {
    let members = members()?;
    let asked = members.iter().find_map(|member| member.client().grant(LEASE, ANSWER).ok());
    // As text: it has 64 bits.
    Ok((true, json!({"lease": asked.context("no member grants a lease")?.to_string()})))
}

/// What a lease has left, by whoever leads.
fn left(lease: u64) -> Result<(bool, Value)> {
    let members = members()?;
    let asked = members.iter().find_map(|member| member.client().time_to_live(lease, ANSWER).ok());
    let left = asked.context("no member tells it")?;
    Ok((left.is_some(), json!({"left": left, "of": LEASE})))
}
