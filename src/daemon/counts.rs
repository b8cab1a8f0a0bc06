//! What happened since the start, by schedule, for the metrics. It counts facts that the ledger has
//! taken, and knows no format.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::plan::delivery::{Skip, Verdict};
use crate::plan::fact::{Ending, Fact};
use crate::plan::outcome::Outcome;
use crate::plan::run::{Finding, Progress, RunEnd};
use crate::schedule::ScheduleId;

/// Cheap to clone, so that whoever looks keeps nobody waiting.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    by_schedule: HashMap<ScheduleId, Arc<Count>>,
}

/// Of one schedule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Count {
    pub accepted: u64,
    pub rejected: u64,
    pub expired: u64,
    pub failed_attempts: u64,
    /// As [`Skip::ALL`].
    pub skipped: [u64; Skip::ALL.len()],
    /// As [`RUN_ENDS`].
    pub runs: [u64; RUN_ENDS.len()],
    pub lateness: Lateness,
    pub last_accepted_at: Option<Timestamp>,
}

/// How runs end; `missing` are those that completed, with nothing where the result should be.
pub const RUN_ENDS: [&str; 4] = ["completed", "missing", "failed", "lost"];

/// From when a delivery was due to when the attempt that was accepted was sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lateness {
    /// So many at most as late as the bound of [`Lateness::BOUNDS`], and later than the one before.
    pub counts: [u64; Lateness::BOUNDS.len()],
    pub count: u64,
    pub sum: f64,
}

impl Lateness {
    /// Seconds.
    pub const BOUNDS: [f64; 10] = [
        0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0, 43_200.0,
    ];

    fn add(&mut self, seconds: f64) {
        self.count += 1;
        self.sum += seconds;
        if let Some(bucket) = Self::BOUNDS.iter().position(|&bound| seconds <= bound) {
            self.counts[bucket] += 1;
        }
    }
}

impl Counts {
    pub fn of(&self, schedule: &ScheduleId) -> Option<&Count> {
        self.by_schedule.get(schedule).map(|count| &**count)
    }

    pub fn count(&mut self, fact: &Fact) {
        match fact {
            Fact::Attempted(attempt) => {
                if !matches!(attempt.answer.outcome, Outcome::Accepted(_)) {
                    self.change(&attempt.delivery.occurrence.schedule)
                        .failed_attempts += 1;
                }
            }
            Fact::Ended(ending) => self
                .change(&ending.delivery.occurrence.schedule)
                .ended(ending),
            Fact::Skipped(skipped) => {
                let place = place(skipped.why);
                self.change(&skipped.schedule).skipped[place] += skipped.count;
            }
            Fact::Run(report) => {
                if let Progress::Ended(end) = &report.progress {
                    let place = match end {
                        RunEnd::Completed(Some(Finding::Missing)) => 1,
                        RunEnd::Completed(_) => 0,
                        RunEnd::Failed { .. } => 2,
                        RunEnd::Lost(_) => 3,
                    };
                    self.change(&report.run.occurrence.schedule).runs[place] += 1;
                }
            }
            // Names come and go for years; a schedule that comes back counts from zero.
            Fact::Ceased { schedule, .. } => {
                self.by_schedule.remove(schedule);
            }
            Fact::WrittenAhead(_)
            | Fact::Withdrawn(_)
            | Fact::Reopened(_)
            | Fact::Began { .. }
            | Fact::InForce { .. }
            | Fact::Paused { .. }
            | Fact::Resumed { .. }
            | Fact::TakenUp { .. }
            | Fact::GivenUp { .. }
            | Fact::SettledUntil(_)
            | Fact::Rewound { .. } => {}
        }
    }

    fn change(&mut self, schedule: &ScheduleId) -> &mut Count {
        Arc::make_mut(self.by_schedule.entry(schedule.clone()).or_default())
    }
}

impl Count {
    fn ended(&mut self, ending: &Ending) {
        match ending.verdict {
            Verdict::Accepted => {
                self.accepted += 1;
                self.last_accepted_at = Some(ending.at);
                if let Some(last) = &ending.last {
                    let lateness = last.sent_at.duration_since(ending.delivery.due_at);
                    self.lateness.add(lateness.as_secs_f64().max(0.0));
                }
            }
            Verdict::Rejected => self.rejected += 1,
            Verdict::Expired => self.expired += 1,
            Verdict::Skipped(why) => self.skipped[place(why)] += 1,
        }
    }
}

fn place(why: Skip) -> usize {
    let found = Skip::ALL.iter().position(|&it| it == why);
    found.expect("all reasons are in the list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lateness_is_in_one_bucket_or_later_than_all() {
        let mut lateness = Lateness::default();
        for seconds in [0.0, 0.005, 0.006, 43_200.0, 50_000.0] {
            lateness.add(seconds);
        }
        assert_eq!(lateness.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(lateness.count, 5);
        assert_eq!(lateness.sum, 93_200.011);
    }
}
