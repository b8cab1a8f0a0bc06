//! The HTTP client: the only place that knows status codes, headers and time-outs. It decides nothing, and an attempt
//! reaches the API once at most.

mod answer;
mod fault;
mod lanes;
mod quote;
mod retry_after;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Proxy, RequestBuilder, Response, StatusCode, Url, Version, redirect, retry};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use super::base_url::BaseUrl;
use super::token::{Secret, TokenId, Tokens};
use super::{RunAnswer, TokenProbe, TriggerApi, TriggerRequest};
use crate::plan::outcome::{Answer, Outcome};
use crate::schedule::TriggerId;
use answer::Reply;
use fault::Fault;
use lanes::{Lanes, Speaks};
use quote::Quote;

#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub base_url: BaseUrl,
    /// For one attempt, from the look-up of the name to the answer.
    pub timeout: Duration,
    /// Instead of the environment's proxy. Its URL may hold a password.
    pub proxy: Option<Secret>,
    /// PEM certificates that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Asks for run ids.
    pub track_runs: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("`proxy` is not the URL of a proxy; write it like `http://proxy.example.com:3128`")]
    InvalidProxy,
    #[error("`ca_file` `{0}` can't be read; name a file that the daemon's user may read")]
    UnreadableCaFile(PathBuf, #[source] io::Error),
    #[error("`ca_file` `{0}` holds no certificate; name a file of PEM certificates")]
    NoCertificates(PathBuf),
    #[error(
        "the HTTPS client can't be made; install the system's root certificates (`ca-certificates`), or name good ones \
         as `ca_file`"
    )]
    Client(#[source] reqwest::Error),
    #[error(
        "the system's root certificates can't be used; install them (`ca-certificates`), or name good ones as `ca_file`"
    )]
    Roots(#[source] rustls::Error),
}

/// Calls the API over HTTP. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct HttpApi {
    lanes: Arc<Lanes>,
    base_url: BaseUrl,
    timeout: Duration,
    tokens: Arc<Tokens>,
}

/// The edge has stalled the default agents of libraries.
pub const USER_AGENT: &str = concat!(
    "triggerd/",
    env!("CARGO_PKG_VERSION"),
    " (scheduler for ChatGPT Workspace Agents)"
);
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const OPENAI_BETA: HeaderName = HeaderName::from_static("openai-beta");
pub const RUNS_BETA: &str = "workspace_agent_runs=v1";

/// As many connections stay open for the next burst as calls may be in flight.
const IDLE_CONNECTIONS: usize = 1024;
const LONGEST_CONNECT: Duration = Duration::from_secs(20);
/// One HTTP/2 connection carries all calls: if it is dead, that is found out while one waits on it.
const PING_AFTER: Duration = Duration::from_secs(15);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// The status has decided by then: a body that hangs or floods costs no more than this.
const LONGEST_BODY_READ: Duration = Duration::from_secs(5);
const LARGEST_BODY: usize = 64 * 1024;

/// As ALPN names it (RFC 9113, 3.2).
const HTTP_2: &[u8] = b"h2";

const NO_SUCH_RUN: &str = "apirun_00000000000000000000000000000000";

