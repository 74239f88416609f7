//! What a step says of a fault, as the command line would be typed.

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser as _};
use experiment::document::kind;
use experiment::model::FaultVerb;
use experiment::run::invocation::Concern;
use fault::{Aspect, Selector, SelectorError, Signal, SignalError};
use serde_json::{Map, Value};

use crate::cli::{Cli, Command, CutArgs, Named};
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::processes::Asked;
use crate::resolve::aspect;
use crate::run::checks::similar;
use crate::settings::Names;

/// What is not an option but has its place, by verb.
pub(super) const fn places(verb: FaultVerb) -> &'static [&'static str] {
    match verb {
        FaultVerb::Cut => &["from", "to"],
        FaultVerb::Skew => &["target", "offset"],
        FaultVerb::Freeze | FaultVerb::Kill | FaultVerb::Stress => &["target"],
    }
}

pub(super) fn wrong(verb: FaultVerb, reason: impl std::fmt::Display) -> Failure {
    Failure::new(Outcome::WrongUsage, format!("cannot {}", name(verb)), reason)
}

/// How a verb is typed.
pub(crate) const fn name(verb: FaultVerb) -> &'static str {
    match verb {
        FaultVerb::Cut => "cut",
        FaultVerb::Skew => "skew",
        FaultVerb::Freeze => "freeze",
        FaultVerb::Kill => "kill",
        FaultVerb::Stress => "stress",
    }
}

/// A fault as it was asked for.
#[derive(Debug)]
pub(crate) enum Typed {
    /// Between targets.
    Cut(Box<CutArgs>),
    /// In processes.
    Within(Asked),
    /// The same in the place of what is in its way.
    Replacing(Asked),
}

/// What is asked for, checked as the command line checks it.
///
/// # Errors
/// It makes no sense.
pub(crate) fn typed(
    verb: FaultVerb,
    arguments: &Map<String, Value>,
    names: &Names,
    output: Output,
) -> Result<Typed, Failure> {
    let asked = match parsed(verb, arguments)? {
        Command::Cut(args) => return Ok(Typed::Cut(args)),
        Command::Skew(args) if args.replace => {
            return Ok(Typed::Replacing(crate::skew::asked(&args, names, output)?));
        }
        Command::Skew(args) => crate::skew::asked(&args, names, output)?,
        Command::Freeze(args) => crate::freeze::asked(&args, names)?,
        Command::Kill(args) => crate::kill::asked(&args, names)?,
        Command::Stress(args) => crate::stress::asked(&args, names)?,
        Command::Run(_)
        | Command::Capture(_)
        | Command::Validate(_)
        | Command::Schema
        | Command::Heal(_)
        | Command::Status(_)
        | Command::Targets(_)
        | Command::Doctor
        | Command::Residue(_)
        | Command::Serve(_)
        | Command::Agents
        | Command::Halt(_)
        | Command::Resume
        | Command::Certs(_)
        | Command::Install(_)
        | Command::Completions(_)
        | Command::Zeebe(_)
        | Command::Pod(_)
        | Command::Node(_)
        | Command::Man(_) => return Err(wrong(verb, "it is no fault")),
    };
    Ok(Typed::Within(asked))
}

/// What is for a command, and not for a step.
const COMMANDS_ONLY: &[&str] = &["detach", "dry-run", "follow", "local", "prove"];

/// What is wrong with a value that no word of a command line stands for; an option is named as there. How what
/// stands there is told, the caller knows.
pub(super) fn misfit(
    verb: FaultVerb,
    option: &str,
    value: &Value,
    found: impl Fn(&Value) -> String,
) -> Option<String> {
    let takes = takes(verb, option);
    let is_word = |value: &Value| value.is_string() || value.is_number();
    let fits = match (takes, value) {
        (_, Value::Null) | (Takes::Flag, Value::Bool(_)) => true,
        (Takes::Several, Value::Array(list)) => list.iter().all(is_word),
        (Takes::Several | Takes::One, value) => is_word(value),
        (Takes::Flag, _) => false,
    };
    let wanted = match takes {
        Takes::Flag => "true or false",
        Takes::One => "a single value",
        Takes::Several => "a single value, or a list of them,",
    };
    (!fits).then(|| format!("{wanted} was expected here, found {}", found(value)))
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Flag,
    One,
    Several,
}

