//! The sandbox over real HTTP: API.md's contract, as a client meets it.

mod contract;
mod data;
mod faults;
mod roll_out;
mod runs;

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use triggerd::api::wire::ErrorBody;
use triggerd::sandbox::{Conduct, Sandbox, Settings, TOKEN, TRIGGER_ID};

/// Runs that take no time, so that tests wait for nothing.
fn quick() -> Settings {
    Settings {
        conduct: Conduct {
            queue_ms: 0,
            run_ms: 0,
            ..Conduct::default()
        },
        ..Settings::default()
    }
}

/// A sandbox, and a client of its own.
struct Lab {
    sandbox: Sandbox,
    client: Client,
}

impl Lab {
    async fn new() -> Self {
        Self::with(&quick()).await
    }

    async fn with(settings: &Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        // A second installation fails, and is as good as the first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            sandbox: Sandbox::start(listener, settings).expect("the sandbox starts"),
            client: Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .timeout(Duration::from_secs(20))
                .build()
                .expect("a client"),
        }
    }

    fn trigger(&self) -> Trigger<'_> {
        Trigger {
            lab: self,
            method: Method::POST,
            trigger_id: TRIGGER_ID.to_owned(),
            token: Some(TOKEN.to_owned()),
            key: None,
            beta: false,
            body: json!({ "input": event("DEMO-1") }).to_string(),
        }
    }

    async fn run(&self, trigger_id: &str, run_id: &str, token: &str) -> Answer {
        let base = self.sandbox.base_url();
        let url = format!("{base}/workspace_agents/{trigger_id}/runs/{run_id}");
        answer(self.client.get(url).bearer_auth(token)).await
    }

    async fn inspect(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("{}/sandbox{path}", self.sandbox.root_url());
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        answer(request).await
    }
}

/// A trigger call in the making.
#[must_use]
struct Trigger<'a> {
    lab: &'a Lab,
    method: Method,
    trigger_id: String,
    token: Option<String>,
    key: Option<String>,
    beta: bool,
    body: String,
}

impl Trigger<'_> {
    fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    fn at(self, trigger_id: &str) -> Self {
        let trigger_id = trigger_id.to_owned();
        Self { trigger_id, ..self }
    }

    fn token(self, token: Option<&str>) -> Self {
        let token = token.map(str::to_owned);
        Self { token, ..self }
    }

    fn key(self, key: &str) -> Self {
        let key = Some(key.to_owned());
        Self { key, ..self }
    }

    fn beta(self) -> Self {
        Self { beta: true, ..self }
    }

    fn body(self, body: impl ToString) -> Self {
        let body = body.to_string();
        Self { body, ..self }
    }

    fn event(self, request_id: &str) -> Self {
        self.body(json!({ "input": event(request_id) }))
    }

    fn request(self) -> RequestBuilder {
        let base = self.lab.sandbox.base_url();
        let url = format!("{base}/workspace_agents/{}/trigger", self.trigger_id);
        let mut request = self
            .lab
            .client
            .request(self.method, url)
            .header("content-type", "application/json")
            .body(self.body);
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = self.key {
            request = request.header("idempotency-key", key);
        }
        if self.beta {
            request = request.header("openai-beta", "workspace_agent_runs=v1");
        }
        request
    }

    async fn send(self) -> Answer {
        answer(self.request()).await
    }

    /// The answer in a task, for calls that don't end by themselves.
    fn spawn(self) -> tokio::task::JoinHandle<reqwest::Result<reqwest::Response>> {
        let request = self.request();
        tokio::spawn(request.send())
    }
}

struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    text: String,
}

async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        text: response.text().await.expect("a body"),
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).expect("the header is there");
        value.to_str().expect("it is text")
    }

    fn run_id(&self) -> String {
        let id = &self.json()["agent_trigger_run_id"];
        id.as_str().expect("a run id").to_owned()
    }

    /// Status, type and code of a refusal, whose body has the contract's shape to the letter.
    #[track_caller]
    fn check(&self, status: u16, kind: &str, code: Option<&str>) {
        assert_eq!(self.status, status, "{}", self.text);
        let fields = self.json();
        let names: Vec<&String> = fields["error"]
            .as_object()
            .expect("an error")
            .keys()
            .collect();
        assert_eq!(names, ["code", "message", "param", "type"]);
        let detail = ErrorBody::read(self.text.as_bytes())
            .expect("an error")
            .error;
        assert_eq!(detail.kind.as_deref(), Some(kind));
        assert_eq!(detail.code.as_deref(), code);
        assert!(detail.message.is_some_and(|message| !message.is_empty()));
        assert!(self.header("x-request-id").starts_with("req_"));
    }

    #[track_caller]
    fn check_accepted(&self) {
        assert_eq!(self.status, 202, "{}", self.text);
        assert!(self.header("x-request-id").starts_with("req_"));
    }
}

/// The published mapping of a source event to text.
fn event(request_id: &str) -> String {
    format!(
        "Request ID: {request_id}\n\
         Source system: notebook demo\n\
         Submitted at: 2026-06-18T01:01:01+00:00\n\
         Output destination: #ops\n\
         Update text: The trigger reached the agent.\n\
         \n\
         Please write this update to the configured destination.\n\
         Start with exactly: Workspace Agent API demo received: {request_id}"
    )
}
