//! What the timing keys of one file mean together: cron lines or `at`, zone, `start`, `end`, `except`. It knows no
//! policy, no delivery and no clock.

mod count;
mod note;
mod zone;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset};
use jiff::{SignedDuration, Timestamp};

use super::cron::{CronExpr, Kind, SEARCH, saturating_sub, whole_second};
pub use note::note;
pub use zone::{Zone, ZoneError};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recurrence {
    pub timing: Timing,
    pub zone: Zone,
    pub start: Option<Bound>,
    pub end: Option<Bound>,
    /// Local dates on which nothing fires, in order.
    pub except: Vec<Date>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Lines that meet are one occurrence.
    Cron(Vec<CronExpr>),
    /// Once. In a gap: the first instant after it; in a fold: the first pass.
    At(DateTime),
}

/// Includes its instant or its whole local day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Date(Date),
    DateTime(DateTime),
}

/// An instant at which the recurrence is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub at: Timestamp,
    pub naming: Naming,
    /// It lies on a date of `except`.
    pub excluded: bool,
}

/// What the label of an occurrence is made from: a change of tzdata must not give one wall-clock time two names, nor two
/// instants of an interval one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Naming {
    WallClock,
    Utc,
}

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

impl Recurrence {
    /// The first slot strictly later than `after`.
    pub fn next_after(&self, after: Timestamp) -> Option<Slot> {
        let (after, until) = self.bounded(after, Timestamp::MAX);
        self.due_within(after, until)
    }

    /// Whether a line names an instant that is not strictly later than `after`, against its contract. Then
    /// [`Recurrence::next_after`] gives nothing, so that nobody who asks for one slot after the other asks for ever.
    pub fn is_stuck_after(&self, after: Timestamp) -> bool {
        let (after, until) = self.bounded(after, Timestamp::MAX);
        let Timing::Cron(lines) = &self.timing else {
            return false;
        };
        lines
            .iter()
            .filter_map(|line| line.next_until(after, until, &self.zone.tz))
            .any(|at| at <= after)
    }

    /// The newest slot strictly before `before`, as if there were no `start`.
    pub fn previous_before(&self, before: Timestamp) -> Option<Slot> {
        let until = saturating_sub(before, NANOSECOND).min(self.last_instant());
        if let Timing::At(_) = self.timing {
            return self.due_within(Timestamp::MIN, until);
        }
        let until_second = whole_second(until);
        let due = |seconds| {
            let after = saturating_sub(until_second, SignedDuration::from_secs(seconds));
            self.due_within(after, until)
        };
        let back = least(SEARCH.as_secs(), |seconds| due(seconds).is_some())?;
        due(back)
    }

    /// The newest `n` slots in (`after`, `until`] that are not excluded, oldest first.
    pub fn newest(&self, n: usize, after: Timestamp, until: Timestamp) -> Vec<Slot> {
        let (after, until) = self.bounded(after, until);
        let until_second = whole_second(until);
        let back =
            |seconds| saturating_sub(until_second, SignedDuration::from_secs(seconds)).max(after);
        let span = until_second.duration_since(after).as_secs();
        let from =
            least(span, |seconds| self.count(back(seconds), until) >= n as u64).map_or(after, back);
        let mut slots: Vec<Slot> = self.kept_within(from, until).collect();
        slots.drain(..slots.len().saturating_sub(n));
        slots
    }

    /// How many slots lie in (`after`, `until`], excluded ones not counted.
    pub fn count(&self, after: Timestamp, until: Timestamp) -> u64 {
        let (after, until) = self.bounded(after, until);
        match &self.timing {
            Timing::Cron(lines) => count::count(lines, &self.zone.tz, &self.except, after, until),
            Timing::At(_) => self.kept_within(after, until).count() as u64,
        }
    }

    /// The name of a slot within its schedule: `20261123T0900` by the wall clock, `20261123T080000Z` by UTC.
    pub fn label(&self, slot: &Slot) -> String {
        let (offset, suffix) = match slot.naming {
            Naming::WallClock => (self.zone.tz.to_offset(slot.at), ""),
            Naming::Utc => (Offset::UTC, "Z"),
        };
        let wall = offset.to_datetime(slot.at);
        let minute = wall.strftime("%Y%m%dT%H%M");
        match (slot.naming, wall.second()) {
            (Naming::WallClock, 0) => minute.to_string(),
            (_, second) => format!("{minute}{second:02}{suffix}"),
        }
    }

