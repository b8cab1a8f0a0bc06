//! What the ledger remembers at a start: a fixed number of queries, however many schedules there are.
//! It writes nothing but the forgetting of what was written ahead in vain.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, Row};

use super::values::{At, Count, Text};
use super::{Store, rows, unreadable};
use crate::api::wire::RunStatus;
use crate::ledger::LedgerError;
use crate::plan::delivery::{Body, Delivery, Verdict};
use crate::plan::limits::LONGEST_DAY;
use crate::plan::pause::{Pause, Pauses};
use crate::plan::remembered::{
    AcceptedDelivery, Delivered, FollowedRun, OpenDelivery, Remembered, RememberedSchedule,
};
use crate::plan::run::Run;
use crate::plan::window::Span;
use crate::schedule::ScheduleId;

/// What was written ahead and never tried is, before its time comes, written ahead again.
pub(super) fn forget_ahead_of(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM deliveries
         WHERE verdict IS NULL AND scheduled_at > ?1 AND attempts = 0 AND outcome_unknown = 0",
        [At(now)],
    )?;
    Ok(())
}

impl Store {
    /// What was written ahead of `now` and never tried is left out, and forgotten with the next
    /// thing that is written.
    pub(in crate::ledger) fn remember(
        &mut self,
        now: Timestamp,
    ) -> Result<Remembered, LedgerError> {
        // Where the clock stands before what was seen, whatever is ahead of it may have been sent.
        let is_behind = self.marks.newest.is_some_and(|newest| newest > now);
        let forget_ahead_of = if is_behind { Timestamp::MAX } else { now };
        self.forget_ahead_of = Some(forget_ahead_of);
        let remembered = self.read_all(now, forget_ahead_of);
        remembered
            .map_err(|error| unreadable(self.path.as_deref().unwrap_or("memory".as_ref()), &error))
    }

    fn read_all(&self, now: Timestamp, forget_ahead_of: Timestamp) -> rusqlite::Result<Remembered> {
        let mut schedules = self.schedules()?;
        self.add_spans(&mut schedules, forget_ahead_of)?;
        Ok(Remembered {
            settled_until: self.marks.settled_until,
            newest: self.marks.newest,
            schedules,
            open: self.open_deliveries(forget_ahead_of)?,
            delivered: match self.marks.settled_until {
                Some(settled_until) => self.delivered_after(settled_until)?,
                None => Vec::new(),
            },
            pauses: self.pauses()?,
            runs: self.followed_runs()?,
            accepted: self.accepted_since(now.checked_sub(LONGEST_DAY).unwrap_or(now))?,
        })
    }

    /// By name.
    fn schedules(&self) -> rusqlite::Result<Vec<RememberedSchedule>> {
        self.connection
            .prepare("SELECT name, in_force, began_at, covered_until FROM schedules ORDER BY name")?
            .query_map([], |row| {
                Ok(RememberedSchedule {
                    id: row.get::<_, Text<_>>(0)?.0,
                    in_force: row.get(1)?,
                    began_at: row.get::<_, At>(2)?.0,
                    covered_until: row.get::<_, At>(3)?.0,
                    spans: Vec::new(),
                })
            })?
            .collect()
    }

    fn add_spans(
        &self,
        schedules: &mut [RememberedSchedule],
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let mut spans = self.connection.prepare(SPANS)?;
        let mut spans = spans.query([At(now)])?;
        let mut schedules = schedules.iter_mut();
        let mut current = schedules.next();
        while let Some(row) = spans.next()? {
            let (id, span) = span(row)?;
            while let Some(schedule) = &mut current {
                if schedule.id == id {
                    schedule.spans.push(span);
                    break;
                }
                current = schedules.next();
            }
        }
        Ok(())
    }

    /// By scheduled time.
    fn open_deliveries(&self, now: Timestamp) -> rusqlite::Result<Vec<OpenDelivery>> {
        self.connection
            .prepare(
                "SELECT * FROM deliveries
                 WHERE verdict IS NULL AND NOT (scheduled_at > ?1 AND attempts = 0 AND outcome_unknown = 0)
                 ORDER BY scheduled_at, id",
            )?
            .query_map([At(now)], |row| {
                Ok(OpenDelivery {
                    delivery: Arc::new(delivery(row)?),
                    attempts: row.get("attempts")?,
                    retry_at: row.get::<_, Option<At>>("retry_at")?.map(|it| it.0),
                    outcome_unknown: row.get("outcome_unknown")?,
                })
            })?
            .collect()
    }

    /// Each schedule looks its own rows up in the index: nearly always none. A clock that is set back by
    /// years has no more than so many told; those beyond it are known when they are written ahead anew.
    pub(in crate::ledger) fn delivered_after(
        &self,
        at: Timestamp,
    ) -> rusqlite::Result<Vec<Delivered>> {
        self.connection
            .prepare_cached(
                "SELECT s.name, d.scheduled_at
                 FROM schedules s CROSS JOIN deliveries d ON d.schedule = s.name AND d.scheduled_at > ?1
                 WHERE d.origin = 'schedule' AND d.verdict IS NOT NULL
                 LIMIT 100000",
            )?
            .query_map([At(at)], |row| {
                Ok(Delivered {
                    schedule: row.get::<_, Text<_>>(0)?.0,
                    scheduled_at: row.get::<_, At>(1)?.0,
                })
            })?
            .collect()
    }

