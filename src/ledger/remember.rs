//! What the ledger remembers at a start: a fixed number of queries, however many schedules there are.
//! It writes nothing but the forgetting of what was written ahead in vain.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::ask::{Ask, Asked, Dialect, Param, Row};
use super::rows;
use super::values::{At, Count, Text};
use crate::api::wire::RunStatus;
use crate::plan::delivery::{Body, Delivery};
use crate::plan::fact::Source;
use crate::plan::limits::LONGEST_DAY;
use crate::plan::pause::{Pause, Pauses};
use crate::plan::remembered::{
    AcceptedDelivery, Delivered, FollowedRun, OpenDelivery, Remembered, RememberedSchedule,
};
use crate::plan::run::Run;
use crate::plan::window::Span;
use crate::schedule::ScheduleId;

/// How far things have come, by the ledger.
#[derive(Clone, Copy)]
pub(super) struct Until {
    pub(super) settled: Option<Timestamp>,
    pub(super) newest: Option<Timestamp>,
}

/// All of it. What was written ahead of `forget_ahead_of` and never tried is left out.
pub(super) fn all(
    store: &dyn Ask,
    until: Until,
    now: Timestamp,
    forget_ahead_of: Timestamp,
) -> Asked<Remembered> {
    let memory = Memory { store, only: None };
    memory.all(until, now, forget_ahead_of)
}

/// Of these schedules alone, each by itself; without pauses, and without how far it is settled.
pub(super) fn of(
    store: &dyn Ask,
    schedules: &[&ScheduleId],
    now: Timestamp,
) -> Asked<HashMap<ScheduleId, Remembered>> {
    let names = schedules.iter().map(|it| it.as_str()).collect();
    let memory = Memory {
        store,
        only: Some(names),
    };
    let until = Until {
        settled: None,
        newest: None,
    };
    let all = memory.all(until, now, Timestamp::MAX)?;
    let mut each = HashMap::<ScheduleId, Remembered>::new();
    for it in all.schedules {
        each.entry(it.id.clone()).or_default().schedules.push(it);
    }
    for it in all.open {
        each.entry(it.delivery.occurrence.schedule.clone())
            .or_default()
            .open
            .push(it);
    }
    for it in all.runs {
        each.entry(it.run.occurrence.schedule.clone())
            .or_default()
            .runs
            .push(it);
    }
    for it in all.accepted {
        each.entry(it.schedule.clone())
            .or_default()
            .accepted
            .push(it);
    }
    for it in delivered_beyond_owned(store, schedules)? {
        let of = each.entry(it.schedule.clone()).or_default();
        of.delivered.push(it);
    }
    Ok(each)
}

/// One delivery without a verdict.
pub(super) fn open(row: &Row<'_>) -> Asked<OpenDelivery> {
    Ok(OpenDelivery {
        delivery: Arc::new(delivery(row)?),
        attempts: row.get("attempts")?,
        retry_at: row.get::<Option<At>>("retry_at")?.map(|it| it.0),
        outcome_unknown: row.get("outcome_unknown")?,
    })
}

/// What is paused.
pub(super) fn pauses(store: &dyn Ask) -> Asked<Pauses> {
    Memory { store, only: None }.pauses()
}

/// The last good versions of what the daemon before this one on a node of this name had loaded.
pub(super) fn sources_of_node(store: &dyn Ask, name: &str) -> Asked<Vec<(ScheduleId, Source)>> {
    store.all(
        "SELECT DISTINCT s.schedule, s.toml, s.input
         FROM nodes n JOIN holdings h ON h.incarnation = n.incarnation
             JOIN sources s ON s.schedule = h.schedule
         WHERE n.name = ?1 AND h.version IS NOT NULL",
        &[name.into()],
        |row| {
            let source = Source {
                toml: row.get("toml")?,
                input: row.get("input")?,
            };
            Ok((row.get::<Text<_>>("schedule")?.0, source))
        },
    )
}

/// Each schedule looks its own rows up in the index: nearly always none. A clock that is set back by
/// years has no more than so many told; those beyond it are known when they are written ahead anew.
/// `node`: of what that one looks after alone.
pub(super) fn delivered_after(
    store: &dyn Ask,
    at: Timestamp,
    node: Option<i64>,
) -> Asked<Vec<Delivered>> {
    let join_each = store.dialect().join_each;
    let those = node.map_or(String::new(), |node| {
        format!("AND s.name IN (SELECT schedule FROM owners WHERE incarnation = {node})")
    });
    let query = format!(
        "SELECT s.name, d.scheduled_at
         FROM schedules s {join_each} deliveries d ON d.schedule = s.name AND d.scheduled_at > ?1
         WHERE d.origin = 'schedule' AND d.verdict IS NOT NULL {those}
         LIMIT 100000"
    );
    store.all(&query, &[At(at).into()], delivered)
}

