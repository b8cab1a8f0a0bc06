//! Instants and what is to be done at them, removable without a trace: an agenda with nothing due
//! must cause no wake-up. It knows no clock.

use std::collections::BTreeSet;

#[derive(Debug)]
pub(super) struct Timers<At, What> {
    set: BTreeSet<(At, What)>,
}

impl<At: Copy + Ord, What: Clone + Ord> Timers<At, What> {
    pub(super) fn new() -> Self {
        Self {
            set: BTreeSet::new(),
        }
    }

    pub(super) fn set(&mut self, at: At, what: What) {
        self.set.insert((at, what));
    }

    pub(super) fn remove(&mut self, at: At, what: What) {
        self.set.remove(&(at, what));
    }

    /// Takes the earliest that is due at `now`.
    pub(super) fn pop_due(&mut self, now: At) -> Option<What> {
        if self.set.first()?.0 <= now {
            self.set.pop_first().map(|(_, what)| what)
        } else {
            None
        }
    }

    pub(super) fn first(&self) -> Option<&What> {
        self.set.first().map(|(_, what)| what)
    }

    pub(super) fn next(&self) -> Option<At> {
        self.set.first().map(|(at, _)| *at)
    }
}
