//! Which occurrences there are, by brute force: every minute of the run is held against every line,
//! with the wall clock that jiff gives for it. It shares no code with the daemon's own reckoning, and
//! knows no fault.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::sketch::{AGENTS, Continues, Field, Line, Sketch, ZONES};

/// The wall clocks of a stretch of time, in every zone.
pub(super) struct Almanac {
    /// Seconds since 1970 of its first minute.
    first: i64,
    minutes: HashMap<&'static str, Vec<Civil>>,
}

#[derive(Clone, Copy)]
struct Civil {
    /// The wall clock in minutes since 1970.
    wall: i64,
    minute: u32,
    hour: u32,
    date: Date,
    weekday: u32,
}

/// An instant at which a version of a schedule is due.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    /// Seconds since 1970.
    pub at: i64,
    pub key: String,
    pub request_id: String,
    pub conversation_key: Option<String>,
    /// Milliseconds since 1970: the scheduled time and its jitter.
    pub due_ms: i64,
    pub excluded: bool,
}

impl Almanac {
    /// Minutes from `first` to `last`, both in seconds since 1970.
    pub(super) fn new(first: i64, last: i64) -> Self {
        let first = first - first.rem_euclid(60);
        let of_zone = |name: &'static str| {
            let zone = TimeZone::get(name).expect("the zone is in tzdata");
            let minutes = (first..=last).step_by(60).map(|at| {
                let at = Timestamp::from_second(at).expect("in range");
                Civil::at(at, zone.to_offset(at).seconds().into())
            });
            (name, minutes.collect())
        };
        Self {
            first,
            minutes: ZONES.into_iter().map(of_zone).collect(),
        }
    }

    /// The instances of a version in the minutes from `first` to `last`, both in seconds since 1970, in order.
    pub(super) fn instances(&self, sketch: &Sketch, first: i64, last: i64) -> Vec<Instance> {
        let minutes = &self.minutes[sketch.zone];
        let place = |at: i64| usize::try_from((at - self.first).div_euclid(60)).unwrap_or(0);
        let (first, end) = (place(first), (place(last) + 1).min(minutes.len()));
        let minutes = &minutes[first..end];
        let first = self.first + 60 * i64::try_from(first).expect("few minutes");
        let mut due: BTreeMap<i64, bool> = BTreeMap::new();
        for line in &sketch.lines {
            for at in due_minutes(line, minutes, first) {
                *due.entry(at).or_default() |= line.is_clock();
            }
        }
        let nexts: Vec<i64> = due.keys().skip(1).copied().chain([i64::MAX]).collect();
        due.into_iter()
            .zip(nexts)
            .map(|((at, clock), next)| self.instance(sketch, at, clock, next))
            .collect()
    }

    fn instance(&self, sketch: &Sketch, at: i64, clock: bool, next: i64) -> Instance {
        let index = usize::try_from((at - self.first) / 60).expect("after the first minute");
        let civil = &self.minutes[sketch.zone][index];
        let second = at.rem_euclid(60);
        let (zone, label) = match (clock, second) {
            (true, 0) => (sketch.zone, civil.minute_label()),
            (true, second) => (sketch.zone, format!("{}{second:02}", civil.minute_label())),
            (false, second) => {
                let utc = &self.minutes["UTC"][index];
                ("UTC", format!("{}{second:02}Z", utc.minute_label()))
            }
        };
        let request_id = format!("{}-{label}", sketch.name);
        let hashed = format!(
            "\n{}\n{}\n{zone}\n{label}\n",
            AGENTS[sketch.agent].0, sketch.name
        );
        let digits: String = Sha256::digest(hashed)[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let key = format!("{request_id}-{digits}");
        let date = civil.date;
        let conversation_key = match sketch.conversation {
            Continues::Occurrence => Some(request_id.clone()),
            Continues::Schedule => Some(sketch.name.clone()),
            Continues::Day => Some(format!(
                "{}-{:04}{:02}{:02}",
                sketch.name,
                date.year(),
                date.month(),
                date.day()
            )),
            Continues::Month => Some(format!(
                "{}-{:04}{:02}",
                sketch.name,
                date.year(),
                date.month()
            )),
            Continues::Nothing => None,
        };
        Instance {
            due_ms: due_ms(at, next, sketch.jitter, &key),
            excluded: sketch.except.contains(&date),
            at,
            key,
            request_id,
            conversation_key,
        }
    }
}

/// When a line is due in these minutes, the first of which is at `first`.
fn due_minutes(line: &Line, minutes: &[Civil], first: i64) -> Vec<i64> {
    const THREE_HOURS: i64 = 180;
    let mut due = Vec::new();
    let mut unserved = minutes[0].wall;
    for (now, at) in minutes.iter().zip((first..).step_by(60)) {
        let ahead = now.wall - unserved;
        if line.is_clock() {
            if (1..THREE_HOURS).contains(&ahead)
                && (unserved..now.wall).any(|wall| line.matches(&Civil::on_wall(wall)))
            {
                due.push(at);
            }
            if (-THREE_HOURS..0).contains(&ahead) {
                continue;
            }
        }
        unserved = now.wall + 1;
        if line.matches(now) {
            due.extend(line.seconds().iter().map(|second| at + i64::from(*second)));
        }
    }
    due
}

