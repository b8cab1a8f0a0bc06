//! Entries of the ledger as `history` shows them: as JSON, over the control socket as well, and in a line.
//! It looks nothing up.

use std::io::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::history::{
    Entry, RecordedAttempt, RecordedDelivery, RecordedEnding, RecordedRun, RecordedSkip,
};
use crate::plan::delivery::Verdict;
use crate::plan::occurrence::Origin;
use crate::render::utc;

/// The word for how a delivery ended, or how it stands.
pub(super) fn verdict(delivery: &RecordedDelivery, now: Timestamp) -> &'static str {
    match &delivery.ending {
        Some(ending) => ending.verdict.word(),
        None if delivery.attempts.is_empty() && delivery.occurrence.scheduled_at > now => "ahead",
        None => "open",
    }
}

/// One entry as `--json` prints it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Row {
    Delivery(Box<DeliveryRow>),
    Skips(SkipsRow),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DeliveryRow {
    schedule: String,
    request_id: String,
    idempotency_key: String,
    trigger_id: String,
    origin: String,
    scheduled_at: String,
    due_at: String,
    /// `open` while there is none, and `ahead` of one that is written down before its time.
    verdict: String,
    reason: Option<String>,
    ended_at: Option<String>,
    outcome_unknown: bool,
    detail: Option<String>,
    conversation_url: Option<String>,
    run_id: Option<String>,
    run: Option<RunRow>,
    attempts: Vec<AttemptRow>,
    /// Verdicts that redeliveries replaced.
    former_verdicts: Vec<FormerRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FormerRow {
    verdict: String,
    ended_at: String,
    detail: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AttemptRow {
    attempt: u32,
    sent_at: String,
    latency_ms: u64,
    outcome: String,
    http_status: Option<u16>,
    x_request_id: Option<String>,
    detail: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct RunRow {
    status: String,
    since: String,
    ended_at: Option<String>,
    result: Option<String>,
    detail: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SkipsRow {
    schedule: String,
    verdict: String,
    reason: String,
    /// Scheduled times.
    first: String,
    last: String,
    count: u64,
    recorded_at: String,
}

impl Row {
    pub fn new(entry: &Entry, now: Timestamp) -> Self {
        match entry {
            Entry::Delivery(delivery) => Self::Delivery(Box::new(DeliveryRow::new(delivery, now))),
            Entry::Skip(RecordedSkip { skipped, .. }) => Self::Skips(SkipsRow {
                schedule: skipped.schedule.to_string(),
                verdict: "skipped".to_owned(),
                reason: skipped.why.word().to_owned(),
                first: skipped.first.to_string(),
                last: skipped.last.to_string(),
                count: skipped.count,
                recorded_at: skipped.at.to_string(),
            }),
        }
    }

    /// In a line.
    pub fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        match self {
            Row::Delivery(row) => {
                // Manual triggers happen between seconds, and their request id tells when.
                let second = second(&row.scheduled_at);
                write!(out, "{second}  {:9} {}", row.verdict, row.request_id)?;
                if let Some(reason) = &row.reason {
                    write!(out, "  {reason}")?;
                }
                if row.outcome_unknown {
                    write!(out, "  outcome unknown")?;
                }
                if let Some(last) = row.attempts.last() {
                    write!(out, "  attempt {}", last.attempt)?;
                    if let Some(status) = last.http_status {
                        write!(out, "  http {status}")?;
                    }
                    if row.verdict != Verdict::Accepted.word() && !last.detail.is_empty() {
                        write!(out, "  {}", last.detail)?;
                    }
                }
                if let Some(run) = &row.run {
                    write!(out, "  run {}", run.status)?;
                    for more in [&run.result, &run.detail].into_iter().flatten() {
                        write!(out, ", {more}")?;
                    }
                }
                for former in &row.former_verdicts {
                    write!(out, "  (redelivered; {} before)", former.verdict)?;
                }
                for text in [&row.detail, &row.conversation_url].into_iter().flatten() {
                    write!(out, "  {text}")?;
                }
                writeln!(out)
            }
            Row::Skips(row) => {
                let (last, first) = (second(&row.last), second(&row.first));
                write!(out, "{last}  skipped   {}  {}", row.schedule, row.reason)?;
                match row.count {
                    1 => writeln!(out),
                    count => writeln!(out, "  {count} occurrences since {first}"),
                }
            }
        }
    }
}

/// As people read it; whatever is no instant as it is.
fn second(instant: &str) -> String {
    instant.parse().map_or_else(|_| instant.to_owned(), utc)
}

impl DeliveryRow {
    fn new(delivery: &RecordedDelivery, now: Timestamp) -> Self {
        let ending = delivery.ending.as_ref();
        Self {
            schedule: delivery.occurrence.schedule.to_string(),
            request_id: delivery.request_id.to_string(),
            idempotency_key: delivery.idempotency_key.as_str().to_owned(),
            trigger_id: delivery.target.trigger_id.as_str().to_owned(),
            origin: match delivery.occurrence.origin {
                Origin::Schedule => "schedule",
                Origin::Manual => "manual",
            }
            .to_owned(),
            scheduled_at: delivery.occurrence.scheduled_at.to_string(),
            due_at: delivery.due_at.to_string(),
            verdict: verdict(delivery, now).to_owned(),
            reason: ending
                .and_then(|ending| ending.verdict.reason())
                .map(str::to_owned),
            ended_at: ending.map(|ending| ending.at.to_string()),
            outcome_unknown: delivery.outcome_unknown,
            detail: ending.and_then(|ending| ending.detail.clone()),
            conversation_url: delivery.conversation_url.clone(),
            run_id: delivery.run_id.clone(),
            run: delivery.run.as_ref().map(RunRow::new),
            attempts: delivery.attempts.iter().map(AttemptRow::new).collect(),
            former_verdicts: delivery.former.iter().map(FormerRow::new).collect(),
        }
    }
}

impl FormerRow {
    fn new(former: &RecordedEnding) -> Self {
        Self {
            verdict: former.verdict.word().to_owned(),
            ended_at: former.at.to_string(),
            detail: former.detail.clone(),
        }
    }
}

impl RunRow {
    fn new(run: &RecordedRun) -> Self {
        Self {
            status: run.status.clone(),
            since: run.since.to_string(),
            ended_at: run.ended_at.map(|at| at.to_string()),
            result: run.result.clone(),
            detail: run.detail.clone(),
        }
    }
}

impl AttemptRow {
    fn new(attempt: &RecordedAttempt) -> Self {
        Self {
            attempt: attempt.number,
            sent_at: attempt.sent_at.to_string(),
            latency_ms: u64::try_from(attempt.latency.as_millis()).unwrap_or(u64::MAX),
            outcome: attempt.outcome.clone(),
            http_status: attempt.http_status,
            x_request_id: attempt.x_request_id.clone(),
            detail: attempt.detail.clone(),
        }
    }
}
