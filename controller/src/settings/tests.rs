//! Files that are right, and what is said of those that are not.

use std::fs;

use super::*;

const WHOLE: &str = r#"
[controller]
address = "tcp:schism.example:7071"
server-name = "c1"
ca = "certs/ca.pem"
certificate = "/abs/ada.pem"
key = "certs/ada.key"

[serve]
socket = "/run/x.sock"
listen-agents = "0.0.0.0:7070"
listen-control = "[::]:7071"
metrics = "127.0.0.1:9090"
ca = "certs/ca.pem"
certificate = "certs/c1.pem"
key = "certs/c1.key"
issued = "certs/issued"
state = "state"

[capture]
allowed = true

[limits]
max-targets = 3
max-share = "34%"

[names]
db = "netns:db0"
all-of-them = ["netns:db0@n1", "one:etcd:follower", "addr:10.0.0.0/24"]

[etcd.a]
endpoints = ["http://10.0.0.1:2379", "https://[fd00::1]:2379/"]
ca = "etcd/ca.pem"
certificate = "etcd/own.pem"
key = "etcd/own.key"

[etcd.b]
endpoints = "http://b:2379"
"#;

fn parse(text: &str) -> Result<Settings, SettingsError> {
    Settings::parse(Path::new("/etc/schism/schism.toml"), text)
}

#[test]
fn a_whole_file_is_read() {
    let settings = parse(WHOLE).unwrap();
    let serve = settings.serve.clone().complete(AgentsBy::Certificate).unwrap();
    assert_eq!(serve.files.unwrap(), link::Files::named(Path::new("/etc/schism/certs"), "c1"));
    assert_eq!(serve.state, Path::new("/etc/schism/state"));
    assert_eq!(settings.capture.captures(), agent::server::Captures::Allowed);
    let unsaid = parse("").unwrap().capture;
    assert_eq!(unsaid.captures(), agent::server::Captures::Refused);
    assert_eq!(serve.listen_control.unwrap().to_string(), "[::]:7071");

    let Some(Controller::Tcp { address, name, files }) =
        settings.controller.clone().complete().unwrap()
    else {
        panic!("a controller on the network");
    };
    assert_eq!((address.to_string(), name.to_str()), ("schism.example:7071".into(), "c1".into()));
    assert_eq!(files.certificate, Path::new("/abs/ada.pem"));

    assert_eq!(settings.limits.max_targets.unwrap().get(), 3);
    assert_eq!(settings.limits.max_share.unwrap().percent(), 34);

    let names: Vec<String> = settings.names.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["all-of-them", "db"]);
    assert_eq!(settings.names.get("all-of-them").unwrap().len(), 3);
    assert_eq!(settings.names.get("db").unwrap(), ["netns:db0".parse().unwrap()]);
    assert_eq!(settings.names.get("other"), None);

    let clusters: Vec<_> = settings.etcd().map(|(name, etcd)| (name.as_str(), etcd)).collect();
    assert_eq!((clusters[0].0, clusters[1].0), ("a", "b"));
    assert_eq!(clusters[0].1.endpoints[1].to_string(), "https://[fd00::1]:2379");
    let credentials = clusters[0].1.credentials.as_ref().unwrap();
    assert_eq!(credentials.authority, Path::new("/etc/schism/etcd/ca.pem"));
    assert_eq!(credentials.own.as_ref().unwrap().key, Path::new("/etc/schism/etcd/own.key"));
    assert_eq!(clusters[1].1.endpoints.len(), 1);
}

#[test]
fn the_example_of_the_documentation_is_right() {
    let page = include_str!("../../../docs/settings.md");
    let example = page.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    let settings = parse(example).unwrap();
    assert!(settings.controller.complete().unwrap().is_some());
    assert!(settings.serve.complete(AgentsBy::Certificate).is_ok());
    assert_eq!((settings.names.iter().count(), settings.etcd.0.len()), (2, 1));
}

