//! The command line of `kubectl schism`: the verbs and options of `schism`, each option a field of an object.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, ValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _};
use cluster::{Metadata, Name};
use experiment::model::FaultVerb;
use serde_json::{Map, Number, Value};

use crate::cli::{Cli, Misuse};
use crate::failure::Failure;
use crate::objects::asked::{field, is_open_role, is_within, role_in};
use crate::objects::resource::{Kind, Object, Spec};
use crate::outcome::Outcome;
use crate::output::Format;
use crate::run::faults::words::name;
use crate::session::After;

/// The verbs that put something in.
const VERBS: [FaultVerb; 5] =
    [FaultVerb::Cut, FaultVerb::Skew, FaultVerb::Freeze, FaultVerb::Kill, FaultVerb::Stress];

/// What `schism` can do and an object cannot.
const WITHOUT: [&str; 7] = ["local", "dry_run", "prove", "follow", "preset", "around", "replace"];

/// What is about the command alone.
const DETACH: &str = "detach";

/// Where it is done, and as what it is typed here.
const NAMESPACE: &str = "namespace";

/// What names targets.
const PLACES: [&str; 3] = ["from", "to", "target"];

/// What is a number in an object.
const NUMBERS: [&str; 3] = ["port", "io", "seed"];

/// What was typed.
#[derive(Debug)]
pub struct Line {
    pub(super) namespace: Option<String>,
    pub(super) kubeconfig: Option<PathBuf>,
    pub(super) context: Option<String>,
    format: Option<Format>,
    pub(super) deed: Deed,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Deed {
    PutIn(Box<Asked>),
    Heal(Ending),
    Status { everywhere: Reach },
}

/// Of where faults are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Namespace,
    Everywhere,
}

/// What is healed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    All,
    Named(Vec<Name>),
}

/// What is put in.
#[derive(Debug)]
pub(super) struct Asked {
    /// What is attempted, for people.
    pub(super) attempted: String,
    verb: FaultVerb,
    words: Map<String, Value>,
    top: Map<String, Value>,
    pub(super) after: After,
}

impl Line {
    /// Reads the words of a command line.
    ///
    /// # Errors
    /// They make none, or they ask for help.
    pub fn read(words: &[OsString]) -> Result<Self, Misuse> {
        Self::parse(words).map_err(|error| Misuse::of(error, words))
    }

    fn parse(words: &[OsString]) -> Result<Self, clap::Error> {
        let mut command = command();
        let matches = command.try_get_matches_from_mut(words)?;
        let Some((name_of, matched)) = matches.subcommand() else {
            return Err(
                command.error(clap::error::ErrorKind::MissingSubcommand, "what is to be done?")
            );
        };
        let text = |id: &str| matched.get_one::<String>(id).cloned();
        let deed = match name_of {
            "heal" if matched.get_flag("all") => Deed::Heal(Ending::All),
            "heal" => {
                let names = matched.get_many::<Name>("names").unwrap_or_default();
                Deed::Heal(Ending::Named(names.cloned().collect()))
            }
            "status" => {
                let everywhere = matched.get_flag("all-namespaces");
                Deed::Status {
                    everywhere: if everywhere { Reach::Everywhere } else { Reach::Namespace },
                }
            }
            verb => match VERBS.into_iter().find(|one| name(*one) == verb) {
                Some(verb) => {
                    let typed = |id: &&&str| {
                        matched.try_contains_id(id).unwrap_or_default()
                            && matched.value_source(id) == Some(ValueSource::CommandLine)
                    };
                    if let Some(id) = WITHOUT.iter().find(typed) {
                        let option = id.replace('_', "-");
                        let reason = format!(
                            "--{option} is for schism itself: no object of a cluster can say it\n"
                        );
                        return Err(command.error(clap::error::ErrorKind::UnknownArgument, reason));
                    }
                    Deed::PutIn(Box::new(asked(verb, matched)))
                }
                None => unreachable!("no other is known to clap"),
            },
        };
        Ok(Self {
            namespace: text("namespace"),
            kubeconfig: matched.get_one::<PathBuf>("kubeconfig").cloned(),
            context: text("context"),
            format: matched.get_one::<Format>("output").copied(),
            deed,
        })
    }

    /// How results are printed.
    #[must_use]
    pub const fn format(&self) -> Option<Format> {
        self.format
    }
}

