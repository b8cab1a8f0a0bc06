//! The agenda's view of schedules that it shares with other nodes: it takes one up where another
//! node left off, and leaves one to another. Who looks after which is `ownership`'s concern.

use std::sync::Arc;

use jiff::Timestamp;

use super::deliveries::State;
use super::{Action, Agenda, AtBoot, Notice};
use crate::clock::Moment;
use crate::plan::breaker::Gate;
use crate::plan::catch_up::LATE;
use crate::plan::delivery::later;
use crate::plan::fact::Fact;
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::pause::{Pauses, Resumed, Scope};
use crate::plan::remembered::Remembered;
use crate::schedule::{Schedule, ScheduleId};

/// A schedule that this node looks after from here on.
#[derive(Debug)]
pub struct TakenUp {
    pub id: ScheduleId,
    /// What the ledger has of it, and of no other.
    pub remembered: Remembered,
    /// `None` where its file is gone from every node: then it ends.
    pub schedule: Option<Arc<Schedule>>,
}

impl Agenda {
    /// Goes on with schedules as a start does, each from where it was left off.
    pub fn take_up(&mut self, taken: Vec<TakenUp>, now: Moment) -> Vec<Action> {
        self.settle_all(now);
        self.record_settled(now);
        let left_off = taken.iter().filter_map(|it| it.remembered.settled_until);
        let ahead = left_off.filter(|at| *at > later(now.wall, LATE)).max();
        for TakenUp {
            id,
            remembered,
            schedule,
        } in taken
        {
            self.drop_schedule(&id);
            self.remember(remembered, now);
            match schedule {
                Some(schedule) => {
                    self.put(schedule, now);
                    self.clear_timer(&id);
                    self.settle(&id, now);
                }
                None => self.remove(&id, now),
            }
            // By now it is dealt with as far as all others are.
            self.record(Fact::TakenUp { schedule: id });
        }
        if let Some(ahead) = ahead {
            // The clock of the node that left it was wrong.
            self.say(Notice::ClockStepped {
                by: now.wall.duration_since(ahead),
            });
            self.rewind(now);
        }
        self.set_resumes();
        self.due(now)
    }

    /// Leaves schedules to other nodes, with what still waits, and without a verdict. One with a call
    /// under way, or with a delivery by hand, stays until that has come to its end. Gives those that
    /// were left.
    pub fn give_up(
        &mut self,
        ids: impl IntoIterator<Item = ScheduleId>,
        now: Moment,
    ) -> (Vec<ScheduleId>, Vec<Action>) {
        self.observe_clock(now);
        let mut given_up = Vec::new();
        for id in ids {
            self.clear_timer(&id);
            self.settle(&id, now);
            if self.is_in_flight(&id) {
                continue;
            }
            self.withdraw_prepared(&id);
            let settled_until = self.place_of(&id).map_or(now.wall, |at| at.max(now.wall));
            self.record(Fact::GivenUp {
                schedule: id.clone(),
                settled_until,
            });
            self.drop_schedule(&id);
            given_up.push(id);
        }
        (given_up, std::mem::take(&mut self.actions))
    }

    /// Another node has taken these: whatever is known of them here counts no more.
    pub fn lose(&mut self, ids: &[ScheduleId]) {
        for id in ids {
            self.drop_schedule(id);
        }
    }

    /// What is paused by now, wherever that was asked for.
    pub fn learn_pauses(&mut self, pauses: &Pauses, now: Moment) -> Vec<Action> {
        self.settle_all(now);
        let ended: Vec<Scope> = self
            .pauses
            .iter()
            .map(|(scope, _)| scope.clone())
            .filter(|scope| pauses.get(scope).is_none())
            .collect();
        for scope in ended {
            self.unpause(&scope, now);
        }
        for (scope, pause) in pauses.iter() {
            if self.pauses.get(scope) != Some(pause) {
                self.put_pause(scope, pause.clone());
            }
        }
        self.due(now)
    }

    /// Whether the delivery has no verdict yet.
    pub fn is_waiting_for(&self, key: &IdempotencyKey) -> bool {
        self.open.contains_key(key)
    }

    /// Whether something of it can't be left to another node for now.
    fn is_in_flight(&self, id: &ScheduleId) -> bool {
        self.of_schedule(id).iter().any(|key| {
            let open = self.open.get(key);
            open.is_some_and(|open| open.is_manual() || matches!(open.state, State::Trying))
        })
    }

    /// Whether what opened then is among the counts since before the schedule was left.
    pub(super) fn is_counted(&self, id: &ScheduleId, opened_at: Timestamp) -> bool {
        self.left.get(id).is_some_and(|left| opened_at <= *left)
    }

    fn drop_schedule(&mut self, id: &ScheduleId) {
        if self.entries.contains_key(id) {
            self.left.insert(id.clone(), self.last.wall);
        }
        for key in self.of_schedule(id) {
            let open = self.forget(&key);
            // Whatever its call brings is not heard here.
            if let Some(open) = open.filter(|it| matches!(it.state, State::Trying)) {
                let [_, trigger] = Gate::of(&open.delivery.target);
                self.gates.probe_failed(&trigger, self.last);
            }
        }
        let runs = self.runs.of_schedule(id);
        let runs: Vec<_> = runs.map(|it| it.run.idempotency_key.clone()).collect();
        for key in runs {
            self.runs.end(&key);
        }
        if let Some(pace) = self.paces.remove(id) {
            self.boot.remove(pace.free_at, AtBoot::Pace(id.clone()));
        }
        self.clear_timer(id);
        self.forget_entry(id);
        self.known.remove(id);
        self.left_over.remove(id);
        self.openings.remove(id);
        self.queue.remove(id);
    }

    fn unpause(&mut self, scope: &Scope, now: Moment) {
        self.end_pause(scope, Resumed::ByHand, now);
        // It was recorded where it was asked for.
        self.actions.retain(|action| {
            !matches!(action, Action::Record(Fact::Resumed { scope: of, .. }) if of == scope)
        });
    }
}