/// Every client of this process is made after it.
pub(crate) fn provide_cryptography() {
    // An error says that the process has a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl HttpApi {
    /// # Errors
    /// If the proxy or the certificates can't be used.
    pub fn new(settings: &HttpSettings, tokens: Arc<Tokens>) -> Result<Self, HttpError> {
        provide_cryptography();
        let mut headers = HeaderMap::new();
        if settings.track_runs {
            headers.insert(OPENAI_BETA, HeaderValue::from_static(RUNS_BETA));
        }
        let proxy = match &settings.proxy {
            Some(url) => Some(Proxy::all(url.expose()).map_err(|_| HttpError::InvalidProxy)?),
            None => None,
        };
        let trusted = certificates(settings.ca_file.as_deref())?;
        let tls = match settings.base_url.is_tls() {
            true => Some(tls(trusted).map_err(HttpError::Roots)?),
            // A machine without root certificates can still call itself.
            false => None,
        };
        let loopback = settings.base_url.is_loopback();
        let connect_timeout = LONGEST_CONNECT.min(settings.timeout / 2);
        let make = move |speaks| {
            let builder = Client::builder()
                .user_agent(USER_AGENT)
                .default_headers(headers.clone())
                .redirect(redirect::Policy::none())
                .referer(false)
                // Each call is an attempt that the ledger knows of.
                .retry(retry::never())
                // Time lost before anything is sent then shows as never reached.
                .connect_timeout(connect_timeout)
                .tcp_nodelay(true)
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .http2_keep_alive_interval(PING_AFTER)
                .http2_keep_alive_timeout(PONG_WITHIN);
            let builder = match &proxy {
                _ if loopback => builder.no_proxy(),
                Some(proxy) => builder.proxy(proxy.clone()),
                None => builder,
            };
            match (&tls, speaks) {
                (Some(tls), Speaks::Whatever) => builder.tls_backend_preconfigured(tls.clone()),
                (Some(tls), Speaks::Http2) => {
                    let mut tls = tls.clone();
                    tls.alpn_protocols = vec![HTTP_2.to_vec()];
                    builder
                        .tls_backend_preconfigured(tls)
                        .http2_prior_knowledge()
                }
                (None, _) => builder.tls_certs_only([]),
            }
        };
        let speaks = match settings.base_url.is_tls() {
            true => Speaks::Http2,
            false => Speaks::Whatever,
        };
        Ok(Self {
            lanes: Arc::new(Lanes::new(make, speaks).map_err(HttpError::Client)?),
            base_url: settings.base_url.clone(),
            timeout: settings.timeout,
            tokens,
        })
    }

    /// By a client for as long as the call lasts. Whoever does not speak HTTP/2, as is taken for granted
    /// at first, is called once more: nothing has reached it.
    async fn call(&self, make: impl Fn(&Client) -> RequestBuilder) -> reqwest::Result<Response> {
        let lane = self.lanes.take();
        let sent = make(&lane).send().await;
        match &sent {
            Ok(response) if response.version() == Version::HTTP_2 => {
                self.lanes.heard(Speaks::Http2);
            }
            Err(error) if error.is_connect() => {
                self.lanes.heard(Speaks::Whatever);
                if lane.speaks == Speaks::Http2 && !error.is_timeout() {
                    return make(&self.lanes.take()).send().await;
                }
            }
            // It may speak something else, and not have said so.
            Err(_) if lane.speaks == Speaks::Http2 => self.lanes.heard(Speaks::Whatever),
            _ => {}
        }
        sent
    }

    async fn send(
        &self,
        make: impl Fn(&Client) -> RequestBuilder,
        token: &Secret,
    ) -> Result<Reply, Fault> {
        let sent_at = Instant::now();
        let make = |client: &Client| make(client).header(AUTHORIZATION, bearer(token));
        let sent = tokio::time::timeout(self.timeout, self.call(make))
            .await
            .map_err(|_| {
                // Silence is also how it may take what it does not speak.
                self.lanes.heard(Speaks::Whatever);
                Fault::timed_out(self.timeout)
            })?;
        let mut response = sent?;
        let left = self.timeout.saturating_sub(sent_at.elapsed());
        let body = read_body(&mut response, left.min(LONGEST_BODY_READ)).await;
        Ok(Reply {
            url: response.url().clone(),
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }
}

/// What a call without a token and without a question brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub http_status: u16,
    /// Their clock, to the second.
    pub date: Option<Timestamp>,
}

impl HttpApi {
    /// Whether anything answers at the base URL; no token is sent, and nothing is started.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn greet(&self) -> Result<Greeting, String> {
        let sent = self.call(|client| client.get(self.base_url.itself()));
        let answer = match tokio::time::timeout(self.timeout, sent).await {
            Ok(answer) => answer.map_err(Fault::from),
            Err(_) => Err(Fault::timed_out(self.timeout)),
        };
        match answer {
            Ok(response) => Ok(Greeting {
                http_status: response.status().as_u16(),
                date: retry_after::date(response.headers(), &DATE),
            }),
            Err(fault) => Err(Quote::all().line(fault.detail())),
        }
    }
}