/// SEMANTICS.md 16: whole milliseconds below the length, before the next one.
fn due_ms(at: i64, next: i64, jitter: u64, key: &str) -> i64 {
    if jitter == 0 {
        return at * 1000;
    }
    let digest = Sha256::digest(key);
    let hash = digest[..8]
        .iter()
        .fold(0, |hash: u64, byte| hash << 8 | u64::from(*byte));
    let delay = i64::try_from(hash % (jitter * 1000)).expect("a short length");
    (at * 1000 + delay).min(next.saturating_mul(1000).saturating_sub(1))
}

impl Line {
    fn is_clock(&self) -> bool {
        let second = self.second.as_ref();
        !(self.minute.is_star() || self.hour.is_star() || second.is_some_and(Field::is_star))
    }

    fn matches(&self, at: &Civil) -> bool {
        let day_of_month = u32::try_from(at.date.day()).expect("positive");
        let month = u32::try_from(at.date.month()).expect("positive");
        let date = self.date.has(day_of_month, 1);
        let weekday = self.weekday.has(at.weekday, 0);
        let day = match self.date.is_star() || self.weekday.is_star() {
            true => date && weekday,
            false => date || weekday,
        };
        self.minute.has(at.minute, 0)
            && self.hour.has(at.hour, 0)
            && self.month.has(month, 1)
            && day
    }

    fn seconds(&self) -> Vec<u32> {
        match &self.second {
            None => vec![0],
            Some(field) => (0..60).filter(|second| field.has(*second, 0)).collect(),
        }
    }
}

impl Field {
    fn has(&self, value: u32, min: u32) -> bool {
        match self {
            Field::Any => true,
            Field::Every(step) => (value - min).is_multiple_of(*step),
            Field::Of(values) => values.contains(&value),
        }
    }
}

impl Civil {
    fn at(at: Timestamp, offset_seconds: i64) -> Self {
        Self::on_wall((at.as_second() + offset_seconds).div_euclid(60))
    }

    fn on_wall(wall: i64) -> Self {
        let epoch = Date::constant(1970, 1, 1).at(0, 0, 0, 0);
        let civil = epoch + SignedDuration::from_mins(wall);
        Self {
            wall,
            minute: u32::try_from(civil.minute()).expect("positive"),
            hour: u32::try_from(civil.hour()).expect("positive"),
            date: civil.date(),
            weekday: u32::try_from(civil.weekday().to_sunday_zero_offset()).expect("positive"),
        }
    }

    fn minute_label(&self) -> String {
        let date = self.date;
        format!(
            "{:04}{:02}{:02}T{:02}{:02}",
            date.year(),
            date.month(),
            date.day(),
            self.hour,
            self.minute
        )
    }
}

#[test]
fn the_oracle_knows_the_two_clock_changes() {
    use super::random::Random;
    use super::sketch::Due;

    let at = |text: &str| text.parse::<Timestamp>().expect("an instant").as_second();
    let found = |minutes: &[u32], hour: Field, from: &str, to: &str| -> Vec<String> {
        let date = Date::constant(2026, 1, 1);
        let sketch = Sketch {
            lines: vec![Line {
                second: None,
                minute: Field::Of(minutes.to_vec()),
                hour,
                date: Field::Any,
                month: Field::Any,
                weekday: Field::Any,
            }],
            zone: "America/New_York",
            ..Sketch::random("a".to_owned(), 0, &mut Random::new(1), date, Due::Often)
        };
        let almanac = Almanac::new(at(from), at(to));
        let instances = almanac.instances(&sketch, at(from), at(to));
        let instants = instances.iter().map(|it| Timestamp::from_second(it.at));
        instants
            .map(|it| it.expect("in range").to_string())
            .collect()
    };
    let two = Field::Of(vec![2]);
    let spring = found(
        &[0, 30],
        two,
        "2026-03-08T04:00:00Z",
        "2026-03-09T06:00:00Z",
    );
    assert_eq!(spring, ["2026-03-08T07:00:00Z", "2026-03-09T06:00:00Z"]);
    let one = Field::Of(vec![1]);
    let autumn = found(&[30], one, "2026-11-01T04:00:00Z", "2026-11-01T12:00:00Z");
    assert_eq!(autumn, ["2026-11-01T05:30:00Z"]);
    let hourly = found(
        &[30],
        Field::Any,
        "2026-11-01T05:01:00Z",
        "2026-11-01T07:00:00Z",
    );
    assert_eq!(hourly, ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"]);
}
