//! Reading the history beside the writer, over a connection of its own: neither waits for the other.
//! It writes nothing, and runs no migration.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::values::{At, Count, Length, Text, verdict};
use super::{connect_to_read, path_in, rows, schema, unreadable};
use crate::ledger::LedgerError;
use crate::ledger::history::{
    Entry, Filter, KnownSchedule, Position, RecordedAttempt, RecordedBody, RecordedDelivery,
    RecordedEnding, RecordedRun, RecordedSkip,
};
use crate::plan::fact::{Skipped, Source};
use crate::schedule::ScheduleId;

/// A view of the ledger in a state folder, whether a daemon writes to it or not.
pub struct Reader {
    pub(super) connection: Connection,
    path: PathBuf,
    /// Of a ledger that no daemon of this version has opened yet, an older one.
    schema: u32,
}

impl Reader {
    /// # Errors
    /// If there is no ledger, or none that this version can read.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let path = path_in(folder);
        let missing = || LedgerError::Missing {
            folder: folder.to_owned(),
        };
        if path.try_exists().is_ok_and(|exists| !exists) {
            return Err(missing());
        }
        let failed = |error| unreadable(&path, &error);
        let connection = connect_to_read(&path).map_err(failed)?;
        let schema = schema::version(&connection, &path, failed)?;
        if schema == 0 {
            return Err(missing());
        }
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self {
            connection,
            path,
            schema,
        })
    }

    /// The newest entries, newest last. Of one schedule: by scheduled time. Of all: in the order in
    /// which they ended, and then what is still open.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn history(&self, filter: &Filter) -> Result<Vec<Entry>, LedgerError> {
        self.read(|| match &filter.schedule {
            Some(schedule) => self.history_of(schedule, filter.limit),
            None => self.history_of_all(filter.limit),
        })
    }

    /// The newest entry of a schedule that has a verdict, by scheduled time.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn last_verdict(&self, schedule: &ScheduleId) -> Result<Option<Entry>, LedgerError> {
        self.read(|| {
            let mut entries = self.deliveries(
                "SELECT * FROM deliveries WHERE schedule = ?1 AND verdict IS NOT NULL
                 ORDER BY scheduled_at DESC LIMIT 1",
                [schedule.as_str()],
            )?;
            entries.extend(self.skips(
                "SELECT * FROM skips WHERE schedule = ?1 ORDER BY last DESC LIMIT 1",
                [schedule.as_str()],
            )?);
            Ok(entries.into_iter().max_by_key(Entry::scheduled_at))
        })
    }

    /// The newest delivery of a schedule whose run has ended, among its last 50.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn last_ended_run(
        &self,
        schedule: &ScheduleId,
    ) -> Result<Option<RecordedDelivery>, LedgerError> {
        if self.schema < schema::RUNS {
            return Ok(None);
        }
        self.read(|| {
            let mut found = self.recorded(
                "SELECT newest.* FROM
                     (SELECT * FROM deliveries WHERE schedule = ?1
                      ORDER BY scheduled_at DESC LIMIT 50) AS newest
                 JOIN runs ON runs.delivery = newest.id
                 WHERE runs.ended_at IS NOT NULL ORDER BY scheduled_at DESC LIMIT 1",
                [schedule.as_str()],
            )?;
            Ok(found.pop())
        })
    }

    /// What was recorded after `position`, in that order: what to ask again and again to follow.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn after(
        &self,
        position: Position,
        schedule: Option<&ScheduleId>,
    ) -> Result<Vec<Entry>, LedgerError> {
        let only = schedule.map(ScheduleId::as_str);
        self.read(|| {
            let mut entries = self.deliveries(
                "SELECT * FROM deliveries
                 WHERE position > ?1 AND (?2 IS NULL OR schedule = ?2)",
                params![position.0, only],
            )?;
            entries.extend(self.skips(
                "SELECT * FROM skips WHERE position > ?1 AND (?2 IS NULL OR schedule = ?2)",
                params![position.0, only],
            )?);
            entries.sort_by_key(Entry::position);
            Ok(entries)
        })
    }

    /// The last one that was given.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn position(&self) -> Result<Position, LedgerError> {
        self.read(|| {
            self.connection
                .query_row("SELECT position FROM meta", [], |row| {
                    row.get(0).map(Position)
                })
        })
    }

    /// What became of the occurrence at this scheduled time: its delivery, or the skips it is among.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn occurrence(
        &self,
        schedule: &ScheduleId,
        scheduled_at: Timestamp,
    ) -> Result<Option<Entry>, LedgerError> {
        let key = params![schedule.as_str(), At(scheduled_at)];
        self.read(|| {
            let mut found = self.deliveries(
                "SELECT * FROM deliveries WHERE schedule = ?1 AND scheduled_at = ?2
                 ORDER BY origin = 'schedule' DESC LIMIT 1",
                key,
            )?;
            if found.is_empty() {
                found = self.skips(
                    "SELECT * FROM skips WHERE schedule = ?1 AND last >= ?2 AND first <= ?2
                     ORDER BY last LIMIT 1",
                    key,
                )?;
            }
            Ok(found.pop())
        })
    }

    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn delivery(&self, request_id: &str) -> Result<Option<RecordedDelivery>, LedgerError> {
        // A key is its request id, `-` and a hash, and `.` comes after `-`: so its index finds both.
        self.read(|| {
            let mut found = self.recorded(
                "SELECT * FROM deliveries
                 WHERE idempotency_key > ?1 || '-' AND idempotency_key < ?1 || '.'
                     AND request_id = ?1
                 ORDER BY id DESC LIMIT 1",
                [request_id],
            )?;
            Ok(found.pop())
        })
    }

    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn schedule(&self, schedule: &ScheduleId) -> Result<Option<KnownSchedule>, LedgerError> {
        self.read(|| {
            self.connection
                .prepare_cached(
                    "SELECT in_force, began_at, covered_until FROM schedules WHERE name = ?1",
                )?
                .query_row([schedule.as_str()], |row| {
                    Ok(KnownSchedule {
                        in_force: row.get(0)?,
                        began_at: row.get::<_, At>(1)?.0,
                        covered_until: row.get::<_, At>(2)?.0,
                    })
                })
                .optional()
        })
    }

    /// The schedules in force at the last thing that was written, by name.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn in_force(&self) -> Result<Vec<ScheduleId>, LedgerError> {
        self.read(|| {
            self.connection
                .prepare_cached("SELECT name FROM schedules WHERE in_force = 1 ORDER BY name")?
                .query_map([], |row| Ok(row.get::<_, Text<_>>(0)?.0))?
                .collect()
        })
    }

    /// How many of a schedule's deliveries have no verdict yet; what was written ahead of `now` and
    /// never tried is none.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn waiting(&self, schedule: &ScheduleId, now: Timestamp) -> Result<u64, LedgerError> {
        self.read(|| {
            self.connection
                .prepare_cached(
                    "SELECT count(*) FROM deliveries WHERE schedule = ?1 AND verdict IS NULL
                     AND NOT (scheduled_at > ?2 AND attempts = 0)",
                )?
                .query_row(params![schedule.as_str(), At(now)], |row| {
                    Ok(row.get::<_, Count>(0)?.0)
                })
        })
    }

    /// Up to here every occurrence of every schedule has been dealt with; `None` for a new ledger.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn settled_until(&self) -> Result<Option<Timestamp>, LedgerError> {
        self.read(|| {
            self.connection
                .query_row("SELECT settled_until FROM meta", [], |row| {
                    Ok(row.get::<_, Option<At>>(0)?.map(|it| it.0))
                })
        })
    }

    /// The last good version of a schedule's file.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn source(&self, schedule: &ScheduleId) -> Result<Option<Source>, LedgerError> {
        self.read(|| {
            self.connection
                .prepare_cached("SELECT toml, input FROM sources WHERE schedule = ?1")?
                .query_row([schedule.as_str()], |row| {
                    Ok(Source {
                        toml: row.get(0)?,
                        input: row.get(1)?,
                    })
                })
                .optional()
        })
    }

    /// One transaction, so that what several queries bring belongs together.
    pub(super) fn read<T>(
        &self,
        queries: impl FnOnce() -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let one_view = self.connection.unchecked_transaction();
        one_view
            .and_then(|_view| queries())
            .map_err(|error| unreadable(&self.path, &error))
    }

    fn history_of(&self, schedule: &ScheduleId, limit: usize) -> rusqlite::Result<Vec<Entry>> {
        let limit = Count(limit as u64);
        let newest = params![schedule.as_str(), limit];
        let mut entries = self.deliveries(
            "SELECT * FROM deliveries WHERE schedule = ?1 ORDER BY scheduled_at DESC LIMIT ?2",
            newest,
        )?;
        entries.extend(self.skips(
            "SELECT * FROM skips WHERE schedule = ?1 ORDER BY last DESC LIMIT ?2",
            newest,
        )?);
        entries.sort_by_key(Entry::scheduled_at);
        Ok(last_of(entries, limit))
    }

    fn history_of_all(&self, limit: usize) -> rusqlite::Result<Vec<Entry>> {
        let limit = Count(limit as u64);
        let mut entries = self.deliveries(
            "SELECT * FROM deliveries WHERE position IS NOT NULL ORDER BY position DESC LIMIT ?1",
            [&limit],
        )?;
        entries.extend(self.skips(
            "SELECT * FROM skips ORDER BY position DESC LIMIT ?1",
            [&limit],
        )?);
        entries.sort_by_key(Entry::position);
        let mut open = self.deliveries(
            "SELECT * FROM deliveries WHERE verdict IS NULL
             ORDER BY scheduled_at DESC, id DESC LIMIT ?1",
            [&limit],
        )?;
        open.reverse();
        entries.extend(open);
        Ok(last_of(entries, limit))
    }

    fn deliveries(&self, query: &str, params: impl Params) -> rusqlite::Result<Vec<Entry>> {
        let found = self.recorded(query, params)?;
        Ok(found
            .into_iter()
            .map(|delivery| Entry::Delivery(Box::new(delivery)))
            .collect())
    }

    fn recorded(
        &self,
        query: &str,
        params: impl Params,
    ) -> rusqlite::Result<Vec<RecordedDelivery>> {
        self.connection
            .prepare_cached(query)?
            .query_map(params, |row| {
                let id = row.get("id")?;
                Ok(RecordedDelivery {
                    attempts: self.attempts(id)?,
                    run: self.run(id)?,
                    former: self.former(id)?,
                    ..delivery(row)?
                })
            })?
            .collect()
    }

    fn attempts(&self, delivery: i64) -> rusqlite::Result<Vec<RecordedAttempt>> {
        self.connection
            .prepare_cached("SELECT * FROM attempts WHERE delivery = ?1 ORDER BY number")?
            .query_map([delivery], |row| {
                Ok(RecordedAttempt {
                    number: row.get("number")?,
                    sent_at: row.get::<_, At>("sent_at")?.0,
                    latency: row.get::<_, Length>("latency")?.0,
                    outcome: row.get("outcome")?,
                    http_status: row.get("http_status")?,
                    x_request_id: row.get("x_request_id")?,
                    detail: row.get("detail")?,
                })
            })?
            .collect()
    }

    fn run(&self, delivery: i64) -> rusqlite::Result<Option<RecordedRun>> {
        if self.schema < schema::RUNS {
            return Ok(None);
        }
        self.connection
            .prepare_cached("SELECT * FROM runs WHERE delivery = ?1")?
            .query_row([delivery], |row| {
                Ok(RecordedRun {
                    status: row.get("status")?,
                    since: row.get::<_, At>("since")?.0,
                    ended_at: row.get::<_, Option<At>>("ended_at")?.map(|it| it.0),
                    result: row.get("result")?,
                    detail: row.get("detail")?,
                })
            })
            .optional()
    }

    fn former(&self, delivery: i64) -> rusqlite::Result<Vec<RecordedEnding>> {
        if self.schema < schema::PAUSES {
            return Ok(Vec::new());
        }
        let mut query = self.connection.prepare_cached(
            "SELECT * FROM former_verdicts WHERE delivery = ?1 ORDER BY position",
        )?;
        let endings = query.query_map([delivery], ending)?;
        endings.filter_map(Result::transpose).collect()
    }

    fn skips(&self, query: &str, params: impl Params) -> rusqlite::Result<Vec<Entry>> {
        self.connection
            .prepare_cached(query)?
            .query_map(params, |row| {
                Ok(Entry::Skip(RecordedSkip {
                    position: Position(row.get("position")?),
                    skipped: Skipped {
                        schedule: row.get::<_, Text<_>>("schedule")?.0,
                        why: row.get::<_, Text<_>>("why")?.0,
                        first: row.get::<_, At>("first")?.0,
                        last: row.get::<_, At>("last")?.0,
                        count: row.get::<_, Count>("count")?.0,
                        at: row.get::<_, At>("recorded_at")?.0,
                    },
                }))
            })?
            .collect()
    }
}