/// Options that take several values, with commas between them.
const SEVERAL: &[&str] = &["clock"];

/// Whatever is not known takes one value: it is told as not known.
fn takes(verb: FaultVerb, option: &str) -> Takes {
    let all = Cli::command();
    let command = all.find_subcommand(name(verb));
    let argument = command.and_then(|command| {
        command.get_arguments().find(|argument| argument.get_long() == Some(option))
    });
    match argument {
        Some(argument) if !argument.get_action().takes_values() => Takes::Flag,
        Some(_) if SEVERAL.contains(&option) => Takes::Several,
        Some(_) | None => Takes::One,
    }
}

fn parsed(verb: FaultVerb, arguments: &Map<String, Value>) -> Result<Command, Failure> {
    fitting(verb, arguments)?;
    parse(verb, arguments).map_err(|error| wrong(verb, told(error)))
}

/// Whether words of a command line stand for all values, and none of them is for a command alone.
///
/// # Errors
/// That is not so.
pub(super) fn fitting(verb: FaultVerb, arguments: &Map<String, Value>) -> Result<(), Failure> {
    for (key, value) in arguments {
        // It may be a secret, of which nothing is told that is cut.
        if let Some(why) = misfit(verb, &option(key), value, |value| kind(value).to_owned()) {
            return Err(wrong(verb, format!("{key}: {why}")));
        }
    }
    if let Some(name) = arguments.keys().map(|key| option(key)).find(|name| is_for_commands(name)) {
        return Err(wrong(verb, format!("`{name}` is for a command, not for a step")));
    }
    Ok(())
}

/// An option as the command line has it.
pub(super) fn option(key: &str) -> String {
    key.replace('_', "-")
}

/// Whether it is for a command alone.
pub(super) fn is_for_commands(name: &str) -> bool {
    COMMANDS_ONLY.contains(&name)
}

