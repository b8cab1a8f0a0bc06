use super::*;

fn utc(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn every(lines: &[&str], zone: &str) -> Recurrence {
    let lines = lines
        .iter()
        .map(|line| CronExpr::parse(line, "test").expect("a valid line"))
        .collect();
    let zone = Zone::parse(zone).expect("tzdata has it");
    Recurrence {
        timing: Timing::Cron(lines),
        zone,
        start: None,
        end: None,
        except: vec![],
    }
}

fn once(wall: &str, zone: &str) -> Recurrence {
    Recurrence {
        timing: Timing::At(wall.parse().expect("a wall clock")),
        ..every(&[], zone)
    }
}

/// The labels of what is due from here on, excluded ones in brackets.
#[track_caller]
fn check(recurrence: &Recurrence, after: &str, expected: &[&str]) {
    let mut at = utc(after);
    let due: Vec<String> = std::iter::from_fn(|| {
        let slot = recurrence.next_after(at)?;
        at = slot.at;
        let label = recurrence.label(&slot);
        Some(if slot.excluded {
            format!("[{label}]")
        } else {
            label
        })
    })
    .take(expected.len() + 1)
    .collect();
    let is_longer = due.len() > expected.len() && expected.last() == Some(&"…");
    let (due, expected) = if is_longer || expected.last() == Some(&"…") {
        (&due[..expected.len() - 1], &expected[..expected.len() - 1])
    } else {
        (&due[..], expected)
    };
    assert_eq!(due, expected);
}

#[test]
fn lines_that_meet_are_one_slot_named_by_the_clock() {
    let both = every(&["0 * * * *", "0 9,10 * * *"], "Europe/Berlin");
    check(
        &both,
        "2026-11-23T06:30:00Z",
        &[
            "20261123T070000Z",
            "20261123T0900",
            "20261123T1000",
            "20261123T100000Z",
            "…",
        ],
    );
}

#[test]
fn a_label_has_seconds_where_they_are_not_00() {
    check(
        &every(&["30 0 9 * * *"], "UTC"),
        "2026-11-23T00:00:00Z",
        &["20261123T090030", "…"],
    );
}

#[test]
fn a_label_moved_out_of_a_gap_says_where_it_landed() {
    check(
        &every(&["30 2 * * *"], "America/New_York"),
        "2026-03-08T00:00:00Z",
        &["20260308T0300", "20260309T0230", "…"],
    );
}

#[test]
fn start_and_end_include_their_day() {
    let november = Recurrence {
        start: Some(Bound::Date(Date::constant(2026, 11, 23))),
        end: Some(Bound::Date(Date::constant(2026, 11, 24))),
        ..every(&["0 0,23 * * *"], "Asia/Tokyo")
    };
    check(
        &november,
        "2020-01-01T00:00:00Z",
        &[
            "20261123T0000",
            "20261123T2300",
            "20261124T0000",
            "20261124T2300",
        ],
    );
}

#[test]
fn start_and_end_include_their_instant() {
    let morning = Recurrence {
        start: Some(Bound::DateTime(DateTime::constant(
            2026, 11, 23, 9, 0, 0, 0,
        ))),
        end: Some(Bound::DateTime(DateTime::constant(
            2026, 11, 23, 10, 0, 0, 0,
        ))),
        ..every(&["*/30 * * * *"], "UTC")
    };
    check(
        &morning,
        "2020-01-01T00:00:00Z",
        &["20261123T090000Z", "20261123T093000Z", "20261123T100000Z"],
    );
}

#[test]
fn dates_of_except_are_local_and_come_marked() {
    let not_on_tuesday = Recurrence {
        except: vec![Date::constant(2026, 11, 24)],
        ..every(&["30 0 * * *"], "Asia/Tokyo")
    };
    check(
        &not_on_tuesday,
        "2026-11-22T00:00:00Z",
        &["20261123T0030", "[20261124T0030]", "20261125T0030", "…"],
    );
}

#[test]
fn at_is_due_once() {
    check(
        &once("2026-12-24T18:00:00", "Europe/Berlin"),
        "2026-11-23T00:00:00Z",
        &["20261224T1800"],
    );
    check(
        &once("2026-12-24T18:00:00", "Europe/Berlin"),
        "2026-12-24T17:00:00Z",
        &[],
    );
}

#[test]
fn at_in_a_gap_is_due_right_after_it() {
    let at = once("2026-03-29T02:30:00", "Europe/Berlin");
    assert_eq!(
        at.next_after(Timestamp::MIN).map(|slot| slot.at),
        Some(utc("2026-03-29T01:00:00Z"))
    );
}

#[test]
fn at_in_a_fold_is_due_in_its_first_pass() {
    let at = once("2026-10-25T02:30:00", "Europe/Berlin");
    assert_eq!(
        at.next_after(Timestamp::MIN).map(|slot| slot.at),
        Some(utc("2026-10-25T00:30:00Z"))
    );
}

#[test]
fn previous_looks_past_start_and_over_years() {
    let leap = Recurrence {
        start: Some(Bound::Date(Date::constant(2026, 1, 1))),
        ..every(&["0 0 29 2 */6"], "UTC")
    };
    let previous = |before| {
        leap.previous_before(utc(before))
            .map(|slot| leap.label(&slot))
    };
    assert_eq!(
        previous("2026-11-23T00:00:00Z").as_deref(),
        Some("20200229T0000")
    );
    assert_eq!(
        previous("2020-02-29T00:00:00Z").as_deref(),
        Some("20040229T0000")
    );
}

#[test]
fn previous_is_strictly_before() {
    let hourly = every(&["0 * * * *"], "UTC");
    let previous = |before| hourly.previous_before(utc(before)).map(|slot| slot.at);
    assert_eq!(
        previous("2026-11-23T09:00:00Z"),
        Some(utc("2026-11-23T08:00:00Z"))
    );
    assert_eq!(
        previous("2026-11-23T09:00:00.000000001Z"),
        Some(utc("2026-11-23T09:00:00Z"))
    );
    let at = once("2026-12-24T18:00:00", "UTC");
    assert_eq!(at.previous_before(utc("2026-12-24T18:00:00Z")), None);
    assert_eq!(
        at.previous_before(utc("2026-12-24T18:00:01Z"))
            .map(|slot| slot.at),
        Some(utc("2026-12-24T18:00:00Z"))
    );
}

#[test]
fn newest_passes_over_excluded_dates() {
    let secondly = Recurrence {
        except: (1..=22).map(|day| Date::constant(2026, 11, day)).collect(),
        ..every(&["* * * * * *"], "UTC")
    };
    let newest = secondly.newest(3, utc("2026-01-01T00:00:00Z"), utc("2026-11-23T00:00:00Z"));
    let labels: Vec<String> = newest.iter().map(|slot| secondly.label(slot)).collect();
    assert_eq!(
        labels,
        ["20261031T235958Z", "20261031T235959Z", "20261123T000000Z"]
    );
    assert_eq!(
        secondly.newest(0, utc("2026-01-01T00:00:00Z"), utc("2026-11-23T00:00:00Z")),
        []
    );
}

#[test]
fn ten_years_of_seconds_are_counted_without_walking() {
    let secondly = every(&["* * * * * *", "0 0 * * *"], "Europe/Berlin");
    let days = 365 * 10 + 2;
    assert_eq!(
        secondly.count(utc("2026-06-01T00:00:00Z"), utc("2036-06-01T00:00:00Z")),
        (days + 1) * 86_400
    );
}

#[test]
fn what_a_gap_skips_is_counted_once_where_it_lands() {
    let count = |lines: &[&str], after, until| {
        every(lines, "America/New_York").count(utc(after), utc(until))
    };
    let (before, gap, next_day) = (
        "2026-03-08T00:00:00Z",
        "2026-03-08T07:00:00Z",
        "2026-03-09T00:00:00Z",
    );
    assert_eq!(count(&["0,30 2 * * *"], before, next_day), 1);
    assert_eq!(count(&["0 2,3 * * *"], before, next_day), 1);
    assert_eq!(count(&["30 2 * * *", "0 * * * *"], before, gap), 7);
    assert_eq!(count(&["30 2 * * *"], gap, next_day), 0);
}
