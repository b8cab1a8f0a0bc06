//! The running daemon: [`run`] puts its parts together, and is the only place that knows all of them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::TriggerApi;
use crate::api::token::Tokens;
use crate::clock::Clock;
use crate::http::StatusPage;
use crate::ledger::cluster::{News, Node};
use crate::ledger::{Ledger, LedgerError, Place, Reader, Receipts};
use crate::plan::agenda::Agenda;
use crate::plan::fact::Source;
use crate::plan::remembered::Remembered;
use crate::schedule::ScheduleId;
use crate::settings::Settings;
use crate::telemetry::{self, Telemetry};
use chores::Told;
use control::Control;
use engine::{Engine, EngineError, World};
use event::Event;
use load::Catalog;
use office::Office;
use reload::{Reconfigure, ReloadError, Reloader, Reread};
use share::Share;
use watch::{QUIET, WatchError, Watcher};

pub mod alerts;
pub mod awaited;
pub mod changes;
pub mod chores;
pub mod control;
pub mod counts;
pub mod elsewhere;
pub mod engine;
pub mod event;
pub mod in_force;
pub mod load;
pub mod office;
mod outbound;
pub mod read;
pub mod reload;
pub mod share;
pub mod status;
pub mod systemd;
mod verify;
pub mod watch;

/// What a daemon is made of.
pub struct Parts<C, A> {
    pub settings: Settings,
    pub place: Place,
    pub clock: Arc<C>,
    pub api: Arc<A>,
    pub tokens: Arc<Tokens>,
    pub telemetry: Telemetry,
    pub reread: Reread,
    pub reconfigure: Reconfigure,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Reload(#[from] ReloadError),
    #[error("signals can't be caught")]
    Signal(#[source] std::io::Error),
    #[error("the daemon's chores can't be started; look at `[chores]` in triggerd.toml")]
    Chores(#[from] tokio_cron_scheduler::JobSchedulerError),
}

/// Loads the schedules, takes up what the ledger remembers, and fires until it is told to stop.
///
/// # Errors
/// If the ledger can't be used at the start, or a part ends unexpectedly: then the process should
/// end too, and be started again.
pub async fn run<C: Clock, A: TriggerApi>(
    parts: Parts<C, A>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let Parts {
        settings,
        place,
        clock,
        api,
        tokens,
        telemetry,
        reread,
        reconfigure,
    } = parts;
    // From the first moment on, so that a reload during a long start does not end the process.
    let hang_up = systemd::hang_up().map_err(RunError::Signal)?;
    systemd::survive_file_size_limit().map_err(RunError::Signal)?;
    systemd::keep_memory_private();
    let now = clock.now();
    let Begun {
        ledger,
        remembered,
        sources,
        receipts,
        news,
    } = begin(&place, &clock)?;
    // As soon as the lock is held: whoever asks meanwhile waits until the schedules are in force. Nobody can ask
    // without it, and everything else goes on (SEMANTICS.md 20).
    let bound = match place {
        Place::Memory => None,
        Place::Folder(_) | Place::Postgres(..) => Some(Control::bind(&settings.control_socket)),
    };
    reload::look_at_tokens(&tokens, &settings.tokens, telemetry.dry_run);

    let mut catalog = Catalog::new(settings.schedules.clone(), settings.context.clone());
    for (id, source) in sources {
        catalog.remember(id, source);
    }
    let (told, changes) = mpsc::channel(64);
    let watcher = Watcher::start(
        settings.watch,
        vec![settings.schedules.clone()],
        QUIET,
        told.clone(),
    )?;
    let report = catalog.look(&watch::Change::Everything, now);
    telemetry::loaded(&report, |path| catalog.text_of(path).map(str::to_owned));
    let open_deliveries = remembered.open.len();

    let mut in_force = catalog.in_force();
    in_force.sources = report.loaded.sources;
    let max_in_flight = settings.api.max_in_flight as usize;
    let mut agenda = Agenda::new(settings.namespace.clone(), max_in_flight, remembered, now);
    agenda.bound(settings.ceilings.clone());
    let share = news
        .is_some()
        .then(|| Share::new(settings.ceilings.clone()));
    let alerts = alerts::start(&settings.alerts, clock.clone(), &stop);
    alerts.files(&report.problems);
    let mut engine = Engine::new(
        agenda,
        World {
            clock: clock.clone(),
            api,
            ledger,
            receipts,
            telemetry,
            alerts: alerts.clone(),
            herald: systemd::Herald::new(),
        },
    );
    engine.share_with_others(share);
    engine.put_into_force(in_force);
    if let Some(mut news) = news {
        let events = engine.events();
        // It ends with the ledger.
        tokio::spawn(async move {
            while let Some(news) = news.recv().await {
                let _ = events.send(Event::Shared(news));
            }
        });
    }
    // Only now: whoever reads it may count on what falls due from here on.
    telemetry::started(&settings, catalog.schedules().count(), open_deliveries);
    let (expiries, expiring) = tokio::sync::watch::channel(settings.tokens_expire.clone());
    chores::look_at_expiries(&expiries.borrow(), now, Told::IfNear, &alerts);
    let hands = chores::Hands {
        clock: clock.clone(),
        engine: engine.events(),
        reloader: told,
        retention: settings.retention,
        expiries: expiring,
        alerts: alerts.clone(),
    };
    let _chores = chores::start(&settings.chores, hands).await?;
    systemd::ready(&engine.status());

    let socket = settings.control_socket.display();
    if let Some(url) = settings.alerts.heartbeat.clone() {
        let every = settings.alerts.heartbeat_every;
        let beating = alerts
            .clone()
            .beat(url, every, clock.clone(), engine.events());
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = beating => {}
            }
        });
    }
    let catalog = Arc::new(Mutex::new(catalog));
    let office = Office {
        engine: engine.events(),
        catalog: catalog.clone(),
        changes: engine.changes(),
        place,
        namespace: settings.namespace.clone(),
        retention: settings.retention,
        clock: clock.clone(),
    };
    let showing = match settings.http_listen {
        None => None,
        Some(address) => StatusPage::start(address, office.clone(), stop.clone()).await,
    };
    let controlling = match bound {
        None => None,
        Some(Ok(control)) => {
            tracing::info!(%socket, "control socket listens");
            Some(tokio::spawn(control.serve(office, stop.clone())))
        }
        Some(Err(error)) => {
            tracing::error!(
                %socket,
                %error,
                "there can be no control socket; `triggerd trigger` can't reach this daemon"
            );
            None
        }
    };
    let reloader = Reloader {
        clock,
        catalog,
        alerts,
        expiries,
        settings,
        reread,
        reconfigure,
        tokens,
        watcher,
        changes,
        hang_up,
        events: engine.events(),
        told_of: engine.changes(),
    };
    let ended = together(engine, reloader, stop).await;
    for serving in [controlling, showing].into_iter().flatten() {
        // It ends with the stop, and a panic of its own is in the log.
        let _ = serving.await;
    }
    ended
}

