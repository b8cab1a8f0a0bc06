//! Whatever people and the API write: no panic, and an answer. `TRIGGERD_FUZZ_CASES` says how many
//! cases each; those that were found are kept as tests beside the code.

use std::path::Path;

use proptest::prelude::*;
use triggerd::api::wire::{ErrorBody, Run, TriggerAccepted};
use triggerd::render;
use triggerd::schedule::ScheduleId;
use triggerd::schedule::cron::CronExpr;
use triggerd::schedule::problem::has_errors;
use triggerd::schedule::resolve::{Context, Parsed};
use triggerd::settings::{Flags, Settings};

fn cases() -> ProptestConfig {
    let cases = std::env::var("TRIGGERD_FUZZ_CASES").ok();
    let cases = cases.and_then(|text| text.parse().ok()).unwrap_or(1_000);
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Pieces of files, right and wrong, in any order.
fn toml_like() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "cron",
        "at",
        "timezone",
        "start",
        "end",
        "except",
        "jitter",
        "agent",
        "trigger_id",
        "input",
        "conversation",
        "update_text",
        "marker",
        "catch_up",
        "within",
        "at_most",
        "spacing",
        "policy",
        "give_up_after",
        "first_delay",
        "per_day",
        "url",
        "base_url",
        "watch",
        "file",
        "x",
    ]);
    let value = prop_oneof![
        Just("\"0 9 * * MON\"".to_owned()),
        Just("\"Europe/Berlin\"".to_owned()),
        Just("2026-12-24T18:00:00".to_owned()),
        Just("2026-02-30".to_owned()),
        Just("[\"* * * * *\", 5, [1]]".to_owned()),
        Just("\"\"\"\nsince {{ window_start | date('%Y') }}\n\"\"\"".to_owned()),
        Just("{ file = \"x\" }".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "\\PC{0,12}".prop_map(|text| format!("'{}'", text.replace('\'', ""))),
        "[{}%| a-z_()]{0,30}".prop_map(|text| format!("'{text}'")),
        "[0-9]{1,20}(ms|s|m|h|d|w|y)".prop_map(|text| format!("\"{text}\"")),
    ];
    let table = prop::sample::select(vec![
        "[event]",
        "[missed]",
        "[overlap]",
        "[retry]",
        "[expect]",
        "[limits]",
        "[verify]",
        "[api]",
        "[token]",
        "[agents.a]",
        "[defaults]",
        "[defaults.event]",
        "[chores]",
        "[",
        "[[event]]",
    ]);
    let line = prop_oneof![
        8 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        3 => table.prop_map(str::to_owned),
        1 => "\\PC{0,20}",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_schedule_file_is_taken_or_its_problems_can_be_drawn(text in toml_like()) {
        let context = Context { trigger_id: Some("agtch_1".into()), ..Context::default() };
        let parsed = Parsed::new(Path::new("a.toml"), &text, &context);
        let id = ScheduleId::parse("a").expect("a name");
        let now = "2026-11-23T08:00:00Z".parse().expect("an instant");
        let input = parsed.input_file().map(|_| Ok(String::new()));
        let (schedule, problems) = parsed.resolve(&id, input, &context, now);
        prop_assert_eq!(schedule.is_some(), !has_errors(&problems));
        for problem in &problems {
            prop_assert!(!render::problem(problem, Some(&text), false).is_empty());
        }
        if let Some(schedule) = schedule {
            let _ = schedule.recurrence.next_after(now);
        }
    }

    #[test]
    fn triggerd_toml_is_taken_or_its_problems_can_be_drawn(text in toml_like()) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("triggerd.toml");
        std::fs::write(&path, &text).expect("a file");
        let flags = Flags { config: Some(path), ..Flags::default() };
        let read = Settings::read(&flags, &|_| None);
        prop_assert_eq!(read.settings.is_some(), !has_errors(&read.problems));
        for problem in &read.problems {
            prop_assert!(!render::problem(problem, Some(&read.text), false).is_empty());
        }
    }

    #[test]
    fn an_expression_is_taken_or_refused_with_a_span_inside_it(
        text in prop_oneof![
            "[0-9*,/LWH#@()a-zA-Z -]{0,24}",
            "([0-9*/,-]{1,4}|MON|JAN|L|H)( ([0-9*/,-]{1,4}|MON|JAN|L|H)){3,6}",
            "\\PC{0,300}",
        ]
    ) {
        match CronExpr::parse(&text, "a") {
            Ok(expression) => {
                let zone = jiff::tz::TimeZone::get("America/New_York").expect("a zone");
                let now = "2026-03-08T06:59:59Z".parse().expect("an instant");
                if let Some(next) = expression.next_after(now, &zone) {
                    prop_assert!(next > now);
                }
            }
            Err(error) => prop_assert!(text.get(error.span).is_some()),
        }
    }

    #[test]
    fn the_apis_answers_are_read_whatever_they_are(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "\\{\"(conversation_url|agent_trigger_run_id|status|error|id)\": (null|1|\"x\"|\\{\\}|\\[1\\])\\}"
                .prop_map(String::into_bytes),
        ]
    ) {
        let _ = TriggerAccepted::read(&body);
        let _ = Run::read(&body);
        let _ = ErrorBody::read(&body);
    }
}
