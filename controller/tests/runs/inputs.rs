//! Bad input.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::workshop::{Running, Workshop, script};

/// Whoever is asked answers this, and then this again and again.
fn answering(first: &'static str, then: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let mut written = stream.write_all(first.as_bytes());
            // Until nobody reads any more.
            while let (Ok(()), Some(then)) = (&written, then) {
                written = stream.write_all(then);
            }
            if then.is_none() {
                // Nothing more comes, and no end either.
                let _ = stream.read(&mut [0; 1]);
            }
        }
    });
    address
}

fn get(url: &str, more: &Value) -> Value {
    let mut provider = json!({"type": "http", "url": url});
    provider.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"type": "action", "name": "get", "provider": provider})
}

#[test]
fn what_is_no_experiment_is_refused_before_anything_runs() {
    let mut bomb =
        "title: t\ndescription: d\nmethod: []\nx-a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let last = level - 1;
        let nine = format!("*a{last}, ").repeat(9);
        writeln!(bomb, "x-a{level}: &a{level} [{nine}]").unwrap();
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let circle = json!({"title": "t", "description": "d", "method": [
        {"ref": "b", "name": "a"}, {"ref": "a", "name": "b"}]});
    let own = json!({"title": "t", "description": "d", "method": [{"ref": "a", "name": "a"}]});
    let workshop = Workshop::new();
    for (name, text, expected) in [
        ("no.json", "{\"title\": ", "no.json:1:"),
        ("no.yaml", "title: [\n", "no.yaml:"),
        ("bomb.yaml", bomb.as_str(), "bomb.yaml:"),
        ("deep.json", deep.as_str(), "deep.json:1:"),
        ("circle.json", &circle.to_string(), "lead back to the first"),
        ("own.json", &own.to_string(), "lead back to the first"),
        ("empty.json", "", "empty.json"),
        ("list.json", "[1]", "a mapping was expected"),
    ] {
        workshop.write(name, text);
        let began = Instant::now();
        let ended = workshop.run(&format!("run {name}"));
        assert_eq!(ended.code, Some(2), "{name}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{name}: {ended:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{name}");
        assert!(!workshop.path("journal.json").exists(), "{name}");
    }
    std::fs::write(workshop.path("latin.json"), b"{\"title\": \"\xe9\"}").unwrap();
    let ended = workshop.run("run latin.json");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("it is no UTF-8"), "{ended:?}");
}

#[test]
fn what_is_for_a_controller_is_refused_before_the_first_step_where_none_decides() {
    let workshop = Workshop::new();
    let drain = json!({"type": "schism", "action": "node", "arguments": {"command": "drain", "node": "n1"}});
    let drain = json!({"type": "action", "name": "drain", "provider": drain});
    let line = workshop.experiment(json!({"method": [script("first", "touch first"), drain]}));
    let ended = workshop.run(line);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.contains("step `drain`: pods and nodes are for a controller"),
        "{ended:?}"
    );
    assert!(!workshop.path("first").exists() && !workshop.path("journal.json").exists());
    let rehearsed = workshop.run(&format!("{line} --dry actions"));
    assert_ne!(rehearsed.code, Some(2), "{rehearsed:?}");
    assert!(workshop.path("journal.json").exists(), "{rehearsed:?}");
}

#[test]
fn a_body_without_end_or_without_more_is_not_waited_for() {
    let stuck = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", None);
    let long = answering("HTTP/1.1 200 OK\r\n\r\n", Some(&[b'x'; 65_536]));
    for (step, expected) in [
        (get(&stuck, &json!({"timeout": 0.5})), "took too long"),
        (get(&long, &json!({})), "the body has more than 16 MiB"),
    ] {
        let workshop = Workshop::new();
        let ended = workshop.run(workshop.experiment(json!({"method": [step]})));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(expected), "{ended:?}");
    }
}

