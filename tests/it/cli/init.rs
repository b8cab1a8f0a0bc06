use std::fs;

use insta::assert_snapshot;
use tempfile::TempDir;

use super::{Folder, Triggerd};

/// Without the agent that other tests have in the environment.
fn triggerd(folder: &TempDir, line: &str) -> Triggerd {
    Triggerd::in_folder(folder.path())
        .without("WORKSPACE_AGENT_TRIGGER_ID")
        .args(line.split_whitespace())
}

#[test]
fn what_it_writes_passes_check_and_does_not_fire() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert_snapshot!(triggerd(&folder, "init").run(), @"
    wrote ./triggerd.toml
    wrote ./schedules/hello.toml
    wrote ./schedules/schema.json

    Put your agent's trigger id into triggerd.toml, write `enabled = true` into hello.toml, and then:

      triggerd check
      triggerd preview hello
      WORKSPACE_AGENT_ACCESS_TOKEN=at-… triggerd run
    [0]
    ");
    assert_snapshot!(triggerd(&folder, "check").run(), @r#"
    warning: `agtch_00000000000000000000000000000000` has an unusual form
      --> triggerd.toml:12:14
       |
    12 | trigger_id = "agtch_00000000000000000000000000000000"
       |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: this is the place-holder of `triggerd init`; put the id of your agent's API channel there

    note: it is disabled: it does not fire
     --> schedules/hello.toml:5:11
      |
    5 | enabled = false
      |           ^^^^^

    1 valid schedule; 1 warning, 1 note in 2 files
    [0]
    "#);
    assert_snapshot!(triggerd(&folder, "next").run(), @"[0]");
    let preview = triggerd(&folder, "preview hello").run();
    assert_eq!((preview.err.as_str(), preview.code), ("", 0));
}

#[test]
fn a_folder_is_made_and_the_commands_name_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert_snapshot!(triggerd(&folder, "init of/mine").run(), @"
    wrote of/mine/triggerd.toml
    wrote of/mine/schedules/hello.toml
    wrote of/mine/schedules/schema.json

    Put your agent's trigger id into triggerd.toml, write `enabled = true` into hello.toml, and then:

      triggerd check --config of/mine/triggerd.toml
      triggerd preview hello --config of/mine/triggerd.toml
      WORKSPACE_AGENT_ACCESS_TOKEN=at-… triggerd run --config of/mine/triggerd.toml
    [0]
    ");
    let check = triggerd(&folder, "check --config of/mine/triggerd.toml").run();
    assert_eq!((check.err.as_str(), check.code), ("", 0), "{check}");
}

#[test]
fn nothing_is_overwritten() {
    let folder = Folder::new()
        .file("triggerd.toml", "namespace = \"prod\"\n")
        .schedule("hello", "");
    assert_snapshot!(folder.triggerd("init").run(), @"
    left alone, since it is there: ./triggerd.toml
    left alone, since it is there: ./schedules/hello.toml
    wrote ./schedules/schema.json

    Put your agent's trigger id into triggerd.toml, write `enabled = true` into hello.toml, and then:

      triggerd check
      triggerd preview hello
      WORKSPACE_AGENT_ACCESS_TOKEN=at-… triggerd run
    [0]
    ");
    let text = |name| fs::read_to_string(folder.path(name)).expect("a text");
    assert_eq!(text("triggerd.toml"), "namespace = \"prod\"\n");
    assert_eq!(text("schedules/hello.toml"), "");
    let again = folder.triggerd("init").run();
    assert!(
        again
            .out
            .contains("left alone, since it is there: ./schedules/schema.json")
    );
}

#[test]
fn what_is_commented_out_is_valid_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    triggerd(&folder, "init").run();
    let mut found = 0;
    for name in ["triggerd.toml", "schedules/hello.toml"] {
        let path = folder.path().join(name);
        let text = fs::read_to_string(&path).expect("a text");
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => {
                    found += 1;
                    format!("{key}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        fs::write(path, uncommented.replace("env = ", "#env = ")).expect("a file");
    }
    assert_eq!(found, 8);
    assert_snapshot!(triggerd(&folder, "check").run(), @r#"
    warning: `agtch_00000000000000000000000000000000` has an unusual form
      --> triggerd.toml:12:14
       |
    12 | trigger_id = "agtch_00000000000000000000000000000000"
       |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: this is the place-holder of `triggerd init`; put the id of your agent's API channel there

    note: it is disabled: it does not fire
     --> schedules/hello.toml:5:11
      |
    5 | enabled = false
      |           ^^^^^

    1 valid schedule; 1 warning, 1 note in 2 files
    [0]
    "#);
}

#[test]
fn a_folder_that_can_not_be_made_is_told() {
    let folder = Folder::new().file("taken", "");
    assert_snapshot!(folder.triggerd("init taken").run(), @"
    | error: `taken/schedules` can't be made: Not a directory (os error 20)
    [1]
    ");
}

#[test]
fn where_all_is_there_it_says_so_and_what_next() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(triggerd(&folder, "init").run().code, 0);
    let again = triggerd(&folder, "init").run();
    let (_, next) = again.out.split_once("\n\n").expect("it says what next");
    assert!(next.starts_with("Nothing was written: all of it is there already. If it is still to be done, put your agent's trigger id"), "{again}");
    assert_eq!(again.code, 0);
}
