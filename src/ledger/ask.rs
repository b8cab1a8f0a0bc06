//! Questions that either store answers: one text of each, with rows that look the same.
//! It knows no table. SQLite's own values are those that both speak.

use rusqlite::types::{FromSql, FromSqlError, ValueRef};

use super::LedgerError;

/// A store that can be asked.
pub(super) trait Ask {
    /// Runs a query with its parameters, `?1` and so on, and hands each row over.
    fn each(
        &self,
        query: &str,
        params: &[Param<'_>],
        row: &mut dyn FnMut(&Row<'_>) -> Asked<()>,
    ) -> Asked<()>;

    /// What the two stores write differently.
    fn dialect(&self) -> &'static Dialect;

    /// What follows belongs together, until [`Ask::end_view`].
    fn begin_view(&self) -> Asked<()>;

    fn end_view(&self);

    fn unreadable(&self, error: &AskError) -> LedgerError;
}

pub(super) struct Dialect {
    /// The greater of two values.
    pub(super) greater: &'static str,
    /// A join whose left side is gone through, each row looking its partners up in an index.
    pub(super) join_each: &'static str,
    /// How far before the newest position one may still come, of a transaction that takes longer.
    pub(super) late_positions: i64,
}

impl dyn Ask + '_ {
    pub(super) fn all<T>(
        &self,
        query: &str,
        params: &[Param<'_>],
        mut of: impl FnMut(&Row<'_>) -> Asked<T>,
    ) -> Asked<Vec<T>> {
        let mut all = Vec::new();
        self.each(query, params, &mut |row| {
            all.push(of(row)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// The first row, if there is one.
    pub(super) fn first<T>(
        &self,
        query: &str,
        params: &[Param<'_>],
        of: impl FnMut(&Row<'_>) -> Asked<T>,
    ) -> Asked<Option<T>> {
        Ok(self.all(query, params, of)?.into_iter().next())
    }
}

pub(super) enum Param<'a> {
    Number(i64),
    Text(Option<&'a str>),
    /// For `= ANY`, which PostgreSQL alone knows.
    Names(&'a [&'a str]),
}

impl From<i64> for Param<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'a> From<Option<&'a str>> for Param<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text)
    }
}

pub(super) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    pub(super) fn get<T: FromSql>(&self, column: &str) -> Asked<T> {
        T::column_result(self.value(column)?).map_err(|error| AskError::Value {
            column: column.to_owned(),
            error,
        })
    }

    pub(super) fn text(&self, column: &str) -> Asked<&str> {
        self.value(column)?
            .as_str()
            .map_err(|error| AskError::Value {
                column: column.to_owned(),
                error,
            })
    }

    fn value(&self, column: &str) -> Asked<ValueRef<'_>> {
        match self {
            Row::Sqlite(row) => Ok(row.get_ref(column)?),
            Row::Postgres(row) => super::postgres::value(row, column),
        }
    }
}

pub(super) type Asked<T> = Result<T, AskError>;

#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Postgres(#[from] super::postgres::Trouble),
    #[error("`{column}`: {error}")]
    Value { column: String, error: FromSqlError },
}
