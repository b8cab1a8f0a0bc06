//! The agenda's view of schedules: which occurrence is next, what is written ahead for it, and what
//! edits, removals and clock steps change. What becomes of a delivery is `deliveries`' concern.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::deliveries::Open;
use super::{Agenda, AtWall, Known, LEAD, Notice};
use crate::clock::Moment;
use crate::plan::catch_up::{self, LATE, Settlement, Stretch, just_before};
use crate::plan::delivery::{Delivery, Opened, Skip, Verdict, Window, earlier};
use crate::plan::fact::{Fact, Skipped};
use crate::plan::jitter;
use crate::plan::occurrence::Occurrence;
use crate::plan::remembered::OpenDelivery;
use crate::plan::window::Coverage;
use crate::schedule::recurrence::Slot;
use crate::schedule::{CatchUp, Schedule, ScheduleId};

/// A schedule whose file is there, disabled ones included.
pub(super) struct Entry {
    pub(super) schedule: Arc<Schedule>,
    /// Its occurrences up to here have been dealt with.
    place: Timestamp,
    /// The first one after `place`; never of a disabled schedule.
    pub(super) next: Option<Slot>,
    prepared: Option<Prepared>,
    timer: Option<(Timestamp, AtWall)>,
    told_stuck: bool,
}

/// The next occurrence, written ahead. It becomes a delivery at its scheduled time.
struct Prepared {
    delivery: Arc<Delivery>,
    written: Written,
    /// The one after it, looked for ahead of time: at the instant only the call is left.
    following: Option<Slot>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    NotYet,
    Yes,
    /// The ledger has a delivery of this occurrence already: the clock stepped back.
    Before,
}

impl Entry {
    /// The slot after `next`.
    fn following(&self, next: &Slot) -> Option<Slot> {
        let prepared = self.prepared.as_ref();
        match prepared.filter(|it| it.delivery.occurrence.scheduled_at == next.at) {
            Some(prepared) => prepared.following,
            None => next_of(&self.schedule, next.at),
        }
    }
}

impl Agenda {
    pub(super) fn put(&mut self, schedule: Arc<Schedule>, now: Moment) {
        let id = schedule.id.clone();
        if self
            .entries
            .get(&id)
            .is_some_and(|entry| entry.schedule == schedule)
        {
            return;
        }
        let was_in_force = self.entries.contains_key(&id) && self.is_in_force(&id);
        self.withdraw_prepared(&id);
        if !schedule.enabled && self.is_in_force(&id) {
            self.cease(&id, now);
        }
        let from_now_on = self.latest_seen(now);
        let place = match self.known.get(&id) {
            Some(known) if known.in_force && !was_in_force => known.left_off_at.max(known.began_at),
            _ => from_now_on,
        };
        if schedule.enabled && !self.is_in_force(&id) {
            self.begin(&schedule, from_now_on);
        }
        self.clear_timer(&id);
        self.forget_entry(&id);
        self.enabled += usize::from(schedule.enabled);
        self.entries.insert(
            id.clone(),
            Entry {
                next: next_of(&schedule, place),
                schedule,
                place,
                prepared: None,
                timer: None,
                told_stuck: false,
            },
        );
        self.make_room();
        for open in self.left_over.remove(&id).unwrap_or_default() {
            self.take_up_left_over(&id, open, now);
        }
        self.release_queued(&id, now);
        for key in self.of_schedule(&id) {
            self.expect_acceptance(&key, now);
        }
        self.set_timer(&id);
    }

    /// All may be due at once: then is not the time for maps to grow.
    fn make_room(&mut self) {
        let due = self.entries.len();
        self.open.reserve(due.saturating_sub(self.open.len()));
        self.openings
            .reserve(due.saturating_sub(self.openings.len()));
        self.open_by_schedule.make_room(due);
    }

    pub(super) fn remove(&mut self, id: &ScheduleId, now: Moment) {
        self.withdraw_prepared(id);
        self.clear_timer(id);
        self.forget_entry(id);
        for open in self.left_over.remove(id).unwrap_or_default() {
            self.take_over_as_open(open, now);
        }
        self.cease(id, now);
    }

