use std::fs;
use std::io::Write;

use tokio::net::TcpListener;
use triggerd::api::wire::RunStatus;
use triggerd::sandbox::{
    AgentChange, Behaviour, Conduct, Sandbox, Settings, TOKEN, TRIGGER_ID, TokenChange,
};

use super::{Lab, quick};

fn kept(folder: &tempfile::TempDir, behaviour: Behaviour) -> Settings {
    Settings {
        data: Some(folder.path().join("data")),
        conduct: Conduct {
            behaviour,
            ..quick().conduct
        },
        ..Settings::default()
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn a_known_key_is_known_after_a_restart() {
    let folder = folder();
    let lab = Lab::with(&kept(&folder, Behaviour::Completes)).await;
    let first = lab.trigger().key("k").beta().send().await;
    lab.sandbox
        .until_run(&first.run_id(), RunStatus::Completed)
        .await;
    let (calls, effects) = (lab.sandbox.calls(), lab.sandbox.effects());
    lab.sandbox.shutdown().await;

    let lab = Lab::with(&kept(&folder, Behaviour::Completes)).await;
    assert_eq!(
        (lab.sandbox.calls(), lab.sandbox.effects()),
        (calls, effects)
    );
    let again = lab.trigger().key("k").beta().send().await;
    assert_eq!(again.json(), first.json());
    assert_eq!(lab.sandbox.effects().len(), 1);
    assert_eq!(lab.sandbox.calls().len(), 2);

    let next = lab.trigger().key("l").beta().send().await;
    assert_ne!(next.run_id(), first.run_id());
    assert_ne!(
        next.json()["conversation_url"],
        first.json()["conversation_url"]
    );
}

#[tokio::test]
async fn what_was_accepted_is_on_disk_before_it_is_answered() {
    let folder = folder();
    let lab = Lab::with(&kept(&folder, Behaviour::NeverEnds)).await;
    lab.trigger().key("k").send().await.check_accepted();
    // The first sandbox hasn't ended: what its folder holds now is what SIGKILL would leave.
    let left = self::folder();
    fs::create_dir(left.path().join("data")).expect("a folder");
    fs::write(left.path().join("data/journal.jsonl"), journal(&folder)).expect("a copy");
    let lab = Lab::with(&kept(&left, Behaviour::NeverEnds)).await;
    assert_eq!(lab.sandbox.effects().len(), 1);
}

#[tokio::test]
async fn an_update_is_appended_to_its_destinations_file_once() {
    let folder = folder();
    let settings = kept(&folder, Behaviour::Completes);
    let file = folder.path().join("data/destinations/ops.md");
    let lab = Lab::with(&settings).await;
    lab.trigger().event("A-1").send().await.check_accepted();
    lab.sandbox.until_updates(1).await;
    lab.trigger().event("A-2").send().await.check_accepted();
    lab.sandbox.until_updates(2).await;
    lab.sandbox.shutdown().await;
    let written = fs::read_to_string(&file).expect("a file");
    insta::assert_snapshot!(written, @"
    Workspace Agent API demo received: A-1
    Source system: notebook demo
    Submitted at: 2026-06-18T01:01:01+00:00
    The trigger reached the agent.

    Workspace Agent API demo received: A-2
    Source system: notebook demo
    Submitted at: 2026-06-18T01:01:01+00:00
    The trigger reached the agent.
    ");

    Lab::with(&settings).await.sandbox.shutdown().await;
    assert_eq!(fs::read_to_string(&file).expect("a file"), written);
    // As if a crash had come between the journal and the file.
    fs::remove_file(&file).expect("it was there");
    Lab::with(&settings).await.sandbox.shutdown().await;
    assert_eq!(fs::read_to_string(&file).expect("a file"), written);
}

#[tokio::test]
async fn a_run_that_was_under_way_goes_on_after_a_restart() {
    let folder = folder();
    let lab = Lab::with(&kept(&folder, Behaviour::NeverEnds)).await;
    let run_id = lab.trigger().beta().send().await.run_id();
    lab.sandbox.until_run(&run_id, RunStatus::InProgress).await;
    lab.sandbox.shutdown().await;

    let lab = Lab::with(&kept(&folder, Behaviour::Completes)).await;
    lab.sandbox.until_run(&run_id, RunStatus::Completed).await;
    assert_eq!(lab.sandbox.updates().len(), 1);
}

#[tokio::test]
async fn agents_and_tokens_that_were_made_stay() {
    let folder = folder();
    let lab = Lab::with(&kept(&folder, Behaviour::Completes)).await;
    let agent = lab
        .sandbox
        .set_agent(AgentChange::default())
        .expect("it is recorded");
    let token = TokenChange {
        token: "at-other".to_owned(),
        ..TokenChange::default()
    };
    lab.sandbox.set_token(token).expect("it is recorded");
    lab.sandbox.shutdown().await;

    let lab = Lab::with(&kept(&folder, Behaviour::Completes)).await;
    let trigger = lab.trigger().at(&agent.trigger_id).token(Some("at-other"));
    trigger.send().await.check_accepted();
}

#[tokio::test]
async fn a_data_folder_has_one_sandbox_at_a_time() {
    let folder = folder();
    let settings = kept(&folder, Behaviour::Completes);
    let lab = Lab::with(&settings).await;
    let error = start(&settings).await.err().expect("it does not start");
    assert!(
        error.to_string().contains("another sandbox uses"),
        "{error}"
    );
    lab.sandbox.shutdown().await;
    start(&settings).await.expect("it starts");
}

#[tokio::test]
async fn no_token_is_kept() {
    let folder = folder();
    let lab = Lab::with(&kept(&folder, Behaviour::Completes)).await;
    let token = TokenChange {
        token: "at-secret".to_owned(),
        ..TokenChange::default()
    };
    lab.sandbox.set_token(token).expect("it is recorded");
    let trigger = lab.trigger().token(Some("at-secret"));
    trigger.send().await.check_accepted();
    let journal = journal(&folder);
    assert!(journal.contains(TRIGGER_ID));
    assert!(!journal.contains("at-secret") && !journal.contains(TOKEN));
}

#[tokio::test]
async fn a_line_torn_by_a_kill_is_dropped_and_a_bad_one_stops_the_start() {
    let folder = folder();
    let settings = kept(&folder, Behaviour::Completes);
    let lab = Lab::with(&settings).await;
    lab.trigger().key("k").send().await.check_accepted();
    lab.sandbox.until_updates(1).await;
    lab.sandbox.shutdown().await;
    let whole = journal(&folder);

    append(&folder, "{\"record\":\"effect\",\"n\":2");
    Lab::with(&settings).await.sandbox.shutdown().await;
    assert_eq!(journal(&folder), whole);

    append(&folder, "{}\n");
    let error = start(&settings).await.err().expect("it does not start");
    let line = whole.lines().count() + 1;
    assert!(
        error.to_string().contains(&format!("line {line} of ")),
        "{error}"
    );
}

async fn start(settings: &Settings) -> std::io::Result<Sandbox> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Sandbox::start(listener, settings)
}

fn journal(folder: &tempfile::TempDir) -> String {
    fs::read_to_string(folder.path().join("data/journal.jsonl")).expect("a journal")
}

fn append(folder: &tempfile::TempDir, text: &str) {
    let path = folder.path().join("data/journal.jsonl");
    let file = fs::OpenOptions::new().append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .expect("it is appended");
}
