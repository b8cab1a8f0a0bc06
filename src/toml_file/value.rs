//! The types that a key's value can have: TOML's own, and those we write as strings.
//! It knows no key.

use std::time::Duration;

use jiff::civil;
use toml::Spanned;
use toml::de::DeValue;

use std::ops::Range;

use super::{Field, read};

/// A type that a TOML value can be read as.
pub trait FromToml: Sized {
    /// # Errors
    /// What is wanted instead.
    fn from_toml(text: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong>;
}

/// A value of another type.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// With its article: "a string".
    pub wanted: String,
    /// The item of a list that it is about: where it stands, and what it is.
    pub item: Option<(Range<usize>, String)>,
}

impl<S: Into<String>> From<S> for Wrong {
    fn from(wanted: S) -> Self {
        Self {
            wanted: wanted.into(),
            item: None,
        }
    }
}

impl FromToml for String {
    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let string = value.get_ref().as_str().ok_or("a string")?;
        Ok(string.to_owned())
    }
}

impl FromToml for bool {
    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        Ok(value.get_ref().as_bool().ok_or("`true` or `false`")?)
    }
}

impl FromToml for u32 {
    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        value
            .get_ref()
            .as_integer()
            .and_then(|integer| Self::from_str_radix(integer.as_str(), integer.radix()).ok())
            .filter(|number| *number > 0)
            .ok_or_else(|| "a whole number from 1 on".into())
    }
}

impl FromToml for Duration {
    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        value.get_ref().as_str().and_then(duration).ok_or_else(|| {
            "a length of time such as \"10s\", \"5m\", \"12h\", \"1h30m\" or \"90d\"".into()
        })
    }
}

/// A date, or a date and time, on the wall clock of the schedule's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalInstant {
    Date(civil::Date),
    DateTime(civil::DateTime),
}

impl FromToml for LocalInstant {
    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let wanted = "a local date or date-time such as 2026-12-24 or 2026-12-24T18:00:00";
        let datetime = value.get_ref().as_datetime().ok_or(wanted)?;
        if datetime.offset.is_some() {
            return Err(format!("{wanted}: without an offset, `timezone` says where").into());
        }
        let date = datetime.date.as_ref().ok_or(wanted)?;
        let date = civil::Date::new(
            i16::try_from(date.year).map_err(|_| wanted)?,
            i8::try_from(date.month).map_err(|_| wanted)?,
            i8::try_from(date.day).map_err(|_| wanted)?,
        )
        .map_err(|_| "a date that exists")?;
        let Some(time) = &datetime.time else {
            return Ok(Self::Date(date));
        };
        let time = civil::Time::new(
            i8::try_from(time.hour).map_err(|_| wanted)?,
            i8::try_from(time.minute).map_err(|_| wanted)?,
            i8::try_from(time.second.unwrap_or(0)).map_err(|_| wanted)?,
            0,
        )
        .map_err(|_| "a time of day that exists")?;
        Ok(Self::DateTime(date.to_datetime(time)))
    }
}

impl FromToml for civil::DateTime {
    fn from_toml(text: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        match LocalInstant::from_toml(text, value) {
            Ok(LocalInstant::DateTime(at)) => Ok(at),
            Ok(LocalInstant::Date(_)) => {
                Err("a local date-time such as 2026-12-24T18:00:00".into())
            }
            Err(wrong) => Err(wrong
                .wanted
                .replace(
                    "date or date-time such as 2026-12-24 or",
                    "date-time such as",
                )
                .into()),
        }
    }
}

impl FromToml for civil::Date {
    fn from_toml(text: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        match LocalInstant::from_toml(text, value)? {
            LocalInstant::Date(date) => Ok(date),
            LocalInstant::DateTime(_) => Err("a date such as 2026-12-24".into()),
        }
    }
}

/// A list, or a single value that stands for a list of one.
impl<T: FromToml> FromToml for Vec<Field<T>> {
    fn from_toml(text: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let Some(array) = value.get_ref().as_array() else {
            return read(text, value)
                .map(|one| vec![one])
                .map_err(|wrong| format!("{}, or a list of such", wrong.wanted).into());
        };
        let items = array.iter().map(|item| {
            read(text, item).map_err(|wrong| Wrong {
                item: Some((item.span(), kind(item.get_ref()))),
                ..wrong
            })
        });
        items.collect()
    }
}

/// What a value is, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(string) => format!("the string \"{}\"", shortened(string)),
        DeValue::Integer(integer) => format!("the number {}", integer.as_str()),
        DeValue::Float(float) => format!("the number {}", float.as_str()),
        DeValue::Boolean(boolean) => format!("`{boolean}`"),
        DeValue::Datetime(datetime) => format!("the date-time {datetime}"),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

fn shortened(string: &str) -> String {
    const MOST: usize = 40;
    let mut shortened: String = string.chars().take(MOST).collect();
    if shortened.len() < string.len() {
        shortened.push('…');
    }
    shortened.escape_debug().to_string()
}

/// `1h30m`: numbers with their units, nothing between them.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit_on) = rest.split_at(digits);
        let letters = unit_on.len()
            - unit_on
                .trim_start_matches(|c: char| c.is_ascii_lowercase())
                .len();
        let (unit, next) = unit_on.split_at(letters);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = next;
    }
    let a_century = Duration::from_secs(100 * 366 * 86_400);
    (!text.is_empty() && total <= a_century).then_some(total)
}

/// A length as a file would say it: `1h30m`.
pub fn written(length: Duration) -> String {
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let mut left = length.as_millis();
    let mut text = String::new();
    for (unit, milliseconds) in units {
        if left >= milliseconds {
            text += &format!("{}{unit}", left / milliseconds);
            left %= milliseconds;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        #[track_caller]
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(
                duration(text),
                expected.map(Duration::from_millis),
                "{text}"
            );
        }
        check("0s", Some(0));
        check("500ms", Some(500));
        check("10s", Some(10_000));
        check("1h30m", Some(5_400_000));
        check("90d", Some(7_776_000_000));
        check("2w", Some(1_209_600_000));
        check("", None);
        check("10", None);
        check("h", None);
        check("10 s", None);
        check("1.5h", None);
        check("-1s", None);
        check("10S", None);
        check("99999999999999999999s", None);
        check("999999d", None);
    }

    #[test]
    fn lengths_are_written_as_a_file_would_say_them() {
        assert_eq!(written(Duration::from_secs(5_400)), "1h30m");
        assert_eq!(written(Duration::from_secs(43_200)), "12h");
        assert_eq!(written(Duration::from_millis(1_500)), "1s500ms");
        assert_eq!(written(Duration::ZERO), "0s");
    }
}
