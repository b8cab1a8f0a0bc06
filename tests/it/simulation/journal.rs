//! What the driver of a run knows it did, and what the API and the ledger hold at its end: all that
//! the judge may look at. It knows no daemon.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use triggerd::ledger::history::Entry;

use super::api::Arrival;
use super::script::{Fault, Nanos, Trouble};
use super::sketch::Sketch;

#[derive(Default)]
pub(super) struct Journal {
    pub starts: Nanos,
    pub ends: Nanos,
    /// The wall clock's lead over true time, from each instant on.
    pub clock: Vec<(Nanos, Nanos)>,
    pub lives: Vec<Life>,
    pub stops: Vec<(Nanos, Nanos)>,
    /// By schedule.
    pub edits: BTreeMap<String, Vec<Edit>>,
    pub pauses: Vec<Pausing>,
    pub redeliveries: Vec<Redelivery>,
    pub faults: Vec<Fault>,
    pub disk: Vec<Trouble>,
    pub arrivals: Vec<Arrival>,
    pub entries: Vec<Entry>,
    /// When the ledger was last told: of a delivery by its key, of its end by `KEY ended`, of skipped
    /// ones by `SCHEDULE FIRST`.
    pub stated: HashMap<String, Nanos>,
    /// When it was first told that the delivery with that key had ended.
    pub ended: HashMap<String, Nanos>,
    /// The keys of acceptances of which the process heard that they are in the ledger.
    pub told: Vec<String>,
    pub story: Vec<Told>,
}

/// One process, from its start to its end.
pub(super) struct Life {
    pub from: Nanos,
    /// `Nanos::MAX` while it lives.
    pub to: Nanos,
    /// Up to where the ledger that it found says that all is settled, on the wall clock.
    pub found_settled_until: Option<Nanos>,
    /// The newest instant in that ledger.
    pub found_newest: Option<Nanos>,
    /// Since when facts were not committed when it was killed.
    pub unrecorded_since: Option<Nanos>,
    /// The keys of deliveries that were written nowhere when it was killed.
    pub lost: HashSet<String>,
}

/// The daemon was told what a file says.
pub(super) struct Edit {
    pub at: Nanos,
    pub sketch: Option<Arc<Sketch>>,
    /// It was told so at its start.
    pub at_start: bool,
}

/// A person was told that a schedule, or all, are paused or go on.
pub(super) struct Pausing {
    pub at: Nanos,
    pub name: Option<String>,
    /// `None`: they go on.
    pub paused: Option<Paused>,
}

/// Until when, on the wall clock; `None`: until a person ends it.
#[derive(Clone, Copy)]
pub(super) struct Paused {
    pub until: Option<Nanos>,
}

/// The daemon agreed to try a delivery again that it had given up.
pub(super) struct Redelivery {
    pub at: Nanos,
    pub name: String,
    pub key: String,
}

pub(super) struct Told {
    pub at: Nanos,
    /// The schedule that it is about; all of them if it is empty.
    pub name: String,
    pub text: String,
}

impl Journal {
    pub(super) fn edits_of(&self, name: &str) -> &[Edit] {
        self.edits.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The daemon's clock at an instant.
    pub(super) fn wall(&self, at: Nanos) -> Nanos {
        let since = self.clock.partition_point(|(from, _)| *from <= at);
        at + self.clock[since.saturating_sub(1)].1
    }

    /// The first instant from `from` on at which the clock shows `wall` or later.
    pub(super) fn when(&self, wall: Nanos, from: Nanos) -> Nanos {
        if self.wall(from) >= wall {
            return from;
        }
        let steps = self.clock.iter().skip_while(|(at, _)| *at <= from);
        let mut offset = self.wall(from) - from;
        for (at, next) in steps {
            if at + offset >= wall {
                break;
            }
            offset = *next;
            if at + offset >= wall {
                return *at;
            }
        }
        wall - offset
    }

    /// Whether the clock was set back to before `wall` after an instant.
    pub(super) fn steps_below(&self, wall: Nanos, after: Nanos) -> bool {
        self.clock.windows(2).any(|step| {
            let ((_, before), (at, offset)) = (step[0], step[1]);
            at > after && offset < before && at + offset < wall
        })
    }

    pub(super) fn went_back_before(&self, until: Nanos) -> bool {
        self.clock
            .windows(2)
            .any(|step| step[1].1 < step[0].1 && step[1].0 <= until)
    }
}
