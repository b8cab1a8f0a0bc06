//! The six fields, and what a term of any of them can be: `*`, a number, a name, a range, a step. It knows no field's
//! own extensions, and no expression.

use super::CronError;

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) min: u8,
    pub(super) max: u8,
    /// The first stands for `min`.
    names: &'static [&'static str],
}

pub(super) const SECOND: Field = Field {
    name: "second",
    min: 0,
    max: 59,
    names: &[],
};
pub(super) const MINUTE: Field = Field {
    name: "minute",
    min: 0,
    max: 59,
    names: &[],
};
pub(super) const HOUR: Field = Field {
    name: "hour",
    min: 0,
    max: 23,
    names: &[],
};
pub(super) const DATE: Field = Field {
    name: "day-of-month",
    min: 1,
    max: 31,
    names: &[],
};
pub(super) const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
};
pub(super) const WEEKDAY: Field = Field {
    name: "day-of-week",
    min: 0,
    max: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

/// Some of an expression's text, which knows where it stands.
#[derive(Clone, Copy)]
pub(super) struct Part<'t> {
    pub(super) whole: &'t str,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<'t> Part<'t> {
    pub(super) fn text(self) -> &'t str {
        &self.whole[self.start..self.end]
    }

    pub(super) fn split_once(self, at: char) -> Option<(Part<'t>, Part<'t>)> {
        let (before, _) = self.text().split_once(at)?;
        let middle = self.start + before.len();
        Some((
            Part {
                end: middle,
                ..self
            },
            Part {
                start: middle + at.len_utf8(),
                ..self
            },
        ))
    }

    pub(super) fn strip_suffix(self, suffix: char) -> Option<Part<'t>> {
        let rest = self.text().strip_suffix(suffix)?;
        Some(Part {
            end: self.start + rest.len(),
            ..self
        })
    }

    pub(super) fn terms(self) -> impl Iterator<Item = Part<'t>> {
        let mut start = self.start;
        self.text().split(',').map(move |term| {
            let part = Part {
                start,
                end: start + term.len(),
                ..self
            };
            start = part.end + 1;
            part
        })
    }

    /// The whole expression with this part replaced.
    fn replaced(self, by: impl ToString) -> String {
        let mut whole = self.whole.to_owned();
        whole.replace_range(self.start..self.end, &by.to_string());
        whole.trim_matches([' ', '\t']).to_owned()
    }

    pub(super) fn error(self, message: impl Into<String>) -> CronError {
        CronError {
            span: self.start..self.end,
            message: message.into(),
            help: None,
        }
    }
}

impl CronError {
    pub(super) fn help(self, help: impl Into<String>) -> CronError {
        CronError {
            help: Some(help.into()),
            ..self
        }
    }
}

impl Field {
    /// The numbers that a term without extensions names.
    pub(super) fn values(&self, term: Part) -> Result<u64, CronError> {
        let (range, step) = match term.split_once('/') {
            Some((range, step)) => (range, Some(self.step(term, step)?)),
            None => (term, None),
        };
        let (first, last) = match (range.text(), range.split_once('-')) {
            ("*", _) => (self.min, self.max),
            ("", _) => {
                return Err(term
                    .error(format!(
                        "`{}` lacks the values to step through",
                        term.text()
                    ))
                    .help(format!("write `*{}`", term.text())));
            }
            (_, Some((first, last))) => self.range(range, first, last)?,
            _ => {
                let number = self.number(range)?;
                if let Some(step) = step {
                    return Err(term
                        .error(format!("step `/{step}` needs a range to count in"))
                        .help(format!("write `{number}-{}/{step}`", self.last())));
                }
                (number, number)
            }
        };
        Ok((first..=last)
            .step_by(step.unwrap_or(1))
            .fold(0, |set, number| set | 1 << number))
    }

