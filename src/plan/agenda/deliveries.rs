//! The agenda's view of deliveries: where each one stands, and what moves it on.
//! When an occurrence becomes a delivery is `schedules`' concern.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::schedules::Written;
use super::{Action, Agenda, AtBoot, AtWall, Notice};
use crate::api::token::TokenId;
use crate::clock::{Boottime, Moment};
use crate::plan::breaker::{Gate, GateDue, Waiting};
use crate::plan::catch_up::LATE;
use crate::plan::delivery::{Delivery, Opened, Skip, Verdict, earlier, later};
use crate::plan::fact::{Attempt, Ending, Fact, Next};
use crate::plan::occurrence::{IdempotencyKey, Occurrence, Origin};
use crate::plan::outcome::{Answer, Outcome};
use crate::plan::remembered::OpenDelivery;
use crate::plan::retry::{self, Decision};
use crate::schedule::message::TemplateError;
use crate::schedule::{CatchUp, Retry, Schedule, ScheduleId, defaults};

/// A delivery without a verdict.
pub(super) struct Open {
    delivery: Arc<Delivery>,
    state: State,
    /// Whether the ledger holds it, or can't for the time being.
    written: bool,
    deadline: Boottime,
    /// The policy of a delivery that was asked for by hand; others go by the one in force.
    retry: Option<Retry>,
    /// Attempts that were begun.
    attempts: u32,
    /// Attempts that found the agent not runnable.
    refusals: u32,
    /// An attempt may have been queued without our knowing.
    outcome_unknown: bool,
    last: Option<Arc<Attempt>>,
    /// The verdict that awaits the end of the attempt under way.
    doomed: Option<Skip>,
}

enum State {
    /// Waits out its jitter.
    Pending,
    /// May be sent; waits for the ledger, for its place in a catch-up or for a slot.
    Sendable,
    Trying,
    /// Waits for a retry.
    Waiting {
        retry_at: Boottime,
    },
    /// Waits behind a breaker or a pause.
    Held(Gate),
}

/// The stagger of one schedule's catch-up (`spacing`).
pub(super) struct Pace {
    free_at: Boottime,
    waiting: BTreeSet<Waiting>,
}

impl Open {
    pub(super) fn new(delivery: Arc<Delivery>, written: bool, now: Moment) -> Self {
        Self {
            deadline: on_boot(delivery.deadline_at, now),
            delivery,
            state: State::Pending,
            written,
            retry: None,
            attempts: 0,
            refusals: 0,
            outcome_unknown: false,
            last: None,
            doomed: None,
        }
    }

    fn waiting(&self) -> Waiting {
        (
            self.delivery.occurrence.scheduled_at,
            self.delivery.idempotency_key.clone(),
        )
    }

    fn is_manual(&self) -> bool {
        self.delivery.occurrence.origin == Origin::Manual
    }

    /// Whether it waits for a retry or behind a gate (SEMANTICS.md 9).
    fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. } | State::Held(_))
    }
}

impl Agenda {
    /// A person asks for one delivery now, whether or not the schedule is in force. It passes gates,
    /// and never moves the window.
    pub fn trigger(&mut self, schedule: &Schedule, now: Moment) -> (Arc<Delivery>, Vec<Action>) {
        let occurrence = Occurrence::manual(&schedule.id, now.wall);
        let window = self.window(schedule, now.wall);
        let (delivery, error) = Delivery::freeze(
            schedule,
            &self.namespace,
            occurrence,
            window,
            Opened::At(now.wall),
        );
        let delivery = Arc::new(delivery);
        self.record(Fact::WrittenAhead(delivery.clone()));
        match error {
            Some(error) => self.reject_unsendable(&delivery, &error, now),
            None => {
                let open = Open {
                    retry: Some(schedule.policies.retry),
                    ..Open::new(delivery.clone(), false, now)
                };
                self.open_delivery(open);
                self.ready(&delivery.idempotency_key, now);
            }
        }
        (delivery, std::mem::take(&mut self.actions))
    }

