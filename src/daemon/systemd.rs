//! What systemd is told (sd_notify(3), Type=notify-reload), and the signals it sends.
//! Without `$NOTIFY_SOCKET` telling is a no-op. It knows nothing of what the daemon does.

use std::io;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The schedules are loaded and the ledger is open.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
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

/// SIGHUP: read everything again.
///
/// # Errors
/// If the signal can't be caught.
pub fn hang_up() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
