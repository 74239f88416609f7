//! Steps that ask a Zeebe cluster, or have it do something: what `schism zeebe` does, performed by this very program.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{ArgAction, CommandFactory as _, Parser as _};
use experiment::document::shown;
use experiment::hint;
use experiment::run::Ending;
use experiment::run::invocation::Arguments;
use serde_json::{Map, Value};

use super::faults::{Wrong, is_template, told};
use super::program;
use super::reaper::Reaper;
use crate::cli::{Cli, Command, ZeebeCommand};

/// What a step calls the words behind `schism zeebe`.
const COMMAND: &str = "command";
/// This very program.
const OWN: &str = "/proc/self/exe";

/// A command whose words are those of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// `schism zeebe`.
    Zeebe,
    /// `schism pod`.
    Pod,
    /// `schism node`.
    Node,
}

impl Behind {
    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Zeebe => "zeebe",
            Self::Pod => "pod",
            Self::Node => "node",
        }
    }

    /// What has to stand for [`COMMAND`].
    pub(super) const fn wanted(self) -> &'static str {
        match self {
            Self::Zeebe => "the words behind `schism zeebe`, such as `verify readiness`",
            Self::Pod => "the word behind `schism pod`, such as `restart`",
            Self::Node => "the word behind `schism node`, such as `drain`",
        }
    }
}

/// What is wrong with the arguments of a step. What values are put into is known only when it is performed.
pub(super) fn check(behind: Behind, given: &Map<String, Value>) -> Vec<Wrong> {
    let Some(command) = given.get(COMMAND).filter(|value| !value.is_null()) else {
        return vec![Wrong::Missing(COMMAND)];
    };
    if is_template(command) {
        return Vec::new();
    }
    let asked = match Asked::find(behind, command) {
        Ok(asked) => asked,
        Err(why) => return vec![Wrong::Value(Some(COMMAND.to_owned()), why)],
    };
    let mut wrong = Vec::new();
    for (key, value) in given.iter().filter(|(key, _)| *key != COMMAND) {
        match asked.argument(key) {
            None => wrong.push(Wrong::Unknown(key.clone(), asked.known())),
            Some(_) if is_template(value) => {}
            Some(argument) => {
                let misfit = misfit(argument, value);
                wrong.extend(misfit.map(|why| Wrong::Value(Some(key.clone()), why)));
            }
        }
    }
    if wrong.is_empty() && !given.values().any(is_template) {
        wrong.extend(typed(behind, given).err().map(|why| Wrong::Value(None, why)));
    }
    wrong
}

/// Performs a step. Returned: what the command prints as a document.
pub(super) async fn perform(
    given: &Map<String, Value>,
    settings: Option<&Path>,
    reaper: &Arc<Reaper>,
) -> Ending {
    let mut all = vec!["--output=json".to_owned()];
    all.extend(settings.map(|path| format!("--config={}", path.display())));
    match typed(Behind::Zeebe, given) {
        Ok((words, _)) => all.extend(words),
        Err(why) => return Ending::Failed(why),
    }
    match program::perform(OWN, &Arguments::Words(all), &[], None, reaper).await {
        Ending::Returned(ended) => came_to(&ended),
        other @ (Ending::Failed(_)
        | Ending::Crashed(_)
        | Ending::Interrupted(_)
        | Ending::Untried) => other,
    }
}

/// What a command came to: its document, or why it failed.
fn came_to(ended: &Value) -> Ending {
    let text = |key: &str| ended.get(key).and_then(Value::as_str).unwrap_or_default();
    let document: Option<Value> = serde_json::from_str(text("stdout")).ok();
    if ended["status"] == 0 {
        return Ending::Returned(document.unwrap_or_default());
    }
    // A condition that does not hold and a load that went wrong are results, and anything else an error.
    let error = text("stderr").lines().rev().find_map(|line| {
        let error: Value = serde_json::from_str(line).ok()?;
        let message = error.get("message")?.as_str()?;
        Some(match error.get("hint").and_then(Value::as_str) {
            Some(hint) => format!("{message}{}{hint}", hint::MARK),
            None => message.to_owned(),
        })
    });
    let why = document.as_ref().and_then(result).or(error);
    Ending::Failed(why.unwrap_or_else(|| {
        format!("it ended with {}: {}", ended["status"], text("stderr").trim_end())
    }))
}

