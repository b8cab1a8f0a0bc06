//! Times as people write them on a command line. It knows no schedule, and takes the zone from whoever has one.

use std::str::FromStr;

use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

/// An instant, or a time on the wall clock of a zone that is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Instant(Timestamp),
    Local(civil::DateTime),
}

impl When {
    /// A local time that a clock change skips is taken with the offset from before it.
    ///
    /// # Errors
    /// If it is out of the range of instants.
    pub fn in_zone(self, zone: &TimeZone) -> Result<Timestamp, jiff::Error> {
        Ok(match self {
            Self::Instant(instant) => instant,
            Self::Local(local) => zone.to_timestamp(local)?,
        })
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let way_out = "write `2026-11-23T09:00:00Z`, or without `Z` for local time";
        let pieces = Pieces::parse(text).map_err(|_| way_out.to_owned())?;
        if pieces.to_numeric_offset().is_some() {
            let instant = text.parse().map_err(|_| way_out.to_owned())?;
            return Ok(Self::Instant(instant));
        }
        let time = pieces.time().unwrap_or_default();
        Ok(Self::Local(pieces.date().to_datetime(time)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let zone = TimeZone::get("Europe/Berlin").expect("it is in tzdata");
            let found = text.parse::<When>().map(|when| when.in_zone(&zone));
            let found = match found {
                Ok(instant) => instant.expect("it is in range").to_string(),
                Err(way_out) => way_out,
            };
            assert_eq!(found, expected, "{text}");
        }
        check("2026-11-23T09:00:00Z", "2026-11-23T09:00:00Z");
        check("2026-11-23T09:00:00+05:30", "2026-11-23T03:30:00Z");
        check("2026-11-23T09:00:00", "2026-11-23T08:00:00Z");
        check("2026-11-23 09:00", "2026-11-23T08:00:00Z");
        check("2026-11-23", "2026-11-22T23:00:00Z");
        check("2026-03-29T02:30:00", "2026-03-29T01:30:00Z");
        let way_out = "write `2026-11-23T09:00:00Z`, or without `Z` for local time";
        check("yesterday", way_out);
        check("2026-02-30", way_out);
        check("09:00", way_out);
    }
}
