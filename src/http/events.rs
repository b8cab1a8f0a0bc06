//! Server-sent events: that something changed, so that an open page looks again. They say no more.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::Event;
use futures_util::{Stream, stream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::desk::Desk;

/// Changes that come close together are told together.
const APART: Duration = Duration::from_secs(1);
/// An event comes at least this often, also so that times such as "in 5 min" stay true.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// The first one comes at once.
pub(super) async fn events(
    State(desk): State<Arc<Desk>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold((desk.office.changes.listen(), true), next))
}

type Told = (watch::Receiver<u64>, bool);

async fn next((mut changes, first): Told) -> Option<(Result<Event, Infallible>, Told)> {
    if !first {
        sleep(APART).await;
        if let Ok(changed) = timeout(LONGEST_SILENCE, changes.changed()).await {
            // The engine has ended, and the daemon with it.
            changed.ok()?;
        }
    }
    let change = *changes.borrow_and_update();
    let event = Event::default().data(change.to_string());
    Some((Ok(event), (changes, false)))
}
