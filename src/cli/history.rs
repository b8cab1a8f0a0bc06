//! `triggerd history`: what the ledger says of the past, as lines or as JSON. It reads beside a
//! running daemon and never writes.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::cli::Workplace;
use crate::ledger::Reader;
use crate::ledger::history::{
    Entry, Filter, Position, RecordedAttempt, RecordedDelivery, RecordedEnding, RecordedRun,
    RecordedSkip,
};
use crate::plan::occurrence::Origin;
use crate::schedule::ScheduleId;

/// Show what became of each occurrence, the newest last
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd history weekly-report\n  \
    triggerd history --json --follow | jq 'select(.verdict != \"accepted\")'")]
pub(super) struct Args {
    /// One schedule; all if none is named
    schedule: Option<String>,

    /// How many entries, the newest
    #[arg(long, short = 'n', default_value_t = 50)]
    count: usize,

    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,

    /// Then go on with what is recorded, until stopped
    #[arg(long, short)]
    follow: bool,
}

/// How often the ledger is looked at while it is followed.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) fn run(
    args: &Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let schedule = match &args.schedule {
        Some(name) => Some(ScheduleId::parse(name)?),
        None => None,
    };
    let reader = Reader::open(&workplace.settings().state)?;
    let mut position = reader.position()?;
    let entries = reader.history(&Filter {
        schedule: schedule.clone(),
        limit: args.count,
    })?;
    print(&entries, args.json, out)?;
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        std::thread::sleep(LOOK_EVERY);
        let entries = reader.after(position, schedule.as_ref())?;
        position = newest(&entries).unwrap_or(position);
        if print(&entries, args.json, out)
            .and_then(|()| Ok(out.flush()?))
            .is_err()
        {
            // Whoever read it has gone: that is how following ends in a pipe.
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn newest(entries: &[Entry]) -> Option<Position> {
    entries.iter().filter_map(Entry::position).max()
}

fn print(entries: &[Entry], json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    for entry in entries {
        let row = Row::new(entry);
        if json {
            serde_json::to_writer(&mut *out, &row)?;
            writeln!(out)?;
        } else {
            row.print(out).context("the answer can't be written")?;
        }
    }
    Ok(())
}

/// One entry as `--json` prints it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Row<'a> {
    Delivery(Box<DeliveryRow<'a>>),
    Skips(SkipsRow<'a>),
}

#[derive(Debug, Serialize)]
pub(super) struct DeliveryRow<'a> {
    schedule: &'a str,
    request_id: &'a str,
    idempotency_key: &'a str,
    trigger_id: &'a str,
    origin: &'static str,
    scheduled_at: String,
    due_at: String,
    /// `open` while there is none.
    verdict: &'static str,
    reason: Option<&'static str>,
    ended_at: Option<String>,
    outcome_unknown: bool,
    detail: Option<&'a str>,
    conversation_url: Option<&'a str>,
    run_id: Option<&'a str>,
    run: Option<RunRow<'a>>,
    attempts: Vec<AttemptRow<'a>>,
    /// Verdicts that redeliveries replaced.
    former_verdicts: Vec<FormerRow<'a>>,
}

#[derive(Debug, Serialize)]
struct FormerRow<'a> {
    verdict: &'static str,
    ended_at: String,
    detail: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct AttemptRow<'a> {
    attempt: u32,
    sent_at: String,
    latency_ms: u128,
    outcome: &'a str,
    http_status: Option<u16>,
    x_request_id: Option<&'a str>,
    detail: &'a str,
}

#[derive(Debug, Serialize)]
struct RunRow<'a> {
    status: &'a str,
    since: String,
    ended_at: Option<String>,
    result: Option<&'a str>,
    detail: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(super) struct SkipsRow<'a> {
    schedule: &'a str,
    verdict: &'static str,
    reason: &'static str,
    /// Scheduled times.
    first: String,
    last: String,
    count: u64,
    recorded_at: String,
}

