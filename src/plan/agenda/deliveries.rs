//! The agenda's view of deliveries: where each one stands, how it begins and how it ends.
//! When an occurrence becomes a delivery is `schedules`' concern.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::schedules::Written;
use super::{Action, Agenda, AtBoot, AtWall, Notice};
use crate::clock::{Boottime, Moment};
use crate::plan::breaker::{Gate, Waiting};
use crate::plan::catch_up::LATE;
use crate::plan::delivery::{Delivery, Opened, Skip, Verdict, earlier, later};
use crate::plan::fact::{Attempt, Ending, Fact};
use crate::plan::occurrence::{IdempotencyKey, Occurrence, Origin};
use crate::plan::outcome::Outcome;
use crate::plan::remembered::OpenDelivery;
use crate::schedule::message::TemplateError;
use crate::schedule::{CatchUp, Retry, Schedule, ScheduleId, defaults};

/// A delivery without a verdict.
pub(super) struct Open {
    pub(super) delivery: Arc<Delivery>,
    pub(super) state: State,
    /// Whether the ledger holds it, or can't for the time being.
    pub(super) written: bool,
    pub(super) deadline: Boottime,
    /// When `[expect] accepted_within` is over, until that is told.
    pub(super) overdue: Option<Boottime>,
    /// The policy of a delivery that was asked for by hand; others go by the one in force.
    pub(super) retry: Option<Retry>,
    /// Attempts that were begun.
    pub(super) attempts: u32,
    /// Attempts that found the agent not runnable.
    pub(super) refusals: u32,
    /// An attempt may have been queued without our knowing.
    pub(super) outcome_unknown: bool,
    pub(super) last: Option<Arc<Attempt>>,
    /// The verdict that awaits the end of the attempt under way.
    pub(super) doomed: Option<Skip>,
}

pub(super) enum State {
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
    /// Waits for a run of its schedule to end (SEMANTICS.md 23).
    Queued,
    /// Waits for a pause to end.
    Paused,
}

/// The stagger of one schedule's catch-up (`spacing`).
pub(super) struct Pace {
    pub(super) free_at: Boottime,
    pub(super) waiting: BTreeSet<Waiting>,
}

impl Open {
    pub(super) fn new(delivery: Arc<Delivery>, written: bool, now: Moment) -> Self {
        Self {
            deadline: on_boot(delivery.deadline_at, now),
            overdue: None,
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

    pub(super) fn waiting(&self) -> Waiting {
        (
            self.delivery.occurrence.scheduled_at,
            self.delivery.idempotency_key.clone(),
        )
    }

    pub(super) fn is_manual(&self) -> bool {
        self.delivery.occurrence.origin == Origin::Manual
    }

    /// Whether it waits for a retry or behind a gate (SEMANTICS.md 9).
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. } | State::Held(_))
    }
}

