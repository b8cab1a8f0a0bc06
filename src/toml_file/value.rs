//! The types that a key's value can have: TOML's own, and those we write as strings.
//! It knows no key.

use std::ops::Range;
use std::time::Duration;

use jiff::civil;
use toml::Spanned;
use toml::de::DeValue;

use super::schema::Kind;
use super::{Field, read};

/// A type that a TOML value can be read as.
pub trait FromToml: Sized {
    /// What an editor is told of it.
    const KIND: Kind;

    /// # Errors
    /// What is wanted instead.
    fn from_toml(text: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Unwanted>;
}

/// Why a value can't be read.
#[derive(Debug)]
pub struct Unwanted {
    /// What is wanted instead, with its article: "a string".
    pub wanted: String,
    pub help: Option<String>,
    /// Where in a list the value is that is meant, and what it is.
    pub(super) item: Option<(Range<usize>, String)>,
}

impl Unwanted {
    fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

impl From<&str> for Unwanted {
    fn from(wanted: &str) -> Self {
        Self {
            wanted: wanted.to_owned(),
            help: None,
            item: None,
        }
    }
}

impl FromToml for String {
    const KIND: Kind = Kind::Text;

    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Unwanted> {
        let string = value.get_ref().as_str().ok_or("a string")?;
        Ok(string.to_owned())
    }
}

impl FromToml for bool {
    const KIND: Kind = Kind::Flag;

    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Unwanted> {
        Ok(value.get_ref().as_bool().ok_or("`true` or `false`")?)
    }
}

impl FromToml for u32 {
    const KIND: Kind = Kind::Count;

    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Unwanted> {
        value
            .get_ref()
            .as_integer()
            .and_then(|integer| Self::from_str_radix(integer.as_str(), integer.radix()).ok())
            .filter(|number| *number > 0)
            .ok_or_else(|| "a whole number of 1 or more".into())
    }
}

impl FromToml for Duration {
    const KIND: Kind = Kind::Length;

    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Unwanted> {
        let text = value.get_ref().as_str().unwrap_or_default();
        duration(text).ok_or_else(|| {
            if milliseconds(text).is_some() {
                return Unwanted::from("a length of time of at most 100 years")
                    .help("write a shorter one, such as \"90d\"");
            }
            let unwanted: Unwanted =
                "a length of time such as \"10s\", \"1h30m\" or \"90d\"".into();
            match value.get_ref() {
                DeValue::Integer(number) => {
                    unwanted.help(format!("for seconds write \"{}s\"", number.as_str()))
                }
                _ => unwanted
                    .help("write numbers with the units ms, s, m, h, d or w, nothing between them"),
            }
        })
    }
}

/// A date, or a date and time, on the wall clock of the schedule's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalInstant {
    Date(civil::Date),
    DateTime(civil::DateTime),
}

const DATE: &str = "a date such as 2026-12-24";
const DATE_TIME: &str = "a date with a time such as 2026-12-24T18:00:00";
const EITHER: &str = "a date such as 2026-12-24, or one with a time such as 2026-12-24T18:00:00";

impl FromToml for LocalInstant {
    const KIND: Kind = Kind::Instant;

    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Unwanted> {
        instant(value, EITHER)
    }
}

impl FromToml for civil::DateTime {
    const KIND: Kind = Kind::DateTime;

    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Unwanted> {
        match instant(value, DATE_TIME)? {
            LocalInstant::DateTime(at) => Ok(at),
            LocalInstant::Date(_) => Err(DATE_TIME.into()),
        }
    }
}

impl FromToml for civil::Date {
    const KIND: Kind = Kind::Date;

    fn from_toml(_: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Unwanted> {
        match instant(value, DATE)? {
            LocalInstant::Date(date) => Ok(date),
            LocalInstant::DateTime(_) => Err(DATE.into()),
        }
    }
}

fn instant(value: &Spanned<DeValue<'_>>, wanted: &str) -> Result<LocalInstant, Unwanted> {
    let unwanted = || Unwanted::from(wanted);
    let datetime = match value.get_ref() {
        DeValue::Datetime(datetime) => datetime,
        DeValue::String(_) => return Err(unwanted().help("dates stand without quotes")),
        _ => return Err(unwanted()),
    };
    if datetime.offset.is_some() {
        return Err(Unwanted::from("a local one")
            .help("leave the offset out: `timezone` says which clock is meant"));
    }
    let date = datetime.date.as_ref().ok_or_else(unwanted)?;
    let number = |number: u8| i8::try_from(number).map_err(|_| unwanted());
    let date = civil::Date::new(
        i16::try_from(date.year).map_err(|_| unwanted())?,
        number(date.month)?,
        number(date.day)?,
    )
    .map_err(|_| "a date that exists")?;
    let Some(time) = &datetime.time else {
        return Ok(LocalInstant::Date(date));
    };
    let time = civil::Time::new(
        number(time.hour)?,
        number(time.minute)?,
        number(time.second.unwrap_or(0))?,
        0,
    )
    .map_err(|_| "a time of day that exists")?;
    Ok(LocalInstant::DateTime(date.to_datetime(time)))
}

/// A list, or a single value that stands for a list of one.
impl<T: FromToml> FromToml for Vec<Field<T>> {
    const KIND: Kind = Kind::List(&T::KIND);

    fn from_toml(text: &str, value: &Spanned<DeValue<'_>>) -> Result<Self, Unwanted> {
        let Some(array) = value.get_ref().as_array() else {
            return Ok(vec![read(text, value)?]);
        };
        array
            .iter()
            .map(|item| {
                read(text, item).map_err(|unwanted| Unwanted {
                    item: Some((item.span(), kind(item.get_ref()))),
                    ..unwanted
                })
            })
            .collect()
    }
}

/// What a value is, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(string) => format!("the string \"{}\"", shortened(string)),
        DeValue::Integer(integer) => format!("the number {}", integer.as_str()),
        DeValue::Float(float) => format!("the number {}", float.as_str()),
        DeValue::Boolean(boolean) => format!("`{boolean}`"),
        DeValue::Datetime(datetime) => match (datetime.date, datetime.time) {
            (Some(_), Some(_)) => format!("the date-time {datetime}"),
            (Some(_), None) => format!("the date {datetime}"),
            (None, _) => format!("the time {datetime}"),
        },
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

/// `1h30m`: numbers with their units, nothing between them. At most 100 years.
pub fn duration(text: &str) -> Option<Duration> {
    let a_century = Duration::from_secs(100 * 366 * 86_400);
    let length = Duration::from_millis(milliseconds(text)?);
    (length <= a_century).then_some(length)
}

/// However long, up to the longest that there can be.
fn milliseconds(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut total: u64 = 0;
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
        if number.is_empty() {
            return None;
        }
        // Of nothing but digits, it can only be too long.
        let number: u64 = number.parse().unwrap_or(u64::MAX);
        total = total.saturating_add(number.saturating_mul(milliseconds));
        rest = next;
    }
    Some(total)
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
        check("18446744073709551615ms1w", None);
        check("36600d", Some(3_162_240_000_000));
        check("36601d", None);
    }

    #[test]
    fn lengths_are_written_as_a_file_would_say_them() {
        assert_eq!(written(Duration::from_secs(5_400)), "1h30m");
        assert_eq!(written(Duration::from_secs(43_200)), "12h");
        assert_eq!(written(Duration::from_millis(1_500)), "1s500ms");
        assert_eq!(written(Duration::ZERO), "0s");
    }
}
