//! The roll-out test matrix, row by row.

use triggerd::api::wire::RunStatus;
use triggerd::sandbox::{STRANGERS_TOKEN, UNPUBLISHED_TRIGGER_ID};

use super::{Lab, event};

#[tokio::test]
async fn happy_path() {
    let lab = Lab::new().await;
    lab.trigger()
        .event("DEMO-20260618010101")
        .send()
        .await
        .check_accepted();
    lab.sandbox.until_updates(1).await;
    let update = &lab.sandbox.updates()[0];
    assert_eq!(update.destination, "#ops");
    insta::assert_snapshot!(update.text, @"
    Workspace Agent API demo received: DEMO-20260618010101
    Source system: notebook demo
    Submitted at: 2026-06-18T01:01:01+00:00
    The trigger reached the agent.
    ");
    let page = lab
        .inspect(reqwest::Method::GET, "/destinations/ops", None)
        .await;
    assert_eq!(page.text, format!("{}\n\n", update.text));
}

#[tokio::test]
async fn missing_request_id() {
    let lab = Lab::new().await;
    let run = lab.trigger().event("").beta().send().await.run_id();
    lab.sandbox.until_run(&run, RunStatus::Suspended).await;
    assert_eq!(lab.sandbox.updates(), []);
}

#[tokio::test]
async fn the_same_event_again_with_the_same_key() {
    let lab = Lab::new().await;
    let first = lab.trigger().key("k").beta().send().await;
    let again = lab.trigger().key("k").beta().send().await;
    again.check_accepted();
    assert_eq!(first.json(), again.json());
    lab.sandbox
        .until_run(&first.run_id(), RunStatus::Completed)
        .await;
    assert_eq!(lab.sandbox.updates().len(), 1);
}

#[tokio::test]
async fn a_token_whose_owner_the_agent_is_not_shared_with() {
    let lab = Lab::new().await;
    let answer = lab.trigger().token(Some(STRANGERS_TOKEN)).send().await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_wrong_trigger_id() {
    let lab = Lab::new().await;
    assert_eq!(lab.trigger().at("agtch_wrong").send().await.status, 404);
}

#[tokio::test]
async fn an_agent_that_is_not_runnable() {
    let lab = Lab::new().await;
    let answer = lab.trigger().at(UNPUBLISHED_TRIGGER_ID).send().await;
    assert_eq!(answer.status, 409);
}

#[tokio::test]
async fn each_destination_has_its_own_page_in_order() {
    let lab = Lab::new().await;
    let other = event("B-1").replace("#ops", "#news");
    for input in [event("A-1"), other, event("A-2")] {
        let body = serde_json::json!({ "input": input, "conversation_key": "one" });
        lab.trigger().body(body).send().await.check_accepted();
    }
    lab.sandbox.until_updates(3).await;
    let page = lab
        .inspect(reqwest::Method::GET, "/destinations/ops", None)
        .await;
    let markers: Vec<&str> = page
        .text
        .lines()
        .filter(|l| l.contains("received"))
        .collect();
    assert_eq!(
        markers,
        [
            "Workspace Agent API demo received: A-1",
            "Workspace Agent API demo received: A-2"
        ]
    );
}
