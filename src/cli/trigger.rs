//! `triggerd trigger`: one delivery by hand, by the daemon where one runs, else by the node that looks
//! after the schedule, or else by its engine under the state folder's lock. It knows no API and no ledger beyond handing them over.

use std::future::ready;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use crate::api::token::Tokens;
use crate::api::wire::RunStatus;
use crate::cli::{Workplace, environment, length, run::api};
use crate::clock::{Clock, SystemClock};
use crate::daemon::alerts::Alerts;
use crate::daemon::awaited;
use crate::daemon::control::{AskError, Begun, Client, DeliverySeen, Ended, RunSeen, Told, Waits};
use crate::daemon::elsewhere::{self, Elsewhere, Written};
use crate::daemon::engine::{Engine, World};
use crate::daemon::systemd;
use crate::ledger::{Ledger, LedgerError, Place, Reader, Receipts};
use crate::plan::agenda::{Agenda, Wait};
use crate::plan::delivery::Verdict;
use crate::plan::remembered::Remembered;
use crate::plan::run::Finding;
use crate::render::utc;
use crate::schedule::ScheduleId;
use crate::telemetry::Telemetry;
use crate::toml_file::written;

/// Wake a schedule's agent once, now
///
/// By the daemon where one runs on the same state folder, else by the node that looks after the
/// schedule where several share the ledger, else directly. It passes `enabled = false` and a pause,
/// and never moves the schedule's window.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  triggerd trigger weekly-report --wait --within 10m")]
pub(super) struct Args {
    /// The schedule
    schedule: String,

    /// Wait for the agent's run to end, and exit with 1 unless it completed
    #[arg(long)]
    wait: bool,

    /// Wait no longer than this, and exit with 1; what was begun goes on [default: until the delivery ends, and
    /// for its run `expect.finished_within`, else `overlap.stuck_after`]
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    within: Option<Duration>,
}

/// How long a daemon may take from its lock to its socket.
const STARTING: Duration = Duration::from_secs(2);

/// How often a run that somebody waits for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn run(
    args: Args,
    workplace: Workplace,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let settings = workplace.settings();
    let client = Client::new(&settings.control_socket)?;
    ScheduleId::parse(&args.schedule)?;
    let mut watch = Watch::new(args.within);
    let patience = Instant::now() + STARTING;
    let opened = loop {
        if let Some(code) = by_the_daemon(&args, &client, &mut watch, out).await? {
            return Ok(code);
        }
        let schedule = workplace.catalog()?.schedule(&args.schedule)?;
        let now = workplace.now();
        if let Place::Postgres(database, _) = settings.place() {
            let there = Elsewhere {
                database,
                namespace: settings.namespace.clone(),
            };
            if there.is_there(&schedule.id)? {
                let written = there.trigger(&schedule, now)?;
                return by_another(&args, &written, &settings.place(), watch, out).await;
            }
        }
        match Ledger::open(&settings.place(), now) {
            // It may have begun just now, and listen in a moment.
            Err(LedgerError::InUse { .. }) if Instant::now() < patience => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            opened => break opened,
        }
    };
    match opened {
        Err(LedgerError::InUse { folder, pid }) => bail!(
            "a daemon{} runs on the state folder `{}`, and can't be asked at `{}`; see its log for why, or name its socket under `[control]`",
            pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(),
            folder.display(),
            settings.control_socket.display()
        ),
        opened => directly(&args, &workplace, opened?, watch, out).await,
    }
}

/// `None` where none listens.
async fn by_the_daemon(
    args: &Args,
    client: &Client,
    watch: &mut Watch,
    out: &mut dyn Write,
) -> anyhow::Result<Option<ExitCode>> {
    let name = &args.schedule;
    let path = format!("/trigger/{name}");
    let asked = client.deliver(&path, |told| watch.hear(told, Whose::Daemons));
    let asked = match args.within {
        Some(within) => tokio::time::timeout(within, asked).await,
        None => Ok(asked.await),
    };
    let ended = match asked {
        Ok(Ok(ended)) => ended,
        Ok(Err(AskError::Nobody(_))) => return Ok(None),
        Ok(Err(AskError::NotFound(_))) => {
            bail!("the running daemon has no schedule `{name}` in force; its log says why")
        }
        Ok(Err(AskError::Stopped)) => bail!(
            "the daemon stopped before the end; the delivery goes on when it starts, with the same key"
        ),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(not_in_time(watch.request_id(), name)),
    };
    if args.wait && is_accepted(&ended) {
        let path = format!("/deliveries/{}", ended.request_id);
        let look = async || Ok(client.get(&path).await?);
        return wait(&ended, watch, out, look).await.map(Some);
    }
    tell(&ended, out).map(Some)
}

