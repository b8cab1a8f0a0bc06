//! The commands as people meet them: the binary, its two outputs and its exit code.

use std::fs;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use triggerd::sandbox::{Fault, FaultKind};

use crate::support::{Daemon, World, once};

const DAILY: &str = "cron = \"30 2 * * *\"\ntimezone = \"America/New_York\"\n\n[event]\nupdate_text = \"Since {{ window_start }}.\"\n";

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn next_agrees_with_the_sample_cases() {
    let world = World::new().await;
    let sample = include_str!("../files/cron-sample.jsonl");
    let cases: Vec<Value> = sample
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(cases.len(), 64);
    for case in cases.iter().step_by(8) {
        let text = |key: &str| case[key].as_str().expect("a text");
        let count = case["n"].to_string();
        let output = world.run(&[
            "next",
            "--json",
            "--expr",
            text("expr"),
            "--timezone",
            text("tz"),
            "--from",
            text("from"),
            "--count",
            &count,
        ]);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let answer: Value = serde_json::from_str(&out(&output)).expect("JSON");
        let rows = answer["occurrences"].as_array().expect("a list");
        let found: Vec<&Value> = rows.iter().map(|row| &row["scheduled_at_utc"]).collect();
        let expected: Vec<&Value> = case["expected"]
            .as_array()
            .expect("a list")
            .iter()
            .collect();
        assert_eq!(found, expected, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn next_shows_local_time_utc_and_what_a_clock_change_does() {
    let world = World::new().await;
    world.schedule("nightly", DAILY);
    let args = [
        "next",
        "nightly",
        "--from",
        "2026-03-07T00:00:00",
        "-n",
        "3",
    ];
    insta::assert_snapshot!(out(&world.run(&args)), @"
    nightly  2026-03-07T02:30:00-05:00  2026-03-07T07:30:00Z
    nightly  2026-03-08T03:00:00-04:00  2026-03-08T07:00:00Z  (the clock goes forward here; what it skips fires now)
    nightly  2026-03-09T02:30:00-04:00  2026-03-09T06:30:00Z
    ");
    let output = world.run(&[&args[..], &["--json"]].concat());
    let answer: Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!(
        answer["occurrences"][0],
        json!({
            "schedule": "nightly",
            "local": "2026-03-07T02:30:00-05:00",
            "scheduled_at_utc": "2026-03-07T07:30:00Z",
            "due_at_utc": "2026-03-07T07:30:00Z",
            "note": null,
        })
    );
    let autumn = world.run(&[
        "next",
        "--expr",
        "30 1 * * *",
        "--timezone",
        "America/New_York",
        "--from",
        "2026-10-31T22:00:00Z",
        "-n",
        "1",
    ]);
    insta::assert_snapshot!(out(&autumn), @"2026-11-01T01:30:00-04:00  2026-11-01T05:30:00Z  (this time comes twice; this is the first pass)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_is_not_there_or_not_right_is_named() {
    let world = World::new().await;
    world.schedule("nightly", DAILY);
    world.schedule(
        "broken",
        "cron = \"61 * * * *\"\n[event]\nupdate_text = \"x\"\n",
    );
    for (args, expected) in [
        (
            ["next", "nihgtly"],
            "error: there is no schedule `nihgtly`; did you mean `nightly`\n",
        ),
        (
            ["preview", "broken"],
            "error: `broken` can't be used\nerror: minute 61 is outside 0-59\n --> schedules/broken.toml:1:9\n  |\n1 | cron = \"61 * * * *\"\n  |         ^^\n  |\n  = help: for minute 1 write `1 * * * *`\n",
        ),
    ] {
        let output = world.run(&args);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(err(&output), expected);
        assert_eq!(out(&output), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_is_the_exact_request_without_the_token() {
    let world = World::new().await;
    world.schedule("nightly", DAILY);
    let mut command = world.command(&["preview", "nightly", "--at", "2026-03-09T02:30:00"]);
    command
        .env(
            "WORKSPACE_AGENT_TRIGGER_ID",
            "agtch_00000000000000000000000000000001",
        )
        .env_remove("TRIGGERD_API_BASE_URL")
        .env_remove("WORKSPACE_AGENT_ACCESS_TOKEN");
    let output = command.output().expect("the binary runs");
    insta::assert_snapshot!(out(&output), @r#"
    POST https://api.chatgpt.com/v1/workspace_agents/agtch_00000000000000000000000000000001/trigger
    Authorization: Bearer ***
    User-Agent: triggerd/0.1.0 (scheduler for ChatGPT Workspace Agents)
    Content-Type: application/json
    Idempotency-Key: nightly-20260309T0230-515121abf00373cb
    OpenAI-Beta: workspace_agent_runs=v1

    {"conversation_key":"nightly-20260309T0230","input":"Request ID: nightly-20260309T0230\nSource system: triggerd\nSubmitted at: 2026-03-09T02:30:00-04:00\nUpdate text: Since 2026-03-08T03:00:00-04:00.\n\nWrite this update to your configured output destination, starting with this exact line:\nWorkspace Agent API demo received: nightly-20260309T0230\n"}

    The input, as the agent reads it:

    Request ID: nightly-20260309T0230
    Source system: triggerd
    Submitted at: 2026-03-09T02:30:00-04:00
    Update text: Since 2026-03-08T03:00:00-04:00.

    Write this update to your configured output destination, starting with this exact line:
    Workspace Agent API demo received: nightly-20260309T0230
    "#);
    let not_due = world.run(&["preview", "nightly", "--at", "2026-03-09T02:31:00"]);
    insta::assert_snapshot!(err(&not_due), @"error: `nightly` is not due at 2026-03-09T02:31:00-04:00; its next occurrence after that is at 2026-03-10T02:30:00-04:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_counts_and_its_exit_code_tells_errors_from_notes() {
    let world = World::new().await;
    world.schedule("nightly", DAILY);
    let good = world.run(&["check"]);
    assert_eq!(
        (good.status.code(), out(&good).as_str()),
        (Some(0), "1 valid schedule; no problems\n")
    );
    world.schedule(
        "noted",
        &format!("{DAILY}\n[expect]\nfinished_within = \"1h\"\n"),
    );
    let noted = world.run(&["check"]);
    assert_eq!(noted.status.code(), Some(0));
    assert!(
        out(&noted).ends_with("2 valid schedules; 1 note in 1 file\n"),
        "{}",
        out(&noted)
    );
    world.schedule("broken", "cron = \"61 * * * *\"\n");
    let broken = world.run(&["check", "--json"]);
    assert_eq!(broken.status.code(), Some(1));
    let answer: Value = serde_json::from_str(&out(&broken)).expect("JSON");
    assert_eq!(answer["schedules"], 2);
    let minute = answer["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|problem| problem["message"] == "minute 61 is outside 0-59")
        .expect("the problem");
    assert_eq!((&minute["line"], &minute["column"]), (&json!(1), &json!(9)));
    assert_eq!(minute["severity"], "error");
    let one = world.run(&["check", "schedules/nightly.toml"]);
    assert_eq!(one.status.code(), Some(0));
    let none = world.run(&["check", "schedules/nihgtly.toml"]);
    assert_eq!(none.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_lies_in_the_folder_is_named_and_hurts_no_other() {
    let world = World::new().await;
    world.schedule("nightly", DAILY);
    world.schedule("huge", &"#".repeat(5 << 20));
    fs::write(world.path("schedules/binary.toml"), b"\xff\xfe").expect("a file");
    fs::write(world.path("schedules/My Report.toml"), DAILY).expect("a file");
    fs::create_dir(world.path("schedules/folder.toml")).expect("a folder");
    std::os::unix::fs::symlink("gone", world.path("schedules/dangling.toml")).expect("a link");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.path("schedules/fifo.toml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a fifo");
    let output = world.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(out(&output), @"
    error: `My Report` is no schedule name: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a letter or digit
    --> schedules/My Report.toml
     = help: rename the file

    error: byte 0 is not UTF-8
    --> schedules/binary.toml
     = help: put a readable schedule file in its place, or delete it

    error: it is a link to `gone`, which is not there
    --> schedules/dangling.toml
     = help: put a readable schedule file in its place, or delete it

    error: it is a fifo, not a file
    --> schedules/fifo.toml
     = help: put a readable schedule file in its place, or delete it

    error: it is a folder, not a file
    --> schedules/folder.toml
     = help: put a readable schedule file in its place, or delete it

    error: it has 5242880 bytes; at most 1048576 are read
    --> schedules/huge.toml
     = help: put a readable schedule file in its place, or delete it

    1 valid schedule; 6 errors in 6 files
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_used_stop_every_command_with_their_problem() {
    let world = World::new().await;
    fs::write(
        world.path("triggerd.toml"),
        "[api]\nbase_url = \"http://example.com\"\n",
    )
    .expect("a file");
    let mut command = world.command(&["run"]);
    command.env_remove("TRIGGERD_API_BASE_URL");
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(err(&output), @r#"
    error: the settings can't be used
    error: `api.base_url`: the base URL would send the token to `example.com` in the clear; write `https://example.com`, or use `http` with 127.0.0.1, ::1 or localhost only
     --> triggerd.toml:2:12
      |
    2 | base_url = "http://example.com"
      |            ^^^^^^^^^^^^^^^^^^^^
    "#);
    let missing = world.run(&["check", "--config", "nowhere.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    insta::assert_snapshot!(out(&missing), @"
    error: it can't be read: No such file or directory (os error 2)
    --> nowhere.toml
     = help: make it readable, or name another with `--config`

    0 valid schedules; 1 error in 1 file
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn trigger_makes_one_delivery_and_history_shows_it() {
    let world = World::new().await;
    world.schedule("nightly", DAILY);
    let output = world.run(&["trigger", "nightly"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let effect = &world.sandbox.effects()[0];
    let key = effect.idempotency_key.as_deref().expect("a key");
    assert!(key.starts_with("nightly-manual-"));
    let answer = out(&output);
    let mut lines = answer.lines();
    let first = lines.next().expect("a line");
    assert!(
        first
            .strip_prefix("accepted ")
            .is_some_and(|id| key.starts_with(id)),
        "{first}"
    );
    assert!(
        lines
            .next()
            .is_some_and(|url| url.starts_with("https://chatgpt.com/c/"))
    );

    let history = world.history();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["origin"], "manual");
    assert_eq!(history[0]["verdict"], "accepted");
    assert_eq!(history[0]["attempts"][0]["http_status"], 202);
    let text = out(&world.run(&["history", "nightly"]));
    assert!(
        text.contains("accepted  nightly-manual-") && text.contains("http 202"),
        "{text}"
    );

    let refuse = FaultKind::Status {
        status: 422,
        retry_after: None,
    };
    world.sandbox.fault(Fault::from(refuse).times(1));
    let refused = world.run(&["trigger", "nightly"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        out(&refused).starts_with("rejected nightly-manual-"),
        "{}",
        out(&refused)
    );
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

#[tokio::test(flavor = "multi_thread")]
async fn trigger_asks_the_daemon_that_runs() {
    let world = World::new().await;
    world.schedule("nightly", DAILY);
    let daemon = world.daemon();
    daemon.says("control socket listens");
    let mut command = world.command(&["trigger", "nightly"]);
    // The daemon has what it takes; whoever asks needs none of it.
    command
        .env_remove("WORKSPACE_AGENT_ACCESS_TOKEN")
        .env_remove("WORKSPACE_AGENT_TRIGGER_ID");
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(
        out(&output).starts_with("accepted nightly-manual-"),
        "{}",
        out(&output)
    );
    daemon.says("trigger accepted");
    assert_eq!(world.sandbox.effects().len(), 1);
    let unknown = world.run(&["trigger", "nihgtly"]);
    assert_eq!(unknown.status.code(), Some(1));
    insta::assert_snapshot!(err(&unknown), @"error: the running daemon has no schedule `nihgtly` in force; its log says why");
    assert!(daemon.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn trigger_is_refused_while_a_daemon_that_cannot_be_asked_has_the_state_folder() {
    let world = World::new().await;
    world.schedule("nightly", DAILY);
    let mut command = world.command(&["run", "--log-format", "json"]);
    command.env("RUNTIME_DIRECTORY", world.path("nowhere"));
    let daemon = Daemon::start(command);
    daemon.until(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.starts_with("there can be no control socket")
    });
    let output = world.run(&["trigger", "nightly"]);
    assert_eq!(output.status.code(), Some(1));
    let error = err(&output).replace(&daemon.pid().to_string(), "PID");
    insta::assert_snapshot!(error, @"error: a daemon (pid PID) runs on the state folder `state`, and can't be asked at `state/control.sock`; see its log for why, or name its socket under `[control]`");
    assert_eq!(world.sandbox.calls().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_follows_what_happens() {
    use std::io::{BufRead, BufReader};
    let world = World::new().await;
    world.schedule("a", &once(Duration::from_secs(2)));
    let daemon = world.daemon();
    daemon.says("triggerd started");
    let mut command = world.command(&["history", "--json", "--follow"]);
    let mut following = command
        .stdout(std::process::Stdio::piped())
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

#[tokio::test(flavor = "multi_thread")]
async fn history_without_a_ledger_says_so() {
    let world = World::new().await;
    let output = world.run(&["history"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(err(&output), @"error: there is no ledger in `state`; `triggerd run` makes one; where it lies elsewhere, say so with `--state`");
}

#[tokio::test(flavor = "multi_thread")]
async fn instructions_name_the_schedules_marker() {
    let world = World::new().await;
    world.schedule("nightly", DAILY);
    let output = world.run(&["instructions", "nightly"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(out(&output), @"
    You are triggered by triggerd, without a person present. Each input is one source event.

    1. Find the request id, the source system, the output destination and the update text in the input.
    2. If the request id is missing, ask for it and write nothing.
    3. The source system is `triggerd`. Do what the update text asks for.
    4. Write one short update to the output destination named in the input. Its first line is exactly this, with the request id of the input:

       Workspace Agent API demo received: <request id>

    5. Never assume a current chat, channel or document. If the destination can't be reached, say so and stop.
    6. Where a write needs approval, ask for it. Then stop: one event, one update.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_helps_with_an_example_and_wrong_usage_exits_with_2() {
    let world = World::new().await;
    for command in [
        "run",
        "demo",
        "check",
        "next",
        "preview",
        "trigger",
        "history",
        "instructions",
        "sandbox",
    ] {
        let output = world.run(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(out(&output).contains("Example"), "{command}");
        let wrong = world.run(&[command, "--no-such-flag"]);
        assert_eq!(wrong.status.code(), Some(2), "{command}");
    }
    assert_eq!(
        world.run(&["next", "--expr", "* * * * *"]).status.code(),
        Some(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_needs_nothing_and_shows_the_whole_chain() {
    let world = World::new().await;
    let mut command = world.command(&["demo", "--for", "9s", "--log-format", "json"]);
    command.env_clear();
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let log = err(&output);
    assert!(
        log.lines()
            .any(|line| line.contains("\"message\":\"trigger accepted\"")),
        "{log}"
    );
    let shown = out(&output);
    assert!(shown.contains("The agent wrote to #demo:"), "{shown}");
    assert!(
        shown.contains("Workspace Agent API demo received: demo-"),
        "{shown}"
    );
}
