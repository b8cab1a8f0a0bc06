//! Which schema the database has, and the steps from each one to the next.
//! It knows no fact: what the tables are for stands in the migrations.

use std::time::Duration;

use super::connection::Connection;
use super::database::Database;
use super::trouble::Trouble;
use crate::failpoint;
use crate::ledger::LedgerError;

/// Each brings the schema from its index to the next number. Only ever appended to.
const MIGRATIONS: [&str; 4] = [
    include_str!("../schema/postgres/0001.sql"),
    include_str!("../schema/postgres/0002.sql"),
    include_str!("../schema/postgres/0003.sql"),
    include_str!("../schema/postgres/0004.sql"),
];

pub(in crate::ledger) const KNOWN: i32 = MIGRATIONS.len() as i32;

/// Whoever brings a schema up to date holds this lock, so that daemons that start together do it one
/// after the other: `trgd`.
const LOCK: i32 = i32::from_be_bytes(*b"trgd");

/// The number of the database's schema; 0 where there is none.
pub(super) fn version(connection: &Connection, database: &Database) -> Result<i32, LedgerError> {
    let failed = |error: Trouble| unreadable(database, &error);
    // Any other program's table of this name would have other columns.
    let rows = connection.query(
        "SELECT to_regclass('schema_version') IS NOT NULL AS is_there",
        &[],
    );
    if !rows.map_err(failed)?[0].get::<_, bool>("is_there") {
        return Ok(0);
    }
    let rows = connection
        .query("SELECT version, written_by FROM schema_version", &[])
        .map_err(failed)?;
    let Some(row) = rows.first() else {
        return Ok(0);
    };
    let found: i32 = row.get("version");
    if found > KNOWN {
        return Err(LedgerError::Newer {
            path: database.path(),
            found: found.unsigned_abs(),
            known: KNOWN.unsigned_abs(),
            written_by: row.get("written_by"),
        });
    }
    Ok(found)
}

/// A new index over the tables of years takes its time, and so does another daemon that makes it.
const LONGEST: Duration = Duration::from_secs(3600);

/// Brings the schema up to date, in one transaction.
pub(super) fn migrate(connection: &Connection, database: &Database) -> Result<(), LedgerError> {
    if version(connection, database)? == KNOWN {
        return Ok(());
    }
    let failed = |error: Trouble| LedgerError::NotPrepared {
        path: database.path(),
        cause: error.to_string(),
        way_out: error.way_out().to_owned(),
    };
    connection
        .batch_within(
            LONGEST,
            &format!(
                "BEGIN; SET LOCAL statement_timeout = 0;
                 SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_advisory_xact_lock({LOCK})"
            ),
        )
        .map_err(failed)?;
    // Another daemon may have done it meanwhile.
    let found = version(connection, database)?;
    for (number, migration) in (1..).zip(MIGRATIONS).skip(found.unsigned_abs() as usize) {
        connection
            .batch_within(LONGEST, migration)
            .map_err(failed)?;
        let version = env!("CARGO_PKG_VERSION");
        connection
            .batch(&format!(
                "INSERT INTO schema_version (version, written_by) VALUES ({number}, 'triggerd {version}')
                 ON CONFLICT (only_row) DO UPDATE SET version = {number}, written_by = 'triggerd {version}'"
            ))
            .map_err(failed)?;
    }
    failpoint::pass(failpoint::MIGRATION);
    connection.batch("COMMIT").map_err(failed)
}

pub(super) fn unreadable(database: &Database, error: &Trouble) -> LedgerError {
    LedgerError::Unreadable {
        path: database.path(),
        cause: error.to_string(),
        way_out: error.way_out().to_owned(),
    }
}
