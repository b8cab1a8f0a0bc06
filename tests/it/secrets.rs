//! The token is found nowhere, and the input in no log line: whatever the API, the files and the operator do.

use std::fs;
use std::process::Output;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use triggerd::sandbox::{Fault, FaultKind, TokenChange, When};

use crate::support::{Daemon, World, bytes_below, owed_every_second};

const TOKEN: &str = "at-canary-5f1d0c9e77aa42b8";
const INPUT: &str = "input-canary-77aa20c1 of the quarter";

fn shows(bytes: &[u8], needle: &str) -> bool {
    bytes
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

#[track_caller]
fn check_hidden(surface: &str, bytes: &[u8], needle: &str) {
    assert!(!bytes.is_empty(), "the {surface} is there to be looked at");
    assert!(
        !shows(bytes, needle),
        "`{needle}` shows in the {surface}: {}",
        String::from_utf8_lossy(bytes)
    );
}

/// A daemon that says all it can, with the token in a file.
fn talkative(world: &World) -> Daemon {
    fs::write(world.path("token"), TOKEN).expect("a file");
    world.settings("[token]\nfile = \"token\"\n[http]\nlisten = \"127.0.0.1:0\"\n");
    world.schedule("a", &owed_every_second(INPUT));
    let mut command = world.command(&["run", "--log-format", "json"]);
    command
        .env_remove("WORKSPACE_AGENT_ACCESS_TOKEN")
        .env("RUST_LOG", "trace");
    Daemon::start(command)
}

/// Looks at everything that a daemon shows, while it runs and after its stop.
async fn check_surfaces(world: &World, daemon: Daemon) {
    let (daemon, shown) = crate::http::surfaces(daemon).await;
    let socket = world.run(&["status", "--json"]).stdout;
    for (surface, bytes) in shown.iter().chain([&("socket".to_owned(), socket)]) {
        check_hidden(surface, bytes, TOKEN);
        check_hidden(surface, bytes, INPUT);
    }
    let command_line = fs::read(format!("/proc/{}/cmdline", daemon.pid())).expect("a process");
    let running = bytes_below(&world.path("state"));
    assert!(
        world.path("state/ledger.db-wal").exists(),
        "it is looked at"
    );
    let (status, log) = daemon.terminate();
    assert!(status.success());

    let log = Value::from(log).to_string();
    let history = Value::from(world.history()).to_string();
    let people = world.run(&["history"]).stdout;
    let preview = world.run(&["preview", "a"]).stdout;
    let stopped = bytes_below(&world.path("state"));
    for (surface, bytes) in [
        ("command line", &command_line[..]),
        ("state folder of the running daemon", &running),
        ("state folder", &stopped),
        ("log", log.as_bytes()),
        ("JSON of `history`", history.as_bytes()),
        ("text of `history`", &people),
        ("output of `preview`", &preview),
    ] {
        check_hidden(surface, bytes, TOKEN);
    }
    for (surface, bytes) in [
        ("log", log.as_bytes()),
        ("JSON of `history`", history.as_bytes()),
        ("text of `history`", &people),
    ] {
        check_hidden(surface, bytes, INPUT);
    }
    assert!(shows(&preview, INPUT), "`preview` is there to show it");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_acceptances_failures_and_broken_files() {
    let world = World::new().await;
    let token = TokenChange {
        token: TOKEN.into(),
        ..TokenChange::default()
    };
    world.sandbox.set_token(token).expect("a token");
    let status = |status| FaultKind::Status {
        status,
        retry_after: None,
    };
    for fault in [
        status(500),
        FaultKind::Reset { when: When::After },
        FaultKind::Html403,
        status(400),
    ] {
        world.sandbox.fault(Fault::from(fault).times(1));
    }
    world.schedule(
        "template",
        &owed_every_second(&format!("{INPUT} {{{{ nothing }}}}")),
    );
    world.schedule("syntax", &format!("input = \"{INPUT}\nwithout an end"));
    let daemon = talkative(&world);
    daemon.says("schedule file has a problem");
    daemon.until(|line| line["outcome"] == "unknown");
    daemon.says(
        "breaker opened: deliveries wait behind it; `triggerd trigger NAME` probes it at once",
    );
    daemon.signal(Signal::HUP);
    daemon.says("SIGHUP: everything is read again");
    check_surfaces(&world, daemon).await;
}

/// An API that hands back all that it got, in every place there is, and another status each time.
async fn echo(
    State(calls): State<watch::Sender<usize>>,
    headers: HeaderMap,
    body: String,
) -> impl IntoResponse {
    const STATUSES: [u16; 6] = [500, 302, 400, 202, 429, 401];
    let mut call = 0;
    calls.send_modify(|calls| {
        call = *calls;
        *calls += 1;
    });
    let token = headers[header::AUTHORIZATION].to_str().expect("text");
    let text = format!("what is {token}, and what is {body}?");
    let answer = json!({
        "error": {"message": text, "code": token, "type": body},
        "conversation_url": format!("https://chatgpt.com/c/{TOKEN}"),
        "agent_trigger_run_id": format!("apirun_{TOKEN}"),
    });
    let status = STATUSES.get(call).copied().unwrap_or(401);
    (
        StatusCode::from_u16(status).expect("a status"),
        [
            (
                header::LOCATION,
                format!("https://{TOKEN}.example.com/{TOKEN}"),
            ),
            (
                header::HeaderName::from_static("x-request-id"),
                TOKEN.to_owned(),
            ),
            (header::RETRY_AFTER, "0".to_owned()),
        ],
        answer.to_string(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_api_has_echoed_it_in_every_place() {
    let world = World::new().await;
    let calls = watch::Sender::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base_url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let app = Router::new().fallback(echo).with_state(calls.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });

    fs::write(world.path("token"), TOKEN).expect("a file");
    world.settings("[token]\nfile = \"token\"\n[http]\nlisten = \"127.0.0.1:0\"\n");
    world.schedule("a", &owed_every_second(INPUT));
    let mut command = world.command(&["run", "--log-format", "json"]);
    command
        .env_remove("WORKSPACE_AGENT_ACCESS_TOKEN")
        .env("TRIGGERD_API_BASE_URL", base_url)
        .env("RUST_LOG", "trace");
    let daemon = Daemon::start(command);
    for status in [500, 302, 400, 202, 429, 401] {
        daemon.until(|line| line["http_status"] == status);
    }
    check_surfaces(&world, daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_it_was_written_where_it_does_not_belong() {
    for (settings, schedule) in [
        ("[token]\nenv = TOKEN", ""),
        ("[token]\nfile = TOKEN", ""),
        ("[token]\ncredential = TOKEN", ""),
        ("[token]\ntoken = TOKEN", ""),
        ("token = TOKEN", ""),
        ("namespace = TOKEN", ""),
        ("[api]\nbase_url = TOKEN", ""),
        ("", "token = TOKEN"),
        ("", "agent = TOKEN"),
        ("", "timezone = TOKEN"),
    ] {
        let world = World::new().await;
        let with_token = |text: &str| text.replace("TOKEN", &format!("\"{TOKEN}\""));
        world.settings(&with_token(settings));
        world.schedule(
            "a",
            &with_token(&format!("cron = \"0 0 1 1 *\"\ninput = \"x\"\n{schedule}")),
        );
        let mut command = world.command(&["run", "--log-format", "json"]);
        command
            .env_remove("TRIGGERD_API_BASE_URL")
            .env_remove("WORKSPACE_AGENT_ACCESS_TOKEN")
            .env("RUST_LOG", "trace");
        let daemon = Daemon::start(command);
        // One that is refused says so in plain text.
        let refused =
            daemon.until(|line| line.is_string() || line["message"] == "triggerd started");
        let (_, log) = match refused.is_string() {
            true => daemon.ended(),
            false => daemon.terminate(),
        };
        let log = Value::from(log).to_string();
        let place = format!("{settings}{schedule}");
        check_hidden(&format!("log of `{place}`"), log.as_bytes(), TOKEN);
        let Output { stdout, stderr, .. } = world.run(&["check"]);
        let checked = [stdout, stderr].concat();
        check_hidden(&format!("answer of `check` to `{place}`"), &checked, TOKEN);
    }
}
