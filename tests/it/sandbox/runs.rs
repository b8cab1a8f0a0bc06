use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use triggerd::api::wire::RunStatus;
use triggerd::sandbox::{
    AgentChange, Behaviour, Conduct, Conversations, Settings, TOKEN, TRIGGER_ID, WaitsFor,
};

use super::{Lab, event, quick};

async fn lab(behaviour: Behaviour) -> Lab {
    let conduct = Conduct {
        behaviour,
        ..quick().conduct
    };
    Lab::with(&Settings { conduct, ..quick() }).await
}

async fn status_of(lab: &Lab, run_id: &str) -> Value {
    let answer = lab.run(TRIGGER_ID, run_id, TOKEN).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_runs_status_has_the_contracts_shape() {
    let lab = lab(Behaviour::NeverEnds).await;
    let accepted = lab.trigger().beta().send().await;
    let run_id = accepted.run_id();
    lab.sandbox.until_run(&run_id, RunStatus::InProgress).await;

    let run = status_of(&lab, &run_id).await;
    let created_at = run["created_at"].as_i64().expect("seconds");
    assert!(created_at <= Timestamp::now().as_second());
    let agent_id = run["agent_id"].as_str().expect("an agent id");
    assert!(agent_id.starts_with("agt_"), "{agent_id}");
    let expected = json!({
        "object": "workspace_agent.trigger_run",
        "id": run_id,
        "status": "in_progress",
        "created_at": created_at,
        "agent_id": agent_id,
        "api_trigger_id": TRIGGER_ID,
        "conversation_url": accepted.json()["conversation_url"],
        "error": null,
    });
    assert_eq!(run, expected);
    assert_eq!(lab.sandbox.seen().polls, 1);
}

#[tokio::test]
async fn a_run_is_404_under_another_trigger() {
    let lab = Lab::new().await;
    let run_id = lab.trigger().beta().send().await.run_id();
    let other = lab
        .sandbox
        .set_agent(AgentChange::default())
        .expect("it is recorded");
    let answer = lab.run(&other.trigger_id, &run_id, TOKEN).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn other_methods_on_a_run_are_refused() {
    let lab = Lab::new().await;
    let url = format!(
        "{}/workspace_agents/{TRIGGER_ID}/runs/apirun_1",
        lab.sandbox.base_url()
    );
    let answer = super::answer(lab.client.delete(url)).await;
    answer.check(405, "invalid_request_error", None);
}

#[tokio::test]
async fn a_completed_run_has_written_its_update() {
    let lab = Lab::new().await;
    let mut written = lab.sandbox.written();
    let run_id = lab.trigger().beta().send().await.run_id();
    let update = written.recv().await.expect("an update");
    assert_eq!(update.run_id, run_id);
    lab.sandbox.until_run(&run_id, RunStatus::Completed).await;
    assert_eq!(status_of(&lab, &run_id).await["error"], Value::Null);
}

#[tokio::test]
async fn runs_fail_either_way() {
    for (behaviour, code) in [
        (Behaviour::FailsDispatch, "dispatch_failed"),
        (Behaviour::FailsRun, "run_failed"),
    ] {
        let lab = lab(behaviour).await;
        let run_id = lab.trigger().beta().send().await.run_id();
        lab.sandbox.until_run(&run_id, RunStatus::Failed).await;
        assert_eq!(
            status_of(&lab, &run_id).await["error"],
            json!({ "code": code })
        );
        assert_eq!(lab.sandbox.updates(), []);
    }
}

#[tokio::test]
async fn a_run_may_complete_with_nothing_written() {
    let lab = lab(Behaviour::WritesNothing).await;
    let run_id = lab.trigger().beta().send().await.run_id();
    lab.sandbox.until_run(&run_id, RunStatus::Completed).await;
    assert_eq!(lab.sandbox.updates(), []);
}

#[tokio::test]
async fn a_suspended_run_goes_on_when_it_is_approved() {
    let lab = lab(Behaviour::Suspends).await;
    let run_id = lab.trigger().beta().send().await.run_id();
    lab.sandbox.until_run(&run_id, RunStatus::Suspended).await;
    assert_eq!(lab.sandbox.runs()[0].waits_for, Some(WaitsFor::Approval));
    assert_eq!(lab.sandbox.updates(), []);

    let approve = format!("/runs/{run_id}/approve");
    let answer = lab.inspect(Method::POST, &approve, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    lab.sandbox.until_run(&run_id, RunStatus::Completed).await;
    assert_eq!(lab.sandbox.updates().len(), 1);

    let again = lab.inspect(Method::POST, &approve, None).await;
    assert_eq!(again.status, 409);
    assert!(again.text.contains("`completed`"), "{}", again.text);
    let unknown = lab
        .inspect(Method::POST, "/runs/apirun_0/approve", None)
        .await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn a_conversation_runs_one_after_the_other() {
    let lab = lab(Behaviour::Suspends).await;
    let body = |id| json!({ "input": event(id), "conversation_key": "k" });
    let first = lab.trigger().body(body("A-1")).beta().send().await;
    let second = lab.trigger().body(body("A-2")).beta().send().await;
    assert_eq!(
        first.json()["conversation_url"],
        second.json()["conversation_url"]
    );
    let other = lab.trigger().beta().send().await.run_id();
    let (first, second) = (first.run_id(), second.run_id());

    // A run of another conversation that came later has moved; the second has not.
    lab.sandbox.until_run(&first, RunStatus::Suspended).await;
    lab.sandbox.until_run(&other, RunStatus::Suspended).await;
    assert_eq!(status_of(&lab, &second).await["status"], "queued");

    assert!(lab.sandbox.approve(&first).expect("it is recorded"));
    lab.sandbox.until_run(&first, RunStatus::Completed).await;
    lab.sandbox.until_run(&second, RunStatus::Suspended).await;
}

#[tokio::test]
async fn a_parallel_agent_runs_a_conversations_events_at_once() {
    let lab = lab(Behaviour::Suspends).await;
    let body = |id| json!({ "input": event(id), "conversation_key": "k" });
    let first = lab.trigger().body(body("A-1")).beta().send().await.run_id();
    let second = lab.trigger().body(body("A-2")).beta().send().await.run_id();
    lab.sandbox.until_run(&first, RunStatus::Suspended).await;
    let parallel = AgentChange {
        trigger_id: Some(TRIGGER_ID.to_owned()),
        conversations: Some(Conversations::Parallel),
        ..AgentChange::default()
    };
    lab.sandbox.set_agent(parallel).expect("it is recorded");
    lab.sandbox.until_run(&second, RunStatus::Suspended).await;
}

#[tokio::test]
async fn an_agent_that_stops_hanging_ends_its_runs() {
    let lab = lab(Behaviour::NeverEnds).await;
    let run_id = lab.trigger().beta().send().await.run_id();
    lab.sandbox.until_run(&run_id, RunStatus::InProgress).await;
    let change = AgentChange {
        trigger_id: Some(TRIGGER_ID.to_owned()),
        behaviour: Some(Behaviour::Completes),
        ..AgentChange::default()
    };
    lab.sandbox.set_agent(change).expect("it is recorded");
    lab.sandbox.until_run(&run_id, RunStatus::Completed).await;
}
