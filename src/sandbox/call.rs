//! What arrived, and what took effect: the record that a judge reads; knows no HTTP and no run's life.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fault::FaultKind;

/// One POST that reached `/trigger`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// From 1, in order of arrival.
    pub n: u64,
    #[serde(with = "super::instant")]
    pub at: Timestamp,
    pub trigger_id: String,
    pub idempotency_key: Option<String>,
    pub conversation_key: Option<String>,
    pub body_sha256: String,
    /// Whose token it was, where the token is known.
    pub owner: Option<String>,
    pub user_agent: Option<String>,
    pub x_request_id: String,
    /// The fault that struck it.
    pub fault: Option<FaultKind>,
    /// As decided, whether or not it reached the client; none while undecided.
    pub status: Option<u16>,
    /// Admitted: its event is queued, now or before under the same key.
    pub accepted: bool,
    /// It queued an event of its own.
    pub effect: bool,
}

impl Call {
    /// One line, once it is decided what becomes of the call.
    pub(crate) fn log(&self) {
        if self.status.is_none() && self.fault.is_none() {
            return;
        }
        tracing::info!(
            n = self.n,
            trigger_id = self.trigger_id,
            idempotency_key = self.idempotency_key,
            status = self.status,
            effect = self.effect,
            fault = self.fault.as_ref().map(tracing::field::debug),
            "trigger call"
        );
    }
}

/// One event that was queued; its run is `run_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// From 1, in order of queueing.
    pub n: u64,
    #[serde(with = "super::instant")]
    pub at: Timestamp,
    /// The call that queued it.
    pub call: u64,
    pub trigger_id: String,
    pub idempotency_key: Option<String>,
    pub conversation_key: Option<String>,
    pub conversation_url: String,
    pub run_id: String,
    pub body_sha256: String,
    pub input: String,
}
