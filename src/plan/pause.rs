//! What is paused, and until when. It knows which schedules that concerns, not what becomes of them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::schedule::ScheduleId;

/// What one pause is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    All,
    Schedule(ScheduleId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub since: Timestamp,
    /// It expires by itself; `None` for one that somebody must end.
    pub until: Option<Timestamp>,
    pub reason: Option<String>,
}

/// How a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    ByHand,
    Expired,
}

/// Every pause in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses(BTreeMap<Scope, Pause>);

impl Scope {
    pub fn covers(&self, id: &ScheduleId) -> bool {
        match self {
            Scope::All => true,
            Scope::Schedule(only) => only == id,
        }
    }

    /// The schedule's name, or `*` for all: in the log and the metrics.
    pub fn word(&self) -> &str {
        self.schedule().map_or("*", ScheduleId::as_str)
    }

    /// The schedule's name, or `None` for all.
    pub fn schedule(&self) -> Option<&ScheduleId> {
        match self {
            Scope::All => None,
            Scope::Schedule(id) => Some(id),
        }
    }
}

impl Pauses {
    /// Takes the place of a pause of the same scope.
    pub fn put(&mut self, scope: Scope, pause: Pause) {
        self.0.insert(scope, pause);
    }

    pub fn end(&mut self, scope: &Scope) -> Option<Pause> {
        self.0.remove(scope)
    }

    pub fn get(&self, scope: &Scope) -> Option<&Pause> {
        self.0.get(scope)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Scope, &Pause)> {
        self.0.iter()
    }

    /// Up to when a schedule is paused, by whichever pause lasts longest; `None` if none concerns it.
    /// What falls due at that instant fires.
    pub fn until(&self, id: &ScheduleId) -> Option<Timestamp> {
        let schedule = self.0.get(&Scope::Schedule(id.clone()));
        let pauses = self.0.get(&Scope::All).into_iter().chain(schedule);
        pauses
            .map(|pause| pause.until.unwrap_or(Timestamp::MAX))
            .max()
    }
}

impl Resumed {
    pub fn word(self) -> &'static str {
        match self {
            Resumed::ByHand => "by hand",
            Resumed::Expired => "expired",
        }
    }
}