#[test]
fn nothing_need_be_said() {
    assert_eq!(parse("").unwrap(), Settings::default());
    assert_eq!(parse("").unwrap().controller.complete().unwrap(), None);
    let one = parse("[etcd]\nendpoints = [\"http://a:1\"]").unwrap();
    assert_eq!(one.etcd().map(|(name, _)| name.to_string()).collect::<Vec<_>>(), ["etcd"]);
    let unix = parse("[controller]\naddress = \"unix:/run/schism/control.sock\"").unwrap();
    let expected = Controller::Unix("/run/schism/control.sock".into());
    assert_eq!(unix.controller.complete().unwrap(), Some(expected));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let deep = format!("x = {}", "[".repeat(100_000));
    let long = format!("[names]\n\"{}\" = \"pid:1\"", "n".repeat(100_000));
    let table = [
        // Keys.
        ("nonsense = 1", "1:1: unknown field `nonsense`, expected one of `controller`"),
        ("[server]\n", "1:2: unknown field `server`"),
        ("[serve]\nlisten_agents = \"1.1.1.1:1\"", "2:1: unknown field `listen_agents`"),
        ("[controller]\n\n  adress = \"x\"", "3:3: unknown field `adress`"),
        ("[limits]\nmax-target = 1", "2:1: unknown field `max-target`"),
        ("[etcd.a]\nurls = []", "2:1: unknown field `urls`"),
        ("[serve]\nca = \"a\"\nca = \"b\"", "3:1: duplicate key"),
        ("[names]\na = \"pid:1\"\na = \"pid:2\"", "3:1: duplicate key"),
        ("[serve]\n[serve]", "2:2: duplicate key"),
        // Types.
        ("serve = 1", "1:9: invalid type: integer `1`"),
        ("[serve]\nca = 1", "2:6: invalid type: integer `1`, expected a string"),
        ("[limits]\nmax-targets = \"3\"", "2:15: invalid type: string \"3\""),
        ("[limits]\nmax-targets = 0", "2:15: invalid value: integer `0`, expected a nonzero u32"),
        ("[limits]\nmax-targets = -1", "2:15: invalid value: integer `-1`"),
        ("[limits]\nmax-targets = 4294967296", "2:15: invalid value: integer `4294967296`"),
        ("[limits]\nmax-share = 30", "2:13: invalid type: integer `30`, expected a percentage in"),
        ("serve = [\"/run/x\"]", "1:9: invalid type: sequence, expected a table"),
        ("names = []", "1:9: invalid type: sequence, expected a table of names"),
        ("[names]\na = 1", "2:5: invalid type: integer `1`, expected a selector in quotes, or a"),
        ("[names]\na = [1]", "2:6: invalid type: integer `1`, expected a selector in quotes"),
        ("[names]\na.b = \"pid:1\"", "2:1: invalid type: map, expected a selector in quotes"),
        // Values.
        ("[limits]\nmax-share = \"0%\"", "2:13: write a whole percentage from 1% to 100%"),
        ("[controller]\naddress = \"c1:7070\"", "2:11: write unix:PATH or tcp:HOST:PORT"),
        ("[controller]\naddress = \"tcp:c1\"", "2:11: write HOST:PORT"),
        ("[controller]\naddress = \"unix:\"", "2:11: write unix:PATH"),
        ("[controller]\nserver-name = \"a b\"", "2:15: write a DNS name"),
        ("[controller]\nca = \"\"", "2:6: write a path"),
        ("[serve]\nlisten-agents = \"host:7070\"", "2:17: write IP:PORT"),
        ("[serve]\nmetrics = \"9090\"", "2:11: write IP:PORT"),
        // Names.
        ("[names]\ndb = \"db0\"", "2:6: db: 'db0': a scheme is missing; did you mean netns:db0?"),
        ("[names]\nx = [\"pid:1\",\n  \"pid:0\"]", "3:3: x: 'pid:0': a pid is a number"),
        ("[names]\na = \"pid:1\"\nb = \"a\"", "3:5: b: 'a': a scheme is missing"),
        ("[names]\na = []", "2:5: a: an empty list names nothing"),
        ("[names]\nnetns = \"pid:1\"", "netns: a scheme of selectors cannot be a name"),
        ("[names]\nk8s = \"pid:1\"", "k8s: a scheme of selectors cannot be a name"),
        ("[names]\none = \"pid:1\"", "one: a word that picks among matches cannot be a name"),
        ("[names]\n7 = \"pid:1\"", "7: a word that picks among matches cannot be a name"),
        ("[names]\n\"a:b\" = \"pid:1\"", "a:b: a name has 1 to 253 letters"),
        ("[names]\n\"\" = \"pid:1\"", ": a name has 1 to 253 letters"),
        ("[names]\n\"\\u001b[2J\" = \"pid:1\"", "\\u{1b}[2J: a name has"),
        (&long, "nnn…: a name has 1 to 253 letters"),
        // etcd.
        ("[etcd.a]\n", "a: endpoints are missing"),
        ("[etcd]\nca = \"x\"", "etcd: endpoints are missing"),
        ("[etcd]\nendpoints = []", "2:13: an empty list names nothing"),
        ("[etcd]\nendpoint = [\"http://a:1\"]", "2:12: invalid type: sequence, expected a table"),
        ("[etcd]\nendpoints = [\"http://a:1\", \"http://a:1/\"]", "the endpoint http://a:1 stands"),
        ("[etcd]\nendpoints = [\"https://a:1\"]", "etcd: https endpoints need the ca"),
        ("[etcd]\nendpoints = [\"http://a:1\"]\nkey = \"k\"", "etcd: a key needs its certificate"),
        (
            "[etcd]\nendpoints = [\"http://a:1\"]\ncertificate = \"c\"\nkey = \"k\"",
            "etcd: a certificate needs the ca",
        ),
        ("[etcd.a]\nendpoints = [\"unix:///x\"]", "2:14: unix:///x: etcd is asked over http"),
        ("[etcd.member]\nendpoints = [\"http://a:1\"]", "member: a cluster's name has"),
        (
            "[etcd]\nendpoints = [\"http://a:1\"]\n[etcd.b]\nendpoints = [\"http://b:1\"]",
            "write [etcd] for",
        ),
        ("[etcd.\"a b\"]\nendpoints = [\"http://a:1\"]", "a b: a cluster's name has"),
        // No TOML.
        ("[serve", "1:7: "),
        ("x = \"\\u0007", "1:"),
        ("\u{0}", "1:2: "),
        (&deep, "1:"),
    ];
    for (text, said) in table {
        let error = parse(text).unwrap_err().to_string();
        let shown: String = text.chars().take(80).collect();
        assert!(error.starts_with("/etc/schism/schism.toml:"), "{shown}: {error}");
        assert!(error.contains(said), "{shown}\n{error}");
        assert!(error.len() < 1_000 && !error.contains('\u{1b}'), "{shown}: {error}");
        let failure = Failure::from(parse(text).unwrap_err());
        assert_eq!(failure.outcome.code(), 2);
    }
}

