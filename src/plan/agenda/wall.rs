//! What is to be done at instants of the wall clock. Schedules have sets of their own by what their
//! timers are for, so that the first of each is found however many are tied. It knows no clock.

use jiff::Timestamp;

use super::timers::Timers;
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::pause::Scope;
use crate::schedule::ScheduleId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AtWall {
    /// A schedule's next occurrence is to be opened or skipped.
    Open(ScheduleId),
    /// A schedule's next occurrence is to be written ahead.
    WriteAhead(ScheduleId),
    /// A delivery's jitter is over.
    Due(IdempotencyKey),
    /// A pause expires.
    Resume(Scope),
}

#[derive(Debug)]
pub(super) struct Wall {
    openings: Timers<Timestamp, ScheduleId>,
    writings: Timers<Timestamp, ScheduleId>,
    jitters: Timers<Timestamp, IdempotencyKey>,
    resumes: Timers<Timestamp, Scope>,
}

impl Wall {
    pub(super) fn new() -> Self {
        Self {
            openings: Timers::new(),
            writings: Timers::new(),
            jitters: Timers::new(),
            resumes: Timers::new(),
        }
    }

    pub(super) fn set(&mut self, at: Timestamp, what: AtWall) {
        match what {
            AtWall::Open(id) => self.openings.set(at, id),
            AtWall::WriteAhead(id) => self.writings.set(at, id),
            AtWall::Due(key) => self.jitters.set(at, key),
            AtWall::Resume(scope) => self.resumes.set(at, scope),
        }
    }

    pub(super) fn remove(&mut self, at: Timestamp, what: AtWall) {
        match what {
            AtWall::Open(id) => self.openings.remove(at, id),
            AtWall::WriteAhead(id) => self.writings.remove(at, id),
            AtWall::Due(key) => self.jitters.remove(at, key),
            AtWall::Resume(scope) => self.resumes.remove(at, scope),
        }
    }

    /// Takes the earliest that is due at `now`. Of one instant the end of a pause comes last, so
    /// that what falls due at it is not skipped by it.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<AtWall> {
        let at = self.next().filter(|at| *at <= now)?;
        let opening = self.openings.pop_due(at).map(AtWall::Open);
        opening
            .or_else(|| self.writings.pop_due(at).map(AtWall::WriteAhead))
            .or_else(|| self.jitters.pop_due(at).map(AtWall::Due))
            .or_else(|| self.resumes.pop_due(at).map(AtWall::Resume))
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        [
            self.openings.next(),
            self.writings.next(),
            self.jitters.next(),
            self.resumes.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The schedules whose next occurrences come before those of all others that wait for the same.
    pub(super) fn first_schedules(&self) -> impl Iterator<Item = &ScheduleId> {
        [self.openings.first(), self.writings.first()]
            .into_iter()
            .flatten()
    }
}
