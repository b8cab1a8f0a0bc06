//! A schedule's own page: what is next, and what became of each of its newest occurrences.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::overview::{link, state, waiting};
use super::render;
use super::strip::{LENGTH, Strip, class_of, failed, words};
use super::when::When;
use crate::http::desk::Seen;
use crate::ledger::history::{Entry, Filter, RecordedDelivery, RecordedSkip};
use crate::ledger::{LedgerError, Reader};
use crate::plan::delivery::Verdict;
use crate::plan::jitter;

const NEXT: usize = 5;

#[derive(Serialize)]
struct View<'a> {
    name: &'a str,
    description: &'a str,
    zone: &'a str,
    trigger_id: String,
    state: Option<&'static str>,
    waiting: String,
    next: Vec<Next>,
    strip: Strip,
    rows: Vec<Row>,
    cut: bool,
    most: usize,
}

#[derive(Serialize)]
struct Next {
    when: When,
    /// With its jitter, where there is one.
    due: Option<String>,
}

#[derive(Serialize)]
struct Row {
    when: When,
    /// Of occurrences that were skipped alike: until when, and how many.
    until: Option<When>,
    count: u64,
    request_id: Option<String>,
    class: &'static str,
    verdict: String,
    ended: Option<When>,
    detail: Option<String>,
    retry: Option<When>,
    attempts: Vec<Attempt>,
    run: Option<Run>,
    conversation: Option<String>,
    former: Vec<String>,
}

#[derive(Serialize)]
struct Attempt {
    number: u32,
    sent_at: String,
    latency_ms: u128,
    outcome: String,
    http_status: Option<u16>,
    x_request_id: Option<String>,
    detail: String,
}

#[derive(Serialize)]
struct Run {
    failed: bool,
    status: String,
    result: Option<String>,
    detail: Option<String>,
    id: Option<String>,
}

pub(super) fn text(
    seen: &Seen,
    place: usize,
    ledger: Option<&Reader>,
) -> Result<String, LedgerError> {
    let namespace = &seen.looked.standing.agenda.namespace;
    let status = &seen.status.schedules[place];
    let schedule = &seen.looked.standing.agenda.schedules[place].schedule;
    let (at, zone) = (seen.status.at, &schedule.recurrence.zone.tz);
    let (marks, entries) = match ledger {
        None => (Vec::new(), Vec::new()),
        Some(ledger) => {
            let newest = Filter {
                schedule: Some(schedule.id.clone()),
                limit: LENGTH,
            };
            (
                ledger.strip(&schedule.id, LENGTH)?,
                ledger.history(&newest)?,
            )
        }
    };
    let first = schedule
        .recurrence
        .next_after(at)
        .filter(|_| schedule.enabled);
    let slots = std::iter::successors(first, |slot| schedule.recurrence.next_after(slot.at));
    let next = slots.filter(|slot| !slot.excluded).take(NEXT).map(|slot| {
        let due_at = jitter::due_at(schedule, namespace, &slot);
        Next {
            when: When::new(slot.at, zone, at),
            due: (due_at != slot.at).then(|| due_at.strftime("%H:%M:%S UTC").to_string()),
        }
    });
    let view = View {
        name: &status.schedule,
        description: &status.description,
        zone: &status.timezone,
        trigger_id: schedule.target.trigger_id.to_string(),
        state: state(status),
        waiting: waiting(&status.waiting),
        next: next.collect(),
        strip: Strip::new(&marks, zone, at),
        cut: entries.len() == LENGTH,
        rows: entries.iter().rev().map(|it| row(it, zone, at)).collect(),
        most: LENGTH,
    };
    let title = format!("{} · triggerd", schedule.id);
    Ok(render("schedule", &title, seen.looked.change, &view))
}

fn row(entry: &Entry, zone: &TimeZone, now: Timestamp) -> Row {
    match entry {
        Entry::Delivery(delivery) => of_delivery(delivery, zone, now),
        Entry::Skip(skip) => of_skip(skip, zone, now),
    }
}

fn of_delivery(delivery: &RecordedDelivery, zone: &TimeZone, now: Timestamp) -> Row {
    let when = |at: Timestamp| When::new(at, zone, now);
    let ending = delivery.ending.as_ref();
    let verdict = ending.map(|ending| ending.verdict);
    Row {
        when: when(delivery.occurrence.scheduled_at),
        until: None,
        count: 1,
        request_id: Some(delivery.request_id.to_string()),
        class: class_of(verdict),
        verdict: words(verdict),
        ended: ending.map(|ending| when(ending.at)),
        detail: ending.and_then(|ending| ending.detail.clone()),
        retry: delivery.retry_at.filter(|_| ending.is_none()).map(when),
        attempts: delivery
            .attempts
            .iter()
            .map(|attempt| Attempt {
                number: attempt.number,
                sent_at: attempt
                    .sent_at
                    .strftime("%Y-%m-%d %H:%M:%S%.3f UTC")
                    .to_string(),
                latency_ms: attempt.latency.as_millis(),
                outcome: attempt.outcome.clone(),
                http_status: attempt.http_status,
                x_request_id: attempt.x_request_id.clone(),
                detail: attempt.detail.clone(),
            })
            .collect(),
        run: delivery.run.as_ref().map(|run| Run {
            failed: failed(Some(&run.status), run.result.as_deref()),
            status: run.status.clone(),
            result: run.result.clone(),
            detail: run.detail.clone(),
            id: delivery.run_id.clone(),
        }),
        conversation: link(delivery.conversation_url.as_deref()).map(str::to_owned),
        former: delivery
            .former
            .iter()
            .map(|former| words(Some(former.verdict)))
            .collect(),
    }
}

fn of_skip(skip: &RecordedSkip, zone: &TimeZone, now: Timestamp) -> Row {
    let skipped = &skip.skipped;
    let verdict = Some(Verdict::Skipped(skipped.why));
    Row {
        when: When::new(skipped.first, zone, now),
        until: (skipped.count > 1).then(|| When::new(skipped.last, zone, now)),
        count: skipped.count,
        request_id: None,
        class: class_of(verdict),
        verdict: words(verdict),
        ended: None,
        detail: None,
        retry: None,
        attempts: Vec::new(),
        run: None,
        conversation: None,
        former: Vec::new(),
    }
}
