//! Text to expression: the fields, the macros, and what each field knows beyond numbers. It refuses what it does not know
//! for certain, and knows no instant.

use super::days::{DayRule, Days, EVERY_WEEKDAY};
use super::field::{DATE, Field, HOUR, MINUTE, MONTH, Part, SECOND, WEEKDAY};
use super::times::{Hashed, Times};
use super::{CronError, CronExpr, Kind, hash};

const MAX_BYTES: usize = 256;

const MACROS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

pub(super) fn parse(text: &str, schedule: &str) -> Result<CronExpr, CronError> {
    let whole = trimmed(text);
    if text.len() > MAX_BYTES {
        return Err(whole
            .error(format!(
                "the expression has {} bytes, more than {MAX_BYTES}",
                text.len()
            ))
            .help("give `cron` a list of several expressions"));
    }
    if whole.text().starts_with('@') {
        return parse_macro(whole, schedule);
    }
    let fields: Vec<Part> = fields(whole).collect();
    if let Some(zone) = fields.first().filter(|field| field.text().contains('=')) {
        return Err(zone
            .error(format!("`{}` is not a cron field", zone.text()))
            .help("a time zone goes into `timezone`"));
    }
    match fields[..] {
        [minute, hour, date, month, weekday] => {
            expression(None, [minute, hour], [date, month, weekday], schedule)
        }
        [second, minute, hour, date, month, weekday] => expression(
            Some(second),
            [minute, hour],
            [date, month, weekday],
            schedule,
        ),
        _ => Err(wrong_count(whole, &fields)),
    }
}

fn trimmed(text: &str) -> Part<'_> {
    let inner = text.trim_matches(is_blank);
    let start = text.len() - text.trim_start_matches(is_blank).len();
    match inner {
        "" => Part {
            whole: text,
            start: 0,
            end: text.len(),
        },
        _ => Part {
            whole: text,
            start,
            end: start + inner.len(),
        },
    }
}

fn fields(whole: Part) -> impl Iterator<Item = Part> {
    let mut start = whole.start;
    whole
        .text()
        .split(is_blank)
        .map(move |field| {
            let part = Part {
                start,
                end: start + field.len(),
                ..whole
            };
            start = part.end + 1;
            part
        })
        .filter(|field| !field.text().is_empty())
}

fn is_blank(char: char) -> bool {
    char == ' ' || char == '\t'
}

fn parse_macro(whole: Part, schedule: &str) -> Result<CronExpr, CronError> {
    let name = whole.text().to_ascii_lowercase();
    if let Some((_, expanded)) = MACROS.iter().find(|(known, _)| *known == name) {
        return parse(expanded, schedule);
    }
    let first_word = name.split(is_blank).next().unwrap_or_default();
    Err(match first_word {
        "@reboot" => whole
            .error("`@reboot` is no point in time: a restart of the daemon must not wake an agent")
            .help("for once, now, run `triggerd trigger NAME`"),
        "@every" => whole
            .error("`@every` counts from the daemon's start, so that each restart would move it")
            .help("write a step, such as `*/15 * * * *`"),
        _ if MACROS.iter().any(|(known, _)| *known == first_word) => {
            whole.error(format!("`{first_word}` stands alone"))
        }
        _ => whole
            .error(format!("`{}` is not a macro", whole.text()))
            .help("write `@yearly`, `@monthly`, `@weekly`, `@daily` or `@hourly`"),
    })
}

fn wrong_count(whole: Part, fields: &[Part]) -> CronError {
    let order = "minute, hour, day-of-month, month and day-of-week";
    match fields {
        [] => whole
            .error("the expression is empty")
            .help(format!("write {order}, such as `0 9 * * MON-FRI`")),
        [_, _, _, _, _, _, seventh, ..] => Part {
            start: seventh.start,
            ..whole
        }
        .error(format!(
            "{} fields are too many: 5, or 6 with the second first",
            fields.len()
        ))
        .help("there is no field for the year: `start` and `end` bound a schedule"),
        [_] => whole
            .error("1 field is too few: 5, or 6 with the second first")
            .help(format!("the fields are {order}")),
        _ => whole
            .error(format!(
                "{} fields are too few: 5, or 6 with the second first",
                fields.len()
            ))
            .help(format!("the fields are {order}")),
    }
}

fn expression(
    second: Option<Part>,
    [minute, hour]: [Part; 2],
    days: [Part; 3],
    schedule: &str,
) -> Result<CronExpr, CronError> {
    let is_interval = [second, Some(minute), Some(hour)]
        .into_iter()
        .flatten()
        .any(starts_with_star);
    let (seconds, hashed_second) = match second {
        Some(second) => time_values(&SECOND, second, schedule)?,
        None => (1, false),
    };
    let (minutes, hashed_minute) = time_values(&MINUTE, minute, schedule)?;
    let (hours, hashed_hour) = time_values(&HOUR, hour, schedule)?;
    Ok(CronExpr {
        days: days_of(days)?,
        times: Times {
            hours: hours as u32,
            minutes,
            seconds,
            hashed: Hashed {
                second: hashed_second,
                minute: hashed_minute,
                hour: hashed_hour,
            },
        },
        kind: if is_interval {
            Kind::Interval
        } else {
            Kind::Clock
        },
    })
}

fn starts_with_star(field: Part) -> bool {
    field.text().starts_with('*')
}

/// The field's numbers, and whether `H` gave any.
fn time_values(field: &Field, part: Part, schedule: &str) -> Result<(u64, bool), CronError> {
    let mut values = 0;
    let mut hashed = false;
    for term in terms(part) {
        let term = term?;
        if term.text().starts_with(['H', 'h']) {
            values |= hashed_values(field, term, schedule)?;
            hashed = true;
        } else {
            values |= field.values(term)?;
        }
    }
    Ok((values, hashed))
}

