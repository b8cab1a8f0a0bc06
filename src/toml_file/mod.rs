//! Reading a TOML file by its keys, with every problem found in one pass: where serde stops at the
//! first. It knows no key by name.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::schedule::problem::Problem;

mod value;

pub use value::{FromToml, LocalInstant, Wrong, duration, written};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Field<T> {
    pub value: T,
    /// `None` if it does not stand in this file but comes from `[defaults]`.
    pub span: Option<Range<usize>>,
    /// Where the first byte of a string's content stands, if the content stands there as it is.
    content: Option<usize>,
}

impl<T> Field<T> {
    /// The place of some bytes of a string's value; all of it where it is written with escapes.
    pub fn part(&self, range: Range<usize>) -> Option<Range<usize>> {
        match self.content {
            Some(start) => Some(start + range.start..start + range.end),
            None => self.span.clone(),
        }
    }

    /// The same value, as one that does not stand in this file.
    #[must_use]
    pub fn elsewhere(self) -> Self {
        Self {
            span: None,
            content: None,
            ..self
        }
    }
}

/// A file's text and what is wrong with it.
pub struct Document<'i> {
    pub path: PathBuf,
    pub text: &'i str,
    pub problems: Vec<Problem>,
}

/// One table: each key is asked for once, and what nobody asked for is unknown.
pub struct Table<'d, 'i> {
    document: &'d mut Document<'i>,
    entries: DeTable<'i>,
    /// `missed.` for a table below the top.
    prefix: String,
    asked: Vec<&'static str>,
}

impl<'i> Document<'i> {
    pub fn new(path: &Path, text: &'i str) -> Self {
        Self {
            path: path.to_owned(),
            text,
            problems: Vec::new(),
        }
    }

    /// The top table; empty where the syntax is wrong: what can still be read then is guesswork.
    pub fn top(&mut self) -> Table<'_, 'i> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let entries = match errors.is_empty() {
            true => table.into_inner(),
            false => DeTable::new(),
        };
        for error in errors {
            let problem = Problem::error(&self.path, error.message().trim_end()).at(error.span());
            self.problems.push(problem);
        }
        Table {
            document: self,
            entries,
            prefix: String::new(),
            asked: Vec::new(),
        }
    }
}

impl<'d, 'i> Table<'d, 'i> {
    /// The value of `key`, if it is there and of the right type.
    pub fn get<T: FromToml>(&mut self, key: &'static str) -> Option<Field<T>> {
        let value = self.take(key)?;
        match read(self.document.text, &value) {
            Ok(field) => Some(field),
            Err(wrong) => {
                self.wrong_type(key, &value, wrong);
                None
            }
        }
    }

