//! Rows of deliveries as our types, for the start and for the history.
//! It knows no query.

use super::ask::{Asked, Row};
use super::values::{At, Count, Text};
use crate::plan::delivery::Window;
use crate::plan::occurrence::{IdempotencyKey, Occurrence};
use crate::schedule::Target;

pub(super) fn occurrence(row: &Row<'_>) -> Asked<Occurrence> {
    Ok(Occurrence {
        schedule: row.get::<Text<_>>("schedule")?.0,
        scheduled_at: row.get::<At>("scheduled_at")?.0,
        label: row.get("label")?,
        zone: row.get("zone")?,
        origin: row.get::<Text<_>>("origin")?.0,
    })
}

pub(super) fn target(row: &Row<'_>) -> Asked<Target> {
    Ok(Target {
        trigger_id: row.get::<Text<_>>("trigger_id")?.0,
        token: row.get::<Text<_>>("token_agent")?.0,
    })
}

pub(super) fn window(row: &Row<'_>) -> Asked<Window> {
    Ok(Window {
        start: row.get::<At>("window_start")?.0,
        end: row.get::<At>("window_end")?.0,
        missed_count: row.get::<Count>("missed_count")?.0,
    })
}

pub(super) fn key(row: &Row<'_>) -> Asked<IdempotencyKey> {
    Ok(IdempotencyKey::recorded(row.text("idempotency_key")?))
}
