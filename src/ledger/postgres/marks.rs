//! How far things have come, by the facts that are written.
//! It knows no row.

use jiff::Timestamp;

use crate::plan::delivery::later;
use crate::plan::fact::Fact;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Marks {
    pub(super) settled_until: Option<Timestamp>,
    /// Of anything that happened.
    pub(super) newest: Option<Timestamp>,
}

impl Marks {
    pub(super) fn take(&mut self, fact: &Fact) {
        let at = match fact {
            Fact::Reopened(delivery) => delivery.opened_at,
            Fact::Attempted(attempt) => later(attempt.sent_at, attempt.latency),
            Fact::Ended(ending) => ending.at,
            Fact::Run(report) => report.at,
            Fact::Skipped(skipped) => skipped.at,
            Fact::Began { at, .. } | Fact::Ceased { at, .. } | Fact::Resumed { at, .. } => *at,
            Fact::Paused { pause, .. } => pause.since,
            Fact::SettledUntil(at) => {
                self.settled_until = Some(*at);
                *at
            }
            // What happened after it by the old clock counts for no mark any more.
            Fact::Rewound { to } => {
                self.settled_until = self.settled_until.map(|it| it.min(*to));
                self.newest = Some(*to);
                return;
            }
            Fact::WrittenAhead(_)
            | Fact::Withdrawn(_)
            | Fact::InForce { .. }
            | Fact::TakenUp { .. }
            | Fact::GivenUp { .. } => return,
        };
        self.newest = self.newest.max(Some(at));
    }
}