    pub(super) fn forget_entry(&mut self, id: &ScheduleId) {
        if let Some(entry) = self.entries.remove(id) {
            self.enabled -= usize::from(entry.schedule.enabled);
        }
    }

    /// Deals with all occurrences of one schedule up to `now`, and writes the next one ahead.
    pub(super) fn settle(&mut self, id: &ScheduleId, now: Moment) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        entry.timer = None;
        if let Some(next) = entry.next.filter(|slot| slot.at <= now.wall) {
            self.skip_paused(id, next.at, now);
        }
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        if let Some(next) = entry.next.filter(|slot| slot.at <= now.wall) {
            let schedule = entry.schedule.clone();
            let following = entry.following(&next);
            let due_at = |slot: &Slot| jitter::due_at(&schedule, &self.namespace, slot);
            let is_alone = following.is_none_or(|slot| slot.at > now.wall);
            let settlement = match is_alone && catch_up::is_on_time(due_at(&next), now.wall) {
                true => Settlement::on_time(next),
                false => catch_up::settle(
                    &schedule.recurrence,
                    schedule.policies.missed,
                    schedule.jitter,
                    due_at,
                    entry.place,
                    now.wall,
                ),
            };
            let is_on_time = |prepared: &Prepared| {
                let scheduled_at = prepared.delivery.occurrence.scheduled_at;
                settlement
                    .on_time
                    .iter()
                    .any(|slot| slot.at == scheduled_at)
            };
            if !entry.prepared.as_ref().is_some_and(is_on_time) {
                self.withdraw_prepared(id);
            }
            // In the order of time, so that each window counts what was skipped inside it alone.
            let mut skipped = settlement.skipped;
            skipped.sort_by_key(|stretch| stretch.first);
            let mut skipped = skipped.into_iter().peekable();
            let caught_up = settlement.caught_up.iter();
            let caught_up = caught_up.map(|slot| (slot, Opened::At(now.wall)));
            let on_time = settlement.on_time.iter();
            for (slot, opened) in caught_up.chain(on_time.map(|slot| (slot, Opened::WhenDue))) {
                while let Some(stretch) = skipped.next_if(|stretch| stretch.first < slot.at) {
                    self.skip(id, stretch, now);
                }
                self.open_occurrence(id, slot, opened, now);
            }
            for stretch in skipped {
                self.skip(id, stretch, now);
            }
            if let Some(entry) = self.entries.get_mut(id) {
                entry.place = now.wall;
                entry.next = match is_alone {
                    true => following,
                    false => next_of(&schedule, now.wall),
                };
            }
            if let Some(known) = self.known.get_mut(id) {
                known.delivered.retain(|at| *at > now.wall);
            }
        }
        self.prepare(id, now);
        self.set_timer(id);
    }

    /// What fell due while the schedule is paused is skipped, up to now or to the pause's end.
    fn skip_paused(&mut self, id: &ScheduleId, next: Timestamp, now: Moment) {
        let Some(until) = self.pauses.until(id).filter(|until| next < *until) else {
            return;
        };
        let until = just_before(until).min(now.wall);
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let schedule = entry.schedule.clone();
        let place = std::mem::replace(&mut entry.place, until);
        entry.next = next_of(&schedule, until);
        self.withdraw_prepared(id);
        for stretch in catch_up::skip_all(&schedule.recurrence, Skip::Paused, place, until) {
            self.skip(id, stretch, now);
        }
    }

    /// The wall clock stepped back, or stands before what the ledger has seen.
    pub(super) fn rewind(&mut self, now: Moment) {
        self.record(Fact::Rewound { to: now.wall });
        for (id, known) in &mut self.known {
            let entry = self.entries.get(id);
            known.coverage.rewind(now.wall, || {
                entry.map_or(now.wall, |entry| previous_or(&entry.schedule, now.wall))
            });
            known.began_at = known.began_at.min(now.wall);
            known.left_off_at = known.left_off_at.min(now.wall);
        }
        let ids: Vec<_> = self.entries.keys().cloned().collect();
        for id in ids {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            if entry.place <= now.wall {
                continue;
            }
            entry.place = now.wall;
            entry.next = next_of(&entry.schedule, now.wall);
            self.withdraw_prepared(&id);
            self.clear_timer(&id);
            self.set_timer(&id);
        }
    }

    /// The window that an occurrence at `end` covers.
    pub(super) fn window(&self, schedule: &Schedule, end: Timestamp) -> Window {
        let previous = || previous_or(schedule, end);
        match self.known.get(&schedule.id) {
            Some(known) => known.coverage.window(end, previous),
            None => Coverage::new(end).window(end, previous),
        }
    }

    /// Something is known of whether the written-ahead occurrence is in the ledger.
    pub(super) fn prepared_is_written(
        &mut self,
        delivery: &Arc<Delivery>,
        written: Written,
    ) -> bool {
        let prepared = self
            .entries
            .get_mut(&delivery.occurrence.schedule)
            .and_then(|entry| entry.prepared.as_mut())
            .filter(|prepared| Arc::ptr_eq(&prepared.delivery, delivery));
        let Some(prepared) = prepared else {
            return false;
        };
        prepared.written = written;
        if written == Written::Before {
            self.coverage(&delivery.occurrence.schedule, |coverage| {
                coverage.withdraw(delivery.window);
            });
        }
        true
    }

    /// Whether the occurrence has its delivery, open or ended before a step back.
    fn has_delivery(&self, id: &ScheduleId, at: Timestamp) -> bool {
        let known = self.known.get(id);
        known.is_some_and(|known| known.delivered.contains(&at)) || self.is_open(id, at)
    }

    /// In order. Of a step back alone: otherwise what is skipped lies after all deliveries.
    fn delivered_between(
        &self,
        id: &ScheduleId,
        first: Timestamp,
        last: Timestamp,
    ) -> BTreeSet<Timestamp> {
        let ended = self.known.get(id).into_iter();
        let ended = ended.flat_map(|known| known.delivered.range(first..=last));
        let open = self.open_between(id, first, last);
        ended.copied().chain(open).collect()
    }

    /// A delivery has ended: where its scheduled time lies ahead, it is not to be forgotten.
    pub(super) fn keep_delivered(&mut self, id: &ScheduleId, at: Timestamp, now: Moment) {
        let place = self.entries.get(id).map_or(now.wall, |entry| entry.place);
        if let Some(known) = self.known.get_mut(id).filter(|_| at > place) {
            known.delivered.insert(at);
        }
    }

    pub(super) fn coverage<T>(
        &mut self,
        id: &ScheduleId,
        change: impl FnOnce(&mut Coverage) -> T,
    ) -> Option<T> {
        self.known
            .get_mut(id)
            .map(|known| change(&mut known.coverage))
    }

    /// Up to where its occurrences have been dealt with.
    pub(super) fn place_of(&self, id: &ScheduleId) -> Option<Timestamp> {
        self.entries.get(id).map(|entry| entry.place)
    }

    fn is_in_force(&self, id: &ScheduleId) -> bool {
        self.known.get(id).is_some_and(|known| known.in_force)
    }

    /// From here on the schedule owes its occurrences (SEMANTICS.md 1).
    fn begin(&mut self, schedule: &Schedule, at: Timestamp) {
        let known = self
            .known
            .entry(schedule.id.clone())
            .or_insert_with(|| Known {
                left_off_at: at,
                in_force: false,
                began_at: at,
                coverage: Coverage::new(first_window_start(schedule, at)),
                delivered: BTreeSet::new(),
            });
        known.in_force = true;
        known.began_at = at;
        let covered_until = known.coverage.until();
        self.record(Fact::Began {
            schedule: schedule.id.clone(),
            at,
            covered_until,
        });
    }

    /// The file is gone or disabled: what still waits ends as `removed` (SEMANTICS.md 4).
    fn cease(&mut self, id: &ScheduleId, now: Moment) {
        self.end_waiting(id, Skip::Removed, now);
        if let Some(known) = self.known.get_mut(id).filter(|known| known.in_force) {
            known.in_force = false;
            self.record(Fact::Ceased {
                schedule: id.clone(),
                at: now.wall,
            });
        }
    }

    fn prepare(&mut self, id: &ScheduleId, now: Moment) {
        let Some(entry) = self.entries.get(id) else {
            return;
        };
        let Some(slot) = entry.next.filter(|slot| !slot.excluded) else {
            return;
        };
        let schedule = entry.schedule.clone();
        if entry.prepared.is_some()
            || earlier(slot.at, LEAD) > now.wall
            || self.will_be_paused(id, &slot)
            || self.has_delivery(id, slot.at)
        {
            return;
        }
        if let Some(delivery) = self.write_ahead(&schedule, &slot, Opened::WhenDue, now)
            && let Some(entry) = self.entries.get_mut(id)
        {
            entry.prepared = Some(Prepared {
                delivery,
                written: Written::NotYet,
                following: next_of(&schedule, slot.at),
            });
        }
    }

    /// Freezes an occurrence and states it. `None` if its text can't be rendered: then it has ended.
    fn write_ahead(
        &mut self,
        schedule: &Schedule,
        slot: &Slot,
        opened: Opened,
        now: Moment,
    ) -> Option<Arc<Delivery>> {
        let occurrence = Occurrence::scheduled(&schedule.id, &schedule.recurrence, slot);
        let window = self.window(schedule, slot.at);
        let (delivery, error) =
            Delivery::freeze(schedule, &self.namespace, occurrence, window, opened);
        let delivery = Arc::new(delivery);
        self.record(Fact::WrittenAhead(delivery.clone()));
        self.coverage(&schedule.id, |coverage| coverage.open(window));
        match error {
            None => Some(delivery),
            Some(error) => {
                self.reject_unsendable(&delivery, &error, now);
                None
            }
        }
    }

    /// At its scheduled time an occurrence becomes a delivery.
    fn open_occurrence(&mut self, id: &ScheduleId, slot: &Slot, opened: Opened, now: Moment) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let schedule = entry.schedule.clone();
        let prepared = entry.prepared.as_ref();
        let prepared = prepared.filter(|it| it.delivery.occurrence.scheduled_at == slot.at);
        let is_prepared = prepared.is_some();
        let is_known = prepared.is_some_and(|it| it.written == Written::Before);
        if is_known || self.has_delivery(id, slot.at) {
            if is_prepared {
                self.withdraw_prepared(id);
            }
            return;
        }
        let opens_at = match opened {
            Opened::WhenDue => jitter::due_at(&schedule, &self.namespace, slot),
            Opened::At(at) => at,
        };
        if !self.is_allowed(&schedule, opens_at) {
            self.withdraw_prepared(id);
            return self.skip(id, Stretch::of(Skip::Limit, slot), now);
        }
        if self.makes_way_for_a_run(&schedule, now) {
            self.withdraw_prepared(id);
            return self.skip(id, Stretch::of(Skip::Overlap, slot), now);
        }
        self.displace_waiting(&schedule, slot.at, now);
        let (delivery, written) = match self.take_prepared(&schedule, slot, opened) {
            Some(prepared) => (prepared.delivery, prepared.written),
            None => {
                self.withdraw_prepared(id);
                match self.write_ahead(&schedule, slot, opened, now) {
                    Some(delivery) => (delivery, Written::NotYet),
                    None => return,
                }
            }
        };
        let open = Open::new(delivery.clone(), written == Written::Yes, now);
        self.open_delivery(open, now);
        if delivery.due_at > now.wall {
            self.wait_out_jitter(&delivery.idempotency_key);
        } else {
            self.ready(&delivery.idempotency_key, now);
        }
    }

    /// Whether the limits of the schedule, its agent and the daemon let one more delivery open then.
    fn is_allowed(&mut self, schedule: &Schedule, opens_at: Timestamp) -> bool {
        let is_allowed = self.allows_itself(schedule, opens_at);
        let reached = self.counts.reached(&schedule.target.trigger_id, opens_at);
        if let Some(reached) = &reached
            && is_allowed
            && self.counts.is_news(reached)
        {
            self.say(Notice::LimitReached(reached.clone()));
        }
        is_allowed && reached.is_none()
    }

    pub(super) fn is_limited(&self, schedule: &Schedule, now: Moment) -> bool {
        let agent = &schedule.target.trigger_id;
        !self.allows_itself(schedule, now.wall) || self.counts.reached(agent, now.wall).is_some()
    }

    fn allows_itself(&self, schedule: &Schedule, opens_at: Timestamp) -> bool {
        let limits = schedule.policies.limits;
        let zone = &schedule.recurrence.zone.tz;
        let openings = self.openings.get(&schedule.id);
        openings.is_none_or(|openings| openings.allow(limits, zone, opens_at))
    }

    /// What was written ahead for `slot`, if it still says what would be said now: what it relied on
    /// as covered may have failed or made way since.
    fn take_prepared(
        &mut self,
        schedule: &Schedule,
        slot: &Slot,
        opened: Opened,
    ) -> Option<Prepared> {
        let entry = self.entries.get_mut(&schedule.id)?;
        let prepared = entry.prepared.take_if(|prepared| {
            prepared.delivery.occurrence.scheduled_at == slot.at && opened == Opened::WhenDue
        })?;
        if self.window(schedule, slot.at) == prepared.delivery.window {
            return Some(prepared);
        }
        self.entries.get_mut(&schedule.id)?.prepared = Some(prepared);
        None
    }

    /// Skips what has no delivery.
    fn skip(&mut self, id: &ScheduleId, stretch: Stretch, now: Moment) {
        let delivered = self.delivered_between(id, stretch.first, stretch.last);
        let Some(entry) = self.entries.get(id).filter(|_| !delivered.is_empty()) else {
            return self.skip_all_of(id, stretch, now);
        };
        for part in stretch.without(&entry.schedule.clone().recurrence, &delivered) {
            self.skip_all_of(id, part, now);
        }
    }

    fn skip_all_of(&mut self, id: &ScheduleId, stretch: Stretch, now: Moment) {
        self.coverage(id, |coverage| {
            coverage.miss(stretch.first, stretch.last, stretch.count);
        });
        self.record(Fact::Skipped(Skipped {
            schedule: id.clone(),
            why: stretch.why,
            first: stretch.first,
            last: stretch.last,
            count: stretch.count,
            at: now.wall,
        }));
    }

    pub(super) fn withdraw_prepared(&mut self, id: &ScheduleId) {
        let prepared = self
            .entries
            .get_mut(id)
            .and_then(|entry| entry.prepared.take());
        if let Some(Prepared {
            delivery, written, ..
        }) = prepared
            && written != Written::Before
        {
            self.coverage(id, |coverage| coverage.withdraw(delivery.window));
            self.record(Fact::Withdrawn(delivery));
        }
    }

    pub(super) fn withdraw_all_prepared(&mut self) {
        let ids: Vec<_> = self.entries.keys().cloned().collect();
        for id in ids {
            self.withdraw_prepared(&id);
        }
    }

    /// What the process before had written ahead, and perhaps sent, for an occurrence that it did not
    /// live to settle. An outcome it may have had is not known, and the verdict says so.
    fn take_up_left_over(&mut self, id: &ScheduleId, open: OpenDelivery, now: Moment) {
        let delivery = open.delivery.clone();
        let scheduled_at = delivery.occurrence.scheduled_at;
        // Where the clock stands before what was seen, it may have been sent all the same.
        if scheduled_at > now.wall && self.hold.is_none() && !open.outcome_unknown {
            // Its time is still to come: the version in force then writes it ahead anew.
            self.coverage(id, |coverage| coverage.withdraw(delivery.window));
            return self.record(Fact::Withdrawn(delivery));
        }
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        // Written ahead by a clock that stood further on, it waits for its time to come again.
        let is_ahead = scheduled_at > now.wall;
        let slot = match is_ahead {
            true => entry
                .schedule
                .recurrence
                .next_after(just_before(scheduled_at)),
            false => entry.next,
        };
        let still_owed = slot.is_some_and(|slot| slot.at == scheduled_at);
        if still_owed && !is_ahead {
            entry.place = scheduled_at;
            entry.next = next_of(&entry.schedule, scheduled_at);
        }
        let catch_up = entry.schedule.policies.missed.catch_up;
        let schedule = entry.schedule.clone();
        let missed = !catch_up::is_on_time(delivery.due_at, now.wall);
        let gives_way = still_owed && missed && has_enough_newer(&schedule, scheduled_at, now);
        let is_caught_up = still_owed && missed && catch_up != CatchUp::None && !gives_way;
        let delivery = match is_caught_up {
            true => self.reopen(&schedule, &delivery, now),
            false => delivery,
        };
        let open = OpenDelivery {
            delivery: delivery.clone(),
            ..open
        };
        self.take_over_as_open(open, now);
        let key = &delivery.idempotency_key;
        if !still_owed {
            self.end(key, Verdict::Skipped(Skip::Removed), None, now);
        } else if missed && catch_up == CatchUp::None {
            self.end(key, Verdict::Skipped(Skip::Missed), None, now);
        } else if gives_way {
            self.end(key, Verdict::Skipped(Skip::Superseded), None, now);
        }
    }

    /// A catch-up takes up what was written ahead: its deadline counts from here (SEMANTICS.md 10).
    fn reopen(
        &mut self,
        schedule: &Schedule,
        delivery: &Arc<Delivery>,
        now: Moment,
    ) -> Arc<Delivery> {
        let reopened = Arc::new(delivery.opened_again(schedule, now.wall));
        self.record(Fact::Withdrawn(delivery.clone()));
        self.record(Fact::WrittenAhead(reopened.clone()));
        reopened
    }

    pub(super) fn set_timer(&mut self, id: &ScheduleId) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let Some(slot) = entry.next else {
            let schedule = &entry.schedule;
            if schedule.enabled
                && !entry.told_stuck
                && schedule.recurrence.is_stuck_after(entry.place)
            {
                entry.told_stuck = true;
                let (schedule, at) = (id.clone(), entry.place);
                self.say(Notice::ScheduleStuck { schedule, at });
            }
            return;
        };
        let nothing_to_prepare =
            slot.excluded || self.has_delivery(id, slot.at) || self.will_be_paused(id, &slot);
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let (at, what) = if entry.prepared.is_some() || nothing_to_prepare {
            (slot.at, AtWall::Open(id.clone()))
        } else {
            (earlier(slot.at, LEAD), AtWall::WriteAhead(id.clone()))
        };
        entry.timer = Some((at, what.clone()));
        self.wall.set(at, what);
    }

    fn will_be_paused(&self, id: &ScheduleId, slot: &Slot) -> bool {
        self.pauses.until(id).is_some_and(|until| slot.at < until)
    }

    pub(super) fn clear_timer(&mut self, id: &ScheduleId) {
        if let Some(entry) = self.entries.get_mut(id)
            && let Some((at, what)) = entry.timer.take()
        {
            self.wall.remove(at, what);
        }
    }
}

