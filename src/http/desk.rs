//! What is shown, looked at once for all who look at the same time: the engine is asked once a second
//! at most, and what takes longer to put together is put together more rarely.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use super::page::timeline::Timeline;
use crate::daemon::event::Standing;
use crate::daemon::office::{Office, OfficeError};
use crate::daemon::status::Status;
use crate::ledger::LedgerError;
use crate::schedule::ScheduleId;

/// How long the engine may take to say how things stand.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what was seen is shown.
const FRESH: Duration = Duration::from_secs(1);
/// Of the time, at most this part goes into putting one thing together.
const SHARE: u32 = 20;
const MOST_TEXTS: usize = 64;

pub(super) struct Desk {
    pub(super) office: Office,
    look: Cached<Looked>,
    seen: Cached<Seen>,
    timeline: Cached<Timeline>,
    texts: Mutex<HashMap<String, Arc<Cached<Arc<str>>>>>,
    accepted_before: OnceCell<HashMap<ScheduleId, Timestamp>>,
}

/// What the engine said.
pub(super) struct Looked {
    /// The last change that shows in it.
    pub(super) change: u64,
    pub(super) standing: Arc<Standing>,
}

/// The same with what the ledger and the files say.
pub(super) struct Seen {
    pub(super) looked: Arc<Looked>,
    pub(super) status: Status,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unwell {
    #[error("the engine has not answered for {} s", PATIENCE.as_secs())]
    Silent,
    #[error("{0}")]
    Office(Arc<OfficeError>),
}

impl From<OfficeError> for Unwell {
    fn from(error: OfficeError) -> Self {
        Unwell::Office(Arc::new(error))
    }
}

impl From<LedgerError> for Unwell {
    fn from(error: LedgerError) -> Self {
        OfficeError::from(error).into()
    }
}

impl IntoResponse for Unwell {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{self}\n")).into_response()
    }
}

impl Desk {
    pub(super) fn new(office: Office) -> Self {
        Self {
            office,
            look: Cached::default(),
            seen: Cached::default(),
            timeline: Cached::default(),
            texts: Mutex::default(),
            accepted_before: OnceCell::new(),
        }
    }

    /// The engine's own answer, at most a second old.
    pub(super) async fn look(&self) -> Result<Arc<Looked>, Unwell> {
        let asked = self.look.get(Kept::ASecond, async {
            let change = self.office.changes.last();
            let standing = Arc::new(self.office.standing().await?);
            Ok::<_, Unwell>(Looked { change, standing })
        });
        // With the wait for others that ask: they all hear of the silence in time.
        timeout(PATIENCE, asked).await.map_err(|_| Unwell::Silent)?
    }

    pub(super) async fn see(&self) -> Result<Arc<Seen>, Unwell> {
        // Others' wait for the engine is no cost of this.
        let looked = self.look().await?;
        let put_together = async {
            let status = self.office.status_of(looked.standing.clone()).await?;
            Ok(Seen { looked, status })
        };
        self.seen.get(Kept::ByItsCost, put_together).await
    }

    pub(super) async fn timeline(&self) -> Result<Arc<Timeline>, Unwell> {
        let looked = self.look().await?;
        let drawn = async {
            let drawn = self.office.read_if_there(move |ledger| {
                Timeline::new(&looked.standing, ledger.ok().flatten().as_ref())
            });
            Ok(drawn.await??)
        };
        self.timeline.get(Kept::ByItsCost, drawn).await
    }

    /// What is made under this name, made once for all who want it.
    pub(super) async fn text(
        &self,
        name: String,
        make: impl Future<Output = Result<String, Unwell>>,
    ) -> Result<Arc<str>, Unwell> {
        let text = {
            let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            // Names are made up by whoever asks.
            if texts.len() >= MOST_TEXTS && !texts.contains_key(&name) {
                texts.clear();
            }
            texts.entry(name).or_default().clone()
        };
        let make = async { make.await.map(Into::into) };
        text.get(Kept::ByItsCost, make)
            .await
            .map(|text| (*text).clone())
    }

    /// When each schedule was last accepted, by what the ledger says when it is first asked; nothing
    /// while it can't be.
    pub(super) async fn accepted_before(
        &self,
        standing: &Standing,
    ) -> Result<HashMap<ScheduleId, Timestamp>, Unwell> {
        let read = || async {
            let schedules = standing.agenda.schedules.iter();
            let ids: Vec<ScheduleId> = schedules.map(|it| it.schedule.id.clone()).collect();
            let read = self.office.read(move |ledger| {
                let last = |id: ScheduleId| {
                    let at = ledger.as_ref()?.last_accepted(&id).ok()??;
                    Some((id, at))
                };
                ids.into_iter().filter_map(last).collect()
            });
            read.await
        };
        match self.accepted_before.get_or_try_init(read).await {
            Ok(before) => Ok(before.clone()),
            Err(OfficeError::Ledger(_)) => Ok(HashMap::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// One thing, made again when it has grown old.
struct Cached<T> {
    kept: tokio::sync::Mutex<Option<(Instant, Arc<T>)>>,
}

#[derive(Clone, Copy)]
enum Kept {
    ASecond,
    /// A second at least.
    ByItsCost,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self {
            kept: tokio::sync::Mutex::new(None),
        }
    }
}

impl<T> Cached<T> {
    async fn get<E>(
        &self,
        keep: Kept,
        make: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let mut kept = self.kept.lock().await;
        let began = Instant::now();
        if let Some((_, made)) = kept.as_ref().filter(|(until, _)| *until > began) {
            return Ok(made.clone());
        }
        let made = Arc::new(make.await?);
        let done = Instant::now();
        let until = match keep {
            Kept::ASecond => done + FRESH,
            Kept::ByItsCost => done + FRESH.max((done - began) * SHARE),
        };
        *kept = Some((until, made.clone()));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_are_answered_once() {
        let cached = Cached::default();
        let made = std::cell::Cell::new(0);
        let make = || async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            made.set(made.get() + 1);
            Ok::<_, ()>(made.get())
        };
        let get = || cached.get(Kept::ByItsCost, make());
        let (one, other) = tokio::join!(get(), get());
        assert_eq!((one, other), (Ok(Arc::new(1)), Ok(Arc::new(1))));
        // It took half a second, and is good for twenty times as long.
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!(get().await, Ok(Arc::new(1)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(get().await, Ok(Arc::new(2)));
    }
}
