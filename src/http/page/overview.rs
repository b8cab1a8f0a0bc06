//! The first page: all schedules, and what needs attention.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::Value;
use serde::Serialize;

use super::strip::{LENGTH, Strip, failed};
use super::timeline::Timeline;
use super::when::When;
use super::{Wanted, render};
use crate::daemon::status::{
    BreakerStatus, LastStatus, NodeStatus, PauseStatus, ProblemStatus, RunStatusNow, ScheduleStatus,
};
use crate::http::desk::Seen;
use crate::ledger::{LedgerError, Reader};
use crate::plan::agenda::ScheduleNow;

/// More are on further pages.
const ROWS: usize = 100;
const PROBLEMS: usize = 50;
const RUNS: usize = 50;
const ATTENTION: usize = 20;

#[derive(Serialize)]
struct View<'a> {
    at: String,
    attention: &'a [String],
    more_attention: usize,
    schedules: usize,
    open_deliveries: usize,
    in_flight: usize,
    timeline: Value,
    labels: Vec<String>,
    pile_ups: String,
    most: String,
    q: &'a str,
    found: usize,
    first: usize,
    last: usize,
    before: Option<String>,
    after: Option<String>,
    rows: Vec<Row<'a>>,
    problems: &'a [ProblemStatus],
    more_problems: usize,
    breakers: Vec<Breaker<'a>>,
    pauses: Vec<Pause<'a>>,
    runs: Vec<Run<'a>>,
    more_runs: usize,
    nodes: &'a [NodeStatus],
    elsewhere: usize,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    description: &'a str,
    /// In place of a time, such as `disabled`.
    state: Option<&'static str>,
    next: Option<When>,
    zone: &'a str,
    waiting: String,
    last: Option<Last<'a>>,
    strip: Strip,
}

#[derive(Serialize)]
struct Last<'a> {
    class: &'a str,
    words: String,
    when: When,
}

#[derive(Serialize)]
struct Breaker<'a> {
    breaker: &'a str,
    of: &'a str,
    why: &'a str,
    waiting: usize,
    next: Option<When>,
}

#[derive(Serialize)]
struct Pause<'a> {
    schedule: Option<&'a str>,
    since: When,
    until: Option<When>,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Run<'a> {
    schedule: &'a str,
    request_id: &'a str,
    status: &'a str,
    since: When,
    conversation: Option<&'a str>,
}

pub(super) fn text(
    seen: &Seen,
    timeline: &Timeline,
    ledger: Option<&Reader>,
    wanted: &Wanted,
) -> Result<String, LedgerError> {
    let status = &seen.status;
    let q = wanted.q.to_lowercase();
    let all = status
        .schedules
        .iter()
        .zip(&seen.looked.standing.agenda.schedules);
    let found: Vec<(&ScheduleStatus, &ScheduleNow)> = all
        .filter(|(it, _)| it.schedule.contains(&q) || it.description.to_lowercase().contains(&q))
        .collect();
    let first = wanted
        .page
        .saturating_sub(1)
        .saturating_mul(ROWS)
        .min(found.len());
    let last = (first + ROWS).min(found.len());
    let mut rows = Vec::new();
    for (schedule, now) in &found[first..last] {
        rows.push(row(seen, schedule, now, ledger)?);
    }
    let page = |page: usize, there: bool| {
        there.then(|| format!("/?page={page}&q={}", in_a_query(&wanted.q)))
    };
    let shown = |all: usize, most: usize| (all.min(most), all.saturating_sub(most));
    let (attention, more_attention) = shown(status.attention.len(), ATTENTION);
    let (problems, more_problems) = shown(status.problems.len(), PROBLEMS);
    let (runs, more_runs) = shown(status.runs.len(), RUNS);
    let view = View {
        at: status.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        attention: &status.attention[..attention],
        more_attention,
        schedules: status.schedules.len(),
        open_deliveries: status.open_deliveries,
        in_flight: status.in_flight,
        timeline: Value::from_safe_string(timeline.svg()),
        labels: timeline.labels(),
        pile_ups: timeline.pile_ups(),
        most: timeline.highest(),
        q: &wanted.q,
        found: found.len(),
        first: first + 1,
        last,
        before: page(wanted.page.saturating_sub(1), first > 0),
        after: page(wanted.page.saturating_add(1), last < found.len()),
        rows,
        problems: &status.problems[..problems],
        more_problems,
        breakers: status.breakers.iter().map(|it| breaker(it, seen)).collect(),
        pauses: status.pauses.iter().map(|it| pause(it, seen)).collect(),
        runs: status.runs[..runs].iter().map(|it| run(it, seen)).collect(),
        more_runs,
        nodes: &status.nodes,
        elsewhere: status.elsewhere.len(),
    };
    Ok(render("overview", "triggerd", seen.looked.change, &view))
}

