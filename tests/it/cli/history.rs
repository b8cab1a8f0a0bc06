use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use insta::assert_snapshot;
use serde_json::Value;
use triggerd::sandbox::{Fault, FaultKind};

use super::past::Past;
use super::{Folder, sandbox, steady};
use crate::support::{World, once};

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_told_with_its_attempts() {
    let sandbox = sandbox().await;
    let folder = Folder::with_weekly();
    let trigger = || folder.triggerd("trigger weekly-report").against(&sandbox);
    assert_eq!(trigger().run_beside().await.code, 0);
    sandbox.fault(Fault::from(FaultKind::Status {
        status: 400,
        retry_after: None,
    }));
    assert_eq!(trigger().run_beside().await.code, 1);
    sandbox.shutdown().await;

    let _guard = steady();
    let done = folder.triggerd("history").run();
    assert_snapshot!(done, @"
    [TIME]  accepted  weekly-report-manual-[TIME]  attempt 1  http 202  run queued  https://chatgpt.com/c/[UUID]
    [TIME]  rejected  weekly-report-manual-[TIME]  attempt 1  http 400  body.input Field required
    [0]
    ");
    assert_eq!(folder.triggerd("history weekly-report").run().out, done.out);
    assert_snapshot!(folder.triggerd("history weekly-report --json -n 1").run(), @r#"
    {"schedule":"weekly-report","request_id":"weekly-report-manual-[TIME]","idempotency_key":"weekly-report-manual-[TIME]","trigger_id":"agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012","origin":"manual","scheduled_at":"[TIME]","due_at":"[TIME]","verdict":"rejected","reason":null,"ended_at":"[TIME]","outcome_unknown":false,"detail":null,"conversation_url":null,"run_id":null,"run":null,"attempts":[{"attempt":1,"sent_at":"[TIME]","latency_ms":[MS],"outcome":"rejected","http_status":400,"x_request_id":"req_[ID]","detail":"body.input Field required"}],"former_verdicts":[]}
    [0]
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_an_object_a_line() {
    let sandbox = sandbox().await;
    let folder = Folder::with_weekly();
    let done = folder
        .triggerd("trigger weekly-report")
        .against(&sandbox)
        .run_beside()
        .await;
    let request_id = done
        .out
        .lines()
        .next()
        .and_then(|line| line.split(' ').nth(1));
    let request_id = request_id.expect("it prints the request id");

    let done = folder.triggerd("history --json").run();
    let row: Value = serde_json::from_str(done.out.trim_end()).expect("one line of JSON");
    assert_eq!(row["request_id"], request_id);
    assert_eq!(row["verdict"], "accepted");
    assert_eq!(row["attempts"][0]["http_status"], 202);
    assert_eq!(
        row["idempotency_key"],
        sandbox.calls()[0]
            .idempotency_key
            .clone()
            .unwrap_or_default()
    );
    sandbox.shutdown().await;
}

#[test]
fn without_a_ledger_it_says_who_makes_one() {
    assert_snapshot!(Folder::new().triggerd("history").run(), @"
    | error: there is no ledger in `state`; `triggerd run` makes one; where it lies elsewhere, say so with `--state`
    [1]
    ");
}

#[test]
fn what_is_no_name_is_told() {
    assert_snapshot!(Folder::new().triggerd("history Weekly").run(), @"
    | error: `Weekly` is no schedule name: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a letter or digit
    [1]
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_follows_what_happens() {
    let world = World::new().await;
    world.schedule("a", &once(Duration::from_secs(2)));
    let daemon = world.daemon();
    daemon.says("triggerd started");
    let mut command = world.command(&["history", "--json", "--follow"]);
    let mut following = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let stdout = following.stdout.take().expect("it is piped");
    let mut line = String::new();
    let mut ended = String::new();
    let mut lines = BufReader::new(stdout);
    while !ended.contains("\"verdict\":\"accepted\"") {
        line.clear();
        assert!(
            lines.read_line(&mut line).expect("a line") > 0,
            "it ended: {ended}"
        );
        ended += &line;
    }
    following.kill().expect("it is our child");
    following.wait().expect("it is our child");
}

#[test]
fn what_is_written_ahead_is_no_open_delivery() {
    let folder = Folder::new().schedule("once", "at = 2100-01-01T09:00:00\ninput = \"x\"\n");
    Past::of(&folder, "once")
        .began("2020-01-01T00:00:00Z")
        .ahead("2100-01-01T09:00:00Z")
        .record(&folder);
    assert_snapshot!(folder.triggerd("history").run(), @"
    2100-01-01T09:00:00Z  ahead     once-21000101T0900
    [0]
    ");
}

#[test]
fn a_schedule_that_nobody_knows_is_a_mistake() {
    let folder = Folder::with_weekly().schedule("new", "cron = \"@daily\"\ninput = \"x\"\n");
    Past::of(&folder, "weekly-report")
        .began("2020-01-01T00:00:00Z")
        .record(&folder);
    assert_snapshot!(folder.triggerd("history weekly").run(), @"
    | error: there is no schedule `weekly`; the folder has `new`, `weekly-report`
    [1]
    ");
    assert_snapshot!(folder.triggerd("history new").run(), @"[0]");
}