/// By the node that looks after the schedule, where none runs on this state folder.
async fn by_another(
    args: &Args,
    written: &Written,
    place: &Place,
    mut watch: Watch,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let begun = written.begun();
    let request_id = begun.request_id.clone();
    watch.hear(&Told::Begun(begun), Whose::Daemons);
    let look = || Reader::open(place).and_then(|reader| reader.delivery(&request_id));
    let ended = {
        let waits = |waits| watch.hear(&Told::Waits(waits), Whose::Daemons);
        let ended = elsewhere::until_it_ends(written, || ready(look().ok().flatten()), waits);
        match args.within {
            Some(within) => tokio::time::timeout(within, ended).await.ok(),
            None => Some(ended.await),
        }
    };
    let Some(ended) = ended else {
        return Err(not_in_time(&request_id, &args.schedule));
    };
    if args.wait && is_accepted(&ended) {
        let look = async || {
            Ok(DeliverySeen::new(
                &look()?.context("the ledger has lost it")?,
            ))
        };
        return wait(&ended, &watch, out, look).await;
    }
    tell(&ended, out)
}

fn not_in_time(request_id: &str, schedule: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "`{request_id}` was not accepted in time, and goes on; `triggerd history {schedule}` shows what becomes of it"
    )
}

/// With an engine of its own, for as long as this delivery and, if wanted, its run last.
async fn directly(
    args: &Args,
    workplace: &Workplace,
    (ledger, remembered, receipts): (Ledger, Remembered, Receipts),
    mut watch: Watch,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let settings = workplace.settings();
    let schedule = workplace.catalog()?.schedule(&args.schedule)?;
    let clock = Arc::new(SystemClock::new());
    let tokens = Arc::new(Tokens::new(settings.tokens.clone(), Box::new(environment)));
    // Where a daemon would wait for one to come, this process can't.
    tokens.current(&schedule.target.token)?;
    let agenda = Agenda::new(
        settings.namespace.clone(),
        1,
        only(&schedule.id, remembered),
        clock.now(),
    );
    let mut engine = Engine::new(
        agenda.by_hand_alone(schedule.clone()),
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
    let events = engine.events();
    let triggered = engine.trigger(&schedule);
    tracing::info!(
        request_id = %triggered.request_id,
        "triggering by hand; if it is stopped before the end, the next `triggerd run` goes on with it"
    );
    let stop = systemd::stop_signal().context("signals can't be caught")?;
    let request_id = triggered.request_id.clone();
    watch.hear(&Told::Begun(Begun::new(&triggered)), Whose::Ours);
    let told = async {
        let _end = stop.clone().drop_guard();
        let waits = |wait: Wait| watch.hear(&Told::Waits(wait.into()), Whose::Ours);
        let ended = awaited::until_it_ends(&events, triggered, waits);
        let ended = match args.within {
            Some(within) => tokio::time::timeout(within, ended).await.ok().flatten(),
            None => ended.await,
        };
        let Some(ending) = ended else {
            bail!(
                "stopped before the end; `{request_id}` goes on when the daemon starts, with the same key"
            );
        };
        let ended = Ended::new(&ending);
        if args.wait && is_accepted(&ended) {
            let place = settings.place();
            let look = async || {
                let delivery = Reader::open(&place)?.delivery(&request_id)?;
                let delivery = delivery.context("the ledger has lost the delivery")?;
                Ok(DeliverySeen::new(&delivery))
            };
            return until_stopped(&stop, wait(&ended, &watch, out, look)).await;
        }
        tell(&ended, out)
    };
    let (told, ran) = tokio::join!(told, engine.run(stop.clone()));
    ran?;
    told
}

/// Who goes on with a delivery that nobody waits for any more.
#[derive(Clone, Copy)]
enum Whose {
    Daemons,
    Ours,
}

/// What is known of a delivery that has not ended, and how long it is waited for.
pub(super) struct Watch {
    began: Instant,
    within: Option<Duration>,
    begun: Option<Begun>,
}

impl Watch {
    fn new(within: Option<Duration>) -> Self {
        Self {
            began: Instant::now(),
            within,
            begun: None,
        }
    }

    fn request_id(&self) -> &str {
        self.begun.as_ref().map_or("it", |begun| &begun.request_id)
    }

    /// How much longer its run is waited for.
    fn left_for_its_run(&self) -> Duration {
        match (self.within, &self.begun) {
            (Some(within), _) => within.saturating_sub(self.began.elapsed()),
            (None, Some(begun)) => Duration::from_secs(begun.run_within_seconds),
            (None, None) => Duration::ZERO,
        }
    }

    fn hear(&mut self, told: &Told, whose: Whose) {
        match told {
            Told::Begun(begun) => self.begun = Some(begun.clone()),
            Told::Waits(waits) => {
                let _ = writeln!(std::io::stderr(), "{}", waiting(waits, whose));
            }
            Told::Ended(_) => {}
        }
    }
}

/// What it waits for, until when, and the way out.
fn waiting(waits: &Waits, whose: Whose) -> String {
    let mut said = format!("waiting for {}", waits.what);
    for more in [&waits.detail, &waits.fix].into_iter().flatten() {
        said += "; ";
        said += more.trim_end_matches('.');
    }
    if let Some(until) = waits.until {
        said += &format!("; it is tried again at {}", utc(until));
    }
    let deadline = utc(waits.deadline_at);
    let who = match whose {
        Whose::Daemons => "the daemon",
        Whose::Ours => "the next `triggerd run`",
    };
    said + &format!("; it expires at {deadline}, and Ctrl-C leaves it to {who}")
}

/// What is told of a delivery that the daemon was asked for.
pub(super) fn overhear(told: &Told) {
    Watch::new(None).hear(told, Whose::Daemons);
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

/// Tells each state of the run as it comes, until it has ended or the time is over.
async fn wait(
    accepted: &Ended,
    watch: &Watch,
    out: &mut dyn Write,
    mut look: impl AsyncFnMut() -> anyhow::Result<DeliverySeen>,
) -> anyhow::Result<ExitCode> {
    tell(accepted, out)?;
    if accepted.run_id.is_none() {
        bail!("the API named no run to wait for; set `[api] track_runs = true`");
    }
    let left = watch.left_for_its_run();
    let until = Instant::now() + left;
    let mut spinner = Spinner::new();
    let mut told = String::new();
    loop {
        if let Some(run) = look().await?.run {
            if run.status != told {
                spinner.clear();
                writeln!(out, "run {}", run.status)?;
                if run.status == RunStatus::Suspended.as_str() {
                    way_out(&run, accepted, out)?;
                }
                out.flush()?;
                told = run.status.clone();
            }
            if run.ended {
                spinner.clear();
                for more in [&run.result, &run.detail].into_iter().flatten() {
                    writeln!(out, "{more}")?;
                }
                let missing = run.result.as_deref() == Some(Finding::Missing.word());
                if run.status == RunStatus::Completed.as_str() && !missing {
                    return Ok(ExitCode::SUCCESS);
                }
                way_out(&run, accepted, out)?;
                return Ok(ExitCode::FAILURE);
            }
        }
        if Instant::now() >= until {
            spinner.clear();
            bail!(
                "the run has not ended after {}, and goes on; `triggerd history` shows what becomes of it, and `--within` waits longer",
                written(watch.within.unwrap_or(left))
            );
        }
        spinner.turn();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What to do about the run, and where.
fn way_out(run: &RunSeen, accepted: &Ended, out: &mut dyn Write) -> std::io::Result<()> {
    for text in [&run.fix, &accepted.conversation_url].into_iter().flatten() {
        writeln!(out, "{text}")?;
    }
    Ok(())
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
