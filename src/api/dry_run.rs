//! An API that nothing reaches: what `run --dry-run` talks to. It never looks at a token.

use crate::api::token::TokenId;
use crate::api::{RunAnswer, TokenProbe, TriggerApi, TriggerRequest};
use crate::plan::outcome::{Acceptance, Answer, Outcome};
use crate::schedule::TriggerId;

pub struct DryRun;

impl TriggerApi for DryRun {
    async fn trigger(&self, _request: TriggerRequest) -> Answer {
        Answer {
            outcome: Outcome::Accepted(Acceptance::default()),
            http_status: None,
            x_request_id: None,
            detail: String::new(),
            fix: "",
        }
    }

    async fn probe_token(&self, _token: &TokenId, _trigger_id: &TriggerId) -> TokenProbe {
        TokenProbe::Works
    }

    async fn run_status(
        &self,
        _token: &TokenId,
        _trigger_id: &TriggerId,
        _run_id: &str,
    ) -> RunAnswer {
        RunAnswer::NotFound
    }
}
