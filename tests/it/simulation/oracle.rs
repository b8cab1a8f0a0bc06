//! Which occurrences are owed, by looking at every minute. It shares no code with the daemon's cron,
//! agenda or keys: only the time zone data is the same.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// When a schedule is due, said in sets rather than in an expression.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    pub(super) minutes: Vec<i8>,
    /// `None`: every hour, which makes it an interval schedule.
    pub(super) hours: Option<Vec<i8>>,
    /// Monday is 1; `None`: every day.
    pub(super) weekdays: Option<Vec<i8>>,
    pub(super) zone: &'static str,
}

/// One instant at which it is due, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) at: Timestamp,
    pub(super) label: String,
    pub(super) key_zone: String,
}

impl Timing {
    pub(super) fn expression(&self) -> String {
        let list = |values: &[i8]| {
            let texts: Vec<String> = values.iter().map(i8::to_string).collect();
            texts.join(",")
        };
        let hours = self.hours.as_deref().map_or("*".into(), list);
        let weekdays = self.weekdays.as_deref().map_or("*".into(), list);
        format!("{} {hours} * * {weekdays}", list(&self.minutes))
    }

    fn matches(&self, local: DateTime) -> bool {
        let weekday = local.weekday().to_monday_one_offset();
        self.minutes.contains(&local.minute())
            && self
                .hours
                .as_ref()
                .is_none_or(|hours| hours.contains(&local.hour()))
            && self
                .weekdays
                .as_ref()
                .is_none_or(|weekdays| weekdays.contains(&weekday))
    }

    /// Every occurrence in `(after, until]`, by a walk over all minutes that begins a day before.
    pub(super) fn owed(&self, after: Timestamp, until: Timestamp) -> BTreeMap<Timestamp, Owed> {
        let zone = TimeZone::get(self.zone).expect("a zone");
        let minute = SignedDuration::from_mins(1);
        let mut at =
            Timestamp::from_second((after.as_second() / 60 - 1440) * 60).expect("in range");
        let mut furthest = zone.to_datetime(at);
        let mut owed = BTreeMap::new();
        while at <= until {
            let local = zone.to_datetime(at);
            let skipped_one = {
                let mut gap = furthest + minute;
                let mut matched = false;
                while gap < local {
                    matched |= self.matches(gap);
                    gap += minute;
                }
                matched
            };
            let interval = self.hours.is_none();
            let repeated = local <= furthest && at > after - SignedDuration::from_hours(23);
            let due = match interval {
                true => self.matches(local),
                false => (self.matches(local) && !repeated) || skipped_one,
            };
            if due && at > after {
                let (label, key_zone) = match interval {
                    true => (at.strftime("%Y%m%dT%H%M%SZ").to_string(), "UTC".to_owned()),
                    false => (
                        local.strftime("%Y%m%dT%H%M").to_string(),
                        self.zone.to_owned(),
                    ),
                };
                owed.insert(
                    at,
                    Owed {
                        at,
                        label,
                        key_zone,
                    },
                );
            }
            furthest = furthest.max(local);
            at += minute;
        }
        owed
    }
}

/// SEMANTICS.md 14, from its words.
pub(super) fn key(schedule: &str, owed: &Owed, trigger_id: &str) -> String {
    let text = format!(
        "\n{trigger_id}\n{schedule}\n{}\n{}\n",
        owed.key_zone, owed.label
    );
    let digest = Sha256::digest(text.as_bytes());
    let hexadecimal: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{schedule}-{}-{hexadecimal}", owed.label)
}

#[test]
fn the_oracle_knows_the_two_clock_changes() {
    let timing = |minutes: &[i8], hours: Option<&[i8]>| Timing {
        minutes: minutes.to_vec(),
        hours: hours.map(<[i8]>::to_vec),
        weekdays: None,
        zone: "America/New_York",
    };
    let at = |text: &str| text.parse::<Timestamp>().expect("an instant");
    let found = |timing: Timing, after: &str, until: &str| -> Vec<String> {
        timing
            .owed(at(after), at(until))
            .keys()
            .map(Timestamp::to_string)
            .collect()
    };
    let spring = found(
        timing(&[0, 30], Some(&[2])),
        "2026-03-08T04:00:00Z",
        "2026-03-09T06:00:00Z",
    );
    assert_eq!(spring, ["2026-03-08T07:00:00Z", "2026-03-09T06:00:00Z"]);
    let autumn = found(
        timing(&[30], Some(&[1])),
        "2026-11-01T04:00:00Z",
        "2026-11-01T12:00:00Z",
    );
    assert_eq!(autumn, ["2026-11-01T05:30:00Z"]);
    let hourly = found(
        timing(&[30], None),
        "2026-11-01T05:00:00Z",
        "2026-11-01T07:00:00Z",
    );
    assert_eq!(hourly, ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"]);
}