/// An error without what is only for those who type. Nothing that was typed is cut or put together anew: it may
/// be a secret, which is known as a whole only.
pub(in crate::run) fn told(mut error: clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(_) | None => None,
    };
    if let Some(found) = text(ContextKind::InvalidValue) {
        if let Some(ContextValue::Strings(known)) = error.get(ContextKind::ValidValue)
            && !known.is_empty()
        {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            let (known, meant) = (known.join(", "), did_you_mean(found, &names));
            return format!("one of {known} was expected here, found `{found}`{meant}");
        }
        if let Some(reason) = std::error::Error::source(&error) {
            let meant = match reason.downcast_ref::<SignalError>() {
                Some(SignalError::Unknown) => {
                    let upper = found.to_ascii_uppercase();
                    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
                    did_you_mean(name, &Signal::ALL.map(Signal::name))
                }
                Some(SignalError::Stops) | None => String::new(),
            };
            // Where it is wrong is shown to those who type.
            let reason = match reason.downcast_ref::<SelectorError>() {
                Some(error) => error.kind.to_string(),
                None => reason.to_string(),
            };
            return format!("`{found}`: {reason}{meant}");
        }
    }
    let typed = [ContextKind::InvalidValue, ContextKind::InvalidArg].map(text);
    let is_long = typed.into_iter().flatten().any(|typed| typed.contains(['\n', '\r']));
    for kind in ADVICE {
        error.remove(*kind);
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let end = text.rfind(HELP).unwrap_or(text.len());
    let text = text[..end].trim_end();
    if is_long {
        return text.to_owned();
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// What may have been meant by a word that is none of these.
fn did_you_mean(found: &str, known: &[&str]) -> String {
    let meant = similar(found, known);
    meant.map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default()
}

/// What an error says for those who type.
const ADVICE: &[ContextKind] = &[
    ContextKind::Suggested,
    ContextKind::SuggestedArg,
    ContextKind::SuggestedCommand,
    ContextKind::SuggestedSubcommand,
    ContextKind::SuggestedValue,
    ContextKind::TrailingArg,
    ContextKind::Usage,
];
/// How its last word to them begins.
const HELP: &str = "\n\nFor more information";

/// The command that a step is.
///
/// # Errors
/// As for the same words on a command line.
pub(super) fn parse(
    verb: FaultVerb,
    arguments: &Map<String, Value>,
) -> Result<Command, clap::Error> {
    let words = ["schism".to_owned(), name(verb).to_owned()].into_iter();
    Ok(Cli::try_parse_from(words.chain(line(verb, arguments)))?.command)
}

/// The words that stand behind a verb.
pub(super) fn line(verb: FaultVerb, arguments: &Map<String, Value>) -> Vec<String> {
    let mut words = Vec::new();
    for (name, value) in arguments {
        let name = option(name);
        if places(verb).contains(&name.as_str()) {
            continue;
        }
        match value {
            Value::Bool(true) => words.push(format!("--{name}")),
            Value::Bool(false) | Value::Null => {}
            Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                words.push(format!("--{name}={}", word(value)));
            }
        }
    }
    // What begins with a minus is no option.
    words.push("--".to_owned());
    for place in places(verb) {
        words.extend(arguments.get(*place).map(word));
    }
    words
}

pub(super) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(word).collect::<Vec<_>>().join(","),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// Who is meant by a text that names targets, and what of them.
///
/// # Errors
/// It is no selector, and no name of `schism.toml`.
pub(crate) fn meant(
    text: &str,
    names: &Names,
    concern: Concern,
) -> Result<Vec<(Selector, Aspect)>, Failure> {
    let attempted = format!("cannot find {text}");
    let named = text
        .parse::<Named>()
        .map_err(|error| Failure::new(Outcome::WrongUsage, &attempted, error))?;
    let selectors = named.stands_for(names).map_err(|error| {
        Failure::new(Outcome::WrongUsage, &attempted, &error).hint(error.hint())
    })?;
    let with_aspect = |selector: Selector| {
        let aspect = aspect(&selector, concern);
        (selector, aspect)
    };
    Ok(selectors.into_iter().map(with_aspect).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(verb: FaultVerb, arguments: Value) -> Result<Command, String> {
        parsed(verb, arguments.as_object().unwrap()).map_err(|failure| failure.reason)
    }

    #[test]
    fn steps_are_typed_like_commands() {
        let arguments = json!({"from": "netns:a", "to": "netns:b", "for": "30s", "both-ways": true,
            "port": 2379, "proto": "tcp", "shadow": false});
        let Ok(Command::Cut(cut)) = of(FaultVerb::Cut, arguments) else { panic!("no cut") };
        assert!(cut.both_ways && cut.port == Some(2379) && cut.total.as_secs() == 30);
        let arguments = json!({"target": "pid:7", "offset": "-90s", "clock": ["realtime"]});
        assert!(matches!(of(FaultVerb::Skew, arguments), Ok(Command::Skew(_))));
        let arguments = json!({"target": "etcd:leader", "namespace": "store/blue"});
        let Ok(Command::Freeze(freeze)) = of(FaultVerb::Freeze, arguments) else {
            panic!("no freeze")
        };
        let namespace = freeze.within.namespace.map(|path| path.to_string());
        assert_eq!(namespace.as_deref(), Some("store/blue"));
        let arguments = json!({"target": "pid:7", "cpu": "2@50%", "memory": "64MiB"});
        assert!(matches!(of(FaultVerb::Stress, arguments), Ok(Command::Stress(_))));
        for (arguments, expected) in [
            (json!({"target": "pid:7", "detach": true}), "is for a command"),
            (
                json!({"target": "pid:7", "for": [5]}),
                "for: a single value was expected here, found a list",
            ),
            (json!({"target": "pid:7", "fro": "1s"}), "unexpected argument"),
            (json!({}), "required"),
        ] {
            let error = of(FaultVerb::Freeze, arguments).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn of_a_word_that_is_none_it_is_told_what_may_be_meant() {
        let cut = |key: &str, value: &str| json!({"from": "netns:a", "to": "netns:b", key: value});
        for (verb, arguments, expected) in [
            (
                FaultVerb::Cut,
                cut("mode", "initator"),
                ", found `initator`: did you mean `initiator`?",
            ),
            (FaultVerb::Cut, cut("preset", "isolat"), ": did you mean `isolate`?"),
            (
                FaultVerb::Cut,
                cut("proto", "sctp"),
                "one of tcp, udp, icmp was expected here, found `sctp`",
            ),
            (FaultVerb::Kill, json!({"target": "pid:7", "signal": "trem"}), "`trem`: must be "),
            (
                FaultVerb::Kill,
                json!({"target": "pid:7", "signal": "trem"}),
                ": did you mean `TERM`?",
            ),
        ] {
            let error = parse(verb, arguments.as_object().unwrap()).unwrap_err();
            let told = told(error);
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn a_skew_may_take_the_place_of_another() {
        let asked = |replace: bool| {
            let given = json!({"target": "pid:7", "offset": "1h", "replace": replace});
            let given = given.as_object().unwrap();
            typed(FaultVerb::Skew, given, &Names::default(), Output::new(None)).unwrap()
        };
        assert!(matches!(asked(true), Typed::Replacing(_)));
        assert!(matches!(asked(false), Typed::Within(_)));
    }

    #[test]
    fn what_a_step_is_repeated_for_is_named_as_on_a_command_line() {
        let names: Names =
            [("db".parse().unwrap(), vec!["netns:a".parse().unwrap(), "pid:7".parse().unwrap()])]
                .into_iter()
                .collect();
        let of = |text, concern| {
            let meant = meant(text, &names, concern).map_err(|failure| failure.reason)?;
            let shown = meant.into_iter().map(|(selector, aspect)| (selector.to_string(), aspect));
            Ok::<Vec<(String, Aspect)>, String>(shown.collect())
        };
        let (network, processes) = (Aspect::Network, Aspect::Processes);
        let both = |one, two| Ok(vec![("netns:a".to_owned(), one), ("pid:7".to_owned(), two)]);
        assert_eq!(of("db", Concern::Processes), both(processes, processes));
        assert_eq!(of("db", Concern::Network), both(network, network));
        assert_eq!(of("db", Concern::Anything), both(network, processes));
        assert!(of("web", Concern::Anything).unwrap_err().contains("gives no such name"));
    }

    #[test]
    fn nothing_that_was_typed_is_told_in_part() {
        let secret = "hunter2\n\n  For more information\n\nhunter3";
        let cut = |key: &str| json!({"from": "netns:a", "to": "netns:b", key: secret});
        // Whoever checks arguments keeps these from the command line, which is told of all the same.
        for (arguments, expected) in [
            (cut("both-ways"), "unexpected value"),
            (cut("for"), "a number and a unit"),
            (cut("mode"), "one of packet, initiator"),
            (json!({"from": secret, "to": "netns:b"}), "`hunter2"),
        ] {
            let error = parse(FaultVerb::Cut, arguments.as_object().unwrap()).unwrap_err();
            let told = told(error);
            assert!(told.contains(secret) && told.contains(expected), "{told}");
        }
        let error = parse(FaultVerb::Cut, &Map::new()).unwrap_err();
        let expected = "the following required arguments were not provided: <FROM>";
        assert!(told(error).starts_with(expected));
    }
}