#[test]
fn no_credential_of_an_address_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    let answers = [
        ("200 OK", json!({"title": "t", "description": "d", "method": []}).to_string()),
        ("200 OK", "[1]".to_owned()),
        ("404 Not Found", String::new()),
    ];
    let asked = std::thread::spawn(move || {
        answers.map(|(status, body)| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
            write!(stream, "{head}Connection: close\r\n\r\n{body}").unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        })
    });
    let workshop = Workshop::new();
    let line = format!("run http://ann:TOKEN@{host}/x.json?tok=TOKEN -o json");
    let shown = format!("http://{host}/x.json");
    for (code, told) in [(0, "\"file\": \""), (2, ""), (5, "")] {
        let ended = workshop.run(&line);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains(&format!("{told}{shown}")) && !said.contains("TOKEN"), "{said}");
    }
    for request in asked.join().unwrap() {
        // They reach whoever is asked.
        assert!(request.starts_with("GET /x.json?tok=TOKEN ") && request.contains("asic "));
    }
    // Nobody is there, and one that is no address.
    for address in [format!("ann:TOKEN@{host}"), "ann:TOKEN@ho st:x".replace(' ', "%")] {
        let ended = workshop.run(&format!("run http://{address}/x.json?tok=TOKEN"));
        assert_ne!(ended.code, Some(0), "{ended:?}");
        assert!(!(ended.stdout + &ended.stderr).contains("TOKEN"));
    }
    assert!(!workshop.read("journal.json").contains("TOKEN"));
}

#[test]
fn a_shell_sees_no_value_unless_the_original_shows_it_one() {
    let experiment = |arguments: Value| {
        json!({
            "configuration": {"x": "a; touch pwned; $(touch pwned) `touch pwned` 'q"},
            "method": [{"type": "action", "name": "say", "provider": {"type": "process",
                "path": "printf", "arguments": arguments}}],
        })
    };
    for (arguments, manner, reaches_shell) in [
        (json!(["%s", "${x}"]), "--strict", false),
        (json!(["%s", "${x}"]), "--compat", false),
        (json!("%s ${x}"), "--strict", false),
        (json!("%s ${x}"), "--compat", true),
    ] {
        let workshop = Workshop::new();
        let line = workshop.experiment(experiment(arguments.clone()));
        let ended = workshop.run(&format!("{line} {manner}"));
        // Its last quote has no end for a shell, which does nothing of the line then.
        assert!(!workshop.path("pwned").exists(), "{arguments} {manner}: {ended:?}");
        assert_eq!(ended.stderr.contains("are given to a shell"), reaches_shell, "{ended:?}");
        let journal = workshop.journal();
        let said = journal["run"][0]["output"]["stdout"].as_str().unwrap().to_owned();
        assert_eq!(said.starts_with("a; touch pwned"), !reaches_shell, "{journal:#}");
    }
}

#[test]
fn python_that_is_missing_or_lacks_what_a_step_calls_is_told_before_anything_runs() {
    let call = |module: &str, func: &str| {
        json!({"method": [script("never", "touch never"), {"type": "action", "name": "call",
            "provider": {"type": "python", "module": module, "func": func}}],
            "rollbacks": [script("back", "touch never")]})
    };
    let workshop = Workshop::new();
    for (module, func, place, expected) in [
        ("chaosnowhere.probes", "f", "module: ", "No module named 'chaosnowhere'"),
        ("os.path", "nowhere", "func: ", "found `nowhere`: os.path has no such function"),
        ("os.path", "exists", ": ", "arguments of os.path.exists were expected here: missing"),
    ] {
        let line = workshop.experiment(call(module, func));
        for manner in ["", "--compat"] {
            let ended = workshop.run(&format!("{line} {manner}"));
            let code = if manner.is_empty() { 2 } else { 1 };
            assert_eq!(ended.code, Some(code), "{ended:?}");
            let place = format!("method[1].provider.{place}");
            let place = if place.ends_with(".: ") { "method[1].provider: " } else { &place };
            assert!(ended.stderr.contains(place), "{place}: {ended:?}");
            assert!(ended.stderr.contains(expected), "{expected}: {ended:?}");
        }
        let validated = workshop.run("validate experiment.json");
        assert_eq!(validated.code, Some(0), "nothing is imported: {validated:?}");
        assert_eq!(workshop.run("validate experiment.json --compat").code, Some(2));
        assert!(!workshop.path("never").exists() && !workshop.path("journal.json").exists());
    }
    let mut missing = workshop.schism("run experiment.json");
    missing.env("SCHISM_PYTHON", "/nowhere/python3");
    let ended = Running::start(missing).ended();
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("steps in Python need Python 3"), "{ended:?}");
    // Where a controller decides the run, its machine may be another one.
    let ended = workshop.run("run experiment.json --controller unix:/nowhere/controller");
    assert!(ended.stderr.contains(": warning: method[1].provider: "), "{ended:?}");
    assert!(!ended.stderr.contains("told above"), "{ended:?}");
    assert!(!workshop.path("never").exists());
}

