//! The agenda's view of pauses (SEMANTICS.md 24): what they skip, what they hold, and how they end
//! without a stampede. Which pause lasts how long is `pause`'s concern.

use super::deliveries::State;
use super::{Action, Agenda, AtWall};
use crate::clock::Moment;
use crate::plan::fact::Fact;
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::pause::{Pause, Resumed, Scope};
use crate::schedule::ScheduleId;

impl Agenda {
    /// From now on nothing of the scope is sent but by hand. What was due until now is dealt with first.
    pub fn pause(&mut self, scope: Scope, pause: Pause, now: Moment) -> Vec<Action> {
        self.settle_all(now);
        self.record_settled(now);
        self.record(Fact::Paused {
            scope: scope.clone(),
            pause: pause.clone(),
        });
        self.put_pause(&scope, pause);
        self.due(now)
    }

    pub(super) fn put_pause(&mut self, scope: &Scope, pause: Pause) {
        self.forget_resume(scope);
        self.pauses.put(scope.clone(), pause);
        self.set_resumes();
        for id in self.in_scope(scope) {
            self.withdraw_prepared(&id);
            self.clear_timer(&id);
            self.set_timer(&id);
        }
    }

    /// Ends a pause. What fell due meanwhile stays skipped, and what was held goes on. Gives `None`
    /// if there is no such pause.
    pub fn resume(&mut self, scope: &Scope, now: Moment) -> Option<Vec<Action>> {
        self.pauses.get(scope)?;
        self.settle_all(now);
        self.end_pause(scope, Resumed::ByHand, now);
        Some(self.due(now))
    }

    /// A pause has expired.
    pub(super) fn resume_by_itself(&mut self, scope: &Scope, now: Moment) {
        for id in self.in_scope(scope) {
            self.clear_timer(&id);
            self.settle(&id, now);
        }
        self.end_pause(scope, Resumed::Expired, now);
    }

    /// Pauses that expire have their timers from here on: not before the first version of each
    /// schedule is in force, so that what they covered while nobody ran is skipped by them.
    pub(super) fn set_resumes(&mut self) {
        let ends: Vec<_> = self
            .pauses
            .iter()
            .filter_map(|(scope, pause)| Some((pause.until?, scope.clone())))
            .collect();
        for (until, scope) in ends {
            self.wall.set(until, AtWall::Resume(scope));
        }
    }

    /// Keeps a delivery from being sent while its schedule is paused, within its own deadline.
    pub(super) fn is_paused(&mut self, key: &IdempotencyKey, now: Moment) -> bool {
        let Some(open) = self.open.get_mut(key).filter(|open| !open.is_manual()) else {
            return false;
        };
        let until = self.pauses.until(&open.delivery.occurrence.schedule);
        let is_paused = until.is_some_and(|until| until > now.wall);
        if is_paused {
            open.state = State::Paused;
        }
        is_paused
    }

    pub(super) fn end_pause(&mut self, scope: &Scope, how: Resumed, now: Moment) {
        self.forget_resume(scope);
        if self.pauses.end(scope).is_none() {
            return;
        }
        self.record(Fact::Resumed {
            scope: scope.clone(),
            at: now.wall,
            how,
        });
        for id in self.in_scope(scope) {
            self.clear_timer(&id);
            self.set_timer(&id);
        }
        let mut held: Vec<_> = self
            .open
            .values()
            .filter(|open| matches!(open.state, State::Paused))
            .filter(|open| scope.covers(&open.delivery.occurrence.schedule))
            .map(|open| open.waiting())
            .collect();
        held.sort();
        for (_, key) in held {
            self.ready(&key, now);
        }
    }

    fn forget_resume(&mut self, scope: &Scope) {
        if let Some(until) = self.pauses.get(scope).and_then(|pause| pause.until) {
            self.wall.remove(until, AtWall::Resume(scope.clone()));
        }
    }

    fn in_scope(&self, scope: &Scope) -> Vec<ScheduleId> {
        let ids = self.entries.keys().filter(|id| scope.covers(id));
        ids.cloned().collect()
    }
}
