//! What must hold for every expression in every zone, checked against a slow reading of Debian cron that shares no code
//! with the fast one.

use croner::parser::{CronParser, Seconds};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use triggerd::schedule::cron::CronExpr;
use triggerd::schedule::recurrence::{Bound, Recurrence, Slot, Timing, Zone};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const SECOND: SignedDuration = SignedDuration::from_secs(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Strictly later, it matches, and nothing between matches.
    #[test]
    fn is_due_when_debian_cron_is(expr in five_fields(), (zone, after) in around_a_clock_change()) {
        let until = after + 6 * DAY;
        prop_assert_eq!(due(&expr.text(), &zone, after, until), debian(&expr, &zone, after, until, MINUTE), "`{}`", expr.text());
    }

    #[test]
    fn is_due_when_debian_cron_would_be_if_it_had_seconds(expr in six_fields(), (zone, after) in around_a_clock_change()) {
        let until = after + 5 * HOUR;
        prop_assert_eq!(due(&expr.text(), &zone, after, until), debian(&expr, &zone, after, until, SECOND), "`{}`", expr.text());
    }

    /// Days alone, over years: at noon, where no clock changes.
    #[test]
    fn is_due_on_the_days_that_match(days in day_fields(), after in any_instant()) {
        let expr = Sketch { hours: vec![Term::Range(12, 12, 1)], minutes: vec![Term::Range(0, 0, 1)], ..days };
        let noon = after.round(jiff::Unit::Hour).expect("in range").to_zoned_datetime(TimeZone::UTC).date();
        let mut date = noon;
        let mut expected = Vec::new();
        for _ in 0..3 * 366 {
            let at = date.at(12, 0, 0, 0);
            let instant = at.to_zoned_datetime(TimeZone::UTC).expect("in range").timestamp();
            if instant > after && expr.matches(at) {
                expected.push(instant);
            }
            date = date.tomorrow().expect("in range");
        }
        let until = date.at(0, 0, 0, 0).to_zoned_datetime(TimeZone::UTC).expect("in range").timestamp();
        match CronExpr::parse(&expr.text(), "law") {
            Ok(_) => prop_assert_eq!(due(&expr.text(), &TimeZone::UTC, after, until), expected, "`{}`", expr.text()),
            Err(error) => prop_assert!(expected.is_empty() && error.message.contains("never fires"), "{:?}", error),
        }
    }

    #[test]
    fn agrees_with_croner_on_utc(expr in what_croner_knows(), after in any_instant()) {
        let croner = CronParser::builder().seconds(Seconds::Optional).build().parse(&expr.text()).expect("croner knows it");
        let Ok(ours) = CronExpr::parse(&expr.text(), "law") else { return Ok(()) };
        let mut at = after;
        for _ in 0..20 {
            let next = ours.next_after(at, &TimeZone::UTC).expect("it fires");
            let theirs = croner.find_next_occurrence(&Civil::of(at), false).expect("it fires").instant();
            prop_assert_eq!(next, theirs, "`{}`", expr.text());
            at = next;
        }
    }

    /// Whatever is written, an answer comes back, and its span lies within the text.
    #[test]
    fn parses_or_says_where(text in "[ -~\t\u{e9}]{0,40}|([0-9*,/LWH#(){}?~-]{1,6}[ \t]){4,6}[A-Z0-9*]{1,3}") {
        if let Err(error) = CronExpr::parse(&text, "law") {
            prop_assert!(text.get(error.span.clone()).is_some(), "{:?}", error);
            prop_assert!(!error.span.is_empty() || text.is_empty(), "{:?}", error);
        }
    }

    #[test]
    fn the_other_questions_give_what_walking_gives((recurrence, after) in recurrences(), n in 1_usize..20) {
        let until = after + 8 * DAY;
        let slots = walked(&recurrence, after, until);
        let kept: Vec<Slot> = slots.iter().copied().filter(|slot| !slot.excluded).collect();

        prop_assert_eq!(recurrence.count(after, until), kept.len() as u64);
        prop_assert_eq!(recurrence.newest(n, after, until), &kept[kept.len().saturating_sub(n)..]);
        if let Some(&last) = slots.last() {
            prop_assert_eq!(recurrence.previous_before(until + SignedDuration::from_nanos(1)), Some(last));
        }
        let [first, .., last] = slots[..] else { return Ok(()) };
        prop_assert_eq!(recurrence.previous_before(last.at), Some(slots[slots.len() - 2]));
        prop_assert!(recurrence.previous_before(first.at).is_none_or(|slot| slot.at < first.at));
    }

    /// Two occurrences never share a label, and so never share a key, unless the wall clock itself is set back by more
    /// than 3 h and what it shows again is due again (`vostok_1994_02_01_fold_of_seven_hours_is_due_twice`).
    #[test]
    fn labels_tell_occurrences_apart((recurrence, after) in recurrences()) {
        prop_assume!(!is_set_far_back(&recurrence.zone.tz, after, after + 8 * DAY));
        let mut labels: Vec<String> =
            walked(&recurrence, after, after + 8 * DAY).iter().map(|slot| recurrence.label(slot)).collect();
        let count = labels.len();
        labels.sort();
        labels.dedup();
        prop_assert_eq!(labels.len(), count);
    }
}

