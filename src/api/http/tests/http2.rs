//! Over HTTP/2 many calls share a connection.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio_rustls::TlsAcceptor;

use super::tls::{certificate, server_config};
use super::*;

/// Accepts each trigger once as many have come as are to come together.
struct Api {
    listener: TcpListener,
    ca: tempfile::NamedTempFile,
    key: String,
}

impl Api {
    async fn new() -> Self {
        let (ca, key) = certificate(&["127.0.0.1"], 2099);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self { listener, ca, key }
    }

    fn settings(&self) -> HttpSettings {
        let address = self.listener.local_addr().expect("it is bound");
        HttpSettings {
            ca_file: Some(self.ca.path().to_owned()),
            ..settings(&format!("https://{address}"))
        }
    }

    /// Serves while `calls` last, `together` of them at a time; how many connections they took.
    async fn serve<T>(
        &self,
        protocols: &[&[u8]],
        together: usize,
        calls: impl Future<Output = T>,
    ) -> (T, usize) {
        let config = server_config(self.ca.path(), &self.key, protocols);
        let acceptor = TlsAcceptor::from(config);
        let connections = AtomicUsize::new(0);
        let barrier = Arc::new(Barrier::new(together));
        let serving = async {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = self.listener.accept().await.expect("a client comes");
                connections.fetch_add(1, Ordering::Relaxed);
                let (acceptor, barrier) = (acceptor.clone(), barrier.clone());
                open.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
                    let stream = TokioIo::new(stream);
                    let service = service_fn(|request| accept(request, barrier.clone()));
                    // A client that hangs up is none of the test's concern.
                    let _ = match is_http2 {
                        true => {
                            let builder = http2::Builder::new(TokioExecutor::new());
                            builder.serve_connection(stream, service).await
                        }
                        false => {
                            let builder = http1::Builder::new();
                            builder.serve_connection(stream, service).await
                        }
                    };
                });
            }
        };
        let done = tokio::select! {
            done = calls => done,
            () = serving => unreachable!("it serves for ever"),
        };
        (done, connections.into_inner())
    }
}

async fn accept(
    request: hyper::Request<Incoming>,
    barrier: Arc<Barrier>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    // A client that has gone meanwhile gets no answer.
    let _ = request.into_body().collect().await;
    barrier.wait().await;
    let accepted = hyper::Response::builder().status(202).body(Full::default());
    Ok(accepted.expect("a good response"))
}

async fn burst(api: &HttpApi, calls: usize) {
    let mut burst = tokio::task::JoinSet::new();
    for _ in 0..calls {
        let api = api.clone();
        burst.spawn(async move { api.trigger(request()).await });
    }
    for answer in burst.join_all().await {
        assert_accepted(&answer, None);
    }
}

#[tokio::test]
async fn calls_that_come_together_share_a_connection() {
    let server = Api::new().await;
    let api = api(&server.settings());
    // Three lanes of 64, each with one connection.
    let (_, connections) = server.serve(&[HTTP_2], 192, burst(&api, 192)).await;
    assert_eq!(connections, 3);
}

#[tokio::test]
async fn an_api_that_speaks_http_1_is_called_once_more_and_then_known() {
    let server = Api::new().await;
    let api = api(&server.settings());
    let calls = async {
        burst(&api, 1).await;
        burst(&api, 1).await;
    };
    let (_, connections) = server.serve(&[b"http/1.1"], 1, calls).await;
    assert_eq!(connections, 2);
}

#[tokio::test]
async fn an_api_that_says_nothing_of_what_it_speaks_is_lost_for_one_call() {
    let server = Api::new().await;
    let api = api(&server.settings());
    let (answer, _) = server.serve(&[], 1, api.trigger(request())).await;
    assert_failed(&answer, Reached::Unknown);
    server.serve(&[], 1, burst(&api, 1)).await;
}

#[tokio::test]
async fn an_api_that_is_silent_about_what_it_does_not_speak_is_known_after_one_call() {
    let server = Api::new().await;
    let api = api(&HttpSettings {
        timeout: Duration::from_millis(500),
        ..server.settings()
    });
    let silent = async {
        let (stream, _) = server.listener.accept().await.expect("a client comes");
        let config = server_config(server.ca.path(), &server.key, &[]);
        let _open = TlsAcceptor::from(config).accept(stream).await;
        std::future::pending().await
    };
    let answer = tokio::select! {
        answer = api.trigger(request()) => answer,
        () = silent => unreachable!("it says nothing for ever"),
    };
    assert_failed(&answer, Reached::Unknown);
    server.serve(&[], 1, burst(&api, 1)).await;
}
