//! The facts of one kind as one statement, whatever their number: their columns are arrays.
//! It knows no transaction, and nothing of what else is written with them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use super::connection::{Call, Column, call};
use super::waves::Kind;
use crate::ledger::values::{At, Count, Length, origin_word, scope_name, token_agent};
use crate::plan::delivery::{Delivery, Verdict};
use crate::plan::fact::{Attempt, Ending, Fact, Next, Skipped};
use crate::plan::outcome::Outcome;
use crate::plan::pause::Resumed;
use crate::plan::run::{Finding, Progress, RunEnd, RunReport};
use crate::schedule::ScheduleId;

/// Gives back the keys of what was written.
const WRITE_AHEAD: &str = "
    INSERT INTO deliveries (idempotency_key, request_id, schedule, scheduled_at, label, zone, origin,
        due_at, opened_at, deadline_at, window_start, window_end, missed_count, trigger_id,
        token_agent, conversation_key, body, body_len, body_sha256, keep_body, sender)
    SELECT t.*, $21::bigint FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[],
        $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
        $13::bigint[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bigint[],
        $19::bytea[], $20::boolean[]) AS t
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING idempotency_key";

const WITHDRAW: &str = "
    DELETE FROM deliveries
    WHERE idempotency_key = ANY($1::text[]) AND attempts = 0 AND verdict IS NULL";

/// Only what ended without acceptance: a redelivery that was asked for twice comes too late. Gives
/// back the keys of what was reopened.
const REOPEN: &str = "
    WITH reopened AS (
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
            AS t(idempotency_key, opened_at, deadline_at)),
    replaced AS (
        INSERT INTO former_verdicts
        SELECT d.id, d.position, d.verdict, d.reason, d.ended_at, d.detail
        FROM deliveries d JOIN reopened USING (idempotency_key)
        WHERE d.verdict IN ('rejected', 'expired')
        RETURNING delivery)
    UPDATE deliveries d SET verdict = NULL, reason = NULL, ended_at = NULL, detail = NULL,
        position = NULL, opened_at = r.opened_at, deadline_at = r.deadline_at, reopened = true,
        sender = $4
    FROM reopened r, replaced
    WHERE d.idempotency_key = r.idempotency_key AND d.id = replaced.delivery
    RETURNING d.idempotency_key";

const ATTEMPTED: &str = "
    WITH attempted AS (
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[],
            $6::bigint[], $7::text[], $8::text[], $9::boolean[], $10::bigint[], $11::text[], $12::text[])
            AS t(idempotency_key, number, sent_at, latency, outcome, http_status, x_request_id, detail,
                is_unknown, retry_at, conversation_url, run_id)),
    recorded AS (
        INSERT INTO attempts
        SELECT d.id, a.number, a.sent_at, a.latency, a.outcome, a.http_status, a.x_request_id, a.detail
        FROM attempted a JOIN deliveries d USING (idempotency_key)
        ON CONFLICT (delivery, number) DO UPDATE SET sent_at = excluded.sent_at,
            latency = excluded.latency, outcome = excluded.outcome, http_status = excluded.http_status,
            x_request_id = excluded.x_request_id, detail = excluded.detail)
    UPDATE deliveries d SET attempts = a.number, outcome_unknown = d.outcome_unknown OR a.is_unknown,
        retry_at = a.retry_at, conversation_url = a.conversation_url, run_id = a.run_id
    FROM attempted a WHERE d.idempotency_key = a.idempotency_key";

/// An occurrence gets one verdict, once: the first one stays.
const END: &str = "
    WITH base AS (SELECT nextval('positions') AS position)
    UPDATE deliveries d SET verdict = e.verdict, reason = e.reason, ended_at = e.ended_at,
        attempts = e.attempts, outcome_unknown = e.outcome_unknown, detail = e.detail,
        position = base.position + e.n, body = CASE WHEN e.drop_body THEN NULL ELSE d.body END,
        retry_at = NULL
    FROM base, unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[],
        $7::text[], $8::boolean[]) WITH ORDINALITY
        AS e(idempotency_key, verdict, reason, ended_at, attempts, outcome_unknown, detail, drop_body, n)
    WHERE d.idempotency_key = e.idempotency_key AND d.verdict IS NULL";

const COVER: &str = "
    UPDATE schedules s SET covered_until = c.covered_until
    FROM unnest($1::text[], $2::bigint[]) AS c(schedule, covered_until) WHERE s.name = c.schedule";

