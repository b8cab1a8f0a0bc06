//! The world of a run: processes with the real engine on a virtual clock, between a disk and an API. It
//! does to them what the script says, single-threaded, and notes what it did. It judges nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use triggerd::api::TriggerRequest;
use triggerd::clock::{Boottime, Moment};
use triggerd::plan::outcome::Outcome;
use triggerd::schedule::{Schedule, TriggerId};

use crate::simulation::api::Api;
use crate::simulation::disk::Disk;
use crate::simulation::journal::Journal;
use crate::simulation::random::Random;
use crate::simulation::sabotage::Sabotage;
use crate::simulation::script::{Deed, MILLISECOND, Nanos, Script, Seam};
use crate::simulation::sketch::{AGENTS, Due, Sketch};
use border::{Question, Reply};
use people::Asked;
use process::Process;

/// How much later than asked a process wakes.
const WAKE_LATENCY: Nanos = 100_000;

mod border;
mod deeds;
mod people;
mod process;
mod telling;
mod traffic;

pub(super) struct World {
    now: Nanos,
    offset: Nanos,
    random: Random,
    files: BTreeMap<String, (Arc<Sketch>, Arc<Schedule>)>,
    disk: Disk,
    api: Api,
    process: Option<Process>,
    queue: BTreeMap<(Nanos, u64), Event>,
    queued: u64,
    /// Where the process is killed when it comes by, and for how long.
    armed: Option<(Seam, Nanos)>,
    commits_at: Option<Nanos>,
    /// How many calls may be in flight, and are.
    slots: usize,
    in_flight: usize,
    /// When they were last so many.
    crowded_at: Option<Nanos>,
    /// What people paused or resumed: if they did not hear that it is done, they ask again.
    asked: Vec<Asked>,
    unrecorded_since: Option<Nanos>,
    pub(super) sabotage: Option<Sabotage>,
    journal: Journal,
}

enum Event {
    Deed(Deed),
    Start,
    /// A call reaches the API.
    Arrive(Call),
    Answered {
        call: Call,
        outcome: Option<Outcome>,
    },
    Asked {
        life: u32,
        question: Question,
    },
    /// The answer to a question.
    Told {
        life: u32,
        tell: Box<dyn FnOnce()>,
    },
    /// The ledger's writer comes to what was handed over.
    Commit {
        life: u32,
    },
    /// SIGCONT.
    GoOn,
    /// From here on nothing is done to the process.
    Calm,
}

pub(super) struct Call {
    pub life: u32,
    pub request: TriggerRequest,
    pub sent_wall: Nanos,
    /// Who waits for its answer, if anyone.
    pub reply: Option<Reply>,
}

impl World {
    pub(super) fn new(script: Script) -> Self {
        let mut world = Self {
            now: script.starts,
            offset: 0,
            random: Random::new(script.seed ^ 0x77),
            files: BTreeMap::new(),
            disk: Disk::new(),
            api: Api::new(
                script.seed,
                script.due == Due::OneByOne,
                script.faults.clone(),
            ),
            process: None,
            queue: BTreeMap::new(),
            queued: 0,
            armed: None,
            commits_at: None,
            slots: script.slots,
            in_flight: 0,
            crowded_at: None,
            asked: Vec::new(),
            unrecorded_since: None,
            sabotage: None,
            journal: Journal {
                starts: script.starts,
                ends: script.ends,
                clock: vec![(script.starts, 0)],
                faults: script.faults,
                disk: script.disk,
                ..Journal::default()
            },
        };
        for (name, sketch) in script.files {
            world.write_file(name, &sketch);
        }
        world.later(script.starts, Event::Start);
        for (at, deed) in script.deeds {
            world.later(at, Event::Deed(deed));
        }
        world.later(world.calm_from(), Event::Calm);
        world
    }

