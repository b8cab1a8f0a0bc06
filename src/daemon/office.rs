//! Where questions to a running daemon come in, from the control socket and the pages: it asks the
//! engine, the files and the ledger, and puts the answers together. It decides nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::daemon::event::{Event, Standing};
use crate::daemon::load::Catalog;
use crate::daemon::reload::lock;
use crate::daemon::status::{ProblemStatus, Status};
use crate::ledger::history::{Filter, RecordedDelivery};
use crate::ledger::{LedgerError, Reader};
use crate::plan::delivery::{Body, Delivery};
use crate::plan::redeliver::{Refused, may_redeliver};
use crate::plan::remembered::OpenDelivery;
use crate::render;
use crate::schedule::problem::Severity;

/// Cheap to clone.
#[derive(Clone)]
pub struct Office {
    pub engine: mpsc::UnboundedSender<Event>,
    pub catalog: Arc<Mutex<Catalog>>,
    /// The state folder; `None` where the ledger is in memory.
    pub state: Option<PathBuf>,
    pub clock: Arc<dyn Now>,
}

/// What time it is.
pub trait Now: Send + Sync {
    fn now(&self) -> Timestamp;
}

impl<C: Clock> Now for C {
    fn now(&self) -> Timestamp {
        Clock::now(self).wall
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    #[error("the daemon is stopping")]
    Stopping,
    #[error("this daemon keeps no ledger")]
    NoLedger,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the ledger has no delivery `{0}`; `triggerd history` shows what it has")]
    NoSuchDelivery(String),
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Office {
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// # Errors
    /// If the engine has ended.
    pub async fn ask<T>(
        &self,
        question: Event,
        replied: oneshot::Receiver<T>,
    ) -> Result<T, OfficeError> {
        // An engine that has ended answers nothing, which is seen below.
        let _ = self.engine.send(question);
        replied.await.map_err(|_| OfficeError::Stopping)
    }

    /// # Errors
    /// If the engine has ended, or the ledger can't be read.
    pub async fn status(&self) -> Result<Status, OfficeError> {
        let (reply, replied) = oneshot::channel();
        let standing: Standing = self.ask(Event::Look { reply }, replied).await?;
        let problems = self.problems();
        self.read(move |ledger| {
            Status::new(standing, problems, |schedule| {
                let newest = Filter {
                    schedule: Some(schedule.clone()),
                    limit: 1,
                };
                ledger.as_ref()?.history(&newest).ok()?.pop()
            })
        })
        .await
    }

    /// # Errors
    /// If the ledger can't be read.
    pub async fn delivery(
        &self,
        request_id: String,
    ) -> Result<Option<RecordedDelivery>, OfficeError> {
        self.read(move |ledger| match ledger {
            Some(ledger) => Ok(ledger.delivery(&request_id)?),
            None => Err(OfficeError::NoLedger),
        })
        .await?
    }

    /// A delivery that ended and may be tried again.
    ///
    /// # Errors
    /// If it may not, or there is none.
    pub async fn redeliverable(
        &self,
        request_id: String,
        force: bool,
    ) -> Result<OpenDelivery, OfficeError> {
        let recorded = self.delivery(request_id.clone()).await?;
        let recorded = recorded.ok_or(OfficeError::NoSuchDelivery(request_id))?;
        let verdict = recorded.ending.as_ref().map(|ending| ending.verdict);
        let unknown = recorded.attempts.iter().find(|it| it.outcome == "unknown");
        may_redeliver(verdict, unknown.map(|it| it.sent_at), force, self.now())?;
        let json = recorded.body.json.ok_or(Refused::Accepted)?;
        Ok(OpenDelivery {
            attempts: u32::try_from(recorded.attempts.len()).unwrap_or(u32::MAX),
            retry_at: None,
            outcome_unknown: recorded.outcome_unknown,
            delivery: Arc::new(Delivery {
                occurrence: recorded.occurrence,
                request_id: recorded.request_id,
                idempotency_key: recorded.idempotency_key,
                conversation_key: recorded.conversation_key,
                target: recorded.target,
                due_at: recorded.due_at,
                window: recorded.window,
                body: Body {
                    json,
                    sha256: recorded.body.sha256,
                },
                keep_body: recorded.keep_body,
                opened_at: recorded.opened_at,
                deadline_at: recorded.deadline_at,
            }),
        })
    }

    fn problems(&self) -> Vec<ProblemStatus> {
        let catalog = lock(&self.catalog);
        catalog
            .problems()
            .filter(|problem| problem.severity != Severity::Note)
            .map(|problem| ProblemStatus {
                severity: problem.severity.to_string(),
                drawn: render::problem(problem, catalog.text_of(&problem.path), false),
            })
            .collect()
    }

    /// Reading the ledger is blocking work.
    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(Option<Reader>) -> T + Send + 'static,
    ) -> Result<T, OfficeError> {
        let state = self.state.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let ledger = state.as_deref().map(Reader::open).transpose()?;
            Ok::<_, LedgerError>(question(ledger))
        });
        Ok(answer.await.map_err(|_| OfficeError::Stopping)??)
    }
}
