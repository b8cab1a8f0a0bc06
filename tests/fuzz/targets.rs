//! What is fed, and what has to hold of it. Each check says whether the input was valid, or what is
//! wrong with what was made of it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use serde_json::Value;
use triggerd::api::http::understand;
use triggerd::api::token::Secret;
use triggerd::api::wire::Run;
use triggerd::plan::outcome::Outcome;
use triggerd::render;
use triggerd::schedule::ScheduleId;
use triggerd::schedule::cron::{CronExpr, steps};
use triggerd::schedule::problem::{Problem, has_errors};
use triggerd::schedule::resolve::{Context, Parsed};
use triggerd::settings::{Flags, Settings};

use crate::mutate::{Corpus, Random};

pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) corpus: fn() -> Corpus,
    pub(crate) check: fn() -> Check,
}

/// Of an input and its seed.
type Check = Box<dyn FnMut(&[u8], u64) -> Result<bool, String>>;

pub(crate) const TARGETS: [Target; 4] = [
    Target {
        name: "schedule file",
        corpus: || Corpus::of_files(&["good", "bad"], &WORDS),
        check: || Box::new(schedule_file),
    },
    Target {
        name: "cron expression",
        corpus: cron_expressions,
        check: || Box::new(cron_expression),
    },
    Target {
        name: "API's answer",
        corpus: answers,
        check: || Box::new(answer),
    },
    Target {
        name: "triggerd.toml",
        corpus: || Corpus::of_files(&["settings/good", "settings/bad"], &WORDS),
        check: triggerd_toml,
    },
];

/// Pieces of files, right and wrong.
const WORDS: [&str; 52] = [
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
    "within",
    "at_most",
    "spacing",
    "per_day",
    "per_hour",
    "true",
    "[event]\n",
    "[missed]\n",
    "[limits]\n",
    "[defaults]\n",
    "[api]\n",
    "[agents.a]\n",
    "[chores]\n",
    "\"",
    "'",
    "\"\"\"",
    "\\u0000",
    "\u{feff}",
    "\r\n",
    "\u{202e}",
    "é",
    "= ",
    "{ file = \"x\" }",
    "[\"* * * * *\", 5, [1]]",
    "2026-12-24T18:00:00",
    "2026-02-30",
    "1e400",
    "\"0 9 * * MON\"",
    "\"Europe/Berlin\"",
    "\"90d\"",
    "{{ request_id }}",
    "{{ window_start | date('%Y') }}",
    "{% for x in range(99999) %}",
    "{% endfor %}",
    "{{ 'x' * 999999 }}",
    "{% set x = 'x' %}",
    "{{",
    "all",
    "H",
];

fn schedule_file(input: &[u8], _: u64) -> Result<bool, String> {
    let text = String::from_utf8_lossy(input);
    let context = Context {
        trigger_id: Some("agtch_1".into()),
        ..Context::default()
    };
    let parsed = Parsed::new(Path::new("a.toml"), &text, &context);
    let id = ScheduleId::parse("a").expect("a name");
    let now = "2026-11-23T08:00:00Z".parse().expect("an instant");
    let input = parsed.input_file().map(|_| Ok(String::new()));
    let (schedule, problems) = parsed.resolve(&id, input, &context, now);
    let is_valid = schedule.is_some();
    drawn(&problems, &text, is_valid)?;
    if let Some(schedule) = schedule {
        let next = schedule.recurrence.next_after(now);
        later(next.map(|slot| slot.at), now)?;
    }
    Ok(is_valid)
}

fn triggerd_toml() -> Check {
    // In memory where that can be: the file is written anew for each input.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.expect("a folder");
    Box::new(move |input, _| {
        let path: PathBuf = folder.path().join("triggerd.toml");
        let text = String::from_utf8_lossy(input);
        std::fs::write(&path, text.as_bytes()).expect("a file");
        let flags = Flags {
            config: Some(path),
            ..Flags::default()
        };
        let read = Settings::read(&flags, &|_| None);
        drawn(&read.problems, &read.text, read.settings.is_some())?;
        Ok(read.settings.is_some())
    })
}

fn drawn(problems: &[Problem], text: &str, is_valid: bool) -> Result<(), String> {
    if is_valid == has_errors(problems) {
        return Err(format!("taken: {is_valid}, with {problems:?}"));
    }
    for problem in problems {
        if problem.message.is_empty() {
            return Err("a problem without words".to_owned());
        }
        if let Some(span) = &problem.span
            && text.get(span.clone()).is_none()
        {
            return Err(format!("a place outside of the text: {problem:?}"));
        }
        if render::problem(problem, Some(text), false).is_empty() {
            return Err("a problem that is not drawn".to_owned());
        }
    }
    Ok(())
}

fn later(next: Option<Timestamp>, now: Timestamp) -> Result<(), String> {
    match next.filter(|next| *next <= now) {
        Some(next) => Err(format!("{next} is next after {now}")),
        None => Ok(()),
    }
}

