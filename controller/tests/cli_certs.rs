//! `schism certs`: an authority in a directory, and what it signs. Whether others take it is shown by
//! real handshakes.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod cli;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use cli::{Ended, ended, schism};
use link::{AcceptError, Door, Files, Issued, Material, Refusal, ServerName};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A line with the directory of a test.
async fn certs(directory: &Path, line: &str) -> Ended {
    let mut command = schism(&format!("certs {line}"));
    ended(command.env("SCHISM_CERTS_DIR", directory).spawn().unwrap()).await
}

async fn done(directory: &Path, line: &str) -> String {
    let ended = certs(directory, line).await;
    assert_eq!(ended.code, 0, "{line}: {ended:?}");
    ended.stdout
}

async fn document(directory: &Path, line: &str) -> Value {
    serde_json::from_str(&done(directory, &format!("{line} -o json")).await).unwrap()
}

async fn authority() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    done(directory.path(), "init").await;
    directory
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn keys_are_secret_and_nothing_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("new/certs");
    let made = document(&dir, "init --name ours").await;
    assert_eq!((&made["schema"], &made["name"]), (&"schism.authority/v1".into(), &"ours".into()));
    assert_eq!(fs::read_to_string(dir.join("issued")).unwrap(), "");
    assert_eq!((mode(&dir.join("ca.key")), mode(&dir.join("ca.pem"))), (0o600, 0o644));

    done(&dir, "issue agent n1").await;
    assert_eq!((mode(&dir.join("n1.key")), mode(&dir.join("n1.pem"))), (0o600, 0o644));
    let read = || {
        let names = ["ca.pem", "ca.key", "issued", "n1.pem", "n1.key"];
        names.map(|name| fs::read_to_string(dir.join(name)).unwrap())
    };
    let before = read();
    for line in ["init", "issue agent n1", "issue user n1 --role viewer"] {
        let refused = certs(&dir, line).await;
        assert_eq!(refused.code, 4, "{line}: {refused:?}");
        assert!(refused.stderr.contains("exists\n  hint: nothing is overwritten"), "{refused:?}");
        assert!(!refused.stderr.contains("PRIVATE"), "{refused:?}");
    }
    assert_eq!(read(), before);

    // The key of another name stands in the way: neither file of the new certificate stays.
    fs::write(dir.join("n2.pem"), "").unwrap();
    assert_eq!(certs(&dir, "issue agent n2").await.code, 4);
    assert!(!dir.join("n2.key").exists());
    assert_eq!(fs::read_to_string(dir.join("issued")).unwrap(), before[2]);
}

#[tokio::test]
async fn wrong_usage_is_told() {
    let directory = authority().await;
    let dir = directory.path();
    let table = [
        ("issue agent a/b", 2, "a node's name has letters"),
        ("issue agent ..%2f", 2, "a node's name has letters"),
        ("issue agent", 2, "required arguments"),
        ("issue agent ca", 2, "the authority's own files"),
        ("issue controller c1", 2, "--host <HOST>"),
        ("issue controller c1 --host a:1", 2, "without a port"),
        ("issue user ada", 2, "--role <ROLE>"),
        ("issue user ada --role root", 2, "viewer, operator, capturer, admin"),
        ("issue agent n1 --days 0", 2, "from 1 to 3650"),
        ("issue agent n1 --days 3651", 2, "from 1 to 3650"),
        ("init --name a=b", 2, "an authority's name has"),
        ("revoke nobody", 5, "no certificate that is admitted"),
        ("issue agent n1 --out nowhere", 5, "nowhere/n1.key: No such file"),
    ];
    for (line, code, said) in table {
        let ended = certs(dir, line).await;
        assert_eq!(ended.code, code, "{line}: {ended:?}");
        assert!(ended.stderr.contains(said), "{line}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{line}");
    }
    assert_eq!(fs::read_to_string(dir.join("issued")).unwrap(), "");
    assert_eq!(fs::read_dir(dir).unwrap().count(), 3);
}

#[tokio::test]
async fn without_an_authority_the_hint_is_to_make_one() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("nowhere");
    for dir in [directory.path(), &nowhere] {
        for line in ["issue agent n1", "list", "revoke n1"] {
            let ended = certs(dir, line).await;
            assert_eq!(ended.code, 5, "{line}: {ended:?}");
            let hint = format!("hint: make one with: schism certs init --dir {}", dir.display());
            assert!(ended.stderr.contains(&hint), "{line}: {}", ended.stderr);
        }
    }
    let other = authority().await;
    let damaged = authority().await;
    let key = damaged.path().join("ca.key");
    fs::copy(other.path().join("ca.key"), &key).unwrap();
    let ended = certs(damaged.path(), "issue agent n1").await;
    assert!(ended.stderr.contains("ca.key is not the key of ca.pem"), "{ended:?}");
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n").unwrap();
    let ended = certs(damaged.path(), "issue agent n1").await;
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(!ended.stderr.contains("c2VjcmV0"), "{ended:?}");
}

