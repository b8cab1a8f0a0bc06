//! Dropping what is older than anybody asks for, a little at a time. What it keeps is said by
//! `Store::prune`.

use jiff::Timestamp;

use super::connection::{Connection, call};
use super::trouble::Trouble;
use crate::ledger::store::Pruned;
use crate::ledger::values::At;

/// The next so many positions that were given after `$1`, and whether one of them is older than `$2`: the
/// first may be of a clock that was ahead.
const NEXT: &str = "
    SELECT max(position) AS last, min(at) < $2 AS is_old FROM (
        (SELECT position, ended_at AS at FROM deliveries
         WHERE position > $1 ORDER BY position LIMIT $3)
        UNION ALL
        (SELECT position, recorded_at FROM skips WHERE position > $1 ORDER BY position LIMIT $3)
        ORDER BY position LIMIT $3) AS next";

/// A window that lies beyond its schedule's accepted stretch is not done with.
const DELIVERIES: &str = "
    WITH gone AS (
        DELETE FROM deliveries d
        WHERE position > $1 AND position <= $2 AND ended_at < $3
            AND (origin = 'manual' OR scheduled_at <= coalesce(
                (SELECT covered_until FROM schedules WHERE name = d.schedule AND in_force),
                scheduled_at))
        RETURNING 1)
    SELECT count(*) FROM gone";

const SKIPS: &str = "
    WITH gone AS (
        DELETE FROM skips k
        WHERE position > $1 AND position <= $2 AND recorded_at < $3
            AND last <= coalesce(
                (SELECT covered_until FROM schedules WHERE name = k.schedule AND in_force), last)
        RETURNING 1)
    SELECT count(*) FROM gone";

pub(super) fn step(
    connection: &Connection,
    before: Timestamp,
    pruned: Pruned,
) -> Result<Option<Pruned>, Trouble> {
    let before = At(before).number();
    let rows = connection.query(NEXT, &[&pruned.position, &before, &Pruned::STEP])?;
    let Some(last) = rows[0].get::<_, Option<i64>>("last") else {
        return Ok(None);
    };
    if rows[0].get::<_, Option<bool>>("is_old") != Some(true) {
        return Ok(None);
    }
    let step = |sql: &'static str| {
        call(
            sql,
            vec![Box::new(pruned.position), Box::new(last), Box::new(before)],
        )
    };
    let gone = connection.pipeline(&[step(DELIVERIES), step(SKIPS)])?;
    let count = |rows: &[tokio_postgres::Row]| rows[0].get::<_, i64>(0).unsigned_abs();
    Ok(Some(Pruned {
        deliveries: pruned.deliveries + count(&gone[0]),
        skips: pruned.skips + count(&gone[1]),
        position: last,
    }))
}