/// `H`, `H/15` or `H(0-29)`.
fn hashed_values(field: &Field, term: Part, schedule: &str) -> Result<u64, CronError> {
    let pick = |values| hash::pick(schedule, field.name, values);
    let last = field.max;
    if term.text() == "H" {
        return Ok(1 << pick(last + 1));
    }
    if let Some(("H", step)) = term.text().split_once('/') {
        let step = Part {
            start: term.end - step.len(),
            ..term
        };
        // A step beyond the field leaves one value, which is then any of the field's.
        let step = field.step(term, step)?.min(usize::from(last) + 1);
        return Ok((pick(step as u8)..=last)
            .step_by(step)
            .fold(0, |set, number| set | 1 << number));
    }
    if let Some(inner) = term
        .text()
        .strip_prefix("H(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        let range = Part {
            start: term.start + 2,
            end: term.start + 2 + inner.len(),
            ..term
        };
        if let Some((first, last)) = range.split_once('-') {
            let (first, last) = field.range(range, first, last)?;
            return Ok(1 << (first + pick(last - first + 1)));
        }
    }
    Err(term
        .error(format!("`{}` is not a hashed {}", term.text(), field.name))
        .help("write `H`, `H/15` or `H(0-29)`"))
}

fn days_of([date, month, weekday]: [Part; 3]) -> Result<Days, CronError> {
    let either = !starts_with_star(date) && !starts_with_star(weekday);
    let mut days = Days {
        rule: if either {
            DayRule::Either
        } else {
            DayRule::Both
        },
        ..Days::default()
    };
    for term in terms(date) {
        add_date(&mut days, term?)?;
    }
    for term in terms(month) {
        let term = term?;
        days.months |= plain_values(&MONTH, term)? as u16;
    }
    for term in terms(weekday) {
        add_weekday(&mut days, term?)?;
    }
    if days.ever() {
        Ok(days)
    } else {
        Err(never_fires(&days, date, month, weekday))
    }
}

fn add_date(days: &mut Days, term: Part) -> Result<(), CronError> {
    match term.text() {
        "L" => days.last_day = true,
        "LW" => days.last_workday = true,
        text if text.contains('W') || text.starts_with("L-") => {
            return Err(term
                .error(format!("`{text}` is not supported"))
                .help("of `L` and `W`, `L` is the last day of the month and `LW` its last day from Monday to Friday"));
        }
        _ => days.dates |= plain_values(&DATE, term)? as u32,
    }
    Ok(())
}

fn add_weekday(days: &mut Days, term: Part) -> Result<(), CronError> {
    let sunday_is_0 = |weekday| weekday % 7;
    if term.text() == "L" {
        return Err(term
            .error("`L` alone is not a day-of-week")
            .help("write `5L` for the last Friday of the month, `6` for Saturday"));
    }
    if let Some(weekday) = term.strip_suffix('L') {
        days.last_weekdays |= 1 << sunday_is_0(WEEKDAY.number(weekday)?);
    } else if let Some((weekday, nth)) = term.split_once('#') {
        let nth = match nth.text() {
            text @ ("1" | "2" | "3" | "4" | "5") if !weekday.text().is_empty() => text,
            _ => return Err(not_an_nth_weekday(term)),
        };
        let week = usize::from(nth.as_bytes()[0] - b'1');
        days.nth_weekdays[week] |= 1 << sunday_is_0(WEEKDAY.number(weekday)?);
    } else {
        let values = plain_values(&WEEKDAY, term)?;
        days.weekdays |= ((values | values >> 7) as u8) & EVERY_WEEKDAY;
    }
    Ok(())
}

fn not_an_nth_weekday(term: Part) -> CronError {
    term.error(format!("`{}` is not the nth of a day-of-week", term.text()))
        .help("write `5#1` to `5#5` for the first to the fifth Friday of the month, `5L` for the last")
}

/// As [`Field::values`], with a word for what other crons know and this field does not.
fn plain_values(field: &Field, term: Part) -> Result<u64, CronError> {
    if term.text().starts_with('H') && field.name != "month" {
        return Err(term
            .error(format!("`H` is not a {}", field.name))
            .help("`H` can stand in the second, minute and hour fields"));
    }
    field.values(term)
}

fn terms(field: Part) -> impl Iterator<Item = Result<Part, CronError>> {
    field.terms().map(move |term| {
        let text = term.text();
        if text.is_empty() {
            let comma = if term.end < field.end { term.end } else { term.end - 1 };
            return Err(Part { start: comma, end: comma + 1, ..term }
                .error("a term is missing beside the comma")
                .help("take the comma out, or write the term"));
        }
        if text.contains('?') {
            return Err(term.error("`?` is not a cron value").help("write `*`"));
        }
        if text.contains('~') {
            return Err(term
                .error("`~` picks at random, so that two machines would not agree")
                .help("write `H`, or `H(0-29)` for a range: it stays the same for the schedule's name"));
        }
        Ok(term)
    })
}

fn never_fires(days: &Days, date: Part, month: Part, weekday: Part) -> CronError {
    let (last, help) = match days.weekdays {
        EVERY_WEEKDAY => (month, "for the last day of the month write `L`"),
        _ => (
            weekday,
            "a day field starts with `*`, so that a day must match both its date and its weekday",
        ),
    };
    let part = Part {
        end: last.end,
        ..date
    };
    part.error(format!(
        "`{}` never fires: no year has such a day",
        part.text()
    ))
    .help(help)
}

#[cfg(test)]
mod tests;