    /// The table `key`, to be read by `read`, which also gets the place of its header.
    pub fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_, 'i>, Range<usize>) -> T,
    ) -> Option<T> {
        let value = self.take(key)?;
        let place = value.span();
        self.read_table(key, value, |table| read(table, place))
    }

    /// Every entry of the table `key`, each a table of its own, by names that the user chose.
    pub fn named_tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Table<'_, 'i>) -> T,
    ) -> Vec<(Field<String>, T)> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let span = value.span();
        let DeValue::Table(entries) = value.into_inner() else {
            self.error(span, format!("`{}{key}` is not a table", self.prefix));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (name, value) in entries {
            let field = Field {
                value: name.get_ref().to_string(),
                span: Some(name.span()),
                content: None,
            };
            let path = format!("{key}.{}", field.value);
            if let Some(table) = self.read_table(&path, value, |table| read(&field.value, table)) {
                tables.push((field, table));
            }
        }
        tables
    }

    /// The value as it is, for a key that takes more than one type.
    pub fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.asked.push(key);
        self.entries.remove(key)
    }

    pub fn error(&mut self, span: Range<usize>, message: String) {
        let problem = Problem::error(&self.document.path, message).at(span);
        self.document.problems.push(problem);
    }

    fn wrong_type(&mut self, key: &str, value: &Spanned<DeValue<'i>>, wrong: Wrong) {
        let Wrong { wanted, item } = wrong;
        let name = format!("`{}{key}`", self.prefix);
        let (place, message) = match item {
            Some((place, found)) => (place, format!("{name} lists {found}, not {wanted}")),
            None => {
                let found = value::kind(value.get_ref());
                (value.span(), format!("{name} is {found}, not {wanted}"))
            }
        };
        self.error(place, message);
    }

    fn read_table<T>(
        &mut self,
        key: &str,
        value: Spanned<DeValue<'i>>,
        read: impl FnOnce(&mut Table<'_, 'i>) -> T,
    ) -> Option<T> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(entries) => {
                let mut table = Table {
                    document: self.document,
                    entries,
                    prefix: format!("{}{key}.", self.prefix),
                    asked: Vec::new(),
                };
                let value = read(&mut table);
                table.finish();
                Some(value)
            }
            other => {
                let found = value::kind(&other);
                let message = format!("`{}{key}` is {found}, not a table", self.prefix);
                self.error(span, message);
                None
            }
        }
    }

    /// Tells of every key that nobody asked for.
    pub fn finish(self) {
        for (key, _) in &self.entries {
            let name = key.get_ref();
            let problem = Problem::error(
                &self.document.path,
                format!("unknown key `{}{name}`", self.prefix),
            )
            .at(key.span());
            let help = match nearest(name, &self.asked) {
                Some(near) => format!("did you mean `{near}`"),
                None => format!("known here: {}", list(&self.asked)),
            };
            self.document.problems.push(problem.help(help));
        }
    }
}

/// Reads one value, or says what was wanted.
pub fn read<T: FromToml>(text: &str, value: &Spanned<DeValue<'_>>) -> Result<Field<T>, Wrong> {
    let span = value.span();
    let content = value
        .get_ref()
        .as_str()
        .and_then(|content| content_start(text, &span, content));
    Ok(Field {
        value: T::from_toml(text, value)?,
        span: Some(span),
        content,
    })
}

/// Where the content of a quoted string begins, if it is written without escapes.
fn content_start(text: &str, span: &Range<usize>, content: &str) -> Option<usize> {
    let quoted = text.get(span.clone())?;
    let quotes = if quoted.starts_with("\"\"\"") || quoted.starts_with("'''") {
        3
    } else {
        1
    };
    let inside = quoted.get(quotes..quoted.len().checked_sub(quotes)?)?;
    let skipped = inside.strip_suffix(content)?.len();
    let is_first_line_break = matches!(&inside[..skipped], "" | "\n" | "\r\n");
    is_first_line_break.then_some(span.start + quotes + skipped)
}

/// The candidate that is at most two slips away.
pub fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (slips(name, candidate), *candidate))
        .filter(|(slips, candidate)| *slips <= 2 && *slips < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn slips(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.chars().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[row.len() - 1]
}

pub fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        assert_eq!(slips("cron", "cron"), 0);
        assert_eq!(slips("corn", "cron"), 2);
        assert_eq!(slips("timezon", "timezone"), 1);
        assert_eq!(slips("", "at"), 2);
        assert_eq!(nearest("timezon", &["cron", "timezone"]), Some("timezone"));
        assert_eq!(nearest("x", &["at", "cron"]), None);
    }

    #[test]
    fn a_part_of_a_string_is_found_where_it_stands_as_it_is() {
        #[track_caller]
        fn check(text: &str, range: Range<usize>, expected: &str) {
            let mut document = Document::new(Path::new("a.toml"), text);
            let field = document.top().get::<String>("a").expect("a string");
            let part = field.part(range).expect("stands in this file");
            assert_eq!(&text[part], expected);
        }
        check(r#"a = "61 7 * * 1-5""#, 0..2, "61");
        check("a = '61 7 * * 1-5'", 3..4, "7");
        check("a = \"\"\"\nfirst {{ x }}\n\"\"\"", 9..10, "x");
        check(r#"a = "\u0036\u0031 7""#, 0..2, r#""\u0036\u0031 7""#);
    }
}
