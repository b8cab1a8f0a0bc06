//! What the status page reads of many schedules at once: a line each, and no more than is shown.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Params, params};

use super::reader::Reader;
use super::values::{At, Count, Text, verdict};
use crate::ledger::LedgerError;
use crate::ledger::history::{Mark, Marks, Uncounted};
use crate::plan::delivery::Verdict;
use crate::schedule::ScheduleId;

impl Reader {
    /// What became of a schedule's newest occurrences, oldest first.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn strip(&self, schedule: &ScheduleId, limit: usize) -> Result<Vec<Mark>, LedgerError> {
        let newest = params![schedule.as_str(), Count(limit as u64)];
        self.read(|| {
            let mut marks = self.marks(
                "SELECT scheduled_at, verdict, reason, runs.status, runs.result
                 FROM deliveries LEFT JOIN runs ON runs.delivery = deliveries.id
                 WHERE schedule = ?1 ORDER BY scheduled_at DESC LIMIT ?2",
                newest,
            )?;
            marks.extend(self.skipped(
                "SELECT first, last, count, why FROM skips
                 WHERE schedule = ?1 ORDER BY last DESC LIMIT ?2",
                newest,
            )?);
            marks.sort_by_key(|mark| mark.last);
            marks.drain(..marks.len().saturating_sub(limit));
            Ok(marks)
        })
    }

    /// What became of everything that was scheduled since `since`, in no order; of what ended, of skips and of what
    /// is open, the newest `limit` each.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn since(&self, since: Timestamp, limit: usize) -> Result<Marks, LedgerError> {
        let newest = params![At(since), Count(limit as u64)];
        self.read(|| {
            let mut marks = self.marks(
                "SELECT scheduled_at, verdict, reason, NULL AS status, NULL AS result FROM
                     (SELECT * FROM deliveries WHERE position IS NOT NULL
                      ORDER BY position DESC LIMIT ?2)
                 WHERE scheduled_at >= ?1",
                newest,
            )?;
            marks.extend(self.marks(
                "SELECT scheduled_at, verdict, reason, NULL AS status, NULL AS result
                 FROM deliveries WHERE verdict IS NULL AND scheduled_at >= ?1
                 ORDER BY scheduled_at DESC LIMIT ?2",
                newest,
            )?);
            marks.extend(self.skipped(
                "SELECT first, last, count, why FROM
                     (SELECT * FROM skips ORDER BY position DESC LIMIT ?2)
                 WHERE last >= ?1",
                newest,
            )?);
            // Whatever was scheduled after this one ended has ended after it, and was counted.
            let first_uncounted = |query: &str| {
                let mut query = self.connection.prepare_cached(query)?;
                let found = query.query_row(newest, |row| Ok(row.get::<_, At>(0)?.0));
                found.optional()
            };
            let ended = [
                "SELECT at FROM
                     (SELECT ended_at AS at FROM deliveries WHERE position IS NOT NULL
                      ORDER BY position DESC LIMIT 1 OFFSET ?2)
                 WHERE at >= ?1",
                "SELECT at FROM
                     (SELECT last AS at FROM skips ORDER BY position DESC LIMIT 1 OFFSET ?2)
                 WHERE at >= ?1",
            ];
            let mut uncounted = Uncounted::default();
            for query in ended {
                uncounted.ended = uncounted.ended.max(first_uncounted(query)?);
            }
            uncounted.open = first_uncounted(
                "SELECT scheduled_at FROM deliveries WHERE verdict IS NULL AND scheduled_at >= ?1
                 ORDER BY scheduled_at DESC LIMIT 1 OFFSET ?2",
            )?;
            Ok(Marks { marks, uncounted })
        })
    }

    /// When a schedule was last accepted, as far as the ledger goes back.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn last_accepted(&self, schedule: &ScheduleId) -> Result<Option<Timestamp>, LedgerError> {
        self.read(|| {
            self.connection
                .prepare_cached(
                    "SELECT ended_at FROM deliveries WHERE schedule = ?1 AND verdict = 'accepted'
                     ORDER BY scheduled_at DESC LIMIT 1",
                )?
                .query_row([schedule.as_str()], |row| Ok(row.get::<_, At>(0)?.0))
                .optional()
        })
    }

    fn marks(&self, query: &str, params: impl Params) -> rusqlite::Result<Vec<Mark>> {
        self.connection
            .prepare_cached(query)?
            .query_map(params, |row| {
                let at = row.get::<_, At>("scheduled_at")?.0;
                Ok(Mark {
                    first: at,
                    last: at,
                    count: 1,
                    verdict: verdict(row)?,
                    run: row.get("status")?,
                    result: row.get("result")?,
                })
            })?
            .collect()
    }

    fn skipped(&self, query: &str, params: impl Params) -> rusqlite::Result<Vec<Mark>> {
        self.connection
            .prepare_cached(query)?
            .query_map(params, |row| {
                Ok(Mark {
                    first: row.get::<_, At>("first")?.0,
                    last: row.get::<_, At>("last")?.0,
                    count: row.get::<_, Count>("count")?.0,
                    verdict: Some(Verdict::Skipped(row.get::<_, Text<_>>("why")?.0)),
                    run: None,
                    result: None,
                })
            })?
            .collect()
    }
}
