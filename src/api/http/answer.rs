//! What each status means (API.md, "Errors"). It knows no connection and no retry rule.

use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{StatusCode, Url};

use super::fault::Fault;
use super::quote::Quote;
use super::retry_after;
use crate::api::token::TokenError;
use crate::api::wire::{ErrorBody, Run, TriggerAccepted};
use crate::api::{RunAnswer, TokenProbe};
use crate::plan::outcome::{Acceptance, Answer, Outcome, Reached, RetryAfter};

/// An HTTP answer, its body as far as it was read.
pub(super) struct Reply {
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

pub(super) fn of_trigger(reply: Result<Reply, Fault>, quote: &Quote<'_>) -> Answer {
    match reply {
        Ok(reply) => {
            let outcome = outcome(&reply, quote);
            Answer {
                fix: fix(&outcome, reply.status.as_u16()),
                detail: match outcome {
                    Outcome::Accepted(_) => String::new(),
                    _ => detail(&reply, quote),
                },
                outcome,
                http_status: Some(reply.status.as_u16()),
                x_request_id: x_request_id(&reply, quote),
            }
        }
        Err(fault) => {
            let detail = quote.line(fault.detail());
            match fault {
                Fault::Unsendable(_) => unanswered(
                    Outcome::Rejected,
                    detail,
                    "correct the schedule: no request can be made of it",
                ),
                Fault::Broken { reached, .. } => unanswered(
                    Outcome::Failed {
                        reached,
                        retry_after: None,
                    },
                    detail,
                    match reached {
                        Reached::No => {
                            "check this machine's network, name resolution and certificates, and `base_url`"
                        }
                        Reached::Unknown => TROUBLE,
                    },
                ),
            }
        }
    }
}

pub(super) fn without_token(error: &TokenError) -> Answer {
    unanswered(
        Outcome::TokenRefused { newer_token: false },
        token_detail(error),
        "see that the daemon can read the token from its source",
    )
}

pub(super) fn token_detail(error: &TokenError) -> String {
    use std::error::Error;
    let text = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Quote::all().line(&text)
}

fn unanswered(outcome: Outcome, detail: String, fix: &'static str) -> Answer {
    Answer {
        outcome,
        http_status: None,
        x_request_id: None,
        detail,
        fix,
    }
}

fn outcome(reply: &Reply, quote: &Quote<'_>) -> Outcome {
    match reply.status.as_u16() {
        202 => Outcome::Accepted(acceptance(&reply.body, quote)),
        401 => Outcome::TokenRefused { newer_token: false },
        403 | 404 => Outcome::TriggerRefused,
        409 => Outcome::NotRunnable,
        429 => Outcome::RateLimited(retry_after::read(&reply.headers)),
        407 | 408 | 425 => trouble(reply, Reached::Unknown),
        200..=499 => Outcome::Rejected,
        // A service that is not available has queued nothing (SEMANTICS.md 11).
        503 => trouble(reply, Reached::No),
        _ => trouble(reply, Reached::Unknown),
    }
}

fn trouble(reply: &Reply, reached: Reached) -> Outcome {
    Outcome::Failed {
        reached,
        retry_after: retry_after::read(&reply.headers),
    }
}

fn acceptance(body: &[u8], quote: &Quote<'_>) -> Acceptance {
    let accepted = TriggerAccepted::read(body);
    let id = |text: Option<String>| text.and_then(|text| quote.id(&text));
    Acceptance {
        conversation_url: id(accepted.conversation_url),
        run_id: id(accepted.agent_trigger_run_id),
    }
}

const TROUBLE: &str = "nothing, as it is tried again; where it lasts, ask the API's support with the `x_request_id`, or look at what \
     stands between here and there";

/// What the operator should do about it.
fn fix(outcome: &Outcome, status: u16) -> &'static str {
    match outcome {
        Outcome::Accepted(_) => "",
        Outcome::Rejected => match status {
            200..=299 => {
                "check `base_url`: an accepted trigger is answered with 202 and nothing else"
            }
            300..=399 => {
                "check `base_url`: a redirect is never followed, as it would carry the token elsewhere"
            }
            413 => "correct the schedule: its input is too long",
            _ => "correct the schedule: its request is wrong",
        },
        Outcome::TokenRefused { .. } => {
            "make a Workspace Agent access token in ChatGPT under Admin > Access tokens, with the scope Workspace Agents; \
             a Platform API key does not work"
        }
        Outcome::TriggerRefused if status == 404 => {
            "check the `agtch_…` id in the agent's API channel, and that the workspace has API triggers"
        }
        Outcome::TriggerRefused => {
            "share the agent with the token's owner, or use the token of an owner who may run it"
        }
        Outcome::NotRunnable => {
            "save and publish the agent, and see that its API channel is active"
        }
        Outcome::RateLimited(_) => {
            "nothing, as it is tried again; where it lasts, spread the schedules, by `jitter` or `H`"
        }
        Outcome::Failed { .. } => TROUBLE,
    }
}