/// A run of a delivery that was pruned meanwhile is nobody's.
const RUN: &str = "
    INSERT INTO runs (delivery, accepted_at, status, since, ended_at, result, detail)
    SELECT d.id, r.accepted_at, r.status, r.since, r.ended_at, r.result, r.detail
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])
        AS r(idempotency_key, accepted_at, status, since, ended_at, result, detail)
        JOIN deliveries d USING (idempotency_key)
    ON CONFLICT (delivery) DO UPDATE SET
        since = CASE WHEN runs.status = excluded.status THEN runs.since ELSE excluded.since END,
        status = excluded.status, ended_at = excluded.ended_at, result = excluded.result,
        detail = excluded.detail";

/// The schedule's newest skips grow, if these are alike and follow on them with no delivery in
/// between. What was written already, by a commit whose answer was lost, is not written twice.
const SKIP: &str = "
    WITH base AS (SELECT nextval('positions') AS position),
    skipped AS (
        SELECT t.*, k.position AS same
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
            WITH ORDINALITY AS t(schedule, why, first, last, count, recorded_at, n)
        LEFT JOIN LATERAL (
            SELECT position, why, last FROM skips WHERE schedule = t.schedule
            ORDER BY last DESC LIMIT 1) k
        ON k.why = t.why AND k.last < t.first AND NOT EXISTS (
            SELECT FROM deliveries d
            WHERE d.schedule = t.schedule AND d.scheduled_at > k.last AND d.scheduled_at < t.first
                AND d.origin = 'schedule')),
    grown AS (
        UPDATE skips k SET position = base.position + s.n, last = s.last, count = k.count + s.count,
            recorded_at = s.recorded_at
        FROM skipped s, base WHERE k.position = s.same)
    INSERT INTO skips
    SELECT base.position + s.n, s.schedule, s.why, s.first, s.last, s.count, s.recorded_at
    FROM skipped s, base
    WHERE s.same IS NULL AND NOT EXISTS (
        SELECT FROM skips k WHERE k.schedule = s.schedule AND k.last >= s.last AND k.first <= s.first
            AND k.why = s.why)";

const BEGIN_SCHEDULE: &str = "
    INSERT INTO schedules
    SELECT t.name, true, t.began_at, t.covered_until
    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS t(name, began_at, covered_until)
    ON CONFLICT (name) DO UPDATE SET in_force = true, began_at = excluded.began_at,
        covered_until = excluded.covered_until";

const CEASE: &str = "UPDATE schedules SET in_force = false WHERE name = ANY($1::text[])";

const IN_FORCE: &str = "
    INSERT INTO sources SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
    ON CONFLICT (schedule) DO UPDATE SET toml = excluded.toml, input = excluded.input";

const PAUSE: &str = "
    INSERT INTO pauses SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[])
    ON CONFLICT (schedule) DO UPDATE SET since = excluded.since, until = excluded.until,
        reason = excluded.reason";

/// A pause that ran out may have been made longer meanwhile, by whoever asked another node.
const RESUME: &str = "
    DELETE FROM pauses p USING unnest($1::text[], $2::bigint[]) AS r(schedule, ran_out_at)
    WHERE p.schedule = r.schedule AND (r.ran_out_at IS NULL OR p.until <= r.ran_out_at)";

/// What a step back of the clock takes back, each for the reason that `sqlite/record.rs` gives. Of
/// what this node looks after (`{mine}`), where there are others.
const REWIND: [&str; 7] = [
    "DELETE FROM skips WHERE first > $1 AND schedule {mine}",
    "UPDATE skips SET last = $1,
         count = 1 + ($1 - first) / greatest(1, (last - first) / (count - 1))
     WHERE first <= $1 AND last > $1 AND count > 1 AND schedule {mine}",
    "UPDATE schedules SET began_at = $1 WHERE began_at > $1 AND name {mine}",
    "UPDATE schedules SET covered_until = coalesce(
         (SELECT max(window_end) FROM deliveries
          WHERE schedule = name AND origin = 'schedule' AND verdict = 'accepted'
              AND scheduled_at <= $1), $1)
     WHERE covered_until > $1 AND name {mine}",
    "UPDATE deliveries SET outcome_unknown = true
     WHERE verdict IS NULL AND scheduled_at > $1 AND schedule {mine}",
    "UPDATE deliveries SET retry_at = greatest($1, retry_at - ($2 - $1))
     WHERE verdict IS NULL AND retry_at > $1 AND schedule {mine}",
    "UPDATE runs SET accepted_at = least(accepted_at, $1), since = least(since, $1)
     WHERE ended_at IS NULL
         AND delivery IN (SELECT id FROM deliveries WHERE run_id IS NOT NULL AND schedule {mine})",
];

