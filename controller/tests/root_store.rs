//! The store on a disk that is full or read-only. Needs root, to mount one, and fails without.
#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::{path::Path, process::Command};

use controller::store::{
    Attempted, Expected, Id, Key, Kind, PutError, Sqlite, Store as _, StoreError, incarnate,
};

/// A disk of 1 MiB that goes with the handle.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount() -> Self {
        let directory = tempfile::tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=1m,mode=700", "schism-test"], directory.path());
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], self.0.path());
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    let status = Command::new(program).args(arguments).arg(path).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let disk = Disk::mount();
    let store = Sqlite::open(disk.path().join("store")).await.unwrap();
    let key = |number: u32| Key { kind: Kind::Intent, id: Id::new(&number.to_string()).unwrap() };
    let mut written = 0;
    let error = loop {
        match store.put(key(written), Expected::Absent, vec![7; 40_000]).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    let full = |attempted| PutError::Store(StoreError::Full { attempted }).to_string();
    assert_eq!(error.to_string(), full(Attempted::Write));
    assert!(written > 0);
    // It can be read, again and again, and says the same to whoever tries again.
    for _ in 0..2 {
        let (_, records) = store.list(Kind::Intent).await.unwrap();
        assert_eq!(records.len(), usize::try_from(written).unwrap());
        let again = store.put(key(written), Expected::Absent, vec![7; 40_000]).await.unwrap_err();
        assert_eq!(again.to_string(), full(Attempted::Write));
    }
    store.close().await;

    // After a restart as well.
    let store = Sqlite::open(disk.path().join("store")).await.unwrap();
    let (_, records) = store.list(Kind::Intent).await.unwrap();
    assert_eq!(records.len(), usize::try_from(written).unwrap());
    store.close().await;
}

#[tokio::test]
async fn a_read_only_disk_is_told_and_left_untouched() {
    let disk = Disk::mount();
    let remount = |how: &str| run("mount", &["-o", &format!("remount,{how}")], disk.path());
    remount("ro");
    let refused = Sqlite::open(disk.path().join("store")).await.unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { attempted: Attempted::Open }), "{refused}");

    remount("rw");
    let store = Sqlite::open(disk.path().join("store")).await.unwrap();
    let first = incarnate(&store).await.unwrap();
    store.close().await;
    remount("ro");
    let refused = Sqlite::open(disk.path().join("store")).await.unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { attempted: Attempted::Open }), "{refused}");
    remount("rw");
    let store = Sqlite::open(disk.path().join("store")).await.unwrap();
    assert_eq!(incarnate(&store).await.unwrap().epoch, first.epoch + 1);
    store.close().await;
}