impl<'a> Row<'a> {
    pub(super) fn new(entry: &'a Entry) -> Self {
        match entry {
            Entry::Delivery(delivery) => Self::Delivery(Box::new(DeliveryRow::new(delivery))),
            Entry::Skip(RecordedSkip { skipped, .. }) => Self::Skips(SkipsRow {
                schedule: skipped.schedule.as_str(),
                verdict: "skipped",
                reason: skipped.why.word(),
                first: skipped.first.to_string(),
                last: skipped.last.to_string(),
                count: skipped.count,
                recorded_at: skipped.at.to_string(),
            }),
        }
    }

    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        match self {
            Row::Delivery(row) => {
                // Manual triggers happen between seconds, and their request id tells when.
                let second = row.scheduled_at.get(..19).unwrap_or(&row.scheduled_at);
                write!(out, "{second}Z  {:9} {}", row.verdict, row.request_id)?;
                if let Some(reason) = row.reason {
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
                    if row.verdict != "accepted" && !last.detail.is_empty() {
                        write!(out, "  {}", last.detail)?;
                    }
                }
                if let Some(run) = &row.run {
                    write!(out, "  run {}", run.status)?;
                    for more in [run.result, run.detail].into_iter().flatten() {
                        write!(out, ", {more}")?;
                    }
                }
                for former in &row.former_verdicts {
                    write!(out, "  (redelivered; {} before)", former.verdict)?;
                }
                for text in [row.detail, row.conversation_url].into_iter().flatten() {
                    write!(out, "  {text}")?;
                }
                writeln!(out)
            }
            Row::Skips(row) if row.count == 1 => {
                writeln!(
                    out,
                    "{}  skipped   {}  {}",
                    row.last, row.schedule, row.reason
                )
            }
            Row::Skips(row) => writeln!(
                out,
                "{}  skipped   {}  {}  {} occurrences since {}",
                row.last, row.schedule, row.reason, row.count, row.first
            ),
        }
    }
}

impl<'a> DeliveryRow<'a> {
    fn new(delivery: &'a RecordedDelivery) -> Self {
        let ending = delivery.ending.as_ref();
        Self {
            schedule: delivery.occurrence.schedule.as_str(),
            request_id: &delivery.request_id,
            idempotency_key: delivery.idempotency_key.as_str(),
            trigger_id: delivery.target.trigger_id.as_str(),
            origin: match delivery.occurrence.origin {
                Origin::Schedule => "schedule",
                Origin::Manual => "manual",
            },
            scheduled_at: delivery.occurrence.scheduled_at.to_string(),
            due_at: delivery.due_at.to_string(),
            verdict: ending.map_or("open", |ending| ending.verdict.word()),
            reason: ending.and_then(|ending| ending.verdict.reason()),
            ended_at: ending.map(|ending| ending.at.to_string()),
            outcome_unknown: delivery.outcome_unknown,
            detail: ending.and_then(|ending| ending.detail.as_deref()),
            conversation_url: delivery.conversation_url.as_deref(),
            run_id: delivery.run_id.as_deref(),
            run: delivery.run.as_ref().map(RunRow::new),
            attempts: delivery.attempts.iter().map(AttemptRow::new).collect(),
            former_verdicts: delivery.former.iter().map(FormerRow::new).collect(),
        }
    }
}

impl<'a> FormerRow<'a> {
    fn new(former: &'a RecordedEnding) -> Self {
        Self {
            verdict: former.verdict.word(),
            ended_at: former.at.to_string(),
            detail: former.detail.as_deref(),
        }
    }
}

impl<'a> RunRow<'a> {
    fn new(run: &'a RecordedRun) -> Self {
        Self {
            status: &run.status,
            since: run.since.to_string(),
            ended_at: run.ended_at.map(|at| at.to_string()),
            result: run.result.as_deref(),
            detail: run.detail.as_deref(),
        }
    }
}

impl<'a> AttemptRow<'a> {
    fn new(attempt: &'a RecordedAttempt) -> Self {
        Self {
            attempt: attempt.number,
            sent_at: attempt.sent_at.to_string(),
            latency_ms: attempt.latency.as_millis(),
            outcome: &attempt.outcome,
            http_status: attempt.http_status,
            x_request_id: attempt.x_request_id.as_deref(),
            detail: &attempt.detail,
        }
    }
}