fn row<'a>(
    seen: &Seen,
    schedule: &'a ScheduleStatus,
    now: &'a ScheduleNow,
    ledger: Option<&Reader>,
) -> Result<Row<'a>, LedgerError> {
    let at = seen.status.at;
    let zone = &now.schedule.recurrence.zone;
    let marks = match ledger {
        Some(ledger) => ledger.strip(&now.schedule.id, LENGTH)?,
        None => Vec::new(),
    };
    Ok(Row {
        name: &schedule.schedule,
        description: &schedule.description,
        state: state(schedule),
        next: schedule.next_at.map(|next| When::new(next, &zone.tz, at)),
        zone: &schedule.timezone,
        waiting: waiting(&schedule.waiting),
        last: schedule.last.as_ref().map(|last| Last {
            class: class(last),
            words: words(last),
            when: When::new(last.scheduled_at, &zone.tz, at),
        }),
        strip: Strip::new(&marks, &zone.tz, at),
    })
}

pub(super) fn state(schedule: &ScheduleStatus) -> Option<&'static str> {
    match schedule.next_at {
        _ if !schedule.enabled => Some("disabled"),
        _ if schedule.paused => Some("paused"),
        None => Some("never again"),
        Some(_) => None,
    }
}

/// What open deliveries wait for, each kind once.
pub(super) fn waiting(waiting: &[String]) -> String {
    let mut kinds: Vec<&str> = waiting.iter().map(String::as_str).collect();
    kinds.sort_unstable();
    kinds.dedup();
    match waiting.len() {
        0 => String::new(),
        1 => format!("waits for {}", kinds.join(", ")),
        count => format!("{count} wait for {}", kinds.join(", ")),
    }
}

fn class(last: &LastStatus) -> &str {
    match failed(last.run.as_deref(), last.result.as_deref()) {
        true => "failed",
        false => &last.verdict,
    }
}

fn words(last: &LastStatus) -> String {
    let mut words = last.verdict.clone();
    if let Some(reason) = &last.reason {
        words += &format!(": {reason}");
    }
    if let Some(run) = &last.run {
        words += &format!(", run {run}");
    }
    if let Some(result) = &last.result {
        words += &format!(", result {result}");
    }
    words
}

fn breaker<'a>(breaker: &'a BreakerStatus, seen: &Seen) -> Breaker<'a> {
    Breaker {
        breaker: &breaker.breaker,
        of: &breaker.of,
        why: &breaker.why,
        waiting: breaker.waiting,
        next: breaker.next_at.map(|at| in_utc(at, seen)),
    }
}

fn pause<'a>(pause: &'a PauseStatus, seen: &Seen) -> Pause<'a> {
    Pause {
        schedule: pause.schedule.as_deref(),
        since: in_utc(pause.since, seen),
        until: pause.until.map(|at| in_utc(at, seen)),
        reason: pause.reason.as_deref(),
    }
}

fn in_utc(at: Timestamp, seen: &Seen) -> When {
    When::new(at, &TimeZone::UTC, seen.status.at)
}

fn run<'a>(run: &'a RunStatusNow, seen: &Seen) -> Run<'a> {
    Run {
        schedule: &run.schedule,
        request_id: &run.request_id,
        status: &run.status,
        since: in_utc(run.since, seen),
        conversation: link(run.conversation_url.as_deref()),
    }
}

fn in_a_query(text: &str) -> String {
    let mut written = String::new();
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => written.push(byte.into()),
            false => written += &format!("%{byte:02X}"),
        }
    }
    written
}

/// The API says where a conversation is; only what leads to a web page becomes a link.
pub(super) fn link(url: Option<&str>) -> Option<&str> {
    url.filter(|url| url.starts_with("https://"))
}
