//! What comes after an acceptance: a run that is followed to its end, over a kill as well, and its
//! result where it should be.

use std::time::Duration;

use triggerd::sandbox::{AgentChange, Behaviour};

use crate::support::{EVERY_SECOND, World, once};

const SOON: Duration = Duration::from_secs(2);

fn agent(world: &World, trigger_id: &str, behaviour: Behaviour) {
    let change = AgentChange {
        trigger_id: Some(trigger_id.to_owned()),
        behaviour: Some(behaviour),
        queue_ms: Some(0),
        run_ms: Some(0),
        ..AgentChange::default()
    };
    world.sandbox.set_agent(change).expect("an agent");
}

fn verified(world: &World, trigger_id: &str) -> String {
    format!(
        "trigger_id = \"{trigger_id}\"\n{}output_destination = \"notes\"\n\n\
         [verify]\nurl = \"{}/sandbox/destinations/notes\"\nwithin = \"1s\"\n",
        once(SOON),
        world.sandbox.root_url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_followed_to_its_end_and_its_result_is_looked_up() {
    let world = World::new().await;
    agent(&world, "agtch_good", Behaviour::Completes);
    agent(&world, "agtch_idle", Behaviour::WritesNothing);
    agent(&world, "agtch_bad", Behaviour::FailsRun);
    world.schedule("good", &verified(&world, "agtch_good"));
    world.schedule("idle", &verified(&world, "agtch_idle"));
    world.schedule("bad", &verified(&world, "agtch_bad"));
    let daemon = world.daemon();
    let ended = |name: &str| {
        daemon.until(|line| line["message"] == "run ended" && line["schedule"] == name)
    };
    let good = ended("good");
    assert_eq!(
        (&good["status"], &good["result"]),
        (&"completed".into(), &"confirmed".into())
    );
    let idle = ended("idle");
    assert_eq!(
        (&idle["level"], &idle["result"]),
        (&"ERROR".into(), &"missing".into())
    );
    assert!(
        idle["fix"]
            .as_str()
            .expect("a text")
            .contains("instructions"),
        "{idle}"
    );
    let bad = ended("bad");
    assert_eq!(
        (&bad["status"], &bad["detail"]),
        (&"failed".into(), &"run_failed".into())
    );
    daemon.terminate();
    let history = world.history();
    let run = |name: &str| {
        let of_it = history.iter().find(|entry| entry["schedule"] == name);
        of_it.expect("it is in the ledger")["run"].clone()
    };
    assert_eq!(run("good")["result"], "confirmed");
    assert_eq!(run("idle")["result"], "missing");
    assert_eq!(run("bad")["status"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_is_followed_over_a_kill() {
    let world = World::new().await;
    agent(&world, "agtch_asks", Behaviour::Suspends);
    let text = format!("trigger_id = \"agtch_asks\"\n{}", once(SOON));
    world.schedule("a", &text);
    let daemon = world.daemon();
    let waits = daemon.says("run waits");
    assert!(
        waits["fix"].as_str().expect("a text").contains("approve"),
        "{waits}"
    );
    daemon.kill_9();
    let run_id = waits["run_id"].as_str().expect("a text").to_owned();
    assert!(world.sandbox.approve(&run_id).expect("a run"));
    let daemon = world.daemon();
    let ended = daemon.says("run ended");
    assert_eq!(ended["run_id"], waits["run_id"]);
    assert_eq!(ended["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_way_in_a_queue_is_no_warning() {
    let world = World::new().await;
    agent(&world, "agtch_endless", Behaviour::NeverEnds);
    let queues =
        format!("trigger_id = \"agtch_endless\"\n{EVERY_SECOND}\n[overlap]\npolicy = \"queue\"\n");
    world.schedule("a", &queues);
    let daemon = world.daemon();
    let ended = daemon.says("delivery ended without acceptance");
    assert_eq!(
        (&ended["level"], &ended["reason"]),
        (&"INFO".into(), &"overlap".into())
    );
}
