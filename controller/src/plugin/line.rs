//! The command line of `kubectl schism`: the verbs and options of `schism`, each option a field of an object.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::EnumValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use cluster::Name;
use fault::NodeName;

use super::asked::{Asked, VERBS, WITHOUT, asked, typed_here, verb};
use super::capture::Typed;
use super::disrupting::{self, NODE, POD};
use crate::capture::file::Existing;
use crate::cli::{Cli, Misuse, RunArgs, ValidateArgs};
use crate::output::Format;
use crate::run::faults::words::name;
use crate::tickets::resource::Spec as CaptureSpec;

/// What there is of an experiment that `schism` has as well.
const RUN: &str = "run";
const VALIDATE: &str = "validate";

/// What has packets come, and what it can do and an object cannot.
const CAPTURE: &str = "capture";
const NOT_OF_PODS: [&str; 2] = ["local", "whole_node"];
const ONE_POD: &str = "one pod of the namespace, as pod/NAME, sts/NAME/ORDINAL, one:deploy/NAME, one:label:SELECTOR, \
                       etcd:ROLE or zeebe:ROLE. All that has its network is in it";

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
    Capture(Box<Typed>),
    Disrupt(Box<disrupting::Asked>),
    Uncordon(NodeName),
    Heal(Ending),
    Status { everywhere: Reach },
    Run(Box<RunArgs>),
    Validate(ValidateArgs),
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
            return Err(command.error(ErrorKind::MissingSubcommand, "what is to be done?"));
        };
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
            RUN => match of_schism(matched, "local") {
                Some(reason) => return Err(command.error(ErrorKind::UnknownArgument, reason)),
                None => Deed::Run(Box::new(RunArgs::from_arg_matches(matched)?)),
            },
            VALIDATE => Deed::Validate(ValidateArgs::from_arg_matches(matched)?),
            CAPTURE => match NOT_OF_PODS.iter().find_map(|id| of_schism(matched, id)) {
                Some(reason) => return Err(command.error(ErrorKind::UnknownArgument, reason)),
                None => Deed::Capture(Box::new(captured(matched))),
            },
            POD => disrupted(&mut command, POD, matched)?,
            NODE => disrupted(&mut command, NODE, matched)?,
            verb => match VERBS.into_iter().find(|one| name(*one) == verb) {
                Some(verb) => {
                    if let Some(reason) = WITHOUT.iter().find_map(|id| of_schism(matched, id)) {
                        return Err(command.error(ErrorKind::UnknownArgument, reason));
                    }
                    Deed::PutIn(Box::new(asked(verb, matched)))
                }
                None => unreachable!("no other is known to clap"),
            },
        };
        // What holds for all stands as well behind the last word.
        let matched = matched.subcommand().map_or(matched, |(_, matched)| matched);
        let text = |id: &str| matched.get_one::<String>(id).cloned();
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

/// What is done to pods, or to a node.
fn disrupted(
    command: &mut Command,
    name: &'static str,
    matched: &ArgMatches,
) -> Result<Deed, clap::Error> {
    match disrupting::typed(name, matched) {
        Some(disrupting::Typed::Begin(asked)) => Ok(Deed::Disrupt(asked)),
        Some(disrupting::Typed::Uncordon(node)) => Ok(Deed::Uncordon(node)),
        Some(disrupting::Typed::Unsaid(id)) => {
            Err(command.error(ErrorKind::UnknownArgument, unsaid(id)))
        }
        None => Err(command.error(ErrorKind::MissingSubcommand, "what is to be done?")),
    }
}

/// What is wrong with an option that no object can say, where it was typed.
fn of_schism(matched: &ArgMatches, id: &str) -> Option<String> {
    let is_typed = matched.try_contains_id(id).unwrap_or_default()
        && matched.value_source(id) == Some(ValueSource::CommandLine);
    is_typed.then(|| unsaid(id))
}

fn unsaid(id: &str) -> String {
    let option = id.replace('_', "-");
    format!("--{option} is for schism itself: no object of a cluster can say it\n")
}

/// What `schism` does with experiments.
fn of_experiments(name: &'static str, about: &'static str) -> Command {
    let all = Cli::command();
    let known = all.find_subcommand(name).cloned();
    let command = known.unwrap_or_else(|| Command::new(name)).about(about);
    command.mut_args(|arg| if arg.get_id() == "local" { arg.hide(true) } else { arg })
}

/// What `schism` does with packets.
fn of_captures() -> Command {
    let all = Cli::command();
    let known = all.find_subcommand(CAPTURE).cloned();
    let known = known.unwrap_or_else(|| Command::new(CAPTURE));
    typed_here(known, &["target", "peer"], ONE_POD, &NOT_OF_PODS)
}

