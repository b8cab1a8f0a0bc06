//! `triggerd trigger`: one delivery by hand, by the daemon where one runs, else by its engine under
//! the state folder's lock. It knows no API and no ledger beyond handing them over.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::api::token::Tokens;
use crate::cli::{Workplace, environment, run::api};
use crate::clock::{Clock, SystemClock};
use crate::daemon::control::Ended;
use crate::daemon::engine::{Engine, World};
use crate::daemon::systemd;
use crate::daemon::verify::Verifier;
use crate::ledger::{Ledger, LedgerError, Place};
use crate::plan::agenda::Agenda;
use crate::plan::delivery::Verdict;
use crate::plan::remembered::Remembered;
use crate::schedule::ScheduleId;
use crate::telemetry::Telemetry;

/// Wake a schedule's agent once, now
///
/// By the daemon where one runs on the same state folder, else directly. It passes `enabled = false`,
/// and never moves the schedule's window.
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
    let settings = workplace.settings();
    let name = &args.schedule;
    match ask(&settings.control_socket, name).await? {
        Asked::Ended(ended) => return tell(&ended, out),
        Asked::Unknown => {
            bail!("the running daemon has no schedule `{name}` in force; its log says why")
        }
        Asked::Stopped => bail!(
            "the daemon stopped before the end; the delivery goes on when it starts, with the same key"
        ),
        Asked::Nobody => {}
    }
    let schedule = workplace.catalog()?.schedule(name)?;
    let clock = Arc::new(SystemClock::new());
    let now = clock.now();
    let opened = Ledger::open(&Place::Folder(settings.state.clone()), now.wall);
    let (ledger, remembered, receipts) = match opened {
        Err(LedgerError::InUse { folder, pid }) => bail!(
            "a daemon{} runs on the state folder `{}`, and can't be asked at `{}`; see its log for why, or name its socket under `[control]`",
            pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(),
            folder.display(),
            settings.control_socket.display()
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
            verifier: Verifier::default(),
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
        Some(ending) => tell(&Ended::new(&ending), out),
        None => bail!(
            "stopped before the end; `{}` goes on when the daemon starts, with the same key",
            triggered.request_id
        ),
    }
}

/// What asking a running daemon brought.
enum Asked {
    Ended(Ended),
    /// It has no such schedule in force.
    Unknown,
    /// It stopped before the end.
    Stopped,
    /// No daemon listens there.
    Nobody,
}

/// Asks the daemon that listens on `socket` for one delivery, and waits for its end.
async fn ask(socket: &Path, schedule: &str) -> anyhow::Result<Asked> {
    // An error says that the process has a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .unix_socket(socket)
        .tls_certs_only([])
        .build()?;
    let answer = client
        .post(format!("http://triggerd/trigger/{schedule}"))
        .send()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return Ok(Asked::Nobody),
        Err(_) => return Ok(Asked::Stopped),
    };
    Ok(match answer.status() {
        reqwest::StatusCode::OK => Asked::Ended(serde_json::from_slice(&answer.bytes().await?)?),
        reqwest::StatusCode::NOT_FOUND => Asked::Unknown,
        _ => Asked::Stopped,
    })
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

fn tell(ended: &Ended, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    writeln!(out, "{} {}", ended.verdict, ended.request_id)?;
    let accepted = ended.verdict == Verdict::Accepted.word();
    let more = match accepted {
        true => [ended.conversation_url.as_ref(), None],
        false => [ended.detail.as_ref(), ended.fix.as_ref()],
    };
    for text in more.into_iter().flatten() {
        writeln!(out, "{text}")?;
    }
    Ok(match accepted {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
