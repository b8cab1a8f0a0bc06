//! How many deliveries a schedule may open in a clock hour and a day of its zone (SEMANTICS.md 22).
//! It knows when deliveries opened, and nothing else of them.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::schedule::Limits;

/// The openings of one schedule that still count: of deliveries that are open or accepted, in the
/// longest day that a zone can have. They are counted by quarters of an hour, at which clock hours begin
/// in all zones.
#[derive(Debug, Default)]
pub struct Openings {
    /// Oldest first.
    quarters: Vec<Quarter>,
}

#[derive(Debug)]
struct Quarter {
    begins: Timestamp,
    count: u32,
}

/// A day on which the clock goes back has more hours than 24.
pub const LONGEST_DAY: SignedDuration = SignedDuration::from_hours(27);

impl Openings {
    pub fn add(&mut self, opened_at: Timestamp) {
        self.quarters
            .retain(|it| opened_at.duration_since(it.begins) <= LONGEST_DAY);
        match self.find(opened_at) {
            Ok(at) => self.quarters[at].count += 1,
            Err(at) => self.quarters.insert(
                at,
                Quarter {
                    begins: quarter_of(opened_at),
                    count: 1,
                },
            ),
        }
    }

    /// What opened then ended without acceptance: it does not count any more.
    pub fn remove(&mut self, opened_at: Timestamp) {
        if let Ok(at) = self.find(opened_at) {
            let count = &mut self.quarters[at].count;
            *count = count.saturating_sub(1);
        }
    }

    fn find(&self, opened_at: Timestamp) -> Result<usize, usize> {
        let begins = quarter_of(opened_at);
        self.quarters.binary_search_by_key(&begins, |it| it.begins)
    }

    /// Whether one more may open then.
    pub fn allow(&self, limits: Limits, zone: &TimeZone, opens_at: Timestamp) -> bool {
        if limits == Limits::default() {
            return true;
        }
        let local = zone.to_datetime(opens_at);
        let same_day = |at: Timestamp| zone.to_datetime(at).date() == local.date();
        let same_hour = |at: Timestamp| same_day(at) && zone.to_datetime(at).hour() == local.hour();
        let below = |limit: Option<u32>, counts: &dyn Fn(Timestamp) -> bool| {
            let opened = || {
                let quarters = self.quarters.iter().filter(|it| counts(it.begins));
                quarters.map(|it| it.count).sum::<u32>()
            };
            limit.is_none_or(|limit| opened() < limit)
        };
        below(limits.per_day, &same_day) && below(limits.per_hour, &same_hour)
    }
}

fn quarter_of(at: Timestamp) -> Timestamp {
    const QUARTER: i64 = 15 * 60;
    let second = at.as_second().div_euclid(QUARTER) * QUARTER;
    Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
}

impl Limits {
    /// The lower of each.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let lower = |one: Option<u32>, other: Option<u32>| one.into_iter().chain(other).min();
        Self {
            per_day: lower(self.per_day, other.per_day),
            per_hour: lower(self.per_hour, other.per_hour),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn openings(at_these: &[&str]) -> Openings {
        let mut openings = Openings::default();
        for text in at_these {
            openings.add(at(text));
        }
        openings
    }

    #[track_caller]
    fn check(
        opened: &[&str],
        per_hour: Option<u32>,
        per_day: Option<u32>,
        now: &str,
        allowed: bool,
    ) {
        let limits = Limits { per_day, per_hour };
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(openings(opened).allow(limits, &zone, at(now)), allowed);
    }

    #[test]
    fn the_clock_hour_and_the_local_day_count() {
        let two = ["2026-11-23T08:10:00Z", "2026-11-23T08:50:00Z"];
        check(&two, None, None, "2026-11-23T08:55:00Z", true);
        check(&two, Some(2), None, "2026-11-23T08:59:59Z", false);
        check(&two, Some(3), None, "2026-11-23T08:59:59Z", true);
        check(&two, Some(2), None, "2026-11-23T09:00:00Z", true);
        check(&two, None, Some(2), "2026-11-23T22:59:59Z", false);
        check(&two, None, Some(2), "2026-11-23T23:00:00Z", true);
    }

    #[test]
    fn what_ended_without_acceptance_does_not_count() {
        let mut openings = openings(&["2026-11-23T08:10:00Z"]);
        let limits = Limits {
            per_day: Some(1),
            per_hour: None,
        };
        let now = at("2026-11-23T08:20:00Z");
        assert!(!openings.allow(limits, &TimeZone::UTC, now));
        openings.remove(at("2026-11-23T08:10:00Z"));
        assert!(openings.allow(limits, &TimeZone::UTC, now));
    }

    #[test]
    fn what_is_older_than_a_day_takes_no_room() {
        let many: Vec<String> = (0..90)
            .map(|hour| (at("2026-11-20T00:00:00Z") + SignedDuration::from_hours(hour)).to_string())
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(openings(&many).quarters.len(), 28);
    }
}
