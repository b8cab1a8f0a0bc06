//! Instants as people read them: on the schedule's own wall clock, in UTC, and from now.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct When {
    /// For machines.
    iso: String,
    local: String,
    /// Such as `06:00 UTC`; nothing where the wall clock shows UTC.
    utc: Option<String>,
    /// Such as `in 5 min`.
    relative: String,
}

impl When {
    pub(super) fn new(at: Timestamp, zone: &TimeZone, now: Timestamp) -> Self {
        let local = written(at, zone, now);
        let utc = written(at, &TimeZone::UTC, now);
        let date = |zone: &TimeZone| at.to_zoned_datetime(zone.clone()).date();
        let same_date = date(zone) == date(&TimeZone::UTC);
        let clock = utc.rsplit(' ').next().unwrap_or(&utc);
        let short = if same_date { clock } else { &utc };
        Self {
            iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            utc: (utc != local).then(|| format!("{short} UTC")),
            relative: relative(at, now),
            local,
        }
    }
}

/// Without what goes without saying: this year, whole minutes.
pub(super) fn written(at: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let year = |at: Timestamp| at.to_zoned_datetime(zone.clone()).year();
    let format = match (year(at) == year(now), at.as_second() % 60 == 0) {
        (true, true) => "%a %-d %b %H:%M",
        (true, false) => "%a %-d %b %H:%M:%S",
        (false, true) => "%a %-d %b %Y %H:%M",
        (false, false) => "%a %-d %b %Y %H:%M:%S",
    };
    at.to_zoned_datetime(zone.clone())
        .strftime(format)
        .to_string()
}

pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    let length = match seconds.unsigned_abs() {
        0 => return "now".to_owned(),
        it @ 1..60 => format!("{it} s"),
        it @ 60..3_600 => format!("{} min", it / 60),
        it @ 3_600..86_400 => format!("{} h {} min", it / 3_600, it % 3_600 / 60),
        it => format!("{} d {} h", it / 86_400, it % 86_400 / 3_600),
    };
    match seconds > 0 {
        true => format!("in {length}"),
        false => format!("{length} ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_shortly_as_is_clear() {
        #[track_caller]
        fn check(at: &str, zone: &str, local: &str, utc: Option<&str>, ago: &str) {
            let instant = |text: &str| -> Timestamp { text.parse().expect("an instant") };
            let zone = TimeZone::get(zone).expect("a zone");
            let when = When::new(instant(at), &zone, instant("2026-11-23T08:00:00Z"));
            let found = (
                when.local.as_str(),
                when.utc.as_deref(),
                when.relative.as_str(),
            );
            assert_eq!(found, (local, utc, ago));
        }
        let (berlin, tokyo) = ("Europe/Berlin", "Asia/Tokyo");
        check(
            "2026-11-23T08:00:00Z",
            berlin,
            "Mon 23 Nov 09:00",
            Some("08:00 UTC"),
            "now",
        );
        check(
            "2026-11-23T08:00:00Z",
            "UTC",
            "Mon 23 Nov 08:00",
            None,
            "now",
        );
        check(
            "2026-11-23T08:00:30Z",
            berlin,
            "Mon 23 Nov 09:00:30",
            Some("08:00:30 UTC"),
            "in 30 s",
        );
        check(
            "2026-11-23T06:58:00Z",
            berlin,
            "Mon 23 Nov 07:58",
            Some("06:58 UTC"),
            "1 h 2 min ago",
        );
        check(
            "2026-11-23T20:00:00Z",
            tokyo,
            "Tue 24 Nov 05:00",
            Some("Mon 23 Nov 20:00 UTC"),
            "in 12 h 0 min",
        );
        check(
            "2026-12-31T23:00:00Z",
            berlin,
            "Fri 1 Jan 2027 00:00",
            Some("Thu 31 Dec 23:00 UTC"),
            "in 38 d 15 h",
        );
    }
}
