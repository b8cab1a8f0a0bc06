//! Facts as rows.
//! It knows neither when they are written nor what is read of them.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::is_for_content;
use crate::failpoint;
use crate::ledger::store::{Stated, Written};
use crate::ledger::values::{At, Count, Length, origin_word, scope_name, token_agent};
use crate::plan::delivery::{Delivery, Verdict, later};
use crate::plan::fact::{Attempt, Ending, Fact, Next, Skipped, Source};
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::outcome::Outcome;
use crate::plan::pause::{Pause, Resumed, Scope};
use crate::plan::run::{Finding, Progress, RunEnd, RunReport};
use crate::schedule::ScheduleId;

/// What the single row of `meta` says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Marks {
    pub(super) settled_until: Option<Timestamp>,
    pub(super) newest: Option<Timestamp>,
    position: i64,
}

impl Marks {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection.query_row(
            "SELECT settled_until, newest, position FROM meta",
            [],
            |row| {
                Ok(Self {
                    settled_until: row.get::<_, Option<At>>(0)?.map(|it| it.0),
                    newest: row.get::<_, Option<At>>(1)?.map(|it| it.0),
                    position: row.get(2)?,
                })
            },
        )
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE meta SET settled_until = ?1, newest = ?2, position = ?3")?
            .execute(params![
                self.settled_until.map(At),
                self.newest.map(At),
                self.position
            ])?;
        Ok(())
    }

    fn next_position(&mut self) -> i64 {
        self.position += 1;
        self.position
    }

    fn happened(&mut self, at: Timestamp) {
        self.newest = self.newest.max(Some(at));
    }
}

/// One transaction being filled.
pub(super) struct Recording<'a> {
    connection: &'a Connection,
    marks: Marks,
}

impl<'a> Recording<'a> {
    pub(super) fn new(connection: &'a Connection, marks: Marks) -> Self {
        Self { connection, marks }
    }

    pub(super) fn marks(&self) -> Marks {
        self.marks
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    /// As `record`, but a fact that is refused for what it says spoils nothing else: one that came
    /// back each time would keep all that comes after it from the disk.
    pub(super) fn record_apart(&mut self, fact: &Fact) -> rusqlite::Result<Written> {
        let marks = self.marks;
        self.connection.execute_batch("SAVEPOINT apart")?;
        let written = match self.record(fact) {
            Err(error) if is_for_content(&error) => {
                self.marks = marks;
                self.connection.execute_batch("ROLLBACK TO apart")?;
                Written::Refused {
                    cause: error.to_string(),
                }
            }
            written => written?,
        };
        self.connection.execute_batch("RELEASE apart")?;
        Ok(written)
    }

    pub(super) fn record(&mut self, fact: &Fact) -> rusqlite::Result<Written> {
        match fact {
            Fact::WrittenAhead(delivery) => return self.write_ahead(delivery),
            Fact::Withdrawn(delivery) => self.withdraw(&delivery.idempotency_key)?,
            Fact::Reopened(delivery) => return self.reopened(delivery),
            Fact::Attempted(attempt) => self.attempted(attempt)?,
            Fact::Ended(ending) => self.ended(ending)?,
            Fact::Run(report) => self.run(report)?,
            Fact::Skipped(skipped) => self.skipped(skipped)?,
            Fact::Began {
                schedule,
                at,
                covered_until,
            } => self.began(schedule, *at, *covered_until)?,
            Fact::Ceased { schedule, at } => self.ceased(schedule, *at)?,
            Fact::InForce { schedule, source } => self.in_force(schedule, source)?,
            Fact::Paused { scope, pause } => self.paused(scope, pause)?,
            Fact::Resumed { scope, at, how } => self.resumed(scope, *at, *how)?,
            // A file is one node's.
            Fact::TakenUp { .. } | Fact::GivenUp { .. } => {}
            Fact::SettledUntil(at) => {
                self.marks.settled_until = Some(*at);
                self.marks.happened(*at);
            }
            Fact::Rewound { to } => self.rewound(*to)?,
        }
        Ok(Written::Yes)
    }

    fn write_ahead(&mut self, delivery: &Delivery) -> rusqlite::Result<Written> {
        let occurrence = &delivery.occurrence;
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO deliveries (
                     idempotency_key, request_id, schedule, scheduled_at, label, zone, origin,
                     due_at, opened_at, deadline_at, window_start, window_end, missed_count,
                     trigger_id, token_agent, conversation_key, body, body_len, body_sha256,
                     keep_body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                     ?18, ?19, ?20)
                 ON CONFLICT (idempotency_key) DO NOTHING",
            )?
            .execute(params![
                delivery.idempotency_key.as_str(),
                delivery.request_id,
                occurrence.schedule.as_str(),
                At(occurrence.scheduled_at),
                occurrence.label,
                occurrence.zone,
                origin_word(occurrence.origin),
                At(delivery.due_at),
                At(delivery.opened_at),
                At(delivery.deadline_at),
                At(delivery.window.start),
                At(delivery.window.end),
                Count(delivery.window.missed_count),
                delivery.target.trigger_id.as_str(),
                token_agent(&delivery.target.token),
                delivery.conversation_key,
                delivery.body.json,
                Count(delivery.body.json.len() as u64),
                delivery.body.sha256,
                delivery.keep_body,
            ])?;
        failpoint::pass(failpoint::BEFORE_COMMIT);
        Ok(if inserted == 1 {
            Written::Yes
        } else {
            Written::KeyIsKnown
        })
    }

