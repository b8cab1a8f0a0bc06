//! The zone that a file names. It refuses what is not one zone's full name, and knows no wall clock.

use jiff::tz::{TimeZone, db};

/// Keeps the name as the file writes it: it goes into the idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    pub tz: TimeZone,
}

/// Why a text names no zone, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneError {
    pub message: String,
    pub help: Option<String>,
}

/// tzdata has some of these as zones, which do not change their clocks as the people do who say so.
const ABBREVIATIONS: [(&str, &str); 46] = [
    ("ACST", "Australia/Adelaide"),
    ("AEDT", "Australia/Sydney"),
    ("AEST", "Australia/Sydney"),
    ("AKDT", "America/Anchorage"),
    ("AKST", "America/Anchorage"),
    ("AST", "America/Halifax"),
    ("AWST", "Australia/Perth"),
    ("BRT", "America/Sao_Paulo"),
    ("BST", "Europe/London"),
    ("CAT", "Africa/Maputo"),
    ("CDT", "America/Chicago"),
    ("CEST", "Europe/Berlin"),
    ("CET", "Europe/Berlin"),
    ("CST", "America/Chicago"),
    ("CST6CDT", "America/Chicago"),
    ("CT", "America/Chicago"),
    ("EAT", "Africa/Nairobi"),
    ("EDT", "America/New_York"),
    ("EEST", "Europe/Athens"),
    ("EET", "Europe/Athens"),
    ("EST", "America/New_York"),
    ("EST5EDT", "America/New_York"),
    ("ET", "America/New_York"),
    ("GMT", "UTC"),
    ("HKT", "Asia/Hong_Kong"),
    ("HST", "Pacific/Honolulu"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("KST", "Asia/Seoul"),
    ("MDT", "America/Denver"),
    ("MET", "Europe/Berlin"),
    ("MSK", "Europe/Moscow"),
    ("MST", "America/Denver"),
    ("MST7MDT", "America/Denver"),
    ("MT", "America/Denver"),
    ("NST", "America/St_Johns"),
    ("NZDT", "Pacific/Auckland"),
    ("NZST", "Pacific/Auckland"),
    ("PDT", "America/Los_Angeles"),
    ("PST", "America/Los_Angeles"),
    ("PST8PDT", "America/Los_Angeles"),
    ("PT", "America/Los_Angeles"),
    ("SAST", "Africa/Johannesburg"),
    ("SGT", "Asia/Singapore"),
    ("WET", "Europe/Lisbon"),
    ("Z", "UTC"),
];

impl Zone {
    pub fn utc() -> Zone {
        Zone { tz: TimeZone::UTC }
    }

    pub fn name(&self) -> &str {
        self.tz.iana_name().unwrap_or("UTC")
    }

    pub fn parse(name: &str) -> Result<Zone, ZoneError> {
        if let Some((_, meant)) = ABBREVIATIONS
            .iter()
            .find(|(abbreviation, _)| abbreviation.eq_ignore_ascii_case(name))
        {
            return Err(ZoneError {
                message: format!("`{name}` is an abbreviation, not a time zone"),
                help: Some(format!(
                    "write `{meant}`, or another place that keeps your time"
                )),
            });
        }
        // jiff takes any case, and the name goes into keys: one zone, one spelling.
        match db().get(name) {
            Ok(tz) if tz.iana_name() == Some(name) && !tz.is_unknown() => Ok(Zone { tz }),
            _ => Err(ZoneError {
                message: format!("`{name}` is not a known time zone"),
                help: Some(suggestion(name)),
            }),
        }
    }
}

fn suggestion(name: &str) -> String {
    if name.starts_with(['+', '-']) || name.starts_with("UTC") || name.starts_with("GMT") {
        return "write the name of a place, such as `Europe/Berlin`: it knows when its clocks change".to_owned();
    }
    match nearest(name) {
        Some(near) => format!("did you mean `{near}`"),
        None => "write a name such as `Europe/Berlin` from the IANA time zone database".to_owned(),
    }
}

/// The zone whose name, or whose place alone, is at most a few slips away.
fn nearest(name: &str) -> Option<String> {
    let written = name.to_lowercase().replace(' ', "_");
    db().available()
        .map(|zone| zone.as_str().to_owned())
        .filter(|zone| !zone.starts_with("posix/") && !zone.starts_with("right/"))
        .map(|zone| {
            let lower = zone.to_lowercase();
            let place = lower.rsplit('/').next().unwrap_or(&lower);
            (
                distance(&written, &lower).min(distance(&written, place)),
                zone,
            )
        })
        .min()
        .filter(|(slips, _)| *slips <= 1 + written.len() / 8)
        .map(|(_, zone)| zone)
}

/// How many letters must be put in, taken out or exchanged to make one text the other.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.chars().enumerate() {
            let exchanged = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_name_as_written() {
        for name in [
            "UTC",
            "Europe/Berlin",
            "America/Argentina/Buenos_Aires",
            "Asia/Calcutta",
            "Etc/GMT+5",
        ] {
            let zone = Zone::parse(name).expect("tzdata has it");
            assert_eq!(zone.name(), name);
        }
        assert_eq!(Zone::parse("UTC"), Ok(Zone::utc()));
    }

    #[test]
    fn refuses_what_is_no_full_name() {
        let refusals: Vec<String> = [
            "EST",
            "cst",
            "CET",
            "PST8PDT",
            "GMT",
            "Europe/Berln",
            "europe/berlin",
            "Berlin",
            "New York",
            "America/New York",
            "UTC+2",
            "+02:00",
            "Mars/Olympus_Mons",
            "",
        ]
        .iter()
        .map(|name| {
            let error = Zone::parse(name).expect_err(name);
            format!(
                "{}\n  = {}\n",
                error.message,
                error.help.unwrap_or_default()
            )
        })
        .collect();
        insta::assert_snapshot!(refusals.concat(), @"
        `EST` is an abbreviation, not a time zone
          = write `America/New_York`, or another place that keeps your time
        `cst` is an abbreviation, not a time zone
          = write `America/Chicago`, or another place that keeps your time
        `CET` is an abbreviation, not a time zone
          = write `Europe/Berlin`, or another place that keeps your time
        `PST8PDT` is an abbreviation, not a time zone
          = write `America/Los_Angeles`, or another place that keeps your time
        `GMT` is an abbreviation, not a time zone
          = write `UTC`, or another place that keeps your time
        `Europe/Berln` is not a known time zone
          = did you mean `Europe/Berlin`
        `europe/berlin` is not a known time zone
          = did you mean `Europe/Berlin`
        `Berlin` is not a known time zone
          = did you mean `Europe/Berlin`
        `New York` is not a known time zone
          = did you mean `America/New_York`
        `America/New York` is not a known time zone
          = did you mean `America/New_York`
        `UTC+2` is not a known time zone
          = write the name of a place, such as `Europe/Berlin`: it knows when its clocks change
        `+02:00` is not a known time zone
          = write the name of a place, such as `Europe/Berlin`: it knows when its clocks change
        `Mars/Olympus_Mons` is not a known time zone
          = write a name such as `Europe/Berlin` from the IANA time zone database
        `` is not a known time zone
          = write a name such as `Europe/Berlin` from the IANA time zone database
        ");
    }
}
