//! `status`, `pause`, `resume`, `redeliver` and `trigger --wait`: what a running daemon is asked.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use triggerd::sandbox::{AgentChange, Behaviour, Fault, FaultKind, TRIGGER_ID};

use crate::support::{Daemon, EVERY_SECOND, World, once};

const NIGHTLY: &str = "cron = \"30 2 * * *\"\n\n[event]\nupdate_text = \"x\"\n";

async fn listening(world: &World) -> Daemon {
    let daemon = world.daemon();
    daemon.says("control socket listens");
    daemon
}

/// Runs a command while the sandbox, in this process, goes on answering.
async fn run(world: &World, args: &[&str]) -> Output {
    let mut command = world.command(args);
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("no panic")
        .expect("the binary runs")
}

fn said(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        text(&output.stdout),
        text(&output.stderr),
        output.status.code(),
    )
}

async fn status(world: &World) -> (Value, Option<i32>) {
    let output = run(world, &["status", "--json"]).await;
    let status = serde_json::from_slice(&output.stdout);
    (
        status.unwrap_or_else(|_| panic!("{output:?}")),
        output.status.code(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_each_says_so() {
    let world = World::new().await;
    world.schedule("nightly", NIGHTLY);
    for args in [
        &["status"] as &[&str],
        &["pause", "--all"],
        &["resume", "nightly"],
        &["redeliver", "nightly-20261123T0230"],
    ] {
        let (out, err, code) = said(&run(&world, args).await);
        assert_eq!((out.as_str(), code), ("", Some(1)), "{args:?}");
        assert!(
            err.contains("no daemon listens on `state/control.sock`: start it"),
            "{err}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_is_next_and_what_needs_attention() {
    let world = World::new().await;
    world.schedule("nightly", NIGHTLY);
    world.schedule("off", &format!("enabled = false\n{NIGHTLY}"));
    let _daemon = listening(&world).await;
    let (well, code) = status(&world).await;
    assert_eq!((&well["attention"], code), (&Value::Array(vec![]), Some(0)));
    let (out, _, _) = said(&run(&world, &["status"]).await);
    assert!(out.starts_with("triggerd 0.1.0: 2 schedules; deliveries: 0 open, 0 in flight; 0 runs not ended\n\nnightly  "), "{out}");
    assert!(out.contains("T02:30:00Z\noff      disabled\n"), "{out}");

    world.sandbox.fault(
        Fault::from(FaultKind::Status {
            status: 400,
            retry_after: None,
        })
        .times(1),
    );
    run(&world, &["trigger", "nightly"]).await;
    world.schedule("broken", &NIGHTLY.replace("30 2", "61 2"));
    let (ill, code) = loop {
        let found = status(&world).await;
        if !found.0["problems"].as_array().expect("a list").is_empty() {
            break found;
        }
    };
    assert_eq!(code, Some(1));
    assert!(ill["problems"].to_string().contains("61 is outside 0-59"));
    let attention = ill["attention"].to_string();
    assert!(attention.contains("a file has an error"), "{attention}");
    assert!(attention.contains("was rejected"), "{attention}");
    assert_eq!(ill["schedules"][0]["last"]["verdict"], "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_over_a_restart_and_ends_by_hand_or_by_itself() {
    let world = World::new().await;
    world.schedule("a", EVERY_SECOND);
    let daemon = listening(&world).await;
    world.until_more_effects(1).await;
    let (out, err, code) = said(&run(&world, &["pause", "a", "--reason", "moving"]).await);
    assert_eq!(
        (out.as_str(), err.as_str(), code),
        ("paused `a` until it is resumed\n", "", Some(0))
    );
    let skipped =
        |line: &Value| line["reason"] == "paused" && line["message"] == "occurrences skipped";
    daemon.until(skipped);
    daemon.kill_9();
    let effects = world.sandbox.effects().len();

    let daemon = listening(&world).await;
    daemon.until(skipped);
    let (paused, _) = status(&world).await;
    assert_eq!(paused["pauses"][0]["reason"], "moving");
    assert_eq!(paused["schedules"][0]["paused"], true);
    assert_eq!(world.sandbox.effects().len(), effects, "nothing is sent");
    let (_, err, code) = said(&run(&world, &["resume", "--all"]).await);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("all schedules is not paused by itself"),
        "{err}"
    );
    let (out, _, _) = said(&run(&world, &["resume", "a"]).await);
    assert_eq!(out, "resumed `a`\n");
    world.until_more_effects(1).await;

    let (out, _, _) = said(&run(&world, &["pause", "--all", "--for", "2s"]).await);
    assert!(out.starts_with("paused all schedules until 2"), "{out}");
    assert_eq!(
        daemon.until(|line| line["how"] == "expired")["message"],
        "resumed"
    );
    world.until_more_effects(1).await;
    let (_, err, code) = said(&run(&world, &["pause", "b"]).await);
    assert_eq!(code, Some(1));
    assert!(err.contains("has no schedule `b` in force"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_repeats_the_key_and_bytes_and_keeps_the_old_verdict() {
    let world = World::new().await;
    world.sandbox.fault(
        Fault::from(FaultKind::Status {
            status: 422,
            retry_after: None,
        })
        .times(1),
    );
    world.schedule("a", &once(Duration::from_secs(1)));
    let daemon = listening(&world).await;
    let rejected = daemon.says("delivery ended without acceptance");
    let request_id = rejected["request_id"].as_str().expect("a text");
    let (out, err, code) = said(&run(&world, &["redeliver", request_id]).await);
    assert!(
        out.starts_with(&format!("accepted {request_id}\n")),
        "{out}{err}"
    );
    assert_eq!(code, Some(0));
    let calls = world.sandbox.calls();
    assert_eq!(calls[0].idempotency_key, calls[1].idempotency_key);
    assert_eq!(calls[0].body_sha256, calls[1].body_sha256);
    let history = world.history();
    assert_eq!(history[0]["verdict"], "accepted");
    assert_eq!(history[0]["former_verdicts"][0]["verdict"], "rejected");
    let (_, err, code) = said(&run(&world, &["redeliver", request_id]).await);
    assert_eq!(code, Some(1));
    assert!(err.contains("it was accepted"), "{err}");
    let (_, err, _) = said(&run(&world, &["redeliver", "a-20200101T0000"]).await);
    assert!(err.contains("no delivery `a-20200101T0000`"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trigger_waits_for_the_run_with_and_without_a_daemon() {
    let world = World::new().await;
    world.schedule("nightly", NIGHTLY);
    let (out, err, code) = said(&run(&world, &["trigger", "nightly", "--wait"]).await);
    assert!(out.ends_with("\nrun queued\nrun completed\n"), "{out}{err}");
    assert_eq!(code, Some(0));

    let fails = AgentChange {
        trigger_id: Some(TRIGGER_ID.to_owned()),
        behaviour: Some(Behaviour::FailsRun),
        ..AgentChange::default()
    };
    world.sandbox.set_agent(fails).expect("an agent");
    let _daemon = listening(&world).await;
    let (out, _, code) = said(&run(&world, &["trigger", "nightly", "--wait"]).await);
    assert!(
        out.contains("\nrun failed\nrun_failed\nthe request was in order: "),
        "{out}"
    );
    assert_eq!(code, Some(1));
}

/// A command whose standard error is read as it comes.
fn begin(world: &World, args: &[&str]) -> (Child, Lines<BufReader<ChildStderr>>) {
    let mut command = world.command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let err = child.stderr.take().expect("it is piped");
    (child, BufReader::new(err).lines())
}

fn refused() -> Fault {
    Fault::from(FaultKind::Status {
        status: 401,
        retry_after: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_waits_for_is_said_at_once_and_goes_on_when_it_can() {
    let world = World::new().await;
    world.schedule("nightly", NIGHTLY);
    world.sandbox.fault(refused().times(1));
    let _daemon = listening(&world).await;
    let (waits, mut err) = begin(&world, &["trigger", "nightly"]);
    let line = err.next().expect("a line").expect("a text");
    let (what, times) = line
        .split_once("; it is tried again at 2")
        .expect("until when");
    assert_eq!(
        what,
        "waiting for the token default, which is refused; Incorrect API key provided (invalid_api_key); make a Workspace Agent access token \
         in ChatGPT under Admin > Access tokens, with the scope Workspace Agents; a Platform API key does not work"
    );
    assert!(times.contains("; it expires at 2"), "{times}");
    assert!(
        times.ends_with(", and Ctrl-C leaves it to the daemon"),
        "{times}"
    );

    // The next one by hand probes, and finds that it works.
    let (out, _, code) = said(&run(&world, &["trigger", "nightly"]).await);
    assert!(out.starts_with("accepted nightly-manual-"), "{out}");
    assert_eq!(code, Some(0));
    let waited = tokio::task::spawn_blocking(move || waits.wait_with_output());
    let (out, _, code) = said(&waited.await.expect("no panic").expect("it ends"));
    assert!(out.starts_with("accepted nightly-manual-"), "{out}");
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_waits_no_longer_than_it_is_told_and_leaves_the_rest_to_the_daemon() {
    let world = World::new().await;
    world.schedule("nightly", NIGHTLY);
    world.sandbox.fault(refused());
    let args = ["trigger", "nightly", "--within", "1s"];
    let (_, err, code) = said(&run(&world, &args).await);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("Ctrl-C leaves it to the next `triggerd run`"),
        "{err}"
    );
    assert!(
        err.contains("goes on when the daemon starts, with the same key"),
        "{err}"
    );

    let _daemon = listening(&world).await;
    let (_, err, code) = said(&run(&world, &args).await);
    assert_eq!(code, Some(1));
    let after = err.lines().last().expect("a line");
    assert!(after.starts_with("error: `nightly-manual-2"), "{after}");
    assert!(after.ends_with("` was not accepted in time, and goes on; `triggerd history nightly` shows what becomes of it"), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_is_told_with_the_way_out_and_not_waited_for_for_ever() {
    let world = World::new().await;
    let expects = format!("{NIGHTLY}\n[expect]\nfinished_within = \"8s\"\n");
    world.schedule("nightly", &expects);
    let suspends = AgentChange {
        trigger_id: Some(TRIGGER_ID.to_owned()),
        behaviour: Some(Behaviour::Suspends),
        ..AgentChange::default()
    };
    world.sandbox.set_agent(suspends).expect("an agent");
    let _daemon = listening(&world).await;
    let (out, err, code) = said(&run(&world, &["trigger", "nightly", "--wait"]).await);
    assert_eq!(code, Some(1), "{out}{err}");
    let (_, waits) = out
        .split_once("run suspended\napprove it in the conversation, ")
        .expect("it is said");
    assert!(waits.contains("\nhttps://chatgpt.com/c/"), "{out}");
    assert!(
        err.contains("the run has not ended after 8s, and goes on"),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_the_result_is_looked_up_as_well() {
    let world = World::new().await;
    let verifies = format!(
        "{NIGHTLY}output_destination = \"notes\"\n\n[verify]\nurl = \"{}/sandbox/destinations/notes\"\n",
        world.sandbox.root_url()
    );
    world.schedule("nightly", &verifies);
    let (out, err, code) = said(&run(&world, &["trigger", "nightly", "--wait"]).await);
    assert!(out.ends_with("\nrun completed\nconfirmed\n"), "{out}{err}");
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_asked_of_the_daemon_where_the_ledger_is_out_of_reach() {
    let world = World::new().await;
    let socket = world.path("here.sock");
    world.settings(&format!("[control]\nsocket = {socket:?}\n"));
    world.schedule("nightly", NIGHTLY);
    world.schedule("new", NIGHTLY);
    let _daemon = listening(&world).await;
    assert!(run(&world, &["trigger", "nightly"]).await.status.success());
    let time = "2020-01-06T02:30";
    for args in [
        &["history"] as &[&str],
        &["history", "nightly", "--json"],
        &["history", "new"],
        &["why", "nightly", time],
        &["why", "nightly", "2020-01-06 02:30:00+00:00", "--json"],
    ] {
        let read = said(&run(&world, args).await);
        let asked = said(&run(&world, &[args, &["--state", "elsewhere"]].concat()).await);
        assert_eq!(read, asked, "{args:?}");
        assert_eq!(read.2, Some(0), "{args:?}: {read:?}");
    }
    let (_, err, code) = said(&run(&world, &["history", "nope", "--state", "elsewhere"]).await);
    assert_eq!(
        (err.as_str(), code),
        ("error: the daemon knows no schedule `nope`\n", Some(1))
    );
    let (_, err, _) = said(&run(&world, &["why", "nope", time, "--state", "elsewhere"]).await);
    assert_eq!(err, "error: the daemon knows no schedule `nope`\n");
}

/// What needs attention, once it is `wanted`.
async fn attention(world: &World, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
    loop {
        let (status, _) = status(world).await;
        let attention = serde_json::from_value::<Vec<String>>(status["attention"].clone());
        let attention = attention.expect("a list of texts");
        if wanted(&attention) {
            return attention;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attention_says_the_way_out_and_ends_when_a_later_run_completes() {
    let world = World::new().await;
    let daemon = listening(&world).await;
    let empty = attention(&world, |it| !it.is_empty()).await;
    assert_eq!(
        empty,
        ["there is no schedule to fire; drop a file into the folder"]
    );
    world.schedule("nightly", NIGHTLY);
    daemon.says("schedules reloaded");
    let behave = |behaviour| {
        let change = AgentChange {
            trigger_id: Some(TRIGGER_ID.to_owned()),
            behaviour: Some(behaviour),
            ..AgentChange::default()
        };
        world.sandbox.set_agent(change).expect("an agent");
    };
    behave(Behaviour::FailsRun);
    run(&world, &["trigger", "nightly"]).await;
    let failed = attention(&world, |it| !it.is_empty()).await.join("\n");
    assert!(
        failed.contains("'s run failed; the request was in order: "),
        "{failed}"
    );
    assert!(failed.contains("; https://chatgpt.com/c/"), "{failed}");

    // It stays while the next one is only accepted.
    behave(Behaviour::Suspends);
    run(&world, &["trigger", "nightly"]).await;
    let both = attention(&world, |it| it.len() == 2).await.join("\n");
    assert!(
        both.contains("'s run waits, mostly for an approval; approve it in"),
        "{both}"
    );
    assert!(both.contains("'s run failed; "), "{both}");

    behave(Behaviour::Completes);
    let (out, _, _) = said(&run(&world, &["trigger", "nightly", "--wait"]).await);
    assert!(out.ends_with("run completed\n"), "{out}");
    let waits = attention(&world, |it| it.len() == 1).await.join("\n");
    assert!(waits.contains("'s run waits"), "{waits}");

    world.sandbox.fault(refused().times(1));
    let (_, err, _) = said(&run(&world, &["trigger", "nightly", "--within", "2s"]).await);
    assert!(err.contains("was not accepted in time"), "{err}");
    let refused = attention(&world, |it| it.len() == 2).await.join("\n");
    assert!(
        refused.contains("the token default is refused, 1 waiting: Incorrect API key provided"),
        "{refused}"
    );
    assert!(
        refused.contains("; then `triggerd trigger NAME` probes it at once"),
        "{refused}"
    );
    assert_eq!(
        daemon.until(|line| line["breaker"] == "token")["message"],
        "breaker opened: deliveries wait behind it; `triggerd trigger NAME` probes it at once"
    );
}
