//! What happened, as values: the agenda states facts, the ledger makes them durable, and only then
//! are they acted on and logged. A fact knows no SQL and no log format.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::plan::delivery::{Delivery, Skip, Verdict};
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::outcome::Answer;
use crate::plan::pause::{Pause, Resumed, Scope};
use crate::plan::run::RunReport;
use crate::schedule::ScheduleId;

/// One thing to remember. Facts are written in the order in which they were stated.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// Before the first byte is sent: the delivery with its key and body (DESIGN.md 3, "Write ahead").
    WrittenAhead(Arc<Delivery>),
    /// An edit, a pause or a removal before its scheduled time takes back what was written ahead,
    /// without a trace (SEMANTICS.md 17).
    Withdrawn(Arc<Delivery>),
    /// A person has a delivery that had ended tried again: its verdict gives way to a later one.
    Reopened(Arc<Delivery>),
    /// One HTTP call came to its end.
    Attempted(Arc<Attempt>),
    /// A delivery ended.
    Ended(Arc<Ending>),
    /// A run came further.
    Run(Arc<RunReport>),
    /// Occurrences that never became a delivery, consecutive and alike (SEMANTICS.md 12).
    Skipped(Skipped),
    /// The schedule is in force from here on, and owes nothing from before.
    Began {
        schedule: ScheduleId,
        at: Timestamp,
        /// Where its first window starts.
        covered_until: Timestamp,
    },
    /// The schedule's file is gone or disabled: it owes nothing until it begins again.
    Ceased { schedule: ScheduleId, at: Timestamp },
    /// This version of its file is the last good one: a restart on top of a broken file brings it
    /// back (SEMANTICS.md 5).
    InForce {
        schedule: ScheduleId,
        source: Arc<Source>,
    },
    /// Nothing of the scope is sent but by hand.
    Paused { scope: Scope, pause: Pause },
    /// The pause ended.
    Resumed {
        scope: Scope,
        at: Timestamp,
        how: Resumed,
    },
    /// This node looks after the schedule, and has dealt with it as far as with all others.
    TakenUp { schedule: ScheduleId },
    /// This node leaves the schedule to another one, dealt with up to this instant.
    GivenUp {
        schedule: ScheduleId,
        settled_until: Timestamp,
    },
    /// Every occurrence of every schedule that this node looks after has been dealt with up to this
    /// instant.
    SettledUntil(Timestamp),
    /// The clock stepped back: what was skipped after `to` comes again, and gets its verdict then
    /// (SEMANTICS.md 18).
    Rewound { to: Timestamp },
}

/// What a schedule was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub toml: Arc<str>,
    /// The content of its `input_file`.
    pub input: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub delivery: Arc<Delivery>,
    /// Counts from 1.
    pub number: u32,
    pub sent_at: Timestamp,
    pub latency: Duration,
    pub answer: Answer,
    pub next: Next,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The delivery ends with this attempt.
    End,
    RetryAt(Timestamp),
    /// It waits behind the breaker of its token or trigger.
    Held,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub delivery: Arc<Delivery>,
    pub verdict: Verdict,
    pub at: Timestamp,
    pub attempts: u32,
    /// The last attempt in this process, if there was one.
    pub last: Option<Arc<Attempt>>,
    /// An attempt of unknown outcome may have been queued although the verdict is not `accepted`.
    pub outcome_unknown: bool,
    /// Why, where the verdict and the last attempt do not say it all.
    pub detail: Option<String>,
    /// What is covered without a hole, after an acceptance (SEMANTICS.md 13).
    pub covered_until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub schedule: ScheduleId,
    pub why: Skip,
    /// Scheduled times.
    pub first: Timestamp,
    pub last: Timestamp,
    pub count: u64,
    pub at: Timestamp,
}

impl Fact {
    /// The schedule whose occurrence came to something.
    pub fn schedule(&self) -> Option<&ScheduleId> {
        match self {
            Fact::Ended(ending) => Some(&ending.delivery.occurrence.schedule),
            Fact::Run(report) => Some(&report.run.occurrence.schedule),
            _ => None,
        }
    }

    /// What kind it is, in the log.
    pub fn word(&self) -> &'static str {
        match self {
            Fact::WrittenAhead(_) => "written_ahead",
            Fact::Withdrawn(_) => "withdrawn",
            Fact::Reopened(_) => "reopened",
            Fact::Attempted(_) => "attempted",
            Fact::Ended(_) => "ended",
            Fact::Run(_) => "run",
            Fact::Skipped(_) => "skipped",
            Fact::Began { .. } => "began",
            Fact::Ceased { .. } => "ceased",
            Fact::InForce { .. } => "in_force",
            Fact::Paused { .. } => "paused",
            Fact::Resumed { .. } => "resumed",
            Fact::TakenUp { .. } => "taken_up",
            Fact::GivenUp { .. } => "given_up",
            Fact::SettledUntil(_) => "settled_until",
            Fact::Rewound { .. } => "rewound",
        }
    }

    /// The delivery that it is about.
    pub fn key(&self) -> Option<&IdempotencyKey> {
        match self {
            Fact::WrittenAhead(delivery) | Fact::Withdrawn(delivery) | Fact::Reopened(delivery) => {
                Some(&delivery.idempotency_key)
            }
            Fact::Attempted(attempt) => Some(&attempt.delivery.idempotency_key),
            Fact::Ended(ending) => Some(&ending.delivery.idempotency_key),
            Fact::Run(_)
            | Fact::Skipped(_)
            | Fact::Began { .. }
            | Fact::Ceased { .. }
            | Fact::InForce { .. }
            | Fact::Paused { .. }
            | Fact::Resumed { .. }
            | Fact::TakenUp { .. }
            | Fact::GivenUp { .. }
            | Fact::SettledUntil(_)
            | Fact::Rewound { .. } => None,
        }
    }
}
