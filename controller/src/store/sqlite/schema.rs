//! The schemas that stores have had, and how one becomes the next.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::trouble::opening;
use crate::store::StoreError;

/// One for each schema, in order: the first makes schema 1 out of nothing. None is ever changed once it
/// was released.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/1.sql"),
    include_str!("../migrations/2.sql"),
    include_str!("../migrations/3.sql"),
];

/// "Schi": a file with another mark is somebody else's.
const MARK: u32 = 0x5363_6869;

/// Brings a store that is open for this process alone to the last of `migrations`, each in a transaction of
/// its own. A newer store and somebody else's database are left as they are.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let number = |name: &str| {
        let number = connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        number.map_err(opening(path))
    };
    let (found, mark) = (number("user_version")?, number("application_id")?);
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let objects: u32 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(opening(path))?;
    let empty = objects == 0 && found == 0 && mark == 0;
    if mark != MARK && !empty {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    for (to, migration) in (1..).zip(migrations).skip_while(|(to, _)| *to <= found) {
        step(connection, to, migration).map_err(|error| {
            let told = opening(path)(error);
            if let StoreError::Database { source, .. } = told {
                StoreError::Migrate { path: path.to_owned(), to, source }
            } else {
                told
            }
        })?;
    }
    Ok(())
}

fn step(connection: &mut Connection, to: u32, migration: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(migration)?;
    transaction.pragma_update(None, "application_id", MARK)?;
    transaction.pragma_update(None, "user_version", to)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE one (x INTEGER) STRICT; INSERT INTO one VALUES (7);";
    const SECOND: &str = "ALTER TABLE one ADD COLUMN y INTEGER; UPDATE one SET y = x + 1;";

    fn version(connection: &Connection) -> u32 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn steps_are_taken_in_order_and_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        let path = Path::new("x");
        migrate(&mut connection, path, &[FIRST]).unwrap();
        migrate(&mut connection, path, &[FIRST, SECOND]).unwrap();
        migrate(&mut connection, path, &[FIRST, SECOND]).unwrap();
        let sum: i64 = connection.query_row("SELECT x + y FROM one", [], |row| row.get(0)).unwrap();
        assert_eq!((sum, version(&connection)), (15, 2));
        let newer = migrate(&mut connection, path, &[FIRST]);
        assert!(matches!(newer, Err(StoreError::Newer { found: 2, known: 1, .. })));
    }

    #[test]
    fn a_step_that_fails_is_taken_back() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = "UPDATE one SET x = 8; UPDATE nothing SET x = 1;";
        let failed = migrate(&mut connection, Path::new("x"), &[FIRST, broken]);
        assert!(matches!(failed, Err(StoreError::Migrate { to: 2, .. })));
        let x: i64 = connection.query_row("SELECT x FROM one", [], |row| row.get(0)).unwrap();
        assert_eq!((x, version(&connection)), (7, 1));
    }

    #[test]
    fn another_database_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
        let refused = migrate(&mut connection, Path::new("x"), MIGRATIONS);
        assert!(matches!(refused, Err(StoreError::Foreign { .. })));
        assert_eq!(version(&connection), 0);
    }
}