fn command() -> Command {
    let all = |id: &'static str, short: Option<char>| {
        let arg = Arg::new(id).long(id).global(true);
        match short {
            Some(short) => arg.short(short),
            None => arg,
        }
    };
    let heal = Command::new("heal")
        .about("Delete faults before their time, which heals them, and wait until they are gone")
        .arg(
            Arg::new("names")
                .value_name("NAME")
                .num_args(1..)
                .value_parser(|text: &str| text.parse::<Name>())
                .required_unless_present("all"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .conflicts_with("names")
                .help("Every fault of the namespace that is not over"),
        );
    let status =
        Command::new("status").about("Show the faults of a namespace, and of the cluster").arg(
            Arg::new("all-namespaces")
                .short('A')
                .long("all-namespaces")
                .action(ArgAction::SetTrue)
                .help("Those of all namespaces"),
        );
    Command::new("kubectl schism")
        .bin_name("kubectl schism")
        .version(env!("CARGO_PKG_VERSION"))
        .max_term_width(100)
        .about("Has a cluster suffer honest network, clock and process faults, for a bounded time")
        .long_about(
            "Has a cluster suffer honest network, clock and process faults, for a bounded time.\n\nEach is an object \
             that is made as the user of the kubeconfig: a Fault where pods are named within the namespace (pod/NAME, \
             sts/NAME, deploy/NAME, label:SELECTOR, etcd:ROLE, zeebe:ROLE), a ClusterFault where they are named by k8s:NAMESPACE/… or \
             something else is. Ctrl-C deletes it, which heals it. Exit codes are those of schism.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(all("namespace", Some('n')).value_name("NAME").help("The namespace that is meant"))
        .arg(
            all("kubeconfig", None)
                .value_name("PATH")
                .value_parser(clap::value_parser!(PathBuf))
                .help("The kubeconfig [default: KUBECONFIG, ~/.kube/config]"),
        )
        .arg(all("context", None).value_name("NAME").help("Which of its contexts"))
        .arg(
            all("output", Some('o'))
                .value_name("FORMAT")
                .value_parser(clap::builder::EnumValueParser::<Format>::new())
                .help("How results are printed; without it, as a table for people"),
        )
        .subcommands(VERBS.map(verb))
        .subcommand(heal)
        .subcommand(status)
}

/// A verb as `schism` has it, with texts where it has selectors: what they name depends on the object.
fn verb(verb: FaultVerb) -> Command {
    let all = Cli::command();
    let known = all.find_subcommand(name(verb)).cloned();
    let command = known.unwrap_or_else(|| Command::new(name(verb)));
    command.mut_args(|arg| {
        let id = arg.get_id().as_str().to_owned();
        if PLACES.contains(&id.as_str()) {
            return arg.value_parser(ValueParser::new(NonEmptyStringValueParser::new()));
        }
        match id.as_str() {
            NAMESPACE => arg
                .value_parser(ValueParser::new(NonEmptyStringValueParser::new()))
                .value_name("NAME")
                .help("The namespace that is meant"),
            DETACH => arg.help("Return once it acts, and leave it to the controller"),
            // It is not taken away, since others say that they exclude it.
            id if WITHOUT.contains(&id) => arg.hide(true),
            _ => arg,
        }
    })
}

fn asked(verb: FaultVerb, matched: &ArgMatches) -> Asked {
    let all = self::verb(verb);
    let (mut words, mut top) = (Map::new(), Map::new());
    for arg in all.get_arguments() {
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

impl Asked {
    /// Which kind of object it takes.
    pub(super) fn kind(&self) -> Kind {
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
    pub(super) fn object(&self, namespace: &str, random: u64) -> Result<Object, Failure> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(line: &str) -> Line {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Line::parse(&words).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn object(line: &str) -> (Kind, Value) {
        let Deed::PutIn(asked) = read(line).deed else { panic!("{line} puts nothing in") };
        let object = asked.object("prod", 0xabc_def0_1234).unwrap();
        (asked.kind(), serde_json::to_value(object).unwrap())
    }

    #[test]
    fn options_are_fields() {
        let line = "kubectl-schism cut pod/a one:label:app=b --for 30s -n prod --both-ways --port 80 --loss 30% \
                    --mode initiator --seed 7 --allow-quorum-loss";
        let (kind, found) = object(line);
        assert_eq!(kind, Kind::Fault);
        let expected = json!({
            "metadata": { "name": "cut-f01234", "namespace": "prod" },
            "spec": {
                "cut": {
                    "from": "pod/a", "to": "one:label:app=b", "bothWays": true, "port": 80, "loss": "30%",
                    "mode": "initiator", "allowQuorumLoss": true,
                },
                "for": "30s", "seed": 7,
            },
        });
        assert_eq!(found, expected);
        let (kind, found) =
            object("kubectl-schism skew k8s:prod/sts/zeebe/2 -90s --heal slew:500ppm");
        assert_eq!((kind, &found["metadata"]["namespace"]), (Kind::ClusterFault, &Value::Null));
        assert_eq!(
            found["spec"],
            json!({ "skew": { "target": "k8s:prod/sts/zeebe/2", "offset": "-90s", "heal": "slew:500ppm" } })
        );
        let (kind, found) = object("kubectl-schism cut pod/a svc/b --on-restart end");
        let spec = json!({ "cut": { "from": "pod/a", "to": "svc/b" }, "onRestart": "end" });
        assert_eq!((kind, &found["spec"]), (Kind::Fault, &spec));
        let (_, found) = object("kubectl-schism kill pod/a/web --signal KILL --no-force");
        let kill = json!({ "target": "pod/a/web", "signal": "KILL", "noForce": true });
        assert_eq!(found["spec"], json!({ "kill": kill }));
    }

    #[test]
    fn what_is_typed_is_an_object_that_makes_sense() {
        for line in [
            "kubectl-schism cut pod/a pod/b",
            "kubectl-schism cut pod/a addr:10.0.0.0/8 --proto tcp --flows new",
            "kubectl-schism cut svc/a label:b=c --on-restart reapply",
            "kubectl-schism freeze sts/zeebe/0 --tree --for 5s --lease 2s --on-restart end",
            "kubectl-schism stress pod/a/web --cpu 2@50% --memory 64MiB --io 1",
            "kubectl-schism kill pod/a --grace 5s",
            "kubectl-schism skew pod/a +1h --clock realtime --step-at 2s",
        ] {
            let Deed::PutIn(asked) = read(line).deed else { panic!("{line} puts nothing in") };
            let mut object = asked.object("prod", 1).unwrap();
            object.metadata.uid = "7f3e2a10-4b5c-4d6e-8f90-a1b2c3d4e5f6".to_owned();
            let kind = asked.kind();
            let found = crate::objects::asked::asked(kind, &object);
            // What names no namespace is none of a ClusterFault.
            assert_eq!(found.is_ok(), !line.contains("addr:"), "{line}: {found:?}");
        }
    }

    #[test]
    fn roles_are_of_the_namespace_unless_they_say_of_which_cluster() {
        let (kind, found) = object(
            "kubectl-schism cut -n prod zeebe:partition/1/leader zeebe:partition/3/leader --for 1m",
        );
        assert_eq!((kind, &found["metadata"]["namespace"]), (Kind::Fault, &json!("prod")));
        let cut = json!({ "from": "zeebe:partition/1/leader", "to": "zeebe:partition/3/leader" });
        assert_eq!(found["spec"], json!({ "cut": cut, "for": "1m" }));
        let (kind, _) = object("kubectl-schism freeze etcd:blue/leader -n prod");
        assert_eq!(kind, Kind::ClusterFault);
        // With something else beside it an object is in no namespace, and a role stays where it was typed.
        let table = [
            ("etcd:leader addr:10.0.0.0/8", "etcd:prod/leader", "addr:10.0.0.0/8"),
            ("host:n1 one:zeebe:broker", "host:n1", "one:zeebe:prod/broker"),
            ("etcd:blue/leader etcd:leader", "etcd:blue/leader", "etcd:prod/leader"),
            ("k8s:prod/pod/a addr:10.0.0.0/8", "k8s:prod/pod/a", "addr:10.0.0.0/8"),
        ];
        for (typed, from, to) in table {
            let (kind, found) = object(&format!("kubectl-schism -n prod cut {typed}"));
            assert_eq!((kind, &found["metadata"]["namespace"]), (Kind::ClusterFault, &Value::Null));
            assert_eq!(found["spec"]["cut"], json!({ "from": from, "to": to }), "{typed}");
        }
        let line = read("kubectl-schism -n prod/blue cut etcd:leader addr:10.0.0.0/8");
        let Deed::PutIn(asked) = line.deed else { panic!("nothing is put in") };
        let namespace = line.namespace.unwrap();
        let found = serde_json::to_value(asked.object(&namespace, 1).unwrap()).unwrap();
        assert_eq!(found["spec"]["cut"]["from"], "etcd:prod/blue/leader");
        // A namespace that is called as a role is.
        assert!(asked.object("member", 1).is_err());
        let line = read("kubectl-schism -n prod kill one:etcd:follower");
        assert_eq!(line.namespace.as_deref(), Some("prod"));
    }

    #[test]
    fn everything_else_is_a_name_or_all() {
        assert!(matches!(read("kubectl-schism heal --all").deed, Deed::Heal(Ending::All)));
        let Deed::Heal(Ending::Named(names)) = read("kubectl-schism heal a b -n x").deed else {
            panic!("no names")
        };
        assert_eq!(names.len(), 2);
        let table = [("status", Reach::Namespace), ("status -A", Reach::Everywhere)];
        for (line, reach) in table {
            let line = read(&format!("kubectl-schism {line} -o json"));
            assert!(matches!(line.deed, Deed::Status { everywhere } if everywhere == reach));
            assert_eq!(line.format(), Some(Format::Json));
        }
        for wrong in [
            "",
            "heal",
            "heal A",
            "heal --all a",
            "cut pod/a",
            "run x",
            "cut pod/a pod/b --for 1",
            "cut pod/a pod/b --prove",
            "cut --preset bridge pod/a",
            "skew pod/a 1h --replace",
            "kill pod/a --local",
            "kill pod/a --on-restart end",
        ] {
            let words: Vec<OsString> = ["kubectl-schism"]
                .into_iter()
                .chain(wrong.split(' '))
                .map(OsString::from)
                .collect();
            assert!(Line::parse(&words).is_err(), "{wrong}");
        }
    }
}