fn detail(reply: &Reply, quote: &Quote<'_>) -> String {
    if reply.status.is_redirection() {
        return match location(reply) {
            Some(origin) => quote.line(&format!("redirect to {origin}")),
            None => "redirect".to_owned(),
        };
    }
    match error_text(&reply.body) {
        Some(text) => quote.line(&text),
        None => quote.line(&String::from_utf8_lossy(&reply.body)),
    }
}

/// Where a redirect leads. Only its origin: path and query may repeat anything.
fn location(reply: &Reply) -> Option<String> {
    let location = reply.headers.get(LOCATION)?.to_str().ok()?;
    let url = reply.url.join(location).ok()?;
    Some(url.origin().ascii_serialization())
}

fn error_text(body: &[u8]) -> Option<String> {
    let error = ErrorBody::read(body)?.error;
    match (error.message, error.code) {
        (Some(message), Some(code)) => Some(format!("{message} ({code})")),
        (text, None) | (None, text) => text,
    }
}

fn x_request_id(reply: &Reply, quote: &Quote<'_>) -> Option<String> {
    let id = reply.headers.get("x-request-id")?.to_str().ok()?;
    quote.id(id)
}

/// Of the GET of a run that does not exist.
pub(super) fn of_probe(reply: Result<Reply, Fault>, quote: &Quote<'_>) -> TokenProbe {
    match reply {
        Ok(reply) => match reply.status.as_u16() {
            200 | 404 => TokenProbe::Works,
            401 => TokenProbe::Refused(detail(&reply, quote)),
            403 => TokenProbe::NotAllowed(detail(&reply, quote)),
            _ => TokenProbe::Unknown(with_status(&reply, quote)),
        },
        Err(fault) => TokenProbe::Unknown(quote.line(fault.detail())),
    }
}

/// Where a 429 does not say how long.
const USUAL_PAUSE: Duration = Duration::from_secs(60);

pub(super) fn of_run(reply: Result<Reply, Fault>, quote: &Quote<'_>) -> RunAnswer {
    let reply = match reply {
        Ok(reply) => reply,
        Err(fault) => {
            return RunAnswer::Unknown {
                detail: quote.line(fault.detail()),
                retry_after: None,
            };
        }
    };
    match (reply.status.as_u16(), Run::read(&reply.body)) {
        (200, Some(run)) => RunAnswer::Found(run),
        (401 | 403, _) => RunAnswer::Refused(detail(&reply, quote)),
        (404, _) => RunAnswer::NotFound,
        (429, _) => RunAnswer::Unknown {
            detail: with_status(&reply, quote),
            retry_after: retry_after::read(&reply.headers).or(Some(RetryAfter::Delay(USUAL_PAUSE))),
        },
        _ => RunAnswer::Unknown {
            detail: with_status(&reply, quote),
            retry_after: retry_after::read(&reply.headers),
        },
    }
}

fn with_status(reply: &Reply, quote: &Quote<'_>) -> String {
    let detail = detail(reply, quote);
    quote.line(&format!("status {} {detail}", reply.status.as_u16()))
}
