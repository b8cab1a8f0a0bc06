//! Which occurrences a cron expression gives: brute force, second by second, on jiff's wall clock, by CRON's written
//! rules. It shares no code with the daemon and knows neither its parser nor its search.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// One occurrence, by its instant and by the name that it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) at: Timestamp,
    pub(crate) label: String,
    /// What the key is made with.
    pub(crate) zone: String,
}

/// All from the first instant to the last, both included.
pub(crate) fn due(cron: &str, zone: &str, first: Timestamp, last: Timestamp) -> Vec<Due> {
    let fields = Fields::read(cron);
    let tz = TimeZone::get(zone).expect("the driver names a zone that exists");
    (first.as_second()..=last.as_second())
        .filter_map(|second| {
            let at = Timestamp::from_second(second).expect("in range");
            if at < first {
                return None;
            }
            let civil = tz.to_datetime(at);
            if fields.interval {
                let label = at.strftime("%Y%m%dT%H%M%SZ").to_string();
                let zone = "UTC".to_owned();
                return fields.match_at(civil).then_some(Due { at, label, zone });
            }
            let due = fields.match_at(civil) && is_first_pass(&tz, civil, at)
                || fields.match_in_gap(&tz, civil, at);
            let form = match civil.second() {
                0 => "%Y%m%dT%H%M",
                _ => "%Y%m%dT%H%M%S",
            };
            let label = civil.strftime(form).to_string();
            let zone = zone.to_owned();
            due.then_some(Due { at, label, zone })
        })
        .collect()
}

/// `<schedule>-<label>`, without a namespace.
pub(crate) fn request_id(schedule: &str, due: &Due) -> String {
    format!("{schedule}-{}", due.label)
}

/// The key to the byte: the hash's lines are namespace, trigger id, schedule, zone, label.
pub(crate) fn key(schedule: &str, trigger_id: &str, due: &Due) -> String {
    let lines = format!("\n{trigger_id}\n{schedule}\n{}\n{}\n", due.zone, due.label);
    let digest = Sha256::digest(lines.as_bytes());
    let hex: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}-{hex}", request_id(schedule, due))
}

/// A wall-clock time that comes twice counts in its first pass only.
fn is_first_pass(tz: &TimeZone, civil: DateTime, at: Timestamp) -> bool {
    match tz.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Fold { before, .. } => {
            before.to_timestamp(civil).is_ok_and(|first| first == at)
        }
        _ => true,
    }
}

struct Fields {
    second: BTreeSet<i8>,
    minute: BTreeSet<i8>,
    hour: BTreeSet<i8>,
    day: BTreeSet<i8>,
    month: BTreeSet<i8>,
    weekday: BTreeSet<i8>,
    both_days: bool,
    interval: bool,
}

impl Fields {
    /// Six fields, the second first: `*`, numbers, ranges, steps and lists.
    fn read(cron: &str) -> Self {
        let fields: Vec<&str> = cron.split_ascii_whitespace().collect();
        assert_eq!(fields.len(), 6, "the driver writes six fields: {cron}");
        let starts = |at: usize| fields[at].starts_with('*');
        Self {
            second: values(fields[0], 0, 59),
            minute: values(fields[1], 0, 59),
            hour: values(fields[2], 0, 23),
            day: values(fields[3], 1, 31),
            month: values(fields[4], 1, 12),
            weekday: values(fields[5], 0, 6),
            both_days: starts(3) || starts(5),
            interval: starts(0) || starts(1) || starts(2),
        }
    }

    fn match_at(&self, civil: DateTime) -> bool {
        let day = self.day.contains(&civil.day());
        let weekday = civil.weekday().to_sunday_zero_offset();
        let weekday = self.weekday.contains(&weekday);
        let days = match self.both_days {
            true => day && weekday,
            false => day || weekday,
        };
        days && self.month.contains(&civil.month())
            && self.hour.contains(&civil.hour())
            && self.minute.contains(&civil.minute())
            && self.second.contains(&civil.second())
    }

    /// Whether this is the first instant after a gap that swallowed a match.
    fn match_in_gap(&self, tz: &TimeZone, civil: DateTime, at: Timestamp) -> bool {
        let before = tz.to_offset(at - SignedDuration::from_secs(1)).seconds();
        let gap = tz.to_offset(at).seconds() - before;
        (0 < gap && gap < 3 * 3600)
            && (1..=gap).any(|back| self.match_at(civil - SignedDuration::from_secs(back.into())))
    }
}

fn values(field: &str, least: i8, greatest: i8) -> BTreeSet<i8> {
    let number = |text: &str| text.parse::<i8>().expect("a number");
    let mut found = BTreeSet::new();
    for term in field.split(',') {
        let (range, step) = match term.split_once('/') {
            Some((range, step)) => (range, step.parse().expect("a step")),
            None => (term, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, greatest),
            Some((from, to)) => (number(from), number(to)),
            None => (number(range), number(range)),
        };
        found.extend((from..=to).step_by(step));
    }
    found
}
