//! The only state machine of time: which occurrence is due when, and where each delivery stands.
//! It states facts and asks for attempts; it knows no sleeping, no ledger and no HTTP.
//!
//! ```text
//!            lead           scheduled       due          answered
//! occurrence ────► prepared ────► pending ────► sendable ────► trying ────► verdict
//!                  written ahead  jitter        slot, spacing    │  ▲
//!                                                                ▼  │ retry, breaker
//!                                                              waiting, held
//! ```

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::token::TokenId;
use crate::clock::{Boottime, Moment, Wake};
use crate::plan::HashMap;
use crate::plan::breaker::{Gate, Gates, Waiting};
use crate::plan::ceilings::{Ceilings, Counts, Reached};
use crate::plan::delivery::{Delivery, earlier, later};
use crate::plan::fact::{Attempt, Fact};
use crate::plan::follow::Followed;
use crate::plan::limits::Openings;
use crate::plan::occurrence::{IdempotencyKey, Namespace};
use crate::plan::pause::Pauses;
use crate::plan::remembered::{Delivered, OpenDelivery, Remembered};
use crate::plan::run::{Overdue, Run};
use crate::plan::window::Coverage;
use crate::schedule::{Schedule, ScheduleId, TriggerId};

mod answers;
mod by_schedule;
mod deliveries;
mod pauses;
mod runs;
mod schedules;
mod sending;
mod share;
mod slots;
mod snapshot;
#[cfg(test)]
mod tests;
mod timers;
mod waits;
mod wall;

use by_schedule::BySchedule;
use deliveries::{Open, Pace};
pub use runs::LookUp;
use schedules::Entry;
pub use share::TakenUp;
use slots::Slots;
pub use snapshot::{ScheduleNow, Snapshot};
use timers::Timers;
pub use waits::Wait;
use wall::{AtWall, Wall};

/// What the agenda wants done. The order counts: a fact stands before the attempt that relies on it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Record(Fact),
    /// Send it. The delivery is in the ledger by now, or can't be for the time being.
    Attempt {
        delivery: Arc<Delivery>,
        number: u32,
    },
    /// Ask the API whether the token works, with a trigger that it is used for.
    ProbeToken {
        token: TokenId,
        trigger_id: TriggerId,
    },
    /// Ask the API how far the run is.
    AskRun(Arc<Run>),
    /// Look whether a completed run's result is where it should be.
    LookUp {
        run: Arc<Run>,
        look_up: LookUp,
    },
    Say(Notice),
}

/// What people should hear that is no fact of a single occurrence.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    ClockStepped {
        by: SignedDuration,
    },
    /// The clock stands before what the ledger has seen: it may not be set yet (SEMANTICS.md 19).
    ClockHeld {
        newest: Timestamp,
    },
    ClockReleased,
    BreakerOpened {
        gate: Gate,
        detail: String,
        fix: &'static str,
    },
    BreakerClosed {
        gate: Gate,
        waiting: usize,
    },
    /// What is due until then is skipped, but for deliveries by hand.
    LimitReached(Reached),
    TokenPaused {
        token: TokenId,
        until: Timestamp,
    },
    /// A delivery was not accepted within `[expect] accepted_within`, and goes on.
    DeliveryOverdue {
        delivery: Arc<Delivery>,
        last: Option<Arc<Attempt>>,
    },
    /// A run has passed a deadline of `[expect]`.
    RunOverdue {
        run: Arc<Run>,
        overdue: Overdue,
    },
    /// How far a run is, or what came of it, can't be seen for now.
    RunUnseen {
        run: Arc<Run>,
        detail: String,
    },
    /// An acceptance named no run, although the schedule counts on it.
    NoRunIds {
        schedule: ScheduleId,
    },
    /// The occurrence after `at` is said to be no later: a defect. The schedule fires no more.
    ScheduleStuck {
        schedule: ScheduleId,
        at: Timestamp,
    },
}

/// A change of what is in force.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// New, or another version of one that is in force; a disabled one ends what is in force.
    Put(Arc<Schedule>),
    /// The file is gone.
    Remove(ScheduleId),
}

/// How early an occurrence is written ahead, so that at its instant only the call is left.
pub const LEAD: Duration = Duration::from_secs(5);

/// How long a start waits for a clock that stands before what the ledger has seen.
pub const CLOCK_PATIENCE: Duration = Duration::from_secs(600);

