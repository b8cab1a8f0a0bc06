//! `triggerd trigger`: one delivery by hand, made by the daemon's own engine under the state
//! folder's lock. It knows no API and no ledger beyond handing them over.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::api::token::Tokens;
use crate::cli::{Workplace, environment, run::api};
use crate::clock::{Clock, SystemClock};
use crate::daemon::engine::{Engine, World};
use crate::daemon::systemd;
use crate::ledger::{Ledger, LedgerError, Place};
use crate::plan::agenda::Agenda;
use crate::plan::delivery::Verdict;
use crate::plan::fact::Ending;
use crate::plan::outcome::Outcome;
use crate::plan::remembered::Remembered;
use crate::schedule::ScheduleId;
use crate::telemetry::Telemetry;

/// Wake a schedule's agent once, now
///
/// It passes `enabled = false`, and never moves the schedule's window. While the daemon runs on the
/// same state folder it is refused.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  triggerd trigger weekly-report")]
pub(super) struct Args {
    /// The schedule
    schedule: String,
}

pub(super) async fn run(
    args: Args,
    workplace: Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let schedule = workplace.catalog()?.schedule(&args.schedule)?;
    let settings = workplace.settings();
    let clock = Arc::new(SystemClock::new());
    let now = clock.now();
    let opened = Ledger::open(&Place::Folder(settings.state.clone()), now.wall);
    let (ledger, remembered, receipts) = match opened {
        Err(LedgerError::InUse { folder, pid }) => bail!(
            "a daemon{} runs on the state folder `{}`, and this version can't ask it for a delivery by hand; stop it first, or name another folder with `--state`",
            pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(),
            folder.display()
        ),
        opened => opened?,
    };
    let tokens = Arc::new(Tokens::new(settings.tokens.clone(), Box::new(environment)));
    let agenda = Agenda::new(
        settings.namespace.clone(),
        1,
        only(&schedule.id, remembered),
        now,
    );
    let mut engine = Engine::new(
        agenda,
        World {
            clock,
            api: Arc::new(api(&settings.api, &tokens)?),
            ledger,
            receipts,
            telemetry: Telemetry::default(),
        },
    );
    let triggered = engine.trigger(&schedule);
    tracing::info!(
        request_id = %triggered.request_id,
        "triggering by hand; if it is stopped before the end, the next `triggerd run` goes on with it"
    );
    let stop = systemd::stop_signal().context("signals can't be caught")?;
    let done = stop.clone();
    let ended = tokio::spawn(async move {
        let ending = triggered.ended.await;
        done.cancel();
        ending
    });
    engine.run(stop).await?;
    match ended.await?.ok() {
        Some(ending) => tell(&ending, out),
        None => bail!(
            "stopped before the end; `{}` goes on when the daemon starts, with the same key",
            triggered.request_id
        ),
    }
}

/// What concerns this schedule's window, and nothing that another delivery could come of.
fn only(id: &ScheduleId, remembered: Remembered) -> Remembered {
    let mut schedules = remembered.schedules;
    schedules.retain(|schedule| schedule.id == *id);
    Remembered {
        schedules,
        ..Remembered::default()
    }
}

fn tell(ending: &Ending, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let request_id = &ending.delivery.request_id;
    if ending.verdict != Verdict::Accepted {
        writeln!(out, "{} {request_id}", ending.verdict.word())?;
        let answer = ending.last.as_ref().map(|last| &last.answer);
        for text in answer.iter().flat_map(|it| [&*it.detail, it.fix]) {
            if !text.is_empty() {
                writeln!(out, "{text}")?;
            }
        }
        return Ok(ExitCode::FAILURE);
    }
    writeln!(out, "accepted {request_id}")?;
    if let Some(Outcome::Accepted(acceptance)) =
        ending.last.as_ref().map(|last| &last.answer.outcome)
        && let Some(url) = &acceptance.conversation_url
    {
        writeln!(out, "{url}")?;
    }
    Ok(ExitCode::SUCCESS)
}
