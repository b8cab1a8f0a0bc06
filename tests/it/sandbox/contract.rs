use reqwest::Method;
use serde_json::json;
use triggerd::sandbox::{
    AgentChange, AgentState, STRANGERS_TOKEN, Settings, TOKEN, TRIGGER_ID, TokenChange,
    UNPUBLISHED_TRIGGER_ID,
};

use super::{Lab, answer, quick};

const INVALID: &str = "invalid_request_error";

#[tokio::test]
async fn a_202_names_the_conversation_and_with_the_beta_header_the_run() {
    let lab = Lab::new().await;
    let plain = lab.trigger().send().await;
    plain.check_accepted();
    let body = plain.json();
    let url = body["conversation_url"].as_str().expect("a url");
    assert!(url.starts_with("https://chatgpt.com/c/"), "{url}");
    assert_eq!(url.len(), "https://chatgpt.com/c/".len() + 36);
    assert_eq!(body.as_object().map(|fields| fields.len()), Some(1));

    let beta = lab.trigger().beta().send().await;
    beta.check_accepted();
    let run_id = beta.run_id();
    assert_eq!(run_id.len(), "apirun_".len() + 32, "{run_id}");
    assert!(run_id.starts_with("apirun_"));
}

#[tokio::test]
async fn both_prefixes_serve_the_same_api() {
    let lab = Lab::new().await;
    lab.trigger().key("k").send().await.check_accepted();
    let root = lab.sandbox.root_url();
    let url = format!("{root}/workspace_agents/{TRIGGER_ID}/trigger");
    let request = lab.client.post(url).bearer_auth(TOKEN);
    let request = request
        .header("content-type", "application/json")
        .header("idempotency-key", "k")
        .body(r#"{"input":"x"}"#);
    answer(request).await.check_accepted();
    assert_eq!(lab.sandbox.effects().len(), 1);
}

#[tokio::test]
async fn every_row_of_the_error_table() {
    let lab = Lab::new().await;
    let send = async |trigger: super::Trigger<'_>| trigger.send().await;

    let missing = send(lab.trigger().body("{}")).await;
    missing.check(400, INVALID, None);
    assert!(missing.text.contains("body.input Field required"));
    send(lab.trigger().body("{"))
        .await
        .check(400, INVALID, None);
    send(lab.trigger().body(r#"{"input":["x"]}"#))
        .await
        .check(400, INVALID, None);
    let large = json!({ "input": "x".repeat(5 << 20) });
    send(lab.trigger().body(large))
        .await
        .check(413, INVALID, None);

    send(lab.trigger().token(None))
        .await
        .check(401, INVALID, Some("missing_api_key"));
    let incorrect = send(lab.trigger().token(Some("sk-1"))).await;
    incorrect.check(401, INVALID, Some("invalid_api_key"));
    assert!(incorrect.text.contains("Incorrect API key provided"));

    send(lab.trigger().token(Some(STRANGERS_TOKEN)))
        .await
        .check(403, INVALID, None);
    send(lab.trigger().at("agtch_0"))
        .await
        .check(404, INVALID, None);
    let unpublished = send(lab.trigger().at(UNPUBLISHED_TRIGGER_ID)).await;
    unpublished.check(409, INVALID, None);
    let message = "The workspace agent trigger is not currently available.";
    assert_eq!(unpublished.json()["error"]["message"], message);

    assert_eq!(lab.sandbox.calls().len(), 9);
    assert_eq!(lab.sandbox.effects(), []);
}

#[tokio::test]
async fn any_method_but_post_breaks_a_security_policy() {
    let lab = Lab::new().await;
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = lab.trigger().method(method).token(None).send().await;
        answer.check(401, INVALID, Some("security_policy_not_allowed"));
    }
    assert_eq!(lab.sandbox.calls(), []);
}

#[tokio::test]
async fn an_unknown_route_is_404_and_has_a_request_id() {
    let lab = Lab::new().await;
    let url = format!("{}/workspace_agents", lab.sandbox.base_url());
    answer(lab.client.get(url)).await.check(404, INVALID, None);
}

/// Each call is wrong in all that comes later, so that the status tells which check came first.
#[tokio::test]
async fn the_checks_come_in_the_contracts_order() {
    let lab = Lab::new().await;
    let token = |token: &str| TokenChange {
        token: token.to_owned(),
        calls_per_minute: Some(0),
        ..TokenChange::default()
    };
    let stranger = Some("stranger@example.com".to_owned());
    let set = |change| lab.sandbox.set_token(change).expect("it is recorded");
    set(token("at-limited"));
    set(TokenChange {
        owner: stranger,
        ..token("at-limited-stranger")
    });
    let wrong = |token: &str, trigger_id: &str, body: &str| {
        lab.trigger()
            .key("known")
            .token(Some(token))
            .at(trigger_id)
            .body(body)
    };
    lab.trigger().key("known").send().await.check_accepted();

    let cases = [
        (wrong("at-unknown", "agtch_0", "{"), 401),
        (wrong("at-limited-stranger", "agtch_0", "{"), 400),
        (
            wrong("at-limited-stranger", "agtch_0", r#"{"input":"x"}"#),
            404,
        ),
        (
            wrong(
                "at-limited-stranger",
                UNPUBLISHED_TRIGGER_ID,
                r#"{"input":"x"}"#,
            ),
            403,
        ),
        (
            wrong("at-limited", UNPUBLISHED_TRIGGER_ID, r#"{"input":"x"}"#),
            409,
        ),
        (wrong("at-limited", TRIGGER_ID, r#"{"input":"x"}"#), 429),
        (wrong(TOKEN, TRIGGER_ID, r#"{"input":"x"}"#), 202),
    ];
    for (case, (trigger, status)) in cases.into_iter().enumerate() {
        let answer = trigger.send().await;
        assert_eq!(answer.status, status, "case {case}: {}", answer.text);
    }
    assert_eq!(lab.sandbox.effects().len(), 1);
}

#[tokio::test]
async fn a_tokens_rate_is_limited_with_a_retry_after() {
    let lab = Lab::new().await;
    let change = TokenChange {
        token: TOKEN.to_owned(),
        calls_per_minute: Some(1),
        ..TokenChange::default()
    };
    lab.sandbox.set_token(change).expect("it is recorded");
    lab.trigger().key("a").send().await.check_accepted();
    let limited = lab.trigger().key("a").send().await;
    limited.check(429, "rate_limit_error", Some("rate_limit_exceeded"));
    let seconds: u64 = limited.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_a_renewed_one_taken() {
    let lab = Lab::new().await;
    let revoked = |revoked| TokenChange {
        token: TOKEN.to_owned(),
        revoked: Some(revoked),
        ..TokenChange::default()
    };
    lab.sandbox
        .set_token(revoked(true))
        .expect("it is recorded");
    let refused = lab.trigger().send().await;
    refused.check(401, INVALID, Some("invalid_api_key"));
    lab.sandbox
        .set_token(revoked(false))
        .expect("it is recorded");
    lab.trigger().send().await.check_accepted();
}

#[tokio::test]
async fn the_same_key_queues_once_whatever_the_body() {
    let lab = Lab::new().await;
    let first = lab.trigger().key("k").send().await;
    let other_body = lab.trigger().key("k").event("DEMO-2").send().await;
    other_body.check_accepted();
    assert_eq!(first.json(), other_body.json());

    let with_beta = lab.trigger().key("k").beta().send().await;
    let effects = lab.sandbox.effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(with_beta.run_id(), effects[0].run_id);
    assert_eq!(
        with_beta.json()["conversation_url"],
        first.json()["conversation_url"]
    );

    let calls = lab.sandbox.calls();
    let took_effect: Vec<bool> = calls.iter().map(|call| call.effect).collect();
    assert_eq!(took_effect, [true, false, false]);
    assert!(calls.iter().all(|call| call.accepted));
}

#[tokio::test]
async fn a_key_counts_per_trigger_and_calls_without_key_always_queue() {
    let lab = Lab::with(&Settings {
        any_trigger: true,
        ..quick()
    })
    .await;
    lab.trigger().key("k").send().await.check_accepted();
    lab.trigger()
        .key("k")
        .at("agtch_0")
        .send()
        .await
        .check_accepted();
    lab.trigger().send().await.check_accepted();
    lab.trigger().send().await.check_accepted();
    assert_eq!(lab.sandbox.effects().len(), 4);
    lab.trigger()
        .at("Weekly report")
        .send()
        .await
        .check(404, INVALID, None);
}

#[tokio::test]
async fn a_conversation_key_keeps_its_url_and_no_key_has_its_own() {
    let lab = Lab::new().await;
    let url = async |body: serde_json::Value| {
        lab.trigger().body(body).send().await.json()["conversation_url"].clone()
    };
    let keyed = url(json!({ "input": "x", "conversation_key": "a" })).await;
    assert_eq!(
        url(json!({ "input": "y", "conversation_key": "a" })).await,
        keyed
    );
    assert_ne!(
        url(json!({ "input": "x", "conversation_key": "b" })).await,
        keyed
    );
    assert_ne!(
        url(json!({ "input": "x" })).await,
        url(json!({ "input": "x" })).await
    );
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let lab = Lab::new().await;
    let body = json!({ "input": "x", "priority": "high", "metadata": {} });
    lab.trigger().body(body).send().await.check_accepted();
}

#[tokio::test]
async fn a_run_that_does_not_exist_checks_a_token() {
    let lab = Lab::new().await;
    let status = async |trigger_id, token| lab.run(trigger_id, "apirun_0", token).await.status;
    assert_eq!(status(TRIGGER_ID, "at-unknown").await, 401);
    assert_eq!(status(TRIGGER_ID, STRANGERS_TOKEN).await, 403);
    assert_eq!(status(TRIGGER_ID, TOKEN).await, 404);
    assert_eq!(status("agtch_0", TOKEN).await, 404);
    assert_eq!(lab.sandbox.calls(), []);
}

#[tokio::test]
async fn a_hidden_agent_is_404_and_a_republished_one_runs_again() {
    let lab = Lab::new().await;
    let state = |state| AgentChange {
        trigger_id: Some(TRIGGER_ID.to_owned()),
        state: Some(state),
        ..AgentChange::default()
    };
    let set = |change| lab.sandbox.set_agent(change).expect("it is recorded");
    set(state(AgentState::Hidden));
    lab.trigger().send().await.check(404, INVALID, None);
    set(state(AgentState::Unpublished));
    lab.trigger().send().await.check(409, INVALID, None);
    set(state(AgentState::Published));
    lab.trigger().send().await.check_accepted();
}

#[tokio::test]
async fn the_inspection_routes_make_agents_and_tokens_and_show_calls_but_no_token() {
    let lab = Lab::new().await;
    let change = json!({ "shared_with": ["ann@example.com"], "behaviour": "suspends" });
    let agent = lab
        .inspect(Method::POST, "/agents", Some(change))
        .await
        .json();
    let trigger_id = agent["trigger_id"].as_str().expect("a trigger id");
    let token = json!({ "token": "at-ann", "owner": "ann@example.com" });
    lab.inspect(Method::POST, "/tokens", Some(token)).await;

    lab.trigger()
        .at(trigger_id)
        .send()
        .await
        .check(403, INVALID, None);
    let trigger = lab.trigger().at(trigger_id).token(Some("at-ann"));
    trigger.key("k").send().await.check_accepted();

    let calls = lab.inspect(Method::GET, "/calls?after=1", None).await;
    let call = &calls.json()[0];
    assert_eq!(call["n"], 2);
    assert_eq!(call["owner"], "ann@example.com");
    assert_eq!(call["idempotency_key"], "k");
    assert_eq!(
        (&call["status"], &call["effect"]),
        (&json!(202), &json!(true))
    );
    assert!(!calls.text.contains("at-ann"));

    let misspelt = json!({ "behavior": "suspends" });
    let answer = lab.inspect(Method::POST, "/agents", Some(misspelt)).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("behaviour"), "{}", answer.text);
    let nameless = json!({ "owner": "ann@example.com" });
    let answer = lab.inspect(Method::POST, "/tokens", Some(nameless)).await;
    assert_eq!(answer.status, 422);
}
