//! The world of a run: the real agenda on a virtual clock, between a disk and an API. It does as the
//! engine does and as the script says, single-threaded, and notes what it did. It judges nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use triggerd::api::token::TokenId;
use triggerd::clock::{Boottime, Moment};
use triggerd::plan::agenda::{Action, Agenda};
use triggerd::plan::delivery::Delivery;
use triggerd::plan::fact::Fact;
use triggerd::plan::occurrence::IdempotencyKey;
use triggerd::plan::outcome::{Answer, Outcome};
use triggerd::schedule::{Schedule, TriggerId};

use crate::simulation::api::Api;
use crate::simulation::disk::Disk;
use crate::simulation::journal::Journal;
use crate::simulation::random::Random;
use crate::simulation::sabotage::Sabotage;
use crate::simulation::script::{Deed, MILLISECOND, Nanos, SECOND, Script, Seam};
use crate::simulation::sketch::{AGENTS, Sketch};

/// How long a process that was asked to stop awaits calls in flight.
const GRACE: Nanos = 30 * SECOND;

/// How much later than asked a process wakes.
const WAKE_LATENCY: Nanos = 100_000;

mod deeds;
mod outside;
mod pausing;
mod telling;

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
    /// What a person paused or resumed and did not hear of: a kill has it asked for again.
    unconfirmed: Vec<Deed>,
    unrecorded_since: Option<Nanos>,
    pub(super) sabotage: Option<Sabotage>,
    journal: Journal,
}

struct Process {
    agenda: Agenda,
    life: u32,
    stopped_until: Nanos,
    /// It ends as soon as nothing is in flight, and was to start again this long after.
    closing: Option<Nanos>,
}

enum Event {
    Deed(Deed),
    Start,
    /// A call reaches the API.
    Arrive(Call),
    Answered {
        life: u32,
        call: Call,
        answer: Outcome,
    },
    ProbeArrives {
        life: u32,
        token: TokenId,
        trigger_id: TriggerId,
    },
    Probed {
        life: u32,
        token: TokenId,
        works: Option<bool>,
    },
    /// The ledger's writer comes to what was handed over.
    Commit {
        life: u32,
    },
    GraceOver {
        life: u32,
    },
}

#[derive(Clone)]
pub(super) struct Call {
    pub life: u32,
    pub delivery: Arc<Delivery>,
    pub number: u32,
    pub sent_at: Nanos,
    pub sent_wall: Nanos,
    pub key: IdempotencyKey,
    pub body: Arc<str>,
}

impl World {
    pub(super) fn new(script: Script) -> Self {
        let mut world = Self {
            now: script.starts,
            offset: 0,
            random: Random::new(script.seed ^ 0x77),
            files: BTreeMap::new(),
            disk: Disk::new(),
            api: Api::new(script.seed, script.faults.clone()),
            process: None,
            queue: BTreeMap::new(),
            queued: 0,
            armed: None,
            commits_at: None,
            unconfirmed: Vec::new(),
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
                true => self.due(),
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
        let process = self.process.as_ref().filter(|it| it.closing.is_none())?;
        let wake = process.agenda.next_wake();
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

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deed(deed) => self.do_to(deed),
            Event::Start => self.start(),
            Event::Arrive(call) => self.arrive(call),
            Event::ProbeArrives {
                life,
                token,
                trigger_id,
            } => {
                let agent = agent_of(&trigger_id);
                let works = self.api.probe(agent, self.now);
                self.tell("", format!("probe of token {token}: {works:?}"));
                self.later(
                    self.now + 50 * MILLISECOND,
                    Event::Probed { life, token, works },
                );
            }
            Event::Answered { life, .. } | Event::Probed { life, .. } | Event::Commit { life } => {
                let Some(process) = self.process.as_ref().filter(|it| it.life == life) else {
                    return;
                };
                if process.stopped_until > self.now {
                    self.later(process.stopped_until, event);
                    return;
                }
                self.hear(event);
            }
            Event::GraceOver { life } => {
                if self.process.as_ref().is_some_and(|it| it.life == life) {
                    self.end();
                }
            }
        }
    }

    /// Something that the process itself gets to know.
    fn hear(&mut self, event: Event) {
        if let Event::Answered { call, answer, .. } = &event {
            let text = format!("hears {}: {}", call.delivery.request_id, answer.word());
            self.tell(call.delivery.occurrence.schedule.as_str(), text);
        }
        let now = self.moment();
        let Some(process) = &mut self.process else {
            return;
        };
        let actions = match event {
            Event::Answered { call, answer, .. } => {
                let latency = Duration::from_nanos((self.now - call.sent_at).unsigned_abs());
                let answer = Answer {
                    outcome: answer,
                    http_status: None,
                    x_request_id: None,
                    detail: String::new(),
                    fix: "",
                };
                let actions = process.agenda.answered(
                    &call.delivery.idempotency_key,
                    timestamp(call.sent_wall),
                    latency,
                    answer,
                    now,
                );
                self.perform(actions);
                if self.passes(Seam::Answered) {
                    return;
                }
                vec![]
            }
            Event::Probed { token, works, .. } => process.agenda.probed(token, works, now),
            Event::Commit { .. } => {
                self.commit();
                vec![]
            }
            _ => vec![],
        };
        self.perform(actions);
        self.go_on();
    }

    /// As the engine's loop: after whatever happened it asks what is due.
    fn go_on(&mut self) {
        match &self.process {
            Some(Process { closing: None, .. }) => self.due(),
            Some(process) if process.agenda.in_flight() == 0 => self.end(),
            _ => {}
        }
    }

    fn due(&mut self) {
        let now = self.moment();
        if let Some(process) = &mut self.process
            && process.stopped_until <= self.now
        {
            let actions = process.agenda.due(now);
            self.perform(actions);
        }
    }

    fn perform(&mut self, actions: Vec<Action>) {
        let mut facts = Vec::new();
        let mut calls = Vec::new();
        let Some(life) = self.process.as_ref().map(|it| it.life) else {
            return;
        };
        for action in actions {
            match action {
                Action::Record(fact) => {
                    self.tell_fact(&fact);
                    self.note(&fact);
                    facts.push(fact);
                }
                Action::Attempt { delivery, number } => calls.push((delivery, number)),
                Action::ProbeToken { token, trigger_id } => {
                    self.later(
                        self.now + 10 * MILLISECOND,
                        Event::ProbeArrives {
                            life,
                            token,
                            trigger_id,
                        },
                    );
                }
                // The API of the run gives no run ids, and its schedules verify nothing.
                Action::AskRun(_) | Action::LookUp { .. } => {}
                Action::Say(notice) => self.tell("", format!("says {notice:?}")),
            }
        }
        let writes_ahead = facts
            .iter()
            .any(|fact| matches!(fact, Fact::WrittenAhead(_)));
        if !facts.is_empty() {
            self.unrecorded_since.get_or_insert(self.now);
            self.disk.append(facts);
            self.commit_soon(life);
        }
        for (delivery, number) in calls {
            self.send(delivery, number, life);
        }
        if writes_ahead {
            self.passes(Seam::HandedOver);
        }
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