impl Agenda {
    /// A person asks for one delivery now, whether or not the schedule is in force. It passes gates,
    /// and never moves the window.
    pub fn trigger(&mut self, schedule: &Schedule, now: Moment) -> (Arc<Delivery>, Vec<Action>) {
        // Two in one millisecond would be one occurrence.
        let mut at = now.wall;
        let mut occurrence = Occurrence::manual(&schedule.id, at);
        let is_open = |occurrence: &Occurrence| {
            let key = occurrence.idempotency_key(&self.namespace, &schedule.target.trigger_id);
            self.open.contains_key(&key)
        };
        while is_open(&occurrence) {
            at = later(at, Duration::from_millis(1));
            occurrence = Occurrence::manual(&schedule.id, at);
        }
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
                self.open_delivery(open, now);
                self.ready(&delivery.idempotency_key, now);
            }
        }
        (delivery, std::mem::take(&mut self.actions))
    }

    /// A person has a delivery tried again that ended without acceptance: the same key and bytes, and
    /// a deadline that counts from now. `None` if it is open.
    pub fn redeliver(&mut self, ended: OpenDelivery, now: Moment) -> Option<Vec<Action>> {
        let key = ended.delivery.idempotency_key.clone();
        if self.open.contains_key(&key) {
            return None;
        }
        let id = &ended.delivery.occurrence.schedule;
        let looked_after = self.looked_after(id);
        let retry = looked_after.map_or(defaults::RETRY, |schedule| schedule.policies.retry);
        let delivery = Arc::new(Delivery {
            opened_at: now.wall,
            deadline_at: later(now.wall, retry.give_up_after),
            ..ended.delivery.as_ref().clone()
        });
        self.record(Fact::Reopened(delivery.clone()));
        // Sent once the ledger has it open again: else a crash would leave the old verdict over a call.
        let open = Open::new(delivery.clone(), false, now);
        self.begin_by_hand(open, OpenDelivery { delivery, ..ended }, now);
        Some(std::mem::take(&mut self.actions))
    }

    /// Another node was asked for it, and the ledger has it open by now.
    pub fn asked_for(&mut self, asked: OpenDelivery, now: Moment) -> Vec<Action> {
        let delivery = asked.delivery.clone();
        if !self.open.contains_key(&delivery.idempotency_key) {
            let schedule = self.schedule(&delivery.occurrence.schedule);
            let retry = schedule.map(|schedule| schedule.policies.retry);
            let mut open = Open::new(delivery, true, now);
            open.retry = retry.filter(|_| open.is_manual());
            self.begin_by_hand(open, asked, now);
        }
        std::mem::take(&mut self.actions)
    }

    fn begin_by_hand(&mut self, mut open: Open, asked: OpenDelivery, now: Moment) {
        let delivery = asked.delivery;
        if delivery.occurrence.origin == Origin::Schedule {
            self.coverage(&delivery.occurrence.schedule, |coverage| {
                coverage.reopen(delivery.window);
            });
        }
        open.attempts = asked.attempts;
        open.outcome_unknown = asked.outcome_unknown;
        self.open_delivery(open, now);
        self.ready(&delivery.idempotency_key, now);
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
            self.uncount(delivery);
            self.coverage(&delivery.occurrence.schedule, |coverage| {
                coverage.withdraw(delivery.window);
            });
        }
    }

    /// The daemon stops: nothing more is sent, and what has not reached its time is taken back.
    pub fn close(&mut self, now: Moment) -> Vec<Action> {
        self.slots.close();
        // What passed while the process was stopped is for the next start to take up: here its
        // deadline would begin, and nothing is sent.
        let on_time_since = earlier(now.wall, LATE);
        if self.wall.next().is_none_or(|next| next >= on_time_since) {
            self.settle_all(now);
        }
        self.withdraw_all_prepared();
        self.record_settled(now);
        std::mem::take(&mut self.actions)
    }

    /// A delivery that the ledger holds open from the process before.
    pub(super) fn take_over(&mut self, open: OpenDelivery, left_off_at: Timestamp, now: Moment) {
        let occurrence = &open.delivery.occurrence;
        let never_settled = occurrence.origin == Origin::Schedule
            && occurrence.scheduled_at > left_off_at
            && open.attempts == 0;
        if never_settled {
            let left_over = self.left_over.entry(occurrence.schedule.clone());
            left_over.or_default().push(open);
        } else {
            // It counts once.
            let opened_at = open.delivery.opened_at;
            if self.is_counted(&occurrence.schedule, opened_at) {
                let agent = &open.delivery.target.trigger_id;
                self.counts.remove(agent, opened_at);
            }
            self.take_over_as_open(open, now);
        }
    }

    pub(super) fn take_over_as_open(&mut self, remembered: OpenDelivery, now: Moment) {
        // Whatever had come by then the process before may have sent.
        let latest_seen = self.latest_seen(now);
        // A wait is as long as it was then, wherever the clock has been set since.
        let then = Moment {
            wall: latest_seen,
            ..now
        };
        let waits_until = remembered.retry_at.filter(|at| *at > latest_seen);
        let key = remembered.delivery.idempotency_key.clone();
        let due_at = remembered.delivery.due_at;
        // Late it fires like any other; only what is missed by now waits, and makes way for a newer one.
        let fires_when_due = remembered.attempts == 0 && due_at >= earlier(latest_seen, LATE);
        let mut open = Open::new(remembered.delivery, true, now);
        open.attempts = remembered.attempts;
        // The process before may have ended with a call under way.
        open.outcome_unknown = remembered.outcome_unknown
            || (waits_until.is_none() && (due_at <= latest_seen || self.hold.is_some()));
        self.open_delivery(open, now);
        if fires_when_due {
            self.wait_out_jitter(&key);
        } else {
            self.wait_until(&key, on_boot(waits_until.unwrap_or(latest_seen), then));
        }
    }

    pub(super) fn open_delivery(&mut self, open: Open, now: Moment) {
        let key = open.delivery.idempotency_key.clone();
        let schedule = open.delivery.occurrence.schedule.clone();
        self.boot.set(open.deadline, AtBoot::Deadline(key.clone()));
        let agent = &open.delivery.target.trigger_id;
        self.counts.add(agent, open.delivery.opened_at);
        let openings = self.openings.entry(schedule.clone()).or_default();
        openings.add(open.delivery.opened_at);
        self.open_by_schedule.insert(schedule, open.waiting());
        self.open.insert(key.clone(), open);
        self.expect_acceptance(&key, now);
    }

    /// Sets the deadline of `[expect]`, by the policy in force. One that had passed when the process
    /// before ended was told of by that one.
    pub(super) fn expect_acceptance(&mut self, key: &IdempotencyKey, now: Moment) {
        let Some(open) = self.open.get_mut(key) else {
            return;
        };
        if let Some(before) = open.overdue.take() {
            self.boot.remove(before, AtBoot::Overdue(key.clone()));
        }
        let delivery = open.delivery.clone();
        let id = &delivery.occurrence.schedule;
        let left_off_at = self.known.get(id).map(|known| known.left_off_at);
        let schedule = self.looked_after(id);
        let within = schedule.and_then(|schedule| schedule.policies.expect.accepted_within);
        let expected_from = delivery.due_at.max(delivery.opened_at);
        let overdue_at = within.map(|within| later(expected_from, within));
        if let Some(at) = overdue_at.filter(|at| left_off_at.is_none_or(|before| *at > before))
            && let Some(open) = self.open.get_mut(key)
        {
            let at = on_boot(at, now);
            open.overdue = Some(at);
            self.boot.set(at, AtBoot::Overdue(key.clone()));
        }
    }

    pub(super) fn overdue(&mut self, key: &IdempotencyKey) {
        if let Some(open) = self.open.get_mut(key) {
            open.overdue = None;
            let (delivery, last) = (open.delivery.clone(), open.last.clone());
            self.say(Notice::DeliveryOverdue { delivery, last });
        }
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

    /// Before a newer occurrence becomes a delivery, older ones that wait for a retry or behind a
    /// gate make way for it (SEMANTICS.md 8).
    pub(super) fn displace_waiting(&mut self, schedule: &Schedule, newer: Timestamp, now: Moment) {
        let (at_most, why) = match schedule.policies.missed.catch_up {
            CatchUp::None => (1, Skip::Missed),
            CatchUp::Latest => (1, Skip::Superseded),
            CatchUp::All { at_most, .. } => (at_most as usize, Skip::Superseded),
        };
        let older: Vec<_> = self
            .of_schedule(&schedule.id)
            .into_iter()
            .filter(|key| {
                self.open.get(key).is_some_and(|open| {
                    !open.is_manual() && open.delivery.occurrence.scheduled_at < newer
                })
            })
            .collect();
        // The newer one is among the newest `at_most`, and what a catch-up took up before it.
        let beyond = (older.len() + 1).saturating_sub(at_most).min(older.len());
        for key in &older[..beyond] {
            if self.open.get(key).is_some_and(Open::is_waiting) {
                self.end(key, Verdict::Skipped(why), None, now);
            }
        }
    }

    /// All that still waits for an attempt ends; an attempt under way is awaited first.
    pub(super) fn end_waiting(&mut self, id: &ScheduleId, why: Skip, now: Moment) {
        for key in self.of_schedule(id) {
            match self.open.get_mut(&key) {
                // A person asked for it, whatever becomes of the file.
                Some(open) if open.is_manual() => {}
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
        self.open_delivery(Open::new(delivery.clone(), true, now), now);
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
        if verdict != Verdict::Accepted {
            self.uncount(&delivery);
        }
        let covered_until = match delivery.occurrence.origin {
            Origin::Manual => None,
            Origin::Schedule => self.coverage(&delivery.occurrence.schedule, |coverage| {
                if verdict == Verdict::Accepted {
                    Some(coverage.accept(delivery.window, now.wall))
                } else {
                    coverage.fail(delivery.window);
                    None
                }
            }),
        };
        let schedule = delivery.occurrence.schedule.clone();
        if delivery.occurrence.origin == Origin::Schedule {
            self.keep_delivered(&schedule, delivery.occurrence.scheduled_at, now);
        }
        let accepted = delivery.clone();
        let acceptance = open.last.as_ref().map(|last| last.answer.outcome.clone());
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
        if let Some(Outcome::Accepted(acceptance)) = acceptance {
            self.follow_run(&accepted, &acceptance, now);
        }
        self.release_queued(&schedule, now);
    }

    /// Whether the occurrence has a delivery without a verdict.
    pub(super) fn is_open(&self, id: &ScheduleId, scheduled_at: Timestamp) -> bool {
        self.open_between(id, scheduled_at, scheduled_at)
            .next()
            .is_some()
    }

    /// The scheduled times of a schedule's occurrences that have a delivery without a verdict.
    pub(super) fn open_between(
        &self,
        id: &ScheduleId,
        first: Timestamp,
        last: Timestamp,
    ) -> impl Iterator<Item = Timestamp> {
        self.open_by_schedule
            .between(id, first, last)
            .filter(|(_, key)| self.open.get(key).is_some_and(|open| !open.is_manual()))
            .map(|(at, _)| *at)
    }

    /// A schedule's open deliveries, oldest first.
    pub(super) fn of_schedule(&self, id: &ScheduleId) -> Vec<IdempotencyKey> {
        let deliveries = self.open_by_schedule.of(id).iter();
        deliveries.map(|(_, key)| key.clone()).collect()
    }

    /// Limits count the delivery no more.
    fn uncount(&mut self, delivery: &Delivery) {
        let opened_at = delivery.opened_at;
        self.counts.remove(&delivery.target.trigger_id, opened_at);
        if let Some(openings) = self.openings.get_mut(&delivery.occurrence.schedule) {
            openings.remove(opened_at);
        }
    }

    /// Removes every trace of an open delivery from the agenda.
    pub(super) fn forget(&mut self, key: &IdempotencyKey) -> Option<Open> {
        let open = self.open.remove(key)?;
        let schedule = open.delivery.occurrence.schedule.clone();
        self.boot
            .remove(open.deadline, AtBoot::Deadline(key.clone()));
        if let Some(overdue) = open.overdue {
            self.boot.remove(overdue, AtBoot::Overdue(key.clone()));
        }
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
            State::Queued => {
                if self.queue.get(&schedule) == Some(key) {
                    self.queue.remove(&schedule);
                }
            }
            State::Trying | State::Paused => {}
        }
        self.open_by_schedule.remove(&schedule, &open.waiting());
        Some(open)
    }
}

/// The instant on the clock that waits are measured on, as far away as `at` is on the wall clock.
fn on_boot(at: Timestamp, now: Moment) -> Boottime {
    let left = Duration::try_from(at.duration_since(now.wall)).unwrap_or(Duration::ZERO);
    now.boot + left
}
