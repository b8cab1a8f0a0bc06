//! From a file to an acceptance, and what an API in trouble makes of it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use triggerd::sandbox::{Fault, FaultKind, TOKEN, TRIGGER_ID, When};

use crate::support::{Daemon, EVERY_SECOND, World, bytes_below, once};

const SOON: Duration = Duration::from_secs(2);

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
    world.schedule("a", &once(SOON));
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
    world.schedule("a", &once(SOON));
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
async fn a_redirect_is_never_followed() {
    let world = World::new().await;
    world.schedule("a", &once(SOON));
    world.sandbox.fault(FaultKind::Redirect {
        status: 307,
        to: "http://127.0.0.1:9/elsewhere".into(),
    });
    let daemon = world.daemon();
    assert_eq!(
        daemon.says("delivery ended without acceptance")["verdict"],
        "rejected"
    );
    assert_eq!(world.sandbox.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_in_its_file_closes_the_breaker() {
    let world = World::new().await;
    fs::write(world.path("token"), "at-revoked\n").expect("a file");
    fs::write(world.path("triggerd.toml"), "[token]\nfile = \"token\"\n").expect("a file");
    world.schedule("a", &once(SOON));
    let daemon = world.daemon();
    let opened = daemon.says("breaker opened: deliveries wait behind it");
    assert_eq!(opened["breaker"], "token");
    fs::write(world.path("token.new"), TOKEN).expect("a file");
    fs::rename(world.path("token.new"), world.path("token")).expect("a rename");
    daemon.says("breaker closed");
    assert_eq!(daemon.says("trigger accepted")["attempt"], 2);
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
    world.schedule("other", EVERY_SECOND);
    let daemon = world.daemon();
    world.sandbox.until(|seen| seen.effects >= 3).await;
    let late = daemon.until(|line| line["message"] == "trigger accepted");
    assert_eq!(late["schedule"], "other");
    assert!(
        late["lateness_ms"].as_i64().is_some_and(|late| late < 1000),
        "{late}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_the_call_in_flight_and_records_it() {
    for signal in ["TERM", "INT"] {
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
        assert_eq!(status.code(), Some(0), "{signal}");
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
async fn a_missing_token_stops_nothing() {
    let world = World::new().await;
    world.schedule("a", &once(SOON));
    let mut command = world.command(&["run", "--log-format", "json"]);
    command.env_remove("WORKSPACE_AGENT_ACCESS_TOKEN");
    let daemon = Daemon::start(command);
    daemon.until(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "ERROR" && message.contains("`WORKSPACE_AGENT_ACCESS_TOKEN` is not set")
    });
    daemon.says("breaker opened: deliveries wait behind it");
    assert!(daemon.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_one_state_folder_is_refused() {
    let world = World::new().await;
    let first = world.daemon();
    first.says("triggerd started");
    let second = world.run(&["run"]);
    assert_eq!(second.status.code(), Some(1));
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(
        error.contains(&format!("another triggerd (pid {})", first.pid())),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_cannot_be_read_stops_the_start_and_is_left_as_it_is() {
    for (name, content, expected) in [
        (
            "no database",
            &b"this is no database, but it is long enough to be taken for one"[..],
            "is no ledger of triggerd",
        ),
        (
            "damaged",
            &b"SQLite format 3\0 and then nothing that makes sense................."[..],
            "ledger.db",
        ),
    ] {
        let world = World::new().await;
        fs::create_dir(world.path("state")).expect("a folder");
        fs::write(world.path("state/ledger.db"), content).expect("a file");
        let output = world.run(&["run"]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            error.contains("error: ") && error.contains(expected),
            "{name}: {error}"
        );
        assert_eq!(
            fs::read(world.path("state/ledger.db")).expect("a file"),
            content,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_surface_shows_the_token_or_an_input() {
    const CANARY: &str = "at-canary-5f1d0c9e";
    const INPUT: &str = "input-canary-77aa";
    let world = World::new().await;
    world.schedule(
        "a",
        &format!("cron = \"* * * * * *\"\n[event]\nupdate_text = \"{INPUT}\"\n"),
    );
    world.schedule("broken", "cron = \"61 * * * *\"\n");
    world.sandbox.fault(Fault::from(status(500)).times(1));
    let mut command = world.command(&["run", "--log-format", "json"]);
    command
        .env("WORKSPACE_AGENT_ACCESS_TOKEN", CANARY)
        .env("RUST_LOG", "trace");
    let daemon = Daemon::start(command);
    daemon.says("breaker opened: deliveries wait behind it");
    let command_line = fs::read(format!("/proc/{}/cmdline", daemon.pid())).expect("a process");
    let (_, log) = daemon.terminate();
    let log = Value::from(log).to_string();
    let history = Value::from(world.history()).to_string();
    let preview = world.run(&["preview", "a"]);
    let shows = |bytes: &[u8], needle: &str| {
        bytes
            .windows(needle.len())
            .any(|window| window == needle.as_bytes())
    };
    for (surface, bytes) in [
        ("log", log.as_bytes()),
        ("history", history.as_bytes()),
        ("command line", &command_line),
        ("preview", &preview.stdout),
        ("ledger", &bytes_below(&world.path("state"))),
    ] {
        assert!(!bytes.is_empty(), "{surface}");
        assert!(!shows(bytes, CANARY), "the token shows in the {surface}");
    }
    assert!(!shows(log.as_bytes(), INPUT), "the input shows in the log");
    assert!(
        !shows(history.as_bytes(), INPUT),
        "the input shows in the history"
    );
}
