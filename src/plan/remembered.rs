//! What the ledger remembers at a start, as the agenda needs it.
//! It knows no SQL, and nothing of what the files say by now.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::wire::RunStatus;
use crate::plan::delivery::Delivery;
use crate::plan::pause::Pauses;
use crate::plan::run::Run;
use crate::plan::window::Span;
use crate::schedule::{ScheduleId, TriggerId};

/// Everything that has to survive a stop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// Every occurrence of every schedule up to here has been dealt with; `None` for a new ledger.
    pub settled_until: Option<Timestamp>,
    /// The newest instant of anything that happened, by which a clock that is not yet set is known.
    pub newest: Option<Timestamp>,
    pub schedules: Vec<RememberedSchedule>,
    /// Deliveries without a verdict, in the order of their scheduled times.
    pub open: Vec<OpenDelivery>,
    /// What ended of what lies ahead of where all was settled: the clock stepped back since.
    pub delivered: Vec<Delivered>,
    /// Deliveries that were accepted lately enough to count for a limit ([`crate::plan::limits`]).
    pub accepted: Vec<AcceptedDelivery>,
    pub pauses: Pauses,
    /// Runs that had not ended.
    pub runs: Vec<FollowedRun>,
}

/// An occurrence that has had its delivery, and gets no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub schedule: ScheduleId,
    pub scheduled_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RememberedSchedule {
    pub id: ScheduleId,
    /// Whether it was in force at the stop; one that was not owes nothing from before this start.
    pub in_force: bool,
    /// It owes nothing from before this instant.
    pub began_at: Timestamp,
    pub covered_until: Timestamp,
    /// What lies beyond `covered_until`.
    pub spans: Vec<Span>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedDelivery {
    pub schedule: ScheduleId,
    pub trigger_id: TriggerId,
    pub opened_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FollowedRun {
    pub run: Run,
    pub status: RunStatus,
    /// When it was first seen in this status.
    pub since: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OpenDelivery {
    pub delivery: Arc<Delivery>,
    /// Attempts that came to an end.
    pub attempts: u32,
    /// No attempt before this instant, if the last one said so.
    pub retry_at: Option<Timestamp>,
    /// Whether an attempt of unknown outcome is among them.
    pub outcome_unknown: bool,
}