const TAKE_UP: &str = "UPDATE owners SET settled_until = NULL WHERE schedule = ANY($1::text[])";

/// With a number of its own, so that nothing that comes later is taken for its owner's.
const GIVE_UP: &str = "
    UPDATE owners o SET incarnation = NULL, fence = nextval('fences'), settled_until = g.settled_until
    FROM unnest($1::text[], $2::bigint[]) AS g(schedule, settled_until)
    WHERE o.schedule = g.schedule";

/// Whose facts they are.
pub(super) struct Writer<'a> {
    /// `None` where it is alone.
    pub(super) incarnation: Option<i64>,
    /// The schedules that another node has taken over, or that it never looked after: what it says
    /// of them counts for no mark of theirs.
    pub(super) strange: &'a dyn Fn(&ScheduleId) -> bool,
    /// Of all that happened before.
    pub(super) newest: Option<Timestamp>,
}

/// The statements that write facts of one kind. The first one gives back the keys of what was
/// written, where that may be less than what was stated.
pub(super) fn of<'a>(kind: Kind, facts: &[&'a Fact], writer: &Writer<'_>) -> Vec<Call<'a>> {
    match kind {
        Kind::WrittenAhead => vec![write_ahead(&delivered(facts), writer.incarnation)],
        Kind::Withdrawn => {
            let keys = column(&delivered(facts), |it| it.idempotency_key.as_str());
            vec![call(WITHDRAW, vec![keys])]
        }
        Kind::Reopened => {
            let delivered = delivered(facts);
            let columns = vec![
                column(&delivered, |it| it.idempotency_key.as_str()),
                column(&delivered, |it| At(it.opened_at).number()),
                column(&delivered, |it| At(it.deadline_at).number()),
                Box::new(writer.incarnation),
            ];
            vec![call(REOPEN, columns)]
        }
        Kind::Attempted => vec![attempted(&those(facts, |fact| match fact {
            Fact::Attempted(attempt) => Some(&**attempt),
            _ => None,
        }))],
        Kind::Ended => {
            let endings = those(facts, |fact| match fact {
                Fact::Ended(ending) => Some(&**ending),
                _ => None,
            });
            ended(&endings, writer)
        }
        Kind::Run => vec![run(&those(facts, |fact| match fact {
            Fact::Run(report) => Some(&**report),
            _ => None,
        }))],
        Kind::Skipped => vec![skipped(&those(facts, |fact| match fact {
            Fact::Skipped(skipped) => Some(skipped),
            _ => None,
        }))],
        Kind::Began => {
            let began = those(facts, |fact| match fact {
                Fact::Began {
                    schedule,
                    at,
                    covered_until,
                } => Some((schedule, *at, *covered_until)),
                _ => None,
            });
            let columns = vec![
                column(&began, |it| it.0.as_str()),
                column(&began, |it| At(it.1).number()),
                column(&began, |it| At(it.2).number()),
            ];
            vec![call(BEGIN_SCHEDULE, columns)]
        }
        Kind::Ceased => {
            let ceased = those(facts, |fact| match fact {
                Fact::Ceased { schedule, .. } => Some(schedule),
                _ => None,
            });
            vec![call(CEASE, vec![column(&ceased, |it| it.as_str())])]
        }
        Kind::InForce => {
            let sources = those(facts, |fact| match fact {
                Fact::InForce { schedule, source } => Some((schedule, &**source)),
                _ => None,
            });
            let columns = vec![
                column(&sources, |it| it.0.as_str()),
                column(&sources, |it| clean(&it.1.toml)),
                column(&sources, |it| it.1.input.as_deref().map(clean)),
            ];
            vec![call(IN_FORCE, columns)]
        }
        Kind::Paused => {
            let paused = those(facts, |fact| match fact {
                Fact::Paused { scope, pause } => Some((scope, pause)),
                _ => None,
            });
            let columns = vec![
                column(&paused, |it| scope_name(it.0)),
                column(&paused, |it| At(it.1.since).number()),
                column(&paused, |it| it.1.until.map(|at| At(at).number())),
                column(&paused, |it| it.1.reason.as_deref().map(clean)),
            ];
            vec![call(PAUSE, columns)]
        }
        Kind::Resumed => {
            let resumed = those(facts, |fact| match fact {
                Fact::Resumed { scope, at, how } => {
                    Some((scope, (*how == Resumed::Expired).then(|| At(*at).number())))
                }
                _ => None,
            });
            let columns = vec![
                column(&resumed, |it| scope_name(it.0)),
                column(&resumed, |it| it.1),
            ];
            vec![call(RESUME, columns)]
        }
        Kind::Rewound => {
            let rewound = those(facts, |fact| match fact {
                Fact::Rewound { to } => Some(*to),
                _ => None,
            });
            let mine = writer.incarnation.map_or("IS NOT NULL".to_owned(), |me| {
                format!("IN (SELECT schedule FROM owners WHERE incarnation = {me})")
            });
            let newest = writer.newest;
            let rewind = |to: Timestamp| rewind(to, newest.map_or(to, |it| it.max(to)), &mine);
            rewound.into_iter().flat_map(rewind).collect()
        }
        Kind::TakenUp => {
            let taken = those(facts, |fact| match fact {
                Fact::TakenUp { schedule } => Some(schedule.as_str()),
                _ => None,
            });
            vec![call(TAKE_UP, vec![column(&taken, |it| it)])]
        }
        Kind::GivenUp => {
            let given = those(facts, |fact| match fact {
                Fact::GivenUp {
                    schedule,
                    settled_until,
                } => Some((schedule.as_str(), At(*settled_until).number())),
                _ => None,
            });
            vec![call(
                GIVE_UP,
                vec![column(&given, |it| it.0), column(&given, |it| it.1)],
            )]
        }
        // It stands with the marks.
        Kind::Settled => Vec::new(),
    }
}

