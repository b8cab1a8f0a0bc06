//! What machines do to a daemon: stopped and continued, a disk that takes no more, few descriptors, a
//! twin on the same files, and people who save without end.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Daemon, EVERY_SECOND, World, accepted, once};

/// The daemon under a limit of the shell's.
fn limited(world: &World, limit: &str) -> Daemon {
    let plain = world.command(&[]);
    let mut command = Command::new("bash");
    command
        .args([
            "-c",
            &format!("{limit} && exec \"$0\" run --log-format json"),
        ])
        .arg(plain.get_program())
        .current_dir(world.root.path())
        .env_clear()
        .envs(
            plain
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    Daemon::start(command)
}

fn effects_are_single(world: &World) {
    let effects = world.sandbox.effects();
    let keys: BTreeSet<_> = effects.iter().map(|it| &it.idempotency_key).collect();
    assert_eq!(keys.len(), effects.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_over_a_due_time_and_continued_it_fires_once() {
    let world = World::new().await;
    world.schedule("a", &once(Duration::from_secs(3)));
    let daemon = world.daemon();
    daemon.says("triggerd started");
    daemon.signal(Signal::STOP);
    // The due time has to pass while nobody can look.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.sandbox.calls().len(), 0);
    daemon.signal(Signal::CONT);
    let line = daemon.says("trigger accepted");
    assert!(
        line["lateness_ms"].as_i64().is_some_and(|late| late > 0),
        "{line}"
    );
    assert!(daemon.terminate().0.success());
    assert_eq!(world.sandbox.effects().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_more_is_said_and_firing_goes_on() {
    let world = World::new().await;
    world.schedule("a", EVERY_SECOND);
    let daemon = limited(&world, "ulimit -f 120");
    daemon.until(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "ERROR" && message.starts_with("the ledger can't be written")
    });
    let so_far = world.sandbox.effects().len();
    world.sandbox.until_effects(so_far + 3).await;
    let log = daemon.kill_9();
    let told = log.iter().filter(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.starts_with("the ledger can't be written")
    });
    assert_eq!(told.count(), 1, "loud once");

    let second = world.daemon();
    let so_far = world.sandbox.effects().len();
    world.sandbox.until_effects(so_far + 2).await;
    assert!(second.terminate().0.success());
    effects_are_single(&world);
    let in_ledger = world.history();
    let open = in_ledger.iter().filter(|entry| entry["verdict"] == "open");
    assert_eq!(open.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_descriptors_are_enough_to_go_on() {
    let world = World::new().await;
    for n in 0..60 {
        world.schedule(&format!("s{n:02}"), &once(Duration::from_secs(3)));
    }
    let daemon = limited(&world, "ulimit -n 40");
    world.sandbox.until_effects(60).await;
    assert!(daemon.terminate().0.success());
    effects_are_single(&world);
    assert_eq!(world.sandbox.effects().len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_on_the_same_files_doubles_nothing() {
    let world = World::new().await;
    world.schedule("a", EVERY_SECOND);
    let one = world.daemon();
    let two = Daemon::start(world.command(&["run", "--log-format", "json", "--state", "other"]));
    one.says("trigger accepted");
    two.says("trigger accepted");
    world.sandbox.until_calls(10).await;
    let (_, log_one) = one.terminate();
    let (_, log_two) = two.terminate();
    effects_are_single(&world);
    let keys = |log: &[Value]| -> BTreeSet<String> {
        let lines = accepted(log).into_iter();
        lines
            .map(|line| line["idempotency_key"].to_string())
            .collect()
    };
    let both = keys(&log_one).intersection(&keys(&log_two)).count();
    assert!(both >= 3, "{both} occurrences were sent by both");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_saves_in_a_row_leave_the_last_one_in_force_and_others_untouched() {
    let world = World::new().await;
    world.schedule("steady", EVERY_SECOND);
    let daemon = world.daemon();
    world.sandbox.until_effects(1).await;
    for n in 0..100 {
        let text = match n % 3 {
            0 => "cron = \"not yet".to_owned(),
            1 => format!("cron = \"0 0 1 1 *\"\n[event]\nupdate_text = \"{n}\"\n"),
            _ => String::new(),
        };
        world.schedule("edited", &text);
    }
    world.schedule("edited", &EVERY_SECOND.replace("hello", "the last one"));
    daemon.until(|line| line["message"] == "trigger accepted" && line["schedule"] == "edited");
    let (status, log) = daemon.terminate();
    assert!(status.success());
    let mut steady: Vec<i64> = accepted(&log)
        .into_iter()
        .filter(|line| line["schedule"] == "steady")
        .filter_map(|line| {
            line["scheduled_at"]
                .as_str()?
                .parse::<jiff::Timestamp>()
                .ok()
        })
        .map(|at| at.as_second())
        .collect();
    steady.sort_unstable();
    let unbroken: Vec<i64> = (steady[0]..=steady[steady.len() - 1]).collect();
    assert_eq!(steady, unbroken);
}
