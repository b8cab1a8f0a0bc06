//! The way of a delivery to its attempt: gates, the spacing of a catch-up, and slots have their say.
//! What an attempt brought is `answers`' concern.

use std::collections::BTreeSet;
use std::time::Duration;

use super::deliveries::{Pace, State};
use super::{Action, Agenda, AtBoot, Notice};
use crate::api::token::TokenId;
use crate::clock::Moment;
use crate::plan::breaker::{Gate, GateDue, Waiting};
use crate::plan::catch_up;
use crate::plan::delivery::Verdict;
use crate::plan::occurrence::IdempotencyKey;
use crate::schedule::{CatchUp, ScheduleId, TriggerId};

/// A probe that finds all slots taken tries again after this long.
const BUSY: Duration = Duration::from_secs(1);

impl Agenda {
    /// The delivery may be sent as far as its own time goes: now the ledger, gates, spacing and
    /// slots have their say.
    pub(super) fn ready(&mut self, key: &IdempotencyKey, now: Moment) {
        let Some(open) = self.open.get_mut(key) else {
            return;
        };
        open.state = State::Sendable;
        if !open.written
            || self.is_paused(key, now)
            || self.is_held(key)
            || self.makes_way(key, now)
        {
            return;
        }
        let Some(open) = self.open.get(key) else {
            return;
        };
        let waiting = open.waiting();
        let schedule = open.delivery.occurrence.schedule.clone();
        if let Some(spacing) = self.spacing(key, now) {
            let pace = self.paces.entry(schedule.clone()).or_insert(Pace {
                free_at: now.boot,
                waiting: BTreeSet::new(),
            });
            if pace.free_at > now.boot || !pace.waiting.is_empty() {
                pace.waiting.insert(waiting);
                self.boot.set(pace.free_at, AtBoot::Pace(schedule));
                return;
            }
            pace.free_at = now.boot + spacing;
        }
        self.take_slot(key, now);
    }

    /// Puts the delivery behind the gate of its token or trigger, if one is shut.
    pub(super) fn is_held(&mut self, key: &IdempotencyKey) -> bool {
        let gate = self
            .open
            .get(key)
            .filter(|open| !open.is_manual())
            .and_then(|open| self.gates.shut_for(&open.delivery.target));
        match gate {
            Some(gate) => {
                self.hold(key, gate);
                true
            }
            None => false,
        }
    }

    /// Puts the delivery behind the gate of its token, whatever its trigger's does.
    fn is_held_for_its_token(&mut self, key: &IdempotencyKey) -> bool {
        let token = self.open.get(key).map(|open| {
            let [token, _] = Gate::of(&open.delivery.target);
            token
        });
        let Some(token) = token.filter(|it| self.gates.is_shut(it)) else {
            return false;
        };
        self.hold(key, token);
        true
    }

    pub(super) fn hold(&mut self, key: &IdempotencyKey, gate: Gate) {
        if let Some(open) = self.open.get_mut(key) {
            self.gates.wait(&gate, open.waiting());
            open.state = State::Held(gate);
        }
    }

    pub(super) fn release(&mut self, waiting: BTreeSet<Waiting>, now: Moment) {
        for (_, key) in waiting {
            self.ready(&key, now);
        }
    }

    /// The oldest of a schedule's catch-up goes next.
    pub(super) fn next_in_pace(&mut self, id: &ScheduleId, now: Moment) {
        let Some(pace) = self.paces.get_mut(id) else {
            return;
        };
        let Some((_, key)) = pace.waiting.pop_first() else {
            self.paces.remove(id);
            return;
        };
        let others = std::mem::take(&mut pace.waiting);
        self.ready(&key, now);
        if let Some(pace) = self.paces.get_mut(id) {
            pace.waiting.extend(others);
            self.boot.set(pace.free_at, AtBoot::Pace(id.clone()));
        }
    }

    /// How far apart the late deliveries of its schedule are sent, if this is one of them.
    pub(super) fn spacing(&self, key: &IdempotencyKey, now: Moment) -> Option<Duration> {
        let open = self.open.get(key)?;
        let late = !catch_up::is_on_time(open.delivery.due_at, now.wall);
        let entry = self.entries.get(&open.delivery.occurrence.schedule)?;
        match entry.schedule.policies.missed.catch_up {
            CatchUp::All { spacing, .. } if late && !open.is_manual() => Some(spacing),
            _ => None,
        }
    }

