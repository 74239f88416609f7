use std::os::unix::fs::PermissionsExt;

use super::*;

fn fresh() -> (tempfile::TempDir, Brake, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("agent.sock");
    let file = directory.path().join("halt");
    (directory, Brake::beside(&socket), file)
}

fn reason(brake: &Brake) -> String {
    match brake.read() {
        Standing::On(reason) => reason,
        Standing::Off => panic!("off"),
    }
}

#[test]
fn what_is_put_on_stands_until_it_is_taken_off() {
    let (directory, brake, file) = fresh();
    assert_eq!(brake.read(), Standing::Off);
    brake.put_on("storm").unwrap();
    brake.put_on("a second storm").unwrap();
    assert_eq!(reason(&Brake::beside(&directory.path().join("agent.sock"))), "a second storm");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing beside it");
    brake.take_off().unwrap();
    brake.take_off().unwrap();
    assert_eq!(brake.read(), Standing::Off);
}

#[test]
fn whatever_stands_in_its_place_counts_and_has_a_reason() {
    type Put = fn(&Path);
    let table: [(&str, Put, &str); 6] = [
        ("an empty file", |path| fs::write(path, "").unwrap(), "is there"),
        ("blanks", |path| fs::write(path, " \n").unwrap(), "is there"),
        ("no text", |path| fs::write(path, [0xff, 0xfe]).unwrap(), "\u{fffd}"),
        ("a directory", |path| fs::create_dir(path).unwrap(), "cannot be read"),
        ("a link", |path| std::os::unix::fs::symlink("/nowhere", path).unwrap(), "cannot be read"),
        (
            "a pipe",
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR).unwrap(),
            "is there",
        ),
    ];
    for (name, put, expected) in table {
        let (_directory, brake, file) = fresh();
        put(&file);
        let found = reason(&brake);
        assert!(found.contains(expected), "{name}: {found}");
    }
}

#[test]
fn a_long_file_is_read_no_further_than_a_reason_goes() {
    let (_directory, brake, file) = fresh();
    fs::write(&file, "x".repeat(1 << 20)).unwrap();
    assert_eq!(reason(&brake).len(), LONGEST_REASON);
}

#[test]
fn what_cannot_be_written_is_said_and_leaves_nothing() {
    let (directory, brake, _) = fresh();
    let gone = directory.path().to_owned();
    drop(directory);
    let error = brake.put_on("storm").unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
    assert!(!gone.exists());
    // In the place of the file is what no file can replace: it is on, and stays so.
    let (_directory, brake, file) = fresh();
    fs::create_dir(&file).unwrap();
    brake.put_on("storm").unwrap();
    assert!(brake.take_off().is_err());
    assert!(!file.with_extension("new").exists());
}

#[tokio::test]
async fn a_change_by_hand_is_told_and_of_other_files_nothing() {
    let (directory, brake, file) = fresh();
    let mut watch = brake.watch().unwrap().unwrap();
    for name in ["agent.sock", "halt.new", "halted"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let limit = std::time::Duration::from_secs(10);
    let mut soon = async || tokio::time::timeout(limit, watch.changed()).await.unwrap();
    fs::write(&file, "storm").unwrap();
    soon().await.unwrap();
    fs::remove_file(&file).unwrap();
    while brake.read() != Standing::Off {
        soon().await.unwrap();
    }
    drop(directory);
    while soon().await.is_ok() {}
}
