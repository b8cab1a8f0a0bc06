//! How many deliveries a schedule may open in a clock hour and a day of its zone (SEMANTICS.md 22).
//! It knows when deliveries opened, and nothing else of them.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::plan::occurrence::IdempotencyKey;
use crate::schedule::Limits;

/// The openings of one schedule that still count: of deliveries that are open or accepted, in the
/// longest day that a zone can have.
#[derive(Debug, Default)]
pub struct Openings {
    opened_at: BTreeMap<IdempotencyKey, Timestamp>,
}

/// A day on which the clock goes back has more hours than 24.
pub const LONGEST_DAY: SignedDuration = SignedDuration::from_hours(27);

impl Openings {
    pub fn add(&mut self, key: IdempotencyKey, opened_at: Timestamp) {
        self.opened_at
            .retain(|_, before| opened_at.duration_since(*before) <= LONGEST_DAY);
        self.opened_at.insert(key, opened_at);
    }

    /// The delivery ended without acceptance: it does not count any more.
    pub fn remove(&mut self, key: &IdempotencyKey) {
        self.opened_at.remove(key);
    }

    /// Whether one more may open now.
    pub fn allow(&self, limits: Limits, zone: &TimeZone, now: Timestamp) -> bool {
        let local = zone.to_datetime(now);
        let same_day = |at: Timestamp| zone.to_datetime(at).date() == local.date();
        let same_hour = |at: Timestamp| same_day(at) && zone.to_datetime(at).hour() == local.hour();
        let below = |limit: Option<u32>, counts: &dyn Fn(Timestamp) -> bool| {
            let opened = || self.opened_at.values().filter(|at| counts(**at)).count();
            limit.is_none_or(|limit| opened() < limit as usize)
        };
        below(limits.per_day, &same_day) && below(limits.per_hour, &same_hour)
    }
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

    pub fn is_any(&self) -> bool {
        self.per_day.is_some() || self.per_hour.is_some()
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
        for (n, text) in at_these.iter().enumerate() {
            openings.add(IdempotencyKey::recorded(&format!("key-{n}")), at(text));
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
        openings.remove(&IdempotencyKey::recorded("key-0"));
        assert!(openings.allow(limits, &TimeZone::UTC, now));
    }

    #[test]
    fn what_is_older_than_a_day_takes_no_room() {
        let many: Vec<String> = (0..90)
            .map(|hour| (at("2026-11-20T00:00:00Z") + SignedDuration::from_hours(hour)).to_string())
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(openings(&many).opened_at.len(), 28);
    }
}
