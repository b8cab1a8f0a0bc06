use insta::assert_snapshot;
use serde_json::{Value, json};
use triggerd::sandbox::{AgentChange, Behaviour, TRIGGER_ID};

use super::past::Past;
use super::{Folder, steady};
use crate::support::World;

/// Due once, so late that its time is still to come.
fn once(when: &str) -> String {
    format!("at = {when}\ninput = \"x\"\n")
}

/// All that was missed from 2021 to 2023 is still owed.
const YEARLY: &str = "cron = \"0 9 1 1 *\"\nend = 2023-12-31\ninput = \"x\"\n\n\
                      [missed]\nwithin = \"20000d\"\n";

/// In force since 2020, and settled until June of that year.
fn in_force(folder: &Folder, names: &[&str]) {
    for name in names {
        Past::of(folder, name)
            .began("2020-01-01T00:00:00Z")
            .settled_until("2020-06-01T00:00:00Z")
            .record(folder);
    }
}

#[test]
fn what_the_folder_would_change_is_told() {
    let folder = Folder::new()
        .schedule("same", &once("2100-01-01T09:00:00"))
        .schedule("later", &once("2100-01-01T09:00:00"))
        .schedule("reworded", &once("2100-01-01T09:00:00"))
        .schedule("off", &once("2100-01-01T09:00:00"))
        .schedule("gone", &once("2100-01-01T09:00:00"))
        .schedule("broken", &once("2100-01-01T09:00:00"))
        .schedule(
            "weekly",
            "cron = \"0 9 * * MON\"\nend = 2020-12-31\ninput = \"x\"\n",
        );
    in_force(
        &folder,
        &["same", "later", "reworded", "off", "gone", "broken"],
    );
    Past::of(&folder, "weekly")
        .began("2020-01-01T00:00:00Z")
        .tried("2020-02-17T09:00:00Z")
        .record(&folder);
    let folder = folder
        .schedule("later", &once("2101-01-01T09:00:00"))
        .schedule(
            "reworded",
            "at = 2100-01-01T09:00:00\njitter = \"5m\"\ninput = \"y\"\n[retry]\nmax_delay = \"1m\"\n",
        )
        .schedule("off", &format!("enabled = false\n{}", once("2100-01-01T09:00:00")))
        .schedule("broken", "at = 2100\n")
        .schedule("new", &once("2100-02-01T09:00:00"))
        .schedule("new-off", &format!("enabled = false\n{}", once("2100-02-01T09:00:00")))
        .schedule("new-broken", "cron = \"nonsense\"\ninput = \"x\"\n");
    for name in ["gone", "weekly"] {
        let file = folder.path(&format!("schedules/{name}.toml"));
        std::fs::remove_file(file).expect("it is there");
    }
    assert_snapshot!(folder.triggerd("plan").run(), @"
    broken    broken      its last good version stays in force; next 2100-01-01T09:00:00Z; `triggerd check` shows what is wrong
    gone      gone        not at 2100-01-01T09:00:00Z
    changed   later       when; next 2101-01-01T09:00:00Z instead of 2100-01-01T09:00:00Z
    added     new         next 2100-02-01T09:00:00Z
    broken    new-broken  it is not in force, nor will be; `triggerd check` shows what is wrong
    disabled  off         not at 2100-01-01T09:00:00Z
    changed   reworded    jitter, text, policies; next 2100-01-01T09:00:00Z
    gone      weekly      it was not due again; 1 waiting delivery ends as `removed`
    1 schedule unchanged

    No daemon runs: this is against what the last one had in force, by the `[defaults]` and agents of now.
    The next start fires nothing at once.
    [0]
    ");
}

#[test]
fn what_the_next_start_catches_up_is_told() {
    let all = YEARLY.replace("[missed]\n", "[missed]\ncatch_up = \"all\"\nat_most = 2\n");
    let folder = Folder::new()
        .schedule("latest", YEARLY)
        .schedule("all", &all)
        .schedule(
            "none",
            &YEARLY.replace("[missed]\n", "[missed]\ncatch_up = \"none\"\n"),
        )
        .schedule("too-old", &once("2021-03-01T09:00:00"))
        // Neither owes anything: it is new, and it will be disabled.
        .schedule("off", YEARLY);
    in_force(&folder, &["latest", "all", "none", "too-old", "off"]);
    let folder = folder
        .schedule("off", &format!("enabled = false\n{YEARLY}"))
        .schedule("new", YEARLY);
    assert_snapshot!(folder.triggerd("plan").run(), @"
    added     new  never due again
    disabled  off  it was not due again
    4 schedules unchanged

    No daemon runs: this is against what the last one had in force, by the `[defaults]` and agents of now.
    The next start fires 3 occurrences at once:
      2022-01-01T09:00:00Z  all
      2023-01-01T09:00:00Z  all
      2023-01-01T09:00:00Z  latest

    It skips:
      2021-01-01T09:00:00Z  all  superseded
      2022-01-01T09:00:00Z  latest  superseded  2 occurrences since 2021-01-01T09:00:00Z
      2023-01-01T09:00:00Z  none  missed  3 occurrences since 2021-01-01T09:00:00Z
      2021-03-01T09:00:00Z  too-old  missed
    [0]
    ");
}

#[test]
fn without_a_ledger_all_is_new() {
    let folder = Folder::new().schedule("a", &once("2100-01-01T09:00:00"));
    assert_snapshot!(folder.triggerd("plan").run(), @"
    added     a  next 2100-01-01T09:00:00Z
    0 schedules unchanged

    There is no ledger yet: the first start owes nothing from before.
    [0]
    ");
}

#[test]
fn another_folder_is_compared_and_json_has_one_shape() {
    let folder = Folder::new()
        .schedule("a", &once("2100-01-01T09:00:00"))
        .schedule("b", YEARLY);
    in_force(&folder, &["a", "b"]);
    std::fs::create_dir(folder.path("other")).expect("a folder");
    let folder = folder
        .file("other/a.toml", &once("2100-01-02T09:00:00"))
        .file("other/b.toml", YEARLY);
    let done = folder.triggerd("plan --schedules other --json").run();
    assert_eq!((done.err.as_str(), done.code), ("", 0));
    let answer: Value = serde_json::from_str(&done.out).expect("it is JSON");
    assert_eq!(
        answer,
        json!({
            "ledger": "state",
            "daemon_runs": false,
            "changes": [{
                "schedule": "a",
                "change": "changed",
                "what": ["when"],
                "next": "2100-01-02T09:00:00Z",
                "next_before": "2100-01-01T09:00:00Z",
                "waiting": 0,
            }],
            "unchanged": 1,
            "at_once": [{
                "schedule": "b",
                "local": "2023-01-01T09:00:00Z",
                "scheduled_at_utc": "2023-01-01T09:00:00Z",
            }],
            "skipped": [{
                "schedule": "b",
                "reason": "superseded",
                "first": "2021-01-01T09:00:00Z",
                "last": "2022-01-01T09:00:00Z",
                "count": 2,
            }],
            "active": [],
            "limited": [],
            "pauses": [],
            "breakers": [],
        })
    );
}

fn runs_never_end(world: &World) {
    let never_ends = AgentChange {
        trigger_id: Some(TRIGGER_ID.to_owned()),
        behaviour: Some(Behaviour::NeverEnds),
        ..AgentChange::default()
    };
    world.sandbox.set_agent(never_ends).expect("an agent");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_daemon_nothing_is_caught_up() {
    let world = World::new().await;
    runs_never_end(&world);
    world.schedule("a", &once("2100-01-01T09:00:00"));
    let daemon = world.daemon();
    daemon.says("control socket listens");
    // Facts are written in their order: what was put into force before is in the ledger then.
    assert!(world.run(&["trigger", "a"]).status.success());
    std::fs::create_dir(world.path("other")).expect("a folder");
    std::fs::write(world.path("other/a.toml"), YEARLY).expect("a file");
    let output = world.run(&["plan", "--schedules", "other"]);
    let out = String::from_utf8(output.stdout).expect("text");
    let _guard = steady();
    assert_snapshot!(out, @"
    changed   a  when, policies; never due again instead of 2100-01-01T09:00:00Z
    0 schedules unchanged

    A daemon runs: what is due, it fires as it comes.
    active: a, 1 run not ended; its `[overlap]` is `allow`
    ");
}

/// As it is run, beside a sandbox in this process.
async fn out_of(world: &World, args: &[&str]) -> String {
    let mut command = world.command(args);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("the binary runs");
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_daemon_says_what_is_in_force_and_what_keeps_it_from_firing() {
    let world = World::new().await;
    runs_never_end(&world);
    world.settings("[defaults]\njitter = \"1m\"\n");
    let overlap = "[overlap]\npolicy = \"queue\"\n[limits]\nper_day = 1\n";
    world.schedule("a", &format!("{}{overlap}", once("2100-01-01T09:00:00")));
    world.schedule(
        "b",
        &format!("jitter = \"2m\"\n{}", once("2100-01-01T09:00:00")),
    );
    let daemon = world.daemon();
    daemon.says("control socket listens");
    out_of(&world, &["trigger", "a"]).await;
    out_of(&world, &["pause", "b"]).await;
    assert_snapshot!(out_of(&world, &["plan"]).await, @"
    2 schedules unchanged

    A daemon runs: what is due, it fires as it comes.
    active: a, 1 run not ended; its `[overlap]` is `queue`
    limited: a, until its hour or day is over
    paused: b, until it is resumed
    ");

    // Defaults and agents are part of what is in force.
    std::fs::write(
        world.path("other.toml"),
        "[agents.new]\ntrigger_id = \"agtch_0123456789abcdef0123456789abcdef\"\n[defaults]\nagent = \"new\"\njitter = \"3m\"\n",
    )
    .expect("a file");
    assert_snapshot!(out_of(&world, &["plan", "--config", "other.toml"]).await, @"
    changed   a  jitter, agent; next 2100-01-01T09:00:00Z
    changed   b  agent; next 2100-01-01T09:00:00Z
    0 schedules unchanged

    A daemon runs: what is due, it fires as it comes.
    active: a, 1 run not ended; its `[overlap]` is `queue`
    limited: a, until its hour or day is over
    paused: b, until it is resumed
    ");
}
