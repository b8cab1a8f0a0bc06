//! Files that are added, edited, broken, mended, renamed and deleted while the daemon runs.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;
use triggerd::sandbox::{AgentChange, TRIGGER_ID};

use crate::support::{Daemon, EVERY_SECOND, World};

const NEVER_SOON: &str = "cron = \"0 0 1 1 *\"\n[event]\nupdate_text = \"x\"\n";

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
    world.sandbox.until_effects(2).await;
    fs::remove_file(world.path("schedules/second.toml")).expect("a file");
    daemon.until(|line| reloaded(line, "removed", "second"));
    let effects = world.sandbox.effects().len();
    world.schedule("third", EVERY_SECOND);
    world.sandbox.until_effects(effects + 2).await;
    let of_second = |effects: usize| {
        let all = world.sandbox.effects();
        all[effects..]
            .iter()
            .filter(|it| {
                it.idempotency_key
                    .as_deref()
                    .is_some_and(|key| key.starts_with("second"))
            })
            .count()
    };
    assert_eq!(of_second(effects), 0, "nothing after its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_its_last_good_version_firing_also_over_a_restart() {
    let (world, daemon) = started().await;
    world.schedule("a", EVERY_SECOND);
    world.sandbox.until_effects(1).await;
    world.schedule("a", "cron = \"61 * * * *\"\n[event]\nupdate_text = \"x\"\n");
    let problem = daemon.says("schedule file has a problem");
    assert_eq!(problem["line"], 1);
    assert_eq!(problem["column"], 9);
    assert!(
        problem["file"]
            .as_str()
            .is_some_and(|file| file.ends_with("a.toml"))
    );
    assert!(problem["help"].is_string());
    let effects = world.sandbox.effects().len();
    world.sandbox.until_effects(effects + 2).await;

    assert!(daemon.terminate().0.success());
    let effects = world.sandbox.effects().len();
    let again = world.daemon();
    world.sandbox.until_effects(effects + 2).await;
    world.schedule("a", &EVERY_SECOND.replace("hello", "mended"));
    again.until(|line| reloaded(line, "changed", "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_rename_is_an_edit_and_a_new_name_is_a_new_schedule() {
    let (world, daemon) = started().await;
    fs::write(world.path("schedules/.first.toml.tmp"), EVERY_SECOND).expect("a file");
    fs::rename(
        world.path("schedules/.first.toml.tmp"),
        world.path("schedules/first.toml"),
    )
    .expect("a rename");
    daemon.until(|line| reloaded(line, "changed", "first"));
    world.sandbox.until_effects(1).await;
    fs::rename(
        world.path("schedules/first.toml"),
        world.path("schedules/second.toml"),
    )
    .expect("a rename");
    daemon.until(|line| reloaded(line, "added", "second"));
    daemon.until(|line| reloaded(line, "removed", "first"));
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
    world.sandbox.until_effects(1).await;
    fs::write(world.path("schedules/a.md"), "after").expect("a file");
    daemon.until(|line| reloaded(line, "changed", "a"));
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
async fn sighup_reads_everything_again() {
    let (_world, daemon) = started().await;
    daemon.signal("HUP");
    daemon.says("SIGHUP: everything is read again");
    assert!(daemon.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_goes_and_comes_back_ends_nothing() {
    let (world, daemon) = started().await;
    world.schedule("a", EVERY_SECOND);
    world.sandbox.until_effects(1).await;
    fs::rename(world.path("schedules"), world.path("away")).expect("a rename");
    daemon.until(|line| {
        let problem = line["problem"].as_str().unwrap_or_default();
        problem.starts_with("the schedules folder can't be read")
    });
    let effects = world.sandbox.effects().len();
    world.sandbox.until_effects(effects + 3).await;
    fs::rename(world.path("away"), world.path("schedules")).expect("a rename");
    world.schedule("b", NEVER_SOON);
    daemon.until(|line| reloaded(line, "added", "b"));
    assert!(!daemon.log().iter().any(|line| line["what"] == "removed"));
}
