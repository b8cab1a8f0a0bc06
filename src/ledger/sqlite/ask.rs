//! A ledger file that is asked, beside the writer or by it.
//! It writes nothing, and runs no migration.

use std::path::{Path, PathBuf};

use rusqlite::types::{ToSql, ToSqlOutput};
use rusqlite::{Connection, params_from_iter};

use super::{connect_to_read, path_in, schema, unreadable};
use crate::ledger::LedgerError;
use crate::ledger::ask::{Ask, AskError, Asked, Dialect, Param, Row};
use crate::ledger::reader::Has;

/// Over a connection of its own.
pub(in crate::ledger) struct File {
    connection: Connection,
    path: PathBuf,
}

impl File {
    pub(in crate::ledger) fn open(folder: &Path) -> Result<(Self, Has), LedgerError> {
        let path = path_in(folder);
        let missing = || LedgerError::Missing {
            folder: folder.to_owned(),
        };
        if path.try_exists().is_ok_and(|exists| !exists) {
            return Err(missing());
        }
        let failed = |error| unreadable(&path, &error);
        let connection = connect_to_read(&path).map_err(failed)?;
        let schema = schema::version(&connection, &path, failed)?;
        if schema == 0 {
            return Err(missing());
        }
        connection.set_prepared_statement_cache_capacity(32);
        let has = Has {
            runs: schema >= schema::RUNS,
            former_verdicts: schema >= schema::PAUSES,
        };
        Ok((Self { connection, path }, has))
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            connection: &self.connection,
            path: &self.path,
        }
    }
}

impl Ask for File {
    fn each(
        &self,
        query: &str,
        params: &[Param<'_>],
        row: &mut dyn FnMut(&Row<'_>) -> Asked<()>,
    ) -> Asked<()> {
        self.asking().each(query, params, row)
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn begin_view(&self) -> Asked<()> {
        self.asking().begin_view()
    }

    fn end_view(&self) {
        self.asking().end_view();
    }

    fn unreadable(&self, error: &AskError) -> LedgerError {
        self.asking().unreadable(error)
    }
}

pub(super) struct Asking<'a> {
    pub(super) connection: &'a Connection,
    pub(super) path: &'a Path,
}

const DIALECT: Dialect = Dialect {
    greater: "max",
    join_each: "CROSS JOIN",
    late_positions: 0,
};

impl Ask for Asking<'_> {
    fn each(
        &self,
        query: &str,
        params: &[Param<'_>],
        row: &mut dyn FnMut(&Row<'_>) -> Asked<()>,
    ) -> Asked<()> {
        let mut query = self.connection.prepare_cached(query)?;
        let mut rows = query.query(params_from_iter(params))?;
        while let Some(next) = rows.next()? {
            row(&Row::Sqlite(next))?;
        }
        Ok(())
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn begin_view(&self) -> Asked<()> {
        Ok(self.connection.execute_batch("BEGIN")?)
    }

    fn end_view(&self) {
        // It fails where none was begun.
        let _ = self.connection.execute_batch("ROLLBACK");
    }

    fn unreadable(&self, error: &AskError) -> LedgerError {
        match error {
            AskError::Sqlite(error) => unreadable(self.path, error),
            error => LedgerError::damaged(self.path, error),
        }
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Param::Number(number) => number.to_sql(),
            Param::Text(text) => text.to_sql(),
            Param::Names(_) => Err(rusqlite::Error::InvalidQuery),
        }
    }
}
