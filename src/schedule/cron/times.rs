//! Which times of day match: hour, minute and second. It knows no date.

use jiff::civil::Time;

/// Sets of numbers: bit n stands for n. None is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) hours: u32,
    pub(super) minutes: u64,
    pub(super) seconds: u64,
    pub(super) hashed: Hashed,
}

/// Which of the fields have an `H`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hashed {
    pub(super) second: bool,
    pub(super) minute: bool,
    pub(super) hour: bool,
}

impl Times {
    /// `from` has no part of a second.
    pub(super) fn at_or_after(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (
            from.hour() as u32,
            from.minute() as u32,
            from.second() as u32,
        );
        let (hours, first_minute, first_second) = (
            u64::from(self.hours),
            self.minutes.trailing_zeros(),
            self.seconds.trailing_zeros(),
        );

        if hours & (1 << hour) != 0 {
            if self.minutes & (1 << minute) != 0
                && let Some(second) = first_from(self.seconds, second)
            {
                return Some(time(hour, minute, second));
            }
            if let Some(minute) = first_from(self.minutes, minute + 1) {
                return Some(time(hour, minute, first_second));
            }
        }
        first_from(hours, hour + 1).map(|hour| time(hour, first_minute, first_second))
    }

    pub(super) fn seconds_of(&self, hour: u8, minute: u8) -> u64 {
        if self.hours & (1 << hour) != 0 && self.minutes & (1 << minute) != 0 {
            self.seconds
        } else {
            0
        }
    }

    /// What `H` became.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        [
            ("second", self.hashed.second, self.seconds),
            ("minute", self.hashed.minute, self.minutes),
            ("hour", self.hashed.hour, u64::from(self.hours)),
        ]
        .into_iter()
        .filter(|(_, hashed, _)| *hashed)
        .map(|(field, _, values)| format!("`H` makes the {field} `{}`", written(values)))
    }
}

fn first_from(set: u64, from: u32) -> Option<u32> {
    let rest = set & u64::MAX.checked_shl(from)?;
    (rest != 0).then(|| rest.trailing_zeros())
}

fn time(hour: u32, minute: u32, second: u32) -> Time {
    Time::new(hour as i8, minute as i8, second as i8, 0)
        .expect("the sets hold no number outside its field")
}

/// The set as a cron field: numbers and, from three in a row, ranges.
fn written(set: u64) -> String {
    let mut terms = Vec::new();
    let mut next = 0;
    while let Some(start) = first_from(set, next) {
        let end = start + (set >> start).trailing_ones() - 1;
        match end - start {
            0 => terms.push(start.to_string()),
            1 => terms.push(format!("{start},{end}")),
            _ => terms.push(format!("{start}-{end}")),
        }
        next = end + 1;
    }
    terms.join(",")
}
