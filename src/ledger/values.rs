//! Our values as columns and back.
//! It knows no table.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use super::ask::{AskError, Asked, Param, Row};
use crate::api::token::TokenId;
use crate::plan::delivery::{Skip, Verdict};
use crate::plan::occurrence::Origin;
use crate::plan::pause::Scope;
use crate::schedule::{ScheduleId, TriggerId};

/// An instant in nanoseconds since 1970: exact from 1678 to 2262, and beyond the nearest of those.
#[derive(Clone, Copy)]
pub(super) struct At(pub(super) Timestamp);

impl At {
    pub(super) fn number(self) -> i64 {
        let nanoseconds = self.0.as_nanosecond();
        let nearest = nanoseconds.clamp(i64::MIN.into(), i64::MAX.into());
        i64::try_from(nearest).expect("it was clamped")
    }
}

impl ToSql for At {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.number().into())
    }
}

impl From<At> for Param<'_> {
    fn from(at: At) -> Self {
        Param::Number(at.number())
    }
}

impl FromSql for At {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let nanoseconds = value.as_i64()?;
        Timestamp::from_nanosecond(nanoseconds.into())
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

/// A length in nanoseconds, at most 292 years.
pub(super) struct Length(pub(super) Duration);

impl Length {
    pub(super) fn number(&self) -> i64 {
        i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)
    }
}

impl ToSql for Length {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.number().into())
    }
}

impl FromSql for Length {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        count(value.as_i64()?).map(|nanoseconds| Self(Duration::from_nanos(nanoseconds)))
    }
}

/// A number that is never negative, at most `i64::MAX`.
pub(super) struct Count(pub(super) u64);

impl Count {
    pub(super) fn number(&self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.number().into())
    }
}

impl From<Count> for Param<'_> {
    fn from(count: Count) -> Self {
        Param::Number(count.number())
    }
}

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        count(value.as_i64()?).map(Self)
    }
}

fn count(number: i64) -> FromSqlResult<u64> {
    u64::try_from(number).map_err(|_| FromSqlError::OutOfRange(number))
}

/// Something that is kept as text and read back by one function.
pub(super) struct Text<T>(pub(super) T);

impl FromSql for Text<ScheduleId> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        ScheduleId::parse(name)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

impl FromSql for Text<TriggerId> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        TriggerId::parse(value.as_str()?)
            .map(Self)
            .map_err(FromSqlError::other)
    }
}

impl FromSql for Text<TokenId> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(match value.as_str_or_null()? {
            None => TokenId::Default,
            Some(agent) => TokenId::Agent(agent.to_owned()),
        }))
    }
}

pub(super) fn token_agent(token: &TokenId) -> Option<&str> {
    match token {
        TokenId::Default => None,
        TokenId::Agent(agent) => Some(agent),
    }
}

/// No schedule has an empty name.
pub(super) fn scope_name(scope: &Scope) -> &str {
    scope.schedule().map_or("", ScheduleId::as_str)
}

impl FromSql for Text<Scope> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "" => Ok(Self(Scope::All)),
            _ => Text::column_result(value).map(|Text(id)| Self(Scope::Schedule(id))),
        }
    }
}

impl FromSql for Text<Origin> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "schedule" => Ok(Self(Origin::Schedule)),
            "manual" => Ok(Self(Origin::Manual)),
            other => Err(unknown_word(other)),
        }
    }
}

pub(super) fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Schedule => "schedule",
        Origin::Manual => "manual",
    }
}

impl FromSql for Text<Skip> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?;
        let skip = Skip::ALL.into_iter().find(|skip| skip.word() == word);
        skip.map(Self).ok_or_else(|| unknown_word(word))
    }
}

/// `None` while the delivery is open.
pub(super) fn verdict(row: &Row<'_>) -> Asked<Option<Verdict>> {
    let word: Option<String> = row.get("verdict")?;
    let verdict = match word.as_deref() {
        None => return Ok(None),
        Some("accepted") => Verdict::Accepted,
        Some("rejected") => Verdict::Rejected,
        Some("expired") => Verdict::Expired,
        Some("skipped") => Verdict::Skipped(row.get::<Text<Skip>>("reason")?.0),
        Some(other) => {
            return Err(AskError::Value {
                column: "verdict".to_owned(),
                error: unknown_word(other),
            });
        }
    };
    Ok(Some(verdict))
}

fn unknown_word(word: &str) -> FromSqlError {
    FromSqlError::other(UnknownWord(word.to_owned()))
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is none of the known words")]
struct UnknownWord(String);