/// A capture as it was typed.
fn captured(matched: &ArgMatches) -> Typed {
    let text = |id: &str| matched.get_one::<String>(id).cloned();
    let typed = |id: &str| {
        let is_typed = matched.value_source(id) == Some(ValueSource::CommandLine);
        let raw = matched.get_raw(id).and_then(|mut raw| raw.next());
        raw.filter(|_| is_typed).map(|text| text.to_string_lossy().into_owned())
    };
    let spec = CaptureSpec {
        target: text("target").unwrap_or_default(),
        peer: text("peer"),
        port: matched.get_one::<u16>("port").copied(),
        snaplen: matched.get_one::<u16>("snaplen").copied(),
        max: typed("max"),
        total: typed("total"),
        ..CaptureSpec::default()
    };
    Typed {
        spec,
        total: matched.get_one("total").copied().unwrap_or_default(),
        most: matched.get_one("max").copied().unwrap_or_default(),
        write: matched.get_one::<PathBuf>("write").cloned(),
        existing: if matched.get_flag("force") { Existing::Replaced } else { Existing::Kept },
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
        .about("Delete faults and disruptions before their time, which ends them, and wait until they are gone")
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
                .help("Everything in the namespace that is not over"),
        );
    let status = Command::new("status")
        .about("Show the faults and disruptions of a namespace, and of the cluster")
        .arg(
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
             something else is; a Disruption where pods are restarted, terminated or evicted, a ClusterDisruption where a \
             node is cordoned or drained. Ctrl-C deletes it, which heals or undoes it. Exit codes are those of schism.",
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
                .value_parser(EnumValueParser::<Format>::new())
                .help("How results are printed; without it, as a table for people"),
        )
        .subcommands(VERBS.map(verb))
        .subcommands([POD, NODE].map(disrupting::command))
        .subcommand(of_experiments(
            RUN,
            "Run experiments here, with faults that are objects of the cluster, and judge them",
        ))
        .subcommand(of_experiments(
            VALIDATE,
            "Say all that is wrong with experiments whose faults are objects, with line and column",
        ))
        .subcommand(of_captures())
        .subcommand(heal)
        .subcommand(status)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::objects::resource::Kind;

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
    fn a_capture_is_an_object_of_its_own() {
        let line = "kubectl-schism capture pod/a --for 5s --peer addr:10.0.0.0/8 --port 80 --max 1MB -n prod \
                    --write a.pcapng --force";
        let Deed::Capture(typed) = read(line).deed else { panic!("no capture") };
        let spec = serde_json::to_value(&typed.spec).unwrap();
        let expected = json!({
            "target": "pod/a", "peer": "addr:10.0.0.0/8", "port": 80, "max": "1MB", "for": "5s",
            "ticket": "",
        });
        assert_eq!(spec, expected);
        assert_eq!((typed.total.as_secs(), typed.most), (5, 1_000_000));
        assert_eq!((typed.write, typed.existing), (Some("a.pcapng".into()), Existing::Replaced));
        let Deed::Capture(typed) = read("kubectl-schism capture one:label:app=b").deed else {
            panic!("no capture")
        };
        assert_eq!((typed.total.as_secs(), typed.most), (10, 64 << 20));
        assert_eq!((typed.spec.total, typed.spec.max), (None, None));
    }

    #[test]
    fn help_names_targets_as_they_are_named_here() {
        let all = command();
        for verb in ["cut", "skew", "freeze", "kill", "stress", "capture"] {
            let known = all.find_subcommand(verb).unwrap();
            let place = known
                .get_arguments()
                .find(|arg| ["from", "target"].contains(&arg.get_id().as_str()));
            let help = place.unwrap().get_help().unwrap().to_string();
            assert!(
                help.contains("of the namespace, ") && help.contains("pod/NAME"),
                "{verb}: {help}"
            );
            assert!(!help.contains("netns:") && !help.contains("pid:"), "{verb}: {help}");
        }
        let pod = all.find_subcommand("pod").unwrap();
        for deed in pod.get_subcommands() {
            let target = deed.get_arguments().find(|arg| arg.get_id() == "target").unwrap();
            let help = target.get_help().unwrap().to_string();
            assert!(help.contains("of the namespace, ") && !help.contains("pod:UID"), "{help}");
        }
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
        let line = read("kubectl-schism pod restart pod/a --grace 1s -n x -o json");
        assert_eq!((line.namespace.as_deref(), line.format()), (Some("x"), Some(Format::Json)));
        assert!(matches!(line.deed, Deed::Disrupt(_)));
        let line = read("kubectl-schism -n x node drain n1 --for 1m --detach --context c");
        assert_eq!((line.namespace.as_deref(), line.context.as_deref()), (Some("x"), Some("c")));
        let line = read("kubectl-schism node uncordon n1 --kubeconfig /k");
        assert_eq!(line.kubeconfig, Some(PathBuf::from("/k")));
        assert!(matches!(line.deed, Deed::Uncordon(node) if node.as_str() == "n1"));
        let line = read("kubectl-schism -n x run a.yaml --journal /tmp/j.json --seed 7 -o json");
        let (namespace, Deed::Run(args)) = (line.namespace.clone(), line.deed) else { panic!() };
        assert_eq!((namespace.as_deref(), args.seed, args.local), (Some("x"), Some(7), false));
        assert_eq!(args.journal, Some(PathBuf::from("/tmp/j.json")));
        let line = read("kubectl-schism validate a.yaml b.json -n x");
        assert!(matches!(line.deed, Deed::Validate(args) if args.files.len() == 2));
        for wrong in [
            "",
            "heal",
            "heal A",
            "heal --all a",
            "cut pod/a",
            "run",
            "run x --local",
            "validate",
            "cut pod/a pod/b --for 1",
            "cut pod/a pod/b --prove",
            "cut --preset bridge pod/a",
            "skew pod/a 1h --replace",
            "kill pod/a --local",
            "kill pod/a --on-restart end",
            "capture pod/a --local",
            "capture pod/a --whole-node",
            "pod",
            "pod restart",
            "pod restart pod/a --dry-run",
            "node",
            "node drain n1 --dry-run",
            "node cordon",
            "capture",
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
