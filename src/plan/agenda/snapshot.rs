//! How things stand, for people to look at. Whoever reads it changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::deliveries::State;
use super::{Agenda, Wait};
use crate::clock::Moment;
use crate::plan::breaker::Standing;
use crate::plan::follow::Following;
use crate::plan::jitter;
use crate::plan::occurrence::Namespace;
use crate::plan::pause::Pauses;
use crate::schedule::Schedule;
use crate::schedule::recurrence::Slot;

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub at: Timestamp,
    /// Of the occurrences' names, and so of their jitter.
    pub namespace: Namespace,
    /// The clock stands before what the ledger has seen, and nothing is fired.
    pub clock_held: bool,
    /// In no order: putting ten thousand in one takes longer than all the rest, and nothing fires
    /// meanwhile.
    pub schedules: Vec<ScheduleNow>,
    pub gates: Vec<Standing>,
    pub pauses: Pauses,
    pub runs: Vec<Following>,
    pub open_deliveries: usize,
    pub in_flight: usize,
}

#[derive(Clone, Debug)]
pub struct ScheduleNow {
    pub schedule: Arc<Schedule>,
    pub next: Option<Slot>,
    /// Deliveries without a verdict, by what they wait for.
    pub waiting: Vec<&'static str>,
    /// A limit of its own, its agent's or the daemon's lets nothing more open for now.
    pub limited: bool,
}

impl ScheduleNow {
    /// When its next occurrence is due, with its jitter.
    pub fn next_due_at(&self, namespace: &Namespace) -> Option<Timestamp> {
        let next = self.next.as_ref()?;
        Some(jitter::due_at(&self.schedule, namespace, next))
    }
}

impl Agenda {
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        let mut waiting = HashMap::<_, Vec<_>>::new();
        for (schedule, key) in self.open_by_schedule.iter() {
            let waits_for = self.open.get(key).map(|open| open.state.waits_for());
            waiting.entry(schedule).or_default().extend(waits_for);
        }
        let schedules = self
            .entries
            .values()
            .map(|entry| {
                let schedule = entry.schedule.clone();
                ScheduleNow {
                    next: entry.next,
                    limited: self.is_limited(&schedule, now),
                    waiting: waiting.remove(&schedule.id).unwrap_or_default(),
                    schedule,
                }
            })
            .collect();
        Snapshot {
            at: now.wall,
            namespace: self.namespace.clone(),
            clock_held: self.hold.is_some(),
            schedules,
            gates: self.gates.standings(now),
            pauses: self.pauses.clone(),
            runs: self.runs.all().cloned().collect(),
            open_deliveries: self.open.len(),
            in_flight: self.slots.taken(),
        }
    }
}

impl State {
    pub(super) fn waits_for(&self) -> &'static str {
        match self {
            State::Pending => "its jitter",
            State::Sendable => "its turn",
            State::Trying => Wait::FOR_AN_ANSWER,
            State::Waiting { .. } => "a retry",
            State::Held(_) => "a breaker",
            State::Queued => "a run to end",
            State::Paused => "a pause to end",
        }
    }
}
