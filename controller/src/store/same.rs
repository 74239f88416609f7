//! Every store does the same.

use proptest::{collection::vec, prelude::*};

use super::{
    Change, ChangesError, Expected, Id, Key, Kind, Memory, PutError, Record, Revision, Sqlite,
    Store,
};

/// Few, so that they are forgotten within a case.
pub(super) const TOMBSTONES: u64 = 2;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Get(Key),
    List(Kind),
    Put(Key, Expected, Vec<u8>),
    Delete(Key, Revision),
    Since(Revision),
    Reopen,
}

#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    Record(Option<Record>),
    Records((Revision, Vec<Record>)),
    Written(Result<Revision, Option<Revision>>),
    Gone,
    Changes(Result<Vec<Change>, Revision>),
}

pub(super) async fn see(store: &dyn Store, step: Step) -> Option<Seen> {
    let written = |result| match result {
        Ok(revision) => Seen::Written(Ok(revision)),
        Err(PutError::Conflict { found }) => Seen::Written(Err(found)),
        Err(PutError::Gone) => Seen::Gone,
        Err(PutError::Store(error)) => panic!("{error}"),
    };
    Some(match step {
        Step::Get(key) => Seen::Record(store.get(key).await.unwrap()),
        Step::List(kind) => Seen::Records(store.list(kind).await.unwrap()),
        Step::Put(key, expected, value) => written(store.put(key, expected, value).await),
        Step::Delete(key, at) => written(store.delete(key, at).await),
        Step::Since(since) => Seen::Changes(match store.changes_since(since).await {
            Ok(changes) => Ok(changes),
            Err(ChangesError::Compacted { kept }) => Err(kept),
            Err(ChangesError::Store(error)) => panic!("{error}"),
        }),
        Step::Reopen => return None,
    })
}

fn key() -> impl Strategy<Value = Key> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    (kind, "[ab]").prop_map(|(kind, id)| Key { kind, id: Id::new(&id).unwrap() })
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let revision = || (0u64..24).prop_map(Revision);
    let expected = prop_oneof![
        Just(Expected::Absent),
        Just(Expected::Never),
        Just(Expected::Any),
        revision().prop_map(Expected::At)
    ];
    let step = prop_oneof![
        2 => key().prop_map(Step::Get),
        1 => prop::sample::select(Kind::ALL.to_vec()).prop_map(Step::List),
        6 => (key(), expected, vec(any::<u8>(), 0..4)).prop_map(|(k, e, v)| Step::Put(k, e, v)),
        6 => (key(), revision()).prop_map(|(key, at)| Step::Delete(key, at)),
        2 => revision().prop_map(Step::Since),
        1 => Just(Step::Reopen),
    ];
    vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_and_memory_do_the_same(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("store");
            let memory = Memory::keeping(TOMBSTONES);
            let mut sqlite = Sqlite::open_keeping(path.clone(), TOMBSTONES).await.unwrap();
            let mut last = Revision(0);
            for mut step in steps {
                // A delete of what stands there is rare by chance alone.
                if let Step::Delete(key, at) = &mut step
                    && at.0 % 4 != 0
                    && let Some(found) = memory.get(key.clone()).await.unwrap()
                {
                    *at = found.revision;
                }
                if matches!(step, Step::Reopen) {
                    sqlite.close().await;
                    sqlite = Sqlite::open_keeping(path.clone(), TOMBSTONES).await.unwrap();
                }
                let seen = see(&memory, step.clone()).await;
                prop_assert_eq!(&see(&sqlite, step.clone()).await, &seen, "{:?}", step);
                if let Some(Seen::Written(Ok(revision))) = seen {
                    prop_assert_eq!(revision, Revision(last.0 + 1));
                    last = revision;
                }
                prop_assert_eq!(*memory.watch().borrow(), last);
                prop_assert_eq!(*sqlite.watch().borrow(), last);
            }
            sqlite.close().await;
            Ok(())
        })?;
    }
}
