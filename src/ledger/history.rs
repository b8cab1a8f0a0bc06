//! What the ledger tells of the past: deliveries with their attempts, and skips.
//! It knows no query and no way of printing.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::plan::delivery::{Verdict, Window};
use crate::plan::fact::Skipped;
use crate::plan::occurrence::{IdempotencyKey, Occurrence};
use crate::schedule::{ScheduleId, Target};

/// Counts verdicts and skips in the order in which they were recorded. It only ever grows, so that
/// whoever asks for what came after one misses nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position(pub(super) i64);

#[derive(Clone, Debug)]
pub struct Filter {
    /// Of all schedules where there is none.
    pub schedule: Option<ScheduleId>,
    /// The newest so many.
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Delivery(Box<RecordedDelivery>),
    Skip(RecordedSkip),
}

#[derive(Clone, Debug, PartialEq)]
pub struct RecordedDelivery {
    pub occurrence: Occurrence,
    pub request_id: Arc<str>,
    pub idempotency_key: IdempotencyKey,
    pub conversation_key: Option<Arc<str>>,
    pub target: Target,
    pub due_at: Timestamp,
    pub window: Window,
    pub opened_at: Timestamp,
    pub deadline_at: Timestamp,
    pub body: RecordedBody,
    /// Beyond acceptance.
    pub keep_body: bool,
    /// By number.
    pub attempts: Vec<RecordedAttempt>,
    pub outcome_unknown: bool,
    pub retry_at: Option<Timestamp>,
    pub conversation_url: Option<String>,
    pub run_id: Option<String>,
    /// How far its run has come, where one was followed.
    pub run: Option<RecordedRun>,
    /// `None` while it is open.
    pub ending: Option<RecordedEnding>,
    /// Verdicts that redeliveries replaced, oldest first.
    pub former: Vec<RecordedEnding>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedBody {
    /// `None` once it is dropped.
    pub json: Option<Arc<str>>,
    pub len: u64,
    pub sha256: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAttempt {
    /// Counts from 1.
    pub number: u32,
    pub sent_at: Timestamp,
    pub latency: Duration,
    /// [`crate::plan::outcome::Outcome::word`].
    pub outcome: String,
    pub http_status: Option<u16>,
    pub x_request_id: Option<String>,
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRun {
    /// [`crate::plan::run::Progress::word`].
    pub status: String,
    /// First seen in this status.
    pub since: Timestamp,
    /// `None` while it is followed.
    pub ended_at: Option<Timestamp>,
    /// What `[verify]` found: [`crate::plan::run::Finding::word`].
    pub result: Option<String>,
    pub detail: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEnding {
    pub position: Position,
    pub verdict: Verdict,
    pub at: Timestamp,
    pub detail: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedSkip {
    /// A new one each time that more of the same are added.
    pub position: Position,
    pub skipped: Skipped,
}

/// What became of one occurrence, or of several that were skipped alike, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Scheduled times.
    pub first: Timestamp,
    pub last: Timestamp,
    pub count: u64,
    /// `None` while it is open.
    pub verdict: Option<Verdict>,
    pub run: Option<String>,
    pub result: Option<String>,
}

/// What became of everything since an instant, as far as it was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub marks: Vec<Mark>,
    pub uncounted: Uncounted,
}

/// Up to when more was scheduled than was counted; `None` where all was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uncounted {
    pub ended: Option<Timestamp>,
    pub open: Option<Timestamp>,
}

/// What is known of a schedule, in force or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSchedule {
    pub in_force: bool,
    pub began_at: Timestamp,
    pub covered_until: Timestamp,
}

impl Entry {
    /// `None` while it is open.
    pub fn position(&self) -> Option<Position> {
        match self {
            Entry::Delivery(delivery) => delivery.ending.as_ref().map(|ending| ending.position),
            Entry::Skip(skip) => Some(skip.position),
        }
    }

    pub fn schedule(&self) -> &ScheduleId {
        match self {
            Entry::Delivery(delivery) => &delivery.occurrence.schedule,
            Entry::Skip(skip) => &skip.skipped.schedule,
        }
    }

    /// The scheduled time; of skips, the last one's.
    pub fn scheduled_at(&self) -> Timestamp {
        match self {
            Entry::Delivery(delivery) => delivery.occurrence.scheduled_at,
            Entry::Skip(skip) => skip.skipped.last,
        }
    }
}
