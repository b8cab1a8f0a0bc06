//! What the control socket answers to each question, and the shapes of both, shared with the client.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::daemon::awaited;
use crate::daemon::elsewhere::{self, Written};
use crate::daemon::event::{Asked, Event, Triggered};
use crate::daemon::office::{Office, OfficeError};
use crate::ledger::history::RecordedDelivery;
use crate::plan::agenda::Wait;
use crate::plan::fact::Ending;
use crate::plan::outcome::Outcome;
use crate::plan::pause::{Pause, Scope};
use crate::plan::run::way_out;
use crate::schedule::ScheduleId;

/// How a delivery that was asked for ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub request_id: String,
    /// `accepted`, or how else.
    pub verdict: String,
    pub conversation_url: Option<String>,
    pub run_id: Option<String>,
    /// What the API said, and what to do about it.
    pub detail: Option<String>,
    pub fix: Option<String>,
}

/// What whoever asked for a delivery is told, a line of JSON each: first that it has begun, last how
/// it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Begun(Begun),
    Waits(Waits),
    Ended(Ended),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    pub request_id: String,
    /// How long to wait for its run, by the schedule's policies.
    pub run_within_seconds: u64,
}

/// What a delivery waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// In words, such as `a retry`.
    pub what: String,
    pub until: Option<Timestamp>,
    /// What the API said, and what to do about it.
    pub detail: Option<String>,
    pub fix: Option<String>,
    /// When it expires.
    pub deadline_at: Timestamp,
}

/// A delivery as the ledger has it, as far as somebody waits for its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverySeen {
    pub run: Option<RunSeen>,
    pub conversation_url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSeen {
    pub status: String,
    pub ended: bool,
    /// What `[verify]` found.
    pub result: Option<String>,
    pub detail: Option<String>,
    /// What to do about it.
    pub fix: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseOrder {
    /// `None` for all.
    pub schedule: Option<String>,
    pub until: Option<Timestamp>,
    pub reason: Option<String>,
}

/// Why something was not done, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub error: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RedeliverOptions {
    #[serde(default)]
    force: bool,
}

impl Ended {
    pub fn new(ending: &Ending) -> Self {
        let answer = ending.last.as_ref().map(|last| &last.answer);
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let acceptance = answer.and_then(|answer| match &answer.outcome {
            Outcome::Accepted(acceptance) => Some(acceptance.clone()),
            _ => None,
        });
        let acceptance = acceptance.unwrap_or_default();
        Self {
            request_id: ending.delivery.request_id.to_string(),
            verdict: ending.verdict.word().to_owned(),
            conversation_url: acceptance.conversation_url,
            run_id: acceptance.run_id,
            detail: ending
                .detail
                .clone()
                .or(answer.and_then(|answer| said(&answer.detail))),
            fix: answer.and_then(|answer| said(answer.fix)),
        }
    }
}

impl Begun {
    pub fn new(triggered: &Triggered) -> Self {
        Self {
            request_id: triggered.request_id.to_string(),
            run_within_seconds: triggered.run_within.as_secs(),
        }
    }
}

impl From<Wait> for Waits {
    fn from(wait: Wait) -> Self {
        Self {
            what: wait.what,
            until: wait.until,
            detail: wait.detail,
            fix: wait.fix.map(str::to_owned),
            deadline_at: wait.deadline_at,
        }
    }
}

impl DeliverySeen {
    pub fn new(delivery: &RecordedDelivery) -> Self {
        Self {
            run: delivery.run.as_ref().map(|run| RunSeen {
                status: run.status.clone(),
                ended: run.ended_at.is_some(),
                result: run.result.clone(),
                detail: run.detail.clone(),
                fix: way_out(&run.status, run.result.as_deref()).map(str::to_owned),
            }),
            conversation_url: delivery.conversation_url.clone(),
        }
    }
}

pub(super) async fn status(State(office): State<Office>) -> Response {
    match office.status().await {
        Ok(status) => Json(status).into_response(),
        Err(error) => refuse(&error),
    }
}

pub(super) async fn in_force(State(office): State<Office>) -> Response {
    match office.in_force().await {
        Ok(in_force) => Json(in_force).into_response(),
        Err(error) => refuse(&error),
    }
}