fn due(text: &str, zone: &TimeZone, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let expr = CronExpr::parse(text, "law").unwrap_or_else(|error| panic!("`{text}`: {error:?}"));
    let mut at = after;
    std::iter::from_fn(|| {
        at = expr.next_after(at, zone).filter(|next| *next <= until)?;
        Some(at)
    })
    .collect()
}

fn is_set_far_back(zone: &TimeZone, after: Timestamp, until: Timestamp) -> bool {
    let mut offset = zone.to_offset(after);
    zone.following(after)
        .take_while(|change| change.timestamp() <= until)
        .any(|change| {
            let before = std::mem::replace(&mut offset, change.offset());
            before.seconds() - offset.seconds() > 3 * 3_600
        })
}

fn walked(recurrence: &Recurrence, after: Timestamp, until: Timestamp) -> Vec<Slot> {
    let mut at = after;
    std::iter::from_fn(|| {
        let slot = recurrence.next_after(at).filter(|slot| slot.at <= until)?;
        at = slot.at;
        Some(slot)
    })
    .collect()
}

/// Debian cron's main loop, one tick after the other: it keeps a virtual time that follows the wall clock, waits for it
/// where the clock was put back, and catches it up where it was put forward.
fn debian(
    expr: &Sketch,
    zone: &TimeZone,
    after: Timestamp,
    until: Timestamp,
    tick: SignedDuration,
) -> Vec<Timestamp> {
    let large = 3 * HOUR;
    let since = (after - 4 * HOUR).as_second();
    let mut at =
        Timestamp::from_second(since - since.rem_euclid(tick.as_secs())).expect("in range");
    let mut virtual_time = zone.to_datetime(at);
    let mut fired = Vec::new();
    while at <= until {
        let wall = zone.to_datetime(at);
        let ahead = wall.duration_since(virtual_time);
        let fires = if expr.is_interval() || ahead >= large || ahead < -large {
            expr.matches(wall)
        } else if ahead.is_negative() {
            false
        } else {
            std::iter::successors(Some(virtual_time), |time| Some(*time + tick))
                .take_while(|time| *time <= wall)
                .any(|time| expr.matches(time))
        };
        if !ahead.is_negative() || ahead < -large {
            virtual_time = wall + tick;
        }
        if fires && at > after {
            fired.push(at);
        }
        at += tick;
    }
    fired
}

/// An expression as its writer thinks of it.
#[derive(Clone, Debug)]
struct Sketch {
    seconds: Option<Vec<Term>>,
    minutes: Vec<Term>,
    hours: Vec<Term>,
    dates: Vec<Term>,
    months: Vec<Term>,
    weekdays: Vec<Term>,
}

