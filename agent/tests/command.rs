//! `schism-agent` as it is typed, as far as that needs no privilege.

use std::process::Command;

/// One sentence for people, also where the environment asks for more.
#[test]
fn why_it_does_not_start_is_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["somebody".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    std::fs::write(file("ca.pem"), certificate.pem()).unwrap();
    std::fs::write(file("certificate.pem"), certificate.pem()).unwrap();
    std::fs::write(file("key.pem"), key.serialize_pem()).unwrap();
    for certificate in ["certificate.pem", "nowhere.pem"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_schism-agent"));
        command.args(["--controller", "localhost:1", "--node", "n1"]);
        let files = [("--ca", "ca.pem"), ("--certificate", certificate), ("--key", "key.pem")];
        for (flag, name) in files {
            command.arg(flag).arg(file(name));
        }
        command.env("RUST_BACKTRACE", "1").env("RUST_LIB_BACKTRACE", "1");
        let ended = command.output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{certificate}: {ended:?}");
        let said = String::from_utf8(ended.stderr).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 1, "{certificate}: {said}");
        assert!(lines[0].starts_with("schism-agent: no controller to dial: "), "{said}");
    }
}
