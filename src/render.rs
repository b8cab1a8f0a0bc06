//! How problems look, drawn as the compiler draws them or as JSON, and how instants and numbers are
//! written. It knows no I/O.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::api::token::hide_tokens;
use crate::schedule::problem::{Problem, Severity};

/// Draws one problem on the text of its file.
pub fn problem(problem: &Problem, text: Option<&str>, colour: bool) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let path = printable(&problem.path);
    // A misspelt key may stand before a token, and what is drawn ends up in logs.
    let text = text.map(hide_tokens);
    let place = problem
        .span
        .clone()
        .zip(text.as_deref())
        .map(|(span, text)| without_mark(span, text))
        .filter(|(span, text)| text.get(span.clone()).is_some());
    let mut group: Group<'_> = level
        .primary_title(problem.message.as_str())
        .elements(None::<Origin<'_>>);
    group = match place {
        Some((span, text)) => group.element(
            Snippet::source(text)
                .path(path)
                .annotation(AnnotationKind::Primary.span(span)),
        ),
        None => group.element(Origin::path(path)),
    };
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    renderer.render(&[group])
}

/// A file's name may hold anything, and a terminal obeys some of it.
fn printable(path: &Path) -> String {
    let mut shown = String::new();
    for char in path.to_string_lossy().chars() {
        match char.is_control() {
            true => shown.extend(char.escape_default()),
            false => shown.push(char),
        }
    }
    shown
}

/// `2 errors, 1 note in 3 files`; `None` if there is nothing to count.
pub fn counts(problems: &[Problem]) -> Option<String> {
    let files: BTreeSet<_> = problems.iter().map(|problem| &problem.path).collect();
    let kinds: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .filter_map(|severity| {
            let of_this_kind = |problem: &&Problem| problem.severity == severity;
            match problems.iter().filter(of_this_kind).count() {
                0 => None,
                n => Some(counted(n, &severity.to_string())),
            }
        })
        .collect();
    (!kinds.is_empty()).then(|| format!("{} in {}", kinds.join(", "), counted(files.len(), "file")))
}

/// How every instant is written for people, in whole seconds: `2026-11-23T08:00:00Z`.
pub fn utc(at: Timestamp) -> String {
    local(at, &TimeZone::UTC)
}

/// With the zone's offset, as in `2026-11-23T09:00:00+01:00`; `Z` where the zone is UTC.
pub fn local(at: Timestamp, zone: &TimeZone) -> String {
    let format = match zone == &TimeZone::UTC {
        true => "%Y-%m-%dT%H:%M:%SZ",
        false => "%Y-%m-%dT%H:%M:%S%:z",
    };
    at.to_zoned_datetime(zone.clone())
        .strftime(format)
        .to_string()
}

/// `1 file`, `2 files`.
pub fn counted(n: usize, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

/// A problem as `check --json` prints it.
#[derive(Debug, Serialize)]
pub struct JsonProblem {
    pub path: String,
    pub severity: Severity,
    pub message: String,
    pub help: Option<String>,
    /// From 1; `None` if it is about the file as a whole.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
}

impl JsonProblem {
    pub fn new(problem: &Problem, text: Option<&str>) -> Self {
        let place = problem
            .span
            .as_ref()
            .zip(text)
            .and_then(|(span, text)| line_and_column(text, span.start));
        Self {
            path: problem.path.display().to_string(),
            severity: problem.severity,
            message: problem.message.clone(),
            help: problem.help.clone(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
        }
    }
}

/// A byte order mark takes no column.
const MARK: char = '\u{feff}';

fn without_mark(span: Range<usize>, text: &str) -> (Range<usize>, &str) {
    match text.strip_prefix(MARK) {
        Some(rest) => {
            let mark = MARK.len_utf8();
            let span = span.start.saturating_sub(mark)..span.end.saturating_sub(mark);
            (span, rest)
        }
        None => (span, text),
    }
}

/// Both from 1; `None` if `at` is not a place in `text`.
pub fn line_and_column(text: &str, at: usize) -> Option<(usize, usize)> {
    let (Range { start: at, .. }, text) = without_mark(at..at, text);
    let before = text.get(..at)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    Some((line, before[line_start..].chars().count() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_with_a_place() {
        let text = "# every morning\n\ncron = \"61 7 * * 1-5\"\n";
        let it = Problem::error(
            Path::new("schedules/morning.toml"),
            "minute 61 is outside 0-59",
        )
        .at(25..27)
        .help("for one minute past the hour write `1 7 * * 1-5`");
        insta::assert_snapshot!(problem(&it, Some(text), false), @r#"
        error: minute 61 is outside 0-59
         --> schedules/morning.toml:3:9
          |
        3 | cron = "61 7 * * 1-5"
          |         ^^
          |
          = help: for one minute past the hour write `1 7 * * 1-5`
        "#);
    }

    #[test]
    fn a_byte_order_mark_takes_no_column() {
        let text = "\u{feff}crom = 1\nat = 2\n";
        let it = Problem::error(Path::new("a.toml"), "unknown key `crom`").at(3..7);
        insta::assert_snapshot!(problem(&it, Some(text), false), @"
        error: unknown key `crom`
         --> a.toml:1:1
          |
        1 | crom = 1
          | ^^^^
        ");
        assert_eq!(line_and_column(text, 3), Some((1, 1)));
        assert_eq!(line_and_column(text, 12), Some((2, 1)));
    }

    #[test]
    fn a_problem_of_a_whole_file() {
        let it = Problem::error(Path::new("a.toml"), "it is a fifo, not a file")
            .help("put a readable schedule file in its place, or delete it");
        insta::assert_snapshot!(problem(&it, None, false), @"
        error: it is a fifo, not a file
        --> a.toml
         = help: put a readable schedule file in its place, or delete it
        ");
    }

    #[test]
    fn a_terminal_obeys_no_name() {
        let it = Problem::error(Path::new("a\u{1b}[2J\n.toml"), "x");
        insta::assert_snapshot!(problem(&it, None, false), @r"
        error: x
        --> a\u{1b}[2J\n.toml
        ");
    }

    #[test]
    fn problems_are_counted() {
        let error = Problem::error(Path::new("a.toml"), "x");
        let note = Problem::note(Path::new("b.toml"), "y");
        assert_eq!(counts(&[]), None);
        assert_eq!(
            counts(&[error.clone(), error, note]).as_deref(),
            Some("2 errors, 1 note in 2 files")
        );
    }

    #[test]
    fn lines_and_columns_count_from_one() {
        assert_eq!(line_and_column("ab\ncd", 0), Some((1, 1)));
        assert_eq!(line_and_column("ab\ncd", 4), Some((2, 2)));
        assert_eq!(line_and_column("ä", 1), None);
    }
}