    pub(super) fn take_slot(&mut self, key: &IdempotencyKey, now: Moment) {
        let Some(open) = self.open.get_mut(key) else {
            return;
        };
        // After a stop its time and its deadline may have passed at once.
        if now.boot >= open.deadline {
            return self.end(key, Verdict::Expired, None, now);
        }
        if !self.slots.take() {
            open.state = State::Sendable;
            self.sendable.insert((open.delivery.due_at, key.clone()));
            return;
        }
        open.attempts += 1;
        open.state = State::Trying;
        self.actions.push(Action::Attempt {
            delivery: open.delivery.clone(),
            number: open.attempts,
        });
    }

    pub(super) fn fill_slots(&mut self, now: Moment) {
        while self.slots.is_free()
            && let Some((_, key)) = self.sendable.pop_first()
        {
            if !self.is_paused(&key, now) && !self.is_held(&key) && !self.makes_way(&key, now) {
                self.take_slot(&key, now);
            }
        }
    }

    /// What waits may have waited for long enough to get slots of its own.
    pub(super) fn look_at_slots(&mut self, now: Moment) {
        if self.slots.look(now.boot) {
            self.fill_slots(now);
        }
    }

    pub(super) fn run_gates(&mut self, now: Moment) {
        while let Some(due) = self.gates.due(now) {
            match due {
                GateDue::Open(waiting) => self.release(waiting, now),
                GateDue::LetThrough((_, key)) => self.let_through(&key, now),
                GateDue::ProbeToken { token, turn } => {
                    if let Some(trigger_id) = self.trigger_to_ask_with(&token, turn) {
                        self.actions.push(Action::ProbeToken { token, trigger_id });
                    }
                }
            }
        }
    }

    /// Of the triggers that are waited for, oldest first, another at each turn: one whose GETs fail
    /// says nothing of the token, and is not to keep the others waiting.
    fn trigger_to_ask_with(&self, token: &TokenId, turn: u32) -> Option<TriggerId> {
        let mut triggers: Vec<&TriggerId> = Vec::new();
        for (_, key) in self.gates.waiting(&Gate::Token(token.clone())) {
            let trigger = self.open.get(key).map(|it| &it.delivery.target.trigger_id);
            triggers.extend(trigger.filter(|it| !triggers.contains(it)));
        }
        let place = (turn as usize).checked_rem(triggers.len())?;
        Some(triggers[place].clone())
    }

    /// One delivery is to find out whether its trigger works again.
    fn let_through(&mut self, key: &IdempotencyKey, now: Moment) {
        let Some(open) = self.open.get(key) else {
            return;
        };
        let gate = Gate::Trigger(open.delivery.target.trigger_id.clone());
        if now.boot >= open.deadline {
            self.end(key, Verdict::Expired, None, now);
            self.gates.probe_at(&gate, now.boot);
        } else if self.is_paused(key, now)
            || self.is_held_for_its_token(key)
            || self.makes_way(key, now)
        {
            // Another one may find out.
            self.gates.probe_at(&gate, now.boot);
        } else if self.slots.is_free() {
            self.take_slot(key, now);
        } else {
            self.gates.probe_at(&gate, now.boot + BUSY);
            self.hold(key, gate);
        }
    }

    /// What waits behind a trigger that no schedule names any more is rejected, and its breaker goes
    /// (DESIGN.md 9).
    pub(super) fn give_up_left_triggers(&mut self, now: Moment) {
        let entries = &self.entries;
        let is_left = |gate: &Gate| match gate {
            Gate::Token(_) => false,
            Gate::Trigger(trigger) => entries
                .values()
                .all(|entry| entry.schedule.target.trigger_id != *trigger),
        };
        let left: Vec<Gate> = self
            .gates
            .broken()
            .filter(|gate| is_left(gate))
            .cloned()
            .collect();
        for gate in left {
            for (_, key) in self.gates.mend(&gate).unwrap_or_default() {
                let Some(open) = self.open.get_mut(&key) else {
                    continue;
                };
                open.state = State::Sendable;
                let name = open.delivery.occurrence.schedule.clone();
                let detail = format!(
                    "no schedule names its trigger id any more; `triggerd trigger {name}` wakes the agent that is named now"
                );
                self.end(&key, Verdict::Rejected, Some(detail), now);
            }
            self.say(Notice::BreakerClosed { gate, waiting: 0 });
        }
    }
}
