//! What README and the examples say is true of the program as it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use triggerd::schedule::message::Variables;
use triggerd::schedule::problem::{Problem, Severity};
use triggerd::schedule::resolve::{Context, Parsed};
use triggerd::schedule::{Schedule, ScheduleId, defaults};
use triggerd::toml_file::written;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).expect("README.md is there")
}

fn resolve(name: &str, text: &str) -> (Option<Schedule>, Vec<Problem>) {
    let context = Context {
        trigger_id: Some("agtch_00000000000000000000000000000001".into()),
        ..Context::default()
    };
    let parsed = Parsed::new(Path::new(name), text, &context);
    let now = "2026-11-23T08:00:00Z".parse().expect("an instant");
    parsed.resolve(
        &ScheduleId::parse(name).expect("a name"),
        None,
        &context,
        now,
    )
}

#[test]
fn every_example_is_valid_and_readme_names_it() {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root().join("schedules")).expect("schedules/ is there") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name");
        let text = fs::read_to_string(&path).expect("a text");
        let (schedule, problems) = resolve(name, &text);
        assert!(schedule.is_some(), "{name}: {problems:#?}");
        assert!(
            problems.iter().all(|it| it.severity == Severity::Note),
            "{name}: {problems:#?}"
        );
        assert!(
            readme().contains(&format!("(schedules/{name}.toml)")),
            "README names {name}"
        );
        names.insert(name.to_owned());
    }
    assert_eq!(names.len(), 5, "{names:?}");
}

#[test]
fn every_schedule_in_readme_is_valid() {
    let readme = readme();
    let blocks: Vec<&str> = readme
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert_eq!(blocks.len(), 1);
    for block in blocks {
        let (schedule, problems) = resolve("readme", block);
        assert!(schedule.is_some(), "{problems:#?}\n{block}");
    }
}

#[test]
fn readme_says_the_defaults_that_are_used() {
    let readme = readme();
    let rows = [
        ("`timezone`", format!("`\"{}\"`", defaults::TIMEZONE)),
        ("`jitter`", format!("`\"{}\"`", written(defaults::JITTER))),
        (
            "`event.source_system`",
            format!("`\"{}\"`", defaults::SOURCE_SYSTEM),
        ),
        ("`event.marker`", format!("`\"{}\"`", defaults::MARKER)),
        (
            "`missed.within`",
            format!("`\"{}\"`", written(defaults::MISSED.within)),
        ),
        (
            "`missed.at_most`, `missed.spacing`",
            format!(
                "`{}`, `\"{}\"`",
                defaults::AT_MOST,
                written(defaults::SPACING)
            ),
        ),
        (
            "`retry.give_up_after`",
            format!("`\"{}\"`", written(defaults::RETRY.give_up_after)),
        ),
        (
            "`retry.first_delay`, `retry.max_delay`",
            format!(
                "`\"{}\"`, `\"{}\"`",
                written(defaults::RETRY.first_delay),
                written(defaults::RETRY.max_delay)
            ),
        ),
        (
            "`overlap.policy`, `overlap.stuck_after`",
            format!(
                "`\"allow\"`, `\"{}\"`",
                written(defaults::OVERLAP.stuck_after)
            ),
        ),
    ];
    for (key, default) in rows {
        let row = format!("| {key} | {default} |");
        assert!(readme.contains(&row), "README has no row `{row}`");
    }
}

#[test]
fn readme_names_every_template_variable() {
    let readme = readme();
    for name in Variables::NAMES {
        assert!(
            readme.contains(&format!("`{name}`")),
            "README does not name `{name}`"
        );
    }
}

#[test]
fn readme_begins_with_the_two_commands_that_ci_runs() {
    let readme = readme();
    let ci = fs::read_to_string(root().join(".ci/run")).expect(".ci/run is there");
    assert!(readme.contains("cargo run --release -- demo"));
    assert!(ci.contains("cargo run --release --locked -- demo --for 20s"));
    assert!(readme.contains("    cargo test "));
    assert!(ci.contains("\ncargo test --locked\n"));
}

#[test]
fn the_unit_runs_a_command_that_exists() {
    let unit = fs::read_to_string(root().join("systemd/triggerd.service")).expect("the unit");
    assert!(
        unit.contains("ExecStart=/usr/local/bin/triggerd run --config /etc/triggerd/triggerd.toml")
    );
    assert!(readme().contains("(systemd/triggerd.service)"));
}
