//! `triggerd preview`: the exact request of an occurrence, with nothing sent and no token read.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use jiff::Timestamp;

use crate::api::http::{RUNS_BETA, USER_AGENT};
use crate::cli::Workplace;
use crate::past::when::When;
use crate::plan::delivery::{Delivery, Opened, Window};
use crate::plan::occurrence::Occurrence;
use crate::render;
use crate::schedule::Schedule;
use crate::schedule::recurrence::Slot;

/// Show the exact request of a schedule's next occurrence; nothing is sent
///
/// The window is that of a schedule whose occurrences were all accepted.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    triggerd preview weekly-report\n  \
    triggerd preview weekly-report --at 2026-11-30T09:00:00")]
pub(super) struct Args {
    /// The schedule
    schedule: String,

    /// The occurrence at this time: RFC 3339, or local to the schedule's zone
    #[arg(long, value_name = "TIME")]
    at: Option<When>,
}

pub(super) fn run(
    args: Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let schedule = workplace.catalog()?.schedule(&args.schedule)?;
    let slot = match args.at {
        Some(when) => at(&schedule, when)?,
        None => schedule
            .recurrence
            .next_after(workplace.now())
            .ok_or_else(|| anyhow!("`{}` has no occurrence any more", schedule.id))?,
    };
    let delivery = freeze(&schedule, workplace, &slot)?;
    let body: serde_json::Value = serde_json::from_str(&delivery.body.json)?;
    let api = &workplace.settings().api;
    writeln!(
        out,
        "POST {}/workspace_agents/{}/trigger",
        api.base_url, delivery.target.trigger_id
    )?;
    writeln!(out, "Authorization: Bearer ***")?;
    writeln!(out, "User-Agent: {USER_AGENT}")?;
    writeln!(out, "Content-Type: application/json")?;
    writeln!(out, "Idempotency-Key: {}", delivery.idempotency_key)?;
    if api.track_runs {
        writeln!(out, "OpenAI-Beta: {RUNS_BETA}")?;
    }
    writeln!(out, "\n{}", delivery.body.json)?;
    if let Some(input) = body["input"].as_str() {
        writeln!(
            out,
            "\nThe input, as the agent reads it:\n\n{}",
            input.trim_end()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn at(schedule: &Schedule, when: When) -> anyhow::Result<Slot> {
    let zone = &schedule.recurrence.zone.tz;
    let at = when.in_zone(zone)?;
    let local = |at: Timestamp| render::local(at, zone);
    let just_before = at - jiff::SignedDuration::from_nanos(1);
    match schedule.recurrence.next_after(just_before) {
        Some(slot) if slot.at == at => Ok(slot),
        Some(slot) => bail!(
            "`{}` is not due at {}; its next occurrence after that is at {}",
            schedule.id,
            local(at),
            local(slot.at)
        ),
        None => bail!("`{}` is not due at {}, nor later", schedule.id, local(at)),
    }
}

fn freeze(schedule: &Schedule, workplace: &Workplace, slot: &Slot) -> anyhow::Result<Delivery> {
    let occurrence = Occurrence::scheduled(&schedule.id, &schedule.recurrence, slot);
    let window = Window {
        start: previous(schedule, slot.at),
        end: slot.at,
        missed_count: 0,
    };
    match Delivery::freeze(
        schedule,
        workplace.namespace(),
        occurrence,
        window,
        Opened::WhenDue,
    ) {
        (delivery, None) => Ok(delivery),
        (_, Some(error)) => bail!(
            "its text can't be rendered for {}: {error}",
            render::utc(slot.at)
        ),
    }
}

fn previous(schedule: &Schedule, at: Timestamp) -> Timestamp {
    schedule
        .recurrence
        .previous_before(at)
        .map_or(at, |slot| slot.at)
}
