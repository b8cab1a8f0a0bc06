//! `triggerd load`: what is due in which minute, and where it piles up. It counts what the files
//! say, and asks neither ledger nor API.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::cli::heat_map::{self, Cells};
use crate::cli::next::zone;
use crate::cli::{Workplace, length};
use crate::past::when::When;
use crate::plan::jitter;
use crate::render::counted;
use crate::schedule::Schedule;
use crate::schedule::message::rfc3339;
use crate::schedule::recurrence::{Recurrence, Slot, Timing, Zone};

/// Show what piles up in one minute, and a better minute
///
/// By the time at which each occurrence is due, jitter included.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd load\n  \
    triggerd load --next 7d --timezone Europe/Berlin")]
pub(super) struct Args {
    /// How far to look
    #[arg(long, value_name = "LENGTH", default_value = "24h", value_parser = length)]
    next: Duration,

    /// Begin after this instant: RFC 3339, or local to the zone [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<When>,

    /// The zone in which the hours are shown
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    timezone: Zone,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// As `--json` prints it.
#[derive(Debug, Serialize)]
struct Load {
    from: String,
    until: String,
    /// Those with any, in order.
    minutes: Vec<MinuteRow>,
    moves: Vec<Move>,
}

#[derive(Debug, Serialize)]
struct MinuteRow {
    minute: String,
    count: u64,
    schedules: Vec<String>,
}

/// A minute of the hour that meets fewer others, on the schedule's own clock.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Move {
    schedule: String,
    from_minute: i64,
    to_minute: i64,
    /// How many others at most are due in one minute with it then.
    meets: u64,
    /// And now.
    instead_of: u64,
}

/// What is due in one minute: which schedule, and how often.
type Minute = BTreeMap<usize, u64>;

const WORST_MINUTES: usize = 5;
const MOST_MOVES: usize = 10;
const MOST_NAMES: usize = 6;

pub(super) fn run(
    args: &Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let zone = &args.timezone.tz;
    let from = match args.from {
        Some(from) => from.in_zone(zone)?,
        None => workplace.now(),
    };
    let until = from.saturating_add(SignedDuration::try_from(args.next)?)?;
    let schedules: Vec<Arc<Schedule>> = workplace
        .catalog()?
        .schedules()
        .filter(|schedule| schedule.enabled)
        .cloned()
        .collect();
    let mut minutes: BTreeMap<Timestamp, Minute> = BTreeMap::new();
    let mut due_times = Vec::new();
    for (index, schedule) in schedules.iter().enumerate() {
        let due: Vec<Timestamp> = slots(&schedule.recurrence, from, until)
            .map(|slot| jitter::due_at(schedule, workplace.namespace(), &slot))
            .collect();
        for &at in &due {
            *minutes
                .entry(minute_of(at))
                .or_default()
                .entry(index)
                .or_default() += 1;
        }
        due_times.push(due);
    }
    let names = |minute: &Minute| -> Vec<String> {
        let of = |index: &usize| schedules[*index].id.to_string();
        minute.keys().map(of).collect()
    };
    let load = Load {
        from: from.to_string(),
        until: until.to_string(),
        minutes: minutes
            .iter()
            .map(|(at, minute)| MinuteRow {
                minute: at.to_string(),
                count: minute.values().sum(),
                schedules: names(minute),
            })
            .collect(),
        moves: moves(&schedules, &due_times, minutes.clone()),
    };
    if args.json {
        super::print_json(out, &load)?;
        return Ok(ExitCode::SUCCESS);
    }
    let cells = match std::io::stdout().is_terminal() {
        true => Cells::Blocks {
            colour: std::env::var_os("NO_COLOR").is_none(),
        },
        false => Cells::Digits,
    };
    let total = due_times.iter().map(Vec::len).sum();
    let local = |at: Timestamp| rfc3339(&at.to_zoned_datetime(zone.clone()));
    writeln!(
        out,
        "{} of {} from {} to {}",
        counted(total, "occurrence"),
        counted(schedules.len(), "schedule"),
        local(from),
        local(until)
    )?;
    let counts: BTreeMap<Timestamp, u64> = minutes
        .iter()
        .map(|(at, minute)| (*at, minute.values().sum()))
        .collect();
    if total > 0 {
        write!(out, "\n{}", heat_map::draw(&counts, zone, cells))?;
    }
    print_worst(&minutes, &names, &local, out)?;
    print_moves(&load.moves, out)?;
    Ok(ExitCode::SUCCESS)
}

/// What fires in (`from`, `until`].
fn slots(recurrence: &Recurrence, from: Timestamp, until: Timestamp) -> impl Iterator<Item = Slot> {
    std::iter::successors(recurrence.next_after(from), |slot| {
        recurrence.next_after(slot.at)
    })
    .take_while(move |slot| slot.at <= until)
    .filter(|slot| !slot.excluded)
}