    /// `part` is not empty.
    pub(super) fn number(&self, part: Part) -> Result<u8, CronError> {
        let text = part.text();
        if let Some(index) = self
            .names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))
        {
            return Ok(self.min + index as u8);
        }
        let Some(number) = decimal(text) else {
            return Err(self.not_a_value(part));
        };
        match u8::try_from(number) {
            Ok(number) if (self.min..=self.max).contains(&number) => Ok(number),
            _ => Err(self.outside(part, number)),
        }
    }

    /// `part` is a number of 1 or more; one too large to count with is as good as the largest.
    pub(super) fn step(&self, term: Part, part: Part) -> Result<usize, CronError> {
        match decimal(part.text()) {
            Some(0) => Err(part
                .error("step 0 never gets on")
                .help("a step is 1 or more")),
            Some(step) => Ok(step as usize),
            None if part.text().is_empty() => {
                Err(term.error(format!("`{}` lacks its step", term.text())))
            }
            None => Err(part.error(format!("step `{}` is not a number", part.text()))),
        }
    }

    pub(super) fn range(
        &self,
        range: Part,
        first: Part,
        last: Part,
    ) -> Result<(u8, u8), CronError> {
        if first.text().is_empty() || last.text().is_empty() {
            let lacks = if first.text().is_empty() {
                "beginning"
            } else {
                "end"
            };
            return Err(range.error(format!("range `{}` lacks its {lacks}", range.text())));
        }
        let (first, last) = (self.number(first)?, self.number(last)?);
        if first > last {
            return Err(range
                .error(format!("range `{}` runs backwards", range.text()))
                .help(format!("write `{}`", self.wrapped(first, last))));
        }
        Ok((first, last))
    }

    /// A range over the field's end, as the two that it means.
    fn wrapped(&self, first: u8, last: u8) -> String {
        let range = |first, last| {
            if first == last {
                format!("{first}")
            } else {
                format!("{first}-{last}")
            }
        };
        match last {
            0 if self.max == 7 => range(first, 7),
            _ => format!("{},{}", range(first, self.last()), range(self.min, last)),
        }
    }

    /// The greatest value that is not another name for the least.
    pub(super) fn last(&self) -> u8 {
        if self.max == 7 { 6 } else { self.max }
    }

    fn outside(&self, part: Part, number: u64) -> CronError {
        let error = part.error(format!(
            "{} {} is outside {}-{}",
            self.name,
            part.text(),
            self.min,
            self.max
        ));
        let values = u64::from(self.max) + 1;
        match self.name {
            "second" | "minute" | "hour" if number < 2 * values && part.is_a_field() => {
                let number = number - values;
                error.help(format!(
                    "for {} {number} write `{}`",
                    self.name,
                    part.replaced(number)
                ))
            }
            "day-of-month" if number > 31 => error.help("for the last day of the month write `L`"),
            "day-of-week" => error.help("0 and 7 are Sunday, 6 is Saturday"),
            _ => error,
        }
    }

    fn not_a_value(&self, part: Part) -> CronError {
        let text = part.text();
        let error = part.error(format!("`{}` is not a {}", text.escape_debug(), self.name));
        let is_named = |field: &&Field| {
            field
                .names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(text))
        };
        if let Some(field) = [&MONTH, &WEEKDAY].into_iter().find(is_named) {
            return error.help(format!("`{text}` belongs in the {} field", field.name));
        }
        let numbers = format!("write a number from {} to {}", self.min, self.max);
        error.help(match (self.name, self.names) {
            ("day-of-month", _) => format!("{numbers}, `L` or `LW`"),
            (_, [first, .., last]) => format!("{numbers} or a name from `{first}` to `{last}`"),
            _ => numbers,
        })
    }
}

impl Part<'_> {
    fn is_a_field(self) -> bool {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let bytes = self.whole.as_bytes();
        bytes[..self.start].last().is_none_or(blank) && bytes.get(self.end).is_none_or(blank)
    }
}

fn decimal(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}
