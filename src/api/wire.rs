//! The API's JSON bodies, shared by the client and the sandbox so that they cannot drift apart; knows no HTTP.
//!
//! Writing is exact, reading is lenient: a field that is missing, unknown or of another type is never an
//! error, because the API evolves and decisions are made by status code.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// What a trigger call sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TriggerBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_key: Option<String>,
    pub input: String,
}

impl TriggerBody {
    /// The bytes to send: equal bodies give equal bytes, attempt after attempt.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("two strings always serialize")
    }
}

/// The body of a 202, in any of its three forms: nothing, with a conversation, with a run as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TriggerAccepted {
    #[serde(
        deserialize_with = "text_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub conversation_url: Option<String>,
    #[serde(
        deserialize_with = "text_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub agent_trigger_run_id: Option<String>,
}

impl TriggerAccepted {
    /// Never fails: an unreadable 202 body is still an acceptance.
    pub fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

/// The body of a run's status. `error` is always present, null where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    #[serde(default, deserialize_with = "text_or_none")]
    pub object: Option<String>,
    #[serde(default, deserialize_with = "text_or_none")]
    pub id: Option<String>,
    pub status: RunStatus,
    /// Seconds since 1970.
    #[serde(default, deserialize_with = "number_or_none")]
    pub created_at: Option<i64>,
    #[serde(default, deserialize_with = "text_or_none")]
    pub agent_id: Option<String>,
    #[serde(default, deserialize_with = "text_or_none")]
    pub api_trigger_id: Option<String>,
    #[serde(default, deserialize_with = "text_or_none")]
    pub conversation_url: Option<String>,
    #[serde(default, deserialize_with = "object_or_none")]
    pub error: Option<RunError>,
}

impl Run {
    pub const OBJECT: &str = "workspace_agent.trigger_run";

    /// `None` where the body names no status.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

/// How far a run is. A status that we don't know is kept, and is not terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum RunStatus {
    Queued,
    InProgress,
    /// It waits for something outside, mostly a person's approval of a write.
    Suspended,
    Completed,
    Failed,
    Other(String),
}

impl RunStatus {
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Completed | Self::Failed => true,
            Self::Queued | Self::InProgress | Self::Suspended | Self::Other(_) => false,
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Suspended => "suspended",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Other(status) => status,
        }
    }
}

impl From<String> for RunStatus {
    fn from(status: String) -> Self {
        match status.as_str() {
            "queued" => Self::Queued,
            "in_progress" => Self::InProgress,
            "suspended" => Self::Suspended,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            _ => Self::Other(status),
        }
    }
}

impl From<RunStatus> for String {
    fn from(status: RunStatus) -> Self {
        status.as_str().to_owned()
    }
}

/// Why a run failed: `dispatch_failed` or `run_failed`; no more is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunError {
    #[serde(deserialize_with = "text_or_none")]
    pub code: Option<String>,
}

/// The body of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

impl ErrorBody {
    /// `None` where a gateway answered in words of its own.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    #[serde(deserialize_with = "text_or_none")]
    pub message: Option<String>,
    #[serde(rename = "type", deserialize_with = "text_or_none")]
    pub kind: Option<String>,
    #[serde(deserialize_with = "text_or_none")]
    pub param: Option<String>,
    #[serde(deserialize_with = "text_or_none")]
    pub code: Option<String>,
}

fn text_or_none<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(value)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

fn number_or_none<'de, D: Deserializer<'de>>(value: D) -> Result<Option<i64>, D::Error> {
    let value = Value::deserialize(value)?;
    Ok(value
        .as_i64()
        .or_else(|| value.as_f64().map(|seconds| seconds as i64)))
}

fn object_or_none<'de, D: Deserializer<'de>>(value: D) -> Result<Option<RunError>, D::Error> {
    let value = Value::deserialize(value)?;
    Ok(value
        .is_object()
        .then(|| serde_json::from_value(value).ok())
        .flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_accepted(body: &str, conversation: Option<&str>, run: Option<&str>) {
        let accepted = TriggerAccepted::read(body.as_bytes());
        assert_eq!(accepted.conversation_url.as_deref(), conversation, "{body}");
        assert_eq!(accepted.agent_trigger_run_id.as_deref(), run, "{body}");
    }

    #[test]
    fn a_202_is_read_whatever_its_body() {
        check_accepted("", None, None);
        check_accepted("{}", None, None);
        check_accepted("<html>", None, None);
        check_accepted("[1]", None, None);
        check_accepted(r#"{"conversation_url":"c"}"#, Some("c"), None);
        check_accepted(
            r#"{"conversation_url":"c","agent_trigger_run_id":"r"}"#,
            Some("c"),
            Some("r"),
        );
        check_accepted(
            r#"{"conversation_url":7,"agent_trigger_run_id":"r","new":{}}"#,
            None,
            Some("r"),
        );
    }

    #[track_caller]
    fn check_run(body: &str, status: Option<RunStatus>, code: Option<&str>) {
        let run = Run::read(body.as_bytes());
        let found = run.as_ref().map(|run| run.status.clone());
        assert_eq!(found, status, "{body}");
        let found = run.and_then(|run| run.error?.code);
        assert_eq!(found.as_deref(), code, "{body}");
    }

    #[test]
    fn a_run_needs_no_more_than_a_status() {
        check_run("", None, None);
        check_run("{}", None, None);
        check_run(r#"{"status":7}"#, None, None);
        check_run(r#"{"status":"queued"}"#, Some(RunStatus::Queued), None);
        check_run(
            r#"{"status":"failed","error":{"code":"run_failed","new":1}}"#,
            Some(RunStatus::Failed),
            Some("run_failed"),
        );
        check_run(
            r#"{"status":"paused","created_at":"x","error":"y"}"#,
            Some(RunStatus::Other("paused".to_owned())),
            None,
        );
    }

    #[test]
    fn an_unknown_status_is_not_terminal() {
        assert!(!RunStatus::from("paused".to_owned()).is_terminal());
        assert!(RunStatus::from("completed".to_owned()).is_terminal());
    }

    #[test]
    fn a_run_is_written_with_every_field() {
        let run = Run {
            object: Some(Run::OBJECT.to_owned()),
            id: Some("apirun_1".to_owned()),
            status: RunStatus::InProgress,
            created_at: Some(1_784_763_880),
            agent_id: Some("agt_1".to_owned()),
            api_trigger_id: Some("agtch_1".to_owned()),
            conversation_url: Some("https://chatgpt.com/c/1".to_owned()),
            error: None,
        };
        insta::assert_snapshot!(
            serde_json::to_string(&run).expect("it serializes"),
            @r#"{"object":"workspace_agent.trigger_run","id":"apirun_1","status":"in_progress","created_at":1784763880,"agent_id":"agt_1","api_trigger_id":"agtch_1","conversation_url":"https://chatgpt.com/c/1","error":null}"#
        );
    }

    #[test]
    fn a_trigger_body_without_conversation_has_no_such_field() {
        let body = TriggerBody {
            input: "hello".to_owned(),
            conversation_key: None,
        };
        assert_eq!(body.to_json(), r#"{"input":"hello"}"#);
    }
}
