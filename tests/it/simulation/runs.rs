//! What becomes of the runs that the API has begun: they end, fail, wait for an approval, hang, or are
//! not known to anyone. It knows no daemon.

use triggerd::api::RunAnswer;
use triggerd::api::wire::{Run, RunStatus};

use super::random::Random;
use super::script::{HOUR, MINUTE, Nanos, SECOND};

/// No run goes on for longer.
pub(super) const LONGEST: Nanos = 9 * HOUR;

pub(super) struct Course {
    begins: Nanos,
    /// It waits for an approval from then on.
    suspends: Nanos,
    pub ends: Nanos,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Completed,
    Failed,
    /// The API knows no such run.
    Unknown,
}

impl Course {
    pub(super) fn random(at: Nanos, random: &mut Random) -> Self {
        let mut course = Self {
            begins: at + random.between(0, 20 * SECOND),
            suspends: Nanos::MAX,
            ends: Nanos::MAX,
            end: End::Completed,
        };
        let length = match random.between(0, 99) {
            0..=59 => random.between(20 * SECOND, 20 * MINUTE),
            60..=69 => {
                course.end = End::Failed;
                random.between(5 * SECOND, 10 * MINUTE)
            }
            70..=87 => {
                course.suspends = at + random.between(SECOND, 5 * MINUTE);
                random.between(10 * MINUTE, 3 * HOUR)
            }
            88..=93 => random.between(HOUR, 4 * HOUR),
            94..=96 => random.between(7 * HOUR, LONGEST),
            _ => {
                course.end = End::Unknown;
                0
            }
        };
        course.ends = at + length;
        course
    }

    pub(super) fn answer(&self, at: Nanos) -> RunAnswer {
        let status = match self.end {
            End::Unknown => return RunAnswer::NotFound,
            End::Completed if at >= self.ends => RunStatus::Completed,
            End::Failed if at >= self.ends => RunStatus::Failed,
            End::Completed | End::Failed if at >= self.suspends => RunStatus::Suspended,
            End::Completed | End::Failed if at >= self.begins => RunStatus::InProgress,
            End::Completed | End::Failed => RunStatus::Queued,
        };
        RunAnswer::Found(Run {
            object: None,
            id: None,
            status,
            created_at: None,
            agent_id: None,
            api_trigger_id: None,
            conversation_url: None,
            error: None,
        })
    }
}