/// Why a result is none that was wanted: what a condition says, or of a load what failed, with the first that was said
/// of each kind.
fn result(document: &Value) -> Option<String> {
    if let Some(Value::String(said)) = document.get("said") {
        return Some(said.clone());
    }
    let mut all = Vec::new();
    for (kind, count) in document.get("failures")?.as_object()? {
        let said = document.get("said").and_then(|said| said.get(kind)?.as_str());
        let colon = if said.is_some() { ": " } else { "" };
        all.push(format!("{count} failed, {kind}{colon}{}", said.unwrap_or_default()));
    }
    let duplicates = document.get("duplicates").and_then(Value::as_u64).filter(|count| *count > 0);
    all.extend(duplicates.map(|count| format!("{count} had a key that another had before")));
    (!all.is_empty()).then(|| all.join("; "))
}

/// The words of a command line, checked as the command line checks them. None of them comes to a shell.
pub(crate) fn typed(
    behind: Behind,
    given: &Map<String, Value>,
) -> Result<(Vec<String>, Command), String> {
    let wanted = behind.wanted();
    let command = given.get(COMMAND).ok_or_else(|| format!("`{COMMAND}` is missing: {wanted}"))?;
    let asked = Asked::find(behind, command)?;
    let mut words = vec![behind.name().to_owned()];
    words.extend(asked.path.iter().cloned());
    let mut places: Vec<(usize, Vec<String>)> = Vec::new();
    for (key, value) in given.iter().filter(|(key, _)| *key != COMMAND) {
        let argument = asked.argument(key);
        let argument = argument.ok_or_else(|| format!("{key}: nobody reads it"))?;
        if let Some(why) = misfit(argument, value) {
            return Err(format!("{key}: {why}"));
        }
        let each: Vec<String> = match value {
            Value::Null | Value::Bool(false) => continue,
            Value::Array(list) => list.iter().map(word).collect(),
            Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                vec![word(value)]
            }
        };
        match argument.get_long() {
            Some(long) if !argument.get_action().takes_values() => words.push(format!("--{long}")),
            Some(long) => words.extend(each.iter().map(|word| format!("--{long}={word}"))),
            None => {
                let place = asked.arguments().position(|one| one.get_id() == argument.get_id());
                places.push((place.unwrap_or_default(), each));
            }
        }
    }
    // What begins with a minus is no option.
    words.push("--".to_owned());
    places.sort();
    words.extend(places.into_iter().flat_map(|(_, each)| each));
    let line = std::iter::once("schism".to_owned()).chain(words.iter().cloned());
    match Cli::try_parse_from(line).map(|cli| cli.command) {
        Ok(Command::Zeebe(zeebe)) if behind == Behind::Zeebe => match &zeebe.command {
            ZeebeCommand::Ask(_) => Ok((words, Command::Zeebe(zeebe))),
            ZeebeCommand::Member(_) => Err(OF_MEMBERS.to_owned()),
        },
        Ok(command @ Command::Pod(_)) if behind == Behind::Pod => Ok((words, command)),
        Ok(command @ Command::Node(_)) if behind == Behind::Node => Ok((words, command)),
        Ok(_) => Err(format!("{wanted} was expected here")),
        Err(error) => Err(told(error)),
    }
}

/// Why what is done to members is no such step: nobody would take it out with the run.
const OF_MEMBERS: &str = "what is done to members is a fault of the run: `kill`, `freeze`, `stress` or `cut` with a \
                          target such as `zeebe:partition/1/leader`";