    /// The slots in (`after`, `until`] that are not excluded, in order.
    fn kept_within(&self, mut after: Timestamp, until: Timestamp) -> impl Iterator<Item = Slot> {
        std::iter::from_fn(move || {
            loop {
                let slot = self.due_within(after, until)?;
                if !slot.excluded {
                    after = slot.at;
                    return Some(slot);
                }
                after = self.last_second_alike(slot.at);
            }
        })
    }

    /// The first slot in (`after`, `until`], whatever `start` and `end` say.
    fn due_within(&self, after: Timestamp, until: Timestamp) -> Option<Slot> {
        let (at, naming) = match &self.timing {
            Timing::Cron(lines) => lines
                .iter()
                .filter_map(|line| {
                    Some((
                        line.next_until(after, until, &self.zone.tz)?,
                        naming(line.kind()),
                    ))
                })
                .min()?,
            Timing::At(wall) => (self.instant(*wall), Naming::WallClock),
        };
        let excluded = self
            .except
            .binary_search(&self.zone.tz.to_datetime(at).date())
            .is_ok();
        (after < at && at <= until).then_some(Slot {
            at,
            naming,
            excluded,
        })
    }

    /// The last second until which the zone has the same date and offset as at this instant.
    fn last_second_alike(&self, at: Timestamp) -> Timestamp {
        let offset = self.zone.tz.to_offset(at);
        let tomorrow = offset
            .to_datetime(at)
            .date()
            .tomorrow()
            .map(|date| date.to_datetime(Time::midnight()));
        let midnight = tomorrow
            .and_then(|wall| offset.to_timestamp(wall))
            .unwrap_or(Timestamp::MAX);
        let change = self
            .zone
            .tz
            .following(at)
            .next()
            .map_or(Timestamp::MAX, |transition| transition.timestamp());
        saturating_sub(midnight.min(change), SECOND).max(at)
    }

    /// (`after`, `until`] without what lies outside `start` and `end`.
    fn bounded(&self, after: Timestamp, until: Timestamp) -> (Timestamp, Timestamp) {
        let after = match self.start {
            None => after,
            Some(Bound::Date(date)) => after.max(saturating_sub(self.midnight(date), NANOSECOND)),
            Some(Bound::DateTime(wall)) => {
                after.max(saturating_sub(self.instant(wall), NANOSECOND))
            }
        };
        (after, until.min(self.last_instant()).max(after))
    }

    fn last_instant(&self) -> Timestamp {
        match self.end {
            None => Timestamp::MAX,
            Some(Bound::Date(date)) => match date.tomorrow() {
                Ok(tomorrow) => saturating_sub(self.midnight(tomorrow), NANOSECOND),
                Err(_) => Timestamp::MAX,
            },
            Some(Bound::DateTime(wall)) => self.instant(wall),
        }
    }

    fn midnight(&self, date: Date) -> Timestamp {
        self.instant(date.to_datetime(Time::midnight()))
    }

    /// In a gap: the first instant after it; in a fold: the first pass.
    fn instant(&self, wall: DateTime) -> Timestamp {
        let tz = &self.zone.tz;
        let clamped = |offset: Offset| {
            let end = if wall.year() > 0 {
                Timestamp::MAX
            } else {
                Timestamp::MIN
            };
            offset.to_timestamp(wall).unwrap_or(end)
        };
        match tz.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => clamped(offset),
            AmbiguousOffset::Fold { before, .. } => clamped(before),
            AmbiguousOffset::Gap { after, .. } => {
                let still_before = clamped(after);
                tz.following(still_before)
                    .find(|transition| transition.offset() == after)
                    .map_or(still_before, |transition| transition.timestamp())
            }
        }
    }
}

/// The least number from 1 to about `limit` for which something holds that goes on holding once it does.
fn least(limit: i64, holds: impl Fn(i64) -> bool) -> Option<i64> {
    let (mut without, mut with) = (0, 1);
    while !holds(with) {
        if with > limit {
            return None;
        }
        (without, with) = (with, 2 * with);
    }
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        if holds(middle) {
            with = middle
        } else {
            without = middle
        }
    }
    Some(with)
}

fn naming(kind: Kind) -> Naming {
    match kind {
        Kind::Clock => Naming::WallClock,
        Kind::Interval => Naming::Utc,
    }
}

#[cfg(test)]
mod tests;
