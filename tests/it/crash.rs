//! Killed at the seams and started again: one key, the same bytes, one effect, one verdict, one line.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::Value;
use triggerd::sandbox::{Fault, FaultKind, When};

use crate::support::{Daemon, World, accepted, once, owed_every_second};

const SOON: Duration = Duration::from_secs(2);

fn dying_at(world: &World, place: &str) -> Daemon {
    let mut command = world.command(&["run", "--log-format", "json"]);
    command.env("TRIGGERD_FAILPOINT", place);
    Daemon::start(command)
}

/// Waits until it has died at its fail point, and of nothing else.
#[track_caller]
fn killed(daemon: Daemon) -> Vec<Value> {
    let (status, log) = daemon.ended();
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{log:#?}");
    log
}

/// Whatever happened before: when this daemon is done there is one of everything.
#[track_caller]
fn one_of_everything(world: &World, first_log: &[Value], second: Daemon) {
    second.until(|line| line["message"] == "trigger accepted");
    let (status, second_log) = second.terminate();
    assert!(status.success());
    assert_eq!(world.sandbox.effects().len(), 1);
    let calls = world.sandbox.calls();
    let keys: BTreeSet<_> = calls.iter().map(|call| &call.idempotency_key).collect();
    let bodies: BTreeSet<_> = calls.iter().map(|call| &call.body_sha256).collect();
    assert_eq!((keys.len(), bodies.len()), (1, 1), "{calls:#?}");
    let lines = accepted(first_log).len() + accepted(&second_log).len();
    assert_eq!(lines, 1, "acceptance lines");
    let history = world.history();
    assert_eq!(history.len(), 1, "{history:#?}");
    assert_eq!(history[0]["verdict"], "accepted");
}

async fn check_failpoint(place: &str, calls_before_death: usize) {
    let world = World::new().await;
    world.schedule("a", &once(SOON));
    let first_log = killed(dying_at(&world, place));
    assert_eq!(world.sandbox.calls().len(), calls_before_death);
    one_of_everything(&world, &first_log, world.daemon());
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_intent_is_written() {
    check_failpoint("before_commit", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_intent_is_synced() {
    check_failpoint("after_commit", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_202_was_read_and_not_recorded() {
    check_failpoint("after_answer", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_ledger_is_made() {
    let world = World::new().await;
    world.schedule("a", &once(SOON));
    killed(dying_at(&world, "migration"));
    one_of_everything(&world, &[], world.daemon());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_ledger_is_brought_up_to_date() {
    let world = World::new().await;
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/ledgers/0001.db");
    fs::create_dir(world.path("state")).expect("a folder");
    fs::copy(kept, world.path("state/ledger.db")).expect("a copy");
    killed(dying_at(&world, "migration"));
    let second = world.daemon();
    second.says("triggerd started");
    assert!(second.terminate().0.success());
    let history = world.history();
    for hour in [8, 9, 10, 11, 12, 16, 17] {
        let request_id = format!("a-20261123T{hour:02}0000Z");
        let is_there = history.iter().any(|it| it["request_id"] == request_id);
        assert!(is_there, "{request_id} in {history:#?}");
    }
}

async fn check_held(when: When, effects_before_death: usize) {
    let world = World::new().await;
    world.schedule("a", &once(SOON));
    world
        .sandbox
        .fault(Fault::from(FaultKind::Hold { when }).times(1));
    let first = world.daemon();
    world.sandbox.until_calls(1).await;
    world
        .sandbox
        .until(|seen| seen.effects >= effects_before_death)
        .await;
    let first_log = first.kill_9();
    world.sandbox.release();
    one_of_everything(&world, &first_log, world.daemon());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_were_sent_and_nothing_was_queued() {
    check_held(When::Before, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_was_queued_and_no_answer_came() {
    check_held(When::After, 1).await;
}

/// Every second from the first to the last has one effect, one verdict and at most one line; nothing else has any.
/// Gives how many have no line.
#[track_caller]
fn check_every_second(world: &World, logs: &[Vec<Value>], at_least: usize) -> usize {
    let history = world.history();
    let mut seconds: Vec<i64> = history
        .iter()
        .filter_map(|it| it["scheduled_at"].as_str()?.parse::<Timestamp>().ok())
        .map(Timestamp::as_second)
        .collect();
    seconds.sort_unstable();
    assert!(seconds.len() >= at_least, "{history:#?}");
    let unbroken: Vec<i64> = (seconds[0]..=seconds[seconds.len() - 1]).collect();
    assert_eq!(seconds, unbroken, "every second from first to last, once");

    let key = |it: &Value| it["idempotency_key"].as_str().map(str::to_owned);
    let mut in_ledger: Vec<Option<String>> = Vec::new();
    for entry in &history {
        assert_eq!(entry["verdict"], "accepted", "{entry}");
        in_ledger.push(key(entry));
    }
    in_ledger.sort_unstable();
    let effects = world.sandbox.effects();
    let mut at_api: Vec<_> = effects.into_iter().map(|it| it.idempotency_key).collect();
    at_api.sort_unstable();
    assert_eq!(at_api, in_ledger, "effects and verdicts");
    let mut without_line: BTreeSet<_> = in_ledger.into_iter().collect();
    for line in logs.iter().flat_map(|log| accepted(log)) {
        assert!(without_line.remove(&key(line)), "its first line: {line}");
    }

    let mut bodies = HashMap::new();
    for call in world.sandbox.calls() {
        let first = bodies
            .entry(call.idempotency_key.clone())
            .or_insert(call.body_sha256.clone());
        assert_eq!(
            *first, call.body_sha256,
            "one key, the same bytes: {call:#?}"
        );
    }
    without_line.len()
}

/// Dies in the midst of its work, and not at what only a first start writes.
async fn check_failpoint_at_work(place: &str) {
    let world = World::new().await;
    world.schedule("a", &owed_every_second("{{ request_id }}"));
    let first = world.daemon();
    first.says("trigger accepted");
    let (status, first_log) = first.terminate();
    assert!(status.success());
    let second_log = killed(dying_at(&world, place));
    let third = world.daemon();
    world.until_more_effects(2).await;
    third.says("trigger accepted");
    let (status, third_log) = third.terminate();
    assert!(status.success());
    let without_line = check_every_second(&world, &[first_log, second_log, third_log], 3);
    assert_eq!(without_line, 0, "none dies between a verdict and its line");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_work_before_the_intent_is_written() {
    check_failpoint_at_work("before_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_work_after_the_intent_is_synced() {
    check_failpoint_at_work("after_commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_work_when_a_202_was_read_and_not_recorded() {
    check_failpoint_at_work("after_answer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_every_second_has_one_of_everything() {
    let world = World::new().await;
    world.schedule("a", &owed_every_second("{{ request_id }}"));
    let mut logs = Vec::new();
    for round in 1..=4 {
        let daemon = world.daemon();
        world.sandbox.until_calls(round * 2).await;
        logs.push(daemon.kill_9());
    }
    let last = world.daemon();
    world.until_more_effects(2).await;
    let (status, log) = last.terminate();
    assert!(status.success());
    logs.push(log);
    // Between a verdict and its line there is a moment to be killed in.
    let without_line = check_every_second(&world, &logs, 6);
    assert!(without_line <= 4, "{without_line} after 4 kills");
}
