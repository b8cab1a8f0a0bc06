//! The API's error answers, in its words where they are known; decides nothing.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};

use super::fault::{FaultKind, RetryAfter};
use crate::api::wire::{ErrorBody, ErrorDetail};

#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    kind: &'static str,
    message: String,
    param: Option<&'static str>,
    code: Option<&'static str>,
    retry_after: Option<RetryAfter>,
    /// It was asked for, and is no judgement on the call.
    pub(crate) is_fault: bool,
}

const INVALID: &str = "invalid_request_error";

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
            param: None,
            code: None,
            retry_after: None,
            is_fault: false,
        }
    }

    fn code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    fn param(self, param: &'static str) -> Self {
        Self {
            param: Some(param),
            ..self
        }
    }

    pub(crate) fn no_such_route(method: &str, path: &str) -> Self {
        let message = format!("Invalid URL ({method} {path})");
        Self::new(StatusCode::NOT_FOUND, INVALID, message)
    }

    pub(crate) fn wrong_method(method: &str, path: &str) -> Self {
        let message = format!("Invalid method for URL ({method} {path})");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, message)
    }

    /// What the live service answers to any other method on a trigger.
    pub(crate) fn not_a_post() -> Self {
        let message = "Not allowed by the security policy.";
        Self::new(StatusCode::UNAUTHORIZED, INVALID, message).code("security_policy_not_allowed")
    }

    pub(crate) fn no_token() -> Self {
        let message = "Missing API key";
        Self::new(StatusCode::UNAUTHORIZED, INVALID, message).code("missing_api_key")
    }

    pub(crate) fn unknown_token() -> Self {
        let message = "Incorrect API key provided";
        Self::new(StatusCode::UNAUTHORIZED, INVALID, message).code("invalid_api_key")
    }

    pub(crate) fn bad_body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, message)
    }

    pub(crate) fn no_input() -> Self {
        Self::bad_body("body.input Field required").param("body.input")
    }

    pub(crate) fn bad_field(param: &'static str) -> Self {
        Self::bad_body(format!("{param} Input should be a valid string")).param(param)
    }

    pub(crate) fn too_large() -> Self {
        let message = "The request body is too large.";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, message)
    }

    pub(crate) fn no_such_trigger() -> Self {
        let message = "The workspace agent trigger was not found.";
        Self::new(StatusCode::NOT_FOUND, INVALID, message)
    }

    pub(crate) fn no_such_run() -> Self {
        let message = "The workspace agent trigger run was not found.";
        Self::new(StatusCode::NOT_FOUND, INVALID, message)
    }

    pub(crate) fn not_shared() -> Self {
        let message = "The token's owner is not allowed to run this workspace agent.";
        Self::new(StatusCode::FORBIDDEN, INVALID, message)
    }

    pub(crate) fn not_runnable() -> Self {
        let message = "The workspace agent trigger is not currently available.";
        Self::new(StatusCode::CONFLICT, INVALID, message)
    }

    pub(crate) fn too_many(wait: SignedDuration) -> Self {
        let seconds = u64::try_from(wait.as_secs()).unwrap_or(0) + 1;
        Self {
            retry_after: Some(RetryAfter::Seconds(seconds)),
            ..Self::rate_limited()
        }
    }

    fn rate_limited() -> Self {
        let message = "Rate limit reached. Please try again later.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
            .code("rate_limit_exceeded")
    }

    pub(crate) fn broken() -> Self {
        let message = "The server had an error while processing your request.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// The refusal that a `status` fault asks for, in the words of that status.
    pub(crate) fn asked_for(fault: &FaultKind) -> Option<Self> {
        let FaultKind::Status {
            status,
            retry_after,
        } = fault
        else {
            return None;
        };
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Some(Self {
            retry_after: retry_after.clone(),
            is_fault: true,
            ..Self::of_status(status)
        })
    }

    fn of_status(status: StatusCode) -> Self {
        let known = match status.as_u16() {
            400 => Self::no_input(),
            401 => Self::unknown_token(),
            403 => Self::not_shared(),
            404 => Self::no_such_trigger(),
            409 => Self::not_runnable(),
            413 => Self::too_large(),
            429 => Self::rate_limited(),
            503 => Self::new(
                status,
                "service_unavailable_error",
                "The service is temporarily unavailable.",
            ),
            500.. => Self::broken(),
            _ => Self::bad_body(format!("A fault was asked for: {status}")),
        };
        Self { status, ..known }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: ErrorDetail {
                message: Some(self.message),
                kind: Some(self.kind.to_owned()),
                param: self.param.map(str::to_owned),
                code: self.code.map(str::to_owned),
            },
        };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(value) = self.retry_after.and_then(retry_after) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}

fn retry_after(wanted: RetryAfter) -> Option<HeaderValue> {
    match wanted {
        RetryAfter::Seconds(seconds) => Some(seconds.into()),
        RetryAfter::DateIn(seconds) => {
            let seconds = i64::try_from(seconds).ok()?;
            let at = Timestamp::now().checked_add(SignedDuration::from_secs(seconds));
            let date = at.ok()?.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            HeaderValue::from_str(&date).ok()
        }
        RetryAfter::Text(text) => HeaderValue::from_str(&text).ok(),
    }
}
