//! The client against servers that answer, misbehave or are not there. Real sockets, so real time.

mod bodies;
mod faults;
mod gets;
mod http2;
mod server;
mod set_up;
mod statuses;
mod tls;
mod wire_format;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use insta::assert_snapshot;
use server::{Peer, Server};

use super::*;
use crate::api::token::TokenSource;
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::outcome::{Outcome, Reached, RetryAfter};

const TOKEN: &str = "at-canary-7d1f0c52b9";
const INPUT: &str = "Summarise the tickets of last week.";

fn tokens() -> Arc<Tokens> {
    let sources = BTreeMap::from([
        (TokenId::Default, TokenSource::Env("TOKEN".to_owned())),
        (revenue(), TokenSource::Env("REVENUE".to_owned())),
    ]);
    let env = |name: &str| (name == "TOKEN").then(|| TOKEN.to_owned());
    Arc::new(Tokens::new(sources, Box::new(env)))
}

fn revenue() -> TokenId {
    TokenId::Agent("revenue".to_owned())
}

fn settings(base_url: &str) -> HttpSettings {
    HttpSettings {
        base_url: BaseUrl::parse(base_url).expect("a good base URL"),
        timeout: Duration::from_secs(30),
        proxy: None,
        ca_file: None,
        track_runs: true,
    }
}

fn settings_for(address: SocketAddr) -> HttpSettings {
    settings(&format!("http://{address}/v1"))
}

fn api(settings: &HttpSettings) -> HttpApi {
    HttpApi::new(settings, tokens()).expect("good settings")
}

fn trigger_id() -> TriggerId {
    TriggerId::parse("agtch_00000000000000000000000000000001").expect("a good id")
}

fn request() -> TriggerRequest {
    TriggerRequest {
        trigger_id: trigger_id(),
        token: TokenId::Default,
        idempotency_key: IdempotencyKey::recorded("weekly-report-20261123T0900-221628c7c02aae07"),
        body: format!(r#"{{"conversation_key":"weekly-report","input":"{INPUT}"}}"#).into(),
    }
}

async fn trigger(settings: &HttpSettings) -> Answer {
    let answer = api(settings).trigger(request()).await;
    let text = format!("{answer:?}");
    assert!(!text.contains(TOKEN) && !text.contains(INPUT), "it leaks");
    assert!(answer.detail.chars().count() <= 200, "it is too long");
    answer
}

async fn trigger_within(address: SocketAddr, timeout: Duration) -> Answer {
    trigger(&HttpSettings {
        timeout,
        ..settings_for(address)
    })
    .await
}

fn response(head: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[track_caller]
fn assert_failed(answer: &Answer, expected: Reached) {
    match answer.outcome {
        Outcome::Failed {
            reached,
            retry_after: None,
        } => assert_eq!(reached, expected, "{answer:?}"),
        _ => panic!("not a failure: {answer:?}"),
    }
    assert_eq!(answer.http_status, None);
    assert!(!answer.detail.is_empty() && !answer.fix.is_empty());
}

#[track_caller]
fn assert_accepted(answer: &Answer, conversation_url: Option<&str>) {
    match &answer.outcome {
        Outcome::Accepted(acceptance) => {
            assert_eq!(acceptance.conversation_url.as_deref(), conversation_url);
        }
        _ => panic!("not accepted: {answer:?}"),
    }
    assert_eq!(answer.http_status, Some(202));
}