/// The most timers that one call handles, so that a thousand schedules to write ahead do not hold
/// up one that is due.
const BATCH: usize = 128;

/// How long what is due may wait for a slot until it becomes a delivery: each is touched once, when it
/// can be sent, instead of all of them at the instant and each once more.
const PATIENCE: Duration = Duration::from_secs(1);

/// A difference between the two clocks that is worth a word; slewing makes smaller ones.
const STEP: SignedDuration = SignedDuration::from_secs(1);

pub struct Agenda {
    namespace: Namespace,
    slots: Slots,
    last: Moment,
    hold: Option<Hold>,
    entries: HashMap<ScheduleId, Entry>,
    /// How many of them are enabled.
    enabled: usize,
    /// Of every schedule that was ever in force.
    known: HashMap<ScheduleId, Known>,
    /// Written ahead by a process that may have ended before their scheduled time.
    left_over: HashMap<ScheduleId, Vec<OpenDelivery>>,
    open: HashMap<IdempotencyKey, Open>,
    open_by_schedule: BySchedule,
    wall: Wall,
    boot: Timers<Boottime, AtBoot>,
    gates: Gates,
    paces: HashMap<ScheduleId, Pace>,
    /// Of schedules with limits.
    openings: HashMap<ScheduleId, Openings>,
    /// Of agents, and of all.
    counts: Counts,
    /// Those that wait for a free slot alone, by due time.
    sendable: BTreeSet<Waiting>,
    pauses: Pauses,
    runs: Followed,
    /// What waits for a run of its schedule to end.
    queue: HashMap<ScheduleId, IdempotencyKey>,
    /// When each schedule was last left to another node: what had opened by then stays counted here.
    left: HashMap<ScheduleId, Timestamp>,
    /// A schedule that is not in force here, whose deliveries and runs are looked after all the same.
    by_hand: Option<Arc<Schedule>>,
    told_of_no_runs: HashSet<TriggerId>,
    actions: Vec<Action>,
}

/// Firing is held while the clock may not be set.
struct Hold {
    newest: Timestamp,
    until: Boottime,
}

struct Known {
    /// Where the process before left off: it dealt with everything up to here.
    left_off_at: Timestamp,
    in_force: bool,
    began_at: Timestamp,
    coverage: Coverage,
    /// Occurrences that lie ahead again since a step back, and had their delivery.
    delivered: BTreeSet<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum AtBoot {
    // First, so that what has expired by a start is not sent once more.
    Deadline(IdempotencyKey),
    Retry(IdempotencyKey),
    /// `[expect] accepted_within` is over.
    Overdue(IdempotencyKey),
    /// A schedule's spacing is over.
    Pace(ScheduleId),
}

impl Agenda {
    /// Takes up what the ledger remembers. Nothing is decided before [`Agenda::change`] has said
    /// what is in force.
    pub fn new(
        namespace: Namespace,
        max_in_flight: usize,
        remembered: Remembered,
        now: Moment,
    ) -> Self {
        let mut agenda = Self {
            namespace,
            slots: Slots::new(max_in_flight),
            last: now,
            hold: None,
            entries: HashMap::default(),
            enabled: 0,
            known: HashMap::default(),
            left_over: HashMap::default(),
            open: HashMap::default(),
            open_by_schedule: BySchedule::default(),
            wall: Wall::new(),
            boot: Timers::new(),
            gates: Gates::default(),
            paces: HashMap::default(),
            openings: HashMap::default(),
            counts: Counts::default(),
            sendable: BTreeSet::new(),
            pauses: Pauses::default(),
            runs: Followed::default(),
            queue: HashMap::default(),
            left: HashMap::default(),
            by_hand: None,
            told_of_no_runs: HashSet::new(),
            actions: Vec::new(),
        };
        agenda.pauses = remembered.pauses.clone();
        if let Some(newest) = remembered.newest.filter(|newest| *newest > now.wall) {
            agenda.hold = Some(Hold {
                newest,
                until: now.boot + CLOCK_PATIENCE,
            });
            agenda.say(Notice::ClockHeld { newest });
        }
        agenda.remember(remembered, now);
        agenda
    }

