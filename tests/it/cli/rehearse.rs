use insta::assert_snapshot;
use serde_json::Value;
use triggerd::sandbox::{AgentChange, AgentState, Behaviour, Fault, FaultKind, TRIGGER_ID};

use super::{Folder, sandbox, steady};

#[test]
fn on_its_own_sandbox_all_is_as_expected() {
    let folder = Folder::with_weekly();
    // Neither the token nor the API of the environment is used.
    let call = folder.triggerd("rehearse weekly-report");
    let call = call.without("WORKSPACE_AGENT_ACCESS_TOKEN");
    let done = call
        .env("TRIGGERD_API_BASE_URL", "http://127.0.0.1:1/v1")
        .run();
    assert_snapshot!(done, @"
              sandbox                                           expected                                            got
    ok        happy path                                        202, and the update with the request id is written  202, run completed, and the update is written
    ok        missing request id                                202, and the agent asks for it and writes nothing   202, run suspended, and nothing is written
    ok        the same event again, same key                    202, the first outcome, and nothing queued twice    202, the first outcome
    ok        a token whose owner the agent is not shared with  403                                                 403: The token's owner is not allowed to run this workspace agent.
    ok        a wrong trigger id                                404                                                 404: The workspace agent trigger was not found.
    ok        an agent or channel that is not runnable          409                                                 409: The workspace agent trigger is not currently available.
    [0]
    ");
    let example = Folder::new().triggerd("rehearse").run();
    assert_eq!(example.to_string(), done.to_string());
    assert!(!folder.path("state").exists(), "it keeps no ledger");
}

#[test]
fn a_text_that_names_no_request_id_is_found_out() {
    let folder = Folder::new().schedule("mute", "cron = \"@daily\"\ninput = \"Just do it.\"\n");
    assert_snapshot!(folder.triggerd("rehearse mute").run(), @"
              sandbox                                           expected                                            got
    mismatch  happy path                                        202, and the update with the request id is written  202, run suspended, and no update with the request id is written
    ok        missing request id                                202, and the agent asks for it and writes nothing   202, run suspended, and nothing is written
    ok        the same event again, same key                    202, the first outcome, and nothing queued twice    202, the first outcome
    ok        a token whose owner the agent is not shared with  403                                                 403: The token's owner is not allowed to run this workspace agent.
    ok        a wrong trigger id                                404                                                 404: The workspace agent trigger was not found.
    ok        an agent or channel that is not runnable          409                                                 409: The workspace agent trigger is not currently available.
    [1]
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_wakes_the_schedules_agent_and_leaves_out_what_it_can_not_try() {
    let sandbox = sandbox().await;
    let folder = Folder::with_weekly();
    let call = || {
        folder
            .triggerd("rehearse weekly-report --live")
            .against(&sandbox)
    };
    let done = call().run_beside().await;
    let _guard = steady();
    assert_snapshot!(done, @"
              live                                              expected                                           got
    ok        happy path                                        202, and a completed run                           202, run completed; look for `weekly-report-manual-[TIME]` in the destination
    ok        missing request id                                202, and the agent asks for it and writes nothing  202, run suspended; look at the conversation and the destination
    ok        the same event again, same key                    202, the first outcome, and nothing queued twice   202, the first outcome
    left out  a token whose owner the agent is not shared with  403                                                not tried: it takes the token of somebody else
    ok        a wrong trigger id                                404                                                404: The workspace agent trigger was not found.
    left out  an agent or channel that is not runnable          409                                                not tried: it takes an agent that is not published
    [0]
    ");
    assert_eq!(sandbox.effects().len(), 2);
    assert!(
        sandbox
            .effects()
            .iter()
            .all(|it| it.trigger_id == TRIGGER_ID)
    );

    let failing = AgentChange {
        trigger_id: Some(TRIGGER_ID.into()),
        behaviour: Some(Behaviour::FailsRun),
        ..AgentChange::default()
    };
    sandbox.set_agent(failing).expect("it is there");
    assert_snapshot!(call().run_beside().await, @"
              live                                              expected                                           got
    mismatch  happy path                                        202, and a completed run                           202, run failed; look for `weekly-report-manual-[TIME]` in the destination
    mismatch  missing request id                                202, and the agent asks for it and writes nothing  202, run failed; look at the conversation and the destination
    ok        the same event again, same key                    202, the first outcome, and nothing queued twice   202, the first outcome
    left out  a token whose owner the agent is not shared with  403                                                not tried: it takes the token of somebody else
    ok        a wrong trigger id                                404                                                404: The workspace agent trigger was not found.
    left out  an agent or channel that is not runnable          409                                                not tried: it takes an agent that is not published
    [1]
    ");

    let hidden = AgentChange {
        trigger_id: Some(TRIGGER_ID.into()),
        state: Some(AgentState::Hidden),
        ..AgentChange::default()
    };
    sandbox.set_agent(hidden).expect("it is there");
    assert_snapshot!(call().run_beside().await, @"
              live                                              expected                                           got
    mismatch  happy path                                        202, and a completed run                           404: The workspace agent trigger was not found.
    mismatch  missing request id                                202, and the agent asks for it and writes nothing  404: The workspace agent trigger was not found.
    mismatch  the same event again, same key                    202, the first outcome, and nothing queued twice   404: The workspace agent trigger was not found.
    left out  a token whose owner the agent is not shared with  403                                                not tried: it takes the token of somebody else
    ok        a wrong trigger id                                404                                                404: The workspace agent trigger was not found.
    left out  an agent or channel that is not runnable          409                                                not tried: it takes an agent that is not published
    [1]
    ");
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_one_shape() {
    let sandbox = sandbox().await;
    let rejects = FaultKind::Status {
        status: 400,
        retry_after: None,
    };
    sandbox.fault(Fault::from(rejects).times(1));
    let folder = Folder::with_weekly();
    let call = folder.triggerd("rehearse weekly-report --live --json");
    let done = call.against(&sandbox).run_beside().await;
    assert_eq!((done.err.as_str(), done.code), ("", 1));
    let answer: Value = serde_json::from_str(&done.out).expect("it is JSON");
    assert_eq!(answer["on"], "live", "{done}");
    let results: Vec<_> = answer["rows"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| row["result"].as_str().expect("a word"))
        .collect();
    assert_eq!(
        results,
        ["mismatch", "ok", "mismatch", "left_out", "ok", "left_out"]
    );
    assert_eq!(answer["rows"][4]["test"], "a wrong trigger id");
    assert_eq!(answer["rows"][4]["expected"], "404");
    sandbox.shutdown().await;
}
