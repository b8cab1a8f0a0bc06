//! What goes out.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn the_request_to_the_byte() {
    let mut server = Server::answering(response("202 Accepted", "")).await;
    trigger(&settings_for(server.address)).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    let text = requests[0]
        .replace(&server.address.to_string(), "ADDRESS")
        .replace("\r\n", "\\r\\n\n");
    assert_snapshot!(text, @r#"
    POST /v1/workspace_agents/agtch_00000000000000000000000000000001/trigger HTTP/1.1\r\n
    content-type: application/json\r\n
    idempotency-key: weekly-report-20261123T0900-221628c7c02aae07\r\n
    authorization: Bearer at-canary-7d1f0c52b9\r\n
    accept: */*\r\n
    user-agent: triggerd/0.1.0 (scheduler for ChatGPT Workspace Agents)\r\n
    openai-beta: workspace_agent_runs=v1\r\n
    host: ADDRESS\r\n
    content-length: 82\r\n
    \r\n
    {"conversation_key":"weekly-report","input":"Summarise the tickets of last week."}
    "#);
}

#[tokio::test]
async fn without_run_tracking_there_is_no_beta_header() {
    let mut server = Server::answering(response("202 Accepted", "")).await;
    trigger(&HttpSettings {
        track_runs: false,
        ..settings_for(server.address)
    })
    .await;
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        !requests[0].to_lowercase().contains("openai-beta"),
        "{}",
        requests[0]
    );
}

#[tokio::test]
async fn calls_in_a_row_share_a_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let server = Server::start(move |mut peer: Peer| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move { while peer.read_request().await && peer.write(response("202", "")).await {} }
    })
    .await;
    let api = api(&settings_for(server.address));
    for _ in 0..3 {
        assert_accepted(&api.trigger(request()).await, None);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}
