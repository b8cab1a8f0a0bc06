//! What systemd is told (sd_notify(3), Type=notify-reload), and the signals it sends.
//! Without `$NOTIFY_SOCKET` telling is a no-op. It knows nothing of what the daemon does.

use std::future::pending;
use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior, sleep_until};
use tokio_util::sync::CancellationToken;

/// The schedules are loaded and the ledger is open.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// What a loop tells systemd while it turns: that it does, for the watchdog (WatchdogSec=), and how
/// things stand. Nobody else feeds the watchdog, so that a loop that is stuck is killed.
#[derive(Default)]
pub struct Herald {
    watchdog: Option<Interval>,
    /// Since when there has been something new to tell; never without a systemd that listens.
    news_at: Option<Instant>,
    told_at: Option<Instant>,
    listens: bool,
}

/// How often at most the state is told.
const PAUSE: Duration = Duration::from_secs(1);

impl Herald {
    /// For the loop that systemd is to watch. That of [`Herald::default`] tells nobody.
    pub fn new() -> Self {
        let allowed = sd_notify::watchdog_enabled().filter(|it| !it.is_zero());
        Self {
            watchdog: allowed.map(|allowed| {
                let mut interval = tokio::time::interval(allowed / 2);
                interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
                interval
            }),
            listens: std::env::var_os("NOTIFY_SOCKET").is_some(),
            ..Self::default()
        }
    }

    /// Something happened that may have changed the state.
    pub fn news(&mut self) {
        if self.listens && self.news_at.is_none() {
            self.news_at = Some(Instant::now());
        }
    }

    /// Returns when [`Herald::tell`] is to be called. Safe to drop at any point.
    pub async fn due(&mut self) {
        let state = async {
            match (self.news_at, self.told_at) {
                (Some(news), Some(told)) => sleep_until(news.max(told + PAUSE)).await,
                (Some(_), None) => {}
                (None, _) => pending().await,
            }
        };
        let watchdog = async {
            match &mut self.watchdog {
                Some(interval) => drop(interval.tick().await),
                None => pending().await,
            }
        };
        tokio::select! {
            () = state => {}
            () = watchdog => {}
        }
    }

    /// Tells that the loop turns, and how things stand.
    pub fn tell(&mut self, status: impl FnOnce() -> String) {
        if self.watchdog.is_some() {
            notify(&[NotifyState::Watchdog]);
        }
        if self.news_at.take().is_some() {
            self.told_at = Some(Instant::now());
            notify(&[NotifyState::Status(&status())]);
        }
    }
}

/// Everything is being read again. [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the monotonic clock can't be read for systemd"),
    }
}

pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd can't be notified");
    }
}

/// A token that is cancelled by SIGTERM or Ctrl-C. A second signal has no further effect: the stop
/// takes at most its grace time.
///
/// # Errors
/// If the signals can't be caught.
pub fn stop_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancelled.cancel();
    });
    Ok(stop)
}

/// Has a file that reached its limit be an error of the write, which the ledger can bear, rather
/// than the end of the process (setrlimit(2), RLIMIT_FSIZE).
///
/// # Errors
/// If the signal can't be caught.
pub fn survive_file_size_limit() -> io::Result<()> {
    // Caught is enough; whether it is ever looked at makes no difference.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// Has no core file be written, nor another process of the user look into this one: the token is in
/// its memory (prctl(2), PR_SET_DUMPABLE). A limit would not do, since it does not bind core_pattern's pipe.
pub fn keep_memory_private() {
    let not = rustix::process::DumpableBehavior::NotDumpable;
    if let Err(error) = rustix::process::set_dumpable_behavior(not) {
        tracing::warn!(%error, "core files can't be turned off");
    }
}

/// SIGHUP: read everything again.
///
/// # Errors
/// If the signal can't be caught.
pub fn hang_up() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
