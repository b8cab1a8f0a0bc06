//! What the answer to an attempt changes: its delivery, and the gates of its token and trigger.
//! How a delivery comes to its attempt is `sending`'s concern.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::deliveries::{Open, State};
use super::{Action, Agenda, AtBoot, Notice};
use crate::api::token::TokenId;
use crate::clock::{Boottime, Moment};
use crate::plan::breaker::{Gate, Waiting};
use crate::plan::delivery::{Verdict, later};
use crate::plan::fact::{Attempt, Fact, Next};
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::outcome::{Answer, Outcome};
use crate::plan::retry::{self, Decision};
use crate::schedule::{Retry, defaults};

impl Agenda {
    /// An attempt came to its end.
    pub fn answered(
        &mut self,
        key: &IdempotencyKey,
        sent_at: Timestamp,
        latency: Duration,
        answer: Answer,
        now: Moment,
    ) -> Vec<Action> {
        self.slots.free();
        let mut actions = self.told(key, sent_at, latency, answer, now);
        self.fill_slots(now);
        actions.append(&mut self.actions);
        actions
    }

    /// A call is over, and another may have its slot; [`Agenda::told`] is to hear what it brought.
    pub fn call_ended(&mut self, now: Moment) -> Vec<Action> {
        self.slots.free();
        self.fill_slots(now);
        std::mem::take(&mut self.actions)
    }

    /// What an attempt brought whose slot another has by now.
    pub fn told(
        &mut self,
        key: &IdempotencyKey,
        sent_at: Timestamp,
        latency: Duration,
        answer: Answer,
        now: Moment,
    ) -> Vec<Action> {
        let released = self.learn(key, &answer, now);
        self.judge(key, sent_at, latency, answer, now);
        // A 429 has paused their token by now.
        self.release(released, now);
        std::mem::take(&mut self.actions)
    }

    /// A probe says whether the token works; `None` if it could not tell.
    pub fn probed(&mut self, token: TokenId, works: Option<bool>, now: Moment) -> Vec<Action> {
        let gate = Gate::Token(token);
        match works {
            Some(true) => self.open_gate(&gate, now),
            Some(false) | None => self.gates.probe_failed(&gate, now),
        }
        std::mem::take(&mut self.actions)
    }

    /// The source of the token holds a new value: what waits for it may try again.
    pub fn token_changed(&mut self, token: TokenId, now: Moment) -> Vec<Action> {
        self.open_gate(&Gate::Token(token), now);
        std::mem::take(&mut self.actions)
    }

    /// What the answer says of the token and the trigger, whatever becomes of the delivery. Gives those
    /// that waited for one of them to work.
    pub(super) fn learn(
        &mut self,
        key: &IdempotencyKey,
        answer: &Answer,
        now: Moment,
    ) -> BTreeSet<Waiting> {
        let mut released = BTreeSet::new();
        let Some(open) = self.open.get(key) else {
            return released;
        };
        let [token, trigger] = Gate::of(&open.delivery.target);
        let (token_works, trigger_works) = match answer.outcome {
            Outcome::Accepted(_) | Outcome::NotRunnable | Outcome::RateLimited(_) => (true, true),
            Outcome::TriggerRefused => (true, false),
            Outcome::Rejected | Outcome::TokenRefused { .. } | Outcome::Failed { .. } => {
                (false, false)
            }
        };
        if token_works {
            released.append(&mut self.mend(&token));
        }
        if trigger_works {
            released.append(&mut self.mend(&trigger));
        } else {
            // A refusal that breaks it down anew finds it so, and counts nothing twice.
            self.gates.probe_failed(&trigger, now);
        }
        released
    }

