//! What becomes of a schedule when the clock changes, case by case. Wall clocks, as cronsim's tests list them for Riga:
//!
//! ```text
//! 2021-03-28   01:59 +02   02:00 +02   02:59 +02 | 04:00 +03   04:01 +03
//! 2021-10-31   02:59 +03   03:00 +03   03:59 +03 | 03:00 +02   03:59 +02   04:00 +02
//! ```

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::CronExpr;

/// The expected wall clocks are those at or after `from`'s, which is one too: `2021-03-28 00:00 +02`.
#[track_caller]
fn check(text: &str, zone: &str, from: &str, expected: &[&str]) {
    let expr = CronExpr::parse(text, "test").expect("the expression is valid");
    let zone = TimeZone::get(zone).expect("the zone is in tzdata");
    let mut at =
        Timestamp::strptime("%Y-%m-%d %H:%M %z", from).expect("a wall clock with its offset");
    let due: Vec<String> = expected
        .iter()
        .map_while(|_| {
            at = expr.next_after(at, &zone)?;
            let zoned = at.to_zoned_datetime(zone.clone());
            let offset = zoned.offset().to_string();
            let seconds = if zoned.second() == 0 {
                String::new()
            } else {
                format!(":{:02}", zoned.second())
            };
            Some(format!(
                "{}{seconds} {offset}",
                zoned.strftime("%Y-%m-%d %H:%M")
            ))
        })
        .collect();
    assert_eq!(due, expected, "`{text}`");
}

const RIGA: &str = "Europe/Riga";

#[test]
fn riga_2021_03_28_gap_daily_0330() {
    check(
        "30 3 * * *",
        RIGA,
        "2021-03-27 12:00 +0200",
        &["2021-03-28 04:00 +03", "2021-03-29 03:30 +03"],
    );
}

#[test]
fn riga_2021_03_28_gap_daily_0300_lands_on_its_edge() {
    check(
        "0 3 * * *",
        RIGA,
        "2021-03-27 12:00 +0200",
        &["2021-03-28 04:00 +03", "2021-03-29 03:00 +03"],
    );
}

#[test]
fn riga_2021_03_28_gap_several_skipped_times_are_one() {
    check(
        "*/5,1 3 * * *",
        RIGA,
        "2021-03-28 02:00 +0200",
        &["2021-03-29 03:00 +03"],
    );
    check(
        "1,2,3 3 * * *",
        RIGA,
        "2021-03-28 02:00 +0200",
        &["2021-03-28 04:00 +03", "2021-03-29 03:01 +03"],
    );
}

#[test]
fn riga_2021_03_28_gap_skipped_and_due_at_its_end_are_one() {
    check(
        "0 3,4 * * *",
        RIGA,
        "2021-03-28 02:00 +0200",
        &[
            "2021-03-28 04:00 +03",
            "2021-03-29 03:00 +03",
            "2021-03-29 04:00 +03",
        ],
    );
}

#[test]
fn riga_2021_03_28_gap_started_at_its_end_is_past() {
    check(
        "30 3 * * *",
        RIGA,
        "2021-03-28 04:00 +0300",
        &["2021-03-29 03:30 +03"],
    );
}

#[test]
fn riga_2021_03_28_gap_on_that_weekday_only() {
    check(
        "30 3 * * SUN",
        RIGA,
        "2021-03-27 12:00 +0200",
        &["2021-03-28 04:00 +03", "2021-04-04 03:30 +03"],
    );
    check(
        "30 3 * * SAT",
        RIGA,
        "2021-03-27 12:00 +0200",
        &["2021-04-03 03:30 +03"],
    );
}

#[test]
fn riga_2021_03_28_gap_every_minute_goes_on() {
    check(
        "* * * * *",
        RIGA,
        "2021-03-28 02:58 +0200",
        &["2021-03-28 02:59 +02", "2021-03-28 04:00 +03"],
    );
}

#[test]
fn riga_2021_03_28_gap_with_seconds() {
    check(
        "15 30 3 * * *",
        RIGA,
        "2021-03-27 12:00 +0200",
        &["2021-03-28 04:00 +03", "2021-03-29 03:30:15 +03"],
    );
}

#[test]
fn riga_2021_10_31_fold_daily_0330() {
    check(
        "30 3 * * *",
        RIGA,
        "2021-10-30 12:00 +0300",
        &["2021-10-31 03:30 +03", "2021-11-01 03:30 +02"],
    );
}

#[test]
fn riga_2021_10_31_fold_started_in_second_pass() {
    check(
        "30 3 * * *",
        RIGA,
        "2021-10-31 03:10 +0200",
        &["2021-11-01 03:30 +02"],
    );
}

#[test]
fn riga_2021_10_31_fold_its_end_is_new() {
    check(
        "0 3,4 * * *",
        RIGA,
        "2021-10-31 02:00 +0300",
        &["2021-10-31 03:00 +03", "2021-10-31 04:00 +02"],
    );
}