/// Begins one delivery, and tells of it until it has ended.
pub(super) async fn trigger(State(office): State<Office>, Path(name): Path<String>) -> Response {
    let Ok(schedule) = ScheduleId::parse(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (reply, replied) = oneshot::channel();
    match office
        .ask(Event::Trigger { schedule, reply }, replied)
        .await
    {
        Ok(Some(Asked::Begun(triggered))) => tell(office, triggered),
        Ok(Some(Asked::Elsewhere(Some(schedule)))) => {
            match office.trigger_elsewhere(schedule).await {
                Ok(written) => tell_of_another(office, written),
                Err(error) => refuse(&error),
            }
        }
        Ok(Some(Asked::Elsewhere(None)) | None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => refuse(&error),
    }
}

pub(super) async fn redeliver(
    State(office): State<Office>,
    Path(request_id): Path<String>,
    Query(options): Query<RedeliverOptions>,
) -> Response {
    let (ended, former) = match office.redeliverable(request_id, options.force).await {
        Ok(redeliverable) => redeliverable,
        Err(error) => return refuse(&error),
    };
    let (reply, replied) = oneshot::channel();
    let again = Event::Redeliver {
        ended: ended.clone(),
        reply,
    };
    match office.ask(again, replied).await {
        Ok(Some(Asked::Begun(triggered))) => tell(office, triggered),
        Ok(Some(Asked::Elsewhere(schedule))) => {
            match office.redeliver_elsewhere(schedule, (ended, former)).await {
                Ok(written) => tell_of_another(office, written),
                Err(error) => refuse(&error),
            }
        }
        Ok(None) => refuse(&OfficeError::Refused(crate::plan::redeliver::Refused::Open)),
        Err(error) => refuse(&error),
    }
}

pub(super) async fn delivery(
    State(office): State<Office>,
    Path(request_id): Path<String>,
) -> Response {
    match office.delivery(request_id).await {
        Ok(Some(delivery)) => Json(DeliverySeen::new(&delivery)).into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => refuse(&error),
    }
}

pub(super) async fn pause(State(office): State<Office>, Json(order): Json<PauseOrder>) -> Response {
    let Some(scope) = scope(order.schedule.as_deref()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let pause = Pause {
        since: office.now(),
        until: order.until,
        reason: order.reason,
    };
    let (reply, replied) = oneshot::channel();
    let event = Event::Pause {
        scope,
        pause,
        reply,
    };
    done(office.ask(event, replied).await)
}

pub(super) async fn resume(
    State(office): State<Office>,
    Json(order): Json<PauseOrder>,
) -> Response {
    let Some(scope) = scope(order.schedule.as_deref()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (reply, replied) = oneshot::channel();
    done(office.ask(Event::Resume { scope, reply }, replied).await)
}

/// `None` for what is no schedule's name.
fn scope(schedule: Option<&str>) -> Option<Scope> {
    match schedule {
        None => Some(Scope::All),
        Some(name) => ScheduleId::parse(name).ok().map(Scope::Schedule),
    }
}

fn done(answer: Result<bool, OfficeError>) -> Response {
    match answer {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => refuse(&error),
    }
}

fn tell(office: Office, triggered: Triggered) -> Response {
    let begun = Begun::new(&triggered);
    telling(begun, async move |told| {
        let waits = |wait: Wait| drop(told.send(Told::Waits(wait.into())));
        let ending = awaited::until_it_ends(&office.engine, triggered, waits).await?;
        Some(Ended::new(&ending))
    })
}

/// Of a delivery that another node has to send.
fn tell_of_another(office: Office, written: Written) -> Response {
    telling(written.begun(), async move |told| {
        let waits = |waits: Waits| drop(told.send(Told::Waits(waits)));
        let look = || {
            let (office, request_id) = (office.clone(), written.request_id.to_string());
            async move { office.delivery(request_id).await.ok().flatten() }
        };
        Some(elsewhere::until_it_ends(&written, look, waits).await)
    })
}

/// A body that grows until the delivery has ended. One that ends without an ending: the daemon stopped.
fn telling<F>(begun: Begun, ended: impl FnOnce(mpsc::UnboundedSender<Told>) -> F) -> Response
where
    F: Future<Output = Option<Ended>> + Send + 'static,
{
    let (told, lines) = mpsc::unbounded_channel();
    let ended = ended(told.clone());
    tokio::spawn(async move {
        // Whoever asked may have gone meanwhile; the delivery stands all the same.
        let _ = told.send(Told::Begun(begun));
        let ended = tokio::select! {
            ended = ended => ended,
            () = told.closed() => None,
        };
        if let Some(ended) = ended {
            let _ = told.send(Told::Ended(ended));
        }
    });
    let lines = stream::unfold(lines, async |mut lines| {
        let told: Told = lines.recv().await?;
        let line = serde_json::to_vec(&told).map(|line| [&line, "\n".as_bytes()].concat());
        Some((line, lines))
    });
    Body::from_stream(lines).into_response()
}

pub(super) fn refuse(error: &OfficeError) -> Response {
    let status = match error {
        OfficeError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        OfficeError::NoSuchDelivery(_) => StatusCode::NOT_FOUND,
        OfficeError::Refused(_) | OfficeError::Untold { .. } | OfficeError::NobodyHas(_) => {
            StatusCode::CONFLICT
        }
        OfficeError::NoLedger | OfficeError::Ledger(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let error = error.to_string();
    (status, Json(Refusal { error })).into_response()
}
