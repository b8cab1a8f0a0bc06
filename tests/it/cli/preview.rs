use insta::assert_snapshot;

use super::Folder;

#[test]
fn the_exact_request_is_shown_without_the_token() {
    let folder = Folder::with_weekly();
    let done = folder
        .triggerd("preview weekly-report --at 2026-11-30T09:00:00")
        .run();
    assert_snapshot!(done, @r#"
    POST https://api.chatgpt.com/v1/workspace_agents/agtch_5a6d0b0c1e2f48739a4b5c6d7e8f9012/trigger
    Authorization: Bearer ***
    User-Agent: triggerd/0.1.0 (scheduler for ChatGPT Workspace Agents)
    Content-Type: application/json
    Idempotency-Key: weekly-report-20261130T0900-b26b2c19a9193a17
    OpenAI-Beta: workspace_agent_runs=v1

    {"conversation_key":"weekly-report-20261130T0900","input":"Request ID: weekly-report-20261130T0900\nSource system: triggerd\nSubmitted at: 2026-11-30T09:00:00+01:00\nOutput destination: #revenue\nUpdate text: Summarise since 2026-11-23T09:00:00+01:00.\n\nWrite this update to the output destination named above, starting with this exact line:\nWorkspace Agent API demo received: weekly-report-20261130T0900\n"}

    The input, as the agent reads it:

    Request ID: weekly-report-20261130T0900
    Source system: triggerd
    Submitted at: 2026-11-30T09:00:00+01:00
    Output destination: #revenue
    Update text: Summarise since 2026-11-23T09:00:00+01:00.

    Write this update to the output destination named above, starting with this exact line:
    Workspace Agent API demo received: weekly-report-20261130T0900
    [0]
    "#);
    assert!(!done.out.contains(triggerd::sandbox::TOKEN));
}

#[test]
fn what_is_not_due_is_told_with_the_next_one() {
    let folder = Folder::with_weekly();
    let done = folder
        .triggerd("preview weekly-report --at 2026-12-24T09:00:00Z")
        .run();
    assert_snapshot!(done, @"
    | error: `weekly-report` is not due at 2026-12-24T10:00:00+01:00; its next occurrence after that is at 2026-12-28T09:00:00+01:00
    [1]
    ");
}

#[test]
fn settings_that_can_not_be_used_are_drawn() {
    let folder = Folder::with_weekly().file("triggerd.toml", "namespace = \"Production EU\"\n");
    assert_snapshot!(folder.triggerd("preview weekly-report").run(), @r#"
    | error: the settings can't be used
    | error: `Production EU` is no namespace: at most 16 of `a-z`, `0-9` and `-`
    |  --> triggerd.toml:1:13
    |   |
    | 1 | namespace = "Production EU"
    |   |             ^^^^^^^^^^^^^^^
    |   |
    |   = help: write it with at most 16 lower-case letters, digits and `-`, such as "prod-eu"
    [1]
    "#);
}