#[derive(Clone, Debug)]
enum Term {
    Star(u32),
    Range(u32, u32, u32),
    LastDay,
    LastWorkday,
    LastWeekday(u32),
    NthWeekday(u32, i8),
}

impl Term {
    fn text(&self) -> String {
        match *self {
            Term::Star(1) => "*".to_owned(),
            Term::Star(step) => format!("*/{step}"),
            Term::Range(first, last, 1) if first == last => first.to_string(),
            Term::Range(first, last, 1) => format!("{first}-{last}"),
            Term::Range(first, last, step) => format!("{first}-{last}/{step}"),
            Term::LastDay => "L".to_owned(),
            Term::LastWorkday => "LW".to_owned(),
            Term::LastWeekday(weekday) => format!("{weekday}L"),
            Term::NthWeekday(weekday, nth) => format!("{weekday}#{nth}"),
        }
    }

    fn has(&self, value: u32, min: u32) -> bool {
        match *self {
            Term::Star(step) => (value - min).is_multiple_of(step),
            Term::Range(first, last, step) => {
                (first..=last).contains(&value) && (value - first).is_multiple_of(step)
            }
            _ => false,
        }
    }

    fn has_date(&self, date: Date) -> bool {
        match self {
            Term::LastDay => date == date.last_of_month(),
            Term::LastWorkday => {
                let mut last = date.last_of_month();
                while last.weekday().to_monday_zero_offset() > 4 {
                    last = last.yesterday().expect("in range");
                }
                date == last
            }
            _ => self.has(date.day() as u32, 1),
        }
    }

    fn has_weekday(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset() as u32;
        match *self {
            Term::LastWeekday(last) => {
                last % 7 == weekday
                    && date
                        .nth_weekday_of_month(-1, date.weekday())
                        .is_ok_and(|day| day == date)
            }
            Term::NthWeekday(wanted, nth) => {
                wanted % 7 == weekday
                    && date
                        .nth_weekday_of_month(nth, date.weekday())
                        .is_ok_and(|day| day == date)
            }
            _ => self.has(weekday, 0) || (weekday == 0 && self.has(7, 0)),
        }
    }
}

impl Sketch {
    fn text(&self) -> String {
        let fields = [
            &self.minutes,
            &self.hours,
            &self.dates,
            &self.months,
            &self.weekdays,
        ];
        let fields: Vec<String> = self
            .seconds
            .iter()
            .chain(fields)
            .map(|terms| terms.iter().map(Term::text).collect::<Vec<_>>().join(","))
            .collect();
        fields.join(" ")
    }

    fn is_interval(&self) -> bool {
        starts_with_star(&self.minutes)
            || starts_with_star(&self.hours)
            || self.seconds.as_deref().is_some_and(starts_with_star)
    }

    fn matches(&self, at: DateTime) -> bool {
        let date = self.dates.iter().any(|term| term.has_date(at.date()));
        let weekday = self.weekdays.iter().any(|term| term.has_weekday(at.date()));
        let both = starts_with_star(&self.dates) || starts_with_star(&self.weekdays);
        let second = match &self.seconds {
            Some(terms) => terms.iter().any(|term| term.has(at.second() as u32, 0)),
            None => at.second() == 0,
        };
        second
            && self
                .minutes
                .iter()
                .any(|term| term.has(at.minute() as u32, 0))
            && self.hours.iter().any(|term| term.has(at.hour() as u32, 0))
            && self
                .months
                .iter()
                .any(|term| term.has(at.month() as u32, 1))
            && if both {
                date && weekday
            } else {
                date || weekday
            }
    }
}

fn starts_with_star(terms: &[Term]) -> bool {
    matches!(terms.first(), Some(Term::Star(_)))
}

fn term(min: u32, max: u32) -> impl Strategy<Value = Term> {
    prop_oneof![
        2 => Just(Term::Star(1)),
        2 => (1..=max + 2).prop_map(Term::Star),
        4 => (min..=max).prop_map(|value| Term::Range(value, value, 1)),
        2 => plain_range(min, max),
    ]
}