impl TriggerApi for HttpApi {
    async fn trigger(&self, request: TriggerRequest) -> Answer {
        let (token, generation) = match self.tokens.current_of_generation(&request.token) {
            Ok(current) => current,
            Err(error) => return answer::without_token(&error),
        };
        // Shared: on its way through the client the body is cloned.
        let body = Bytes::from_owner(Arc::<[u8]>::from(request.body.clone()));
        let call = |client: &Client| {
            client
                .post(self.base_url.trigger(&request.trigger_id))
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .header(IDEMPOTENCY_KEY, request.idempotency_key.as_str())
                .body(body.clone())
        };
        let reply = self.send(call, &token).await;
        let mut answer = answer::of_trigger(reply, &Quote::hiding(&token, &request.body));
        if let Outcome::TokenRefused { newer_token } = &mut answer.outcome {
            *newer_token = self.tokens.generation(&request.token) > generation;
        }
        answer
    }

    async fn probe_token(&self, token: &TokenId, trigger_id: &TriggerId) -> TokenProbe {
        let token = match self.tokens.current(token) {
            Ok(token) => token,
            Err(error) => return TokenProbe::Refused(answer::token_detail(&error)),
        };
        let call = |client: &Client| client.get(self.base_url.run(trigger_id, NO_SUCH_RUN));
        let reply = self.send(call, &token).await;
        answer::of_probe(reply, &Quote::hiding(&token, ""))
    }

    async fn run_status(&self, token: &TokenId, trigger_id: &TriggerId, run_id: &str) -> RunAnswer {
        let token = match self.tokens.current(token) {
            Ok(token) => token,
            Err(error) => return RunAnswer::Refused(answer::token_detail(&error)),
        };
        let call = |client: &Client| client.get(self.base_url.run(trigger_id, run_id));
        let reply = self.send(call, &token).await;
        answer::of_run(reply, &Quote::hiding(&token, ""))
    }
}

/// What an answer to a trigger means, whoever brought it: all of the client but the network.
///
/// # Panics
/// If `status` is none of HTTP's.
pub fn understand(
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    token: &Secret,
    request_body: &str,
) -> Answer {
    let reply = Reply {
        url: Url::parse("https://api.invalid/").expect("it is an address"),
        status: StatusCode::from_u16(status).expect("a status of HTTP"),
        headers,
        body,
    };
    answer::of_trigger(Ok(reply), &Quote::hiding(token, request_body))
}

/// One for all lanes: reading the system's roots takes longer than a call, and a connection can be
/// resumed on another lane.
fn tls(trusted: Vec<CertificateDer<'static>>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(trusted, provider.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // Nothing is weaker for it: it is how a verifier is given that knows the system's roots.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(ca_file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let Some(path) = ca_file else {
        return Ok(Vec::new());
    };
    let pem =
        std::fs::read(path).map_err(|error| HttpError::UnreadableCaFile(path.into(), error))?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(HttpError::NoCertificates(path.into())),
    }
}

fn bearer(token: &Secret) -> HeaderValue {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .expect("a token that was read is visible ASCII");
    value.set_sensitive(true);
    value
}

/// As much of the body as comes in time and is wanted.
async fn read_body(response: &mut Response, within: Duration) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while body.len() < LARGEST_BODY
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
    };
    // What was read until then is kept.
    let _ = tokio::time::timeout(within, reading).await;
    body.truncate(LARGEST_BODY);
    body
}
