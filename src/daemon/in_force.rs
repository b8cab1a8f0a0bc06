//! What is in force in a running daemon, for `triggerd plan` to compare a folder with. Of texts it holds digests alone.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::daemon::event::Standing;
use crate::daemon::status::{BreakerStatus, PauseStatus};
use crate::render::local;
use crate::schedule::facets::facets;
use crate::schedule::recurrence::{Recurrence, Slot};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InForce {
    pub schedules: Vec<ScheduleInForce>,
    pub pauses: Vec<PauseStatus>,
    pub breakers: Vec<BreakerStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleInForce {
    pub schedule: String,
    /// Each part of what is asked for, by name, as a digest.
    pub facets: Vec<(String, String)>,
    /// Local, with its offset.
    pub next_at: Option<String>,
    /// Deliveries without a verdict.
    pub waiting: u64,
    /// Runs that have not ended.
    pub runs: usize,
    pub overlap: String,
    /// A limit lets nothing more open for now.
    pub limited: bool,
}

impl InForce {
    pub fn new(standing: &Standing, folder: &Path) -> Self {
        let agenda = &standing.agenda;
        let schedules = agenda.schedules.iter().filter(|it| it.schedule.enabled);
        let schedules = schedules.map(|now| {
            let schedule = &now.schedule;
            let runs = agenda.runs.iter();
            let runs = runs.filter(|it| it.run.occurrence.schedule == schedule.id);
            ScheduleInForce {
                schedule: schedule.id.to_string(),
                facets: facets(schedule, folder),
                next_at: next_fired(&schedule.recurrence, now.next)
                    .map(|at| local(at, &schedule.recurrence.zone.tz)),
                waiting: now.waiting.len() as u64,
                runs: runs.count(),
                overlap: schedule.policies.overlap.policy.word().to_owned(),
                limited: now.limited,
            }
        });
        Self {
            schedules: schedules.collect(),
            pauses: agenda.pauses.iter().map(PauseStatus::new).collect(),
            breakers: agenda.gates.iter().map(BreakerStatus::new).collect(),
        }
    }
}

/// What is next and not excluded.
fn next_fired(recurrence: &Recurrence, next: Option<Slot>) -> Option<Timestamp> {
    let slots = std::iter::successors(next, |slot| recurrence.next_after(slot.at));
    slots
        .filter(|slot| !slot.excluded)
        .map(|slot| slot.at)
        .next()
}
