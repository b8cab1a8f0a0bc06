//! What the control socket answers to each question, and the shapes of both, shared with the client.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::daemon::event::{Event, Triggered};
use crate::daemon::office::{Office, OfficeError};
use crate::ledger::history::RecordedDelivery;
use crate::plan::fact::Ending;
use crate::plan::outcome::Outcome;
use crate::plan::pause::{Pause, Scope};
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

impl DeliverySeen {
    pub fn new(delivery: &RecordedDelivery) -> Self {
        Self {
            run: delivery.run.as_ref().map(|run| RunSeen {
                status: run.status.clone(),
                ended: run.ended_at.is_some(),
                result: run.result.clone(),
                detail: run.detail.clone(),
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

/// Begins one delivery, and answers when it has ended.
pub(super) async fn trigger(State(office): State<Office>, Path(name): Path<String>) -> Response {
    let Ok(schedule) = ScheduleId::parse(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (reply, replied) = oneshot::channel();
    match office
        .ask(Event::Trigger { schedule, reply }, replied)
        .await
    {
        Ok(Some(triggered)) => until_it_ends(triggered).await,
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => refuse(&error),
    }
}

pub(super) async fn redeliver(
    State(office): State<Office>,
    Path(request_id): Path<String>,
    Query(options): Query<RedeliverOptions>,
) -> Response {
    let ended = match office.redeliverable(request_id, options.force).await {
        Ok(ended) => ended,
        Err(error) => return refuse(&error),
    };
    let (reply, replied) = oneshot::channel();
    match office.ask(Event::Redeliver { ended, reply }, replied).await {
        Ok(Some(triggered)) => until_it_ends(triggered).await,
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

async fn until_it_ends(triggered: Triggered) -> Response {
    match triggered.ended.await {
        Ok(ending) => Json(Ended::new(&ending)).into_response(),
        Err(_) => refuse(&OfficeError::Stopping),
    }
}

fn refuse(error: &OfficeError) -> Response {
    let status = match error {
        OfficeError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        OfficeError::NoSuchDelivery(_) => StatusCode::NOT_FOUND,
        OfficeError::Refused(_) => StatusCode::CONFLICT,
        OfficeError::NoLedger | OfficeError::Ledger(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let error = error.to_string();
    (status, Json(Refusal { error })).into_response()
}
