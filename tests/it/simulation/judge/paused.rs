//! When a schedule was paused, as the person who paused it knows. It looks at no arrival and no ledger.

use crate::simulation::journal::{Journal, Paused};
use crate::simulation::reign;
use crate::simulation::script::{Nanos, SECOND};

/// What comes this close to a pause's beginning or end may go either way.
const MARGIN: Nanos = 2 * SECOND;

/// In true time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub from: Nanos,
    pub to: Nanos,
    /// It expires then, on the wall clock.
    until: Nanos,
    /// `false`: what was not recorded at a kill leaves it open.
    sure: bool,
}

impl Stretch {
    /// Nothing may be sent at that instant.
    pub(super) fn holds(&self, at: Nanos) -> bool {
        self.sure && self.from + MARGIN < at && at < self.to - MARGIN
    }

    /// What is scheduled for then, and came when that was seen, is to be skipped.
    pub(super) fn skips(&self, scheduled: Nanos, seen: Nanos) -> bool {
        self.holds(seen) && scheduled < self.until
    }

    /// It can't be told whether it is skipped.
    pub(super) fn may_skip(&self, seen: Nanos) -> bool {
        let near = |at: Nanos| (at - MARGIN..=at.saturating_add(MARGIN)).contains(&seen);
        near(self.from) || near(self.to) || (!self.sure && self.from <= seen && seen <= self.to)
    }
}

pub(super) fn of(journal: &Journal, name: &str) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    for scope in [None, Some(name)] {
        let told = journal.pauses.iter();
        let told: Vec<_> = told.filter(|it| it.name.as_deref() == scope).collect();
        let nexts = told.iter().skip(1).map(|it| it.at).chain([journal.ends]);
        for (it, next) in told.iter().zip(nexts) {
            let sure = !reign::is_blurred(journal, it.at);
            let until = match it.paused {
                Some(Paused { until }) => until.unwrap_or(Nanos::MAX),
                None if sure => continue,
                None => Nanos::MAX,
            };
            // The process ends it when it sees that its time has come.
            let expires = match until {
                _ if !sure => Nanos::MAX,
                Nanos::MAX => Nanos::MAX,
                until => reign::awake(journal, journal.when(until, it.at)).unwrap_or(Nanos::MAX),
            };
            stretches.push(Stretch {
                from: it.at,
                to: next.min(expires),
                until,
                sure,
            });
        }
    }
    stretches
}
