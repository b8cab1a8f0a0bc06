//! Files that are added, edited, broken, mended, renamed and deleted while the daemon runs.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::Value;
use triggerd::sandbox::{AgentChange, FaultKind, TRIGGER_ID};

use crate::support::{Daemon, EVERY_SECOND, World};

const NEVER_SOON: &str = "cron = \"0 0 1 1 *\"\n[event]\nupdate_text = \"x\"\n";

fn every_second(input: &str) -> String {
    format!("cron = \"* * * * * *\"\ninput = \"{input}\"\n")
}

fn reloaded(line: &Value, what: &str, schedules: &str) -> bool {
    line["message"] == "schedules reloaded"
        && line["what"] == what
        && line["schedules"] == schedules
}

async fn started() -> (World, Daemon) {
    let world = World::new().await;
    world.schedule("first", NEVER_SOON);
    let daemon = world.daemon();
    daemon.says("triggerd started");
    (world, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_dropped_in_fires_and_one_that_is_deleted_ends() {
    let (world, daemon) = started().await;
    world.schedule("second", EVERY_SECOND);
    daemon.until(|line| reloaded(line, "added", "second"));
    world.sandbox.until_effects(1).await;
    fs::remove_file(world.path("schedules/second.toml")).expect("a file");
    daemon.until(|line| reloaded(line, "removed", "second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_a_link_to_elsewhere_is_followed_there() {
    let (world, daemon) = started().await;
    fs::write(world.path("elsewhere.toml"), every_second("old")).expect("a file");
    symlink(
        world.path("elsewhere.toml"),
        world.path("schedules/linked.toml"),
    )
    .expect("a link");
    daemon.until(|line| reloaded(line, "added", "linked"));
    world.until_effect(|it| it.input == "old").await;
    fs::write(world.path("elsewhere.toml"), "cron = \"\n").expect("a file");
    daemon.until(|line| {
        let file = line["file"].as_str();
        file.is_some_and(|file| file.ends_with("linked.toml"))
    });
    fs::write(world.path("elsewhere.toml"), every_second("new")).expect("a file");
    world.until_effect(|it| it.input == "new").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_its_last_good_version_firing_also_over_a_restart() {
    let (world, daemon) = started().await;
    world.schedule("a", &every_second("good"));
    world.until_effect(|it| it.input == "good").await;
    world.schedule("a", "cron = \"61 * * * *\"\n[event]\nupdate_text = \"x\"\n");
    check_problem(&daemon);
    world.until_more_effects(2).await;

    assert!(daemon.terminate().0.success());
    let again = world.daemon();
    check_problem(&again);
    world.until_more_effects(2).await;
    assert!(world.sandbox.effects().iter().all(|it| it.input == "good"));

    world.schedule("a", &every_second("mended"));
    again.until(|line| reloaded(line, "changed", "a"));
    world.until_effect(|it| it.input == "mended").await;
}

#[track_caller]
fn check_problem(daemon: &Daemon) {
    let problem = daemon.says("schedule file has a problem");
    assert_eq!(problem["level"], "ERROR");
    assert_eq!(
        (&problem["line"], &problem["column"]),
        (&1.into(), &9.into())
    );
    let text = |field: &str| problem[field].as_str().unwrap_or_default();
    assert!(text("file").ends_with("schedules/a.toml"), "{problem}");
    assert_eq!(text("problem"), "minute 61 is outside 0-59");
    assert!(!text("help").is_empty(), "{problem}");
}

/// Each version took the place of the one before, for good.
fn check_versions(world: &World, expected: &[&str]) {
    let effects = world.sandbox.effects();
    let mut versions: Vec<&str> = effects.iter().map(|it| it.input.as_str()).collect();
    versions.dedup();
    assert_eq!(versions, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_in_place_and_one_by_rename_take_the_place_of_what_was() {
    let (world, daemon) = started().await;
    world.schedule("a", &every_second("first"));
    world.until_effect(|it| it.input == "first").await;

    let mut file = File::create(world.path("schedules/a.toml")).expect("it is emptied");
    for line in every_second("in place").lines() {
        writeln!(file, "{line}").expect("a line");
    }
    drop(file);
    world.until_effect(|it| it.input == "in place").await;

    fs::write(world.path("schedules/.a.toml.tmp"), every_second("renamed")).expect("a file");
    fs::rename(
        world.path("schedules/.a.toml.tmp"),
        world.path("schedules/a.toml"),
    )
    .expect("a rename");
    world.until_effect(|it| it.input == "renamed").await;
    world.until_more_effects(1).await;

    check_versions(&world, &["first", "in place", "renamed"]);
    let (_, log) = daemon.terminate();
    let problems = |line: &&Value| line["message"] == "schedule file has a problem";
    assert_eq!(
        log.iter().filter(problems).count(),
        0,
        "no half of a file is read"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_is_another_schedule() {
    let (world, daemon) = started().await;
    world.schedule("old", &every_second("{{ schedule }}"));
    world.until_effect(|it| it.input == "old").await;
    fs::rename(
        world.path("schedules/old.toml"),
        world.path("schedules/new.toml"),
    )
    .expect("a rename");
    daemon.until(|line| reloaded(line, "added", "new"));
    daemon.until(|line| reloaded(line, "removed", "old"));
    world.until_effect(|it| it.input == "new").await;
    let so_far = world.sandbox.effects().len();
    world.until_more_effects(2).await;
    let since = &world.sandbox.effects()[so_far..];
    assert!(since.iter().all(|it| it.input == "new"), "{since:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_and_made_again_within_two_seconds_is_an_edit() {
    let (world, daemon) = started().await;
    world.schedule("a", &every_second("before"));
    world.until_effect(|it| it.input == "before").await;
    fs::remove_file(world.path("schedules/a.toml")).expect("a file");
    world.until_more_effects(1).await;
    world.schedule("a", &every_second("after"));
    world.until_effect(|it| it.input == "after").await;
    // Past the time after which it would have been gone.
    world.until_more_effects(2).await;
    check_versions(&world, &["before", "after"]);
    let (_, log) = daemon.terminate();
    assert!(log.iter().any(|line| reloaded(line, "changed", "a")));
    assert!(!log.iter().any(|line| line["what"] == "removed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_when_its_file_goes_ends_as_removed() {
    let (world, daemon) = started().await;
    world.sandbox.fault(FaultKind::Status {
        status: 503,
        retry_after: None,
    });
    let waits = "[retry]\nfirst_delay = \"4m\"\n";
    world.schedule("a", &format!("{}{waits}", every_second("x")));
    let failed = daemon.says("attempt failed");
    fs::remove_file(world.path("schedules/a.toml")).expect("a file");
    let ended = daemon.until(|line| line["reason"] == "removed");
    assert_eq!(ended["message"], "delivery ended without acceptance");
    assert_eq!(ended["verdict"], "skipped");
    daemon.until(|line| reloaded(line, "removed", "a"));
    assert!(daemon.terminate().0.success());
    let history = world.history();
    assert!(
        history.iter().all(|it| it["verdict"] == "skipped"),
        "{history:#?}"
    );
    assert!(
        history
            .iter()
            .any(|it| it["idempotency_key"] == failed["idempotency_key"]),
        "{history:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_swap_is_seen() {
    let world = World::new().await;
    for (version, text) in [("..1", NEVER_SOON), ("..2", EVERY_SECOND)] {
        fs::create_dir(world.path("schedules").join(version)).expect("a folder");
        fs::write(world.path("schedules").join(version).join("a.toml"), text).expect("a file");
    }
    symlink("..1", world.path("schedules/..data")).expect("a link");
    symlink("..data/a.toml", world.path("schedules/a.toml")).expect("a link");
    let daemon = world.daemon();
    daemon.says("triggerd started");
    symlink("..2", world.path("schedules/..data_tmp")).expect("a link");
    fs::rename(
        world.path("schedules/..data_tmp"),
        world.path("schedules/..data"),
    )
    .expect("a rename");
    daemon.until(|line| reloaded(line, "changed", "a"));
    world.sandbox.until_effects(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_file_is_watched_too() {
    let world = World::new().await;
    fs::write(world.path("schedules/a.md"), "before").expect("a file");
    world.schedule("a", "cron = \"* * * * * *\"\ninput_file = \"a.md\"\n");
    let daemon = world.daemon();
    world.until_effect(|it| it.input == "before").await;
    fs::write(world.path("schedules/a.md"), "after").expect("a file");
    daemon.until(|line| reloaded(line, "changed", "a"));
    world.until_effect(|it| it.input == "after").await;
    check_versions(&world, &["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn triggerd_toml_is_reloaded_and_so_are_the_agents_it_names() {
    const OTHER: &str = "agtch_000000000000000000000000000000aa";
    let world = World::new().await;
    let agent = AgentChange {
        trigger_id: Some(OTHER.into()),
        shared_with: Some(vec!["*".into()]),
        ..AgentChange::default()
    };
    world.sandbox.set_agent(agent).expect("an agent");
    let toml = |id: &str| format!("[agents.revenue]\ntrigger_id = \"{id}\"\n");
    fs::write(world.path("triggerd.toml"), toml(TRIGGER_ID)).expect("a file");
    world.schedule("a", &format!("agent = \"revenue\"\n{EVERY_SECOND}"));
    let daemon = world.daemon();
    world.sandbox.until_effects(1).await;
    fs::write(world.path("triggerd.toml"), toml(OTHER)).expect("a file");
    daemon.says("triggerd.toml is in force as it is now");
    daemon.until(|line| line["message"] == "trigger accepted" && line["trigger_id"] == OTHER);

    fs::write(
        world.path("triggerd.toml"),
        "[agents.revenue]\ntriger_id = 1\n",
    )
    .expect("a file");
    daemon.says("triggerd.toml can't be used; what was in force before stays");
    let effects = world.sandbox.effects().len();
    world.sandbox.until_effects(effects + 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_defaults_reach_the_files_that_say_nothing_of_their_own() {
    let world = World::new().await;
    let defaults = |system: &str| format!("[defaults.event]\nsource_system = \"{system}\"\n");
    let of = |system: &str| format!("Source system: {system}");
    world.settings(&defaults("before"));
    world.schedule("a", EVERY_SECOND);
    let _daemon = world.daemon();
    world
        .until_effect(|it| it.input.contains(&of("before")))
        .await;
    world.settings(&defaults("after"));
    world
        .until_effect(|it| it.input.contains(&of("after")))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_everything_again() {
    let world = World::new().await;
    // Nothing else would find the change in time.
    world.settings("watch = \"poll:1h\"\n[chores]\nrescan = \"\"\n");
    world.schedule("a", &every_second("before"));
    let daemon = world.daemon();
    world.until_effect(|it| it.input == "before").await;
    world.schedule("a", &every_second("after"));
    world.until_more_effects(2).await;
    check_versions(&world, &["before"]);
    daemon.signal(Signal::HUP);
    daemon.says("SIGHUP: everything is read again");
    daemon.until(|line| reloaded(line, "changed", "a"));
    world.until_effect(|it| it.input == "after").await;
    assert!(daemon.terminate().0.success(), "it is no reason to end");
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_is_caught_from_the_start_on() {
    let (_world, daemon) = started().await;
    daemon.signal(Signal::HUP);
    daemon.says("SIGHUP: everything is read again");
    assert!(daemon.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_goes_and_comes_back_ends_nothing() {
    let (world, daemon) = started().await;
    world.schedule("a", &every_second("before"));
    world.until_effect(|it| it.input == "before").await;
    fs::rename(world.path("schedules"), world.path("away")).expect("a rename");
    let problem = daemon.says("schedule file has a problem");
    assert_eq!(problem["level"], "ERROR");
    let text = problem["problem"].as_str().unwrap_or_default();
    assert!(
        text.starts_with("the schedules folder can't be read"),
        "{problem}"
    );
    // Longer than after what a file would be gone.
    world.until_more_effects(3).await;
    fs::rename(world.path("away"), world.path("schedules")).expect("a rename");
    daemon.says("the schedules folder can be read again");
    world.schedule("a", &every_second("after"));
    daemon.until(|line| reloaded(line, "changed", "a"));
    world.until_effect(|it| it.input == "after").await;
    world.until_more_effects(2).await;
    check_versions(&world, &["before", "after"]);
    assert!(!daemon.log().iter().any(|line| line["what"] == "removed"));
}
