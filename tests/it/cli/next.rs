use std::process::Stdio;

use insta::assert_snapshot;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Done, Folder};

#[derive(Deserialize)]
struct Case {
    expr: String,
    tz: String,
    from: String,
    n: usize,
    expected: Vec<String>,
}

fn expr(expr: &str, zone: &str, line: &str) -> Done {
    let folder = Folder::new();
    folder
        .triggerd(&format!("next {line}"))
        .args(["--expr", expr, "--timezone", zone])
        .run()
}

#[test]
fn expressions_give_the_instants_of_debian_cron() {
    let cases: Vec<Case> = include_str!("../../files/cron-sample.jsonl")
        .lines()
        .step_by(4)
        .map(|line| serde_json::from_str(line).expect("each line is a case"))
        .collect();
    assert_eq!(cases.len(), 16);
    for case in cases {
        let line = format!("--json --from {} --count {}", case.from, case.n);
        let done = expr(&case.expr, &case.tz, &line);
        assert_eq!((done.err.as_str(), done.code), ("", 0), "{}", case.expr);
        let answer: Value = serde_json::from_str(&done.out).expect("it is JSON");
        let rows = answer["occurrences"].as_array().expect("a list");
        let instants =
            |key: &str| -> Vec<&str> { rows.iter().filter_map(|row| row[key].as_str()).collect() };
        assert_eq!(instants("scheduled_at_utc"), case.expected, "{}", case.expr);
        assert_eq!(instants("due_at_utc"), case.expected, "{}", case.expr);
        assert!(rows.iter().all(|row| row["schedule"].is_null()));
    }
}

