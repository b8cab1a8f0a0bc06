//! From a file to an acceptance, and what an API in trouble makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use triggerd::sandbox::{Fault, FaultKind, TOKEN, TRIGGER_ID, When};

use crate::support::{Daemon, EVERY_SECOND, World, accepted, once};

const SOON: Duration = Duration::from_secs(2);

/// Due once, with no time lost between its attempts.
fn tried_again_at_once() -> String {
    format!("{}\n[retry]\nfirst_delay = \"100ms\"\n", once(SOON))
}

fn status(status: u16) -> FaultKind {
    FaultKind::Status {
        status,
        retry_after: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_acceptance_line_has_these_fields_and_the_sandbox_the_same_key() {
    let world = World::new().await;
    world.schedule("weekly-report", &once(SOON));
    let daemon = world.daemon();
    let line = daemon.says("trigger accepted");
    let fields: Vec<&str> = line
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    let expected = BTreeSet::from([
        "timestamp",
        "level",
        "message",
        "schedule",
        "request_id",
        "trigger_id",
        "idempotency_key",
        "scheduled_at",
        "sent_at",
        "lateness_ms",
        "attempt",
        "http_status",
        "latency_ms",
        "conversation_url",
        "run_id",
        "x_request_id",
    ]);
    assert_eq!(fields.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(line["schedule"], "weekly-report");
    assert_eq!(line["trigger_id"], TRIGGER_ID);
    assert_eq!(line["attempt"], 1);
    assert_eq!(line["http_status"], 202);
    let effect = &world.sandbox.effects()[0];
    assert_eq!(
        line["idempotency_key"].as_str(),
        effect.idempotency_key.as_deref()
    );
    let at = |key: &str| {
        line[key]
            .as_str()
            .expect("a text")
            .parse::<jiff::Timestamp>()
            .expect("an instant")
    };
    assert!(at("sent_at") >= at("scheduled_at"), "never early: {line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_is_tried_again_with_the_same_key_and_bytes() {
    let world = World::new().await;
    world.schedule("a", &tried_again_at_once());
    world.sandbox.fault(Fault::from(status(503)).times(1));
    let daemon = world.daemon();
    let failed = daemon.says("attempt failed");
    assert_eq!(failed["http_status"], 503);
    assert!(failed["retry_at"].is_string(), "{failed}");
    assert_eq!(daemon.says("trigger accepted")["attempt"], 2);
    let calls = world.sandbox.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].idempotency_key, calls[1].idempotency_key);
    assert_eq!(calls[0].body_sha256, calls[1].body_sha256);
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_and_then_reset_has_one_effect() {
    let world = World::new().await;
    world.schedule("a", &tried_again_at_once());
    world
        .sandbox
        .fault(Fault::from(FaultKind::Reset { when: When::After }).times(1));
    let daemon = world.daemon();
    assert_eq!(daemon.says("attempt failed")["outcome"], "unknown");
    assert_eq!(daemon.says("trigger accepted")["attempt"], 2);
    assert_eq!(world.sandbox.effects().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_ends_and_the_next_occurrence_fires() {
    let world = World::new().await;
    world.schedule("a", EVERY_SECOND);
    world.sandbox.fault(Fault::from(status(400)).times(1));
    let daemon = world.daemon();
    let ended = daemon.says("delivery ended without acceptance");
    assert_eq!(ended["verdict"], "rejected");
    assert!(
        ended["fix"]
            .as_str()
            .is_some_and(|fix| fix.contains("schedule")),
        "{ended}"
    );
    daemon.says("trigger accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_call_delays_no_other_schedule() {
    let world = World::new().await;
    world.schedule("hangs", &once(SOON));
    let hang = FaultKind::Hang { when: When::Before };
    world.sandbox.fault(Fault {
        contains: Some("hangs".into()),
        ..Fault::from(hang)
    });
    let daemon = world.daemon();
    world.sandbox.until_calls(1).await;
    world.schedule("other", EVERY_SECOND);
    world.sandbox.until_effects(2).await;
    daemon.until(|line| accepted(std::slice::from_ref(line)).len() == 1);
    for line in accepted(&daemon.log()) {
        assert_eq!(line["schedule"], "other");
        let lateness = line["lateness_ms"].as_i64().expect("a number");
        assert!((0..1000).contains(&lateness), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_in_a_burst_is_told_though_one_call_of_it_hangs() {
    let world = World::new().await;
    world.settings("[api]\nmax_in_flight = 2\ntimeout = \"5m\"\n");
    let at_once = once(SOON);
    for name in ["hangs", "a", "b", "c"] {
        world.schedule(name, &at_once);
    }
    let hang = FaultKind::Hang { when: When::After };
    world.sandbox.fault(Fault {
        contains: Some("hangs".into()),
        ..Fault::from(hang)
    });
    let daemon = world.daemon();
    for name in ["a", "b", "c"] {
        daemon.until(|line| line["message"] == "trigger accepted" && line["schedule"] == name);
    }
    assert_eq!(accepted(&daemon.log()).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_the_call_in_flight_and_records_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let world = World::new().await;
        world.schedule("a", &once(SOON));
        let hold = FaultKind::Hold { when: When::After };
        world.sandbox.fault(Fault::from(hold).times(1));
        let daemon = world.daemon();
        world.sandbox.until_effects(1).await;
        daemon.signal(signal);
        daemon.until(|line| line["message"] == "stopping: calls in flight may end");
        world.sandbox.release();
        let (status, log) = daemon.ended();
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert!(log.iter().any(|line| line["message"] == "trigger accepted"));
        assert_eq!(world.history()[0]["verdict"], "accepted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_sends_nothing() {
    let world = World::new().await;
    world.schedule("a", EVERY_SECOND);
    let daemon = Daemon::start(world.command(&["run", "--dry-run", "--log-format", "json"]));
    daemon.says("dry run: would trigger");
    let (status, log) = daemon.terminate();
    assert!(status.success());
    assert!(!log.iter().any(|line| line["message"] == "trigger accepted"));
    assert_eq!(world.sandbox.calls().len(), 0);
    assert!(!world.path("state").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_never_followed() {
    let world = World::new().await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a free port");
    elsewhere.set_nonblocking(true).expect("a socket");
    let address = elsewhere.local_addr().expect("it is bound");
    world.schedule("a", EVERY_SECOND);
    world.sandbox.fault(
        Fault::from(FaultKind::Redirect {
            status: 307,
            to: format!("http://{address}/v1/workspace_agents/{TRIGGER_ID}/trigger"),
        })
        .times(1),
    );
    let daemon = world.daemon();
    let ended = daemon.says("delivery ended without acceptance");
    assert_eq!(ended["verdict"], "rejected");
    assert_eq!(ended["attempts"], 1);
    daemon.says("trigger accepted");
    let caller = elsewhere.accept().map(|(_, address)| address);
    assert!(
        caller.is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
        "nobody has called where the redirect leads"
    );
}

/// What is told of a schedule's delivery whose place the next one takes.
fn superseded(schedule: &str) -> impl Fn(&Value) -> bool {
    move |line| {
        line["message"] == "delivery ended without acceptance"
            && line["schedule"] == schedule
            && line["verdict"] == "skipped"
            && line["reason"] == "superseded"
    }
}

fn opened(log: &[Value]) -> Vec<&Value> {
    log.iter()
        .filter(|line| line["message"] == OPENED)
        .collect()
}

const OPENED: &str =
    "breaker opened: deliveries wait behind it; `triggerd trigger NAME` probes it at once";

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_token_opens_one_breaker_and_a_new_token_in_its_file_closes_it() {
    let world = World::new().await;
    fs::write(world.path("token"), "at-revoked\n").expect("a file");
    world.settings("[token]\nfile = \"token\"\n");
    world.schedule("a", EVERY_SECOND);
    world.schedule("b", EVERY_SECOND);
    let daemon = world.daemon();
    // Later occurrences wait as well, and are not sent.
    daemon.until(superseded("a"));
    daemon.until(superseded("b"));
    fs::write(world.path("token.new"), TOKEN).expect("a file");
    fs::rename(world.path("token.new"), world.path("token")).expect("a rename");
    let closed = daemon.says("breaker closed");
    assert_eq!(closed["breaker"], "token");
    for schedule in ["a", "b"] {
        daemon.until(|line| line["message"] == "trigger accepted" && line["schedule"] == schedule);
    }

    let (status, log) = daemon.terminate();
    assert!(status.success());
    let [opened] = opened(&log)[..] else {
        panic!("one breaker: {log:#?}")
    };
    assert_eq!(opened["breaker"], "token");
    assert!(
        opened["fix"]
            .as_str()
            .is_some_and(|fix| fix.contains("Workspace Agent access token")),
        "{opened}"
    );
    let calls = world.sandbox.calls();
    let refused = calls.iter().filter(|call| call.status == Some(401)).count();
    assert!((1..=2).contains(&refused), "{refused} calls with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_trigger_opens_a_breaker_of_its_own() {
    const UNKNOWN: &str = "agtch_00000000000000000000000000000404";
    let world = World::new().await;
    world.schedule("good", EVERY_SECOND);
    world.schedule(
        "bad",
        &format!("trigger_id = \"{UNKNOWN}\"\n{EVERY_SECOND}"),
    );
    let daemon = world.daemon();
    let opened = daemon.says(OPENED);
    assert_eq!(opened["breaker"], "trigger");
    assert_eq!(opened["of"], UNKNOWN);
    assert!(
        opened["fix"]
            .as_str()
            .is_some_and(|fix| fix.contains("agtch_")),
        "{opened}"
    );
    daemon.until(superseded("bad"));
    world.until_more_effects(2).await;
    let calls = world.sandbox.calls();
    let there = calls.iter().filter(|call| call.trigger_id == UNKNOWN);
    assert_eq!(there.count(), 1, "it is not asked again and again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_token_stops_nothing_and_says_what_to_do() {
    let world = World::new().await;
    world.schedule("a", EVERY_SECOND);
    let mut command = world.command(&["run", "--log-format", "json"]);
    command.env_remove("WORKSPACE_AGENT_ACCESS_TOKEN");
    let daemon = Daemon::start(command);
    let error = daemon.until(|line| line["level"] == "ERROR");
    assert_eq!(
        error["message"],
        "the token can't be read; its deliveries wait until it can"
    );
    let why = error["error"].as_str().unwrap_or_default();
    assert!(
        why.contains("`WORKSPACE_AGENT_ACCESS_TOKEN` is not set; put a"),
        "{why}"
    );
    daemon.says("triggerd started");
    daemon.says(OPENED);
    daemon.until(superseded("a"));
    let (status, log) = daemon.terminate();
    assert!(status.success());
    assert_eq!(opened(&log).len(), 1);
    assert_eq!(world.sandbox.calls().len(), 0);
}

/// A day may begin meanwhile, and counts anew.
#[track_caller]
fn at_most_three_a_day(world: &World) {
    let mut days: BTreeMap<String, usize> = BTreeMap::new();
    for effect in world.sandbox.effects() {
        let key = effect.idempotency_key.unwrap_or_default();
        let label = key.strip_prefix("a-").or(key.strip_prefix("b-"));
        if let Some((day, _)) = label.and_then(|label| label.split_once('T'))
            && !day.starts_with("manual")
        {
            *days.entry(day.to_owned()).or_default() += 1;
        }
    }
    assert!(!days.is_empty());
    assert!(days.values().all(|count| *count <= 3), "{days:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemons_own_limit_bounds_all_schedules_over_a_restart_and_is_told_once() {
    let world = World::new().await;
    world.settings("[api]\nper_day = 3\n");
    world.schedule("a", EVERY_SECOND);
    world.schedule("b", EVERY_SECOND);
    let first = world.daemon();
    let line = first.says("limit reached: what is due until then is skipped");
    assert_eq!(
        (&line["level"], &line["of"]),
        (&"ERROR".into(), &"daemon".into())
    );
    for schedule in ["a", "b"] {
        first.until(|line| line["reason"] == "limit" && line["schedule"] == schedule);
    }
    let (_, log) = first.terminate();
    let told = log.iter().filter(|it| it["until"] == line["until"]);
    assert_eq!(told.count(), 1);
    at_most_three_a_day(&world);

    let second = world.daemon();
    second.until(|line| line["reason"] == "limit");
    at_most_three_a_day(&world);
    let by_hand = world.run(&["trigger", "a"]);
    assert!(by_hand.status.success(), "{by_hand:?}");
    at_most_three_a_day(&world);
    world.settings("[api]\nper_day = 1000\n");
    world.until_more_effects(4).await;
    assert!(second.terminate().0.success());
}
