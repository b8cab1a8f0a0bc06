//! The routes, and what every answer carries; decides nothing.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::connection::Peer;
use super::fault::{FaultKind, Route, Target};
use super::refusal::Refusal;
use super::server::Server;
use super::strike::Strike;
use super::trigger::trigger;
use super::{admission, inspect};

/// Above it: 413.
const MAX_BODY: usize = 4 << 20;

/// The value of the answer's `x-request-id`.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) String);

pub(super) fn router(server: Arc<Server>) -> Router {
    let mut api = Router::new();
    for prefix in ["", "/v1"] {
        let agent = format!("{prefix}/workspace_agents/{{trigger_id}}");
        api = api
            .route(&format!("{agent}/trigger"), any(trigger))
            .route(&format!("{agent}/runs/{{run_id}}"), any(run));
    }
    api.nest("/sandbox", inspect::routes())
        .fallback(no_such_route)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(server.clone(), name_request))
        .with_state(server)
}

async fn name_request(
    State(server): State<Arc<Server>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = server.new_request_id();
    let header = HeaderValue::from_str(&id).expect("`req_` and hex digits are a header value");
    request.extensions_mut().insert(RequestId(id));
    let mut response = next.run(request).await;
    response.headers_mut().insert("x-request-id", header);
    response
}

async fn no_such_route(method: Method, uri: Uri) -> Refusal {
    Refusal::no_such_route(method.as_str(), uri.path())
}

/// `GET …/workspace_agents/{trigger_id}/runs/{run_id}`.
async fn run(
    State(server): State<Arc<Server>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Extension(RequestId(x_request_id)): Extension<RequestId>,
    Path((trigger_id, run_id)): Path<(String, String)>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
) -> Response {
    if method != Method::GET {
        return Refusal::wrong_method(method.as_str(), uri.path()).into_response();
    }
    let released = server.released.subscribe();
    let fault = server.touch(|world| {
        world.faults.take(&Target {
            route: Route::Runs,
            trigger_id: &trigger_id,
            input: &run_id,
            idempotency_key: "",
        })
    });
    server.polled();
    tracing::debug!(run_id, x_request_id, "run status asked for");
    let mut strike = Strike {
        server: server.clone(),
        peer,
        fault,
        released,
    };
    if let Some(response) = strike.before().await {
        return response;
    }
    let found = status(
        &server,
        &trigger_id,
        &run_id,
        &headers,
        strike.fault.as_ref(),
    );
    match found {
        Ok(run) => strike.after(Json(run).into_response()).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn status(
    server: &Server,
    trigger_id: &str,
    run_id: &str,
    headers: &HeaderMap,
    fault: Option<&FaultKind>,
) -> Result<crate::api::wire::Run, Refusal> {
    server.look(|world| {
        let token = admission::token(world, admission::bearer(headers).as_deref())?;
        let agent = admission::agent(world, trigger_id, token)?;
        if let Some(refusal) = fault.and_then(Refusal::asked_for) {
            return Err(refusal);
        }
        let run = world.run(run_id).filter(|run| run.trigger_id == trigger_id);
        Ok(run.ok_or_else(Refusal::no_such_run)?.to_wire(&agent))
    })
}