    /// The ledger has the delivery, or can't have it for the time being; either way it may be sent.
    pub fn written(&mut self, delivery: &Arc<Delivery>, now: Moment) -> Vec<Action> {
        if !self.prepared_is_written(delivery, Written::Yes)
            && let Some(open) = self.open.get_mut(&delivery.idempotency_key)
            && Arc::ptr_eq(&open.delivery, delivery)
        {
            open.written = true;
            if matches!(open.state, State::Sendable) {
                self.ready(&delivery.idempotency_key, now);
            }
        }
        std::mem::take(&mut self.actions)
    }

    /// The ledger knows the key: the occurrence has its delivery, and gets no other.
    pub fn already_known(&mut self, delivery: &Arc<Delivery>) {
        if self.prepared_is_written(delivery, Written::Before) {
            return;
        }
        let open = self.open.get(&delivery.idempotency_key);
        if open.is_some_and(|open| Arc::ptr_eq(&open.delivery, delivery)) {
            self.forget(&delivery.idempotency_key);
            self.coverage(&delivery.occurrence.schedule, |coverage| {
                coverage.withdraw(delivery.window);
            });
        }
    }

    /// An attempt came to its end.
    pub fn answered(
        &mut self,
        key: &IdempotencyKey,
        sent_at: Timestamp,
        latency: Duration,
        answer: Answer,
        now: Moment,
    ) -> Vec<Action> {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.learn(key, &answer, now);
        self.judge(key, sent_at, latency, answer, now);
        self.fill_slots();
        std::mem::take(&mut self.actions)
    }

    /// The daemon stops: nothing more is sent, and what has not reached its time is taken back.
    pub fn close(&mut self, now: Moment) -> Vec<Action> {
        self.max_in_flight = 0;
        self.settle_all(now);
        self.withdraw_all_prepared();
        self.record_settled(now);
        std::mem::take(&mut self.actions)
    }

    /// A probe says whether the token works; `None` if it could not tell.
    pub fn probed(&mut self, token: TokenId, works: Option<bool>, now: Moment) -> Vec<Action> {
        let gate = Gate::Token(token);
        match works {
            Some(true) => self.mend(&gate, now),
            Some(false) | None => self.gates.probe_failed(&gate, now),
        }
        std::mem::take(&mut self.actions)
    }

    /// The source of the token holds a new value: what waits for it may try again.
    pub fn token_changed(&mut self, token: TokenId, now: Moment) -> Vec<Action> {
        self.mend(&Gate::Token(token), now);
        std::mem::take(&mut self.actions)
    }

    /// A delivery that the ledger holds open from the process before.
    pub(super) fn take_over(&mut self, open: OpenDelivery, now: Moment) {
        let occurrence = &open.delivery.occurrence;
        let never_settled = occurrence.origin == Origin::Schedule
            && occurrence.scheduled_at > self.left_off_at
            && open.attempts == 0;
        if never_settled {
            let left_over = self.left_over.entry(occurrence.schedule.clone());
            left_over.or_default().push(open);
        } else {
            self.take_over_as_open(open, now);
        }
    }

    pub(super) fn take_over_as_open(&mut self, remembered: OpenDelivery, now: Moment) {
        let waits_until = remembered.retry_at.filter(|at| *at > now.wall);
        let key = remembered.delivery.idempotency_key.clone();
        let jittering = remembered.attempts == 0 && remembered.delivery.due_at > now.wall;
        let mut open = Open::new(remembered.delivery, true, now);
        open.attempts = remembered.attempts;
        // The process before may have ended with a call under way.
        open.outcome_unknown = remembered.outcome_unknown || (waits_until.is_none() && !jittering);
        self.open_delivery(open);
        if jittering {
            self.wait_out_jitter(&key);
        } else {
            self.wait_until(&key, on_boot(waits_until.unwrap_or(now.wall), now));
        }
    }

