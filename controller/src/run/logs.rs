//! The probe `logs`: whether lines with a pattern have come, of a file, of a program's output, or of a target.

mod lines;
mod pods;
mod stretch;
mod target;

use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use experiment::run::Ending;
use experiment::run::invocation::Arguments;
use experiment::tolerance::pattern::{self, Pattern};
use nix::fcntl::OFlag;
use proto::control as wire;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::faults::Faults;
use super::faults::objects::Space;
use super::program;
use super::reading::{LogsArguments, arguments};
use super::reaper::Reaper;
use crate::cli::Named;
use crate::log::Wanted;
use target::look;
pub(crate) use target::{Telling, telling};

/// By what a step says that only what comes is to be looked at.
pub(super) const NOW: &str = "now";
/// How many of the lines that were found are returned.
const SHOWN: usize = 10;
/// How much of a line is looked at (1 MiB).
const LONGEST: usize = 1 << 20;
/// How long a program, or whoever tells a target's log, may take where nobody says it (60 s).
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks at lines.
pub(super) async fn perform(
    given: &Map<String, Value>,
    faults: &Faults,
    reaper: &Arc<Reaper>,
) -> Ending {
    ending(read(given, faults, reaper).await)
}

/// What a step has come to by what it found.
pub(crate) fn ending(found: Result<Value, String>) -> Ending {
    match found {
        Ok(value) => Ending::Returned(value),
        Err(why) => Ending::Failed(why),
    }
}

/// What is looked for, and since when.
pub(crate) struct Sought {
    asked: LogsArguments,
    pattern: Pattern,
    since: Since,
}

/// From where on lines are looked at.
enum Since {
    /// All of them.
    Ever,
    /// Only those to come.
    Now,
    /// Behind this end of an earlier look.
    End(Value),
}

impl Since {
    const fn end(&self) -> Option<&Value> {
        match self {
            Self::End(end) => Some(end),
            Self::Ever | Self::Now => None,
        }
    }
}

impl Sought {
    /// Reads what a step is given.
    ///
    /// # Errors
    /// It makes no sense.
    pub(crate) fn read(given: &Map<String, Value>) -> Result<Self, String> {
        let asked: LogsArguments = arguments(given)?;
        if let Some(trouble) = asked.trouble() {
            return Err(trouble);
        }
        let pattern = pattern::compile(&asked.pattern).map_err(|error| error.to_string())?;
        let since = match asked.since.clone().unwrap_or_default() {
            Value::Null => Since::Ever,
            Value::String(now) if now == NOW => Since::Now,
            earlier @ (Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_)) => {
                let wanted = "`since` is what an earlier `logs` returned, or `now`";
                Since::End(earlier.get("end").cloned().ok_or(wanted)?)
            }
        };
        Ok(Self { asked, pattern, since })
    }

    /// The target whose log is meant, where an earlier look has ended, and what is wanted of it; `None` where it
    /// is no target's.
    ///
    /// # Errors
    /// They make no sense.
    pub(crate) fn target(&self) -> Result<Option<(Named, Vec<wire::TargetLog>, Wanted)>, String> {
        let Some(target) = &self.asked.target else { return Ok(None) };
        // It may be a secret, of which nothing is told that is cut.
        let named: Named =
            target.parse().map_err(|_| "`target` is neither a selector nor a name")?;
        let since = self.since.end().map(target::since).transpose()?.unwrap_or_default();
        let wanted = match self.since {
            Since::Now => Wanted::Ends,
            Since::Ever | Since::End(_) => Wanted::News,
        };
        Ok(Some((named, since, wanted)))
    }

    /// Looks at what is told of a target.
    ///
    /// # Errors
    /// Not all of it was told, or something may be missing.
    pub(crate) async fn look(self, telling: Telling, wanted: Wanted) -> Result<Value, String> {
        let (limit, here) = (self.limit()?, Handle::current());
        let work = tokio::task::spawn_blocking(move || {
            here.block_on(timeout(limit, look(telling, &self.pattern, wanted)))
        });
        let found = work.await.map_err(|error| error.to_string())?;
        found.map_err(|_| late(limit))?
    }

    /// Looks at what the API server tells of pods.
    async fn look_at_pods(self, space: Space, target: String, seed: u64) -> Result<Value, String> {
        let (limit, here) = (self.limit()?, Handle::current());
        let work = tokio::task::spawn_blocking(move || {
            let since = self.asked.since.as_ref();
            let look = pods::look((&space, seed), &target, since, &self.pattern);
            here.block_on(timeout(limit, look))
        });
        let found = work.await.map_err(|error| error.to_string())?;
        found.map_err(|_| late(limit))?
    }

    /// How long it may take.
    fn limit(&self) -> Result<Duration, String> {
        self.asked.timeout.map_or(Ok(PATIENCE), |seconds| {
            Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
        })
    }
}