/// A command of one of these, and those that it is a part of.
struct Asked {
    path: Vec<String>,
    commands: Vec<clap::Command>,
}

impl Asked {
    /// The command that some words name.
    fn find(behind: Behind, command: &Value) -> Result<Self, String> {
        let named = match command {
            Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
            Value::Array(list) if list.iter().all(Value::is_string) => {
                list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => {
                let wanted = behind.wanted();
                return Err(format!("{wanted} was expected here, found {}", shown(command)));
            }
        };
        let all = Cli::command();
        let root = all.find_subcommand(behind.name()).cloned();
        let mut commands: Vec<clap::Command> = root.into_iter().collect();
        for name in &named {
            let Some(last) = commands.last() else { break };
            let Some(next) = last.find_subcommand(name).cloned() else {
                let known: Vec<&str> =
                    last.get_subcommands().map(clap::Command::get_name).collect();
                return Err(match known.is_empty() {
                    true => format!("`{name}` is an argument, and stands by its own name"),
                    false => {
                        let known = known.join(", ");
                        format!("one of {known} was expected here, found `{name}`")
                    }
                });
            };
            commands.push(next);
        }
        let last = commands.last().filter(|last| last.has_subcommands());
        if let Some(last) = last {
            let known: Vec<&str> = last.get_subcommands().map(clap::Command::get_name).collect();
            return Err(format!("one of {} is missing behind it", known.join(", ")));
        }
        Ok(Self { path: named, commands })
    }

    fn arguments(&self) -> impl Iterator<Item = &clap::Arg> {
        self.commands.iter().flat_map(clap::Command::get_arguments)
    }

    /// The option, or the place, of a name.
    fn argument(&self, name: &str) -> Option<&clap::Arg> {
        let name = name.replace('_', "-");
        self.arguments().find(|argument| name_of(argument) == name)
    }

    fn known(&self) -> Vec<String> {
        let mut known: Vec<String> = self.arguments().map(name_of).collect();
        known.push(COMMAND.to_owned());
        known
    }
}

fn name_of(argument: &clap::Arg) -> String {
    match argument.get_long() {
        Some(long) => long.to_owned(),
        None => argument.get_id().as_str().replace('_', "-"),
    }
}

/// What is wrong with a value that no words of a command line stand for.
fn misfit(argument: &clap::Arg, value: &Value) -> Option<String> {
    let is_word = |value: &Value| value.is_string() || value.is_number() || value.is_object();
    let takes_several = matches!(argument.get_action(), ArgAction::Append);
    let (fits, wanted) = match (argument.get_action().takes_values(), value) {
        (_, Value::Null) => (true, ""),
        (false, value) => (value.is_boolean(), "true or false"),
        (true, Value::Array(list)) if takes_several => {
            (list.iter().all(is_word), "a list of single values")
        }
        (true, value) => (is_word(value), "a single value"),
    };
    (!fits).then(|| format!("{wanted} was expected here, found {}", shown(value)))
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Settings of which nothing is read: those of a controller are for itself, and it reads none where it happens to be.
pub(crate) fn no_settings() -> PathBuf {
    PathBuf::from("/dev/null")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(given: Value) -> Result<String, String> {
        let given = given.as_object().unwrap();
        let whole = typed(Behind::Zeebe, given).map(|(words, _)| words.join(" "));
        assert_eq!(check(Behind::Zeebe, given).is_empty(), whole.is_ok(), "{given:?}");
        whole
    }

    #[test]
    fn steps_are_typed_like_commands() {
        let table = [
            (
                json!({"command": "verify readiness", "timeout": "60s"}),
                "zeebe verify readiness --timeout=60s --",
            ),
            (
                json!({"command": ["deploy", "process"], "files": ["a.bpmn", "b b.dmn"]}),
                "zeebe deploy process -- a.bpmn b b.dmn",
            ),
            (
                json!({"command": "publish", "partition": 2, "variables": {"a": 1}, "cluster": "z"}),
                "zeebe publish --partition=2 --variables={\"a\":1} --cluster=z --",
            ),
            (
                json!({"command": "cluster scale", "to": [0, 1, 2], "dry_run": true}),
                "zeebe cluster scale --to=0 --to=1 --to=2 --dry-run --",
            ),
            (json!({"command": "exporting pause", "soft": false}), "zeebe exporting pause --"),
            (json!({"command": "clock add", "by": -5, "of": [1]}), "zeebe clock add --of=1 -- -5"),
            (
                json!({"command": "verify instance-creation", "partition": [1, 3]}),
                "zeebe verify instance-creation --partition=1 --partition=3 --",
            ),
        ];
        for (given, expected) in table {
            assert_eq!(of(given), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
        let table = [
            (json!({}), "`command` is missing"),
            (json!({"command": 5}), "was expected here, found `5`"),
            (json!({"command": "dance"}), "one of topology, verify"),
            (json!({"command": "verify"}), "one of readiness, leadership"),
            (json!({"command": "verify readiness; rm -rf /"}), "found `readiness;`"),
            (json!({"command": "ban 7"}), "`7` is an argument"),
            (json!({"command": "publish"}), "--partition"),
            (json!({"command": "publish", "partition": "one"}), "`one`"),
            (json!({"command": "publish", "partition": [1]}), "a single value was expected"),
            (json!({"command": "exporting pause", "soft": "yes"}), "true or false was expected"),
            (json!({"command": "topology", "output": "yaml"}), "output: nobody reads it"),
            (json!({"command": "terminate", "who": "broker/0"}), "a fault of the run"),
        ];
        for (given, expected) in table {
            let why = of(given.clone()).unwrap_err();
            assert!(why.contains(expected), "{given}: {why}");
        }
        // What is put in later is not known.
        let template = json!({"command": "publish", "partition": "${p}"});
        assert_eq!(check(Behind::Zeebe, template.as_object().unwrap()), []);
        let unknown = json!({"command": "publish", "partition": "${p}", "nmae": "x"});
        assert!(
            matches!(&check(Behind::Zeebe, unknown.as_object().unwrap())[..], [Wrong::Unknown(key, known)]
            if key == "nmae" && known.contains(&"time-to-live".to_owned()))
        );
    }

    #[test]
    fn a_command_comes_to_its_document_or_to_why_it_failed() {
        let ended = |status: i32, stdout: &str, stderr: &str| {
            came_to(&json!({"status": status, "stdout": stdout, "stderr": stderr}))
        };
        let holds = "{\n  \"holds\": true\n}\n";
        assert_eq!(ended(0, holds, "note\n"), Ending::Returned(json!({"holds": true})));
        let table = [
            (
                ended(1, "{\"holds\":false,\"said\":\"broker 1 is silent\"}", ""),
                "broker 1 is silent",
            ),
            (
                ended(5, "", "note\n{\"schema\":\"schism.error/v1\",\"message\":\"no answer\"}\n"),
                "no answer",
            ),
            (
                ended(
                    5,
                    "",
                    "{\"schema\":\"schism.error/v1\",\"message\":\"no answer\",\"hint\":\"look\"}\n",
                ),
                "no answer\n  hint: look",
            ),
            (
                ended(
                    1,
                    "{\"failures\":{\"late\":1,\"unavailable\":3},\"said\":{\"unavailable\":\"nobody\"},\
                     \"duplicates\":2}",
                    "",
                ),
                "1 failed, late; 3 failed, unavailable: nobody; 2 had a key that another had before",
            ),
            (ended(-9, "", "killed\n"), "it ended with -9: killed"),
        ];
        for (ending, expected) in table {
            assert_eq!(ending, Ending::Failed(expected.to_owned()));
        }
    }
}
