//! What the writer wants of a store.
//! It knows no SQL; `sqlite` and `postgres` are the two that there are.

use std::collections::HashSet;
use std::time::Instant;

use jiff::Timestamp;

use super::LedgerError;
use super::cluster::{Claim, Holding, News};
use crate::plan::fact::Fact;
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::remembered::{Delivered, Remembered};
use crate::schedule::ScheduleId;

pub(super) trait Store: Send {
    /// What was written ahead of `now` and never tried is left out, and forgotten with the next
    /// thing that is written.
    fn remember(&mut self, now: Timestamp) -> Result<Remembered, LedgerError>;

    /// One transaction: when this returns, what became of each of the facts is durable, or none is.
    fn record(&mut self, facts: &[Stated<'_>]) -> Result<Vec<Written>, Refusal>;

    /// One step of dropping what is older than anybody asks for, a little at a time so that no fact
    /// waits for it. It keeps what is open, and what the windows still need. Goes on from `pruned` in
    /// the order in which things ended, until nothing older than `before` is left: then gives `None`.
    fn prune(&mut self, before: Timestamp, pruned: Pruned) -> Result<Option<Pruned>, Refusal>;

    /// After a refusal: makes ready what has to be made ready again.
    fn reopen_to_write(&mut self) -> Result<(), Refusal>;

    /// Whether the occurrence has a delivery, as far as can be read. One never tried does not count
    /// if it is among the `withdrawn` or is to be forgotten.
    fn knows(&mut self, key: &IdempotencyKey, withdrawn: &HashSet<IdempotencyKey>) -> bool;

    /// What has a verdict of what is scheduled later, as far as can be read: the rest is found to be
    /// known when it is written ahead anew.
    fn delivered_after(&mut self, at: Timestamp) -> Vec<Delivered>;

    /// The last call.
    fn close(&mut self);

    /// When it has something to do by itself, as one of several nodes.
    fn next_turn(&self) -> Option<Instant> {
        None
    }

    /// What that brought.
    fn turn(&mut self) -> Result<Vec<News>, Refusal> {
        Ok(Vec::new())
    }

    /// What this node has loaded is, or is no more, there to be looked after.
    fn hold(&mut self, _holdings: Vec<Holding>) {}

    /// From here on facts of these schedules are written by these claims.
    fn write_by(&mut self, _claims: Vec<(ScheduleId, Claim)>) {}

    /// Has the disk refuse to take more, or lets it be.
    #[cfg(test)]
    fn refuse_growth(&mut self, refuse: bool);
}

/// A fact on its way into the store.
#[derive(Clone, Copy)]
pub(super) struct Stated<'a> {
    pub(super) fact: &'a Fact,
    /// It is acted on already, since the store could not be written before: it is not for the store
    /// to say any more that its key is known.
    pub(super) told: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Yes,
    /// The occurrence has a delivery already: nothing was written, neither for this fact nor for
    /// later ones of the same transaction about it.
    KeyIsKnown,
    /// The store refuses the fact for what it says: nothing was written, and trying again is no use.
    Refused {
        cause: String,
    },
    /// Another node looks after the schedule by now: nothing was written.
    Fenced,
}

/// Why nothing could be written just now.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) cause: String,
    pub(super) way_out: String,
}

/// How far a pruning came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pruned {
    pub(super) deliveries: u64,
    pub(super) skips: u64,
    /// Up to here everything was looked at.
    pub(super) position: i64,
}

impl Pruned {
    /// Positions that one step looks at.
    pub(super) const STEP: i64 = 2000;

    pub(super) const NOTHING: Self = Self {
        deliveries: 0,
        skips: 0,
        position: 0,
    };
}