/// The rows of what was accepted for schedules that are not this node's, where its being written ahead
/// was left out with an earlier transaction.
pub(super) fn bring_along<'a>(
    facts: &[(usize, &'a Fact)],
    writer: &Writer<'_>,
) -> Option<Call<'a>> {
    let accepted = facts.iter().filter_map(|(_, fact)| match fact {
        Fact::Ended(it) if it.verdict == Verdict::Accepted => Some(it.delivery.as_ref()),
        _ => None,
    });
    let strangers = accepted.filter(|it| (writer.strange)(&it.occurrence.schedule));
    let mut alone: Vec<&Delivery> = strangers.collect();
    if alone.is_empty() {
        return None;
    }
    let stated = facts.iter().filter_map(|(_, fact)| match fact {
        Fact::WrittenAhead(delivery) => Some(&delivery.idempotency_key),
        _ => None,
    });
    let stated: HashSet<_> = stated.collect();
    alone.retain(|it| !stated.contains(&it.idempotency_key));
    (!alone.is_empty()).then(|| write_ahead(&alone, writer.incarnation))
}

fn write_ahead<'a>(deliveries: &[&'a Delivery], sender: Option<i64>) -> Call<'a> {
    let it = deliveries;
    let columns = vec![
        column(it, |it| it.idempotency_key.as_str()),
        column(it, |it| &*it.request_id),
        column(it, |it| it.occurrence.schedule.as_str()),
        column(it, |it| At(it.occurrence.scheduled_at).number()),
        column(it, |it| &*it.occurrence.label),
        column(it, |it| &*it.occurrence.zone),
        column(it, |it| origin_word(it.occurrence.origin)),
        column(it, |it| At(it.due_at).number()),
        column(it, |it| At(it.opened_at).number()),
        column(it, |it| At(it.deadline_at).number()),
        column(it, |it| At(it.window.start).number()),
        column(it, |it| At(it.window.end).number()),
        column(it, |it| Count(it.window.missed_count).number()),
        column(it, |it| it.target.trigger_id.as_str()),
        column(it, |it| token_agent(&it.target.token)),
        column(it, |it| it.conversation_key.as_deref().map(clean)),
        // JSON: a zero character is escaped.
        column(it, |it| &*it.body.json),
        column(it, |it| Count(it.body.json.len() as u64).number()),
        column(it, |it| &it.body.sha256[..]),
        column(it, |it| it.keep_body),
        Box::new(sender),
    ];
    call(WRITE_AHEAD, columns)
}

