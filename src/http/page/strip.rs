//! The strip of a schedule's newest occurrences: a cell each, told apart by shape as well as by colour,
//! with what it is in words.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::when::written;
use crate::ledger::history::Mark;
use crate::plan::delivery::Verdict;

/// So many are shown.
pub(super) const LENGTH: usize = 50;

#[derive(Debug, Default, Serialize)]
pub(super) struct Strip {
    cells: Vec<Cell>,
    /// All of them in words.
    summary: String,
}

#[derive(Debug, Serialize)]
struct Cell {
    class: &'static str,
    title: String,
}

impl Strip {
    pub(super) fn new(marks: &[Mark], zone: &TimeZone, now: Timestamp) -> Self {
        let mut counts: Vec<(&str, u64)> = Vec::new();
        for mark in marks {
            let class = class(mark);
            match counts.iter_mut().find(|(known, _)| *known == class) {
                Some((_, count)) => *count += mark.count,
                None => counts.push((class, mark.count)),
            }
        }
        let counts = counts.iter().map(|&(class, count)| match class {
            "failed" => format!("{count} accepted, and then failed"),
            class => format!("{count} {class}"),
        });
        let counts: Vec<String> = counts.collect();
        let cell = |mark: &Mark| Cell {
            class: class(mark),
            title: title(mark, zone, now),
        };
        Self {
            summary: match counts.is_empty() {
                true => "nothing yet".to_owned(),
                false => counts.join(", "),
            },
            cells: marks.iter().map(cell).collect(),
        }
    }
}

/// Of a cell and of a verdict alike; the style sheet has the same.
fn class(mark: &Mark) -> &'static str {
    match mark.verdict {
        Some(Verdict::Accepted) if failed(mark.run.as_deref(), mark.result.as_deref()) => "failed",
        verdict => class_of(verdict),
    }
}

/// Whether an acceptance came to nothing, as far as its run was followed.
pub(super) fn failed(run: Option<&str>, result: Option<&str>) -> bool {
    matches!(run, Some("failed" | "lost")) || result == Some("missing")
}

pub(super) fn class_of(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("open", Verdict::word)
}

/// `skipped: paused`, and the like.
pub(super) fn words(verdict: Option<Verdict>) -> String {
    match verdict {
        Some(Verdict::Skipped(why)) => format!("skipped: {}", why.word()),
        verdict => class_of(verdict).to_owned(),
    }
}

fn title(mark: &Mark, zone: &TimeZone, now: Timestamp) -> String {
    let mut title = written(mark.first, zone, now);
    if mark.count > 1 {
        title += &format!(
            " to {}, {} times",
            written(mark.last, zone, now),
            mark.count
        );
    }
    title += &format!(": {}", words(mark.verdict));
    if let Some(run) = &mark.run {
        title += &format!(", run {run}");
    }
    if let Some(result) = &mark.result {
        title += &format!(", result {result}");
    }
    title
}
