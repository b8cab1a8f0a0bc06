//! Tokens probed, and runs looked at.

use super::*;

async fn probe(head: &str, body: &str) -> TokenProbe {
    let server = Server::answering(response(head, body)).await;
    let api = api(&settings_for(server.address));
    api.probe_token(&TokenId::Default, &trigger_id()).await
}

#[tokio::test]
async fn a_probe_tells_what_the_token_is_worth() {
    let echo = format!(r#"{{"error":{{"message":"bad {TOKEN}"}}}}"#);
    assert_eq!(probe("404 Not Found", &echo).await, TokenProbe::Works);
    assert_eq!(
        probe("401 Unauthorized", &echo).await,
        TokenProbe::Refused("bad ***".to_owned())
    );
    assert_eq!(
        probe("403 Forbidden", "no").await,
        TokenProbe::NotAllowed("no".to_owned())
    );
    assert_eq!(
        probe("429 Too Many Requests", "slow").await,
        TokenProbe::Unknown("status 429 slow".to_owned())
    );
}

#[tokio::test]
async fn a_probe_asks_for_a_run_that_does_not_exist() {
    let mut server = Server::answering(response("404", "")).await;
    let api = api(&settings_for(server.address));
    api.probe_token(&TokenId::Default, &trigger_id()).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_snapshot!(requests[0].lines().next().unwrap_or_default(), @"GET /v1/workspace_agents/agtch_00000000000000000000000000000001/runs/apirun_00000000000000000000000000000000 HTTP/1.1");
    let missing = api.probe_token(&revenue(), &trigger_id()).await;
    assert!(matches!(missing, TokenProbe::Refused(_)), "{missing:?}");
    assert_eq!(server.requests(), Vec::<String>::new());
}

async fn run(head: &str, body: &str) -> RunAnswer {
    let server = Server::answering(response(head, body)).await;
    let api = api(&settings_for(server.address));
    api.run_status(&TokenId::Default, &trigger_id(), "apirun_1")
        .await
}

#[tokio::test]
async fn a_run_is_found_or_the_reason_said() {
    use crate::api::wire::RunStatus;
    match run("200 OK", r#"{"status":"suspended","error":null}"#).await {
        RunAnswer::Found(run) => assert_eq!(run.status, RunStatus::Suspended),
        other => panic!("not found: {other:?}"),
    }
    let unknown = |detail: &str, seconds: Option<u64>| RunAnswer::Unknown {
        detail: detail.to_owned(),
        retry_after: seconds.map(|s| RetryAfter::Delay(Duration::from_secs(s))),
    };
    assert_eq!(run("404", "").await, RunAnswer::NotFound);
    assert_eq!(run("401", "no").await, RunAnswer::Refused("no".to_owned()));
    assert_eq!(run("403", "no").await, RunAnswer::Refused("no".to_owned()));
    assert_eq!(
        run("200 OK", "junk").await,
        unknown("status 200 junk", None)
    );
    assert_eq!(
        run("429 Slow\r\nretry-after: 7", "").await,
        unknown("status 429", Some(7))
    );
}
