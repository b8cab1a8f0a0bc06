//! The status page, health, metrics and calendar, over HTTP on TCP: how things stand, for people and
//! their tools to look at. It is read-only, has no login, and shows neither a token nor an input.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::daemon::office::Office;
use desk::Desk;
use listener::Limited;

mod calendar;
mod desk;
mod events;
mod health;
mod listener;
mod metrics;
mod page;

pub struct StatusPage;

impl StatusPage {
    /// Answers at `address` until it is told to stop. Nobody can look without it, and everything else
    /// goes on (SEMANTICS.md 20): `None` if it can't listen there.
    pub async fn start(
        address: SocketAddr,
        office: Office,
        stop: CancellationToken,
    ) -> Option<JoinHandle<()>> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok::<_, std::io::Error>((listener, address))
        };
        match bound.await {
            Ok((listener, address)) => {
                tracing::info!(%address, "status page listens");
                let app = router(address, Arc::new(Desk::new(office)));
                Some(tokio::spawn(serve(listener, app, stop)))
            }
            Err(error) => {
                tracing::error!(
                    %address,
                    %error,
                    fix = "free the port, or name another under `[http]`, and start again",
                    "there can be no status page; everything else goes on"
                );
                None
            }
        }
    }
}

async fn serve(listener: TcpListener, app: Router, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        ended = axum::serve(Limited::new(listener), app) => if let Err(error) = ended {
            tracing::error!(%error, "the status page ended");
        }
    }
}

fn router(address: SocketAddr, desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/", get(page::overview))
        .route("/schedules/{name}", get(page::schedule))
        .route("/status.json", get(page::status))
        .route("/schedules.ics", get(calendar::calendar))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/events", get(events::events))
        .route(page::STYLE.path(), get(page::style))
        .route(page::SCRIPT.path(), get(page::script))
        .fallback(page::nothing_here)
        .with_state(desk)
        .layer(middleware::from_fn_with_state(address, only_to_its_name))
        .layer(middleware::map_response(closed))
}

/// A page of somebody else's can make a browser ask this address under a name of its own (DNS
/// rebinding), and read the answer. So on loopback only names that mean loopback are answered.
async fn only_to_its_name(
    State(address): State<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if address.ip().is_loopback() && !names(request.headers(), address) {
        let said = "ask this machine by the name `localhost`, or by its address\n";
        return (StatusCode::MISDIRECTED_REQUEST, said).into_response();
    }
    next.run(request).await
}

fn names(headers: &HeaderMap, address: SocketAddr) -> bool {
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let Some(authority) = host.and_then(|it| it.parse::<Authority>().ok()) else {
        return false;
    };
    let host = authority.host();
    let is_address = host
        .trim_matches(['[', ']'])
        .parse()
        .is_ok_and(|ip: std::net::IpAddr| ip == address.ip());
    is_address || ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

/// Nothing from elsewhere is loaded, and nothing of it is kept, framed or guessed.
async fn closed(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 5] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
             img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_mean_this_machine_are_answered() {
        #[track_caller]
        fn check(host: &str, expected: bool) {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a header"));
            let address = "127.0.0.2:9464".parse().expect("an address");
            assert_eq!(names(&headers, address), expected, "{host}");
        }
        for host in [
            "localhost",
            "localhost:1",
            "127.0.0.1:9464",
            "[::1]:9464",
            "127.0.0.2",
        ] {
            check(host, true);
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.3",
            "a@b@c",
            "::1",
        ] {
            check(host, false);
        }
    }
}
