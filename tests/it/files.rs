//! One file, one case: what `check` says of it, to the letter.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use triggerd::render;
use triggerd::schedule::problem::{Problem, has_errors};
use triggerd::schedule::resolve::{Agent, Context, Parsed};
use triggerd::schedule::{Schedule, ScheduleId, TriggerId};
use triggerd::settings::{Flags, Settings};

fn check(path: &Path) -> (Option<Schedule>, Vec<Problem>, String) {
    let text = fs::read_to_string(path).expect("a text");
    let context = Context {
        trigger_id: Some("agtch_00000000000000000000000000000001".into()),
        agents: BTreeMap::from([(
            "revenue".to_owned(),
            Agent {
                trigger_id: TriggerId::parse("agtch_2").expect("an id"),
                own_token: true,
            },
        )]),
        ..Context::default()
    };
    let name = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .expect("a name");
    let shown = Path::new("schedules").join(format!("{name}.toml"));
    let parsed = Parsed::new(&shown, &text, &context);
    let input = parsed.input_file().map(|_| Ok("hello".to_owned()));
    let now = "2026-11-23T08:00:00Z".parse().expect("an instant");
    let id = ScheduleId::parse(name).expect("a name");
    let (schedule, problems) = parsed.resolve(&id, input, &context, now);
    (schedule, problems, text)
}

fn drawn(problems: &[Problem], text: &str) -> String {
    let drawn: Vec<String> = problems
        .iter()
        .map(|problem| render::problem(problem, Some(text), false))
        .collect();
    drawn.join("\n\n")
}

fn count(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files")
        .join(folder);
    fs::read_dir(folder).expect("a folder").count()
}

#[test]
fn every_bad_file_is_refused_with_its_problems() {
    assert_eq!(count("bad"), 32);
    insta::glob!("../files/bad", "*.toml", |path| {
        let (schedule, problems, text) = check(path);
        assert!(
            schedule.is_none() && has_errors(&problems),
            "{}",
            path.display()
        );
        insta::assert_snapshot!(drawn(&problems, &text));
    });
}

#[test]
fn every_good_file_is_taken_and_its_notes_are_these() {
    assert_eq!(count("good"), 5);
    insta::glob!("../files/good", "*.toml", |path| {
        let (schedule, problems, text) = check(path);
        assert!(
            schedule.is_some() && !has_errors(&problems),
            "{}: {problems:#?}",
            path.display()
        );
        insta::assert_snapshot!(drawn(&problems, &text));
    });
}

#[test]
fn every_key_reaches_the_schedule() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/good/everything.toml");
    let schedule = check(&path).0.expect("it is good");
    insta::assert_debug_snapshot!((
        &schedule.description,
        schedule.jitter,
        &schedule.target,
        &schedule.message,
        &schedule.conversation,
        schedule.keep_input,
        &schedule.policies,
    ));
}

#[test]
fn problems_of_triggerd_toml() {
    assert_eq!(count("settings"), 2);
    insta::glob!("../files/settings", "*.toml", |path| {
        let flags = Flags {
            config: Some(path.to_owned()),
            ..Flags::default()
        };
        let read = Settings::read(&flags, &|_| None);
        assert!(read.settings.is_none());
        let shown: Vec<Problem> = read
            .problems
            .into_iter()
            .map(|problem| Problem {
                path: "triggerd.toml".into(),
                ..problem
            })
            .collect();
        insta::assert_snapshot!(drawn(&shown, &read.text));
    });
}
