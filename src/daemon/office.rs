//! Where questions to a running daemon come in, from the control socket and the pages: it asks the
//! engine, the files and the ledger, and puts the answers together. It decides nothing.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::daemon::changes::Changes;
use crate::daemon::elsewhere::{Elsewhere, NotWritten, Written};
use crate::daemon::event::{Event, Standing};
use crate::daemon::in_force::InForce;
use crate::daemon::load::Catalog;
use crate::daemon::reload::lock;
use crate::daemon::status::{Past, ProblemStatus, Status};
use crate::ledger::history::RecordedDelivery;
use crate::ledger::{LedgerError, Place, Reader};
use crate::past::when::When;
use crate::past::why::{Answer, Case};
use crate::plan::delivery::{Body, Delivery};
use crate::plan::occurrence::Namespace;
use crate::plan::redeliver::{Refused, may_redeliver};
use crate::plan::remembered::OpenDelivery;
use crate::render;
use crate::schedule::hide_inputs::hide_inputs;
use crate::schedule::problem::{Problem, Severity};
use crate::schedule::{Schedule, ScheduleId};

/// Cheap to clone.
#[derive(Clone)]
pub struct Office {
    pub engine: mpsc::UnboundedSender<Event>,
    pub catalog: Arc<Mutex<Catalog>>,
    pub changes: Changes,
    /// Where the ledger is.
    pub place: Place,
    pub namespace: Namespace,
    /// How long the ledger keeps what ended.
    pub retention: Duration,
    pub clock: Arc<dyn Now>,
}

/// How the files stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Why the folder can't be read, if it can't.
    pub unreadable: Option<String>,
    pub errors: usize,
    pub warnings: usize,
}

