//! The control socket: what a person asks of a running daemon, over HTTP on a unix socket. It hands
//! questions to the engine and says what came of them; it decides nothing.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::extract::{Path as Named, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::daemon::event::Event;
use crate::plan::fact::Ending;
use crate::plan::outcome::Outcome;
use crate::schedule::ScheduleId;

/// How a delivery by hand ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub request_id: String,
    /// `accepted`, or how else.
    pub verdict: String,
    pub conversation_url: Option<String>,
    /// What the API said, and what to do about it.
    pub detail: Option<String>,
    pub fix: Option<String>,
}

impl Ended {
    pub fn new(ending: &Ending) -> Self {
        let answer = ending.last.as_ref().map(|last| &last.answer);
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            request_id: ending.delivery.request_id.to_string(),
            verdict: ending.verdict.word().to_owned(),
            conversation_url: answer.and_then(|answer| match &answer.outcome {
                Outcome::Accepted(acceptance) => acceptance.conversation_url.clone(),
                _ => None,
            }),
            detail: ending
                .detail
                .clone()
                .or(answer.and_then(|answer| said(&answer.detail))),
            fix: answer.and_then(|answer| said(answer.fix)),
        }
    }
}

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
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o660))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Answers until it is told to stop.
    pub async fn serve(self, events: mpsc::UnboundedSender<Event>, stop: CancellationToken) {
        let app = Router::new()
            .route("/trigger/{schedule}", post(trigger))
            .with_state(events);
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

/// Begins one delivery, and answers when it has ended.
async fn trigger(
    State(events): State<mpsc::UnboundedSender<Event>>,
    Named(name): Named<String>,
) -> Response {
    let Ok(schedule) = ScheduleId::parse(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (reply, replied) = oneshot::channel();
    // An engine that has ended answers nothing, which is answered below.
    let _ = events.send(Event::Trigger { schedule, reply });
    let triggered = match replied.await {
        Ok(Some(triggered)) => triggered,
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    match triggered.ended.await {
        Ok(ending) => Json(Ended::new(&ending)).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