#[test]
fn local_time_stands_beside_utc() {
    let done = expr(
        "0 9 * * MON-FRI",
        "Europe/Berlin",
        "--from 2026-10-22T12:00:00Z -n 3",
    );
    assert_snapshot!(done, @"
    2026-10-23T09:00:00+02:00  2026-10-23T07:00:00Z
    2026-10-26T09:00:00+01:00  2026-10-26T08:00:00Z
    2026-10-27T09:00:00+01:00  2026-10-27T08:00:00Z
    [0]
    ");
}

#[test]
fn a_time_that_spring_skips_is_told() {
    let line = "--from 2026-03-07T20:00:00Z --count 2";
    assert_snapshot!(expr("30 2 * * *", "America/New_York", line), @"
    2026-03-08T03:00:00-04:00  2026-03-08T07:00:00Z  (the clock goes forward here; what it skips fires now)
    2026-03-09T02:30:00-04:00  2026-03-09T06:30:00Z
    [0]
    ");
}

#[test]
fn a_time_that_autumn_repeats_is_told() {
    let line = "--from 2026-10-31T20:00:00Z --count 2";
    assert_snapshot!(expr("30 1 * * *", "America/New_York", line), @"
    2026-11-01T01:30:00-04:00  2026-11-01T05:30:00Z  (this time comes twice; this is the first pass)
    2026-11-02T01:30:00-05:00  2026-11-02T06:30:00Z
    [0]
    ");
    let line = "--from 2026-11-01T05:00:00Z --count 3";
    assert_snapshot!(expr("*/30 * * * *", "America/New_York", line), @"
    2026-11-01T01:30:00-04:00  2026-11-01T05:30:00Z  (this time comes twice; this is the first pass)
    2026-11-01T01:00:00-05:00  2026-11-01T06:00:00Z  (this time comes twice; this is the second pass)
    2026-11-01T01:30:00-05:00  2026-11-01T06:30:00Z  (this time comes twice; this is the second pass)
    [0]
    ");
}

#[test]
fn from_is_local_to_the_zone_without_an_offset() {
    let done = expr("0 9 * * *", "Asia/Tokyo", "-n 1 --from 2026-11-23T09:00:00");
    assert_snapshot!(done, @"
    2026-11-24T09:00:00+09:00  2026-11-24T00:00:00Z
    [0]
    ");
}

#[test]
fn json_has_one_shape() {
    let folder = Folder::with_weekly();
    let done = folder
        .triggerd("next --json -n 1 --from 2026-11-20T00:00:00Z")
        .run();
    assert_eq!(done.code, 0, "{done}");
    let answer: Value = serde_json::from_str(&done.out).expect("it is JSON");
    assert_eq!(
        answer,
        json!({ "occurrences": [{
            "schedule": "weekly-report",
            "local": "2026-11-23T09:00:00+01:00",
            "scheduled_at_utc": "2026-11-23T08:00:00Z",
            "due_at_utc": "2026-11-23T08:00:00Z",
            "note": null,
        }] })
    );
}

const TEXT: &str = "[event]\nupdate_text = \"Poll.\"\n";

#[test]
fn schedules_are_merged_by_time_with_jitter_and_excluded_dates() {
    let folder = Folder::with_weekly()
        .schedule(
            "poll",
            &format!("cron = \"0 */12 * * *\"\njitter = \"5m\"\n{TEXT}"),
        )
        .schedule(
            "off",
            &format!("cron = \"0 * * * *\"\nenabled = false\n{TEXT}"),
        )
        .schedule(
            "daily",
            &format!("cron = \"0 6 * * *\"\nexcept = [2026-11-23]\n{TEXT}"),
        );
    let done = folder
        .triggerd("next --count 2 --from 2026-11-22T20:00:00Z")
        .run();
    assert_snapshot!(done, @"
    poll           2026-11-23T00:00:00Z       2026-11-23T00:00:00Z  due 2026-11-23T00:02:59.896Z
    daily          2026-11-23T06:00:00Z       2026-11-23T06:00:00Z  (excluded by `except`: does not fire)
    weekly-report  2026-11-23T09:00:00+01:00  2026-11-23T08:00:00Z
    poll           2026-11-23T12:00:00Z       2026-11-23T12:00:00Z  due 2026-11-23T12:02:40.266Z
    daily          2026-11-24T06:00:00Z       2026-11-24T06:00:00Z
    weekly-report  2026-11-30T09:00:00+01:00  2026-11-30T08:00:00Z
    [0]
    ");
    let done = folder
        .triggerd("next off -n 1 --from 2026-11-22T20:00:00Z")
        .run();
    assert_snapshot!(done, @"
    off  2026-11-22T21:00:00Z       2026-11-22T21:00:00Z
    [0]
    ");
}

#[test]
fn an_unknown_schedule_is_told_with_the_nearest() {
    let folder = Folder::with_weekly();
    assert_snapshot!(folder.triggerd("next weekly-repot").run(), @"
    | error: there is no schedule `weekly-repot`; did you mean `weekly-report`
    [1]
    ");
    assert_snapshot!(folder.triggerd("next backup").run(), @"
    | error: there is no schedule `backup`; the folder has `weekly-report`
    [1]
    ");
    assert_snapshot!(Folder::new().triggerd("next backup").run(), @"
    | error: there is no schedule `backup`; the folder has no valid one
    [1]
    ");
}

#[test]
fn a_broken_schedule_is_drawn() {
    let folder = Folder::new().schedule("broken", &format!("cron = \"61 * * * *\"\n{TEXT}"));
    assert_snapshot!(folder.triggerd("next broken").run(), @r#"
    | error: `broken` can't be used
    | error: minute 61 is outside 0-59
    |  --> schedules/broken.toml:1:9
    |   |
    | 1 | cron = "61 * * * *"
    |   |         ^^
    |   |
    |   = help: for minute 1 write `1 * * * *`
    [1]
    "#);
}

#[test]
fn a_missing_folder_is_named() {
    assert_snapshot!(Folder::new().triggerd("next --schedules nowhere").run(), @"
    | error: the schedules folder `nowhere` can't be read: No such file or directory (os error 2); name another with `--schedules`
    [1]
    ");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for json in ["", "--json"] {
        let folder = Folder::with_weekly();
        let mut command = folder
            .triggerd(&format!("next --count 5000 {json}"))
            .into_command();
        let mut next = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary is there");
        drop(next.stdout.take());
        let done = next.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&done.stderr), "");
        assert_eq!(done.status.code(), Some(0));
    }
}
