//! The inspection routes under `/sandbox`: what a test, a judge or a person looks at and sets; no part of the
//! API's contract, without a token, and for loopback alone.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::agent::{AgentChange, TokenChange};
use super::connection::Peer;
use super::fault::Fault;
use super::server::Server;
use super::world::World;

/// What `GET /sandbox` answers, and what `triggerd sandbox --help` ends with.
pub const ROUTES: &str = r#"GET    /sandbox/calls             every trigger call; ?after=N for those after the Nth
GET    /sandbox/effects           every event that was queued; ?after=N as above
GET    /sandbox/runs              every run, and what it waits for
POST   /sandbox/runs/ID/approve   let a suspended run go on
GET    /sandbox/destinations      every update that was written
GET    /sandbox/destinations/ID   one destination's updates as text
GET    /sandbox/agents            the agents with their API channels
POST   /sandbox/agents            make or change one
POST   /sandbox/tokens            make or change one
GET    /sandbox/faults            the faults in force
POST   /sandbox/faults            add one
DELETE /sandbox/faults            clear them
POST   /sandbox/release           let held answers go

An agent, each field optional:
  trigger_id     made up where it is left out
  state          published, unpublished (409) or hidden (404)
  shared_with    owners, or ["*"]
  behaviour      completes, writes_nothing, suspends, fails_dispatch, fails_run,
                 never_ends
  conversations  serial or parallel
  queue_ms, run_ms

A token: token, owner, revoked, calls_per_minute (429 above it).

A fault is a kind with its fields:
  {"kind": "delay", "ms": 4000}       queued, then answered late
  {"kind": "status", "status": 503}   and "retry_after": {"seconds": 3},
                                      {"date_in": 3} or {"text": "soon"}
  {"kind": "html403"}                 a gateway's page
  {"kind": "redirect"}                and "status", "to"
  {"kind": "hang"}                    no byte until the client gives up
  {"kind": "reset"}                   the connection ends in a TCP reset
  {"kind": "hold"}                    the answer waits for its release
  {"kind": "drip"}                    queued, answered at one byte a second
  {"kind": "junk"}, {"kind": "empty"}, {"kind": "huge", "bytes": 1000000}
                                      a 202 with such a body
and with any kind:
  when        for hang, reset, hold: before (default) or after it is queued
  calls       how many calls it strikes; all, where it is left out
  trigger_id  only this one's calls
  contains    only calls with this in their input or idempotency key
  on          trigger (default), runs or any
"#;

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/", get(async || ROUTES))
        .route("/calls", get(calls))
        .route("/effects", get(effects))
        .route("/runs", get(runs))
        .route("/runs/{run_id}/approve", post(approve))
        .route("/destinations", get(destinations))
        .route("/destinations/{name}", get(destination))
        .route("/agents", get(agents).post(set_agent))
        .route("/tokens", post(set_token))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/release", post(release))
        .layer(middleware::from_fn(loopback_only))
}

async fn loopback_only(
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if peer.address.ip().is_loopback() {
        next.run(request).await
    } else {
        Problem(StatusCode::FORBIDDEN, "only from this host".to_owned()).into_response()
    }
}

/// What was wrong with an inspection call.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "problem": self.1 }))).into_response()
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        let problem = format!("the change can't be recorded: {error}");
        Self(StatusCode::INTERNAL_SERVER_ERROR, problem)
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: usize,
}

async fn calls(State(server): State<Arc<Server>>, Query(from): Query<After>) -> Json<Value> {
    server.look(|world| {
        Json(json!(
            world.calls.iter().skip(from.after).collect::<Vec<_>>()
        ))
    })
}

async fn effects(State(server): State<Arc<Server>>, Query(from): Query<After>) -> Json<Value> {
    server.look(|world| {
        Json(json!(
            world.effects.iter().skip(from.after).collect::<Vec<_>>()
        ))
    })
}

async fn runs(State(server): State<Arc<Server>>) -> Json<Value> {
    server.look(|world| Json(json!(world.runs)))
}

async fn approve(
    State(server): State<Arc<Server>>,
    Path(run_id): Path<String>,
) -> Result<Json<Value>, Problem> {
    if let Some(run) = server.approve(&run_id)? {
        return Ok(Json(json!(run)));
    }
    Err(server.look(|world| match world.run(&run_id) {
        None => Problem(StatusCode::NOT_FOUND, format!("there is no run `{run_id}`")),
        Some(run) => {
            let status = run.status.as_str();
            let problem =
                format!("run `{run_id}` is `{status}`, only a `suspended` one waits for approval");
            Problem(StatusCode::CONFLICT, problem)
        }
    }))
}

async fn destinations(State(server): State<Arc<Server>>) -> Json<Value> {
    server.look(|world| Json(json!(world.updates)))
}

async fn destination(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let text = server.look(|world| text_of(world, &name));
    if text.is_empty() {
        let problem = format!("nothing was written to `{name}`");
        return Err(Problem(StatusCode::NOT_FOUND, problem));
    }
    let markdown = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    Ok((markdown, text).into_response())
}

fn text_of(world: &World, name: &str) -> String {
    world
        .updates
        .iter()
        .filter(|update| update.slug == name || update.destination == name)
        .map(|update| format!("{}\n\n", update.text))
        .collect()
}

async fn agents(State(server): State<Arc<Server>>) -> Json<Value> {
    server.look(|world| Json(json!(world.agents().collect::<Vec<_>>())))
}

async fn set_agent(
    State(server): State<Arc<Server>>,
    change: Result<Json<AgentChange>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(change) = change?;
    Ok(Json(json!(server.set_agent(change)?)))
}

async fn set_token(
    State(server): State<Arc<Server>>,
    change: Result<Json<TokenChange>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(change) = change?;
    Ok(Json(json!(server.set_token(change)?)))
}

async fn faults(State(server): State<Arc<Server>>) -> Json<Vec<Fault>> {
    Json(server.look(|world| world.faults.in_force()))
}

async fn add_fault(
    State(server): State<Arc<Server>>,
    fault: Result<Json<Value>, JsonRejection>,
) -> Result<Json<Vec<Fault>>, Problem> {
    let Json(fault) = fault?;
    let fault = read_fault(&fault)?;
    server.touch(|world| world.faults.add(fault));
    Ok(faults(State(server)).await)
}

/// A misspelt field would make a fault that strikes other calls than it should.
fn read_fault(json: &Value) -> Result<Fault, Problem> {
    let wrong = |problem| Problem(StatusCode::UNPROCESSABLE_ENTITY, problem);
    let fault = Fault::deserialize(json).map_err(|error| wrong(error.to_string()))?;
    let known = json!(fault);
    let names = json
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.keys());
    match names.into_iter().find(|name| known.get(name).is_none()) {
        Some(name) => Err(wrong(format!("this kind of fault has no `{name}`"))),
        None => Ok(fault),
    }
}

async fn clear_faults(State(server): State<Arc<Server>>) -> Json<Vec<Fault>> {
    server.touch(|world| world.faults.clear());
    faults(State(server)).await
}

async fn release(State(server): State<Arc<Server>>) -> StatusCode {
    server.release();
    StatusCode::NO_CONTENT
}
