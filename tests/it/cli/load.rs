use insta::assert_snapshot;
use serde_json::{Value, json};

use super::Folder;

/// Three at nine in Berlin, one each quarter of an hour, and what does not count.
fn folder() -> Folder {
    let daily = "cron = \"0 9 * * *\"\ntimezone = \"Europe/Berlin\"\ninput = \"x\"\n";
    Folder::new()
        .schedule("a", daily)
        .schedule("b", daily)
        .schedule("c", daily)
        .schedule("excluded", &format!("except = [2026-11-23]\n{daily}"))
        .schedule("off", &format!("enabled = false\n{daily}"))
        .schedule("poll", "cron = \"*/15 8-9 * * *\"\ninput = \"x\"\n")
}

#[test]
fn the_minutes_are_drawn_with_the_worst_and_a_way_out() {
    let line = "load --from 2026-11-23T00:00:00Z";
    assert_snapshot!(folder().triggerd(line).run(), @"
    11 occurrences of 5 schedules from 2026-11-23T00:00:00Z to 2026-11-24T00:00:00Z

                   :00       :10       :20       :30       :40       :50
    Mon 23 Nov 08  4··············1··············1··············1··············
    Mon 23 Nov 09  1··············1··············1··············1··············

    The fullest minutes in which schedules meet:
      2026-11-23T08:00:00Z     4  a, b, c, poll

    A better minute, one after the other (`H` in `cron`, or `jitter`, spreads them as well):
      a: minute 1 instead of 0 meets 0 instead of 3
      b: minute 2 instead of 0 meets 0 instead of 2
      c: minute 3 instead of 0 meets 0 instead of 1
    [0]
    ");
    let line = "load --from 2026-11-23T00:00 --timezone Europe/Berlin --next 10h";
    assert_snapshot!(folder().triggerd(line).run(), @"
    8 occurrences of 5 schedules from 2026-11-23T00:00:00+01:00 to 2026-11-23T10:00:00+01:00

                   :00       :10       :20       :30       :40       :50
    Mon 23 Nov 09  4··············1··············1··············1··············
    Mon 23 Nov 10  1···························································

    The fullest minutes in which schedules meet:
      2026-11-23T09:00:00+01:00     4  a, b, c, poll

    A better minute, one after the other (`H` in `cron`, or `jitter`, spreads them as well):
      a: minute 1 instead of 0 meets 0 instead of 3
      b: minute 2 instead of 0 meets 0 instead of 2
      c: minute 3 instead of 0 meets 0 instead of 1
    [0]
    ");
}

#[test]
fn what_does_not_meet_is_well() {
    let folder = Folder::new()
        .schedule("a", "cron = \"0 9 * * *\"\ninput = \"x\"\n")
        .schedule("b", "cron = \"1 9 * * *\"\ninput = \"x\"\n");
    let line = "load --from 2026-11-23T00:00:00Z";
    assert_snapshot!(folder.triggerd(line).run(), @"
    2 occurrences of 2 schedules from 2026-11-23T00:00:00Z to 2026-11-24T00:00:00Z

                   :00       :10       :20       :30       :40       :50
    Mon 23 Nov 09  11··························································

    No two schedules are due in one minute.
    [0]
    ");
    assert_snapshot!(folder.triggerd(&format!("{line} --next 1h")).run(), @"
    0 occurrences of 2 schedules from 2026-11-23T00:00:00Z to 2026-11-23T01:00:00Z

    No two schedules are due in one minute.
    [0]
    ");
}

#[test]
fn jitter_counts() {
    let spread = "cron = \"0 9 * * *\"\njitter = \"50m\"\ninput = \"x\"\n";
    let folder = Folder::new().schedule("a", spread).schedule("b", spread);
    let line = "load --from 2026-11-23T00:00:00Z";
    assert_snapshot!(folder.triggerd(line).run(), @"
    2 occurrences of 2 schedules from 2026-11-23T00:00:00Z to 2026-11-24T00:00:00Z

                   :00       :10       :20       :30       :40       :50
    Mon 23 Nov 09  ················1·····················1·····················

    No two schedules are due in one minute.
    [0]
    ");
}

#[test]
fn many_at_one_minute_are_counted_and_not_all_named() {
    let mut folder = Folder::new();
    for n in 0..12 {
        folder = folder.schedule(&format!("s{n:02}"), "cron = \"0 9 * * *\"\ninput = \"x\"\n");
    }
    let line = "load --from 2026-11-23T00:00:00Z";
    assert_snapshot!(folder.triggerd(line).run(), @"
    12 occurrences of 12 schedules from 2026-11-23T00:00:00Z to 2026-11-24T00:00:00Z

                   :00       :10       :20       :30       :40       :50
    Mon 23 Nov 09  #···························································

    The fullest minutes in which schedules meet:
      2026-11-23T09:00:00Z    12  s00, s01, s02, s03, s04, s05 and 6 more

    A better minute, one after the other (`H` in `cron`, or `jitter`, spreads them as well):
      s00: minute 1 instead of 0 meets 0 instead of 11
      s01: minute 2 instead of 0 meets 0 instead of 10
      s02: minute 3 instead of 0 meets 0 instead of 9
      s03: minute 4 instead of 0 meets 0 instead of 8
      s04: minute 5 instead of 0 meets 0 instead of 7
      s05: minute 6 instead of 0 meets 0 instead of 6
      s06: minute 7 instead of 0 meets 0 instead of 5
      s07: minute 8 instead of 0 meets 0 instead of 4
      s08: minute 9 instead of 0 meets 0 instead of 3
      s09: minute 10 instead of 0 meets 0 instead of 2
    [0]
    ");
}

#[test]
fn json_has_one_shape() {
    let line = "load --from 2026-11-23T08:14:00Z --next 2m --json";
    let folder = folder().schedule("d", "cron = \"15 8 * * *\"\ninput = \"x\"\n");
    let done = folder.triggerd(line).run();
    assert_eq!((done.err.as_str(), done.code), ("", 0));
    let load: Value = serde_json::from_str(&done.out).expect("it is JSON");
    assert_eq!(
        load,
        json!({
            "from": "2026-11-23T08:14:00Z",
            "until": "2026-11-23T08:16:00Z",
            "minutes": [
                { "minute": "2026-11-23T08:15:00Z", "count": 2, "schedules": ["d", "poll"] },
            ],
            "moves": [
                { "schedule": "d", "from_minute": 15, "to_minute": 14, "meets": 0, "instead_of": 1 },
            ],
        })
    );
}
