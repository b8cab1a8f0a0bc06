//! How things stand, for people to look at. Whoever reads it changes nothing.

use std::sync::Arc;

use jiff::Timestamp;

use super::Agenda;
use super::deliveries::State;
use crate::clock::Moment;
use crate::plan::breaker::Standing;
use crate::plan::follow::Following;
use crate::plan::jitter;
use crate::plan::pause::Pauses;
use crate::schedule::Schedule;

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub at: Timestamp,
    /// The clock stands before what the ledger has seen, and nothing is fired.
    pub clock_held: bool,
    /// By name.
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
    pub next: Option<NextOccurrence>,
    /// Deliveries without a verdict, by what they wait for.
    pub waiting: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextOccurrence {
    pub scheduled_at: Timestamp,
    /// With its jitter.
    pub due_at: Timestamp,
}

impl Agenda {
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        let mut schedules: Vec<_> = self
            .entries
            .values()
            .map(|entry| {
                let schedule = entry.schedule.clone();
                ScheduleNow {
                    next: entry.next.map(|slot| NextOccurrence {
                        scheduled_at: slot.at,
                        due_at: jitter::due_at(&schedule, &self.namespace, &slot),
                    }),
                    waiting: self
                        .of_schedule(&schedule.id)
                        .iter()
                        .filter_map(|key| self.open.get(key))
                        .map(|open| open.state.waits_for())
                        .collect(),
                    schedule,
                }
            })
            .collect();
        schedules.sort_by(|one, other| one.schedule.id.cmp(&other.schedule.id));
        Snapshot {
            at: now.wall,
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
    fn waits_for(&self) -> &'static str {
        match self {
            State::Pending => "its jitter",
            State::Sendable => "its turn",
            State::Trying => "an answer",
            State::Waiting { .. } => "a retry",
            State::Held(_) => "a breaker",
            State::Queued => "a run to end",
            State::Paused => "a pause to end",
        }
    }
}
