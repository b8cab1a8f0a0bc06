//! A trigger call as it came in: its headers and its body, read but not judged; knows no token and no agent.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::fault::{Route, Target};
use super::refusal::Refusal;
use super::{admission, ids};
use crate::api::wire::TriggerBody;

/// A call as it came in.
pub(crate) struct Asked {
    pub(crate) trigger_id: String,
    pub(crate) bearer: Option<String>,
    pub(crate) body: Result<TriggerBody, Refusal>,
    pub(crate) body_sha256: String,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) wants_run_id: bool,
    pub(crate) user_agent: Option<String>,
    pub(crate) x_request_id: String,
}

impl Asked {
    pub(crate) fn read(
        trigger_id: String,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
        x_request_id: String,
    ) -> Self {
        let bytes = body.as_deref().unwrap_or_default();
        let body_sha256 = ids::sha256(bytes);
        let header = |name| admission::text(headers, name).map(str::to_owned);
        let body = match &body {
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Refusal::too_large())
            }
            Err(rejection) => Err(Refusal::bad_body(rejection.to_string())),
            Ok(bytes) => read_body(header("content-type").as_deref(), bytes),
        };
        Self {
            trigger_id,
            bearer: admission::bearer(headers),
            body,
            body_sha256,
            idempotency_key: header("idempotency-key"),
            wants_run_id: headers
                .get_all("openai-beta")
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .any(|beta| beta.trim() == "workspace_agent_runs=v1"),
            user_agent: header("user-agent"),
            x_request_id,
        }
    }

    pub(crate) fn target(&self) -> Target<'_> {
        Target {
            route: Route::Trigger,
            trigger_id: &self.trigger_id,
            input: self.body.as_ref().map_or("", |body| &body.input),
            idempotency_key: self.idempotency_key.as_deref().unwrap_or_default(),
        }
    }
}

fn read_body(content_type: Option<&str>, bytes: &[u8]) -> Result<TriggerBody, Refusal> {
    let media_type = content_type.and_then(|value| value.split(';').next());
    if !media_type.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Refusal::bad_body("Content-Type must be application/json"));
    }
    let body: Value = serde_json::from_slice(bytes)
        .map_err(|error| Refusal::bad_body(format!("body JSON decode error: {error}")))?;
    let Value::Object(fields) = body else {
        return Err(Refusal::bad_body("body Input should be a valid dictionary"));
    };
    let input = match fields.get("input") {
        None => return Err(Refusal::no_input()),
        Some(Value::String(input)) => input.clone(),
        Some(_) => return Err(Refusal::bad_field("body.input")),
    };
    let conversation_key = match fields.get("conversation_key") {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(key.clone()),
        Some(_) => return Err(Refusal::bad_field("body.conversation_key")),
    };
    Ok(TriggerBody {
        conversation_key,
        input,
    })
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[track_caller]
    fn check(content_type: &str, body: &str, expected: Result<(&str, Option<&str>), u16>) {
        let found = read_body(Some(content_type), body.as_bytes())
            .map(|body| (body.input, body.conversation_key))
            .map_err(|refusal| refusal.into_response().status().as_u16());
        let expected = expected.map(|(input, key)| (input.to_owned(), key.map(str::to_owned)));
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn bodies() {
        const JSON: &str = "application/json";
        check(JSON, r#"{"input":"hi"}"#, Ok(("hi", None)));
        check(JSON, r#"{"input":""}"#, Ok(("", None)));
        check(
            "Application/JSON; charset=utf-8",
            r#"{"input":"hi"}"#,
            Ok(("hi", None)),
        );
        check(
            JSON,
            r#"{"input":"hi","conversation_key":"k","new":[1]}"#,
            Ok(("hi", Some("k"))),
        );
        check(
            JSON,
            r#"{"input":"hi","conversation_key":null}"#,
            Ok(("hi", None)),
        );
        check(JSON, r#"{"input":"hi","conversation_key":7}"#, Err(400));
        check(JSON, r#"{"input":7}"#, Err(400));
        check(JSON, r#"{"input":null}"#, Err(400));
        check(JSON, "{}", Err(400));
        check(JSON, "[]", Err(400));
        check(JSON, "", Err(400));
        check(JSON, "input=hi", Err(400));
        check("text/plain", r#"{"input":"hi"}"#, Err(400));
    }
}
