use insta::assert_snapshot;

use super::{Folder, sandbox, steady};
use crate::support::Daemon;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_state_is_refused() {
    let sandbox = sandbox().await;
    let folder = Folder::with_weekly();
    let daemon = Daemon::start(folder.daemon(&sandbox));
    daemon.says("triggerd started");
    let done = folder
        .triggerd("run --log-format text")
        .against(&sandbox)
        .run_beside()
        .await;
    assert!(daemon.terminate().0.success());
    let _guard = steady();
    assert_snapshot!(done, @"
    | error: the state folder `state` is in use by another triggerd (pid [PID]); stop that one, or set another `state` for this one
    [1]
    ");
    sandbox.shutdown().await;
}

#[test]
fn settings_that_can_not_be_used_stop_the_start() {
    let folder = Folder::with_weekly().file("triggerd.toml", "state = 1\nnamespce = \"x\"\n");
    assert_snapshot!(folder.triggerd("run").run(), @r#"
    | error: the settings can't be used
    | error: `state` is the number 1, not a string
    |  --> triggerd.toml:1:9
    |   |
    | 1 | state = 1
    |   |         ^
    | 
    | error: unknown key `namespce`
    |  --> triggerd.toml:2:1
    |   |
    | 2 | namespce = "x"
    |   | ^^^^^^^^
    |   |
    |   = help: did you mean `namespace`
    [1]
    "#);
}

#[test]
fn a_state_folder_that_can_not_be_made_stops_the_start() {
    let folder = Folder::with_weekly().file("state", "a file");
    assert_snapshot!(folder.triggerd("run --log-format text").run(), @"
    | error: the state folder `state` can't be made: File exists (os error 17); make it, and give it to the user that runs triggerd
    [1]
    ");
}
