//! Each file of tests/files, as `triggerd check` draws it: one file, one case.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use insta::{assert_debug_snapshot, assert_snapshot, glob};
use triggerd::schedule::ScheduleId;
use triggerd::schedule::TriggerId;
use triggerd::schedule::resolve::{Agent, Context, Parsed};

use crate::cli::Triggerd;

const SCHEDULES: &str = "triggerd.toml";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files")
}

#[track_caller]
fn assert_count(folder: &Path, expected: usize) {
    let files = fs::read_dir(folder).expect("the folder is there");
    let is_case = |file: &fs::DirEntry| file.path().extension().is_some_and(|it| it == "toml");
    let count = files
        .filter(|file| is_case(file.as_ref().expect("it can be read")))
        .count();
    assert_eq!(count, expected, "cases in {}", folder.display());
}

/// What `check` says of a schedule, with two agents in triggerd.toml.
#[track_caller]
fn check(settings: &str, schedule: &str, code: i32) -> String {
    let done = Triggerd::in_folder(&folder())
        .args(["--config", settings, "check", schedule])
        .run();
    assert_eq!(
        done.code, code,
        "{settings} {schedule}: {}{}",
        done.out, done.err
    );
    assert_eq!(done.err, "");
    done.out
}

/// `bad@unknown-key.toml.snap`, without the test's own path before it.
fn short_names() -> impl Drop {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind_to_scope()
}

fn name_below(kind: &str, path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str());
    format!("{kind}/{}", name.expect("it is text"))
}

#[test]
fn good_schedules_are_accepted_with_their_notes() {
    assert_count(&folder().join("good"), 27);
    let _guard = short_names();
    glob!("../files", "good/*.toml", |path| {
        assert_snapshot!("good", check(SCHEDULES, &name_below("good", path), 0));
    });
}

#[test]
fn bad_schedules_are_refused_with_a_place_and_a_way_out() {
    assert_count(&folder().join("bad"), 95);
    let _guard = short_names();
    glob!("../files", "bad/*.toml", |path| {
        assert_snapshot!("bad", check(SCHEDULES, &name_below("bad", path), 1));
    });
}

#[test]
fn good_settings_are_accepted_with_their_notes() {
    assert_count(&folder().join("settings/good"), 8);
    let _guard = short_names();
    glob!("../files", "settings/good/*.toml", |path| {
        let settings = name_below("settings/good", path);
        assert_snapshot!("settings-good", check(&settings, "good/smallest.toml", 0));
    });
}

#[test]
fn bad_settings_are_refused_with_a_place_and_a_way_out() {
    assert_count(&folder().join("settings/bad"), 35);
    let _guard = short_names();
    glob!("../files", "settings/bad/*.toml", |path| {
        let settings = name_below("settings/bad", path);
        assert_snapshot!("settings-bad", check(&settings, "good/smallest.toml", 1));
    });
}

#[test]
fn every_key_reaches_the_schedule() {
    let text = fs::read_to_string(folder().join("good/everything.toml")).expect("a text");
    let revenue = Agent {
        trigger_id: TriggerId::parse("agtch_2").expect("an id"),
        own_token: true,
    };
    let context = Context {
        agents: BTreeMap::from([("revenue".to_owned(), revenue)]),
        ..Context::default()
    };
    let id = ScheduleId::parse("everything").expect("a name");
    let now = "2026-11-23T08:00:00Z".parse().expect("an instant");
    let parsed = Parsed::new(Path::new("everything.toml"), &text, &context);
    let schedule = parsed.resolve(&id, None, &context, now).0;
    let schedule = schedule.expect("it is good");
    let _guard = short_names();
    assert_debug_snapshot!(
        "every-key",
        (
            &schedule.description,
            schedule.jitter,
            &schedule.target,
            &schedule.message,
            &schedule.conversation,
            schedule.keep_input,
            &schedule.policies,
        )
    );
}