fn minute_of(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or(at)
}

/// By count, then by time: those in which schedules meet.
fn worst(minutes: &BTreeMap<Timestamp, Minute>) -> Vec<(Timestamp, &Minute, u64)> {
    let mut worst: Vec<_> = minutes
        .iter()
        .filter(|(_, minute)| minute.len() > 1)
        .map(|(at, minute)| (*at, minute, minute.values().sum()))
        .collect();
    worst.sort_by_key(|(at, _, count)| (std::cmp::Reverse(*count), *at));
    worst.truncate(WORST_MINUTES);
    worst
}

/// For those that meet in the worst minutes, a minute of the same hour where they meet fewer; one
/// after the other, so that not all of them move to the same.
fn moves(
    schedules: &[Arc<Schedule>],
    due_times: &[Vec<Timestamp>],
    mut minutes: BTreeMap<Timestamp, Minute>,
) -> Vec<Move> {
    let crowded: Vec<Vec<usize>> = worst(&minutes)
        .into_iter()
        .map(|(_, minute, _)| minute.keys().copied().collect())
        .collect();
    let mut moves: Vec<Move> = Vec::new();
    for index in crowded.into_iter().flatten() {
        let (schedule, due) = (&schedules[index], &due_times[index]);
        let is_moved = moves.iter().any(|it| it.schedule == schedule.id.as_str());
        let Some(from_minute) = only_minute(schedule, due).filter(|_| !is_moved) else {
            continue;
        };
        let others_at = |shift: i64| {
            let shifted = due.iter().map(|at| minutes.get(&shifted(*at, shift)));
            let others = |minute: &Minute| {
                let others = minute.iter().filter(|(other, _)| **other != index);
                others.map(|(_, count)| count).sum()
            };
            shifted.flatten().map(others).max().unwrap_or(0)
        };
        let instead_of: u64 = others_at(0);
        let better = (0..60)
            .map(|minute| minute - from_minute)
            .min_by_key(|shift| (others_at(*shift), shift.abs()));
        let Some((shift, meets)) = better
            .map(|shift| (shift, others_at(shift)))
            .filter(|(_, meets)| *meets < instead_of)
        else {
            continue;
        };
        for at in due {
            if let Some(minute) = minutes.get_mut(&minute_of(*at)) {
                minute.remove(&index);
            }
            let there = minutes.entry(shifted(*at, shift)).or_default();
            *there.entry(index).or_default() += 1;
        }
        moves.push(Move {
            schedule: schedule.id.to_string(),
            from_minute,
            to_minute: from_minute + shift,
            meets,
            instead_of,
        });
        if moves.len() == MOST_MOVES {
            break;
        }
    }
    moves
}

fn shifted(at: Timestamp, minutes: i64) -> Timestamp {
    minute_of(at + SignedDuration::from_mins(minutes))
}

/// The minute of the hour at which it is always due, on its own clock; `None` if it moves about.
fn only_minute(schedule: &Schedule, due: &[Timestamp]) -> Option<i64> {
    let is_plain =
        schedule.jitter.is_zero() && matches!(schedule.recurrence.timing, Timing::Cron(_));
    let zone = &schedule.recurrence.zone.tz;
    let mut minutes = due.iter().map(|at| zone.to_datetime(*at).minute());
    let first = minutes.next().filter(|_| is_plain)?;
    minutes
        .all(|minute| minute == first)
        .then_some(i64::from(first))
}

fn print_worst(
    minutes: &BTreeMap<Timestamp, Minute>,
    names: &dyn Fn(&Minute) -> Vec<String>,
    local: &dyn Fn(Timestamp) -> String,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let worst = worst(minutes);
    if worst.is_empty() {
        return writeln!(out, "\nNo two schedules are due in one minute.");
    }
    writeln!(out, "\nThe fullest minutes in which schedules meet:")?;
    for (at, minute, count) in worst {
        let mut names = names(minute);
        let more = names.len().saturating_sub(MOST_NAMES);
        names.truncate(MOST_NAMES);
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        writeln!(
            out,
            "  {}  {count:4}  {}{more}",
            local(at),
            names.join(", ")
        )?;
    }
    Ok(())
}

fn print_moves(moves: &[Move], out: &mut dyn Write) -> std::io::Result<()> {
    if moves.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nA better minute, one after the other (`H` in `cron`, or `jitter`, spreads them as well):"
    )?;
    for it in moves {
        writeln!(
            out,
            "  {}: minute {} instead of {} meets {} instead of {}",
            it.schedule, it.to_minute, it.from_minute, it.meets, it.instead_of
        )?;
    }
    Ok(())
}
