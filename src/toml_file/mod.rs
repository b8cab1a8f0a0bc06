//! Reading a TOML file by its keys, with every problem found in one pass: where serde stops at the
//! first. It knows no key by name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::schedule::problem::Problem;

pub mod schema;
mod syntax;
mod value;

use schema::Kind;

pub use value::{FromToml, LocalInstant, Unwanted, duration, written};

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

    /// The place of some bytes of a string's value, or of all of it where those are not known.
    pub fn part_or_all(&self, range: Option<Range<usize>>) -> Option<Range<usize>> {
        match range {
            Some(range) => self.part(range),
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
    pub unread: Unread,
    /// Every key that somebody asked for, by the prefix of its table.
    asked: Vec<(String, Vec<(&'static str, Kind)>)>,
    unknown: Vec<Unknown>,
}

/// What stands in a file and could not be read, so that nobody calls it missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Full names: `event.update_text`.
    keys: BTreeSet<String>,
    /// The syntax is broken, and any key may stand where it is.
    any: bool,
}

impl Unread {
    pub fn may_hold(&self, key: &str) -> bool {
        let holds = |unread: &String| {
            key.strip_prefix(unread.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.any || self.keys.iter().any(holds)
    }
}

/// A key that nobody asked for.
struct Unknown {
    /// `missed.` for a key of a table below the top.
    prefix: String,
    name: String,
    place: Range<usize>,
    /// What is known beside it.
    siblings: Vec<&'static str>,
}

/// One table: each key is asked for once, and what nobody asked for is unknown.
pub struct Table<'d, 'i> {
    document: &'d mut Document<'i>,
    entries: DeTable<'i>,
    /// `missed.` for a table below the top.
    prefix: String,
    asked: Vec<(&'static str, Kind)>,
}

impl<'i> Document<'i> {
    pub fn new(path: &Path, text: &'i str) -> Self {
        Self {
            path: path.to_owned(),
            text,
            problems: Vec::new(),
            unread: Unread::default(),
            asked: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Reads the top table as far as its syntax is right, and tells of every key that nobody asked for.
    pub fn read<T>(&mut self, read: impl FnOnce(&mut Table<'_, 'i>) -> T) -> T {
        let (top, errors) = DeTable::parse_recoverable(self.text);
        self.unread.any = !errors.is_empty();
        self.problems.extend(
            errors
                .iter()
                .map(|error| syntax::problem(&self.path, self.text, error)),
        );
        let mut table = Table {
            document: self,
            entries: top.into_inner(),
            prefix: String::new(),
            asked: Vec::new(),
        };
        let value = read(&mut table);
        table.close();
        self.tell_unknown();
        value
    }

    /// Every key that was asked for, by its full name, and what its value can be.
    pub fn known(&self) -> BTreeMap<String, Kind> {
        let tables = self.asked.iter();
        tables
            .flat_map(|(prefix, keys)| {
                keys.iter()
                    .map(move |(key, kind)| (format!("{prefix}{key}"), *kind))
            })
            .collect()
    }

    fn tell_unknown(&mut self) {
        if self.unknown.is_empty() {
            return;
        }
        let known = self.known();
        for unknown in std::mem::take(&mut self.unknown) {
            let message = format!("unknown key `{}{}`", unknown.prefix, unknown.name);
            let (meant, help) = unknown.meant(&known);
            self.unread.keys.extend(meant);
            let problem = Problem::error(&self.path, message).at(unknown.place);
            self.problems.push(problem.help(help));
        }
    }
}

impl<'d, 'i> Table<'d, 'i> {
    /// The value of `key`, if it is there and of the right type.
    pub fn get<T: FromToml>(&mut self, key: &'static str) -> Option<Field<T>> {
        let value = self.take(key, T::KIND)?;
        match read(self.document.text, &value) {
            Ok(field) => Some(field),
            Err(unwanted) => {
                self.unwanted(key, &value, unwanted);
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
        let Some(value) = self.take(key, Kind::Table) else {
            // Its keys are asked for all the same, so that one in another table can be told where it belongs.
            self.below(key, DeTable::new(), |table| read(table, 0..0));
            return None;
        };
        let place = value.span();
        self.read_table(key, value, |table| read(table, place))
    }

    /// Every entry of the table `key`, each a table of its own, by names that the user chose.
    pub fn named_tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Table<'_, 'i>) -> T,
    ) -> Vec<(Field<String>, T)> {
        let Some(value) = self.take(key, Kind::NamedTables) else {
            return Vec::new();
        };
        let entries = match value.get_ref() {
            DeValue::Table(entries) => entries.clone(),
            _ => {
                self.no_table(key, &value);
                return Vec::new();
            }
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

    fn take(&mut self, key: &'static str, kind: Kind) -> Option<Spanned<DeValue<'i>>> {
        self.asked.push((key, kind));
        self.entries.remove(key)
    }

    fn unwanted(&mut self, key: &str, value: &Spanned<DeValue<'i>>, unwanted: Unwanted) {
        let key = format!("{}{key}", self.prefix);
        let (place, found, subject) = match unwanted.item {
            Some((place, found)) => (place, found, format!("an item of `{key}`")),
            None => (
                value.span(),
                value::kind(value.get_ref()),
                format!("`{key}`"),
            ),
        };
        let message = format!("{subject} is {found}, not {}", unwanted.wanted);
        self.unreadable(key, place, message, unwanted.help);
    }

    fn no_table(&mut self, key: &str, value: &Spanned<DeValue<'i>>) {
        let key = format!("{}{key}", self.prefix);
        // A string is not quoted: where a table is wanted, it may be a token.
        let (found, help) = match value.get_ref() {
            DeValue::Array(_) => (
                "a list".to_owned(),
                format!("write `[{key}]` once, in single brackets"),
            ),
            DeValue::String(_) => ("a string".to_owned(), header_help(&key)),
            other => (value::kind(other), header_help(&key)),
        };
        let message = format!("`{key}` is {found}, not a table");
        self.unreadable(key, value.span(), message, Some(help));
    }

    fn unreadable(
        &mut self,
        key: String,
        place: Range<usize>,
        message: String,
        help: Option<String>,
    ) {
        let document = &mut *self.document;
        document.unread.keys.insert(key);
        let is_told = document
            .problems
            .iter()
            .any(|problem| problem.span.as_ref() == Some(&place));
        if !is_told {
            let problem = Problem::error(&document.path, message).at(place);
            document.problems.push(match help {
                Some(help) => problem.help(help),
                None => problem,
            });
        }
    }

    fn read_table<T>(
        &mut self,
        key: &str,
        value: Spanned<DeValue<'i>>,
        read: impl FnOnce(&mut Table<'_, 'i>) -> T,
    ) -> Option<T> {
        if !value.get_ref().is_table() {
            self.no_table(key, &value);
            return None;
        }
        match value.into_inner() {
            DeValue::Table(entries) => Some(self.below(key, entries, read)),
            _ => None,
        }
    }

    fn below<T>(
        &mut self,
        key: &str,
        entries: DeTable<'i>,
        read: impl FnOnce(&mut Table<'_, 'i>) -> T,
    ) -> T {
        let mut table = Table {
            document: self.document,
            entries,
            prefix: format!("{}{key}.", self.prefix),
            asked: Vec::new(),
        };
        let value = read(&mut table);
        table.close();
        value
    }

    /// What is left is unknown.
    fn close(self) {
        let unknown = self.entries.iter().map(|(key, _)| Unknown {
            prefix: self.prefix.clone(),
            name: key.get_ref().to_string(),
            place: key.span(),
            siblings: self.asked.iter().map(|(key, _)| *key).collect(),
        });
        self.document.unknown.extend(unknown);
        self.document.asked.push((self.prefix, self.asked));
    }
}

impl Unknown {
    /// What is probably meant, by its full name, and how to say it.
    fn meant(&self, known: &BTreeMap<String, Kind>) -> (Option<String>, String) {
        if let Some(near) = nearest(&self.name, &self.siblings) {
            let full_name = format!("{}{near}", self.prefix);
            return (Some(full_name), format!("did you mean `{near}`"));
        }
        let mut homes = known.keys().filter_map(|full_name| {
            let home = full_name.strip_suffix(&self.name)?;
            let home = match home {
                "" => "",
                _ => home.strip_suffix('.')?,
            };
            Some((full_name, home))
        });
        match (homes.next(), homes.next()) {
            (Some((full_name, "")), None) => (
                Some(full_name.clone()),
                "it belongs at the top, above the first `[table]`".into(),
            ),
            (Some((full_name, home)), None) => (
                Some(full_name.clone()),
                format!("it belongs below `[{home}]`"),
            ),
            _ => (None, format!("known here: {}", list(&self.siblings))),
        }
    }
}

fn header_help(key: &str) -> String {
    format!("write `[{key}]` on a line of its own, and its keys below")
}

/// Reads one value, or says what was wanted.
pub(crate) fn read<T: FromToml>(
    text: &str,
    value: &Spanned<DeValue<'_>>,
) -> Result<Field<T>, Unwanted> {
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
            let field = document.read(|table| table.get::<String>("a"));
            let field = field.expect("a string");
            let part = field.part(range).expect("stands in this file");
            assert_eq!(&text[part], expected);
        }
        check(r#"a = "61 7 * * 1-5""#, 0..2, "61");
        check("a = '61 7 * * 1-5'", 3..4, "7");
        check("a = \"\"\"\nfirst {{ x }}\n\"\"\"", 9..10, "x");
        check(r#"a = "\u0036\u0031 7""#, 0..2, r#""\u0036\u0031 7""#);
    }
}