    /// What the ledger has of schedules, before anything of them is put into force.
    fn remember(&mut self, remembered: Remembered, now: Moment) {
        let left_off_at = remembered.settled_until.unwrap_or(now.wall);
        for schedule in remembered.schedules {
            self.known.insert(
                schedule.id,
                Known {
                    left_off_at,
                    in_force: schedule.in_force,
                    began_at: schedule.began_at,
                    coverage: Coverage::restored(schedule.covered_until, schedule.spans),
                    delivered: BTreeSet::new(),
                },
            );
        }
        self.delivered(remembered.delivered);
        for followed in remembered.runs {
            self.take_over_run(followed, left_off_at, now);
        }
        for it in remembered.accepted {
            if !self.is_counted(&it.schedule, it.opened_at) {
                self.counts.add(&it.trigger_id, it.opened_at);
            }
            let openings = self.openings.entry(it.schedule).or_default();
            openings.add(it.opened_at);
        }
        for open in remembered.open {
            self.take_over(open, left_off_at, now);
        }
    }

    /// Fires nothing, and knows the policies of what is triggered by hand.
    #[must_use]
    pub fn by_hand_alone(mut self, schedule: Arc<Schedule>) -> Self {
        self.by_hand = Some(schedule);
        self
    }

    /// From here on these bound the agents and all.
    pub fn bound(&mut self, ceilings: Ceilings) {
        self.counts.bound(ceilings);
    }

    /// These have had their delivery, as the ledger knows after a step back: none of them fires again
    /// or is skipped (SEMANTICS.md 18).
    pub fn delivered(&mut self, delivered: Vec<Delivered>) {
        for it in delivered {
            if let Some(known) = self.known.get_mut(&it.schedule) {
                known.delivered.insert(it.scheduled_at);
            }
        }
    }

    /// Puts changes into force at `now`. What was due until now is dealt with first, by the versions
    /// that were in force (SEMANTICS.md 2).
    pub fn change(&mut self, changes: Vec<Change>, now: Moment) -> Vec<Action> {
        self.settle_all(now);
        // A version that comes into force owes nothing from before, over a restart too.
        self.record_settled(now);
        for change in changes {
            match change {
                Change::Put(schedule) => self.put(schedule, now),
                Change::Remove(id) => self.remove(&id, now),
            }
        }
        self.give_up_left_triggers(now);
        self.set_resumes();
        self.due(now)
    }

    /// Does what is due at `now`. Where much is due at once only a part is done, and
    /// [`Agenda::next_wake`] says so by an instant that has passed. While no slot is free, what is
    /// due waits for one, but for no more than a second.
    pub fn due(&mut self, now: Moment) -> Vec<Action> {
        self.observe_clock(now);
        if self.hold.is_none() {
            let mut budget = BATCH;
            while budget > 0
                && (self.slots.is_free() || self.has_waited(now))
                && self.run_wall_timer(now)
            {
                budget -= 1;
            }
            if budget > 0 {
                self.run_boot_timers(now);
                self.run_gates(now);
                self.run_looks(now);
                self.look_at_slots(now);
            }
            if self.has_backlog(now) {
                self.slots.ask(now.boot);
            }
            if !self.actions.is_empty() {
                self.record_settled(now);
            }
        }
        std::mem::take(&mut self.actions)
    }