    pub(super) fn open_delivery(&mut self, open: Open) {
        let key = open.delivery.idempotency_key.clone();
        let (scheduled_at, _) = open.waiting();
        let schedule = open.delivery.occurrence.schedule.clone();
        self.boot.set(open.deadline, AtBoot::Deadline(key.clone()));
        self.open_by_schedule
            .insert((schedule, scheduled_at, key.clone()));
        self.open.insert(key, open);
    }

    pub(super) fn wait_out_jitter(&mut self, key: &IdempotencyKey) {
        if let Some(open) = self.open.get(key) {
            self.wall
                .set(open.delivery.due_at, AtWall::Due(key.clone()));
        }
    }

    pub(super) fn jitter_over(&mut self, key: &IdempotencyKey, now: Moment) {
        if self
            .open
            .get(key)
            .is_some_and(|open| matches!(open.state, State::Pending))
        {
            self.ready(key, now);
        }
    }

    /// The delivery may be sent as far as its own time goes: now the ledger, gates, spacing and
    /// slots have their say.
    pub(super) fn ready(&mut self, key: &IdempotencyKey, now: Moment) {
        let Some(open) = self.open.get_mut(key) else {
            return;
        };
        open.state = State::Sendable;
        if !open.written || self.is_held(key) {
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
        self.take_slot(key);
    }

    /// Puts the delivery behind the gate of its token or trigger, if one is shut.
    fn is_held(&mut self, key: &IdempotencyKey) -> bool {
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
            pace.waiting = others;
            self.boot.set(pace.free_at, AtBoot::Pace(id.clone()));
        }
    }

    pub(super) fn retry(&mut self, key: &IdempotencyKey, now: Moment) {
        if self
            .open
            .get(key)
            .is_some_and(|open| matches!(open.state, State::Waiting { .. }))
        {
            self.ready(key, now);
        }
    }

    pub(super) fn deadline(&mut self, key: &IdempotencyKey, now: Moment) {
        if self
            .open
            .get(key)
            .is_some_and(|open| !matches!(open.state, State::Trying))
        {
            self.end(key, Verdict::Expired, None, now);
        }
    }

    pub(super) fn run_gates(&mut self, now: Moment) {
        while let Some(due) = self.gates.due(now) {
            match due {
                GateDue::Open(waiting) => self.release(waiting, now),
                GateDue::LetThrough((_, key)) if self.in_flight < self.max_in_flight => {
                    self.take_slot(&key);
                }
                GateDue::LetThrough((_, key)) => {
                    if let Some(open) = self.open.get(&key) {
                        let gate = Gate::Trigger(open.delivery.target.trigger_id.clone());
                        self.gates.probe_failed(&gate, now);
                        self.hold(&key, gate);
                    }
                }
                GateDue::ProbeToken(token, (_, key)) => {
                    if let Some(open) = self.open.get(&key) {
                        self.actions.push(Action::ProbeToken {
                            token,
                            trigger_id: open.delivery.target.trigger_id.clone(),
                        });
                    }
                }
            }
        }
    }

    /// Before a newer occurrence becomes a delivery, older ones that wait for a retry or behind a
    /// gate make way for it (SEMANTICS.md 8).
    pub(super) fn displace_waiting(&mut self, schedule: &Schedule, newer: Timestamp, now: Moment) {
        let (keep, why) = match schedule.policies.missed.catch_up {
            CatchUp::None => (0, Skip::Missed),
            CatchUp::Latest => (0, Skip::Superseded),
            CatchUp::All { at_most, .. } => (at_most as usize, Skip::Superseded),
        };
        let waiting: Vec<_> = self
            .of_schedule(&schedule.id)
            .into_iter()
            .filter(|key| {
                self.open.get(key).is_some_and(|open| {
                    open.is_waiting()
                        && !open.is_manual()
                        && open.delivery.occurrence.scheduled_at < newer
                })
            })
            .collect();
        for key in &waiting[..waiting.len().saturating_sub(keep)] {
            self.end(key, Verdict::Skipped(why), None, now);
        }
    }