fn cron_expressions() -> Corpus {
    let samples = include_str!("../files/cron-sample.jsonl").lines();
    let sample = |line: &str| -> Value { serde_json::from_str(line).expect("a case") };
    let texts = samples
        .map(|line| sample(line)["expr"].as_str().expect("a text").into())
        .collect();
    Corpus::new(
        texts,
        &[
            " ",
            "*",
            "/",
            "-",
            ",",
            "L",
            "LW",
            "5L",
            "5#3",
            "H",
            "H/7",
            "W",
            "?",
            "@daily",
            "@hourly",
            "MON",
            "FRI-MON",
            "JAN",
            "DEC",
            "29 2",
            "31",
            "30 2",
            "0",
            "59",
            "23",
            "60",
            "* * * * * *",
            "*/61",
            "1-5/2",
            "Mon,Tue",
            "é",
            "\t",
            "~",
        ],
    )
}

fn cron_expression(input: &[u8], seed: u64) -> Result<bool, String> {
    const ZONES: [&str; 8] = [
        "UTC",
        "America/New_York",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Africa/Casablanca",
        "Pacific/Apia",
        "America/Scoresbysund",
    ];
    let text = String::from_utf8_lossy(input);
    match CronExpr::parse(&text, "a") {
        Ok(expression) => {
            let mut random = Random::new(!seed);
            let zone = TimeZone::get(ZONES[random.below(ZONES.len())]).expect("a zone");
            // From 1900 to 2160.
            let second = random.below(8_205_000_000) as i64 - 2_208_988_800;
            let now = Timestamp::from_second(second).expect("an instant");
            let _ = steps::taken();
            later(expression.next_after(now, &zone), now)?;
            Ok(true)
        }
        Err(error) if text.get(error.span.clone()).is_none() => {
            Err(format!("a place outside of the text: {error:?}"))
        }
        Err(_) => Ok(false),
    }
}

const TOKEN: &str = "at-0123456789abcdefghijklmnopqrstuv";

fn answers() -> Corpus {
    let texts = [
        "",
        "null",
        r#"{"conversation_url": "https://chatgpt.com/c/1"}"#,
        r#"{"conversation_url": "https://chatgpt.com/c/1", "agent_trigger_run_id": "apirun_1"}"#,
        r#"{"object": "agent_trigger_run", "id": "apirun_1", "status": "in_progress", "created_at": 1795420800, "error": null}"#,
        r#"{"id": "apirun_1", "status": "failed", "error": {"code": "x", "message": "y"}}"#,
        r#"{"error": {"message": "invalid token at-0123456789abcdefghijklmnopqrstuv", "code": "invalid_api_key"}}"#,
        r#"{"error": {"message": "slow down", "type": "rate_limit_exceeded", "param": null}}"#,
        r#"{"detail": [{"loc": ["body", "input"], "msg": "Field required", "type": "missing"}]}"#,
        r#"{"detail": "the quick brown fox jumps over the lazy dog"}"#,
        "<html>\n<body><h1>502 Bad Gateway</h1></body>\n</html>",
        "Wed, 21 Oct 2026 07:28:00 GMT",
        "120",
    ];
    let texts = texts.map(|text| text.as_bytes().to_vec());
    Corpus::new(
        texts.into(),
        &[
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "null",
            "true",
            "1e999",
            "-1",
            "\\ud800",
            "\\u202e",
            "error",
            "message",
            "detail",
            "status",
            "queued",
            "completed",
            "suspended",
            TOKEN,
            "the quick brown fox jumps",
            "\u{feff}",
            "é",
            "\u{202e}",
            "\0",
            "GMT",
            "99999999999999",
            "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        ],
    )
}

fn answer(input: &[u8], seed: u64) -> Result<bool, String> {
    const STATUSES: [u16; 16] = [
        200, 202, 204, 302, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 599,
    ];
    let status = *Random::new(!seed).of(&STATUSES);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(input) {
        for name in [
            RETRY_AFTER,
            LOCATION,
            HeaderName::from_static("x-request-id"),
        ] {
            headers.insert(name, value.clone());
        }
    }
    let token = Secret::new(TOKEN.to_owned());
    let request = r#"{"input": "the quick brown fox jumps over the lazy dog"}"#;
    let answer = understand(status, headers, input.to_vec(), &token, request);
    let said = format!("{answer:?}");
    if said.contains(TOKEN) {
        return Err(format!("the token is in {said}"));
    }
    if answer.detail.chars().count() > 300 || answer.detail.contains(char::is_control) {
        return Err(format!("no short line: {:?}", answer.detail));
    }
    let is_accepted = matches!(answer.outcome, Outcome::Accepted(_));
    if is_accepted != (status == 202) {
        return Err(format!("{status} is {said}"));
    }
    Ok(is_accepted || Run::read(input).is_some())
}
