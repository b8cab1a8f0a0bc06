use insta::assert_snapshot;
use serde_json::{Value, json};
use triggerd::plan::delivery::Skip;
use triggerd::plan::run::Finding;

use super::past::Past;
use super::{Done, Folder};

/// Mondays at nine in Berlin from 2020 on: accepted, rejected, three superseded, one excluded, and one
/// that is tried again.
fn folder() -> Folder {
    let folder = Folder::new().schedule(
        "weekly",
        "cron = \"0 9 * * MON\"\n\
         timezone = \"Europe/Berlin\"\n\
         except = [2020-02-10]\n\
         end = 2020-12-31\n\
         input = \"hello\"\n",
    );
    Past::of(&folder, "weekly")
        .began("2020-01-02T12:00:00Z")
        .accepted("2020-01-06T08:00:00Z")
        .rejected("2020-01-13T08:00:00Z")
        .skipped(
            Skip::Superseded,
            "2020-01-20T08:00:00Z",
            "2020-02-03T08:00:00Z",
            3,
        )
        .skipped(
            Skip::Excluded,
            "2020-02-10T08:00:00Z",
            "2020-02-10T08:00:00Z",
            1,
        )
        .tried("2020-02-17T08:00:00Z")
        .settled_until("2020-03-01T00:00:00Z")
        .record(&folder);
    folder
}

fn why(folder: &Folder, time: &str) -> Done {
    folder.triggerd(&format!("why weekly {time}")).run()
}

