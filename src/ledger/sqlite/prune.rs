//! Dropping what is older than anybody asks for, a little at a time so that no fact waits for it.
//! It keeps what is open, and what the windows still need.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::record::Recording;
use crate::ledger::store::Pruned;
use crate::ledger::values::At;

impl Recording<'_> {
    pub(super) fn prune(
        &mut self,
        before: Timestamp,
        pruned: Pruned,
    ) -> rusqlite::Result<Option<Pruned>> {
        let Some(from) = self.oldest_after(pruned.position, before)? else {
            return Ok(None);
        };
        let to = from + Pruned::STEP;
        let step = params![from, to, At(before)];
        // A window that lies beyond its schedule's accepted stretch is not done with.
        let deliveries = self
            .connection()
            .prepare_cached(
                "DELETE FROM deliveries
                 WHERE position >= ?1 AND position < ?2 AND ended_at < ?3
                     AND (origin = 'manual' OR scheduled_at <= ifnull(
                         (SELECT covered_until FROM schedules WHERE name = schedule AND in_force),
                         scheduled_at))",
            )?
            .execute(step)?;
        let skips = self
            .connection()
            .prepare_cached(
                "DELETE FROM skips
                 WHERE position >= ?1 AND position < ?2 AND recorded_at < ?3
                     AND last <= ifnull(
                         (SELECT covered_until FROM schedules WHERE name = schedule AND in_force),
                         last)",
            )?
            .execute(step)?;
        Ok(Some(Pruned {
            deliveries: pruned.deliveries + deliveries as u64,
            skips: pruned.skips + skips as u64,
            position: to - 1,
        }))
    }

    /// The position from which to go on, unless all that comes next is recent: the first may be of a clock
    /// that was ahead.
    fn oldest_after(&self, position: i64, before: Timestamp) -> rusqlite::Result<Option<i64>> {
        let next = self
            .connection()
            .prepare_cached(
                "SELECT min(position), min(at) FROM (
                     SELECT * FROM (SELECT position, ended_at AS at FROM deliveries
                         WHERE position > ?1 ORDER BY position LIMIT ?2)
                     UNION ALL
                     SELECT * FROM (SELECT position, recorded_at FROM skips
                         WHERE position > ?1 ORDER BY position LIMIT ?2))
                 HAVING min(at) < ?3",
            )?
            .query_row(params![position, Pruned::STEP, At(before)], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(next)
    }
}