    /// When [`Agenda::due`] has something to do, unless something happens before.
    pub fn next_wake(&self) -> Wake {
        if let Some(hold) = &self.hold {
            return Wake {
                wall: Some(hold.newest),
                boot: Some(hold.until),
            };
        }
        let waits_for_a_slot = |at| match self.slots.is_free() {
            true => at,
            false => later(at, PATIENCE),
        };
        Wake {
            wall: self.wall.next().map(waits_for_a_slot),
            boot: [
                self.boot.next(),
                self.gates.next_wake(),
                self.runs.next_wake(),
                self.slots.next_wake(),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    pub fn schedule(&self, id: &ScheduleId) -> Option<&Arc<Schedule>> {
        self.entries.get(id).map(|entry| &entry.schedule)
    }

    /// By which policies it is looked after.
    fn looked_after(&self, id: &ScheduleId) -> Option<&Arc<Schedule>> {
        let by_hand = self.by_hand.as_ref().filter(|schedule| schedule.id == *id);
        self.schedule(id).or(by_hand)
    }

    /// What is loaded, and when it is scheduled next.
    pub fn schedules(&self) -> impl Iterator<Item = (&Arc<Schedule>, Option<Timestamp>)> {
        self.entries
            .values()
            .map(|entry| (&entry.schedule, entry.next.map(|slot| slot.at)))
    }

    /// How many schedules are enabled.
    pub fn enabled(&self) -> usize {
        self.enabled
    }

    /// The next occurrence of all.
    pub fn next_occurrence(&self) -> Option<(Timestamp, &ScheduleId)> {
        let of = |id| Some((self.entries.get(id)?.next?.at, id));
        self.wall.first_schedules().filter_map(of).min()
    }

    /// How many deliveries have no verdict yet.
    pub fn open_deliveries(&self) -> usize {
        self.open.len()
    }

    /// How many calls have not been answered yet.
    pub fn in_flight(&self) -> usize {
        self.slots.taken()
    }

    /// Whether deliveries are due that have not been sent for want of a slot or of time.
    pub fn has_backlog(&self, now: Moment) -> bool {
        let is_due = |at| at <= now.wall;
        !self.sendable.is_empty() || self.wall.next().is_some_and(is_due)
    }

    /// Before any version is in force there is nothing to go by: what the process before left waits.
    fn settle_all(&mut self, now: Moment) {
        self.observe_clock(now);
        if self.hold.is_none() && !self.entries.is_empty() {
            while self.run_wall_timer(now) {}
        }
    }

    /// Whether one was due.
    fn run_wall_timer(&mut self, now: Moment) -> bool {
        match self.wall.pop_due(now.wall) {
            Some(AtWall::Open(id) | AtWall::WriteAhead(id)) => self.settle(&id, now),
            Some(AtWall::Due(key)) => self.jitter_over(&key, now),
            Some(AtWall::Resume(scope)) => self.resume_by_itself(&scope, now),
            None => return false,
        }
        true
    }

    /// Whether something has been due for so long that it waits for a slot no more.
    fn has_waited(&self, now: Moment) -> bool {
        let since = earlier(now.wall, PATIENCE);
        self.wall.next().is_some_and(|at| at <= since)
    }

    fn run_boot_timers(&mut self, now: Moment) {
        while let Some(timer) = self.boot.pop_due(now.boot) {
            match timer {
                AtBoot::Retry(key) => self.retry(&key, now),
                AtBoot::Deadline(key) => self.deadline(&key, now),
                AtBoot::Overdue(key) => self.overdue(&key),
                AtBoot::Pace(id) => self.next_in_pace(&id, now),
            }
        }
    }

    /// Sees steps of the wall clock, and whether a clock that was not set is by now.
    fn observe_clock(&mut self, now: Moment) {
        let lived = SignedDuration::try_from(now.boot.saturating_sub(self.last.boot))
            .unwrap_or(SignedDuration::MAX);
        let by = now.wall.duration_since(self.last.wall) - lived;
        let stepped_back = now.wall < self.last.wall;
        self.last = now;
        if by.abs() >= STEP {
            self.say(Notice::ClockStepped { by });
            self.runs.clock_stepped(by);
        }
        if let Some(hold) = &self.hold {
            if now.wall < hold.newest && now.boot < hold.until {
                return;
            }
            let ahead = now.wall < hold.newest;
            self.hold = None;
            self.say(Notice::ClockReleased);
            if ahead {
                self.rewind(now);
            }
        } else if stepped_back {
            self.rewind(now);
        }
    }

    /// The latest instant that the clock is known to have shown.
    fn latest_seen(&self, now: Moment) -> Timestamp {
        let newest = self.hold.as_ref().map(|hold| hold.newest);
        newest.map_or(now.wall, |newest| newest.max(now.wall))
    }

    /// States up to where everything has been dealt with: what is still to be done comes later. An
    /// agenda without schedules, as for a single delivery by hand, has settled nothing.
    fn record_settled(&mut self, now: Moment) {
        if self.hold.is_some() || self.entries.is_empty() {
            return;
        }
        let until = match self.wall.next() {
            Some(next) if next <= now.wall => earlier(next, Duration::from_nanos(1)),
            _ => now.wall,
        };
        self.record(Fact::SettledUntil(until));
    }

    fn record(&mut self, fact: Fact) {
        self.actions.push(Action::Record(fact));
    }

    fn say(&mut self, notice: Notice) {
        self.actions.push(Action::Say(notice));
    }
}
