//! Which schema a file has, and the steps from each one to the next.
//! It knows no fact: what the tables are for stands in the migrations.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::failpoint;
use crate::ledger::LedgerError;

/// Each brings the schema from its index to the next number. Only ever appended to.
const MIGRATIONS: [&str; 3] = [
    include_str!("../schema/0001_deliveries.sql"),
    include_str!("../schema/0002_runs.sql"),
    include_str!("../schema/0003_pauses.sql"),
];

/// The first schema that knows runs.
pub(super) const RUNS: u32 = 2;

/// The first schema that knows pauses and former verdicts.
pub(super) const PAUSES: u32 = 3;

pub(in crate::ledger) const KNOWN: u32 = MIGRATIONS.len() as u32;

/// Tells our files from other SQLite files: `trgd`.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"trgd");

/// The number of the file's schema; 0 for an empty file.
pub(super) fn version(
    connection: &Connection,
    path: &Path,
    failed: impl Fn(rusqlite::Error) -> LedgerError,
) -> Result<u32, LedgerError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let tables: u32 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(&failed)?;
    if tables == 0 {
        return Ok(0);
    }
    if number("application_id").map_err(&failed)? != i64::from(APPLICATION_ID) {
        return Err(LedgerError::NotALedger {
            path: path.to_owned(),
        });
    }
    let found = number("user_version").map_err(&failed)?;
    let found = u32::try_from(found).map_err(|error| LedgerError::damaged(path, error))?;
    if found > KNOWN {
        return Err(LedgerError::Newer {
            path: path.to_owned(),
            found,
            known: KNOWN,
            written_by: written_by(connection),
        });
    }
    Ok(found)
}

fn written_by(connection: &Connection) -> String {
    let version = connection
        .query_row("SELECT written_by FROM meta", [], |row| row.get(0))
        .optional();
    // A later schema may keep it elsewhere.
    version
        .ok()
        .flatten()
        .unwrap_or_else(|| "another version".to_owned())
}

pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    apply(&MIGRATIONS, connection, || {
        failpoint::pass(failpoint::MIGRATION);
    })
}

/// Brings the schema up to date, each step in a transaction of its own.
fn apply(
    migrations: &[&str],
    connection: &mut Connection,
    before_commit: impl Fn(),
) -> rusqlite::Result<()> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (number, migration) in (1..).zip(migrations).skip(found as usize) {
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        step.execute_batch(migration)?;
        step.execute(
            "INSERT INTO meta (only_row, written_by, position) VALUES (1, ?1, 0)
             ON CONFLICT DO UPDATE SET written_by = ?1",
            [concat!("triggerd ", env!("CARGO_PKG_VERSION"))],
        )?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.pragma_update(None, "user_version", number)?;
        before_commit();
        step.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ledger::sqlite::Sqlite;
    use crate::ledger::tests::kept::{copy_into, files_of, rows_of};

    #[test]
    fn killed_in_the_middle_of_a_migration_it_has_every_row_and_is_migrated_later() {
        let before = files_of(KNOWN);
        let rows = rows_of(&before);
        let folder = tempfile::tempdir().unwrap();
        let killed = tempfile::tempdir().unwrap();
        copy_into(&before, folder.path());
        let mut next = MIGRATIONS.to_vec();
        next.push(
            "ALTER TABLE deliveries ADD COLUMN cost INTEGER;
             UPDATE deliveries SET cost = 1, detail = NULL;
             DELETE FROM attempts;",
        );

        let mut connection = Connection::open(folder.path().join("ledger.db")).unwrap();
        // What would be on the disk if the process died here.
        let die = || {
            connection_files(folder.path()).for_each(|name| {
                fs::copy(folder.path().join(&name), killed.path().join(&name)).unwrap();
            });
        };
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .unwrap();
        // So small a cache that unfinished work reaches the disk as well.
        connection.pragma_update(None, "cache_size", 1).unwrap();
        apply(&next, &mut connection, die).unwrap();
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        assert_eq!(version, Ok(KNOWN + 1));

        assert_eq!(rows_of(&killed.path().join("ledger.db")), rows);
        drop(Sqlite::open(killed.path()).unwrap());
        assert_eq!(rows_of(&killed.path().join("ledger.db")), rows);
        let mut connection = Connection::open(killed.path().join("ledger.db")).unwrap();
        apply(&next, &mut connection, || {}).unwrap();
    }

    fn connection_files(folder: &Path) -> impl Iterator<Item = String> {
        let names = ["ledger.db", "ledger.db-wal"].map(str::to_owned);
        let folder = folder.to_owned();
        names.into_iter().filter(move |it| folder.join(it).exists())
    }
}
