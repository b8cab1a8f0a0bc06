//! The database that is asked, beside the writer or by it.
//! It writes nothing, and runs no migration.

use rusqlite::types::{FromSqlError, ValueRef};
use tokio_postgres::types::{ToSql, Type};

use super::connection::Connection;
use super::database::Database;
use super::{Trouble, schema};
use crate::ledger::LedgerError;
use crate::ledger::ask::{Ask, AskError, Asked, Dialect, Param, Row};

/// Over a connection of its own.
pub(in crate::ledger) struct View {
    connection: Connection,
    database: Database,
}

impl View {
    pub(in crate::ledger) fn open(database: &Database) -> Result<Self, LedgerError> {
        let connection =
            Connection::open(database).map_err(|trouble| schema::unreadable(database, &trouble))?;
        if schema::version(&connection, database)? == 0 {
            return Err(LedgerError::Missing {
                folder: database.path(),
            });
        }
        Ok(Self {
            connection,
            database: database.clone(),
        })
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            connection: &self.connection,
            database: &self.database,
        }
    }
}

impl Ask for View {
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
    pub(super) database: &'a Database,
}

const DIALECT: Dialect = Dialect {
    greater: "greatest",
    join_each: "JOIN",
    // Of 256 statements of other nodes.
    late_positions: 256 << 20,
};

impl Ask for Asking<'_> {
    fn each(
        &self,
        query: &str,
        params: &[Param<'_>],
        row: &mut dyn FnMut(&Row<'_>) -> Asked<()>,
    ) -> Asked<()> {
        let params: Vec<&(dyn ToSql + Sync)> = params
            .iter()
            .map(|param| match param {
                Param::Number(number) => number as _,
                Param::Text(text) => text as _,
                Param::Names(names) => names as _,
            })
            .collect();
        let rows = self.connection.query(&query.replace('?', "$"), &params)?;
        rows.iter().try_for_each(|it| row(&Row::Postgres(it)))
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn begin_view(&self) -> Asked<()> {
        // What is asked for is little, and the planner takes it for much: with ten million deliveries it
        // would go through them all.
        Ok(self.connection.batch(
            "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SET LOCAL enable_seqscan = off;
             SET LOCAL enable_hashjoin = off;
             SET LOCAL enable_mergejoin = off",
        )?)
    }

    fn end_view(&self) {
        // It fails where none was begun, or there is no connection any more.
        let _ = self.connection.batch("ROLLBACK");
    }

    fn unreadable(&self, error: &AskError) -> LedgerError {
        match error {
            AskError::Postgres(trouble) => schema::unreadable(self.database, trouble),
            error => LedgerError::damaged(&self.database.path(), error),
        }
    }
}

/// A column's value in the words of the other store.
pub(in crate::ledger) fn value<'a>(
    row: &'a tokio_postgres::Row,
    column: &str,
) -> Asked<ValueRef<'a>> {
    let found = row.columns().iter().position(|it| it.name() == column);
    let at = found.ok_or_else(|| AskError::Value {
        column: column.to_owned(),
        error: FromSqlError::InvalidType,
    })?;
    let answer = |error| AskError::Postgres(Trouble::Answer(error));
    let value = match *row.columns()[at].type_() {
        Type::INT8 => row
            .try_get::<_, Option<i64>>(at)
            .map(|it| it.map(ValueRef::Integer)),
        Type::BOOL => {
            let value = row.try_get::<_, Option<bool>>(at);
            value.map(|it| it.map(|it| ValueRef::Integer(it.into())))
        }
        Type::BYTEA => row
            .try_get::<_, Option<&[u8]>>(at)
            .map(|it| it.map(ValueRef::Blob)),
        _ => {
            let value = row.try_get::<_, Option<&str>>(at);
            value.map(|it| it.map(|it| ValueRef::Text(it.as_bytes())))
        }
    };
    Ok(value.map_err(answer)?.unwrap_or(ValueRef::Null))
}
