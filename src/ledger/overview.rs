//! What the status page reads of many schedules at once: a line each, and no more than is shown.

use super::LedgerError;
use super::ask::{Asked, Param};
use super::history::{Mark, Marks, Uncounted};
use super::reader::Reader;
use super::values::{At, Count, Text, verdict};
use crate::plan::delivery::Verdict;
use crate::schedule::ScheduleId;
use jiff::Timestamp;

impl Reader {
    /// What became of a schedule's newest occurrences, oldest first.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn strip(&self, schedule: &ScheduleId, limit: usize) -> Result<Vec<Mark>, LedgerError> {
        let newest = &[schedule.as_str().into(), Count(limit as u64).into()];
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
        let newest = &[At(since).into(), Count(limit as u64).into()];
        self.read(|| {
            let mut marks = self.marks(
                "SELECT scheduled_at, verdict, reason, NULL AS status, NULL AS result FROM
                     (SELECT * FROM deliveries WHERE position IS NOT NULL
                      ORDER BY position DESC LIMIT ?2) AS newest
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
                     (SELECT * FROM skips ORDER BY position DESC LIMIT ?2) AS newest
                 WHERE last >= ?1",
                newest,
            )?);
            // Whatever was scheduled after this one ended has ended after it, and was counted.
            let first_uncounted = |query: &str| {
                self.store()
                    .first(query, newest, |row| Ok(row.get::<At>("at")?.0))
            };
            let ended = [
                "SELECT at FROM
                     (SELECT ended_at AS at FROM deliveries WHERE position IS NOT NULL
                      ORDER BY position DESC LIMIT 1 OFFSET ?2) AS first
                 WHERE at >= ?1",
                "SELECT at FROM
                     (SELECT last AS at FROM skips ORDER BY position DESC LIMIT 1 OFFSET ?2) AS first
                 WHERE at >= ?1",
            ];
            let mut uncounted = Uncounted::default();
            for query in ended {
                uncounted.ended = uncounted.ended.max(first_uncounted(query)?);
            }
            uncounted.open = first_uncounted(
                "SELECT scheduled_at AS at FROM deliveries
                 WHERE verdict IS NULL AND scheduled_at >= ?1
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
            self.store().first(
                "SELECT ended_at FROM deliveries WHERE schedule = ?1 AND verdict = 'accepted'
                 ORDER BY scheduled_at DESC LIMIT 1",
                &[schedule.as_str().into()],
                |row| Ok(row.get::<At>("ended_at")?.0),
            )
        })
    }

    fn marks(&self, query: &str, params: &[Param<'_>]) -> Asked<Vec<Mark>> {
        self.store().all(query, params, |row| {
            let at = row.get::<At>("scheduled_at")?.0;
            Ok(Mark {
                first: at,
                last: at,
                count: 1,
                verdict: verdict(row)?,
                run: row.get("status")?,
                result: row.get("result")?,
            })
        })
    }

    fn skipped(&self, query: &str, params: &[Param<'_>]) -> Asked<Vec<Mark>> {
        self.store().all(query, params, |row| {
            Ok(Mark {
                first: row.get::<At>("first")?.0,
                last: row.get::<At>("last")?.0,
                count: row.get::<Count>("count")?.0,
                verdict: Some(Verdict::Skipped(row.get::<Text<_>>("why")?.0)),
                run: None,
                result: None,
            })
        })
    }
}