    /// All that still waits for an attempt ends; an attempt under way is awaited first.
    pub(super) fn end_waiting(&mut self, id: &ScheduleId, why: Skip, now: Moment) {
        for key in self.of_schedule(id) {
            match self.open.get_mut(&key) {
                Some(open) if matches!(open.state, State::Trying) => open.doomed = Some(why),
                Some(_) => self.end(&key, Verdict::Skipped(why), None, now),
                None => {}
            }
        }
    }

    pub(super) fn reject_unsendable(
        &mut self,
        delivery: &Arc<Delivery>,
        error: &TemplateError,
        now: Moment,
    ) {
        self.open_delivery(Open::new(delivery.clone(), true, now));
        let detail = format!("its text can't be rendered: {error}");
        self.end(
            &delivery.idempotency_key,
            Verdict::Rejected,
            Some(detail),
            now,
        );
    }

    pub(super) fn end(
        &mut self,
        key: &IdempotencyKey,
        verdict: Verdict,
        detail: Option<String>,
        now: Moment,
    ) {
        let Some(open) = self.forget(key) else {
            return;
        };
        let delivery = open.delivery;
        let covered_until = match delivery.occurrence.origin {
            Origin::Manual => None,
            Origin::Schedule => self.coverage(&delivery.occurrence.schedule, |coverage| {
                if verdict == Verdict::Accepted {
                    Some(coverage.accept(delivery.window))
                } else {
                    coverage.fail(delivery.window);
                    None
                }
            }),
        };
        self.record(Fact::Ended(Arc::new(Ending {
            verdict,
            at: now.wall,
            attempts: open.attempts,
            last: open.last,
            outcome_unknown: open.outcome_unknown && verdict != Verdict::Accepted,
            detail,
            covered_until: covered_until.flatten(),
            delivery,
        })));
    }

    /// What the answer says of the token and the trigger, whatever becomes of the delivery.
    fn learn(&mut self, key: &IdempotencyKey, answer: &Answer, now: Moment) {
        let Some(open) = self.open.get(key) else {
            return;
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
            self.mend(&token, now);
        }
        if trigger_works {
            self.mend(&trigger, now);
        } else if !matches!(answer.outcome, Outcome::TriggerRefused) {
            self.gates.probe_failed(&trigger, now);
        }
    }