    fn withdraw(&mut self, key: &IdempotencyKey) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "DELETE FROM deliveries
                 WHERE idempotency_key = ?1 AND attempts = 0 AND verdict IS NULL",
            )?
            .execute([key.as_str()])?;
        Ok(())
    }

    /// Only what ended without acceptance: a redelivery that was asked for twice comes too late.
    fn reopened(&mut self, delivery: &Delivery) -> rusqlite::Result<Written> {
        let key = delivery.idempotency_key.as_str();
        let replaced = self
            .connection
            .prepare_cached(
                "INSERT INTO former_verdicts
                 SELECT id, position, verdict, reason, ended_at, detail FROM deliveries
                 WHERE idempotency_key = ?1 AND verdict IN ('rejected', 'expired')",
            )?
            .execute([key])?;
        if replaced == 0 {
            return Ok(Written::KeyIsKnown);
        }
        self.connection
            .prepare_cached(
                "UPDATE deliveries SET verdict = NULL, reason = NULL, ended_at = NULL, detail = NULL,
                     position = NULL, opened_at = ?2, deadline_at = ?3
                 WHERE idempotency_key = ?1",
            )?
            .execute(params![
                key,
                At(delivery.opened_at),
                At(delivery.deadline_at)
            ])?;
        self.marks.happened(delivery.opened_at);
        Ok(Written::Yes)
    }

    fn attempted(&mut self, attempt: &Attempt) -> rusqlite::Result<()> {
        let key = attempt.delivery.idempotency_key.as_str();
        let answer = &attempt.answer;
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO attempts
                 SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM deliveries WHERE idempotency_key = ?1",
            )?
            .execute(params![
                key,
                attempt.number,
                At(attempt.sent_at),
                Length(attempt.latency),
                answer.outcome.word(),
                answer.http_status,
                answer.x_request_id,
                answer.detail,
            ])?;
        let retry_at = match attempt.next {
            Next::RetryAt(at) => Some(At(at)),
            Next::End | Next::Held => None,
        };
        let (conversation_url, run_id) = match &answer.outcome {
            Outcome::Accepted(it) => (it.conversation_url.as_deref(), it.run_id.as_deref()),
            _ => (None, None),
        };
        self.connection
            .prepare_cached(
                "UPDATE deliveries SET
                     attempts = ?2, outcome_unknown = outcome_unknown OR ?3, retry_at = ?4,
                     conversation_url = ?5, run_id = ?6
                 WHERE idempotency_key = ?1",
            )?
            .execute(params![
                key,
                attempt.number,
                answer.outcome.is_unknown(),
                retry_at,
                conversation_url,
                run_id,
            ])?;
        self.marks.happened(later(attempt.sent_at, attempt.latency));
        Ok(())
    }

    /// An occurrence gets one verdict, once: the first one stays.
    fn ended(&mut self, ending: &Ending) -> rusqlite::Result<()> {
        let drop_body = ending.verdict == Verdict::Accepted && !ending.delivery.keep_body;
        self.connection
            .prepare_cached(
                "UPDATE deliveries SET
                     verdict = ?2, reason = ?3, ended_at = ?4, attempts = ?5, outcome_unknown = ?6,
                     detail = ?7, position = ?8, body = iif(?9, NULL, body), retry_at = NULL
                 WHERE idempotency_key = ?1 AND verdict IS NULL",
            )?
            .execute(params![
                ending.delivery.idempotency_key.as_str(),
                ending.verdict.word(),
                ending.verdict.reason(),
                At(ending.at),
                ending.attempts,
                ending.outcome_unknown,
                ending.detail,
                self.marks.next_position(),
                drop_body,
            ])?;
        if let Some(covered_until) = ending.covered_until {
            self.connection
                .prepare_cached("UPDATE schedules SET covered_until = ?2 WHERE name = ?1")?
                .execute(params![
                    ending.delivery.occurrence.schedule.as_str(),
                    At(covered_until)
                ])?;
        }
        self.marks.happened(ending.at);
        Ok(())
    }

    /// A run of a delivery that was pruned meanwhile is nobody's.
    fn run(&mut self, report: &RunReport) -> rusqlite::Result<()> {
        let (ended_at, end) = match &report.progress {
            Progress::Status(_) => (None, None),
            Progress::Ended(end) => (Some(At(report.at)), Some(end)),
        };
        self.connection
            .prepare_cached(
                "INSERT INTO runs (delivery, accepted_at, status, since, ended_at, result, detail)
                 SELECT id, ?2, ?3, ?4, ?5, ?6, ?7 FROM deliveries WHERE idempotency_key = ?1
                 ON CONFLICT (delivery) DO UPDATE SET
                     since = iif(status = excluded.status, since, excluded.since),
                     status = excluded.status, ended_at = excluded.ended_at,
                     result = excluded.result, detail = excluded.detail",
            )?
            .execute(params![
                report.run.idempotency_key.as_str(),
                At(report.run.accepted_at),
                report.progress.word(),
                At(report.at),
                ended_at,
                end.and_then(|end| end.finding()).map(Finding::word),
                end.and_then(RunEnd::detail),
            ])?;
        self.marks.happened(report.at);
        Ok(())
    }

    fn skipped(&mut self, skipped: &Skipped) -> rusqlite::Result<()> {
        let position = self.marks.next_position();
        if let Some(same) = self.row_that_grows(skipped)? {
            self.connection
                .prepare_cached(
                    "UPDATE skips SET position = ?2, last = ?3, count = count + ?4, recorded_at = ?5
                     WHERE position = ?1",
                )?
                .execute(params![
                    same,
                    position,
                    At(skipped.last),
                    Count(skipped.count),
                    At(skipped.at)
                ])?;
        } else {
            self.connection
                .prepare_cached("INSERT INTO skips VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                .execute(params![
                    position,
                    skipped.schedule.as_str(),
                    skipped.why.word(),
                    At(skipped.first),
                    At(skipped.last),
                    Count(skipped.count),
                    At(skipped.at)
                ])?;
        }
        self.marks.happened(skipped.at);
        Ok(())
    }

    /// The schedule's newest skips, if these are alike and follow on them with no delivery in between.
    fn row_that_grows(&self, skipped: &Skipped) -> rusqlite::Result<Option<i64>> {
        let schedule = skipped.schedule.as_str();
        let newest = self
            .connection
            .prepare_cached(
                "SELECT position, why, last FROM skips WHERE schedule = ?1
                 ORDER BY last DESC LIMIT 1",
            )?
            .query_row([schedule], |row| {
                let alike = row.get_ref(1)?.as_str()? == skipped.why.word();
                Ok((row.get(0)?, alike, row.get::<_, At>(2)?.0))
            })
            .optional()?;
        let Some((position, true, last)) = newest.filter(|it| it.2 < skipped.first) else {
            return Ok(None);
        };
        let one_between = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM deliveries
                 WHERE schedule = ?1 AND scheduled_at > ?2 AND scheduled_at < ?3
                     AND origin = 'schedule'
                 LIMIT 1",
            )?
            .exists(params![schedule, At(last), At(skipped.first)])?;
        Ok((!one_between).then_some(position))
    }

    fn began(
        &mut self,
        schedule: &ScheduleId,
        at: Timestamp,
        covered_until: Timestamp,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO schedules VALUES (?1, 1, ?2, ?3)")?
            .execute(params![schedule.as_str(), At(at), At(covered_until)])?;
        self.marks.happened(at);
        Ok(())
    }

    fn ceased(&mut self, schedule: &ScheduleId, at: Timestamp) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE schedules SET in_force = 0 WHERE name = ?1")?
            .execute([schedule.as_str()])?;
        self.marks.happened(at);
        Ok(())
    }

    fn in_force(&mut self, schedule: &ScheduleId, source: &Source) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO sources VALUES (?1, ?2, ?3)")?
            .execute(params![schedule.as_str(), source.toml, source.input])?;
        Ok(())
    }

    fn paused(&mut self, scope: &Scope, pause: &Pause) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO pauses VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                scope_name(scope),
                At(pause.since),
                pause.until.map(At),
                pause.reason
            ])?;
        self.marks.happened(pause.since);
        Ok(())
    }

    /// A pause that ran out may have been made longer meanwhile.
    fn resumed(&mut self, scope: &Scope, at: Timestamp, how: Resumed) -> rusqlite::Result<()> {
        let ran_out_at = (how == Resumed::Expired).then_some(At(at));
        self.connection
            .prepare_cached(
                "DELETE FROM pauses WHERE schedule = ?1 AND (?2 IS NULL OR until <= ?2)",
            )?
            .execute(params![scope_name(scope), ran_out_at])?;
        self.marks.happened(at);
        Ok(())
    }

    /// What happened after `to` by the old clock counts for no mark any more: else each start until
    /// then would take the clock for one that is not set.
    fn rewound(&mut self, to: Timestamp) -> rusqlite::Result<()> {
        // Whatever it was skipped for, it comes again and gets its verdict then.
        self.connection
            .execute("DELETE FROM skips WHERE first > ?1", [At(to)])?;
        // Of a row that spans it, as many are kept as lie before it when all are equally far apart:
        // exact for most schedules, and never more than there were.
        self.connection.execute(
            "UPDATE skips SET last = ?1,
                 count = 1 + (?1 - first) / max(1, (last - first) / (count - 1))
             WHERE first <= ?1 AND last > ?1 AND count > 1",
            [At(to)],
        )?;
        // Nor did anything begin later: what comes again is owed.
        self.connection.execute(
            "UPDATE schedules SET began_at = ?1 WHERE began_at > ?1",
            [At(to)],
        )?;
        // What was accepted later lies ahead, and covers nothing of what comes before it.
        self.connection.execute(
            "UPDATE schedules SET covered_until = coalesce(
                 (SELECT max(window_end) FROM deliveries
                  WHERE schedule = name AND origin = 'schedule' AND verdict = 'accepted'
                      AND scheduled_at <= ?1), ?1)
             WHERE covered_until > ?1",
            [At(to)],
        )?;
        // What was written ahead by the old clock may have been sent by it: no later start forgets it.
        self.connection.execute(
            "UPDATE deliveries SET outcome_unknown = 1 WHERE verdict IS NULL AND scheduled_at > ?1",
            [At(to)],
        )?;
        // A wait is no longer than it was by the old clock.
        let newest = self.marks.newest.map_or(to, |newest| newest.max(to));
        self.connection.execute(
            "UPDATE deliveries SET retry_at = max(?1, retry_at - (?2 - ?1))
             WHERE verdict IS NULL AND retry_at > ?1",
            [At(to), At(newest)],
        )?;
        // Else a run would count as active until the time that the clock showed by mistake.
        self.connection.execute(
            "UPDATE runs SET accepted_at = min(accepted_at, ?1), since = min(since, ?1)
             WHERE ended_at IS NULL",
            [At(to)],
        )?;
        self.marks.settled_until = self.marks.settled_until.map(|it| it.min(to));
        self.marks.newest = Some(to);
        Ok(())
    }
}

/// Facts in their order. Once a key is known already, the same is said of all further facts about it.
pub(super) fn all<'a>(
    ledger: &mut Recording<'a>,
    facts: &[Stated<'_>],
    record: impl Fn(&mut Recording<'a>, &Fact) -> rusqlite::Result<Written>,
) -> rusqlite::Result<Vec<Written>> {
    let mut known = HashSet::new();
    let one = |Stated { fact, told }: &Stated<'_>| {
        if !told && fact.key().is_some_and(|key| known.contains(key)) {
            return Ok(Written::KeyIsKnown);
        }
        let written = record(ledger, fact)?;
        if !told && written == Written::KeyIsKnown {
            known.extend(fact.key().cloned());
        }
        Ok(written)
    };
    facts.iter().map(one).collect()
}