#[test]
fn a_class_is_a_function_but_for_the_original() {
    let workshop = Workshop::new();
    let line = workshop.experiment(json!({"method": [{"type": "action", "name": "call",
        "provider": {"type": "python", "module": "decimal", "func": "Decimal",
            "arguments": {"value": "1"}}}]}));
    assert_eq!(workshop.run(line).code, Some(0));
    let ended = workshop.run(&format!("{line} --compat"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("decimal has no such function"), "{ended:?}");
}

#[test]
fn modules_are_looked_for_where_the_original_looks_for_them() {
    let workshop = Workshop::new();
    workshop.write("own_probes.py", "def f():\n    return 1\n");
    // One that Python itself needs, and that must not be taken from here.
    workshop.write("traceback.py", "raise SystemExit('the wrong one')\n");
    let line = workshop.experiment(json!({"method": [{"type": "action", "name": "call",
        "provider": {"type": "python", "module": "own_probes", "func": "f"}}]}));
    let ended = workshop.run(line);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("No module named 'own_probes'"), "{ended:?}");
    std::fs::remove_file(workshop.path("traceback.py")).unwrap();
    let mut found = workshop.schism(line);
    found.env("PYTHONPATH", workshop.path(""));
    let ended = Running::start(found).ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn settings_of_the_original_are_read_where_it_would_read_them() {
    let workshop = Workshop::new();
    std::fs::create_dir(workshop.path(".chaostoolkit")).unwrap();
    let settings = "controls:\n  tell:\n    provider: {type: process, path: touch, arguments: [told]}\n\
                    notifications: []\n";
    workshop.write(".chaostoolkit/settings.yaml", settings);
    let line = workshop.experiment(json!({"method": [script("step", "true")]}));
    assert_eq!(workshop.run(line).code, Some(0));
    assert!(!workshop.path("told").exists(), "they are for --compat");
    let ended = workshop.run(&format!("{line} --compat"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("notifications: nobody reads this here"), "{ended:?}");
    assert!(workshop.path("told").exists(), "{ended:?}");
    let named = workshop.run(&format!("{line} --settings nowhere.yaml"));
    assert_eq!(named.code, Some(2), "{named:?}");
}

#[test]
fn steps_of_ours_are_looked_at_before_anything_runs() {
    let workshop = Workshop::new();
    let step = |role: &str, verb: &str, arguments: Value| {
        let kind = if role == "action" { "action" } else { "probe" };
        json!({"type": kind, "name": verb, "provider":
            {"type": "schism", role: verb, "arguments": arguments}})
    };
    let line = workshop.experiment(json!({"method": [
        script("never", "touch never"),
        step("action", "cut", json!({"from": "netns:a", "too": "pid:x", "for": "soon"})),
        step("probe", "metric", json!({"url": "http://127.0.0.1:1"})),
    ]}));
    let validated = workshop.run("validate experiment.json");
    for ended in [workshop.run(line), validated] {
        assert_eq!(ended.code, Some(2), "{ended:?}");
        for expected in
            ["experiment.json:1:", "did you mean `to`?", "arguments.for: ", "`metric` is missing"]
        {
            assert!(ended.stderr.contains(expected), "{expected}: {ended:?}");
        }
    }
    assert!(!workshop.path("never").exists());
    let document = workshop.run("validate experiment.json -o json").stdout;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(
        (&document["schema"], &document["errors"]),
        (&json!("schism.validation/v1"), &json!(4))
    );
    assert_eq!(document["problems"][0]["line"], 1);
}

#[test]
fn a_program_that_is_absent_need_only_be_where_it_is_performed() {
    let workshop = Workshop::new();
    let mut absent = script("absent", "true");
    absent["provider"]["path"] = json!("/nowhere/program");
    let line = workshop.experiment(json!({"method": [script("never", "touch never"), absent]}));
    let told = "method[1].provider.path: a program of this machine was expected here, found \
                `/nowhere/program` (step `absent`)";
    for (line, code, severity) in [
        ("validate experiment.json", 0, "warning: "),
        ("validate experiment.json --compat", 2, ""),
        (line, 2, ""),
    ] {
        let ended = workshop.run(line);
        assert_eq!(ended.code, Some(code), "{line}: {ended:?}");
        assert!(ended.stderr.contains(&format!(": {severity}{told}")), "{line}: {ended:?}");
    }
    // Here nobody is asked: who is not there is no reason to refuse the file.
    let ended = workshop.run(&format!("{line} --controller unix:/nowhere/controller"));
    assert!(ended.stderr.contains(&format!(": warning: {told}")), "{ended:?}");
    assert!(!ended.stderr.contains("told above"), "{ended:?}");
    assert!(!workshop.path("never").exists());
}

#[test]
fn what_is_read_is_not_written_over_and_nothing_is_written_twice() {
    let workshop = Workshop::new();
    let line = workshop.experiment(json!({"method": [script("never", "touch never")]}));
    let experiment = workshop.read("experiment.json");
    workshop.write("values.json", "{}");
    workshop.write("journal-2.json", &experiment);
    symlink("experiment.json", workshop.path("soft")).unwrap();
    symlink("missing", workshop.path("dangling")).unwrap();
    fs::hard_link(workshop.path("experiment.json"), workshop.path("hard")).unwrap();
    for (more, expected) in [
        (
            "--journal experiment.json",
            "cannot write the journal to experiment.json: the experiment is read from it",
        ),
        ("--journal ./experiment.json", "it is the same file as experiment.json"),
        ("--junit experiment.json", "cannot write the suite of tests to experiment.json"),
        (
            "--events soft",
            "cannot write the events to soft: it is the same file as experiment.json",
        ),
        (
            "--events hard",
            "cannot write the events to hard: it is the same file as experiment.json",
        ),
        ("--journal hard", "cannot write the journal to hard: it is the same file"),
        ("--var-file values.json --events values.json", "values are read from it"),
        (
            "--journal new --events new",
            "cannot write the events to new: the journal is written there",
        ),
        ("--junit new --events ./new", "the suite of tests is written there"),
        ("--events missing --junit dangling", "it is the same file as dangling"),
        ("--events journal.json", "the journal is written there"),
        ("--events journal.json.tail", "the journal is written there"),
        (
            "--junit new --journal new.new",
            "cannot write the suite of tests to new.new: the journal is written there",
        ),
        ("--junit new --events new.new", "the suite of tests is written there"),
        ("journal-2.json", "cannot write the journal to journal-2.json: the experiment is read"),
    ] {
        for manner in ["", "--compat"] {
            let ended = workshop.run(&format!("{line} {manner} {more}"));
            assert_eq!(ended.code, Some(2), "{more}: {ended:?}");
            assert!(ended.stderr.contains(expected), "{more}: {ended:?}");
        }
    }
    assert_eq!(workshop.read("experiment.json"), experiment);
    assert_eq!(workshop.read("journal-2.json"), experiment);
    for made in ["never", "new", "missing", "journal.json", "journal-1.json"] {
        assert!(!workshop.path(made).exists(), "{made}");
    }
    // A run of a controller has no journal here yet.
    let ended = workshop.run("run --resume-rollbacks abcdef012345 --junit journal.json");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("the journal is written there"), "{ended:?}");
    // An experiment with the name that journals have by themselves.
    workshop.write("journal.json", &experiment);
    let ended = workshop.run("run journal.json");
    assert_eq!((ended.code, workshop.read("journal.json")), (Some(2), experiment), "{ended:?}");
    let ended = workshop.run("run journal.json --journal other.json --events /dev/null");
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_pipe_that_nobody_writes_is_not_waited_for() {
    let workshop = Workshop::new();
    let line = workshop.experiment(json!({"method": [script("never", "touch never")]}));
    nix::unistd::mkfifo(&workshop.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for line in [
        "run pipe",
        "validate pipe",
        &format!("{line} --var-file pipe"),
        &format!("{line} --settings pipe"),
        &format!("{line} --config pipe"),
    ] {
        let ended = workshop.run(line);
        assert!(ended.code.is_some_and(|code| code != 0), "{line}: {ended:?}");
        assert!(ended.stderr.contains("it is a pipe that nobody writes"), "{line}: {ended:?}");
    }
    assert!(!workshop.path("never").exists());
    // Who is written to is read.
    let text = workshop.read("experiment.json").replace("never", "done");
    let pipe = workshop.path("pipe");
    // It waits for whoever reads.
    std::thread::spawn(move || fs::write(pipe, text));
    let ended = workshop.run("run pipe");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(workshop.path("done").exists());
}

#[test]
fn what_a_command_reads_for_itself_is_not_written_over() {
    let workshop = Workshop::new();
    let line = workshop.experiment(json!({"method": [script("never", "touch never")]}));
    let settings = "[controller]\nkey = \"of-file.key\"\n\n[zeebe]\n\
                    gateways = [\"http://127.0.0.1:1\"]\nca = \"zeebe.pem\"\n";
    workshop.write("c.toml", settings);
    for directory in [".config/schism", ".chaostoolkit"] {
        fs::create_dir_all(workshop.path(directory)).unwrap();
    }
    workshop.write(".config/schism/schism.toml", "# of this user\n");
    workshop.write(".chaostoolkit/settings.yaml", "# of the original\n");
    for name in ["ca.pem", "own.key", "of-file.key", "zeebe.pem"] {
        workshop.write(name, "PEM");
    }
    fs::hard_link(workshop.path("c.toml"), workshop.path("hard.toml")).unwrap();
    let settings_said = "the settings are read from it";
    let credentials_said = "a certificate, a key or a secret is read from it";
    for (read, written, said) in [
        ("--config c.toml", "c.toml", settings_said),
        ("--config c.toml", "hard.toml", settings_said),
        ("", ".config/schism/schism.toml", settings_said),
        ("--compat", ".chaostoolkit/settings.yaml", settings_said),
        ("--ca ca.pem", "ca.pem", credentials_said),
        ("--certificate ca.pem", "ca.pem", credentials_said),
        ("--key own.key", "own.key", credentials_said),
        ("--config c.toml", "of-file.key", credentials_said),
        ("--config c.toml", "zeebe.pem", credentials_said),
    ] {
        let before = workshop.read(written);
        for flag in ["--events", "--journal", "--junit"] {
            let ended = workshop.run(&format!("{line} {read} {flag} {written}"));
            assert_eq!(ended.code, Some(2), "{read} {flag} {written}: {ended:?}");
            assert!(ended.stderr.contains(said), "{read} {flag} {written}: {ended:?}");
            assert_eq!(workshop.read(written), before, "{read} {flag}");
        }
    }
    assert!(!workshop.path("never").exists());
}

#[test]
fn a_pipe_for_events_that_nobody_reads_holds_no_run_up() {
    let workshop = Workshop::new();
    let line = workshop.experiment(json!({"method": [script("step", "true")]}));
    nix::unistd::mkfifo(&workshop.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ended = workshop.run(&format!("{line} --events pipe"));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let said =
        "cannot write the events to pipe: it is a pipe that nobody reads\n  hint: begin to read";
    assert!(ended.stderr.contains(said), "{ended:?}");
    assert!(!workshop.path("journal.json").exists());
}

#[test]
fn where_nothing_can_be_written_is_told_by_name_before_anything_runs() {
    let workshop = Workshop::new();
    let line = workshop.experiment(json!({"method": [script("never", "touch never")]}));
    for (more, expected) in [
        ("--journal no/where.json", "cannot write the journal to no/where.json: No such file"),
        ("--junit no/where.xml", "cannot write the suite of tests to no/where.xml: No such file"),
        ("--events no/where", "cannot write the events to no/where: No such file"),
        (
            "--junit /dev/null",
            "cannot write the suite of tests to /dev/null: /dev/null is no regular",
        ),
    ] {
        let ended = workshop.run(&format!("{line} {more}"));
        assert_eq!(ended.code, Some(2), "{more}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{more}: {ended:?}");
    }
    assert!(!workshop.path("never").exists());
}