fn last_of(mut entries: Vec<Entry>, limit: Count) -> Vec<Entry> {
    let surplus = entries.len().saturating_sub(limit.0 as usize);
    entries.drain(..surplus);
    entries
}

/// Without what stands in other tables.
fn delivery(row: &Row<'_>) -> rusqlite::Result<RecordedDelivery> {
    Ok(RecordedDelivery {
        occurrence: rows::occurrence(row)?,
        request_id: row.get("request_id")?,
        idempotency_key: rows::key(row)?,
        conversation_key: row.get("conversation_key")?,
        target: rows::target(row)?,
        due_at: row.get::<_, At>("due_at")?.0,
        window: rows::window(row)?,
        opened_at: row.get::<_, At>("opened_at")?.0,
        deadline_at: row.get::<_, At>("deadline_at")?.0,
        body: RecordedBody {
            json: row.get("body")?,
            len: row.get::<_, Count>("body_len")?.0,
            sha256: row.get("body_sha256")?,
        },
        keep_body: row.get("keep_body")?,
        attempts: Vec::new(),
        outcome_unknown: row.get("outcome_unknown")?,
        retry_at: row.get::<_, Option<At>>("retry_at")?.map(|it| it.0),
        conversation_url: row.get("conversation_url")?,
        run_id: row.get("run_id")?,
        run: None,
        ending: ending(row)?,
        former: Vec::new(),
    })
}

fn ending(row: &Row<'_>) -> rusqlite::Result<Option<RecordedEnding>> {
    let Some(verdict) = verdict(row)? else {
        return Ok(None);
    };
    Ok(Some(RecordedEnding {
        position: Position(row.get("position")?),
        verdict,
        at: row.get::<_, At>("ended_at")?.0,
        detail: row.get("detail")?,
    }))
}
