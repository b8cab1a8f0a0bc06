//! A cron expression: what it means, and when it is due next in a time zone. It knows no schedule beyond the name that
//! `H` hashes, and no policy.
//!
//! The authority is Debian cron (3.0pl1). Where it has no answer (seconds, `L`, `LW`, `5L`, `5#3`, `H`) ours is written
//! at the place that gives it.

#[cfg(test)]
mod clock_changes;
mod days;
mod field;
mod hash;
mod parse;
pub mod steps;
mod stretch;
mod times;

use std::ops::Range;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use days::Days;
pub(crate) use stretch::{Stretch, stretches, whole_second};
use times::Times;

/// Two expressions are equal when they mean the same, however they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronExpr {
    days: Days,
    times: Times,
    kind: Kind,
}

// Ten thousand schedules lie in memory.
const _: () = assert!(size_of::<CronExpr>() <= 128);

/// How an expression lives through a change of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Means times of day: one that spring skips comes once, right after the gap; one that autumn repeats comes once.
    Clock,
    /// Means an interval: at every instant whose wall clock matches, no more and no fewer.
    Interval,
}

/// What is wrong with an expression, where in its text, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronError {
    /// Bytes of the expression's text.
    pub span: Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

/// How far ahead a search looks: three times the longest wait there is, the 40 years for a 29 February on one weekday
/// across 2100. Only an expression all of whose times the zone skips finds nothing.
pub(crate) const SEARCH: SignedDuration = SignedDuration::from_hours(120 * 366 * 24);

/// More than any two offsets, and any jump between them, can differ.
const SLACK: SignedDuration = SignedDuration::from_hours(2 * 24);

#[cfg(test)]
thread_local! {
    /// An expression that a test makes give the same instant again and again.
    pub(crate) static STUCK: std::cell::RefCell<Option<CronExpr>> = const { std::cell::RefCell::new(None) };
}

impl CronExpr {
    /// `schedule` is the name from which `H` takes its value.
    pub fn parse(text: &str, schedule: &str) -> Result<CronExpr, CronError> {
        parse::parse(text, schedule)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The first instant strictly later than `after`, a whole second; none if the zone skips all that would match in the
    /// next 120 years.
    ///
    /// - Interval: every instant whose wall clock matches. What a spring gap skips is not made up
    ///   (`new_york_2026_03_08_gap_interval_half_hours`), what autumn repeats is due again
    ///   (`new_york_2026_11_01_fold_interval_half_hours`).
    /// - Clock, forward by less than 3 h: all that was skipped is due once, at the first instant after the gap
    ///   (`riga_2021_03_28_gap_daily_0330`).
    /// - Clock, back by up to 3 h: the first pass only, also for a search that starts inside the second one
    ///   (`riga_2021_10_31_fold_started_in_second_pass`).
    /// - Larger jumps are a new wall clock, and nothing else (`apia_2011_12_30_skipped_day_is_not_made_up`).
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.next_until(after, Timestamp::MAX, zone)
    }

    /// As [`CronExpr::next_after`], but need not look beyond `until`.
    pub(crate) fn next_until(
        &self,
        after: Timestamp,
        until: Timestamp,
        zone: &TimeZone,
    ) -> Option<Timestamp> {
        #[cfg(test)]
        if STUCK.with_borrow(|stuck| stuck.as_ref() == Some(self)) {
            return Some(after);
        }
        let mut after = whole_second(after);
        let until = until.min(saturating_add(after, SEARCH));
        while after < until {
            // Whatever the offsets: nothing is due before the next matching wall clock, give or take the slack.
            let wall = self.next_wall(Offset::UTC.to_datetime(after).saturating_sub(SLACK))?;
            let due = Offset::UTC.to_timestamp(wall).ok()?;
            after = after.max(saturating_sub(due, SLACK));
            let searched = saturating_add(after.max(due), SLACK);
            let found = stretches(zone, after)
                .take_while(|stretch| stretch.began <= searched)
                .find_map(|stretch| self.first_in(&stretch, after));
            if found.is_some() {
                return found.filter(|&at| at <= until);
            }
            after = searched;
        }
        None
    }

    fn first_in(&self, stretch: &Stretch, after: Timestamp) -> Option<Timestamp> {
        if stretch.began > after && self.makes_up(stretch) {
            return Some(stretch.began);
        }
        let from = self.due_from(stretch).max(stretch.wall_after(after));
        let wall = self.next_wall(from).filter(|&wall| wall < stretch.ends)?;
        stretch.instant(wall)
    }

    /// Whether times skipped just before the stretch are due at its beginning.
    pub(crate) fn makes_up(&self, stretch: &Stretch) -> bool {
        match (self.kind, stretch.skipped_from) {
            (Kind::Clock, Some(from)) => self
                .next_wall(from)
                .is_some_and(|wall| wall < stretch.starts),
            _ => false,
        }
    }

    /// The wall clock of the stretch from which matches count.
    pub(crate) fn due_from(&self, stretch: &Stretch) -> DateTime {
        match self.kind {
            Kind::Clock => stretch.first_pass_from,
            Kind::Interval => stretch.starts,
        }
    }

    /// The first matching wall clock at or after `from`.
    fn next_wall(&self, from: DateTime) -> Option<DateTime> {
        if self.days.contains(from.date())
            && let Some(time) = self.times.at_or_after(from.time())
        {
            return Some(from.date().to_datetime(time));
        }
        let date = self.next_day(from.date().tomorrow().ok()?)?;
        Some(
            date.to_datetime(
                self.times
                    .at_or_after(Time::midnight())
                    .expect("no field is empty"),
            ),
        )
    }

    /// The first matching day at or after `from`.
    pub(crate) fn next_day(&self, from: Date) -> Option<Date> {
        self.days.at_or_after(from)
    }

    pub(crate) fn matches_day(&self, date: Date) -> bool {
        self.days.contains(date)
    }

    /// Bit n is second n of this minute of a matching day.
    pub(crate) fn seconds_of(&self, hour: u8, minute: u8) -> u64 {
        self.times.seconds_of(hour, minute)
    }

    /// What a reader may not expect of the expression.
    pub fn notes(&self) -> Vec<String> {
        self.days
            .note()
            .into_iter()
            .chain(self.times.notes())
            .collect()
    }
}

pub(crate) fn saturating_add(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

pub(crate) fn saturating_sub(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}
