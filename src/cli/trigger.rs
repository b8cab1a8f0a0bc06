//! `triggerd trigger`: one delivery by hand, by the daemon where one runs, else by its engine under
//! the state folder's lock. It knows no API and no ledger beyond handing them over.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use crate::api::token::Tokens;
use crate::cli::{Workplace, environment, run::api};
use crate::clock::{Clock, SystemClock};
use crate::daemon::alerts::Alerts;
use crate::daemon::control::{AskError, Client, DeliverySeen, Ended};
use crate::daemon::engine::{Engine, World};
use crate::daemon::systemd;
use crate::ledger::{Ledger, LedgerError, Place, Reader};
use crate::plan::agenda::Agenda;
use crate::plan::delivery::Verdict;
use crate::plan::remembered::Remembered;
use crate::plan::run::Finding;
use crate::schedule::ScheduleId;
use crate::telemetry::Telemetry;

/// Wake a schedule's agent once, now
///
/// By the daemon where one runs on the same state folder, else directly. It passes `enabled = false`
/// and a pause, and never moves the schedule's window.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  triggerd trigger weekly-report --wait")]
pub(super) struct Args {
    /// The schedule
    schedule: String,

    /// Wait for the agent's run to end, and exit with 1 unless it completed
    #[arg(long)]
    wait: bool,
}

/// How often a run that somebody waits for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn run(
    args: Args,
    workplace: Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let settings = workplace.settings();
    let name = &args.schedule;
    ScheduleId::parse(name)?;
    let client = Client::new(&settings.control_socket)?;
    match client.post::<Ended>(&format!("/trigger/{name}")).await {
        Ok(ended) if args.wait && is_accepted(&ended) => {
            let path = format!("/deliveries/{}", ended.request_id);
            return wait(&ended, out, async || Ok(client.get(&path).await?)).await;
        }
        Ok(ended) => return tell(&ended, out),
        Err(AskError::NotFound(_)) => {
            bail!("the running daemon has no schedule `{name}` in force; its log says why")
        }
        Err(AskError::Stopped) => bail!(
            "the daemon stopped before the end; the delivery goes on when it starts, with the same key"
        ),
        Err(AskError::Nobody(_)) => {}
        Err(error) => return Err(error.into()),
    }
    directly(&args, &workplace, out).await
}

/// With an engine of its own, for as long as this delivery and, if wanted, its run last.
async fn directly(
    args: &Args,
    workplace: &Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let settings = workplace.settings();
    let schedule = workplace.catalog()?.schedule(&args.schedule)?;
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
            alerts: Alerts::default(),
            herald: systemd::Herald::default(),
        },
    );
    let triggered = engine.trigger(&schedule);
    tracing::info!(
        request_id = %triggered.request_id,
        "triggering by hand; if it is stopped before the end, the next `triggerd run` goes on with it"
    );
    let stop = systemd::stop_signal().context("signals can't be caught")?;
    let request_id = triggered.request_id.clone();
    let told = async {
        let _end = stop.clone().drop_guard();
        let ended = match triggered.ended.await {
            Ok(ending) => Ended::new(&ending),
            Err(_) => bail!(
                "stopped before the end; `{request_id}` goes on when the daemon starts, with the same key"
            ),
        };
        if args.wait && is_accepted(&ended) {
            let state = settings.state.clone();
            let look = async || {
                let delivery = Reader::open(&state)?.delivery(&request_id)?;
                let delivery = delivery.context("the ledger has lost the delivery")?;
                Ok(DeliverySeen::new(&delivery))
            };
            return until_stopped(&stop, wait(&ended, out, look)).await;
        }
        tell(&ended, out)
    };
    let (told, ran) = tokio::join!(told, engine.run(stop.clone()));
    ran?;
    told
}

async fn until_stopped(
    stop: &CancellationToken,
    waiting: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    tokio::select! {
        told = waiting => told,
        () = stop.cancelled() => bail!("stopped before the run's end; the next `triggerd run` follows it on"),
    }
}

/// Tells each state of the run as it comes, until it has ended.
async fn wait(
    accepted: &Ended,
    out: &mut dyn Write,
    mut look: impl AsyncFnMut() -> anyhow::Result<DeliverySeen>,
) -> anyhow::Result<ExitCode> {
    tell(accepted, out)?;
    if accepted.run_id.is_none() {
        bail!("the API named no run to wait for; set `[api] track_runs = true`");
    }
    let mut spinner = Spinner::new();
    let mut told = String::new();
    loop {
        if let Some(run) = look().await?.run {
            if run.status != told {
                spinner.clear();
                writeln!(out, "run {}", run.status)?;
                out.flush()?;
                told = run.status.clone();
            }
            if run.ended {
                spinner.clear();
                for more in [&run.result, &run.detail].into_iter().flatten() {
                    writeln!(out, "{more}")?;
                }
                let missing = run.result.as_deref() == Some(Finding::Missing.word());
                return Ok(match run.status == "completed" && !missing {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                });
            }
        }
        spinner.turn();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Something that moves while nothing happens, where a person looks at it.
struct Spinner {
    shown: bool,
    turns: usize,
}

impl Spinner {
    fn new() -> Self {
        Self {
            shown: std::io::stderr().is_terminal(),
            turns: 0,
        }
    }

    fn turn(&mut self) {
        const FRAMES: [&str; 4] = ["-", "\\", "|", "/"];
        if self.shown {
            self.turns += 1;
            let frame = FRAMES[self.turns % FRAMES.len()];
            let _ = write!(std::io::stderr(), "\r{frame} waiting for the agent");
        }
    }

    fn clear(&self) {
        if self.shown && self.turns > 0 {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
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

fn is_accepted(ended: &Ended) -> bool {
    ended.verdict == Verdict::Accepted.word()
}

pub(super) fn tell(ended: &Ended, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    writeln!(out, "{} {}", ended.verdict, ended.request_id)?;
    let more = match is_accepted(ended) {
        true => [ended.conversation_url.as_ref(), None],
        false => [ended.detail.as_ref(), ended.fix.as_ref()],
    };
    for text in more.into_iter().flatten() {
        writeln!(out, "{text}")?;
    }
    Ok(match is_accepted(ended) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