fn late(limit: Duration) -> String {
    format!("the log was not told within {} s", limit.as_secs_f64())
}

async fn read(
    given: &Map<String, Value>,
    faults: &Faults,
    reaper: &Arc<Reaper>,
) -> Result<Value, String> {
    let sought = Sought::read(given)?;
    if let (Some(space), Some(target)) = (faults.space(), sought.asked.target.clone()) {
        return sought.look_at_pods(space.clone(), target, faults.seed()).await;
    }
    if let Some((named, since, wanted)) = sought.target()? {
        let telling = faults.logs(&named, since, wanted).await.map_err(|failure| failure.text())?;
        return sought.look(telling, wanted).await;
    }
    let limit = sought.limit()?;
    let Sought { asked, pattern, since } = sought;
    match (asked.file, asked.command) {
        (Some(path), _) => {
            let work = tokio::task::spawn_blocking(move || of_file(&path, &since, &pattern));
            work.await.map_err(|error| error.to_string())?
        }
        (None, Some(words)) => {
            let text = said(&words, limit, reaper).await?;
            of_text(&text, &since, &pattern)
        }
        (None, None) => Err("`file`, `command` or `target` is missing".to_owned()),
    }
}

/// What a program says.
async fn said(words: &[String], limit: Duration, reaper: &Arc<Reaper>) -> Result<String, String> {
    let [path, rest @ ..] = words else { return Err("`command` is empty".to_owned()) };
    let given = Arguments::Words(rest.to_vec());
    let value = match program::perform(path, &given, &[], Some(limit), reaper).await {
        Ending::Returned(value) => value,
        Ending::Failed(why) | Ending::Crashed(why) | Ending::Interrupted(why) => return Err(why),
        Ending::Untried => return Err(format!("{path} was not run")),
    };
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    if value["status"] != 0 {
        return Err(format!(
            "{path} ended with {}: {}",
            value["status"],
            text("stderr").trim_end()
        ));
    }
    if text("stdout").len() >= program::MOST {
        let most = program::MOST >> 20;
        return Err(format!("{path} says more than {most} MiB: let it say only the last lines"));
    }
    Ok(text("stdout").to_owned())
}

/// Lines that were found.
#[derive(Default)]
struct Found {
    count: u64,
    lines: Vec<String>,
}

impl Found {
    /// Whether it is one.
    fn look(&mut self, line: &str, pattern: &Pattern) -> Result<bool, String> {
        let is_found = pattern.finds(line).map_err(|error| error.to_string())?;
        if is_found {
            self.count += 1;
            if self.lines.len() < SHOWN {
                self.lines.push(line.to_owned());
            }
        }
        Ok(is_found)
    }

    fn value(self, end: Value) -> Value {
        json!({"found": self.count > 0, "count": self.count, "lines": self.lines, "end": end})
    }
}

/// From where it ended, unless it is another file by now, or was emptied: then from its beginning.
fn of_file(path: &Path, since: &Since, pattern: &Pattern) -> Result<Value, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    // Who opens a pipe that nobody writes to would wait for somebody.
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    let (inode, length) = (metadata.ino(), metadata.len());
    let known = |key: &str| since.end().and_then(|since| since.get(key)).and_then(Value::as_u64);
    let begin = match (since, known("inode"), known("offset")) {
        (Since::Now, _, _) => length,
        (_, Some(before), Some(offset)) if before == inode && offset <= length => offset,
        _ => 0,
    };
    file.seek(SeekFrom::Start(begin)).map_err(failed)?;
    // What is written meanwhile is for the next look.
    let mut reader = BufReader::new(file.take(length - begin));
    let mut found = Found::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let count =
            (&mut reader).take(LONGEST as u64).read_until(b'\n', &mut line).map_err(failed)?;
        if count == 0 {
            break;
        }
        found.look(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']), pattern)?;
    }
    Ok(found.value(json!({"inode": inode, "offset": length})))
}