    fn pauses(&self) -> rusqlite::Result<Pauses> {
        let mut pauses = Pauses::default();
        let mut query = self.connection.prepare("SELECT * FROM pauses")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let pause = Pause {
                since: row.get::<_, At>("since")?.0,
                until: row.get::<_, Option<At>>("until")?.map(|it| it.0),
                reason: row.get("reason")?,
            };
            pauses.put(row.get::<_, Text<_>>("schedule")?.0, pause);
        }
        Ok(pauses)
    }

    fn followed_runs(&self) -> rusqlite::Result<Vec<FollowedRun>> {
        self.connection
            .prepare(
                "SELECT d.*, r.accepted_at, r.status, r.since
                 FROM runs r JOIN deliveries d ON d.id = r.delivery
                 WHERE r.ended_at IS NULL AND d.run_id IS NOT NULL
                 ORDER BY r.accepted_at",
            )?
            .query_map([], |row| {
                Ok(FollowedRun {
                    run: Run {
                        run_id: row.get("run_id")?,
                        occurrence: rows::occurrence(row)?,
                        request_id: row.get("request_id")?,
                        idempotency_key: rows::key(row)?,
                        target: rows::target(row)?,
                        due_at: row.get::<_, At>("due_at")?.0,
                        window: rows::window(row)?,
                        accepted_at: row.get::<_, At>("accepted_at")?.0,
                        conversation_url: row.get("conversation_url")?,
                    },
                    status: RunStatus::from(row.get::<_, String>("status")?),
                    since: row.get::<_, At>("since")?.0,
                })
            })?
            .collect()
    }

    /// From the newest back, so that it costs no more than what it gives.
    fn accepted_since(&self, since: Timestamp) -> rusqlite::Result<Vec<AcceptedDelivery>> {
        let mut newest_first = self.connection.prepare(
            "SELECT schedule, trigger_id, idempotency_key, opened_at, ended_at, verdict FROM deliveries
             WHERE position IS NOT NULL ORDER BY position DESC",
        )?;
        let mut rows = newest_first.query([])?;
        let mut accepted = Vec::new();
        while let Some(row) = rows.next()?
            && row.get::<_, At>("ended_at")?.0 >= since
        {
            if row.get_ref("verdict")?.as_str()? == Verdict::Accepted.word() {
                accepted.push(AcceptedDelivery {
                    schedule: row.get::<_, Text<_>>("schedule")?.0,
                    trigger_id: row.get::<_, Text<_>>("trigger_id")?.0,
                    idempotency_key: rows::key(row)?,
                    opened_at: row.get::<_, At>("opened_at")?.0,
                });
            }
        }
        Ok(accepted)
    }
}

/// What lies beyond each schedule's accepted stretch, by schedule and end. A delivery that failed
/// is missed at its scheduled time. The joins are crossed so that each schedule looks its own rows
/// up in the index, instead of all rows looking for their schedule.
pub(super) const SPANS: &str = "
    SELECT s.name, 'open' AS what, d.window_start AS first, d.window_end AS last, 1 AS count
    FROM schedules s CROSS JOIN deliveries d ON d.schedule = s.name
        AND d.scheduled_at > max(s.covered_until, s.began_at)
    WHERE d.origin = 'schedule' AND d.verdict IS NULL
        AND NOT (d.scheduled_at > ?1 AND d.attempts = 0 AND d.outcome_unknown = 0)
    UNION ALL
    SELECT s.name, iif(d.verdict = 'accepted', 'accepted', 'missed'),
        iif(d.verdict = 'accepted', d.window_start, d.window_end), d.window_end, 1
    FROM schedules s CROSS JOIN deliveries d ON d.schedule = s.name
        AND d.scheduled_at > max(s.covered_until, s.began_at)
    WHERE d.origin = 'schedule' AND d.verdict IS NOT NULL
    UNION ALL
    SELECT s.name, 'missed', k.first, k.last, k.count
    FROM schedules s CROSS JOIN skips k ON k.schedule = s.name
        AND k.last > max(s.covered_until, s.began_at)
    ORDER BY 1, 4";

fn span(row: &Row<'_>) -> rusqlite::Result<(ScheduleId, Span)> {
    let id = row.get::<_, Text<_>>(0)?.0;
    let what = row.get_ref(1)?.as_str()?;
    let first = row.get::<_, At>(2)?.0;
    let last = row.get::<_, At>(3)?.0;
    let span = match what {
        "missed" => Span::Missed {
            first,
            last,
            count: row.get::<_, Count>(4)?.0,
        },
        covered => Span::Covered {
            start: first,
            end: last,
            open: covered == "open",
        },
    };
    Ok((id, span))
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        occurrence: rows::occurrence(row)?,
        request_id: row.get("request_id")?,
        idempotency_key: rows::key(row)?,
        conversation_key: row.get("conversation_key")?,
        target: rows::target(row)?,
        due_at: row.get::<_, At>("due_at")?.0,
        window: rows::window(row)?,
        body: Body {
            json: row.get("body")?,
            sha256: row.get("body_sha256")?,
        },
        keep_body: row.get("keep_body")?,
        opened_at: row.get::<_, At>("opened_at")?.0,
        deadline_at: row.get::<_, At>("deadline_at")?.0,
    })
}
