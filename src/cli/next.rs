//! `triggerd next`: when schedules are due. It asks the recurrence, and sends nothing.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::Workplace;
use crate::past::when::When;
use crate::plan::jitter;
use crate::schedule::cron::CronExpr;
use crate::schedule::message::rfc3339;
use crate::schedule::recurrence::{Recurrence, Slot, Timing, Zone, note};
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
    #[arg(conflicts_with = "expr", value_name = "SCHEDULE")]
    names: Vec<String>,

    /// How many occurrences of each
    #[arg(long, short = 'n', default_value_t = 5)]
    count: usize,

    /// Begin after this instant: RFC 3339, or local to the schedule's zone
    #[arg(long, value_name = "TIME")]
    from: Option<When>,

    /// One cron expression instead of the folder's schedules
    #[arg(long, value_name = "CRON", requires = "timezone", value_parser = cron)]
    expr: Option<CronExpr>,

    /// The zone of `--expr`
    #[arg(long, value_name = "ZONE", requires = "expr", value_parser = zone)]
    timezone: Option<Zone>,

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
        (Some(expr), Some(zone)) => {
            let recurrence = Recurrence {
                timing: Timing::Cron(vec![expr.clone()]),
                zone: zone.clone(),
                start: None,
                end: None,
                except: Vec::new(),
            };
            of_expression(&args, &recurrence, workplace.now())?
        }
        _ => of_schedules(&args, workplace)?,
    };
    if args.json {
        super::print_json(out, &Occurrences { occurrences: rows })?;
    } else {
        print(&rows, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn of_expression(args: &Args, recurrence: &Recurrence, now: Timestamp) -> anyhow::Result<Vec<Row>> {
    let from = start(args, &recurrence.zone.tz, now)?;
    let row = |slot: Slot| row(None, recurrence, &slot, slot.at);
    Ok(slots(recurrence, from, args.count).map(row).collect())
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
    args.from.map_or(Ok(now), |from| Ok(from.in_zone(zone)?))
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

fn cron(text: &str) -> Result<CronExpr, String> {
    CronExpr::parse(text, "").map_err(|error| with_help(error.message, error.help))
}

pub(super) fn zone(text: &str) -> Result<Zone, String> {
    Zone::parse(text).map_err(|error| with_help(error.message, error.help))
}

fn with_help(message: String, help: Option<String>) -> String {
    match help {
        Some(help) => format!("{message}; {help}"),
        None => message,
    }
}