/// Runs both until the stop; if one ends before, the other is stopped in order.
async fn together<C: Clock, A: TriggerApi>(
    engine: Engine<C, A>,
    reloader: Reloader<C>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let reload_stop = stop.child_token();
    let reloading = async {
        let ended = reloader.run(reload_stop.clone()).await;
        // Without the reloader the files no longer count: leave, in order.
        stop.cancel();
        ended
    };
    let firing = async {
        // Among the calls that it begins, so that they need wake no other thread.
        let ended = tokio::spawn(engine.run(stop.clone())).await;
        stop.cancel();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    };
    let stopping = async {
        stop.cancelled().await;
        systemd::stopping();
    };
    let (reloaded, fired, ()) = tokio::join!(reloading, firing, stopping);
    fired?;
    reloaded?;
    Ok(())
}

/// What the ledger has for a start.
struct Begun {
    ledger: Ledger,
    remembered: Remembered,
    /// Of schedules that were in force at the stop: they are in force again, until their files say
    /// otherwise.
    sources: Vec<(ScheduleId, Source)>,
    receipts: Receipts,
    /// Where several nodes share the ledger.
    news: Option<mpsc::UnboundedReceiver<News>>,
}

fn begin<C: Clock>(place: &Place, clock: &Arc<C>) -> Result<Begun, LedgerError> {
    if let Place::Postgres(database, folder) = place {
        let clock = clock.clone();
        let node = Node {
            host: share::host(),
            wall: Box::new(move || clock.now().wall),
        };
        let joined = Ledger::join(database, folder, node)?;
        return Ok(Begun {
            ledger: joined.ledger,
            // What it has to look after is told by the news.
            remembered: Remembered {
                pauses: joined.pauses,
                ..Remembered::default()
            },
            sources: joined.sources,
            receipts: joined.receipts,
            news: Some(joined.news),
        });
    }
    let (ledger, remembered, receipts) = Ledger::open(place, clock.now().wall)?;
    Ok(Begun {
        sources: match place {
            Place::Memory => Vec::new(),
            Place::Folder(_) | Place::Postgres(..) => recall(place, &remembered)?,
        },
        ledger,
        remembered,
        receipts,
        news: None,
    })
}

fn recall(
    place: &Place,
    remembered: &Remembered,
) -> Result<Vec<(ScheduleId, Source)>, LedgerError> {
    let in_force: HashSet<_> = remembered
        .schedules
        .iter()
        .filter(|schedule| schedule.in_force)
        .map(|schedule| &schedule.id)
        .collect();
    if in_force.is_empty() {
        return Ok(Vec::new());
    }
    let reader = Reader::open(place)?;
    let mut sources = Vec::new();
    for id in in_force {
        sources.extend(reader.source(id)?.map(|source| (id.clone(), source)));
    }
    Ok(sources)
}
