use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use insta::assert_snapshot;
use serde_json::Value;
use triggerd::sandbox::{STRANGERS_TOKEN, TOKEN};

use super::{Done, Folder, sandbox, steady};
use crate::support::World;

/// The address of an API that is not there.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    format!("http://127.0.0.1:{port}/v1")
}

/// What differs from one machine to the next, in words.
fn everywhere() -> impl Drop {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(
        r"ok       disk         \d+ MiB",
        "ok       disk         [FREE] MiB",
    );
    settings.add_filter(r"(ok     |warning)  time zones   .*", "[TIME ZONES]");
    settings.bind_to_scope()
}

/// The lines that don't say ok, for tests of what fails.
fn not_ok(done: &Done) -> String {
    let lines = done.out.lines().filter(|line| !line.starts_with("ok "));
    let lines = lines.filter(|line| !line.contains("  time zones ") && !line.contains("  disk "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well() {
    let sandbox = sandbox().await;
    let folder = Folder::with_weekly();
    let done = folder
        .triggerd("doctor")
        .against(&sandbox)
        .run_beside()
        .await;
    let (_guard, _machine) = (steady(), everywhere());
    assert_snapshot!(done, @"
    ok       settings     there is no triggerd.toml: every key has its default
    ok       schedules    1 valid schedule in `schedules`
    ok       state        `state` is made at the first start
    ok       ledger       it is made at the first start
    ok       disk         [FREE] MiB free at `.`
    [TIME ZONES]
    warning  daemon       none listens at `state/control.sock`; start it with `triggerd run`, or name its socket under `[control]`
    ok       trigger ids  1, of the usual form
    ok       dns          `127.0.0.1` is found
    ok       api          http://127.0.0.1:[PORT]/v1 can be reached (http 404: it was asked nothing; the token is tried below)
    ok       clock        it agrees with the API's
    ok       token        it works (environment variable `WORKSPACE_AGENT_ACCESS_TOKEN`)
    [0]
    ");
    assert_eq!(sandbox.effects().len(), 0, "nothing is started");
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_is_found_with_its_ledger() {
    let world = World::new().await;
    world.schedule("a", "cron = \"@yearly\"\ninput = \"x\"\n");
    let daemon = world.daemon();
    daemon.says("control socket listens");
    // Facts are written in their order: what was put into force before is in the ledger then.
    assert!(world.run(&["trigger", "a"]).status.success());
    let mut command = world.command(&["doctor"]);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("it runs");
    let out = String::from_utf8(output.stdout).expect("text");
    assert!(
        out.contains("ok       daemon       one listens at `state/control.sock`\n"),
        "{out}"
    );
    assert!(
        out.contains("ok       ledger       readable, with 1 schedule in force\n"),
        "{out}"
    );
    assert!(output.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_do_not_work_fail() {
    let sandbox = sandbox().await;
    let folder = Folder::with_weekly();
    let _guard = steady();
    let with = |token: &str| {
        let call = folder.triggerd("doctor").against(&sandbox);
        call.env("WORKSPACE_AGENT_ACCESS_TOKEN", token).run_beside()
    };
    let unknown = with("sk-canary-4f1c0b77aa20").await;
    assert_snapshot!(not_ok(&unknown), @"
    warning  daemon       none listens at `state/control.sock`; start it with `triggerd run`, or name its socket under `[control]`
    warning  token        its form is unusual; the token is a Platform API key (`sk-…`), which can't trigger agents; make a Workspace Agent access token in ChatGPT under Admin > Access tokens, with the scope Workspace Agents
    failed   token        it is refused: Incorrect API key provided (invalid_api_key); make a Workspace Agent access token in ChatGPT under Admin > Access tokens
    ");
    let strangers = with(STRANGERS_TOKEN).await;
    assert_snapshot!(not_ok(&strangers), @"
    warning  daemon       none listens at `state/control.sock`; start it with `triggerd run`, or name its socket under `[control]`
    failed   token        its owner may not run the agent of `agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012`: The token's owner is not allowed to run this workspace agent.; share the agent with the token's owner, or use an allowed owner's token
    ");
    let none = folder.triggerd("doctor").against(&sandbox);
    let none = none
        .without("WORKSPACE_AGENT_ACCESS_TOKEN")
        .run_beside()
        .await;
    assert_snapshot!(not_ok(&none), @"
    warning  daemon       none listens at `state/control.sock`; start it with `triggerd run`, or name its socket under `[control]`
    failed   token        environment variable `WORKSPACE_AGENT_ACCESS_TOKEN` is not set; put a Workspace Agent access token into it, or name another source under `[token]`
    ");
    for done in [unknown, strangers, none] {
        assert_eq!((done.err.as_str(), done.code), ("", 1));
        for token in ["sk-canary", STRANGERS_TOKEN] {
            assert!(!done.out.contains(token), "{token} shows in {done}");
        }
    }
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_agents_token_is_tried() {
    let sandbox = sandbox().await;
    let folder = Folder::new()
        .file("token", &format!("{TOKEN}\n"))
        .file(
            "triggerd.toml",
            "[agents.revenue]\n\
             trigger_id = \"agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012\"\n\
             token = { file = \"token\" }\n\
             [agents.support]\n\
             trigger_id = \"agt_1\"\n",
        )
        .schedule(
            "a",
            "cron = \"@yearly\"\nagent = \"revenue\"\ninput = \"x\"\n",
        );
    fs::set_permissions(folder.path("token"), Permissions::from_mode(0o644)).expect("it is ours");
    let call = folder.triggerd("doctor").against(&sandbox);
    let done = call
        .env("WORKSPACE_AGENT_ACCESS_TOKEN", "at-canary-0b77aa20c1")
        .run_beside()
        .await;
    assert_snapshot!(not_ok(&done), @"
    warning  settings       1 warning in 1 file; `triggerd check` shows what
    warning  daemon         none listens at `state/control.sock`; start it with `triggerd run`, or name its socket under `[control]`
    warning  trigger ids    `agt_1` has an unusual form; this is an agent's id; triggers need the id of its API channel, which starts with `agtch_`
    failed   token          it is refused: Incorrect API key provided (invalid_api_key); make a Workspace Agent access token in ChatGPT under Admin > Access tokens
    warning  token revenue  token file `token` is open to every user of this machine (mode 0644); close it with `chmod o=`
    ");
    assert!(
        done.out
            .contains("ok       token revenue  it works (token file `token`)\n"),
        "{done}"
    );
    assert!(!done.out.contains("at-"), "{done}");
    sandbox.shutdown().await;
}

#[test]
fn what_is_wrong_on_this_machine_is_told() {
    let folder = Folder::new()
        .schedule("broken", "cron = \"nonsense\"\ninput = \"x\"\n")
        .file("state", "")
        .file(
            "triggerd.toml",
            &format!("[api]\nbase_url = \"{}\"\n", nowhere()),
        );
    let _guard = steady();
    assert_snapshot!(not_ok(&folder.triggerd("doctor").run()), @"
    failed   schedules    0 valid schedules in `schedules`; 1 error in 1 file; `triggerd check` shows them
    failed   state        `state` is no folder that this user may write to; give it to the user that runs triggerd, or set another `state`
    failed   ledger       the ledger `state/ledger.db` can't be read: unable to open database file: file:state/ledger.db?immutable=1; give it and its folder to the user that runs triggerd, and look for disk errors with `dmesg`
    warning  daemon       none listens at `state/control.sock`; start it with `triggerd run`, or name its socket under `[control]`
    failed   api          http://127.0.0.1:[PORT]/v1 does not answer: tcp connect error: Connection refused (os error 111); look at the network, at the proxy and at `api.base_url`
    warning  token        whether it works is not known: tcp connect error: Connection refused (os error 111); try again when the API answers
    ");

    let folder = Folder::with_weekly();
    for name in ["schedules", "state"] {
        let _ = fs::create_dir(folder.path(name));
        fs::set_permissions(folder.path(name), Permissions::from_mode(0o777)).expect("it is ours");
    }
    let call = folder.triggerd("doctor --schedules schedules --state state");
    let done = call.env("TRIGGERD_API_BASE_URL", &nowhere()).run();
    assert!(
        done.out
            .contains("schedules    every user of this machine may write to `schedules`; close")
    );
    assert!(
        done.out
            .contains("state        every user of this machine may write to `state`; close")
    );

    let call = folder.triggerd("doctor --schedules nowhere");
    let done = call.env("TRIGGERD_API_BASE_URL", &nowhere()).run();
    assert!(
        done.out
            .contains("failed   schedules    the folder `nowhere` can't be read"),
        "{done}"
    );
}

#[test]
fn settings_that_can_not_be_used_end_it() {
    let folder = Folder::with_weekly().file("triggerd.toml", "namespace = \"Production EU\"\n");
    assert_snapshot!(folder.triggerd("doctor").run(), @"
    failed   settings  they can't be used: 1 error in 1 file; `triggerd check` shows what
    [1]
    ");
}

#[test]
fn no_tls_is_told() {
    // It closes each connection before a handshake.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || listener.incoming().for_each(drop));
    let folder = Folder::with_weekly();
    let call = folder.triggerd("doctor");
    let done = call
        .env(
            "TRIGGERD_API_BASE_URL",
            &format!("https://127.0.0.1:{port}/v1"),
        )
        .run();
    assert!(done.out.contains("failed   api          "), "{done}");
    assert_eq!(done.code, 1);
}

#[test]
fn a_clock_that_differs_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nDate: Mon, 23 Nov 2015 09:00:00 GMT\r\n\
                  Content-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let folder = Folder::with_weekly();
    let call = folder.triggerd("doctor --json");
    let done = call
        .env(
            "TRIGGERD_API_BASE_URL",
            &format!("http://127.0.0.1:{port}/v1"),
        )
        .run();
    let answer: Value = serde_json::from_str(&done.out).expect("it is JSON");
    let checks = answer["checks"].as_array().expect("a list");
    let clock = checks
        .iter()
        .find(|it| it["check"] == "clock")
        .expect("it is looked at");
    assert_eq!(clock["status"], "failed");
    let what = clock["what"].as_str().expect("a text");
    assert!(what.ends_with(" s ahead of the API's"), "{what}");
    assert_eq!(
        clock["way_out"],
        "let an NTP client set it: occurrences are due by this clock"
    );
    let api = checks
        .iter()
        .find(|it| it["check"] == "api")
        .expect("it is looked at");
    assert_eq!(
        (&api["status"], &api["way_out"]),
        (&Value::from("ok"), &Value::Null)
    );
    assert_eq!(done.code, 1);
}
