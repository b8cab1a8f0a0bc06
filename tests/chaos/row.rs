//! A line of the table: what one fault's rounds came to. It knows no fault.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::SignedDuration;

use crate::judge::{Judgement, Verdict};

#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) rounds: usize,
    judged: usize,
    verdicts: BTreeMap<Verdict, usize>,
    lateness: SignedDuration,
    heal: SignedDuration,
    calls: usize,
    acceptances: usize,
    /// For the reader, beside the figures.
    pub(crate) notes: Vec<String>,
    /// What went wrong, with the first few of each verdict.
    pub(crate) problems: Vec<String>,
}

/// How many of a verdict are told in full.
const TOLD: usize = 3;

impl Row {
    pub(crate) fn of(rounds: usize, judgement: Judgement) -> Self {
        let mut row = Self {
            rounds,
            judged: judgement.judged,
            lateness: judgement.lateness,
            heal: judgement.heal,
            calls: judgement.calls,
            acceptances: judgement.acceptances,
            ..Self::default()
        };
        for (verdict, what) in judgement.findings {
            let count = row.verdicts.entry(verdict).or_default();
            *count += 1;
            if *count <= TOLD {
                row.problems.push(format!("{verdict} {what}"));
            }
        }
        row
    }

    /// What could not be run at all is no row without findings.
    pub(crate) fn failed(problem: String) -> Self {
        Self {
            problems: vec![problem],
            ..Self::default()
        }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Something beyond the verdicts that has to hold.
    pub(crate) fn expect(mut self, holds: bool, what: impl Into<String>) -> Self {
        if !holds {
            self.problems.push(what.into());
        }
        self
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.rounds += other.rounds;
        self.judged += other.judged;
        for (verdict, count) in other.verdicts {
            *self.verdicts.entry(verdict).or_default() += count;
        }
        self.lateness = self.lateness.max(other.lateness);
        self.heal = self.heal.max(other.heal);
        self.calls += other.calls;
        self.acceptances += other.acceptances;
        for note in other.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        self.problems.extend(other.problems);
        self
    }

    /// Nothing was found, and something was judged.
    pub(crate) fn is_good(&self) -> bool {
        self.problems.is_empty() && self.verdicts.is_empty() && self.judged > 0
    }

    pub(crate) fn print(&self, fault: &str) -> String {
        let mut line = format!("| {fault} | {} | {} |", self.rounds, self.judged);
        for verdict in Verdict::ALL {
            let count = self.verdicts.get(&verdict).copied().unwrap_or_default();
            let _ = write!(line, " {count} |");
        }
        let seconds = |length: SignedDuration| format!("{:.3} s", length.as_secs_f64());
        let per_acceptance = self.calls as f64 / self.acceptances.max(1) as f64;
        let _ = write!(
            line,
            " {} | {} | {per_acceptance:.2} | {} |",
            seconds(self.lateness),
            seconds(self.heal),
            self.notes.join("; ")
        );
        line
    }
}

pub(crate) fn header() -> String {
    let mut line = "| fault | rounds | judged |".to_owned();
    for verdict in Verdict::ALL {
        let _ = write!(line, " {verdict} |");
    }
    line.push_str(" greatest lateness | heal to first firing | calls per acceptance | |\n|");
    line.push_str(&" --- |".repeat(7 + Verdict::ALL.len()));
    line
}
