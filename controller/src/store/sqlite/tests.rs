use std::{collections::BTreeSet, fs};

use super::*;
use crate::store::{Id, incarnate};

/// A store as the first schema had it, with one record of each kind and a tombstone.
const FIRST: &str = include_str!("first.sql");

fn key(name: &str) -> Key {
    Key { kind: Kind::Intent, id: Id::new(name).unwrap() }
}

fn files(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Sqlite::open(&path).await.unwrap();
    let life = incarnate(&store).await.unwrap();
    let mut watch = store.watch();
    watch.mark_unchanged();
    let at = store.put(key("a"), Expected::Absent, b"1".to_vec()).await.unwrap();
    watch.changed().await.unwrap();
    assert_eq!((at, *watch.borrow()), (Revision(2), Revision(2)));
    store.close().await;

    let store = Sqlite::open(&path).await.unwrap();
    assert_eq!(*store.watch().borrow(), at);
    let record = Record { key: key("a"), revision: at, value: b"1".to_vec() };
    assert_eq!(store.get(key("a")).await.unwrap(), Some(record));
    let next = incarnate(&store).await.unwrap();
    assert_eq!((next.controller, next.epoch), (life.controller, life.epoch + 1));
    store.close().await;
    // Nothing but the store and its lock, which only their owner can read.
    assert_eq!(files(directory.path()), ["store", "store.lock"].map(str::to_owned).into());
    for name in ["store", "store.lock"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_second_one_is_refused_and_the_first_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Sqlite::open(&path).await.unwrap();
    assert!(matches!(Sqlite::open(&path).await, Err(StoreError::Held { .. })));
    // Not even without the lock file.
    let stranger = Connection::open(&path).unwrap();
    let refused = stranger.query_row("SELECT count(*) FROM record", [], |_| Ok(())).unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
    store.put(key("a"), Expected::Absent, vec![]).await.unwrap();
    store.close().await;
    Sqlite::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_store_of_the_first_schema_is_brought_to_this_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    Connection::open(&path).unwrap().execute_batch(FIRST).unwrap();
    let store = Sqlite::open(&path).await.unwrap();
    let (revision, intents) = store.list(Kind::Intent).await.unwrap();
    let intent = Record { key: key("00000000000a"), revision: Revision(3), value: vec![1, 2] };
    assert_eq!((revision, intents), (Revision(5), vec![intent]));
    let changes = store.changes_since(Revision(3)).await.unwrap();
    let gone = Change { key: key("00000000000b"), revision: Revision(5), value: None };
    assert_eq!(changes.last(), Some(&gone));
    assert_eq!(incarnate(&store).await.unwrap().epoch, 8);
}

#[tokio::test]
async fn a_newer_or_foreign_file_is_left_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let newer = directory.path().join("newer");
    Connection::open(&newer).unwrap().execute_batch(FIRST).unwrap();
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let foreign = directory.path().join("foreign");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    let text = directory.path().join("text");
    fs::write(&text, "no database at all, but long enough to look at".repeat(30)).unwrap();
    for path in [newer, foreign, text] {
        let before = fs::read(&path).unwrap();
        let refused = Sqlite::open(&path).await.unwrap_err();
        match path.file_name().unwrap().to_str().unwrap() {
            "newer" => assert!(matches!(refused, StoreError::Newer { found: 99, .. })),
            _ => assert!(matches!(refused, StoreError::Foreign { .. }), "{refused}"),
        }
        assert_eq!(fs::read(&path).unwrap(), before, "{refused}");
    }
    assert!(!files(directory.path()).iter().any(|name| name.contains("-wal")));
}

#[tokio::test]
async fn a_full_store_says_so_and_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path().join("store")).await.unwrap();
    let first = store.put(key("a"), Expected::Absent, vec![1]).await.unwrap();
    let limit = |records: &mut Records, _: &watch::Sender<Revision>| {
        let limited = records.connection.execute_batch("PRAGMA max_page_count = 1");
        limited.map_err(opening(Path::new("")))
    };
    store.ask(Attempted::Write, limit).await.unwrap();
    let refused = store.put(key("b"), Expected::Absent, vec![0; 100_000]).await;
    assert!(matches!(refused, Err(PutError::Store(StoreError::Full { .. }))), "{refused:?}");
    assert_eq!(*store.watch().borrow(), first);
    assert_eq!(store.list(Kind::Intent).await.unwrap().1.len(), 1);
}

#[tokio::test]
async fn no_directory_is_said() {
    let refused = Sqlite::open("/nonexistent/store").await.unwrap_err();
    assert!(matches!(refused, StoreError::Open { .. }), "{refused}");
    assert!(refused.to_string().contains("/nonexistent/store"), "{refused}");
}

#[tokio::test]
async fn a_dropped_request_does_its_work() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path().join("store")).await.unwrap();
    let mut put = store.put(key("a"), Expected::Absent, vec![]);
    // One poll sends it.
    assert!(futures_once(&mut put).await.is_none());
    drop(put);
    assert!(store.get(key("a")).await.unwrap().is_some());
}

/// Polls once.
async fn futures_once<T>(future: &mut Pending<'_, T>) -> Option<T> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
