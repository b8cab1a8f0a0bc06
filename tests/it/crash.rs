//! Killed at the seams and started again: one key, the same bytes, one effect, one verdict, one line.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use triggerd::sandbox::{Fault, FaultKind, When};

use crate::support::{Daemon, EVERY_SECOND, World, accepted, once};

const SOON: Duration = Duration::from_secs(2);

fn dying_at(world: &World, place: &str) -> Daemon {
    let mut command = world.command(&["run", "--log-format", "json"]);
    command.env("TRIGGERD_FAILPOINT", place);
    Daemon::start(command)
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
    let (_, first_log) = dying_at(&world, place).ended();
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
    dying_at(&world, "migration").ended();
    one_of_everything(&world, &[], world.daemon());
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

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_every_second_has_one_effect_and_one_verdict() {
    let world = World::new().await;
    world.schedule("a", EVERY_SECOND);
    let mut lines = 0;
    for round in 1..=4 {
        let daemon = world.daemon();
        world.sandbox.until_calls(round * 2).await;
        lines += accepted(&daemon.kill_9()).len();
    }
    let last = world.daemon();
    let so_far = world.sandbox.effects().len();
    world.sandbox.until_effects(so_far + 2).await;
    let (status, log) = last.terminate();
    assert!(status.success());
    lines += accepted(&log).len();

    let history = world.history();
    let accepted: Vec<&Value> = history
        .iter()
        .filter(|entry| entry["verdict"] == "accepted")
        .collect();
    let effects = world.sandbox.effects();
    assert_eq!(effects.len(), accepted.len());
    assert!(
        lines <= accepted.len(),
        "{lines} lines, {} accepted",
        accepted.len()
    );
    let in_ledger: BTreeSet<_> = accepted
        .iter()
        .map(|it| it["idempotency_key"].as_str())
        .collect();
    let at_api: BTreeSet<_> = effects
        .iter()
        .map(|it| it.idempotency_key.as_deref())
        .collect();
    assert_eq!(in_ledger, at_api);

    let mut seconds: Vec<i64> = accepted
        .iter()
        .filter_map(|it| it["scheduled_at"].as_str()?.parse::<jiff::Timestamp>().ok())
        .map(|at| at.as_second())
        .collect();
    seconds.sort_unstable();
    let unbroken: Vec<i64> = (seconds[0]..=seconds[seconds.len() - 1]).collect();
    assert_eq!(seconds, unbroken, "every second from first to last, once");
}