impl Files {
    fn new(catalog: &Catalog) -> Self {
        let count = |severity| {
            catalog
                .problems()
                .filter(|it| it.severity == severity)
                .count()
        };
        Self {
            unreadable: catalog.folder_problem().map(|it| it.message.clone()),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
        }
    }
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
    #[error(
        "another node looks after `{schedule}`, and can't be told: {cause}; ask that one, out of those on {hosts}"
    )]
    Untold {
        schedule: ScheduleId,
        cause: NotWritten,
        hosts: String,
    },
    #[error("no node has `{0}` loaded: put its file back first")]
    NobodyHas(ScheduleId),
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
        let standing = self.standing().await?;
        self.status_of(Arc::new(standing)).await
    }

    /// With the schedules by name.
    ///
    /// # Errors
    /// If the engine has ended.
    pub async fn standing(&self) -> Result<Standing, OfficeError> {
        let (reply, replied) = oneshot::channel();
        let mut standing: Standing = self.ask(Event::Look { reply }, replied).await?;
        let schedules = &mut standing.agenda.schedules;
        schedules.sort_unstable_by(|one, other| one.schedule.id.cmp(&other.schedule.id));
        Ok(standing)
    }

    /// # Errors
    /// If the engine has ended.
    pub async fn in_force(&self) -> Result<InForce, OfficeError> {
        let standing = self.standing().await?;
        let catalog = self.catalog.clone();
        let look = move || {
            let folder = lock(&catalog).folder().to_owned();
            InForce::new(&standing, &folder)
        };
        self.work(look).await
    }

    /// # Errors
    /// If the ledger can't be read.
    pub async fn status_of(&self, standing: Arc<Standing>) -> Result<Status, OfficeError> {
        let catalog = self.catalog.clone();
        self.read_if_there(move |ledger| {
            let problems = problems(&catalog);
            let (ledger, away) = match ledger {
                Ok(ledger) => (ledger, None),
                Err(error) => (None, Some(error.to_string())),
            };
            let owners = match (&ledger, &standing.nodes) {
                (Some(ledger), Some(_)) => ledger.owners().unwrap_or_default(),
                _ => Vec::new(),
            };
            Status::new(&standing, problems, owners, away, |schedule| {
                let past = |ledger: &Reader| {
                    Ok::<_, LedgerError>(Past {
                        last: ledger.last_verdict(schedule)?,
                        ran: ledger.last_ended_run(schedule)?,
                    })
                };
                let past = ledger.as_ref().map(past);
                past.transpose().ok().flatten().unwrap_or_default()
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

    /// A delivery that ended and may be tried again, and how many verdicts of it were replaced before.
    ///
    /// # Errors
    /// If it may not, or there is none.
    pub async fn redeliverable(
        &self,
        request_id: String,
        force: bool,
    ) -> Result<(OpenDelivery, usize), OfficeError> {
        let recorded = self.delivery(request_id.clone()).await?;
        let recorded = recorded.ok_or(OfficeError::NoSuchDelivery(request_id))?;
        let verdict = recorded.ending.as_ref().map(|ending| ending.verdict);
        may_redeliver(
            verdict,
            recorded.attempts.len(),
            unknown_since(&recorded),
            force,
            self.now(),
        )?;
        let json = recorded.body.json.ok_or(Refused::Accepted)?;
        let former = recorded.former.len();
        let ended = OpenDelivery {
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
        };
        Ok((ended, former))
    }

    /// Leaves a delivery by hand to the node that looks after the schedule.
    ///
    /// # Errors
    /// If it can't be told.
    pub async fn trigger_elsewhere(&self, schedule: Arc<Schedule>) -> Result<Written, OfficeError> {
        let at = self.now();
        let id = schedule.id.clone();
        let written = self.leave_to_another(move |there| there.trigger(&schedule, at));
        self.told_of(id, written.await?).await
    }

    /// Leaves a delivery that ended to the node that looks after the schedule.
    ///
    /// # Errors
    /// If it can't be told, or there is none.
    pub async fn redeliver_elsewhere(
        &self,
        schedule: Option<Arc<Schedule>>,
        (ended, former): (OpenDelivery, usize),
    ) -> Result<Written, OfficeError> {
        let at = self.now();
        let id = ended.delivery.occurrence.schedule.clone();
        if schedule.is_none() {
            let owned = id.clone();
            let is_there = self.read(move |ledger| match ledger {
                Some(ledger) => ledger.is_held(&owned),
                None => Ok(false),
            });
            if !is_there.await?? {
                return Err(OfficeError::NobodyHas(id));
            }
        }
        let again = move |there: Elsewhere| there.redeliver(schedule.as_ref(), ended, former, at);
        let written = self.leave_to_another(again);
        self.told_of(id, written.await?).await
    }

    async fn leave_to_another(
        &self,
        leave: impl FnOnce(Elsewhere) -> Result<Written, NotWritten> + Send + 'static,
    ) -> Result<Result<Written, NotWritten>, OfficeError> {
        let Place::Postgres(database, _) = &self.place else {
            return Err(OfficeError::NoLedger);
        };
        let there = Elsewhere {
            database: database.clone(),
            namespace: self.namespace.clone(),
        };
        self.work(move || leave(there)).await
    }

    async fn told_of(
        &self,
        schedule: ScheduleId,
        written: Result<Written, NotWritten>,
    ) -> Result<Written, OfficeError> {
        let cause = match written {
            Ok(written) => return Ok(written),
            Err(NotWritten::Refused(refused)) => return Err(refused.into()),
            Err(cause) => cause,
        };
        let nodes = self.standing().await?.nodes.unwrap_or_default();
        let hosts = nodes.live.iter().filter(|it| it.incarnation != nodes.me);
        let hosts: Vec<_> = hosts.map(|it| it.host.as_str()).collect();
        Err(OfficeError::Untold {
            schedule,
            cause,
            hosts: hosts.join(", "),
        })
    }

    /// What became of an occurrence; `None` where there is no such schedule.
    ///
    /// # Errors
    /// If the daemon is stopping, or the ledger can't be opened.
    pub async fn why(
        &self,
        id: ScheduleId,
        time: When,
    ) -> Result<Option<Result<Answer, String>>, OfficeError> {
        let (catalog, now) = (self.catalog.clone(), self.now());
        let (namespace, retention) = (self.namespace.clone(), self.retention);
        let state = self.place.folder().unwrap_or(Path::new(""));
        let state = state.display().to_string();
        self.read(move |ledger| {
            let in_force = lock(&catalog).get(id.as_str()).cloned();
            let source = match (&in_force, &ledger) {
                (None, Some(ledger)) => ledger.source(&id).ok().flatten(),
                _ => None,
            };
            let gone = || lock(&catalog).recalled(&id, &source?, now);
            let file = in_force
                .is_none()
                .then_some("its file is not in the folder; this is by its last good version");
            let case = Case {
                schedule: in_force.or_else(gone)?,
                file,
                ledger,
                now,
                state,
                retention,
                namespace,
            };
            Some(case.answer(time).map_err(|error| error.to_string()))
        })
        .await
    }

    /// # Errors
    /// If the daemon is stopping.
    pub async fn files(&self) -> Result<Files, OfficeError> {
        let catalog = self.catalog.clone();
        // The reloader may hold the catalog for as long as a look at all files takes.
        self.work(move || Files::new(&lock(&catalog))).await
    }

    /// Reading the ledger is blocking work.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(Option<Reader>) -> T + Send + 'static,
    ) -> Result<T, OfficeError> {
        let answer = self.read_if_there(|ledger| Ok::<_, LedgerError>(question(ledger?)));
        Ok(answer.await??)
    }

    /// A database that is away is no reason to answer nothing: whoever asks how things stand is to hear
    /// it then most of all.
    pub(crate) async fn read_if_there<T: Send + 'static>(
        &self,
        question: impl FnOnce(Result<Option<Reader>, LedgerError>) -> T + Send + 'static,
    ) -> Result<T, OfficeError> {
        let place = self.place.clone();
        self.work(move || match place {
            Place::Memory => Ok(question(Ok(None))),
            Place::Folder(_) => Ok(question(Ok(Some(Reader::open(&place)?)))),
            Place::Postgres(..) => Ok(question(Reader::open(&place).map(Some))),
        })
        .await?
    }

    /// Blocking work.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OfficeError> {
        let worked = tokio::task::spawn_blocking(work);
        worked.await.map_err(|_| OfficeError::Stopping)
    }
}

/// As `check` draws them, but for the inputs of the files that they are drawn on.
fn problems(catalog: &Mutex<Catalog>) -> Vec<ProblemStatus> {
    let catalog = lock(catalog);
    let problems = catalog.problems();
    let mut shown = Vec::new();
    for problem in problems.filter(|problem| problem.severity != Severity::Note) {
        let text = catalog.text_of(&problem.path).map(str::to_owned);
        shown.push((problem.clone(), text));
    }
    // Drawing takes long, and the reloader wants the catalog.
    drop(catalog);
    let draw = |(problem, text): (Problem, Option<String>)| ProblemStatus {
        severity: problem.severity.to_string(),
        drawn: render::problem(&problem, text.as_deref().map(hide_inputs).as_deref(), false),
    };
    shown.into_iter().map(draw).collect()
}

/// When the first attempt was sent that may have been queued without our knowing. One that a crash
/// interrupted left no trace but that its outcome is unknown: it can have been sent when it was due.
fn unknown_since(delivery: &RecordedDelivery) -> Option<Timestamp> {
    let unknown = delivery.attempts.iter().find(|it| it.outcome == "unknown");
    let interrupted = delivery.outcome_unknown.then_some(delivery.due_at);
    unknown
        .map(|it| it.sent_at)
        .into_iter()
        .chain(interrupted)
        .min()
}