#[test]
fn a_delivery_is_told_with_its_attempts() {
    let folder = folder();
    assert_snapshot!(why(&folder, "2020-01-06T09:00"), @"
    weekly at 2020-01-06T09:00:00+01:00: accepted
      attempt 1 at 2020-01-06T09:00:00+01:00: accepted, http 202
      request id weekly-20200106T0900
      https://chatgpt.com/c/1
    [0]
    ");
    assert_snapshot!(why(&folder, "2020-01-13T08:00:00Z"), @"
    weekly at 2020-01-13T09:00:00+01:00: rejected
      a definite refusal: the same event would be refused again
      attempt 1 at 2020-01-13T09:00:00+01:00: rejected, http 400: body.input Field required
      request id weekly-20200113T0900
    [0]
    ");
    assert_snapshot!(why(&folder, "2020-02-17T09:00"), @"
    weekly at 2020-02-17T09:00:00+01:00: open
      it is tried again at 2020-02-17T09:05:00+01:00, and expires at 2020-02-17T21:00:00+01:00
      attempt 1 at 2020-02-17T09:00:00+01:00: unknown, http 503: upstream connect error
      an attempt of unknown outcome may have been queued all the same
      request id weekly-20200217T0900
    [0]
    ");
}

#[test]
fn a_run_is_told_with_its_end_and_a_redelivery_with_what_it_replaced() {
    let folder = Folder::new().schedule("weekly", "cron = \"0 9 * * MON\"\ninput = \"hello\"\n");
    Past::of(&folder, "weekly")
        .began("2020-01-02T12:00:00Z")
        .accepted("2020-01-06T09:00:00Z")
        .ran("2020-01-06T09:00:00Z", Finding::Missing)
        .rejected("2020-01-13T09:00:00Z")
        .reopened("2020-01-13T09:00:00Z")
        .record(&folder);
    assert_snapshot!(why(&folder, "2020-01-06T09:00"), @"
    weekly at 2020-01-06T09:00:00Z: accepted
      attempt 1 at 2020-01-06T09:00:00Z: accepted, http 202
      request id weekly-20200106T0900
      its run ended at 2020-01-06T09:01:00Z: completed, missing
      https://chatgpt.com/c/1
    [0]
    ");
    let reopened = why(&folder, "2020-01-13T09:00");
    let before = "  rejected at 2020-01-13T09:00:00Z, before it was redelivered\n";
    assert!(reopened.out.contains(before), "{reopened}");
}

#[test]
fn a_skip_is_told_with_its_reason() {
    let folder = folder();
    assert_snapshot!(why(&folder, "2020-01-27T09:00"), @"
    weekly at 2020-01-27T09:00:00+01:00: skipped, superseded
      a later one was delivered in its place: by the catch-up, or while this one waited
      it is one of 3 occurrences from 2020-01-20T09:00:00+01:00 to 2020-02-03T09:00:00+01:00
    [0]
    ");
    assert_snapshot!(why(&folder, "2020-02-10T09:00"), @"
    weekly at 2020-02-10T09:00:00+01:00: skipped, excluded
      its date is in `except`
    [0]
    ");
}

#[test]
fn what_is_not_recorded_is_explained() {
    let folder = folder();
    // Before its first loading, since the last settling, and recorded by nobody.
    assert_snapshot!(why(&folder, "2019-12-30T09:00"), @"
    weekly at 2019-12-30T09:00:00+01:00: before its loading
      it is in force since 2020-01-02T13:00:00+01:00, and owes nothing from before
    [0]
    ");
    assert_snapshot!(why(&folder, "2020-03-02T09:00"), @"
    weekly at 2020-03-02T09:00:00+01:00: not dealt with
      no daemon has run since; what becomes of it is decided at the next start
    [0]
    ");
    assert_snapshot!(why(&folder, "2020-02-24T09:00"), @"
    weekly at 2020-02-24T09:00:00+01:00: not recorded
      it ended more than 90d ago and was pruned, or the file said otherwise at that time
    [0]
    ");
}

#[test]
fn no_occurrence_is_told_with_its_neighbours() {
    let folder = folder();
    assert_snapshot!(why(&folder, "2020-01-28T09:00"), @"
    weekly at 2020-01-28T09:00:00+01:00: no occurrence
      it is not due then
      the nearest before it is 2020-01-27T09:00:00+01:00: skipped, superseded
      the nearest after it is 2020-02-03T09:00:00+01:00: skipped, superseded
    [0]
    ");
    assert_snapshot!(why(&folder, "2021-01-04T09:00"), @"
    weekly at 2021-01-04T09:00:00+01:00: out of bounds
      it lies outside `start` and `end`
      the nearest before it is 2020-12-28T09:00:00+01:00: not dealt with
      there is none after it
    [0]
    ");
}

#[test]
fn a_schedule_out_of_force_owes_nothing() {
    let folder = folder();
    Past::of(&folder, "weekly")
        .ceased("2020-03-01T00:00:00Z")
        .settled_until("2020-06-01T00:00:00Z")
        .record(&folder);
    assert_snapshot!(why(&folder, "2020-03-09T09:00"), @"
    weekly at 2020-03-09T09:00:00+01:00: not in force
      its file was disabled or gone, and it owes nothing from then on
    [0]
    ");
}

#[test]
fn clock_changes_are_told() {
    let folder = Folder::new()
        .schedule(
            "nightly",
            "cron = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\"\ninput = \"hello\"\n",
        )
        .schedule(
            "hourly",
            "cron = \"30 * * * *\"\ntimezone = \"Europe/Berlin\"\ninput = \"hello\"\n",
        )
        .schedule(
            "at-three",
            "cron = \"0 3 * * *\"\ntimezone = \"Europe/Berlin\"\ninput = \"hello\"\n",
        );
    Past::of(&folder, "nightly")
        .began("2020-01-01T00:00:00Z")
        .accepted("2020-03-29T01:00:00Z")
        .accepted("2020-10-25T00:30:00Z")
        .record(&folder);
    let why = |line: &str| folder.triggerd(&format!("why {line}")).run();
    assert_snapshot!(why("nightly 2020-03-29T02:30"), @"
    nightly at 2020-03-29T03:00:00+02:00: accepted
      the clock went forward over 2020-03-29T02:30:00: that time did not exist, and what it skips fires right after, at 2020-03-29T03:00:00+02:00
      attempt 1 at 2020-03-29T03:00:00+02:00: accepted, http 202
      request id nightly-20200329T0300
      https://chatgpt.com/c/1
    [0]
    ");
    assert_snapshot!(why("nightly 2020-10-25T02:30"), @"
    nightly at 2020-10-25T02:30:00+02:00: accepted
      attempt 1 at 2020-10-25T02:30:00+02:00: accepted, http 202
      request id nightly-20201025T0230
      https://chatgpt.com/c/1
      this time comes twice; this is the first pass
    [0]
    ");
    // It was due at three all the same.
    assert_snapshot!(why("at-three 2020-03-29T02:30"), @"
    at-three at 2020-03-29T03:30:00+02:00: no occurrence
      the clock went forward over 2020-03-29T02:30:00: that time did not exist
      it is not due then
      the nearest before it is 2020-03-29T03:00:00+02:00: never loaded
      the nearest after it is 2020-03-30T03:00:00+02:00: never loaded
    [0]
    ");
    assert_snapshot!(why("hourly 2020-03-29T02:30"), @"
    hourly at 2020-03-29T03:30:00+02:00: never loaded
      the clock went forward over 2020-03-29T02:30:00: that time did not exist
      no daemon with its ledger in `state` has loaded it
    [0]
    ");
}

#[test]
fn the_future_is_told_by_the_file() {
    let folder = Folder::new()
        .schedule("on", "cron = \"@yearly\"\ninput = \"hello\"\n")
        .schedule(
            "off",
            "cron = \"@yearly\"\ninput = \"hello\"\nenabled = false\n",
        );
    let done = folder.triggerd("why on 2200-01-01").run();
    let (first, rest) = done.out.split_once('\n').expect("two lines");
    assert_eq!(first, "on at 2200-01-01T00:00:00Z: not due yet");
    assert!(rest.starts_with("  it is due at 2200-01-01T00:00:00Z, in "));
    assert_snapshot!(folder.triggerd("why off 2200-01-01").run(), @"
    off at 2200-01-01T00:00:00Z: disabled
      its file says `enabled = false`
    [0]
    ");
    assert_snapshot!(folder.triggerd("why on 2020-01-01").run(), @"
    on at 2020-01-01T00:00:00Z: never loaded
      there is no ledger in `state`: no daemon has run
    [0]
    ");
}

#[test]
fn a_broken_or_missing_file_is_told_by_its_last_good_version() {
    let folder = folder().schedule("weekly", "cron = \"nonsense\"\n");
    assert_snapshot!(why(&folder, "2020-01-06T09:00"), @"
    weekly at 2020-01-06T09:00:00+01:00: accepted
      attempt 1 at 2020-01-06T09:00:00+01:00: accepted, http 202
      request id weekly-20200106T0900
      https://chatgpt.com/c/1
      its file has a problem (`triggerd check`); this is by its last good version
    [0]
    ");
    std::fs::remove_file(folder.path("schedules/weekly.toml")).expect("it is there");
    assert_snapshot!(why(&folder, "2020-01-27T09:00"), @"
    weekly at 2020-01-27T09:00:00+01:00: skipped, superseded
      a later one was delivered in its place: by the catch-up, or while this one waited
      it is one of 3 occurrences from 2020-01-20T09:00:00+01:00 to 2020-02-03T09:00:00+01:00
      its file is not in the folder; this is by its last good version
    [0]
    ");
    assert_snapshot!(folder.triggerd("why other 2020-01-27").run(), @"
    | error: there is no schedule `other`; the folder has no valid one
    [1]
    ");
}

#[test]
fn json_has_one_shape() {
    let folder = folder();
    let answer = |time: &str| -> Value {
        let done = why(&folder, &format!("{time} --json"));
        assert_eq!((done.err.as_str(), done.code), ("", 0));
        serde_json::from_str(&done.out).expect("it is JSON")
    };
    let skipped = answer("2020-01-20T09:00");
    assert_eq!(skipped["entry"]["count"], 3);
    let accepted = answer("2020-01-06T09:00");
    assert_eq!(accepted["verdict"], "accepted");
    assert_eq!(accepted["reason"], Value::Null);
    assert_eq!(accepted["entry"]["attempts"][0]["http_status"], 202);
    assert_eq!(
        answer("2020-01-28T09:00"),
        json!({
            "schedule": "weekly",
            "local": "2020-01-28T09:00:00+01:00",
            "scheduled_at_utc": "2020-01-28T08:00:00Z",
            "verdict": "none",
            "reason": "no_occurrence",
            "explanation": [
                "it is not due then",
                "the nearest before it is 2020-01-27T09:00:00+01:00: skipped, superseded",
                "the nearest after it is 2020-02-03T09:00:00+01:00: skipped, superseded",
            ],
            "entry": null,
        })
    );
}
