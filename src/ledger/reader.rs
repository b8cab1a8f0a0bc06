//! Reading the history beside the writer, over a connection of its own: neither waits for the other.
//! It writes nothing, and runs no migration.

use jiff::Timestamp;

use super::ask::{Ask, Asked, Param, Row};
use super::history::{
    Entry, Filter, KnownSchedule, Position, RecordedAttempt, RecordedBody, RecordedDelivery,
    RecordedEnding, RecordedRun, RecordedSkip,
};
use super::values::{At, Count, Length, Text, verdict};
use super::{Database, LedgerError, Place, postgres, rows, sqlite};
use crate::plan::fact::{Skipped, Source};
use crate::plan::ownership::Incarnation;
use crate::schedule::ScheduleId;

/// A view of the ledger at a place, whether a daemon writes to it or not.
pub struct Reader {
    store: Box<dyn Ask + Send>,
    has: Has,
}

/// What a ledger that no daemon of this version has opened yet may lack.
#[derive(Clone, Copy)]
pub(super) struct Has {
    pub(super) runs: bool,
    pub(super) former_verdicts: bool,
}

impl Has {
    pub(super) const ALL: Self = Self {
        runs: true,
        former_verdicts: true,
    };
}

impl Reader {
    /// # Errors
    /// If there is no ledger, or none that this version can read.
    pub fn open(place: &Place) -> Result<Self, LedgerError> {
        match place {
            Place::Folder(folder) => {
                let (file, has) = sqlite::File::open(folder)?;
                let store = Box::new(file);
                Ok(Self { store, has })
            }
            Place::Postgres(database, _) => Self::of(database),
            Place::Memory => Err(LedgerError::NoneKept),
        }
    }

    /// # Errors
    /// If it can't be reached, or is none that this version can read.
    pub fn of(database: &Database) -> Result<Self, LedgerError> {
        Ok(Self {
            store: Box::new(postgres::View::open(database)?),
            has: Has::ALL,
        })
    }

