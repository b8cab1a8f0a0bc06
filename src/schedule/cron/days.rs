//! Which days match: month, day-of-month and day-of-week together. It knows no time of day and no zone.

use jiff::civil::Date;

use super::steps;

/// Sets of numbers: bit n stands for n. Months and dates count from 1, weekdays from Sunday, 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) months: u16,
    pub(super) dates: u32,
    pub(super) last_day: bool,
    /// The last of Monday to Friday in the month.
    pub(super) last_workday: bool,
    pub(super) weekdays: u8,
    /// Weekdays of which the month's last matches.
    pub(super) last_weekdays: u8,
    /// Weekdays of which the month's first, second, … fifth matches.
    pub(super) nth_weekdays: [u8; 5],
    pub(super) rule: DayRule,
}

/// What a date and a weekday have to do with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum DayRule {
    /// One of the two fields starts with `*`.
    #[default]
    Both,
    Either,
}

pub(super) const EVERY_DATE: u32 = !1;
pub(super) const EVERY_WEEKDAY: u8 = 0x7f;

impl Days {
    pub(super) fn contains(&self, date: Date) -> bool {
        self.of_month(date.first_of_month()) & (1 << date.day()) != 0
    }

    pub(super) fn at_or_after(&self, from: Date) -> Option<Date> {
        let mut not_before = !0 << from.day();
        let mut month = from.first_of_month();
        loop {
            steps::count();
            let days = self.of_month(month) & not_before;
            if days != 0 {
                return Date::new(month.year(), month.month(), days.trailing_zeros() as i8).ok();
            }
            not_before = !0;
            month = self.next_month(month)?;
        }
    }

    /// The first of the next month that matches.
    fn next_month(&self, month: Date) -> Option<Date> {
        let later = self.months & (!0 << month.month()) & !(1 << month.month());
        if later != 0 {
            Date::new(month.year(), later.trailing_zeros() as i8, 1).ok()
        } else {
            Date::new(
                month.year().checked_add(1)?,
                self.months.trailing_zeros() as i8,
                1,
            )
            .ok()
        }
    }

    /// Whether any day matches: all shapes that a year can have occur within 400 years.
    pub(super) fn ever(&self) -> bool {
        (1..=12)
            .filter(|month| self.months & (1 << month) != 0)
            .any(|month| {
                let lengths = match month {
                    2 => 28..=29,
                    4 | 6 | 9 | 11 => 30..=30,
                    _ => 31..=31,
                };
                lengths
                    .into_iter()
                    .any(|length| (0..7).any(|first| self.of_shape(first, length) != 0))
            })
    }

    fn of_month(&self, first: Date) -> u32 {
        if self.months & (1 << first.month()) == 0 {
            return 0;
        }
        self.of_shape(
            first.weekday().to_sunday_zero_offset() as u32,
            first.days_in_month() as u32,
        )
    }

    /// The matching days of a month of this length whose first day is this weekday.
    fn of_shape(&self, first: u32, length: u32) -> u32 {
        let dates = self.by_date(first, length);
        let weekdays = self.by_weekday(first, length);
        let days = match self.rule {
            DayRule::Both => dates & weekdays,
            DayRule::Either => dates | weekdays,
        };
        days & EVERY_DATE & (!0 >> (31 - length))
    }

    fn by_date(&self, first: u32, length: u32) -> u32 {
        let mut dates = self.dates;
        if self.last_day {
            dates |= 1 << length;
        }
        if self.last_workday {
            let beyond_friday = match (first + length - 1) % 7 {
                6 => 1,
                0 => 2,
                _ => 0,
            };
            dates |= 1 << (length - beyond_friday);
        }
        dates
    }

    fn by_weekday(&self, first: u32, length: u32) -> u32 {
        let mut days = week_from(self.weekdays, first) * 0b1_0000001_0000001_0000001_0000001;
        for (week, &weekdays) in self.nth_weekdays.iter().enumerate() {
            days |= week_from(weekdays, first) << (7 * week);
        }
        days |= week_from(self.last_weekdays, (first + length) % 7) << (length - 7);
        // Until here bit 0 was the 1st; the fifth week's end is cut off, no month has it.
        ((days & 0x7fff_ffff) << 1) as u32
    }

    /// The star rule, where both fields say something.
    pub(super) fn note(&self) -> Option<String> {
        let every_date = self.dates == EVERY_DATE;
        let every_weekday = self.weekdays == EVERY_WEEKDAY;
        match self.rule {
            DayRule::Either => Some(
                "a day is due when its date or its weekday matches: either suffices, because neither day field starts \
                 with `*`"
                    .to_owned(),
            ),
            DayRule::Both if !every_date && !every_weekday => Some(
                "a day is due when it matches both its day fields, date and weekday, because one of them starts with `*`"
                    .to_owned(),
            ),
            DayRule::Both => None,
        }
    }
}

/// Seven bits, of which bit 0 is the weekday `first`.
fn week_from(weekdays: u8, first: u32) -> u64 {
    let week = u64::from(weekdays);
    ((week >> first) | (week << (7 - first))) & 0x7f
}
