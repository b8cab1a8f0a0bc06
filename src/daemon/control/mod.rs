//! The control socket: what a person asks of a running daemon, over HTTP on a unix socket. It hands
//! questions to the engine and says what came of them; it decides nothing.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::Router;
use axum::routing::{get, post};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::daemon::office::Office;

mod answers;
mod client;
mod past;

pub use answers::{Begun, DeliverySeen, Ended, PauseOrder, Refusal, RunSeen, Told, Waits};
pub use client::{AskError, Client};

/// A socket that is listened on. Its file goes with it.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Takes the place of a socket that a process before has left: whoever calls holds the state
    /// folder's lock.
    ///
    /// # Errors
    /// If there can't be a socket at `path`.
    pub fn bind(path: &Path) -> io::Result<Self> {
        // Anything else that lies there was not meant, and `bind` says so.
        if fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o660))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Answers until it is told to stop.
    pub async fn serve(self, office: Office, stop: CancellationToken) {
        let app = Router::new()
            .route("/status", get(answers::status))
            .route("/in-force", get(answers::in_force))
            .route("/trigger/{schedule}", post(answers::trigger))
            .route("/deliveries/{request_id}", get(answers::delivery))
            .route("/redeliver/{request_id}", post(answers::redeliver))
            .route("/history", get(past::history))
            .route("/why/{schedule}", get(past::why))
            .route("/pause", post(answers::pause))
            .route("/resume", post(answers::resume))
            .with_state(office);
        tokio::select! {
            () = stop.cancelled() => {}
            ended = axum::serve(self.listener, app) => if let Err(error) = ended {
                tracing::error!(%error, "the control socket ended");
            }
        }
        // One that stays is removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}
