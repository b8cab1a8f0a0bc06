use std::time::Duration;

use insta::assert_snapshot;
use triggerd::sandbox::{Fault, FaultKind};

use super::{Folder, sandbox, steady};
use crate::support::{Daemon, World, once};

const NIGHTLY: &str =
    "cron = \"30 2 * * *\"\n\n[event]\nupdate_text = \"Since {{ window_start }}.\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_prints_the_request_id_and_where_to_look() {
    let sandbox = sandbox().await;
    let folder = Folder::with_weekly();
    let trigger = folder.triggerd("trigger weekly-report --log-format text");
    let done = trigger.against(&sandbox).run_beside().await;
    let _guard = steady();
    assert_snapshot!(done, @"
    accepted weekly-report-manual-[TIME]
    https://chatgpt.com/c/[UUID]
    | [TIME]  INFO triggering by hand; if it is stopped before the end, the next `triggerd run` goes on with it request_id=weekly-report-manual-[TIME]
    | [TIME]  INFO trigger accepted schedule=weekly-report request_id=weekly-report-manual-[TIME] trigger_id=agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012 idempotency_key=weekly-report-manual-[TIME] scheduled_at=[TIME] sent_at=[TIME] lateness_ms=[MS] attempt=1 http_status=202 latency_ms=[MS] conversation_url=[URL] run_id=apirun_[ID] x_request_id=req_[ID]
    | [TIME]  INFO stopped open_deliveries=0
    [0]
    ");
    assert_eq!(sandbox.effects().len(), 1);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_exits_with_1() {
    let sandbox = sandbox().await;
    sandbox.fault(Fault::from(FaultKind::Status {
        status: 400,
        retry_after: None,
    }));
    let folder = Folder::with_weekly();
    let trigger = folder.triggerd("trigger weekly-report --log-format text");
    let done = trigger.against(&sandbox).run_beside().await;
    let _guard = steady();
    assert_snapshot!(done, @r#"
    rejected weekly-report-manual-[TIME]
    body.input Field required
    correct the schedule: its request is wrong
    | [TIME]  INFO triggering by hand; if it is stopped before the end, the next `triggerd run` goes on with it request_id=weekly-report-manual-[TIME]
    | [TIME]  WARN attempt failed schedule=weekly-report request_id=weekly-report-manual-[TIME] trigger_id=agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012 idempotency_key=weekly-report-manual-[TIME] scheduled_at=[TIME] sent_at=[TIME] attempt=1 outcome="rejected" http_status=400 latency_ms=[MS] x_request_id=req_[ID] detail=body.input Field required fix=correct the schedule: its request is wrong
    | [TIME]  WARN delivery ended without acceptance schedule=weekly-report request_id=weekly-report-manual-[TIME] trigger_id=agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012 idempotency_key=weekly-report-manual-[TIME] scheduled_at=[TIME] verdict="rejected" attempts=1 outcome_unknown=false http_status=400 detail=body.input Field required fix=correct the schedule: its request is wrong
    | [TIME]  INFO stopped open_deliveries=0
    [1]
    "#);
    assert_eq!(sandbox.effects().len(), 0);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_schedule_is_triggered_all_the_same() {
    let sandbox = sandbox().await;
    let folder =
        Folder::new().schedule("off", "cron = \"@daily\"\nenabled = false\ninput = \"x\"\n");
    let done = folder
        .triggerd("trigger off")
        .against(&sandbox)
        .run_beside()
        .await;
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(sandbox.effects().len(), 1);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trigger_asks_the_daemon_that_runs() {
    let world = World::new().await;
    world.schedule("nightly", NIGHTLY);
    let daemon = world.daemon();
    daemon.says("control socket listens");
    let mut command = world.command(&["trigger", "nightly"]);
    // The daemon has what it takes; whoever asks needs none of it.
    command
        .env_remove("WORKSPACE_AGENT_ACCESS_TOKEN")
        .env_remove("WORKSPACE_AGENT_TRIGGER_ID");
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(answer.starts_with("accepted nightly-manual-"), "{answer}");
    daemon.says("trigger accepted");
    assert_eq!(world.sandbox.effects().len(), 1);

    let unknown = world.run(&["trigger", "nihgtly"]);
    assert_eq!(unknown.status.code(), Some(1));
    let error = String::from_utf8_lossy(&unknown.stderr);
    assert_snapshot!(error, @"error: the running daemon has no schedule `nihgtly` in force; its log says why");
    assert!(daemon.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn trigger_is_refused_while_a_daemon_that_cannot_be_asked_has_the_state_folder() {
    let world = World::new().await;
    world.schedule("nightly", NIGHTLY);
    let mut command = world.command(&["run", "--log-format", "json"]);
    command.env("RUNTIME_DIRECTORY", world.path("nowhere"));
    let daemon = Daemon::start(command);
    daemon.until(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.starts_with("there can be no control socket")
    });
    let output = world.run(&["trigger", "nightly"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).replace(&daemon.pid().to_string(), "PID");
    assert_snapshot!(error, @"error: a daemon (pid PID) runs on the state folder `state`, and can't be asked at `state/control.sock`; see its log for why, or name its socket under `[control]`");
    assert_eq!(world.sandbox.calls().len(), 0);
}

#[test]
fn without_a_daemon_and_a_token_nothing_is_begun() {
    let folder = Folder::with_weekly();
    let trigger = folder.triggerd("trigger weekly-report");
    let done = trigger.without("WORKSPACE_AGENT_ACCESS_TOKEN").run();
    assert_snapshot!(done, @"
    | error: environment variable `WORKSPACE_AGENT_ACCESS_TOKEN` is not set; put a Workspace Agent access token into it, or name another source under `[token]`
    [1]
    ");
}

#[test]
fn an_unknown_schedule_is_told() {
    assert_snapshot!(Folder::with_weekly().triggerd("trigger weekly").run(), @"
    | error: there is no schedule `weekly`; the folder has `weekly-report`
    [1]
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_by_hand_settles_nothing_for_the_daemon() {
    let world = World::new().await;
    world.schedule("soon", &once(Duration::from_secs(2)));
    let first = world.daemon();
    first.says("triggerd started");
    assert!(first.terminate().0.success());
    assert!(world.run(&["trigger", "soon"]).status.success());
    let second = world.daemon();
    second.until(|line| {
        let id = line["request_id"].as_str().unwrap_or_default();
        line["message"] == "trigger accepted" && !id.contains("manual")
    });
    assert_eq!(world.sandbox.effects().len(), 2);
}
