//! What is put in, as it is typed: the verbs and options of `schism`, each option a field of an object.

use clap::builder::{NonEmptyStringValueParser, ValueParser};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, CommandFactory as _};
use cluster::Metadata;
use experiment::model::FaultVerb;
use serde_json::{Map, Number, Value};

use crate::cli::Cli;
use crate::failure::Failure;
use crate::objects::asked::{field, is_open_role, is_within, role_in};
use crate::objects::resource::{Kind, Object, Spec};
use crate::outcome::Outcome;
use crate::run::faults::words::name;
use crate::session::After;

/// The verbs that put something in.
pub(super) const VERBS: [FaultVerb; 5] =
    [FaultVerb::Cut, FaultVerb::Skew, FaultVerb::Freeze, FaultVerb::Kill, FaultVerb::Stress];

/// What `schism` can do and an object cannot.
pub(crate) const WITHOUT: [&str; 7] =
    ["local", "dry_run", "prove", "follow", "preset", "around", "replace"];

/// What is about the command alone.
pub(super) const DETACH: &str = "detach";

/// Where it is done, and as what it is typed here.
const NAMESPACE: &str = "namespace";

/// What names targets.
pub(crate) const PLACES: [&str; 3] = ["from", "to", "target"];

/// How they are named.
const NAMED: &str = "pods of the namespace, as pod/NAME[/CONTAINER], sts/NAME[/ORDINAL], deploy/NAME, label:SELECTOR, \
                     etcd:ROLE or zeebe:ROLE; whatever else there is, such as k8s:NAMESPACE/pod/NAME, takes a \
                     ClusterFault";

/// What is a number in an object.
const NUMBERS: [&str; 3] = ["port", "io", "seed"];

/// What is put in.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What is attempted, for people.
    pub(crate) attempted: String,
    verb: FaultVerb,
    words: Map<String, Value>,
    top: Map<String, Value>,
    pub(super) after: After,
}

/// A verb as `schism` has it, with texts where it has selectors: what they name depends on the object.
pub(super) fn verb(verb: FaultVerb) -> Command {
    let all = Cli::command();
    let known = all.find_subcommand(name(verb)).cloned();
    let command = known.unwrap_or_else(|| Command::new(name(verb)));
    typed_here(command, &PLACES, NAMED, &WITHOUT)
}

/// The same with texts at these `places`, which are `named` otherwise, with the namespace as kubectl has it, and
/// without what no object can say.
pub(super) fn typed_here(
    command: Command,
    places: &[&str],
    named: &str,
    without: &[&str],
) -> Command {
    command.mut_args(|arg| {
        let id = arg.get_id().as_str().to_owned();
        if places.contains(&id.as_str()) {
            let arg = arg.value_parser(ValueParser::new(NonEmptyStringValueParser::new()));
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            // Behind the colon stands how an agent has it named.
            return match help.split_once(": ") {
                Some((whose, _)) => arg.help(format!("{whose}: {named}")),
                None => arg,
            };
        }
        match id.as_str() {
            NAMESPACE => arg
                .value_parser(ValueParser::new(NonEmptyStringValueParser::new()))
                .value_name("NAME")
                .help("The namespace that is meant"),
            DETACH => arg.help("Return once it acts, and leave it to the controller"),
            // It is not taken away, since others say that they exclude it.
            id if without.contains(&id) => arg.hide(true),
            _ => arg,
        }
    })
}

/// What was typed behind a command, each option as a field of an object.
pub(super) fn given(command: &Command, matched: &ArgMatches) -> Map<String, Value> {
    let mut fields = Map::new();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        if id == DETACH
            || id == NAMESPACE
            || matched.value_source(id) != Some(ValueSource::CommandLine)
        {
            continue;
        }
        let key = arg.get_long().map_or_else(|| id.to_owned(), field);
        let value = match matches!(arg.get_action(), ArgAction::SetTrue) {
            true => Value::Bool(true),
            false => {
                let raw = matched.get_raw(id).unwrap_or_default();
                let texts: Vec<String> =
                    raw.map(|text| text.to_string_lossy().into_owned()).collect();
                let text = texts.join(",");
                match text.parse::<u64>().ok().filter(|_| NUMBERS.contains(&key.as_str())) {
                    Some(number) => Value::Number(Number::from(number)),
                    None => Value::String(text),
                }
            }
        };
        fields.insert(key, value);
    }
    fields
}

/// What was typed behind a verb.
pub(super) fn asked(verb: FaultVerb, matched: &ArgMatches) -> Asked {
    let (mut words, mut top) = (Map::new(), Map::new());
    for (key, value) in given(&self::verb(verb), matched) {
        let is_top = ["for", "lease", "seed", "onRestart"].contains(&key.as_str());
        let of = if is_top { &mut top } else { &mut words };
        of.insert(key, value);
    }
    let text = |key: &str| words.get(key).and_then(Value::as_str).unwrap_or_default();
    let between = match text("target") {
        "" => format!("{} → {}", text("from"), text("to")),
        target => target.to_owned(),
    };
    let attempted = format!("cannot {} {between}", name(verb));
    let after = After::of(false, matched.get_flag(DETACH));
    Asked { attempted, verb, words, top, after }
}

/// What a step asks for, by words as they would stand behind its verb.
///
/// # Errors
/// They make no sense, whatever is named by them.
pub(crate) fn of_words(of: FaultVerb, words: Vec<String>) -> Result<Asked, clap::Error> {
    let matched = verb(of).no_binary_name(true).try_get_matches_from(words)?;
    Ok(asked(of, &matched))
}

impl Asked {
    /// Which kind of object it takes.
    pub(crate) fn kind(&self) -> Kind {
        let texts =
            PLACES.iter().filter_map(|place| self.words.get(*place).and_then(Value::as_str));
        let within = texts.map(|text| is_within(text) || is_open_role(text)).collect::<Vec<_>>();
        if within.iter().all(|within| *within) { Kind::Fault } else { Kind::ClusterFault }
    }

    /// The words of an object of this kind. One that is in no namespace says in which a role is that leaves it open:
    /// there it would be that of a cluster of the settings.
    fn words(&self, kind: Kind, namespace: &str) -> Result<Map<String, Value>, Failure> {
        let mut words = self.words.clone();
        if kind == Kind::ClusterFault {
            for place in PLACES {
                if let Some(Value::String(text)) = words.get_mut(place)
                    && is_open_role(text)
                {
                    let failed =
                        |reason| Failure::new(Outcome::WrongUsage, self.attempted.clone(), reason);
                    *text = role_in(namespace, text).map_err(failed)?;
                }
            }
        }
        Ok(words)
    }

    /// The object, in a namespace, with a name that is drawn.
    ///
    /// # Errors
    /// A namespace in which no role can be named.
    pub(crate) fn object(&self, namespace: &str, random: u64) -> Result<Object, Failure> {
        let mut spec = Spec::asking(self.verb, self.words(self.kind(), namespace)?);
        let text = |key: &str| self.top.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        spec.total = text("for");
        spec.lease = text("lease");
        spec.on_restart = text("onRestart");
        spec.seed = self.top.get("seed").and_then(Value::as_u64);
        let metadata = Metadata {
            name: format!("{}-{:06x}", name(self.verb), random & 0xff_ffff),
            namespace: match self.kind() {
                Kind::Fault => Some(namespace.to_owned()),
                Kind::ClusterFault => None,
            },
            ..Metadata::default()
        };
        Ok(Object { metadata, spec, ..Object::default() })
    }
}