    /// Decides what becomes of the delivery after an answer.
    pub(super) fn judge(
        &mut self,
        key: &IdempotencyKey,
        sent_at: Timestamp,
        latency: Duration,
        answer: Answer,
        now: Moment,
    ) {
        let Some(open) = self.open.get_mut(key) else {
            return;
        };
        open.outcome_unknown |= answer.outcome.is_unknown();
        open.refusals += u32::from(answer.outcome == Outcome::NotRunnable);
        let Some(open) = self.open.get(key) else {
            return;
        };
        let decision = retry::after(
            self.retry_policy(open),
            key,
            open.attempts,
            open.refusals,
            &answer.outcome,
            now,
        );
        let verdict = match (&answer.outcome, open.doomed) {
            (Outcome::Accepted(_), _) => Some(Verdict::Accepted),
            (_, Some(why)) => Some(Verdict::Skipped(why)),
            _ if decision == Decision::Stop => Some(Verdict::Rejected),
            _ if now.boot >= open.deadline => Some(Verdict::Expired),
            _ => None,
        };
        let next = match (verdict, decision) {
            (Some(_), _) | (None, Decision::Stop) => Next::End,
            (None, Decision::RetryAt(at) | Decision::PauseToken { until: at }) => {
                Next::RetryAt(on_wall(at, now))
            }
            (None, Decision::TokenBroken { newer_token: true }) => Next::RetryAt(now.wall),
            (None, Decision::TokenBroken { newer_token: false } | Decision::TriggerBroken) => {
                Next::Held
            }
        };
        let attempt = Arc::new(Attempt {
            delivery: open.delivery.clone(),
            number: open.attempts,
            sent_at,
            latency,
            answer,
            next,
        });
        if let Some(open) = self.open.get_mut(key) {
            open.last = Some(attempt.clone());
        }
        self.record(Fact::Attempted(attempt.clone()));
        match verdict {
            Some(verdict) => self.end(key, verdict, None, now),
            None => self.follow(key, decision, &attempt, now),
        }
    }

    pub(super) fn follow(
        &mut self,
        key: &IdempotencyKey,
        decision: Decision,
        attempt: &Attempt,
        now: Moment,
    ) {
        let [token, trigger] = Gate::of(&attempt.delivery.target);
        match decision {
            Decision::Stop => {}
            Decision::RetryAt(at) => self.wait_until(key, at),
            Decision::TokenBroken { newer_token: true } => self.wait_until(key, now.boot),
            Decision::TokenBroken { newer_token: false } => {
                self.break_down(token.clone(), &attempt.answer, now);
                self.hold(key, token);
            }
            Decision::TriggerBroken => {
                self.break_down(trigger.clone(), &attempt.answer, now);
                self.hold(key, trigger);
                // The file may have been corrected while the call was out. By hand alone no file counts.
                if self.by_hand.is_none() {
                    self.give_up_left_triggers(now);
                }
            }
            Decision::PauseToken { until } => {
                if self.gates.pause(token.clone(), until) {
                    self.say(Notice::TokenPaused {
                        token: attempt.delivery.target.token.clone(),
                        until: on_wall(until, now),
                    });
                }
                self.hold(key, token);
            }
        }
    }

    /// The policy in force; the default one where the schedule is not there any more.
    pub(super) fn retry_policy(&self, open: &Open) -> Retry {
        let in_force = || {
            let entry = self.entries.get(&open.delivery.occurrence.schedule)?;
            Some(entry.schedule.policies.retry)
        };
        open.retry.or_else(in_force).unwrap_or(defaults::RETRY)
    }

    pub(super) fn wait_until(&mut self, key: &IdempotencyKey, retry_at: Boottime) {
        if let Some(open) = self.open.get_mut(key) {
            open.state = State::Waiting { retry_at };
            self.boot.set(retry_at, AtBoot::Retry(key.clone()));
        }
    }

    pub(super) fn break_down(&mut self, gate: Gate, answer: &Answer, now: Moment) {
        if self
            .gates
            .break_down(gate.clone(), &answer.detail, answer.fix, now)
        {
            self.say(Notice::BreakerOpened {
                gate,
                detail: answer.detail.clone(),
                fix: answer.fix,
            });
        }
    }

    pub(super) fn open_gate(&mut self, gate: &Gate, now: Moment) {
        let released = self.mend(gate);
        self.release(released, now);
    }

    /// The gate is broken no more. Gives those that waited for that.
    fn mend(&mut self, gate: &Gate) -> BTreeSet<Waiting> {
        let Some(waiting) = self.gates.mend(gate) else {
            return BTreeSet::new();
        };
        self.say(Notice::BreakerClosed {
            gate: gate.clone(),
            waiting: waiting.len(),
        });
        waiting
    }
}

pub(super) fn on_wall(at: Boottime, now: Moment) -> Timestamp {
    later(now.wall, at.saturating_sub(now.boot))
}