/// As [`delivered_after`], each beyond where its schedule was settled when it was claimed.
fn delivered_beyond_owned(store: &dyn Ask, schedules: &[&ScheduleId]) -> Asked<Vec<Delivered>> {
    let names: Vec<_> = schedules.iter().map(|it| it.as_str()).collect();
    store.all(
        "SELECT o.schedule AS name, d.scheduled_at
         FROM owners o JOIN deliveries d ON d.schedule = o.schedule AND d.scheduled_at > o.settled_until
         WHERE o.schedule = ANY(?1) AND d.origin = 'schedule' AND d.verdict IS NOT NULL
         LIMIT 100000",
        &[Param::Names(&names)],
        delivered,
    )
}

fn delivered(row: &Row<'_>) -> Asked<Delivered> {
    Ok(Delivered {
        schedule: row.get::<Text<_>>("name")?.0,
        scheduled_at: row.get::<At>("scheduled_at")?.0,
    })
}

struct Memory<'a> {
    store: &'a dyn Ask,
    /// By name; `None` for all.
    only: Option<Vec<&'a str>>,
}

impl Memory<'_> {
    fn all(&self, until: Until, now: Timestamp, forget_ahead_of: Timestamp) -> Asked<Remembered> {
        let mut schedules = self.schedules()?;
        self.add_spans(&mut schedules, forget_ahead_of)?;
        Ok(Remembered {
            settled_until: until.settled,
            newest: until.newest,
            schedules,
            open: self.open_deliveries(forget_ahead_of)?,
            delivered: match until.settled {
                Some(settled_until) => delivered_after(self.store, settled_until, None)?,
                None => Vec::new(),
            },
            pauses: match self.only {
                None => self.pauses()?,
                Some(_) => Pauses::default(),
            },
            runs: self.followed_runs()?,
            accepted: self.accepted_since(now.checked_sub(LONGEST_DAY).unwrap_or(now))?,
        })
    }

    /// By name.
    fn schedules(&self) -> Asked<Vec<RememberedSchedule>> {
        self.store.all(
            &format!(
                "SELECT name, in_force, began_at, covered_until FROM schedules
                 WHERE true {} ORDER BY name",
                self.those("name", 1)
            ),
            &self.params([]),
            |row| {
                Ok(RememberedSchedule {
                    id: row.get::<Text<_>>("name")?.0,
                    in_force: row.get("in_force")?,
                    began_at: row.get::<At>("began_at")?.0,
                    covered_until: row.get::<At>("covered_until")?.0,
                    spans: Vec::new(),
                })
            },
        )
    }

    fn add_spans(&self, schedules: &mut [RememberedSchedule], now: Timestamp) -> Asked<()> {
        let mut schedules = schedules.iter_mut();
        let mut current = schedules.next();
        let query = spans(self.store, &self.those("s.name", 2));
        let params = self.params([At(now).into()]);
        self.store.each(&query, &params, &mut |row| {
            let (id, span) = span(row)?;
            while let Some(schedule) = &mut current {
                if schedule.id == id {
                    schedule.spans.push(span);
                    break;
                }
                current = schedules.next();
            }
            Ok(())
        })
    }

    /// By scheduled time.
    fn open_deliveries(&self, now: Timestamp) -> Asked<Vec<OpenDelivery>> {
        self.store.all(
            &format!(
                "SELECT * FROM deliveries
                 WHERE verdict IS NULL {}
                     AND NOT (scheduled_at > ?1 AND attempts = 0 AND NOT outcome_unknown)
                 ORDER BY scheduled_at, id",
                self.those("schedule", 2)
            ),
            &self.params([At(now).into()]),
            open,
        )
    }

    fn pauses(&self) -> Asked<Pauses> {
        let mut pauses = Pauses::default();
        self.store.each("SELECT * FROM pauses", &[], &mut |row| {
            let pause = Pause {
                since: row.get::<At>("since")?.0,
                until: row.get::<Option<At>>("until")?.map(|it| it.0),
                reason: row.get("reason")?,
            };
            pauses.put(row.get::<Text<_>>("schedule")?.0, pause);
            Ok(())
        })?;
        Ok(pauses)
    }

    fn followed_runs(&self) -> Asked<Vec<FollowedRun>> {
        self.store.all(
            &format!(
                "SELECT d.*, r.accepted_at, r.status, r.since
                 FROM runs r JOIN deliveries d ON d.id = r.delivery
                 WHERE r.ended_at IS NULL AND d.run_id IS NOT NULL {}
                 ORDER BY r.accepted_at",
                self.those("d.schedule", 1)
            ),
            &self.params([]),
            |row| {
                Ok(FollowedRun {
                    run: Run {
                        run_id: row.get("run_id")?,
                        occurrence: rows::occurrence(row)?,
                        request_id: row.get("request_id")?,
                        idempotency_key: rows::key(row)?,
                        target: rows::target(row)?,
                        due_at: row.get::<At>("due_at")?.0,
                        window: rows::window(row)?,
                        accepted_at: row.get::<At>("accepted_at")?.0,
                        conversation_url: row.get("conversation_url")?,
                    },
                    status: RunStatus::from(row.get::<String>("status")?),
                    since: row.get::<At>("since")?.0,
                })
            },
        )
    }

    fn accepted_since(&self, since: Timestamp) -> Asked<Vec<AcceptedDelivery>> {
        self.store.all(
            match self.only {
                None => ACCEPTED_SINCE,
                Some(_) => ACCEPTED_OF_THEM_SINCE,
            },
            &self.params([At(since).into()]),
            |row| {
                Ok(AcceptedDelivery {
                    schedule: row.get::<Text<_>>("schedule")?.0,
                    trigger_id: row.get::<Text<_>>("trigger_id")?.0,
                    opened_at: row.get::<At>("opened_at")?.0,
                })
            },
        )
    }

    /// The condition that keeps a column to those that are asked for, by the parameter of this number.
    fn those(&self, column: &str, number: usize) -> String {
        match self.only {
            None => String::new(),
            Some(_) => format!("AND {column} = ANY(?{number})"),
        }
    }

    fn params<'b, const N: usize>(&'b self, first: [Param<'b>; N]) -> Vec<Param<'b>> {
        let only = self.only.as_deref().map(Param::Names);
        first.into_iter().chain(only).collect()
    }
}

