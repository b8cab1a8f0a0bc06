//! Rows of deliveries as our types, for the start and for the history.
//! It knows no query.

use rusqlite::Row;

use super::values::{At, Count, Text};
use crate::plan::delivery::Window;
use crate::plan::occurrence::{IdempotencyKey, Occurrence};
use crate::schedule::Target;

pub(super) fn occurrence(row: &Row<'_>) -> rusqlite::Result<Occurrence> {
    Ok(Occurrence {
        schedule: row.get::<_, Text<_>>("schedule")?.0,
        scheduled_at: row.get::<_, At>("scheduled_at")?.0,
        label: row.get("label")?,
        zone: row.get("zone")?,
        origin: row.get::<_, Text<_>>("origin")?.0,
    })
}

pub(super) fn target(row: &Row<'_>) -> rusqlite::Result<Target> {
    Ok(Target {
        trigger_id: row.get::<_, Text<_>>("trigger_id")?.0,
        token: row.get::<_, Text<_>>("token_agent")?.0,
    })
}

pub(super) fn window(row: &Row<'_>) -> rusqlite::Result<Window> {
    Ok(Window {
        start: row.get::<_, At>("window_start")?.0,
        end: row.get::<_, At>("window_end")?.0,
        missed_count: row.get::<_, Count>("missed_count")?.0,
    })
}

pub(super) fn key(row: &Row<'_>) -> rusqlite::Result<IdempotencyKey> {
    Ok(IdempotencyKey::recorded(
        row.get_ref("idempotency_key")?.as_str()?,
    ))
}
