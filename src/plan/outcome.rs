//! What one attempt brought, in the words that the retry rules decide by.
//! It knows no HTTP: which status means what is `api/http/answer.rs`'s knowledge.

use std::time::Duration;

use jiff::Timestamp;

/// What an attempt means for its delivery (API.md, "Errors").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The event is durably queued. Nothing is said of what the agent does with it.
    Accepted(Acceptance),
    /// The request itself is wrong: the same event would be refused again.
    Rejected,
    /// The token is missing, expired, revoked or of the wrong kind.
    TokenRefused {
        /// Its source holds another value by now.
        newer_token: bool,
    },
    /// The trigger is unknown, or the token's owner may not use it.
    TriggerRefused,
    /// The agent is not runnable for now: unpublished or being republished.
    NotRunnable,
    /// Too many requests with this token.
    RateLimited(Option<RetryAfter>),
    /// Trouble on the way or on their side.
    Failed {
        reached: Reached,
        retry_after: Option<RetryAfter>,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    pub conversation_url: Option<String>,
    pub run_id: Option<String>,
}

/// Whether a failed attempt may have been queued all the same (SEMANTICS.md 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It never got there, or was turned away.
    No,
    /// It may have been queued.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    Delay(Duration),
    At(Timestamp),
}

impl Outcome {
    /// Whether the event may have been queued without our knowing.
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Outcome::Failed {
                reached: Reached::Unknown,
                ..
            }
        )
    }

    /// The word for it in the ledger and the log.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Accepted(_) => "accepted",
            Outcome::Rejected => "rejected",
            Outcome::TokenRefused { .. } => "token_refused",
            Outcome::TriggerRefused => "trigger_refused",
            Outcome::NotRunnable => "not_runnable",
            Outcome::RateLimited(_) => "rate_limited",
            Outcome::Failed {
                reached: Reached::No,
                ..
            } => "failed",
            Outcome::Failed {
                reached: Reached::Unknown,
                ..
            } => "unknown",
        }
    }
}

impl Answer {
    /// The run that an acceptance named.
    pub fn run_id(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Accepted(acceptance) => acceptance.run_id.as_deref(),
            _ => None,
        }
    }
}

/// One answer, or the lack of one: the outcome and what people need to see of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub outcome: Outcome,
    /// `None` if no HTTP answer came.
    pub http_status: Option<u16>,
    /// The API's own id of the call; its support asks for it.
    pub x_request_id: Option<String>,
    /// What the API or the network said: one line, at most 200 printable characters, never the token or the input.
    pub detail: String,
    /// What the operator should do about it; empty after an acceptance.
    pub fix: &'static str,
}