/// From the newest back to the first that is older, so that it costs no more than what it gives.
const ACCEPTED_SINCE: &str = "
    SELECT schedule, trigger_id, opened_at FROM deliveries
    WHERE verdict = 'accepted' AND position > coalesce(
        (SELECT position FROM deliveries WHERE position IS NOT NULL AND ended_at < ?1
         ORDER BY position DESC LIMIT 1), 0)
    ORDER BY position DESC";

/// Of a few schedules it is found by their own rows: by those that are scheduled lately, and by those
/// that were opened two days late or later, which have an index of their own.
const ACCEPTED_OF_THEM_SINCE: &str = "
    SELECT schedule, trigger_id, opened_at FROM deliveries
    WHERE verdict = 'accepted' AND schedule = ANY(?2) AND opened_at > ?1
        AND scheduled_at > ?1 - 172800000000000 AND opened_at <= scheduled_at + 172800000000000
    UNION ALL
    SELECT schedule, trigger_id, opened_at FROM deliveries
    WHERE verdict = 'accepted' AND schedule = ANY(?2) AND opened_at > ?1
        AND opened_at > scheduled_at + 172800000000000";

/// What lies beyond each schedule's accepted stretch, by schedule and end. A delivery that failed
/// is missed at its scheduled time. Each schedule looks its own rows
/// up in the index, instead of all rows looking for their schedule.
fn spans(store: &dyn Ask, those: &str) -> String {
    let Dialect {
        greater, join_each, ..
    } = store.dialect();
    format!(
        "SELECT s.name, 'open' AS what, d.window_start AS first, d.window_end AS last, 1 AS count
        FROM schedules s {join_each} deliveries d ON d.schedule = s.name
            AND d.scheduled_at > {greater}(s.covered_until, s.began_at)
        WHERE d.origin = 'schedule' AND d.verdict IS NULL {those}
            AND NOT (d.scheduled_at > ?1 AND d.attempts = 0 AND NOT d.outcome_unknown)
        UNION ALL
        SELECT s.name, CASE WHEN d.verdict = 'accepted' THEN 'accepted' ELSE 'missed' END,
            CASE WHEN d.verdict = 'accepted' THEN d.window_start ELSE d.window_end END, d.window_end, 1
        FROM schedules s {join_each} deliveries d ON d.schedule = s.name
            AND d.scheduled_at > {greater}(s.covered_until, s.began_at)
        WHERE d.origin = 'schedule' AND d.verdict IS NOT NULL {those}
        UNION ALL
        SELECT s.name, 'missed', k.first, k.last, k.count
        FROM schedules s {join_each} skips k ON k.schedule = s.name
            AND k.last > {greater}(s.covered_until, s.began_at)
        WHERE true {those}
        ORDER BY 1, 4"
    )
}

fn span(row: &Row<'_>) -> Asked<(ScheduleId, Span)> {
    let id = row.get::<Text<_>>("name")?.0;
    let first = row.get::<At>("first")?.0;
    let last = row.get::<At>("last")?.0;
    let span = match row.text("what")? {
        "missed" => Span::Missed {
            first,
            last,
            count: row.get::<Count>("count")?.0,
        },
        covered => Span::Covered {
            start: first,
            end: last,
            open: covered == "open",
        },
    };
    Ok((id, span))
}

fn delivery(row: &Row<'_>) -> Asked<Delivery> {
    Ok(Delivery {
        occurrence: rows::occurrence(row)?,
        request_id: row.get("request_id")?,
        idempotency_key: rows::key(row)?,
        conversation_key: row.get("conversation_key")?,
        target: rows::target(row)?,
        due_at: row.get::<At>("due_at")?.0,
        window: rows::window(row)?,
        body: Body {
            json: row.get("body")?,
            sha256: row.get("body_sha256")?,
        },
        keep_body: row.get("keep_body")?,
        opened_at: row.get::<At>("opened_at")?.0,
        deadline_at: row.get::<At>("deadline_at")?.0,
    })
}
