//! `POST …/workspace_agents/{trigger_id}/trigger`: the checks in the API's order, then the event is queued.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Extension, Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tokio::sync::watch;

use super::admission;
use super::agent::AgentState;
use super::asked::Asked;
use super::call::{Call, Effect};
use super::connection::Peer;
use super::fault::FaultKind;
use super::journal::Record;
use super::refusal::Refusal;
use super::routes::RequestId;
use super::run::Run;
use super::server::Server;
use super::strike::Strike;
use super::world::World;
use crate::api::wire::{RunStatus, TriggerAccepted, TriggerBody};

pub(super) async fn trigger(
    State(server): State<Arc<Server>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Extension(RequestId(x_request_id)): Extension<RequestId>,
    Path(trigger_id): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if method != Method::POST {
        return Refusal::not_a_post().into_response();
    }
    let asked = Asked::read(trigger_id, &headers, body, x_request_id);
    match answer(server, peer, &asked).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a call can't be recorded");
            Refusal::broken().into_response()
        }
    }
}

async fn answer(server: Arc<Server>, peer: Peer, asked: &Asked) -> io::Result<Response> {
    let (n, fault, released) = arrive(&server, asked)?;
    let mut strike = Strike {
        server: server.clone(),
        peer,
        fault,
        released,
    };
    if let Some(response) = strike.before().await {
        return Ok(response);
    }
    let queued = match decide(&server, n, asked, strike.fault.as_ref())? {
        Ok(queued) => queued,
        Err(refusal) => return Ok(refusal.into_response()),
    };
    server.move_run(&queued.run_id);
    server.wait(server.acceptance_delay(n)).await;
    let accepted = TriggerAccepted {
        conversation_url: Some(queued.conversation_url),
        agent_trigger_run_id: asked.wants_run_id.then_some(queued.run_id),
    };
    let response = (StatusCode::ACCEPTED, Json(accepted)).into_response();
    Ok(strike.after(response).await)
}

/// Notes the call, and finds the fault that it meets.
fn arrive(
    server: &Server,
    asked: &Asked,
) -> io::Result<(u64, Option<FaultKind>, watch::Receiver<u64>)> {
    // From before the call is seen: who sees it may release it at once.
    let released = server.released.subscribe();
    let (n, fault) = server.change(|world| {
        let fault = world.faults.take(&asked.target());
        let token = asked
            .bearer
            .as_deref()
            .and_then(|bearer| world.token(bearer));
        let n = world.calls.len() as u64 + 1;
        let call = Call {
            n,
            at: Timestamp::now(),
            trigger_id: asked.trigger_id.clone(),
            idempotency_key: asked.idempotency_key.clone(),
            conversation_key: asked
                .body
                .as_ref()
                .ok()
                .and_then(|body| body.conversation_key.clone()),
            body_sha256: asked.body_sha256.clone(),
            owner: token.map(|token| token.owner.clone()),
            user_agent: asked.user_agent.clone(),
            x_request_id: asked.x_request_id.clone(),
            status: fault.as_ref().and_then(FaultKind::status_before),
            fault: fault.clone().filter(FaultKind::strikes_before),
            accepted: false,
            effect: false,
        };
        (vec![Record::Call(call)], (n, fault))
    })?;
    Ok((n, fault, released))
}

struct Queued {
    conversation_url: String,
    run_id: String,
}

/// Admission, then the idempotency key, then the queue; all under one lock, and recorded with the call's outcome.
fn decide(
    server: &Server,
    n: u64,
    asked: &Asked,
    fault: Option<&FaultKind>,
) -> io::Result<Result<Queued, Refusal>> {
    server.change(|world| {
        let now = Timestamp::now();
        let mut call = world.calls[n as usize - 1].clone();
        let body = match admit(world, asked, fault, now) {
            Ok(body) => body,
            Err(refusal) => {
                call.status = Some(refusal.status.as_u16());
                if refusal.is_fault {
                    call.fault = fault.cloned();
                }
                return (vec![Record::Call(call)], Err(refusal));
            }
        };
        call.status = Some(StatusCode::ACCEPTED.as_u16());
        call.fault = fault.cloned();
        call.accepted = true;

        let key = asked.idempotency_key.as_deref();
        if let Some(known) = key.and_then(|key| world.effect_of_key(&asked.trigger_id, key)) {
            if known.body_sha256 != asked.body_sha256 {
                tracing::warn!(
                    trigger_id = asked.trigger_id,
                    idempotency_key = key,
                    first_call = known.call,
                    call = n,
                    "the same idempotency key with another body: the first outcome stands"
                );
            }
            let queued = Queued {
                conversation_url: known.conversation_url.clone(),
                run_id: known.run_id.clone(),
            };
            return (vec![Record::Call(call)], Ok(queued));
        }

        call.effect = true;
        let (effect, run) = enqueue(server, world, n, asked, body, now);
        let queued = Queued {
            conversation_url: effect.conversation_url.clone(),
            run_id: effect.run_id.clone(),
        };
        let records = vec![Record::Effect(effect), Record::Run(run), Record::Call(call)];
        (records, Ok(queued))
    })
}

fn admit<'a>(
    world: &mut World,
    asked: &'a Asked,
    fault: Option<&FaultKind>,
    now: Timestamp,
) -> Result<&'a TriggerBody, Refusal> {
    let token = admission::token(world, asked.bearer.as_deref())?.clone();
    let body = asked.body.as_ref().map_err(Refusal::clone)?;
    let agent = admission::agent(world, &asked.trigger_id, &token)?;
    if agent.state != AgentState::Published {
        return Err(Refusal::not_runnable());
    }
    if let Some(refusal) = fault.and_then(Refusal::asked_for) {
        return Err(refusal);
    }
    if let Some(wait) = world.rate_wait(&token, now) {
        return Err(Refusal::too_many(wait));
    }
    Ok(body)
}

fn enqueue(
    server: &Server,
    world: &World,
    call: u64,
    asked: &Asked,
    body: &TriggerBody,
    now: Timestamp,
) -> (Effect, Run) {
    let n = world.effects.len() as u64 + 1;
    let conversation_key = body.conversation_key.as_deref();
    let effect = Effect {
        n,
        at: now,
        call,
        trigger_id: asked.trigger_id.clone(),
        idempotency_key: asked.idempotency_key.clone(),
        conversation_key: body.conversation_key.clone(),
        conversation_url: server.conversation_url(&asked.trigger_id, conversation_key, n),
        run_id: server.new_run_id(n),
        body_sha256: asked.body_sha256.clone(),
        input: body.input.clone(),
    };
    let run = Run {
        id: effect.run_id.clone(),
        effect: n,
        trigger_id: effect.trigger_id.clone(),
        conversation_url: effect.conversation_url.clone(),
        created_at: now,
        status: RunStatus::Queued,
        error: None,
        waits_for: None,
        approved: false,
    };
    (effect, run)
}
