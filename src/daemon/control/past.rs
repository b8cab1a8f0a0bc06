//! What is asked of the past by those who may not read the ledger themselves.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::answers::{Refusal, refuse};
use crate::daemon::office::Office;
use crate::ledger::LedgerError;
use crate::ledger::history::{Filter, Position};
use crate::past::Page;
use crate::past::when::When;
use crate::schedule::ScheduleId;

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    schedule: Option<String>,
    /// The newest so many; or else what comes after this.
    limit: Option<usize>,
    after: Option<Position>,
}

#[derive(Debug, Deserialize)]
pub(super) struct At {
    time: String,
}

pub(super) async fn history(
    State(office): State<Office>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let schedule = match wanted
        .schedule
        .as_deref()
        .map(ScheduleId::parse)
        .transpose()
    {
        Ok(schedule) => schedule,
        Err(error) => return unknown(&error.to_string()),
    };
    let now = office.now();
    let only = schedule.clone();
    let page = office.read(move |ledger| {
        let Some(ledger) = ledger else {
            return Ok(None);
        };
        let page = match wanted.after {
            Some(position) => Page::after(&ledger, position, only.as_ref(), now)?,
            None => {
                let limit = wanted.limit.unwrap_or(50);
                let filter = Filter {
                    schedule: only.clone(),
                    limit,
                };
                Page::newest(&ledger, &filter, now)?
            }
        };
        let is_known = match &only {
            Some(id) if page.rows.is_empty() => ledger.schedule(id)?.is_some(),
            _ => true,
        };
        Ok::<_, LedgerError>(Some((page, is_known)))
    });
    match page.await.and_then(|page| Ok(page?)) {
        Ok(Some((page, true))) => Json(page).into_response(),
        Ok(Some((_, false))) => {
            let name = schedule.map(|id| id.to_string()).unwrap_or_default();
            unknown(&format!("the daemon knows no schedule `{name}`"))
        }
        Ok(None) => unknown("this daemon keeps no ledger"),
        Err(error) => refuse(&error),
    }
}

pub(super) async fn why(
    State(office): State<Office>,
    Path(name): Path<String>,
    Query(At { time }): Query<At>,
) -> Response {
    let (Ok(id), Ok(time)) = (ScheduleId::parse(&name), time.parse::<When>()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match office.why(id, time).await {
        Ok(Some(Ok(answer))) => Json(answer).into_response(),
        Ok(Some(Err(error))) => (StatusCode::CONFLICT, Json(Refusal { error })).into_response(),
        Ok(None) => unknown(&format!("the daemon knows no schedule `{name}`")),
        Err(error) => refuse(&error),
    }
}

fn unknown(error: &str) -> Response {
    let error = error.to_owned();
    (StatusCode::NOT_FOUND, Json(Refusal { error })).into_response()
}