    pub(super) fn store(&self) -> &dyn Ask {
        &*self.store
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
                &[schedule.as_str().into()],
            )?;
            entries.extend(self.skips(
                "SELECT * FROM skips WHERE schedule = ?1 ORDER BY last DESC LIMIT 1",
                &[schedule.as_str().into()],
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
        if !self.has.runs {
            return Ok(None);
        }
        self.read(|| {
            let mut found = self.recorded(
                "SELECT newest.* FROM
                     (SELECT * FROM deliveries WHERE schedule = ?1
                      ORDER BY scheduled_at DESC LIMIT 50) AS newest
                 JOIN runs ON runs.delivery = newest.id
                 WHERE runs.ended_at IS NOT NULL ORDER BY scheduled_at DESC LIMIT 1",
                &[schedule.as_str().into()],
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
                &[position.0.into(), only.into()],
            )?;
            entries.extend(self.skips(
                "SELECT * FROM skips WHERE position > ?1 AND (?2 IS NULL OR schedule = ?2)",
                &[position.0.into(), only.into()],
            )?);
            entries.sort_by_key(Entry::position);
            Ok(entries)
        })
    }

    /// Up to where nothing is recorded any more, once this is the newest: where several nodes write,
    /// a later position may be seen before an earlier one. Whoever follows asks from here again.
    pub fn all_are_there_up_to(&self, newest: Position) -> Position {
        Position((newest.0 - self.store().dialect().late_positions).max(0))
    }

    /// The last one that was given.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn position(&self) -> Result<Position, LedgerError> {
        self.read(|| {
            let last = self
                .store()
                .first("SELECT position FROM meta", &[], |row| {
                    row.get("position").map(Position)
                })?;
            Ok(last.unwrap_or_default())
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
        let key = &[schedule.as_str().into(), At(scheduled_at).into()];
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
                &[request_id.into()],
            )?;
            Ok(found.pop())
        })
    }

    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn schedule(&self, schedule: &ScheduleId) -> Result<Option<KnownSchedule>, LedgerError> {
        self.read(|| {
            self.store().first(
                "SELECT in_force, began_at, covered_until FROM schedules WHERE name = ?1",
                &[schedule.as_str().into()],
                |row| {
                    Ok(KnownSchedule {
                        in_force: row.get("in_force")?,
                        began_at: row.get::<At>("began_at")?.0,
                        covered_until: row.get::<At>("covered_until")?.0,
                    })
                },
            )
        })
    }

    /// The schedules in force at the last thing that was written, by name.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn in_force(&self) -> Result<Vec<ScheduleId>, LedgerError> {
        self.read(|| {
            self.store().all(
                "SELECT name FROM schedules WHERE in_force ORDER BY name",
                &[],
                |row| Ok(row.get::<Text<_>>("name")?.0),
            )
        })
    }

    /// The schedules in force by name, each with the node that looks after it: of a ledger that
    /// several share.
    ///
    /// # Errors
    /// If it can't be reached.
    pub fn owners(&self) -> Result<Vec<(ScheduleId, Option<Incarnation>)>, LedgerError> {
        self.read(|| {
            self.store().all(
                "SELECT s.name, o.incarnation FROM schedules s JOIN owners o ON o.schedule = s.name
                 WHERE s.in_force ORDER BY s.name",
                &[],
                |row| {
                    let owner = row.get::<Option<i64>>("incarnation")?;
                    Ok((row.get::<Text<_>>("name")?.0, owner.map(Incarnation)))
                },
            )
        })
    }

    /// Whether a node that is there has the schedule loaded: on its way from one to another nobody
    /// looks after it for a moment.
    ///
    /// # Errors
    /// If it can't be reached.
    pub fn is_held(&self, schedule: &ScheduleId) -> Result<bool, LedgerError> {
        self.read(|| {
            let held = self.store().first(
                "SELECT 1 FROM holdings h JOIN nodes n ON n.incarnation = h.incarnation
                 WHERE h.schedule = ?1 AND h.version IS NOT NULL AND n.lease_until > clock_timestamp()",
                &[schedule.as_str().into()],
                |_| Ok(()),
            )?;
            Ok(held.is_some())
        })
    }

    /// The host of the node that looks after the schedule, if one is there: of a ledger that several
    /// share.
    ///
    /// # Errors
    /// If it can't be reached.
    pub fn looked_after_on(&self, schedule: &ScheduleId) -> Result<Option<String>, LedgerError> {
        self.read(|| {
            self.store().first(
                "SELECT n.host FROM owners o JOIN nodes n ON n.incarnation = o.incarnation
                 WHERE o.schedule = ?1 AND n.lease_until > clock_timestamp()",
                &[schedule.as_str().into()],
                |row| row.get("host"),
            )
        })
    }

    /// How many of a schedule's deliveries have no verdict yet; what was written ahead of `now` and
    /// never tried is none.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn waiting(&self, schedule: &ScheduleId, now: Timestamp) -> Result<u64, LedgerError> {
        self.read(|| {
            let waiting = self.store().first(
                "SELECT count(*) AS waiting FROM deliveries WHERE schedule = ?1 AND verdict IS NULL
                 AND NOT (scheduled_at > ?2 AND attempts = 0)",
                &[schedule.as_str().into(), At(now).into()],
                |row| Ok(row.get::<Count>("waiting")?.0),
            )?;
            Ok(waiting.unwrap_or(0))
        })
    }

    /// Up to here every occurrence of every schedule has been dealt with; `None` for a new ledger.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn settled_until(&self) -> Result<Option<Timestamp>, LedgerError> {
        self.read(|| {
            let settled = self
                .store()
                .first("SELECT settled_until FROM meta", &[], |row| {
                    Ok(row.get::<Option<At>>("settled_until")?.map(|it| it.0))
                })?;
            Ok(settled.flatten())
        })
    }

    /// The last good version of a schedule's file.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn source(&self, schedule: &ScheduleId) -> Result<Option<Source>, LedgerError> {
        self.read(|| {
            self.store().first(
                "SELECT toml, input FROM sources WHERE schedule = ?1",
                &[schedule.as_str().into()],
                |row| {
                    Ok(Source {
                        toml: row.get("toml")?,
                        input: row.get("input")?,
                    })
                },
            )
        })
    }

    /// One transaction, so that what several queries bring belongs together.
    pub(super) fn read<T>(&self, queries: impl FnOnce() -> Asked<T>) -> Result<T, LedgerError> {
        let read = self.store().begin_view().and_then(|()| queries());
        self.store().end_view();
        read.map_err(|error| self.store().unreadable(&error))
    }

    fn history_of(&self, schedule: &ScheduleId, limit: usize) -> Asked<Vec<Entry>> {
        let newest = &[schedule.as_str().into(), Count(limit as u64).into()];
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

    fn history_of_all(&self, limit: usize) -> Asked<Vec<Entry>> {
        let newest = &[Count(limit as u64).into()];
        let mut entries = self.deliveries(
            "SELECT * FROM deliveries WHERE position IS NOT NULL ORDER BY position DESC LIMIT ?1",
            newest,
        )?;
        entries.extend(self.skips(
            "SELECT * FROM skips ORDER BY position DESC LIMIT ?1",
            newest,
        )?);
        entries.sort_by_key(Entry::position);
        let mut open = self.deliveries(
            "SELECT * FROM deliveries WHERE verdict IS NULL
             ORDER BY scheduled_at DESC, id DESC LIMIT ?1",
            newest,
        )?;
        open.reverse();
        entries.extend(open);
        Ok(last_of(entries, limit))
    }

    fn deliveries(&self, query: &str, params: &[Param<'_>]) -> Asked<Vec<Entry>> {
        let found = self.recorded(query, params)?;
        Ok(found
            .into_iter()
            .map(|delivery| Entry::Delivery(Box::new(delivery)))
            .collect())
    }

    fn recorded(&self, query: &str, params: &[Param<'_>]) -> Asked<Vec<RecordedDelivery>> {
        self.store().all(query, params, |row| {
            let id = row.get("id")?;
            Ok(RecordedDelivery {
                attempts: self.attempts(id)?,
                run: self.run(id)?,
                former: self.former(id)?,
                ..delivery(row)?
            })
        })
    }

    fn attempts(&self, delivery: i64) -> Asked<Vec<RecordedAttempt>> {
        self.store().all(
            "SELECT * FROM attempts WHERE delivery = ?1 ORDER BY number",
            &[Param::Number(delivery)],
            |row| {
                Ok(RecordedAttempt {
                    number: row.get("number")?,
                    sent_at: row.get::<At>("sent_at")?.0,
                    latency: row.get::<Length>("latency")?.0,
                    outcome: row.get("outcome")?,
                    http_status: row.get("http_status")?,
                    x_request_id: row.get("x_request_id")?,
                    detail: row.get("detail")?,
                })
            },
        )
    }

    fn run(&self, delivery: i64) -> Asked<Option<RecordedRun>> {
        if !self.has.runs {
            return Ok(None);
        }
        self.store().first(
            "SELECT * FROM runs WHERE delivery = ?1",
            &[Param::Number(delivery)],
            |row| {
                Ok(RecordedRun {
                    status: row.get("status")?,
                    since: row.get::<At>("since")?.0,
                    ended_at: row.get::<Option<At>>("ended_at")?.map(|it| it.0),
                    result: row.get("result")?,
                    detail: row.get("detail")?,
                })
            },
        )
    }

    fn former(&self, delivery: i64) -> Asked<Vec<RecordedEnding>> {
        if !self.has.former_verdicts {
            return Ok(Vec::new());
        }
        let endings = self.store().all(
            "SELECT * FROM former_verdicts WHERE delivery = ?1 ORDER BY position",
            &[Param::Number(delivery)],
            ending,
        )?;
        Ok(endings.into_iter().flatten().collect())
    }

    fn skips(&self, query: &str, params: &[Param<'_>]) -> Asked<Vec<Entry>> {
        self.store().all(query, params, |row| {
            Ok(Entry::Skip(RecordedSkip {
                position: Position(row.get("position")?),
                skipped: Skipped {
                    schedule: row.get::<Text<_>>("schedule")?.0,
                    why: row.get::<Text<_>>("why")?.0,
                    first: row.get::<At>("first")?.0,
                    last: row.get::<At>("last")?.0,
                    count: row.get::<Count>("count")?.0,
                    at: row.get::<At>("recorded_at")?.0,
                },
            }))
        })
    }
}

fn last_of(mut entries: Vec<Entry>, limit: usize) -> Vec<Entry> {
    let surplus = entries.len().saturating_sub(limit);
    entries.drain(..surplus);
    entries
}

/// Without what stands in other tables.
fn delivery(row: &Row<'_>) -> Asked<RecordedDelivery> {
    Ok(RecordedDelivery {
        occurrence: rows::occurrence(row)?,
        request_id: row.get("request_id")?,
        idempotency_key: rows::key(row)?,
        conversation_key: row.get("conversation_key")?,
        target: rows::target(row)?,
        due_at: row.get::<At>("due_at")?.0,
        window: rows::window(row)?,
        opened_at: row.get::<At>("opened_at")?.0,
        deadline_at: row.get::<At>("deadline_at")?.0,
        body: RecordedBody {
            json: row.get("body")?,
            len: row.get::<Count>("body_len")?.0,
            sha256: row.get("body_sha256")?,
        },
        keep_body: row.get("keep_body")?,
        attempts: Vec::new(),
        outcome_unknown: row.get("outcome_unknown")?,
        retry_at: row.get::<Option<At>>("retry_at")?.map(|it| it.0),
        conversation_url: row.get("conversation_url")?,
        run_id: row.get("run_id")?,
        run: None,
        ending: ending(row)?,
        former: Vec::new(),
    })
}

fn ending(row: &Row<'_>) -> Asked<Option<RecordedEnding>> {
    let Some(verdict) = verdict(row)? else {
        return Ok(None);
    };
    Ok(Some(RecordedEnding {
        position: Position(row.get("position")?),
        verdict,
        at: row.get::<At>("ended_at")?.0,
        detail: row.get("detail")?,
    }))
}
