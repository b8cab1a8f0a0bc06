//! `triggerd next`: when schedules are due. It asks the recurrence, and sends nothing.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::Serialize;

use crate::cli::Workplace;
use crate::plan::jitter;
use crate::schedule::cron::CronExpr;
use crate::schedule::message::rfc3339;
use crate::schedule::recurrence::{Naming, Recurrence, Slot, Timing, Zone};
use crate::schedule::{Schedule, ScheduleId};

/// Show the next occurrences, in local time and UTC
///
/// Strictly later than now, or than `--from`. Notes say where a clock change moves or repeats one.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd next weekly-report --count 3\n  \
    triggerd next --expr '30 2 * * *' --timezone America/New_York --from 2026-03-07T20:00:00Z")]
pub(super) struct Args {
    /// The schedules; all of the folder if none is named
    #[arg(value_name = "SCHEDULE", conflicts_with = "expr")]
    names: Vec<String>,

    /// How many occurrences of each
    #[arg(long, short = 'n', default_value_t = 5)]
    count: usize,

    /// Begin after this instant: RFC 3339, or local to the schedule's zone
    #[arg(long, value_name = "TIME")]
    from: Option<String>,

    /// One cron expression instead of the folder's schedules
    #[arg(long, value_name = "CRON", requires = "timezone")]
    expr: Option<String>,

    /// The zone of `--expr`
    #[arg(long, value_name = "ZONE", requires = "expr")]
    timezone: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Occurrences {
    occurrences: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    schedule: Option<String>,
    local: String,
    scheduled_at_utc: String,
    due_at_utc: String,
    note: Option<String>,
}

pub(super) fn run(
    args: Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let rows = match (&args.expr, &args.timezone) {
        (Some(expr), Some(timezone)) => of_expression(&args, expr, timezone, workplace.now())?,
        _ => of_schedules(&args, workplace)?,
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &Occurrences { occurrences: rows })?;
        writeln!(out)?;
    } else {
        print(&rows, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn of_expression(
    args: &Args,
    expr: &str,
    timezone: &str,
    now: Timestamp,
) -> anyhow::Result<Vec<Row>> {
    let zone = Zone::parse(timezone)
        .map_err(|error| with_help(error.message, error.help))
        .context("--timezone")?;
    let cron = CronExpr::parse(expr, "")
        .map_err(|error| with_help(error.message, error.help))
        .with_context(|| format!("--expr `{expr}`"))?;
    let from = start(args, &zone.tz, now)?;
    let recurrence = Recurrence {
        timing: Timing::Cron(vec![cron]),
        zone,
        start: None,
        end: None,
        except: Vec::new(),
    };
    let row = |slot: Slot| row(None, &recurrence, &slot, slot.at);
    Ok(slots(&recurrence, from, args.count).map(row).collect())
}

fn of_schedules(args: &Args, workplace: &Workplace) -> anyhow::Result<Vec<Row>> {
    let catalog = workplace.catalog()?;
    let schedules: Vec<Arc<Schedule>> = if args.names.is_empty() {
        catalog
            .schedules()
            .filter(|it| it.enabled)
            .cloned()
            .collect()
    } else {
        args.names
            .iter()
            .map(|name| catalog.schedule(name))
            .collect::<anyhow::Result<_>>()?
    };
    let mut rows = Vec::new();
    for schedule in &schedules {
        let recurrence = &schedule.recurrence;
        let from = start(args, &recurrence.zone.tz, workplace.now())?;
        rows.extend(slots(recurrence, from, args.count).map(|slot| {
            let due_at = jitter::due_at(schedule, workplace.namespace(), &slot);
            (slot.at, row(Some(&schedule.id), recurrence, &slot, due_at))
        }));
    }
    rows.sort_by_key(|(at, _)| *at);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

fn slots(recurrence: &Recurrence, from: Timestamp, count: usize) -> impl Iterator<Item = Slot> {
    std::iter::successors(recurrence.next_after(from), |slot| {
        recurrence.next_after(slot.at)
    })
    .take(count)
}

fn start(args: &Args, zone: &TimeZone, now: Timestamp) -> anyhow::Result<Timestamp> {
    match &args.from {
        Some(text) => instant(text, zone).with_context(|| format!("--from `{text}`")),
        None => Ok(now),
    }
}

/// An instant as people write it: with an offset, or local to `zone`.
pub(crate) fn instant(text: &str, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    let pieces = Pieces::parse(text).map_err(|error| {
        anyhow!("{error}; write it as `2026-11-23T09:00:00Z`, or without `Z` for local time")
    })?;
    if pieces.to_numeric_offset().is_some() {
        return Ok(text.parse()?);
    }
    let local = pieces.date().to_datetime(pieces.time().unwrap_or_default());
    Ok(zone.to_timestamp(local)?)
}

fn row(
    schedule: Option<&ScheduleId>,
    recurrence: &Recurrence,
    slot: &Slot,
    due_at: Timestamp,
) -> Row {
    Row {
        schedule: schedule.map(ToString::to_string),
        local: rfc3339(&slot.at.to_zoned_datetime(recurrence.zone.tz.clone())),
        scheduled_at_utc: slot.at.to_string(),
        due_at_utc: due_at.to_string(),
        note: note(recurrence, slot),
    }
}

/// Where a clock change, or an excluded date, makes an occurrence something to look at twice.
fn note(recurrence: &Recurrence, slot: &Slot) -> Option<String> {
    if slot.excluded {
        return Some("excluded by `except`: does not fire".into());
    }
    let zone = &recurrence.zone.tz;
    let local = zone.to_datetime(slot.at);
    if let AmbiguousOffset::Fold { before, .. } = zone.to_ambiguous_timestamp(local).offset() {
        let pass = if zone.to_offset(slot.at) == before {
            "first"
        } else {
            "second"
        };
        return Some(format!("this time comes twice; this is the {pass} pass"));
    }
    let change = zone
        .preceding(slot.at + jiff::SignedDuration::from_nanos(1))
        .next()?;
    let before = zone.to_datetime(slot.at - jiff::SignedDuration::from_nanos(1));
    let forward = change.timestamp() == slot.at && before.duration_until(local).as_secs() > 0;
    (forward && slot.naming == Naming::WallClock)
        .then(|| "the clock goes forward here; what it skips fires now".into())
}

fn print(rows: &[Row], out: &mut dyn Write) -> std::io::Result<()> {
    let width = rows
        .iter()
        .filter_map(|row| row.schedule.as_ref())
        .map(String::len)
        .max()
        .unwrap_or(0);
    for row in rows {
        let schedule = row.schedule.as_deref().unwrap_or_default();
        let gap = if width == 0 { "" } else { "  " };
        write!(
            out,
            "{schedule:width$}{gap}{:25}  {}",
            row.local, row.scheduled_at_utc
        )?;
        if row.due_at_utc != row.scheduled_at_utc {
            write!(out, "  due {}", row.due_at_utc)?;
        }
        if let Some(note) = &row.note {
            write!(out, "  ({note})")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn with_help(message: String, help: Option<String>) -> anyhow::Error {
    match help {
        Some(help) => anyhow!("{message}; {help}"),
        None => anyhow!(message),
    }
}
