use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::Folder;

#[test]
fn good_files_are_counted_and_exit_with_0() {
    assert_snapshot!(Folder::with_weekly().triggerd("check").run(), @"
    1 valid schedule; no problems
    [0]
    ");
}

#[test]
fn warnings_and_notes_are_no_errors() {
    let folder = Folder::with_weekly().schedule(
        "off",
        "cron = \"@daily\"\nenabled = false\ntrigger_id = \"agt_1\"\ninput = \"x\"\n",
    );
    assert_snapshot!(folder.triggerd("check").run(), @r#"
    note: it is disabled: it does not fire
     --> schedules/off.toml:2:11
      |
    2 | enabled = false
      |           ^^^^^

    warning: `trigger_id` `agt_1` has an unusual form
     --> schedules/off.toml:3:14
      |
    3 | trigger_id = "agt_1"
      |              ^^^^^^^
      |
      = help: this is an agent's id; triggers need the id of its API channel, which starts with `agtch_`

    2 valid schedules; 1 warning, 1 note in 1 file
    [0]
    "#);
}

#[test]
fn an_error_in_one_file_leaves_the_others_valid_and_exits_with_1() {
    let folder = Folder::with_weekly().schedule("broken", "cron = \"61 7 * * *\"\ninput = \"x\"\n");
    assert_snapshot!(folder.triggerd("check").run(), @r#"
    error: minute 61 is outside 0-59
     --> schedules/broken.toml:1:9
      |
    1 | cron = "61 7 * * *"
      |         ^^
      |
      = help: for minute 1 write `1 7 * * *`

    1 valid schedule; 1 error in 1 file
    [1]
    "#);
    assert_snapshot!(folder.triggerd("check schedules/weekly-report.toml").run(), @"
    1 valid schedule; no problems
    [0]
    ");
}

#[test]
fn json_has_one_shape() {
    let folder = Folder::with_weekly()
        .schedule("broken", "cron = \"61 7 * * *\"\ninput = \"x\"\n")
        .schedule("empty", "");
    let done = folder.triggerd("check --json").run();
    assert_eq!((done.err.as_str(), done.code), ("", 1));
    let answer: Value = serde_json::from_str(&done.out).expect("it is JSON");
    assert_eq!(
        answer,
        json!({ "schedules": 1, "problems": [
            {
                "path": "schedules/broken.toml",
                "severity": "error",
                "message": "minute 61 is outside 0-59",
                "help": "for minute 1 write `1 7 * * *`",
                "line": 1,
                "column": 9,
            },
            {
                "path": "schedules/empty.toml",
                "severity": "error",
                "message": "it does not say what to tell the agent",
                "help": "add `[event]` with `update_text`, or `input`, or `input_file`",
                "line": null,
                "column": null,
            },
            {
                "path": "schedules/empty.toml",
                "severity": "error",
                "message": "it does not say when to fire",
                "help": "add `cron = \"0 9 * * MON-FRI\"`, or `at = 2026-12-24T18:00:00` for once",
                "line": null,
                "column": null,
            },
        ] })
    );
}

#[test]
fn without_a_trigger_id_it_says_where_one_goes() {
    let folder = Folder::with_weekly();
    let done = folder
        .triggerd("check")
        .without("WORKSPACE_AGENT_TRIGGER_ID")
        .run();
    assert_snapshot!(done, @r#"
    error: it does not say which agent to wake
    --> schedules/weekly-report.toml
     = help: add `trigger_id = "agtch_…"` or `agent = "…"`, or set WORKSPACE_AGENT_TRIGGER_ID

    0 valid schedules; 1 error in 1 file
    [1]
    "#);
}

#[test]
fn whatever_lies_in_the_folder_is_named() {
    let folder = Folder::with_weekly()
        .file("schedules/README.md", "not a schedule")
        .file("schedules/.hidden.toml", "not a schedule")
        .file("schedules/backup.toml~", "not a schedule")
        .schedule("Weekly Report", "")
        .schedule("huge", &"#".repeat(5 << 20));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path("schedules/fifo.toml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a fifo can be made");
    fs::create_dir(folder.path("schedules/folder.toml")).expect("it can be made");
    fs::write(folder.path("schedules/latin1.toml"), b"cron = \"\xe4\"").expect("it can be written");
    symlink("nowhere.toml", folder.path("schedules/link.toml")).expect("a link can be made");
    assert_snapshot!(folder.triggerd("check").run(), @"
    error: `Weekly Report` is no schedule name: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`, beginning with a letter or digit
    --> schedules/Weekly Report.toml
     = help: rename the file

    error: it is a fifo, not a file
    --> schedules/fifo.toml
     = help: put a readable schedule file in its place, or delete it

    error: it is a folder, not a file
    --> schedules/folder.toml
     = help: put a readable schedule file in its place, or delete it

    error: it has 5242880 bytes; at most 1048576 are read
    --> schedules/huge.toml
     = help: put a readable schedule file in its place, or delete it

    error: byte 8 is not UTF-8
    --> schedules/latin1.toml
     = help: put a readable schedule file in its place, or delete it

    error: it is a link to `nowhere.toml`, which is not there
    --> schedules/link.toml
     = help: put a readable schedule file in its place, or delete it

    1 valid schedule; 6 errors in 6 files
    [1]
    ");
}

#[test]
fn an_unreadable_file_is_named() {
    let folder = Folder::new().schedule("secret", "");
    let path = folder.path("schedules/secret.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("it is ours");
    if fs::read(&path).is_ok() {
        // Permissions bind everyone but root.
        return;
    }
    assert_snapshot!(folder.triggerd("check").run(), @"
    error: it can't be read: permission denied
    --> schedules/secret.toml
     = help: put a readable schedule file in its place, or delete it

    0 valid schedules; 1 error in 1 file
    [1]
    ");
}

#[test]
fn what_is_not_there_is_told() {
    let folder = Folder::with_weekly();
    assert_snapshot!(folder.triggerd("check schedules/monthly.toml").run(), @"
    error: there is no such file or folder
    --> schedules/monthly.toml
     = help: name another, or set `schedules` or `--schedules` to the folder

    0 valid schedules; 1 error in 1 file
    [1]
    ");
    assert_snapshot!(folder.triggerd("check --schedules nowhere").run(), @"
    error: there is no such file or folder
    --> nowhere
     = help: name another, or set `schedules` or `--schedules` to the folder

    0 valid schedules; 1 error in 1 file
    [1]
    ");
    assert_snapshot!(folder.triggerd("check --config nowhere.toml").run(), @"
    error: it can't be read: it is not there
    --> nowhere.toml
     = help: make it readable, or name another with `--config`

    no schedule looked at, for errors in the settings; 1 error in 1 file
    [1]
    ");
}

#[test]
fn an_empty_folder_is_told() {
    assert_snapshot!(Folder::new().triggerd("check").run(), @"
    warning: the folder has no schedules
    --> schedules
     = help: put a file such as `weekly-report.toml` into it, or name another folder

    0 valid schedules; 1 warning in 1 file
    [0]
    ");
}

#[test]
fn the_flag_names_the_settings_before_the_environment_and_the_usual_place() {
    #[track_caller]
    fn check(triggerd: super::Triggerd, expected: &str) {
        let done = triggerd.run();
        assert_eq!((done.code, done.err.as_str()), (1, ""));
        assert!(done.out.contains(&format!("--> {expected}:1:1")), "{done}");
    }
    let folder = Folder::with_weekly()
        .file("triggerd.toml", "usual = 1\n")
        .file("of-env.toml", "env = 1\n")
        .file("of-flag.toml", "flag = 1\n");
    let of_env = |line: &str| folder.triggerd(line).env("TRIGGERD_CONFIG", "of-env.toml");
    check(folder.triggerd("check"), "triggerd.toml");
    check(of_env("check"), "of-env.toml");
    check(of_env("check --config of-flag.toml"), "of-flag.toml");
}

#[test]
fn the_settings_are_no_schedule() {
    let folder = Folder::with_weekly().file("triggerd.toml", "namespace = \"prod\"\n");
    for name in [
        "triggerd.toml",
        "./triggerd.toml",
        "schedules/../triggerd.toml",
    ] {
        let done = folder.triggerd(&format!("check {name}")).run();
        let expected = ("0 valid schedules; no problems\n", 0);
        assert_eq!((done.out.as_str(), done.code), expected, "{name}");
    }
}

#[test]
fn each_file_is_looked_at_once() {
    let folder = Folder::with_weekly();
    let line = "check schedules/weekly-report.toml schedules ./schedules schedules/../schedules/weekly-report.toml";
    assert_snapshot!(folder.triggerd(line).run(), @"
    1 valid schedule; no problems
    [0]
    ");
    let line = "check schedules/weekly-report.toml ./schedules/weekly-report.toml";
    assert_snapshot!(folder.triggerd(line).run(), @"
    1 valid schedule; no problems
    [0]
    ");
}
