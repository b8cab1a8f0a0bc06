//! An API whose client can be exchanged while calls are under way: triggerd.toml is read again
//! without a restart. It knows nothing of what changed.

use std::sync::{Arc, PoisonError, RwLock};

use crate::api::token::TokenId;
use crate::api::{RunAnswer, TokenProbe, TriggerApi, TriggerRequest};
use crate::plan::outcome::Answer;
use crate::schedule::TriggerId;

/// Calls go to the client that is current when they begin.
pub struct Replaceable<A> {
    current: RwLock<Arc<A>>,
}

impl<A: TriggerApi> Replaceable<A> {
    pub fn new(api: A) -> Self {
        Self {
            current: RwLock::new(Arc::new(api)),
        }
    }

    pub fn replace(&self, api: A) {
        // Nothing is done under the lock that could leave half a value behind.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(api);
    }

    fn current(&self) -> Arc<A> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

impl<A: TriggerApi> TriggerApi for Replaceable<A> {
    async fn trigger(&self, request: TriggerRequest) -> Answer {
        self.current().trigger(request).await
    }

    async fn probe_token(&self, token: &TokenId, trigger_id: &TriggerId) -> TokenProbe {
        self.current().probe_token(token, trigger_id).await
    }

    async fn run_status(&self, token: &TokenId, trigger_id: &TriggerId, run_id: &str) -> RunAnswer {
        self.current().run_status(token, trigger_id, run_id).await
    }
}
