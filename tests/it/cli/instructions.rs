use insta::assert_snapshot;

use super::Folder;

#[test]
fn those_of_a_schedule_name_its_destination_and_marker() {
    let folder = Folder::with_weekly();
    assert_snapshot!(folder.triggerd("instructions weekly-report").run(), @"
    You are triggered by triggerd, without a person present. Each input is one source event.

    1. Find the request id, the source system, the output destination and the update text in the input.
    2. If the request id is missing, ask for it and write nothing.
    3. The source system is `triggerd`. Do what the update text asks for.
    4. Write one short update to `#revenue`. Its first line is exactly this, with the request id of the input:

       Workspace Agent API demo received: <request id>

    5. Never assume a current chat, channel or document. If the destination can't be reached, say so and stop.
    6. Where a write needs approval, ask for it. Then stop: one event, one update.
    [0]
    ");
}

#[test]
fn without_a_schedule_the_input_says_it_all() {
    assert_snapshot!(Folder::new().triggerd("instructions").run(), @"
    You are triggered by triggerd, without a person present. Each input is one source event.

    1. Find the request id, the source system, the output destination and the update text in the input.
    2. If the request id is missing, ask for it and write nothing.
    3. The source system is the one named in the input. Do what the update text asks for.
    4. Write one short update to the output destination named in the input. Its first line is exactly this, with the request id of the input:

       <the marker line of the input>

    5. Never assume a current chat, channel or document. If the destination can't be reached, say so and stop.
    6. Where a write needs approval, ask for it. Then stop: one event, one update.
    [0]
    ");
}

#[test]
fn where_no_destination_is_named_the_key_is() {
    let folder =
        Folder::new().schedule("plain", "cron = \"@daily\"\n[event]\nupdate_text = \"x\"\n");
    let done = folder.triggerd("instructions plain").run();
    assert!(
        done.out
            .contains("Write one short update to the output destination named in the input."),
        "{done}"
    );
    assert_snapshot!(done.err, @"note: `plain` names no destination, nor does its input: set `event.output_destination` in its file or under `[defaults]`, or WORKSPACE_AGENT_OUTPUT_DESTINATION");
}