fn attempted<'a>(attempts: &[&'a Attempt]) -> Call<'a> {
    let it = attempts;
    let acceptance = |it: &'a Attempt| match &it.answer.outcome {
        Outcome::Accepted(acceptance) => Some(acceptance),
        _ => None,
    };
    let columns = vec![
        column(it, |it| it.delivery.idempotency_key.as_str()),
        column(it, |it| i64::from(it.number)),
        column(it, |it| At(it.sent_at).number()),
        column(it, |it| Length(it.latency).number()),
        column(it, |it| it.answer.outcome.word()),
        column(it, |it| it.answer.http_status.map(i64::from)),
        column(it, |it| it.answer.x_request_id.as_deref().map(clean)),
        column(it, |it| clean(&it.answer.detail)),
        column(it, |it| it.answer.outcome.is_unknown()),
        column(it, |it| match it.next {
            Next::RetryAt(at) => Some(At(at).number()),
            Next::End | Next::Held => None,
        }),
        column(it, |it| {
            acceptance(it)?.conversation_url.as_deref().map(clean)
        }),
        column(it, |it| acceptance(it)?.run_id.as_deref().map(clean)),
    ];
    call(ATTEMPTED, columns)
}

fn ended<'a>(endings: &[&'a Ending], writer: &Writer<'_>) -> Vec<Call<'a>> {
    let it = endings;
    let columns = vec![
        column(it, |it| it.delivery.idempotency_key.as_str()),
        column(it, |it| it.verdict.word()),
        column(it, |it| it.verdict.reason()),
        column(it, |it| At(it.at).number()),
        column(it, |it| i64::from(it.attempts)),
        column(it, |it| it.outcome_unknown),
        column(it, |it| it.detail.as_deref().map(clean)),
        column(it, |it| {
            it.verdict == Verdict::Accepted && !it.delivery.keep_body
        }),
    ];
    let mut calls = vec![call(END, columns)];
    // The last one of each schedule says how far it is covered.
    let covered = endings.iter().filter_map(|it| {
        let schedule = &it.delivery.occurrence.schedule;
        let until = At(it.covered_until?).number();
        (!(writer.strange)(schedule)).then_some((schedule.as_str(), until))
    });
    let covered: Vec<_> = covered.collect::<HashMap<_, _>>().into_iter().collect();
    if !covered.is_empty() {
        let columns = vec![column(&covered, |it| it.0), column(&covered, |it| it.1)];
        calls.push(call(COVER, columns));
    }
    calls
}

fn run<'a>(reports: &[&'a RunReport]) -> Call<'a> {
    let it = reports;
    let end = |it: &'a RunReport| match &it.progress {
        Progress::Status(_) => None,
        Progress::Ended(end) => Some(end),
    };
    let columns = vec![
        column(it, |it| it.run.idempotency_key.as_str()),
        column(it, |it| At(it.run.accepted_at).number()),
        column(it, |it| clean(it.progress.word())),
        column(it, |it| At(it.at).number()),
        column(it, |it| end(it).map(|_| At(it.at).number())),
        column(it, |it| end(it)?.finding().map(Finding::word)),
        column(it, |it| {
            let detail = end(it).and_then(RunEnd::detail);
            detail.map(|detail| clean(&detail).into_owned())
        }),
    ];
    call(RUN, columns)
}

fn skipped<'a>(skips: &[&'a Skipped]) -> Call<'a> {
    let it = skips;
    let columns = vec![
        column(it, |it| it.schedule.as_str()),
        column(it, |it| it.why.word()),
        column(it, |it| At(it.first).number()),
        column(it, |it| At(it.last).number()),
        column(it, |it| Count(it.count).number()),
        column(it, |it| At(it.at).number()),
    ];
    call(SKIP, columns)
}

fn rewind<'a>(to: Timestamp, newest: Timestamp, mine: &str) -> Vec<Call<'a>> {
    let rewind = |sql: &str| {
        let mut params: Vec<Column<'a>> = vec![Box::new(At(to).number())];
        if sql.contains("$2") {
            params.push(Box::new(At(newest).number()));
        }
        call(sql.replace("{mine}", mine), params)
    };
    REWIND.into_iter().map(rewind).collect()
}

fn delivered<'a>(facts: &[&'a Fact]) -> Vec<&'a Delivery> {
    those(facts, |fact| match fact {
        Fact::WrittenAhead(it) | Fact::Withdrawn(it) | Fact::Reopened(it) => Some(&**it),
        _ => None,
    })
}

fn those<'a, T>(facts: &[&'a Fact], of: impl Fn(&'a Fact) -> Option<T>) -> Vec<T> {
    facts.iter().filter_map(|fact| of(fact)).collect()
}

fn column<'a, T: Copy, V: ToSql + Sync + 'a>(rows: &[T], value: impl Fn(T) -> V) -> Column<'a> {
    Box::new(rows.iter().map(|row| value(*row)).collect::<Vec<V>>())
}

/// No text in PostgreSQL has a zero character, and one of the API's may.
fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}