fn next_of(schedule: &Schedule, place: Timestamp) -> Option<Slot> {
    schedule
        .enabled
        .then(|| schedule.recurrence.next_after(place))
        .flatten()
}

/// Whether under `all` as many newer ones are missed as are caught up at most (SEMANTICS.md 8). The
/// jitter may let some of them be on time still: those don't count.
fn has_enough_newer(schedule: &Schedule, at: Timestamp, now: Moment) -> bool {
    let CatchUp::All { at_most, .. } = schedule.policies.missed.catch_up else {
        return false;
    };
    let missed_until = earlier(earlier(now.wall, LATE), schedule.jitter);
    let newer = schedule
        .recurrence
        .newest(at_most as usize, at, missed_until);
    newer.len() >= at_most as usize
}

/// The first window starts at the schedule's previous scheduled time (SEMANTICS.md 13).
fn first_window_start(schedule: &Schedule, began_at: Timestamp) -> Timestamp {
    match schedule.recurrence.next_after(began_at) {
        Some(first) => previous_or(schedule, first.at),
        None => began_at,
    }
}

/// The scheduled time before `at`, or `at` where there is none: then the window is empty.
fn previous_or(schedule: &Schedule, at: Timestamp) -> Timestamp {
    let previous = schedule.recurrence.previous_before(at);
    previous.map_or(at, |slot| slot.at)
}
