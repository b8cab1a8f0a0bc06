//! A run: what the agent does after an acceptance, and how far it has come. Accepted means queued,
//! so a run that fails or waits unseen is known only by asking for it.
//! It knows neither when it is asked for nor how.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::wire::RunStatus;
use crate::plan::delivery::{Delivery, Window};
use crate::plan::occurrence::{IdempotencyKey, Occurrence};
use crate::plan::outcome::Acceptance;
use crate::schedule::Target;

/// What stays of a delivery while its run is followed; its body is gone by then.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Known to the API under the trigger of `target` alone.
    pub run_id: Arc<str>,
    pub occurrence: Occurrence,
    pub request_id: Arc<str>,
    pub idempotency_key: IdempotencyKey,
    pub target: Target,
    pub due_at: Timestamp,
    pub window: Window,
    pub accepted_at: Timestamp,
    pub conversation_url: Option<String>,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// As the API said it last; `completed` while its result is still looked up.
    Status(RunStatus),
    Ended(RunEnd),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// The API says no more than that it finished; what was written where, only `[verify]` can tell.
    Completed(Option<Finding>),
    /// `dispatch_failed` or `run_failed`.
    Failed { code: Option<String> },
    /// It can't be followed any further.
    Lost(Lost),
}

/// What was found where the result should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Confirmed,
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The API knows no such run.
    Unknown,
    /// It had not ended after [`LONGEST_RUN`].
    TooLong,
}

/// No run is followed for longer: some never end.
pub const LONGEST_RUN: Duration = Duration::from_secs(7 * 86_400);

/// A change of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunReport {
    pub run: Arc<Run>,
    pub progress: Progress,
    pub at: Timestamp,
}

/// A deadline of `[expect]` that a run has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// Suspended for longer than `approved_within`.
    Approval,
    /// Not ended `finished_within` its acceptance.
    End,
}

impl Run {
    /// `None` where the API gave no run id.
    pub fn of(
        delivery: &Delivery,
        acceptance: &Acceptance,
        accepted_at: Timestamp,
    ) -> Option<Self> {
        Some(Self {
            run_id: acceptance.run_id.as_deref()?.into(),
            occurrence: delivery.occurrence.clone(),
            request_id: delivery.request_id.clone(),
            idempotency_key: delivery.idempotency_key.clone(),
            target: delivery.target.clone(),
            due_at: delivery.due_at,
            window: delivery.window,
            accepted_at,
            conversation_url: acceptance.conversation_url.clone(),
        })
    }
}

impl Progress {
    /// The word for it in the ledger, the log and the API of its own: a status, or `lost`.
    pub fn word(&self) -> &str {
        match self {
            Progress::Status(status) => status.as_str(),
            Progress::Ended(RunEnd::Completed(_)) => "completed",
            Progress::Ended(RunEnd::Failed { .. }) => "failed",
            Progress::Ended(RunEnd::Lost(_)) => "lost",
        }
    }
}

/// What the operator can do about a run, by the words that the ledger has for how far it has come.
/// API.md, "What the operator must see": it is the agent's configuration, not the request.
pub fn way_out(status: &str, result: Option<&str>) -> Option<&'static str> {
    match (status, result) {
        ("suspended", _) => Some(
            "approve it in the conversation, or let the agent write there without asking; an app may have to be connected",
        ),
        ("failed", _) | (_, Some("missing")) => Some(
            "the request was in order: check the agent's instructions, its app's permission and authentication, and \
             whether writes wait for an approval",
        ),
        ("lost", _) => Some("look at the conversation: what became of it is not known"),
        _ => None,
    }
}

impl Overdue {
    /// The key of `[expect]` that sets it.
    pub fn key(self) -> &'static str {
        match self {
            Overdue::Approval => "approved_within",
            Overdue::End => "finished_within",
        }
    }
}

impl Finding {
    pub fn word(self) -> &'static str {
        match self {
            Finding::Confirmed => "confirmed",
            Finding::Missing => "missing",
        }
    }
}

impl RunEnd {
    pub fn finding(&self) -> Option<Finding> {
        match self {
            RunEnd::Completed(finding) => *finding,
            RunEnd::Failed { .. } | RunEnd::Lost(_) => None,
        }
    }

    /// What is known of a bad end, in a few words.
    pub fn detail(&self) -> Option<String> {
        match self {
            RunEnd::Completed(_) => None,
            RunEnd::Failed { code } => code.clone(),
            RunEnd::Lost(Lost::Unknown) => Some("the API knows no such run".to_owned()),
            RunEnd::Lost(Lost::TooLong) => Some("it had not ended after 7 days".to_owned()),
        }
    }
}