#[tokio::test]
async fn what_was_issued_is_listed_until_it_is_revoked() {
    let directory = authority().await;
    let dir = directory.path();
    assert_eq!(done(dir, "list").await, "no certificate was issued\n");
    done(dir, "issue agent n1").await;
    let user = document(dir, "issue user ada --role operator --days 1").await;
    assert_eq!(user["schema"], "schism.certificate/v1");
    assert_eq!(user["principal"], "schism://user/ada/operator");
    let fingerprint = user["fingerprint"].as_str().unwrap();
    let issued = fs::read_to_string(dir.join("issued")).unwrap();
    let line =
        format!("{fingerprint} schism://user/ada/operator {}\n", user["expires"].as_str().unwrap());
    assert_eq!(issued.lines().count(), 2);
    assert!(issued.ends_with(&line), "{issued}");

    let table = done(dir, "list").await;
    let (title, rows) = table.split_once('\n').unwrap();
    assert_eq!(
        title.split_whitespace().collect::<Vec<_>>(),
        ["PRINCIPAL", "FINGERPRINT", "EXPIRES", "STANDING"]
    );
    assert!(rows.starts_with("schism://agent/n1           "), "{table}");
    assert!(rows.contains(&format!("schism://user/ada/operator  {}  ", &fingerprint[..16])));
    assert_eq!(table.matches("admitted\n").count(), 2, "{table}");
    assert_eq!(done(dir, "list -o name").await.lines().nth(1), Some(fingerprint));

    // What somebody else wrote into the file stays, and is told.
    fs::write(dir.join("issued"), format!("# ours\n{issued}junk\n")).unwrap();
    let inode = fs::metadata(dir.join("issued")).unwrap().ino();
    let revoked = document(dir, &format!("revoke {}", &fingerprint[..8])).await;
    assert_eq!(revoked["schema"], "schism.revoked/v1");
    assert_eq!(revoked["certificates"][0]["fingerprint"], fingerprint);
    let left = fs::read_to_string(dir.join("issued")).unwrap();
    assert_eq!(left, format!("# ours\n{}junk\n", issued.replace(&line, "")));
    assert_ne!(fs::metadata(dir.join("issued")).unwrap().ino(), inode);
    assert_eq!(mode(&dir.join("issued")), 0o644);

    let listed = certs(dir, "list -o json").await;
    assert!(listed.stderr.contains("issued:3: names no certificate"), "{listed:?}");
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let standing = |index: usize| {
        let certificate = &listed["certificates"][index];
        (certificate["standing"].as_str().unwrap(), certificate["admitted"].as_bool().unwrap())
    };
    assert_eq!(listed["schema"], "schism.certs/v1");
    assert_eq!((standing(0), standing(1)), (("admitted", true), ("revoked", false)));
    assert_eq!(certs(dir, "revoke ada").await.code, 5);
    assert_eq!(done(dir, "revoke agent/n1").await.lines().count(), 1);
}

#[tokio::test]
async fn commands_at_the_same_time_lose_no_line() {
    let directory = authority().await;
    let dir = directory.path();
    done(dir, "issue agent gone").await;
    let lines: Vec<String> = (0..6)
        .map(|number| format!("issue agent n{number}"))
        .chain(["revoke gone".to_owned()])
        .collect();
    let running = lines.iter().map(|line| {
        let mut command = schism(&format!("certs {line}"));
        command.env("SCHISM_CERTS_DIR", dir).spawn().unwrap()
    });
    for child in running.collect::<Vec<_>>() {
        let ended = ended(child).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let names = fs::read_to_string(dir.join("issued")).unwrap();
    let mut names: Vec<&str> = names.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    names.sort_unstable();
    let expected: Vec<String> = (0..6).map(|number| format!("schism://agent/n{number}")).collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn ends_with_these_certificates_meet_until_one_is_revoked() {
    let directory = authority().await;
    let dir = directory.path();
    done(dir, "issue controller c1 --host schism.example,127.0.0.1 --host ::1").await;
    done(dir, "issue agent n1").await;
    done(dir, "issue user ada --role viewer").await;
    let load = |name: &str| Material::load(&Files::named(dir, name)).unwrap();
    let issued = Arc::new(Issued::load(dir.join("issued")));
    let acceptor = load("c1").acceptor(Door::Agents, Arc::clone(&issued)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let meet = async |client: &str, name: &'static str| {
        let connector = load(client).connector().unwrap();
        let name = ServerName::try_from(name).unwrap();
        let here = async { acceptor.accept(listener.accept().await.unwrap().0).await };
        let (accepted, dialled) = tokio::join!(here, connector.dial(&address, &name));
        (accepted.map(|accepted| accepted.principal.to_string()), dialled.is_ok())
    };
    for name in ["schism.example", "127.0.0.1", "::1"] {
        let (accepted, dialled) = meet("n1", name).await;
        assert_eq!((accepted.unwrap().as_str(), dialled), ("schism://agent/n1", true), "{name}");
    }
    assert!(!meet("n1", "other.example").await.1);
    let user = meet("ada", "127.0.0.1").await.0.unwrap_err();
    assert!(matches!(user, AcceptError::Refused(Refusal::WrongDoor(_))), "{user}");
    done(dir, "revoke n1").await;
    let revoked = meet("n1", "127.0.0.1").await.0.unwrap_err();
    assert!(matches!(revoked, AcceptError::Refused(Refusal::NotIssued { .. })), "{revoked}");
    // The same node again, elsewhere.
    let out = tempfile::tempdir().unwrap();
    done(dir, &format!("issue agent n1 --out {}", out.path().display())).await;
    for name in ["n1.pem", "n1.key"] {
        fs::rename(out.path().join(name), dir.join(name)).unwrap();
    }
    assert!(meet("n1", "127.0.0.1").await.0.is_ok());
}