#[test]
fn a_password_is_not_repeated() {
    for text in ["[\"http://u:hunter2@a:1\"]", "\"http://u:hunter2@a:1\"", "[\"u:hunter2@a:1\"]"] {
        let error = parse(&format!("[etcd]\nendpoints = {text}")).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn what_a_command_needs_is_told() {
    let table = [
        ("listen-agents", "serve.listen-agents is missing"),
        ("ca", "serve.ca is missing"),
        ("certificate", "serve.certificate is missing"),
        ("key", "serve.key is missing"),
        ("issued", "serve.issued is missing"),
    ];
    let serve = WHOLE.split("[limits]").next().unwrap().split("[serve]").nth(1).unwrap();
    for (key, said) in table {
        let without: String = serve
            .lines()
            .filter(|line| !line.starts_with(&format!("{key} ")))
            .map(|line| format!("{line}\n"))
            .collect();
        let settings = parse(&format!("[serve]\n{without}")).unwrap();
        let error = settings.serve.complete(AgentsBy::Certificate).unwrap_err();
        assert!(error.to_string().starts_with(said), "{error}");
    }
    let tcp = parse("[controller]\naddress = \"tcp:c1:1\"\nca = \"a\"\nkey = \"k\"").unwrap();
    let error = tcp.controller.complete().unwrap_err().to_string();
    assert!(error.starts_with("controller.certificate is missing"), "{error}");
}

#[test]
fn the_first_file_that_is_there_counts() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, targets: u32| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("limits.max-targets = {targets}")).unwrap();
        path
    };
    let places = Places {
        config_home: Some(directory.path().to_owned()),
        home: None,
        machine: Some(directory.path().join("machine.toml")),
    };
    let targets = |named: Option<&Path>| {
        let settings = Settings::load(named, &places).unwrap();
        settings.limits.max_targets.map(std::num::NonZeroU32::get)
    };
    assert_eq!(targets(None), None);
    file("machine.toml", 1);
    assert_eq!(targets(None), Some(1));
    let own = file("schism/schism.toml", 2);
    assert_eq!(targets(None), Some(2));
    let named = file("named.toml", 3);
    assert_eq!(targets(Some(&named)), Some(3));

    fs::write(&own, "junk").unwrap();
    assert!(Settings::load(None, &places).is_err(), "a broken file is not passed over");
    let nowhere = directory.path().join("nowhere.toml");
    let error = Settings::load(Some(&nowhere), &places).unwrap_err();
    assert!(matches!(error, SettingsError::Read { .. }), "{error}");
    assert_eq!(Failure::from(error).outcome.code(), 5);
}

#[test]
fn a_file_without_end_is_not_read_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("schism.toml");
    let load = |path: &Path| Settings::load(Some(path), &Places::default());
    fs::write(&path, "#".repeat(10 << 20)).unwrap();
    assert!(matches!(load(&path), Err(SettingsError::TooLong(_))));
    assert!(matches!(load(Path::new("/dev/zero")), Err(SettingsError::TooLong(_))));
    fs::write(&path, "#".repeat(1 << 20)).unwrap();
    assert!(load(&path).is_ok());
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(load(&path), Err(SettingsError::NotText(_))));
    assert!(matches!(load(directory.path()), Err(SettingsError::Read { .. })));
}

#[test]
fn a_controller_is_found_in_a_file_that_is_wrong_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("schism.toml");
    let alone = |text: &str| {
        fs::write(&path, text).unwrap();
        assert!(Settings::load(Some(&path), &Places::default()).is_err(), "{text}");
        controller_alone(Some(&path), &Places::default())
    };
    let wrong = "[names]\ndb = \"nets:db0\"\n";
    let found = alone(&format!("{wrong}[controller]\naddress = \"unix:run/c.sock\"\n")).unwrap();
    let expected = Controller::Unix(directory.path().join("run/c.sock"));
    assert_eq!(found.complete().unwrap(), Some(expected));
    assert_eq!(alone(wrong).unwrap().complete().unwrap(), None);
    assert!(alone("[controller]\naddress = \"c1\"\n").is_err(), "what is asked must be right");
    assert!(alone("[controller\n").is_err());
}