fn plain_range(min: u32, max: u32) -> impl Strategy<Value = Term> {
    (min..=max, min..=max, 1..6_u32).prop_map(|(a, b, step)| match a.cmp(&b) {
        std::cmp::Ordering::Equal => Term::Range(a, b, 1),
        _ => Term::Range(a.min(b), a.max(b), step),
    })
}

fn field(min: u32, max: u32) -> impl Strategy<Value = Vec<Term>> {
    prop_oneof![3 => prop::collection::vec(term(min, max), 1), 1 => prop::collection::vec(term(min, max), 1..4)]
}

fn star() -> Just<Vec<Term>> {
    Just(vec![Term::Star(1)])
}

/// Mostly the small hours, in which clocks change.
fn hours() -> impl Strategy<Value = Vec<Term>> {
    prop_oneof![2 => field(0, 23), 3 => field(0, 4), 1 => field(21, 23).prop_map(|mut hours| {
        hours.retain(|term| !matches!(term, Term::Star(_)));
        hours.push(Term::Range(0, 0, 1));
        hours
    })]
}

fn day_fields() -> impl Strategy<Value = Sketch> {
    let date =
        prop_oneof![6 => term(1, 31), 1 => Just(Term::LastDay), 1 => Just(Term::LastWorkday)];
    let weekday = prop_oneof![
        6 => term(0, 7),
        1 => (0..=7_u32).prop_map(Term::LastWeekday),
        1 => (0..=7_u32, 1..=5_i8).prop_map(|(weekday, nth)| Term::NthWeekday(weekday, nth)),
    ];
    let dates = prop_oneof![1 => star(), 2 => prop::collection::vec(date, 1..3)];
    let weekdays = prop_oneof![1 => star(), 2 => prop::collection::vec(weekday, 1..3)];
    let months = prop_oneof![2 => star(), 1 => field(1, 12)];
    (dates, months, weekdays).prop_map(|(dates, months, weekdays)| Sketch {
        seconds: None,
        minutes: vec![],
        hours: vec![],
        dates,
        months,
        weekdays,
    })
}

/// Every month, so that something is due around a clock change.
fn five_fields() -> impl Strategy<Value = Sketch> {
    let days = prop_oneof![
        3 => day_fields().prop_map(|days| Sketch { dates: vec![Term::Star(1)], weekdays: vec![Term::Star(1)], ..days }),
        2 => day_fields(),
    ];
    (field(0, 59), hours(), days)
        .prop_map(|(minutes, hours, days)| Sketch {
            minutes,
            hours,
            months: vec![Term::Star(1)],
            ..days
        })
        .prop_filter("never fires", |expr| {
            CronExpr::parse(&expr.text(), "law").is_ok()
        })
}

fn six_fields() -> impl Strategy<Value = Sketch> {
    (field(0, 59), five_fields()).prop_map(|(seconds, expr)| Sketch {
        seconds: Some(seconds),
        ..expr
    })
}

fn what_croner_knows() -> impl Strategy<Value = Sketch> {
    let listed = |min, max| prop_oneof![star(), prop::collection::vec(plain_range(min, max), 1..3)];
    let times = (listed(0, 59), listed(0, 59), listed(0, 23));
    (times, listed(1, 31), listed(1, 12), listed(0, 6)).prop_map(
        |((seconds, minutes, hours), dates, months, weekdays)| Sketch {
            seconds: Some(seconds),
            minutes,
            hours,
            dates,
            months,
            weekdays,
        },
    )
}

const ZONES: [&str; 30] = [
    "UTC",
    "Asia/Kolkata",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Asuncion",
    "America/Caracas",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Antarctica/Vostok",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Hovd",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/Istanbul",
    "Europe/Riga",
    "Europe/Volgograd",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Pacific/Tongatapu",
];

