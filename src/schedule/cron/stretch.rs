//! Time in a zone as stretches of constant offset, with what the clock skipped or repeated where one begins. It knows
//! no expression.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneFollowingTransitions};
use jiff::{SignedDuration, Timestamp};

use super::{saturating_add, saturating_sub, steps};

/// From this on a jump of the clock is a new wall clock: Debian cron makes nothing up and suppresses nothing.
const LARGE_JUMP: SignedDuration = SignedDuration::from_hours(3);

/// A jump further back than this has no effect any more.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(4 * 24);

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Wall clocks are those of the stretch's own offset.
pub(crate) struct Stretch {
    pub(crate) offset: Offset,
    pub(crate) began: Timestamp,
    pub(crate) starts: DateTime,
    /// Exclusive.
    pub(crate) ends: DateTime,
    /// From here on the wall clock passes for the first time: `starts`, unless the clock was put back. May be after
    /// `ends`.
    pub(crate) first_pass_from: DateTime,
    /// Where the clock was put forward: the first wall clock that it skipped.
    pub(crate) skipped_from: Option<DateTime>,
}

impl Stretch {
    /// None past the end of jiff's time.
    pub(crate) fn instant(&self, wall: DateTime) -> Option<Timestamp> {
        self.offset.to_timestamp(wall).ok()
    }

    /// The wall clock one second after a whole second.
    pub(crate) fn wall_after(&self, at: Timestamp) -> DateTime {
        self.offset.to_datetime(saturating_add(at, SECOND))
    }
}

/// The stretches from some days before `from` on, so that the first one to matter knows what went before it.
pub(crate) fn stretches(zone: &TimeZone, from: Timestamp) -> impl Iterator<Item = Stretch> {
    let began = saturating_sub(from, LOOK_BACK);
    let offset = zone.to_offset(began);
    Stretches {
        transitions: zone.following(began),
        beginning: Some((began, offset)),
        passed: offset.to_datetime(began),
    }
}

struct Stretches<'z> {
    transitions: TimeZoneFollowingTransitions<'z>,
    beginning: Option<(Timestamp, Offset)>,
    /// The greatest wall clock until now, exclusive.
    passed: DateTime,
}

impl Iterator for Stretches<'_> {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        steps::count();
        let (began, offset) = self.beginning.take()?;
        self.beginning = self
            .transitions
            .find(|transition| transition.offset() != offset)
            .map(|transition| (transition.timestamp(), transition.offset()));

        let starts = offset.to_datetime(began);
        let ends = self
            .beginning
            .map_or(DateTime::MAX, |(at, _)| offset.to_datetime(at));
        let jump = starts.duration_since(self.passed);
        let put_forward = jump.is_positive() && jump < LARGE_JUMP;
        let put_back = jump.is_negative() && jump >= -LARGE_JUMP;

        let skipped_from = put_forward.then_some(self.passed);
        let first_pass_from = if put_back { self.passed } else { starts };
        self.passed = first_pass_from.max(ends);
        Some(Stretch {
            offset,
            began,
            starts,
            ends,
            first_pass_from,
            skipped_from,
        })
    }
}

/// The whole second at or before an instant, of either side of 1970.
pub(crate) fn whole_second(at: Timestamp) -> Timestamp {
    let second = at.as_nanosecond().div_euclid(1_000_000_000) as i64;
    Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
}