#[test]
fn riga_2021_10_31_fold_interval_fires_in_both_passes() {
    check(
        "*/30 3 * * *",
        RIGA,
        "2021-10-31 02:00 +0300",
        &[
            "2021-10-31 03:00 +03",
            "2021-10-31 03:30 +03",
            "2021-10-31 03:00 +02",
            "2021-10-31 03:30 +02",
        ],
    );
}

#[test]
fn riga_2021_10_31_fold_list_of_all_minutes_is_a_clock() {
    check(
        "0-59/30 3 * * *",
        RIGA,
        "2021-10-31 03:00 +0300",
        &["2021-10-31 03:30 +03", "2021-11-01 03:00 +02"],
    );
}

#[test]
fn new_york_2026_03_08_gap_interval_half_hours() {
    check(
        "*/30 2 * * *",
        "America/New_York",
        "2026-03-08 00:00 -0500",
        &["2026-03-09 02:00 -04"],
    );
}

#[test]
fn new_york_2026_03_08_gap_every_second_hour() {
    check(
        "0 */2 * * *",
        "America/New_York",
        "2026-03-08 00:00 -0500",
        &["2026-03-08 04:00 -04"],
    );
}

#[test]
fn new_york_2026_11_01_fold_interval_half_hours() {
    check(
        "*/30 1 * * *",
        "America/New_York",
        "2026-11-01 01:00 -0400",
        &[
            "2026-11-01 01:30 -04",
            "2026-11-01 01:00 -05",
            "2026-11-01 01:30 -05",
        ],
    );
}

#[test]
fn berlin_every_last_sunday_of_march_at_0230() {
    check(
        "30 2 * 3 7L",
        "Europe/Berlin",
        "2026-01-01 00:00 +0100",
        &["2026-03-29 03:00 +02", "2027-03-28 03:00 +02"],
    );
}

#[test]
fn berlin_every_last_sunday_of_march_between_2_and_3_as_an_interval_is_never() {
    let expr = CronExpr::parse("*/30 2 * 3 7L", "test").expect("other zones have such times");
    let berlin = TimeZone::get("Europe/Berlin").expect("the zone is in tzdata");
    assert_eq!(
        expr.next_after(Timestamp::constant(1_800_000_000, 0), &berlin),
        None
    );
}

#[test]
fn lord_howe_2026_10_04_gap_of_half_an_hour() {
    check(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03 12:00 +1030",
        &["2026-10-04 02:30 +11"],
    );
}

#[test]
fn lord_howe_2026_04_05_fold_of_half_an_hour() {
    check(
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-05 00:00 +1100",
        &["2026-04-05 01:45 +11", "2026-04-06 01:45 +10:30"],
    );
}

#[test]
fn cairo_2026_04_24_gap_at_midnight() {
    check(
        "0 0 * * FRI",
        "Africa/Cairo",
        "2026-04-23 12:00 +0200",
        &["2026-04-24 01:00 +03", "2026-05-01 00:00 +03"],
    );
}

#[test]
fn cairo_2026_10_29_fold_before_midnight() {
    check(
        "30 23 * * *",
        "Africa/Cairo",
        "2026-10-29 12:00 +0300",
        &["2026-10-29 23:30 +03", "2026-10-30 23:30 +02"],
    );
    check(
        "0 0 * * *",
        "Africa/Cairo",
        "2026-10-29 12:00 +0300",
        &["2026-10-30 00:00 +02"],
    );
}

#[test]
fn troll_2026_03_29_gap_of_two_hours() {
    check(
        "30 1,2 * * *",
        "Antarctica/Troll",
        "2026-03-29 00:00 +0000",
        &["2026-03-29 03:00 +02", "2026-03-30 01:30 +02"],
    );
}

#[test]
fn troll_2026_10_25_fold_of_two_hours() {
    check(
        "30 1,2 * * *",
        "Antarctica/Troll",
        "2026-10-25 02:00 +0200",
        &["2026-10-25 02:30 +02", "2026-10-26 01:30 +00"],
    );
}

#[test]
fn apia_2011_12_30_skipped_day_is_not_made_up() {
    check(
        "0 12 * * *",
        "Pacific/Apia",
        "2011-12-29 12:00 -1000",
        &["2011-12-31 12:00 +14"],
    );
    check(
        "0 12 30 12 *",
        "Pacific/Apia",
        "2011-12-01 12:00 -1000",
        &["2012-12-30 12:00 +14"],
    );
}

#[test]
fn vostok_1994_02_01_fold_of_seven_hours_is_due_twice() {
    check(
        "0 22 * * *",
        "Antarctica/Vostok",
        "1994-01-31 21:00 +0700",
        &["1994-01-31 22:00 +07", "1994-01-31 22:00 +00"],
    );
}

#[test]
fn casey_2019_10_04_gap_of_three_hours_is_not_made_up() {
    check(
        "30 4 * * *",
        "Antarctica/Casey",
        "2019-10-03 12:00 +0800",
        &["2019-10-05 04:30 +11"],
    );
}

#[test]
fn casey_2020_03_08_fold_of_three_hours_has_a_first_pass_only() {
    check(
        "30 1 * * *",
        "Antarctica/Casey",
        "2020-03-07 12:00 +1100",
        &["2020-03-08 01:30 +11", "2020-03-09 01:30 +08"],
    );
}
