//! How a fault is carried out on an answer; knows nothing of what is asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use tokio::sync::watch;

use super::connection::Peer;
use super::fault::{FaultKind, When};
use super::refusal::Refusal;
use super::server::Server;

/// One request's fault, and the connection it came by.
pub(crate) struct Strike {
    pub(crate) server: Arc<Server>,
    pub(crate) peer: Peer,
    pub(crate) fault: Option<FaultKind>,
    pub(crate) released: watch::Receiver<u64>,
}

impl Strike {
    /// Before anything is looked at: an answer of the fault's own, or none.
    pub(crate) async fn before(&mut self) -> Option<Response> {
        match self.fault.as_ref()? {
            FaultKind::Html403 => Some(html403()),
            FaultKind::Redirect { status, to } => Some(redirect(*status, to)),
            FaultKind::Hang { when: When::Before } => Some(self.hang().await),
            FaultKind::Reset { when: When::Before } => Some(self.reset()),
            FaultKind::Hold { when: When::Before } => {
                self.hold().await;
                None
            }
            _ => None,
        }
    }

    /// What becomes of a good answer on its way.
    pub(crate) async fn after(&mut self, answer: Response) -> Response {
        let Some(fault) = &self.fault else {
            return answer;
        };
        let status = answer.status();
        match fault {
            FaultKind::Delay { ms } => {
                self.server.wait(Duration::from_millis(*ms)).await;
                answer
            }
            FaultKind::Hang { when: When::After } => self.hang().await,
            FaultKind::Reset { when: When::After } => self.reset(),
            FaultKind::Hold { when: When::After } => {
                self.hold().await;
                answer
            }
            FaultKind::Drip => {
                self.peer.drip();
                closing(answer)
            }
            FaultKind::Junk => (status, "{\"conversation_url\": <oops").into_response(),
            FaultKind::Empty => status.into_response(),
            FaultKind::Huge { bytes } => huge(status, *bytes),
            _ => answer,
        }
    }

    async fn hang(&self) -> Response {
        // A client that gives up closes its connection, and this future with it.
        self.server.stop.cancelled().await;
        self.reset()
    }

    fn reset(&self) -> Response {
        self.peer.reset();
        Refusal::broken().into_response()
    }

    async fn hold(&mut self) {
        tokio::select! {
            () = self.server.stop.cancelled() => {}
            _ = self.released.changed() => {}
        }
    }
}

fn html403() -> Response {
    let page = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Forbidden</body></html>";
    (StatusCode::FORBIDDEN, Html(page)).into_response()
}

fn redirect(status: u16, to: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
    match HeaderValue::from_str(to) {
        Ok(to) => (status, [(header::LOCATION, to)]).into_response(),
        Err(_) => status.into_response(),
    }
}

fn huge(status: StatusCode, bytes: usize) -> Response {
    let mut body = b"{\"padding\":\"".to_vec();
    body.resize(bytes.saturating_sub(2).max(body.len()), b'x');
    body.extend_from_slice(b"\"}");
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, Body::from(body)).into_response()
}

/// The connection drips from now on: the client had better not use it again.
fn closing(mut answer: Response) -> Response {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}