    /// Decides what becomes of the delivery after an answer.
    fn judge(
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

    fn follow(&mut self, key: &IdempotencyKey, decision: Decision, attempt: &Attempt, now: Moment) {
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

    fn break_down(&mut self, gate: Gate, answer: &Answer, now: Moment) {
        if self.gates.break_down(gate.clone(), now) {
            self.say(Notice::BreakerOpened {
                gate,
                detail: answer.detail.clone(),
                fix: answer.fix,
            });
        }
    }

    fn mend(&mut self, gate: &Gate, now: Moment) {
        if let Some(waiting) = self.gates.mend(gate) {
            self.say(Notice::BreakerClosed {
                gate: gate.clone(),
                waiting: waiting.len(),
            });
            self.release(waiting, now);
        }
    }

    fn release(&mut self, waiting: BTreeSet<Waiting>, now: Moment) {
        for (_, key) in waiting {
            self.ready(&key, now);
        }
    }

    fn hold(&mut self, key: &IdempotencyKey, gate: Gate) {
        if let Some(open) = self.open.get_mut(key) {
            self.gates.wait(&gate, open.waiting());
            open.state = State::Held(gate);
        }
    }

    fn wait_until(&mut self, key: &IdempotencyKey, retry_at: Boottime) {
        if let Some(open) = self.open.get_mut(key) {
            open.state = State::Waiting { retry_at };
            self.boot.set(retry_at, AtBoot::Retry(key.clone()));
        }
    }

    fn take_slot(&mut self, key: &IdempotencyKey) {
        let Some(open) = self.open.get_mut(key) else {
            return;
        };
        if self.in_flight >= self.max_in_flight {
            open.state = State::Sendable;
            self.sendable.insert((open.delivery.due_at, key.clone()));
            return;
        }
        self.in_flight += 1;
        open.attempts += 1;
        open.state = State::Trying;
        self.actions.push(Action::Attempt {
            delivery: open.delivery.clone(),
            number: open.attempts,
        });
    }

    fn fill_slots(&mut self) {
        while self.in_flight < self.max_in_flight
            && let Some((_, key)) = self.sendable.pop_first()
        {
            if !self.is_held(&key) {
                self.take_slot(&key);
            }
        }
    }

    /// How far apart the late deliveries of its schedule are sent, if this is one of them.
    fn spacing(&self, key: &IdempotencyKey, now: Moment) -> Option<Duration> {
        let open = self.open.get(key)?;
        let late = earlier(now.wall, LATE) > open.delivery.due_at;
        let entry = self.entries.get(&open.delivery.occurrence.schedule)?;
        match entry.schedule.policies.missed.catch_up {
            CatchUp::All { spacing, .. } if late && !open.is_manual() => Some(spacing),
            _ => None,
        }
    }

    /// The policy in force; the default one where the schedule is not there any more.
    fn retry_policy(&self, open: &Open) -> Retry {
        let in_force = || {
            let entry = self.entries.get(&open.delivery.occurrence.schedule)?;
            Some(entry.schedule.policies.retry)
        };
        open.retry.or_else(in_force).unwrap_or(defaults::RETRY)
    }

    /// Whether the occurrence has a delivery without a verdict.
    pub(super) fn is_open(&self, id: &ScheduleId, scheduled_at: Timestamp) -> bool {
        let from = (id.clone(), scheduled_at, IdempotencyKey::recorded(""));
        self.open_by_schedule
            .range(from..)
            .take_while(|(schedule, at, _)| schedule == id && *at == scheduled_at)
            .any(|(.., key)| self.open.get(key).is_some_and(|open| !open.is_manual()))
    }

    /// A schedule's open deliveries, oldest first.
    fn of_schedule(&self, id: &ScheduleId) -> Vec<IdempotencyKey> {
        let from = (id.clone(), Timestamp::MIN, IdempotencyKey::recorded(""));
        self.open_by_schedule
            .range(from..)
            .take_while(|(schedule, ..)| schedule == id)
            .map(|(.., key)| key.clone())
            .collect()
    }

    /// Removes every trace of an open delivery from the agenda.
    fn forget(&mut self, key: &IdempotencyKey) -> Option<Open> {
        let open = self.open.remove(key)?;
        let (scheduled_at, _) = open.waiting();
        let schedule = open.delivery.occurrence.schedule.clone();
        self.boot
            .remove(open.deadline, AtBoot::Deadline(key.clone()));
        match &open.state {
            State::Pending => self
                .wall
                .remove(open.delivery.due_at, AtWall::Due(key.clone())),
            State::Waiting { retry_at } => {
                self.boot.remove(*retry_at, AtBoot::Retry(key.clone()));
            }
            State::Held(gate) => self.gates.leave(gate, &open.waiting()),
            State::Sendable => {
                self.sendable.remove(&(open.delivery.due_at, key.clone()));
                if let Some(pace) = self.paces.get_mut(&schedule) {
                    pace.waiting.remove(&open.waiting());
                }
            }
            State::Trying => {}
        }
        self.open_by_schedule
            .remove(&(schedule, scheduled_at, key.clone()));
        Some(open)
    }
}

/// The instant on the clock that waits are measured on, as far away as `at` is on the wall clock.
fn on_boot(at: Timestamp, now: Moment) -> Boottime {
    let left = Duration::try_from(at.duration_since(now.wall)).unwrap_or(Duration::ZERO);
    now.boot + left
}

fn on_wall(at: Boottime, now: Moment) -> Timestamp {
    later(now.wall, at.saturating_sub(now.boot))
}
