//! Starts that are refused: exit 1, what is wrong and the way out, and nothing touched.

use std::fs;
use std::process::Output;

use crate::support::{Daemon, EVERY_SECOND, World};

/// The one line that a refused start ends with.
#[track_caller]
fn check_refused(output: &Output, what: &str, way_out: &str) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let error = said.lines().last().unwrap_or_default();
    assert!(error.starts_with("error: "), "{said}");
    assert!(error.contains(what), "{what}: {error}");
    assert!(error.contains(way_out), "{way_out}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_one_state_folder() {
    let world = World::new().await;
    let first = world.daemon();
    first.says("triggerd started");
    let holder = format!("is in use by another triggerd (pid {})", first.pid());
    check_refused(
        &world.run(&["run"]),
        &holder,
        "stop that one, or set another `state`",
    );
    assert!(first.terminate().0.success(), "it is not disturbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_that_cannot_be_written() {
    let world = World::new().await;
    fs::write(world.path("file"), "").expect("a file");
    check_refused(
        &world.run(&["run", "--state", "file/state"]),
        "the state folder `file/state` can't be made",
        "give it to the user that runs triggerd",
    );
    // Where nobody can make a file, not even root.
    check_refused(
        &world.run(&["run", "--state", "/proc"]),
        "the lock `/proc/lock` can't be taken",
        "give the state folder and its files to the user that runs triggerd",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_none() {
    let no_database = b"this is no database, but it is long enough to be taken for one";
    let mut page = b"SQLite format 3\0 and then nothing that makes sense".to_vec();
    page.resize(4096, b'.');
    for content in [no_database.to_vec(), page] {
        let world = World::new().await;
        fs::create_dir(world.path("state")).expect("a folder");
        fs::write(world.path("state/ledger.db"), &content).expect("a file");
        let output = world.run(&["run"]);
        check_refused(
            &output,
            "state/ledger.db` is no ledger of triggerd",
            "move it away",
        );
        let left = fs::read(world.path("state/ledger.db")).expect("a file");
        assert_eq!(left, content);
    }
}

/// A ledger with an acceptance in it.
async fn used() -> World {
    let world = World::new().await;
    world.schedule("a", EVERY_SECOND);
    let daemon = world.daemon();
    daemon.says("trigger accepted");
    assert!(daemon.terminate().0.success());
    world
}

/// Its start is refused, and every byte stays.
async fn check_ledger_refused(world: &World, what: &str, way_out: &str) {
    let ledger = world.path("state/ledger.db");
    let before = fs::read(&ledger).expect("a file");
    let effects = world.sandbox.effects().len();
    check_refused(&world.run(&["run"]), what, way_out);
    assert!(
        fs::read(&ledger).expect("a file") == before,
        "it is left as it was"
    );
    assert_eq!(world.sandbox.effects().len(), effects, "nothing is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_damaged() {
    let world = used().await;
    let ledger = world.path("state/ledger.db");
    let mut bytes = fs::read(&ledger).expect("a file");
    // Behind SQLite's header every page is overwritten, that of the schema included.
    bytes[100..].fill(0xff);
    fs::write(&ledger, bytes).expect("a file");
    check_ledger_refused(
        &world,
        "state/ledger.db` is damaged",
        "restore it from a backup",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_a_newer_version() {
    let world = used().await;
    let ledger = rusqlite::Connection::open(world.path("state/ledger.db")).expect("a ledger");
    ledger
        .pragma_update(None, "user_version", 99)
        .expect("it is written");
    drop(ledger);
    let what = "has schema 99, written by triggerd";
    check_ledger_refused(&world, what, "run the newer triggerd").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_needs_no_token() {
    let world = World::new().await;
    world.schedule("a", EVERY_SECOND);
    let mut command = world.command(&["run", "--dry-run", "--log-format", "json"]);
    command.env_remove("WORKSPACE_AGENT_ACCESS_TOKEN");
    let daemon = Daemon::start(command);
    daemon.until(|line| line["message"] == "dry run: would trigger");
    let (_, log) = daemon.terminate();
    let errors = log.iter().filter(|line| line["level"] == "ERROR");
    assert_eq!(errors.count(), 0, "{log:#?}");
}