/// From where it ended, if it begins as it did then: else all of it.
fn of_text(text: &str, since: &Since, pattern: &Pattern) -> Result<Value, String> {
    let known = |key: &str| since.end().and_then(|since| since.get(key)).and_then(Value::as_u64);
    let offset = known("offset").and_then(|offset| usize::try_from(offset).ok());
    let before = offset.and_then(|offset| text.get(..offset));
    let new = match (since, before, known("hash")) {
        (Since::Now, _, _) => "",
        (_, Some(before), Some(known)) if hash(before) == known => &text[before.len()..],
        _ => text,
    };
    let mut found = Found::default();
    for line in new.lines() {
        found.look(line, pattern)?;
    }
    Ok(found.value(json!({"offset": text.len(), "hash": hash(text)})))
}

/// Only compared within one run.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    // A number that every reader of JSON keeps exact.
    hasher.finish() >> 11
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    async fn found(arguments: Value) -> Result<Value, String> {
        read(
            arguments.as_object().unwrap(),
            &Faults::nowhere(),
            &Arc::new(Reaper::nobody(experiment::run::Verdicts::Strict)),
        )
        .await
    }

    #[tokio::test]
    async fn a_file_is_looked_at_since_the_last_look_also_where_it_was_rotated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let append = |text: &str| {
            let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let look =
            |since: Value| found(json!({"file": path, "pattern": "lead(er|s)", "since": since}));
        assert!(look(Value::Null).await.unwrap_err().contains("No such file"));
        append("a leader\nnobody\nshe leads\nhalf");
        let first = look(Value::Null).await.unwrap();
        assert_eq!((&first["found"], &first["count"]), (&json!(true), &json!(2)));
        assert_eq!(first["lines"], json!(["a leader", "she leads"]));
        let second = look(first.clone()).await.unwrap();
        assert_eq!((&second["found"], &second["count"]), (&json!(false), &json!(0)));
        append(" of the leader\n");
        assert_eq!(look(second).await.unwrap()["count"], 1);
        fs::rename(&path, directory.path().join("log.1")).unwrap();
        append("the leader of a new file\n");
        let third = look(first).await.unwrap();
        assert_eq!(third["lines"], json!(["the leader of a new file"]));
        fs::write(&path, "leads\n").unwrap();
        assert_eq!(look(third).await.unwrap()["count"], 1, "it was emptied");
        let now = look(json!("now")).await.unwrap();
        assert_eq!((&now["found"], &now["count"]), (&json!(false), &json!(0)));
        append("she leads again\n");
        assert_eq!(look(now).await.unwrap()["lines"], json!(["she leads again"]));
        let why = look(json!(5)).await.unwrap_err();
        assert!(why.contains("what an earlier `logs` returned"), "{why}");
    }

    #[tokio::test]
    async fn a_program_is_looked_at_since_the_last_look() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let look = |since: Value| {
            found(json!({"command": ["cat", path], "pattern": "error", "since": since}))
        };
        fs::write(&path, "error 1\n").unwrap();
        let first = look(Value::Null).await.unwrap();
        fs::write(&path, "error 1\nfine\nerror 2\n").unwrap();
        assert_eq!(look(first.clone()).await.unwrap()["lines"], json!(["error 2"]));
        assert_eq!(look(json!("now")).await.unwrap()["count"], 0);
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        fs::write(&path, "another error\n").unwrap();
        assert_eq!(look(first).await.unwrap()["lines"], json!(["another error"]));
        for (arguments, expected) in [
            (
                json!({"command": ["sh", "-c", "echo why >&2; exit 3"], "pattern": "x"}),
                "ended with 3: why",
            ),
            (json!({"command": [], "pattern": "x"}), "found an empty list"),
            (json!({"command": ["sleep", "60"], "pattern": "x", "timeout": 0.1}), "timed out"),
            (json!({"file": "/dev/zero", "pattern": "x"}), "no regular file"),
            (json!({"file": pipe, "pattern": "x"}), "no regular file"),
            (json!({"file": path, "pattern": "("}), ""),
            (json!({"pattern": "x"}), "`file`, `command` or `target` is missing"),
            (json!({"target": "nobody:knows", "pattern": "x"}), "neither a selector nor a name"),
            (json!({"target": "pid:1", "pattern": "x", "since": {"end": 5}}), "of a target"),
            (json!({"target": "name", "pattern": "x"}), "schism.toml gives no such name"),
        ] {
            let why = found(arguments.clone()).await.unwrap_err();
            assert!(why.contains(expected), "{arguments}: {why}");
        }
    }
}
