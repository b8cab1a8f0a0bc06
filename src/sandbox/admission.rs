//! Who may pass: token, trigger, permission, in the API's order; knows no idempotency and no fault.

use axum::http::{HeaderMap, header};

use super::agent::{Agent, AgentState, Token};
use super::refusal::Refusal;
use super::world::World;

pub(crate) fn token<'w>(world: &'w World, bearer: Option<&str>) -> Result<&'w Token, Refusal> {
    let bearer = bearer.ok_or_else(Refusal::no_token)?;
    world
        .token(bearer)
        .filter(|token| !token.revoked)
        .ok_or_else(Refusal::unknown_token)
}

pub(crate) fn agent(world: &World, trigger_id: &str, token: &Token) -> Result<Agent, Refusal> {
    let agent = world
        .agent(trigger_id)
        .filter(|agent| agent.state != AgentState::Hidden)
        .ok_or_else(Refusal::no_such_trigger)?;
    if agent.is_shared_with(&token.owner) {
        Ok(agent)
    } else {
        Err(Refusal::not_shared())
    }
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = text(headers, header::AUTHORIZATION.as_str())?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

/// A header's text; `None` where it is absent or empty.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then_some(text)
}