/// A zone, and an instant that is often shortly before or amid a change of its clocks, between 1970 and 2040.
fn around_a_clock_change() -> impl Strategy<Value = (TimeZone, Timestamp)> {
    let aside = prop_oneof![-4 * 86_400..86_400_i64, -4 * 3_600..4 * 3_600_i64];
    (prop::sample::select(&ZONES[..]), any_instant(), aside).prop_map(|(name, since, aside)| {
        let zone = TimeZone::get(name).expect("the zone is in tzdata");
        let change = zone
            .following(since)
            .next()
            .map_or(since, |transition| transition.timestamp());
        let after = change + SignedDuration::from_secs(aside);
        (zone, after)
    })
}

fn any_instant() -> impl Strategy<Value = Timestamp> {
    (0..2_208_988_800_000_i64).prop_map(|at| Timestamp::from_millisecond(at).expect("in range"))
}

fn recurrences() -> impl Strategy<Value = (Recurrence, Timestamp)> {
    let lines = prop::collection::vec(prop_oneof![4 => five_fields(), 1 => sparse_seconds()], 1..4);
    let dates = prop::collection::vec(-1..8_i64, 0..3);
    let bound = || prop::option::weighted(0.3, (-1..9_i64, prop::option::of(0..24_i8)));
    (lines, around_a_clock_change(), dates, bound(), bound()).prop_map(
        |(lines, (tz, after), dates, start, end)| {
            let day = |days: i64| {
                tz.to_datetime(after + SignedDuration::from_hours(24 * days))
                    .date()
            };
            let bound = |(days, hour): (i64, Option<i8>)| match hour {
                None => Bound::Date(day(days)),
                Some(hour) => Bound::DateTime(day(days).at(hour, 30, 0, 0)),
            };
            let mut except: Vec<Date> = dates.into_iter().map(day).collect();
            except.sort();
            let lines = lines
                .iter()
                .map(|line| CronExpr::parse(&line.text(), "law").expect("it fires"))
                .collect();
            let zone = Zone { tz: tz.clone() };
            let recurrence = Recurrence {
                timing: Timing::Cron(lines),
                zone,
                start: start.map(bound),
                end: end.map(bound),
                except,
            };
            (recurrence, after)
        },
    )
}

fn sparse_seconds() -> impl Strategy<Value = Sketch> {
    (0..60_u32, field(0, 59), five_fields()).prop_map(|(second, minutes, expr)| Sketch {
        seconds: Some(vec![Term::Range(second, second, 1)]),
        minutes,
        ..expr
    })
}

/// A UTC wall clock as croner wants it: its own jiff is an older one.
#[derive(Clone)]
struct Civil(DateTime);

impl Civil {
    fn of(at: Timestamp) -> Civil {
        Civil(TimeZone::UTC.to_datetime(at))
    }

    fn instant(&self) -> Timestamp {
        TimeZone::UTC
            .to_timestamp(self.0)
            .expect("in range")
            .round(jiff::Unit::Second)
            .expect("in range")
    }
}

impl croner::CronDateTime for Civil {
    fn to_civil(&self) -> croner::CivilDateTime {
        let at = self.0;
        let [month, day, hour, minute, second] =
            [at.month(), at.day(), at.hour(), at.minute(), at.second()].map(|part| part as u32);
        croner::CivilDateTime::from_ymd_hms(i32::from(at.year()), month, day, hour, minute, second)
            .expect("it exists")
    }

    fn civil_weekday(&self) -> croner::Weekday {
        croner::Weekday::from_days_from_sunday(self.0.weekday().to_sunday_zero_offset() as u32)
    }

    fn resolve_civil(
        &self,
        civil: croner::CivilDateTime,
    ) -> Result<croner::Resolution<Self>, croner::errors::CronError> {
        let [month, day, hour, minute, second] = [
            civil.month(),
            civil.day(),
            civil.hour(),
            civil.minute(),
            civil.second(),
        ]
        .map(|part| part as i8);
        DateTime::new(civil.year() as i16, month, day, hour, minute, second, 0)
            .map(|at| croner::Resolution::Single(Civil(at)))
            .map_err(|_| croner::errors::CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0
            .checked_add(SignedDuration::from_secs(seconds))
            .ok()
            .map(Civil)
    }

    fn cmp_instant(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