    pub(super) fn run(mut self) -> Journal {
        let mut wakes_in_a_row = 0;
        while let Some(((at, _), wake)) = self.next() {
            if at > self.journal.ends {
                break;
            }
            wakes_in_a_row = match wake && at <= self.now {
                true => wakes_in_a_row + 1,
                false => 0,
            };
            assert!(
                wakes_in_a_row < 1000,
                "it wakes without end at {}",
                timestamp(at)
            );
            self.now = self.now.max(at);
            match wake {
                true => self.wake_up(),
                false => {
                    let (_, event) = self.queue.pop_first().expect("it was there");
                    self.handle(event);
                }
            }
        }
        self.now = self.journal.ends;
        self.disk.close();
        self.journal.entries = self.disk.entries();
        self.journal.arrivals = std::mem::take(&mut self.api.arrivals);
        if let Some(sabotage) = &self.sabotage {
            sabotage.cook(&mut self.journal);
        }
        self.journal
    }

    /// What comes next, and whether it is the process waking up.
    fn next(&self) -> Option<((Nanos, u64), bool)> {
        let event = self.queue.first_key_value().map(|(key, _)| (*key, false));
        let wake = self.wake().map(|at| ((at, u64::MAX), true));
        [event, wake].into_iter().flatten().min()
    }

    fn wake(&self) -> Option<Nanos> {
        let process = self.process.as_ref()?;
        let wake = process.border.wake()?;
        let wall = wake.wall.map(|at| nanos(at) - self.offset);
        let boot = wake.boot.map(|at| {
            Nanos::try_from(at.saturating_sub(Boottime::from(Duration::ZERO)).as_nanos())
                .expect("before 2262")
        });
        let at = wall.into_iter().chain(boot).min()?;
        Some(
            (at.saturating_add(WAKE_LATENCY))
                .max(self.now)
                .max(process.stopped_until),
        )
    }

    fn wake_up(&mut self) {
        if let Some(process) = &self.process {
            process.border.ring();
        }
        self.go_on();
    }

    fn handle(&mut self, event: Event) {
        if let Event::Answered {
            call: Call { life, .. },
            ..
        }
        | Event::Told { life, .. }
        | Event::Commit { life } = &event
        {
            let process = self.process.as_ref().filter(|it| it.life == *life);
            let Some(process) = process else { return };
            if process.stopped_until > self.now {
                self.later(process.stopped_until, event);
                return;
            }
        }
        match event {
            Event::Deed(deed) => self.do_to(deed),
            Event::Start => self.start(),
            Event::Arrive(call) => self.arrive(call),
            Event::Answered { call, outcome } => self.hear(call, outcome),
            Event::Asked { life, question } => {
                let tell = self.answer(question);
                self.later(self.now + 50 * MILLISECOND, Event::Told { life, tell });
            }
            Event::Told { tell, .. } => {
                tell();
                self.go_on();
            }
            Event::Commit { .. } => self.commit(),
            Event::GoOn => self.go_on(),
            Event::Calm => {
                self.armed = None;
                self.arm();
            }
        }
    }

    /// The process goes on until it waits for something, and what it did until then comes to pass.
    fn go_on(&mut self) {
        let now = self.moment();
        let process = self.process.as_ref();
        let Some(process) = process.filter(|it| it.stopped_until <= self.now) else {
            return;
        };
        process.border.set_clock(now);
        process.go_on();
        self.collect();
    }

    fn later(&mut self, at: Nanos, event: Event) {
        self.queued += 1;
        self.queue.insert((at.max(self.now), self.queued), event);
    }

    fn moment(&self) -> Moment {
        Moment {
            wall: timestamp(self.now + self.offset),
            boot: Boottime::from(Duration::from_nanos(self.now.unsigned_abs())),
        }
    }
}

pub(super) fn nanos(at: Timestamp) -> Nanos {
    Nanos::try_from(at.as_nanosecond()).expect("before 2262")
}

pub(super) fn timestamp(at: Nanos) -> Timestamp {
    Timestamp::from_nanosecond(at.into()).expect("in range")
}

fn agent_of(trigger_id: &TriggerId) -> usize {
    AGENTS
        .iter()
        .position(|(id, _)| *id == trigger_id.as_str())
        .expect("an agent of the run")
}
