//! The trigger API, in our words: what is asked of it, and what its answers can be. It knows no HTTP.

use std::fmt;
use std::sync::Arc;

use crate::plan::occurrence::IdempotencyKey;
use crate::plan::outcome::{Answer, RetryAfter};
use crate::schedule::TriggerId;

pub mod base_url;
pub mod dry_run;
pub mod http;
pub mod replaceable;
pub mod token;
pub mod wire;

use token::TokenId;
use wire::Run;

/// Whoever can be asked to trigger an agent. What goes wrong is an answer as well, so nothing here fails.
pub trait TriggerApi: Send + Sync + 'static {
    /// One attempt.
    fn trigger(&self, request: TriggerRequest) -> impl Future<Output = Answer> + Send;

    /// Asks with the GET of a run that does not exist whether the token works; nothing is started.
    fn probe_token(
        &self,
        token: &TokenId,
        trigger_id: &TriggerId,
    ) -> impl Future<Output = TokenProbe> + Send;

    /// How far a run is. It is known only under the trigger that it was started by.
    fn run_status(
        &self,
        token: &TokenId,
        trigger_id: &TriggerId,
        run_id: &str,
    ) -> impl Future<Output = RunAnswer> + Send;
}

#[derive(Clone)]
pub struct TriggerRequest {
    pub trigger_id: TriggerId,
    pub token: TokenId,
    pub idempotency_key: IdempotencyKey,
    /// The JSON as it was frozen: the same bytes for each attempt.
    pub body: Arc<str>,
}

/// Without the body, whose input no log may contain.
impl fmt::Debug for TriggerRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerRequest")
            .field("trigger_id", &self.trigger_id)
            .field("token", &self.token)
            .field("idempotency_key", &self.idempotency_key)
            .field("body_len", &self.body.len())
            .finish()
    }
}

/// What is known of a token after asking. The texts are as harmless as [`Answer::detail`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenProbe {
    Works,
    /// The token is valid; its owner may not use this trigger.
    NotAllowed(String),
    /// The token is missing, expired, revoked or of the wrong kind.
    Refused(String),
    /// The answer says nothing of the token, or none came.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum RunAnswer {
    Found(Run),
    /// There is no such run under this trigger.
    NotFound,
    /// The token does not work, or its owner may not see the run.
    Refused(String),
    /// The answer says nothing of the run, or none came.
    Unknown {
        detail: String,
        retry_after: Option<RetryAfter>,
    },
}
