//! SEMANTICS.md as stories: what a world of schedules, a clock and an API tells when time passes.

use std::collections::VecDeque;

use super::*;
use crate::api::RunAnswer;
use crate::plan::delivery::Verdict;
use crate::plan::outcome::{Acceptance, Answer, Outcome, Reached, RetryAfter};
use crate::plan::pause::Pauses;
use crate::plan::remembered::{AcceptedDelivery, RememberedSchedule};
use crate::plan::run::{Finding, Progress};
use crate::schedule::cron::{self, CronExpr};
use crate::schedule::message::{Message, Template};
use crate::schedule::recurrence::{Recurrence, Timing, Zone};
use crate::schedule::{
    CatchUp, Conversation, Expect, Limits, Missed, Overlap, OverlapPolicy, Policies, Target,
    defaults,
};

mod breakers;
mod catch_ups;
mod pauses;
mod runs;
mod share;
mod steps;

fn schedule(name: &str, cron: &str) -> Schedule {
    Schedule {
        id: ScheduleId::parse(name).unwrap(),
        description: "".into(),
        enabled: true,
        recurrence: Recurrence {
            timing: Timing::Cron(vec![CronExpr::parse(cron, name).unwrap()]),
            zone: Zone::utc(),
            start: None,
            end: None,
            except: vec![],
        },
        jitter: Duration::ZERO,
        target: Target {
            trigger_id: TriggerId::parse("agtch_1").unwrap(),
            token: TokenId::Default,
        },
        message: Message {
            source_system: "triggerd".into(),
            output_destination: None,
            update_text: Some(
                Template::parse("{{ window_start | date('%H:%M') }}-{{ window_end | date('%H:%M') }} missed {{ missed_count }}")
                    .unwrap(),
            ),
            marker: Template::parse("done: {{ request_id }}").unwrap(),
            input: Some(Template::parse("{{ update_text }}").unwrap()),
        },
        conversation: Conversation::None,
        keep_input: false,
        policies: Policies {
            missed: Missed {
                catch_up: CatchUp::Latest,
                within: Duration::from_secs(12 * 3600),
            },
            overlap: Overlap {
                policy: OverlapPolicy::Allow,
                stuck_after: Duration::from_secs(6 * 3600),
            },
            retry: defaults::RETRY,
            expect: Expect {
                accepted_within: None,
                finished_within: None,
                approved_within: Duration::from_secs(900),
                heartbeat: None,
            },
            limits: Limits {
                per_day: None,
                per_hour: None,
            },
            verify: None,
        },
    }
}

fn with_catch_up(name: &str, cron: &str, catch_up: CatchUp) -> Schedule {
    let mut schedule = schedule(name, cron);
    schedule.policies.missed.catch_up = catch_up;
    schedule
}

fn failed() -> Outcome {
    Outcome::Failed {
        reached: Reached::Unknown,
        retry_after: None,
    }
}

fn answer(outcome: Outcome) -> Answer {
    Answer {
        outcome,
        http_status: None,
        x_request_id: None,
        detail: String::new(),
        fix: "",
    }
}

/// An agenda with a ledger that writes at once and an API that answers at once.
struct World {
    agenda: Agenda,
    now: Moment,
    /// What the API answers next; it accepts when this is empty.
    answers: VecDeque<Outcome>,
    /// What it answers after that, where not an acceptance.
    always: Option<Outcome>,
    /// The trigger whose GETs say nothing of the token.
    silent: Option<TriggerId>,
    /// What it says of a run.
    run: Option<RunAnswer>,
    found: Result<bool, String>,
    holds_answers: bool,
    held: Vec<Arc<Delivery>>,
    ended: Vec<Arc<Delivery>>,
    story: Vec<String>,
}

impl World {
    fn at(now: &str) -> Self {
        Self::restarted(now, Remembered::default())
    }

    fn restarted(now: &str, remembered: Remembered) -> Self {
        let now = Moment {
            wall: now.parse().unwrap(),
            boot: Boottime::from(Duration::from_secs(1_000_000)),
        };
        let mut world = Self {
            agenda: Agenda::new(Namespace::default(), 100, remembered, now),
            now,
            answers: VecDeque::new(),
            always: None,
            silent: None,
            run: None,
            found: Ok(false),
            holds_answers: false,
            held: vec![],
            ended: vec![],
            story: vec![],
        };
        world.act(vec![]);
        world
    }

    fn put(&mut self, schedule: Schedule) {
        let actions = self
            .agenda
            .change(vec![Change::Put(Arc::new(schedule))], self.now);
        self.act(actions);
    }

    fn remove(&mut self, name: &str) {
        let id = ScheduleId::parse(name).unwrap();
        let actions = self.agenda.change(vec![Change::Remove(id)], self.now);
        self.act(actions);
    }

    /// Lives until `wall`, waking as the agenda asks.
    fn live_until(&mut self, wall: &str) {
        let end: Timestamp = wall.parse().unwrap();
        while let Some(wake) = self.next_wake().filter(|wake| *wake <= end) {
            self.pass(wake);
            self.due();
        }
        self.pass(end);
    }

    /// Stopped, or asleep, until `wall`.
    fn sleep_until(&mut self, wall: &str) {
        self.pass(wall.parse().unwrap());
        self.due();
    }

    fn set_clock(&mut self, wall: &str) {
        self.now.wall = wall.parse().unwrap();
        self.due();
    }

    fn answer_held(&mut self, outcome: Outcome) {
        let delivery = self.held.remove(0);
        self.answer(&delivery, outcome);
    }

    fn pass(&mut self, wall: Timestamp) {
        let length = Duration::try_from(wall.duration_since(self.now.wall)).unwrap_or_default();
        self.now = Moment {
            wall: self.now.wall.max(wall),
            boot: self.now.boot + length,
        };
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let wake = self.agenda.next_wake();
        let boot = wake.boot.map(|boot| {
            self.now.wall + SignedDuration::try_from(boot.saturating_sub(self.now.boot)).unwrap()
        });
        [wake.wall, boot].into_iter().flatten().min()
    }

    /// As the engine has it: a call is over, and what it brought is heard of later.
    fn call_ends(&mut self) {
        let actions = self.agenda.call_ended(self.now);
        self.act(actions);
        self.due();
    }

    fn due(&mut self) {
        let actions = self.agenda.due(self.now);
        self.act(actions);
    }

    fn act(&mut self, actions: Vec<Action>) {
        let next = self.agenda.schedules();
        let next = next.filter_map(|(schedule, next)| Some((next?, &schedule.id)));
        assert_eq!(self.agenda.next_occurrence(), next.min());
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Record(fact) => actions.extend(self.record(fact)),
                Action::Attempt { delivery, number } => {
                    let window = delivery.body.json.split('"').nth(3).unwrap().to_owned();
                    self.tell(format!("send {} #{number} ({window})", label(&delivery)));
                    if self.holds_answers {
                        self.held.push(delivery);
                    } else {
                        let outcome = self.answers.pop_front().or(self.always.clone());
                        let outcome = outcome.unwrap_or(Outcome::Accepted(Acceptance::default()));
                        self.answer(&delivery, outcome);
                    }
                }
                Action::ProbeToken { token, trigger_id } => {
                    self.tell(format!("probe token with {trigger_id}"));
                    let says_nothing = self.silent.as_ref() == Some(&trigger_id);
                    let works = (!says_nothing).then_some(self.always.is_none());
                    actions.extend(self.agenda.probed(token, works, self.now));
                }
                Action::AskRun(run) => {
                    let answer = self.run.clone().unwrap_or(RunAnswer::Unknown {
                        detail: String::new(),
                        retry_after: None,
                    });
                    let key = &run.idempotency_key;
                    actions.extend(self.agenda.run_answered(key, answer, self.now));
                }
                Action::LookUp { run, look_up } => {
                    self.tell(format!(
                        "look for {:?} at {}",
                        look_up.contains, look_up.url
                    ));
                    let (key, found) = (&run.idempotency_key, self.found.clone());
                    actions.extend(self.agenda.looked_up(key, found, self.now));
                }
                Action::Say(notice) => self.tell(match notice {
                    Notice::DeliveryOverdue { delivery, .. } => {
                        format!("overdue {}", label(&delivery))
                    }
                    Notice::RunOverdue { run, overdue } => {
                        format!("overdue {}: {}", run.request_id, overdue.key())
                    }
                    Notice::RunUnseen { run, detail } => {
                        format!("unseen {}: {detail}", run.request_id)
                    }
                    Notice::ScheduleStuck { schedule, at } => {
                        format!("{schedule} is stuck at {}", at.strftime("%T"))
                    }
                    Notice::NoRunIds { schedule } => format!("no run ids, says {schedule}"),
                    Notice::ClockStepped { by } => format!("clock stepped {by:#}"),
                    Notice::ClockHeld { .. } => "clock held".into(),
                    Notice::ClockReleased => "clock released".into(),
                    Notice::BreakerOpened { gate, .. } => format!("broken {gate:?}"),
                    Notice::BreakerClosed { gate, waiting } => {
                        format!("mended {gate:?}, {waiting} waited")
                    }
                    Notice::LimitReached(it) => format!(
                        "{:?} reached {} a {} until {}",
                        it.of, it.limit, it.per, it.until
                    ),
                    Notice::TokenPaused { until, .. } => {
                        format!("token paused until {}", until.strftime("%T"))
                    }
                }),
            }
        }
    }

    fn record(&mut self, fact: Fact) -> Vec<Action> {
        match fact {
            Fact::WrittenAhead(delivery) => return self.agenda.written(&delivery, self.now),
            Fact::Withdrawn(delivery) => self.tell(format!("withdraw {}", label(&delivery))),
            Fact::Ended(ending) => {
                self.ended.push(ending.delivery.clone());
                let reason = match ending.verdict {
                    Verdict::Skipped(skip) => format!(": {}", skip.word()),
                    _ => String::new(),
                };
                let unknown = if ending.outcome_unknown {
                    " (outcome unknown)"
                } else {
                    ""
                };
                self.tell(format!(
                    "{} {}{reason}{unknown}",
                    ending.verdict.word(),
                    label(&ending.delivery)
                ));
            }
            Fact::Skipped(it) => self.tell(format!(
                "skipped {}..{} x{}: {}",
                it.first.strftime("%dT%H:%M"),
                it.last.strftime("%dT%H:%M"),
                it.count,
                it.why.word()
            )),
            Fact::Run(it) => {
                let finding = match &it.progress {
                    Progress::Ended(end) => end.finding().map(Finding::word),
                    Progress::Status(_) => None,
                };
                let ended = match it.progress {
                    Progress::Ended(_) => " at last",
                    Progress::Status(_) => "",
                };
                let finding = finding.map(|it| format!(", {it}")).unwrap_or_default();
                self.tell(format!(
                    "run {} {}{ended}{finding}",
                    it.run.request_id,
                    it.progress.word()
                ));
            }
            Fact::Reopened(delivery) => {
                self.tell(format!("reopen {}", label(&delivery)));
                return self.agenda.written(&delivery, self.now);
            }
            Fact::Paused { scope, .. } => self.tell(format!("paused {scope:?}")),
            Fact::Resumed { scope, how, .. } => {
                self.tell(format!("resumed {scope:?} {}", how.word()));
            }
            Fact::TakenUp { schedule } => self.tell(format!("took up {schedule}")),
            Fact::GivenUp { schedule, .. } => self.tell(format!("gave up {schedule}")),
            Fact::Attempted(_)
            | Fact::Began { .. }
            | Fact::Ceased { .. }
            | Fact::InForce { .. }
            | Fact::SettledUntil(_) => {}
            Fact::Rewound { to } => {
                let ended = self.ended.iter().map(|it| &it.occurrence);
                let ahead = ended.filter(|it| it.scheduled_at > to);
                let delivered = ahead.map(|it| Delivered {
                    schedule: it.schedule.clone(),
                    scheduled_at: it.scheduled_at,
                });
                self.agenda.delivered(delivered.collect());
            }
        }
        vec![]
    }

    fn answer(&mut self, delivery: &Delivery, outcome: Outcome) {
        let answer = answer(outcome);
        let key = &delivery.idempotency_key;
        let sent_at = self.now.wall;
        let actions = self
            .agenda
            .answered(key, sent_at, Duration::ZERO, answer, self.now);
        self.act(actions);
    }

    fn tell(&mut self, what: String) {
        self.story
            .push(format!("{} {what}", self.now.wall.strftime("%dT%H:%M:%S")));
    }

    fn story(&mut self) -> String {
        std::mem::take(&mut self.story).join("\n")
    }
}

fn label(delivery: &Delivery) -> String {
    delivery.request_id.to_string()
}

/// What a ledger would remember of one schedule that was in force until `settled_until`.
fn remembered(name: &str, settled_until: &str) -> Remembered {
    let at: Timestamp = settled_until.parse().unwrap();
    Remembered {
        settled_until: Some(at),
        newest: Some(at),
        schedules: vec![RememberedSchedule {
            id: ScheduleId::parse(name).unwrap(),
            in_force: true,
            began_at: at,
            covered_until: at,
            spans: vec![],
        }],
        open: vec![],
        accepted: vec![],
        delivered: vec![],
        runs: vec![],
        pauses: Pauses::default(),
    }
}

/// So many schedules, due in ten seconds; the API keeps its answers.
fn crowd(size: usize) -> World {
    let mut world = World::at("2026-11-23T08:59:50Z");
    world.holds_answers = true;
    for n in 0..size {
        world.put(schedule(&format!("s{n}"), "0 9 * * *"));
    }
    world
}

#[test]
fn in_a_burst_the_next_call_comes_before_what_the_last_one_brought() {
    let mut world = crowd(65);
    world.live_until("2026-11-23T09:00:00Z");
    assert_eq!(world.held.len(), 64);
    assert!(world.agenda.has_backlog(world.now));
    let first = world.held.remove(0);
    world.call_ends();
    assert_eq!((world.held.len(), world.ended.len()), (64, 0));
    assert!(!world.agenda.has_backlog(world.now));
    let accepted = answer(Outcome::Accepted(Acceptance::default()));
    let (key, now) = (&first.idempotency_key, world.now);
    let actions = world
        .agenda
        .told(key, now.wall, Duration::ZERO, accepted, now);
    world.act(actions);
    assert_eq!((world.held.len(), world.agenda.in_flight()), (64, 64));
    assert_eq!(world.ended, [first]);
}

#[test]
fn what_is_due_becomes_a_delivery_with_its_slot_or_after_a_second() {
    let mut world = crowd(102);
    world.live_until("2026-11-23T09:00:00.500Z");
    assert_eq!(world.agenda.open_deliveries(), 100);
    world.call_ends();
    assert_eq!(
        (world.held.len(), world.agenda.open_deliveries()),
        (101, 101)
    );
    world.live_until("2026-11-23T09:00:00.999Z");
    assert_eq!(world.agenda.open_deliveries(), 101);
    world.live_until("2026-11-23T09:00:01Z");
    assert_eq!(world.agenda.open_deliveries(), 102);
}

#[test]
fn a_slow_api_gets_more_calls_wherever_a_part_of_what_is_due_ends() {
    let mut world = crowd(70);
    // Before the others, and without a slot: with those that get one they make up one part.
    for n in 0..BATCH - 64 {
        let mut jittered = schedule(&format!("a{n}"), "0 9 * * *");
        jittered.jitter = Duration::from_secs(3600);
        world.put(jittered);
    }
    world.live_until("2026-11-23T09:00:00Z");
    assert_eq!(world.held.len(), 64);
    world.live_until("2026-11-23T09:00:00.100Z");
    assert_eq!(world.held.len(), 70);
}

#[test]
fn s01_a_first_loading_owes_nothing_from_before() {
    let mut world = World::at("2026-11-23T10:00:00Z");
    world.put(schedule("a", "0 9 * * *"));
    world.live_until("2026-11-25T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    24T09:00:00 send a-20261124T0900 #1 (09:00-09:00 missed 0)
    24T09:00:00 accepted a-20261124T0900
    25T09:00:00 send a-20261125T0900 #1 (09:00-09:00 missed 0)
    25T09:00:00 accepted a-20261125T0900
    ");
}

#[test]
fn a_schedule_whose_next_occurrence_is_no_later_stops_loudly_and_alone() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(schedule("a", "0 9,10 * * *"));
    world.put(schedule("b", "5 9,10 * * *"));
    let stuck = CronExpr::parse("0 9,10 * * *", "a").unwrap();
    cron::STUCK.set(Some(stuck));
    world.live_until("2026-11-23T10:30:00Z");
    cron::STUCK.set(None);
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (10:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T0900
    23T09:00:00 a is stuck at 09:00:00
    23T09:05:00 send b-20261123T0905 #1 (10:05-09:05 missed 0)
    23T09:05:00 accepted b-20261123T0905
    23T10:05:00 send b-20261123T1005 #1 (09:05-10:05 missed 0)
    23T10:05:00 accepted b-20261123T1005
    ");
}

#[test]
fn s02_the_version_in_force_at_the_scheduled_time_fires_it() {
    let mut world = World::at("2026-11-23T08:00:00Z");
    world.put(schedule("a", "0 9 * * *"));
    world.live_until("2026-11-23T08:59:57Z");
    world.put(schedule("a", "30 9 * * *"));
    world.live_until("2026-11-23T09:29:57Z");
    world.sleep_until("2026-11-23T09:30:10Z");
    world.put(schedule("a", "30 9,10 * * *"));
    world.live_until("2026-11-23T11:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T08:59:57 withdraw a-20261123T0900
    23T09:30:10 send a-20261123T0930 #1 (09:00-09:30 missed 0)
    23T09:30:10 accepted a-20261123T0930
    23T10:30:00 send a-20261123T1030 #1 (09:30-10:30 missed 0)
    23T10:30:00 accepted a-20261123T1030
    ");
}

#[test]
fn s03_what_was_missed_during_a_stop_is_caught_up_from_the_last_settled_instant() {
    let mut world = World::restarted(
        "2026-11-23T12:10:00Z",
        remembered("a", "2026-11-23T09:30:00Z"),
    );
    world.put(schedule("a", "0 * * * *"));
    insta::assert_snapshot!(world.story(), @"
    23T12:10:00 skipped 23T10:00..23T11:00 x2: superseded
    23T12:10:00 send a-20261123T120000Z #1 (09:30-12:00 missed 2)
    23T12:10:00 accepted a-20261123T120000Z
    ");
}

#[test]
fn s04_what_waits_when_its_file_goes_ends_as_removed_and_a_call_under_way_is_awaited() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(schedule("a", "0 * * * *"));
    world.put(schedule("b", "0 * * * *"));
    world.answers = [failed()].into();
    world.holds_answers = true;
    world.live_until("2026-11-23T09:00:01Z");
    world.answer_held(failed());
    world.remove("a");
    world.remove("b");
    world.answer_held(failed());
    world.live_until("2026-11-23T12:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:00:00 send b-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:00:01 skipped a-20261123T090000Z: removed (outcome unknown)
    23T09:00:01 skipped b-20261123T090000Z: removed (outcome unknown)
    ");
}

#[test]
fn s07_up_to_30_s_late_fires_whatever_the_policy() {
    for (wake, catch_up) in [
        ("2026-11-23T09:00:30Z", CatchUp::None),
        ("2026-11-23T09:00:31Z", CatchUp::None),
        ("2026-11-23T09:00:31Z", CatchUp::Latest),
    ] {
        let mut world = World::at("2026-11-23T08:30:00Z");
        world.put(with_catch_up("a", "0 * * * *", catch_up));
        world.sleep_until(wake);
        world
            .story
            .insert(0, format!("{catch_up:?}, awake at {wake}"));
        let story = world.story();
        match (wake, catch_up) {
            ("2026-11-23T09:00:30Z", _) => insta::assert_snapshot!(story, @"
            None, awake at 2026-11-23T09:00:30Z
            23T09:00:30 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
            23T09:00:30 accepted a-20261123T090000Z
            "),
            (_, CatchUp::None) => insta::assert_snapshot!(story, @"
            None, awake at 2026-11-23T09:00:31Z
            23T09:00:31 skipped 23T09:00..23T09:00 x1: missed
            "),
            _ => insta::assert_snapshot!(story, @"
            Latest, awake at 2026-11-23T09:00:31Z
            23T09:00:31 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
            23T09:00:31 accepted a-20261123T090000Z
            "),
        }
    }
}

#[test]
fn s07_what_a_crash_interrupted_is_late_and_fires_beside_the_next_one() {
    let mut before = World::at("2026-11-23T08:59:50Z");
    before.put(schedule("a", "*/5 * * * * *"));
    before.holds_answers = true;
    before.live_until("2026-11-23T08:59:55Z");
    let interrupted = OpenDelivery {
        delivery: before.held.remove(0),
        attempts: 0,
        retry_at: None,
        outcome_unknown: false,
    };
    for restart in ["2026-11-23T09:00:01Z", "2026-11-23T09:00:26Z"] {
        let remembered = Remembered {
            open: vec![interrupted.clone()],
            ..remembered("a", "2026-11-23T08:59:55Z")
        };
        let mut after = World::restarted(restart, remembered);
        after.put(schedule("a", "*/5 * * * * *"));
        let story = after.story();
        match restart {
            "2026-11-23T09:00:01Z" => insta::assert_snapshot!(story, @"
            23T09:00:01 send a-20261123T085955Z #1 (08:59-08:59 missed 0)
            23T09:00:01 accepted a-20261123T085955Z
            23T09:00:01 send a-20261123T090000Z #1 (08:59-09:00 missed 0)
            23T09:00:01 accepted a-20261123T090000Z
            "),
            _ => insta::assert_snapshot!(story.lines().take(2).collect::<Vec<_>>().join("\n"), @"
            23T09:00:26 skipped a-20261123T085955Z: superseded (outcome unknown)
            23T09:00:26 send a-20261123T090000Z #1 (08:59-09:00 missed 0)
            "),
        }
    }
}

#[test]
fn s06_an_at_that_a_crash_interrupted_is_not_taken_for_covered() {
    let once = || {
        let mut once = schedule("a", "0 9 * * *");
        once.recurrence.timing = Timing::At("2026-11-23T09:00:00".parse().unwrap());
        once
    };
    let mut before = World::at("2026-11-23T08:30:00Z");
    before.put(once());
    before.holds_answers = true;
    before.live_until("2026-11-23T09:00:00Z");
    let mut remembered = remembered("a", "2026-11-23T08:59:55Z");
    remembered.schedules[0].covered_until = "2026-11-23T09:00:00Z".parse().unwrap();
    remembered.open = vec![OpenDelivery {
        delivery: before.held.remove(0),
        attempts: 0,
        retry_at: None,
        outcome_unknown: false,
    }];
    let mut after = World::restarted("2026-11-23T09:00:01Z", remembered);
    after.put(once());
    insta::assert_snapshot!(after.story(), @"
    23T09:00:01 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:01 accepted a-20261123T0900
    ");
}

#[test]
fn s08_latest_of_the_missed_only_the_newest_is_delivered() {
    let mut world = World::at("2026-11-20T17:30:00Z");
    world.put(schedule("a", "0 * * * *"));
    world.sleep_until("2026-11-23T09:20:00Z");
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:20:00 skipped 20T18:00..22T21:00 x52: missed
    23T09:20:00 skipped 22T22:00..23T08:00 x11: superseded
    23T09:20:00 send a-20261123T090000Z #1 (17:00-09:00 missed 63)
    23T09:20:00 accepted a-20261123T090000Z
    23T10:00:00 send a-20261123T100000Z #1 (09:00-10:00 missed 0)
    23T10:00:00 accepted a-20261123T100000Z
    ");
}

#[test]
fn s08_latest_a_newer_delivery_supersedes_one_that_waits_for_a_retry() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.put(schedule("a", "*/5 * * * *"));
    world.answers = vec![failed(); 9].into();
    world.live_until("2026-11-23T09:10:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:55-09:00 missed 0)
    23T09:00:02 send a-20261123T090000Z #2 (08:55-09:00 missed 0)
    23T09:00:05 send a-20261123T090000Z #3 (08:55-09:00 missed 0)
    23T09:00:14 send a-20261123T090000Z #4 (08:55-09:00 missed 0)
    23T09:00:33 send a-20261123T090000Z #5 (08:55-09:00 missed 0)
    23T09:01:05 send a-20261123T090000Z #6 (08:55-09:00 missed 0)
    23T09:02:14 send a-20261123T090000Z #7 (08:55-09:00 missed 0)
    23T09:04:28 send a-20261123T090000Z #8 (08:55-09:00 missed 0)
    23T09:05:00 skipped a-20261123T090000Z: superseded (outcome unknown)
    23T09:05:00 withdraw a-20261123T090500Z
    23T09:05:00 send a-20261123T090500Z #1 (08:55-09:05 missed 1)
    23T09:05:02 send a-20261123T090500Z #2 (08:55-09:05 missed 1)
    23T09:05:02 accepted a-20261123T090500Z
    23T09:10:00 send a-20261123T091000Z #1 (09:05-09:10 missed 0)
    23T09:10:00 accepted a-20261123T091000Z
    ");
}

#[test]
fn s08_all_the_newest_at_most_are_delivered_oldest_first_spacing_apart() {
    let mut world = World::at("2026-11-23T01:30:00Z");
    world.put(with_catch_up(
        "a",
        "0 * * * *",
        CatchUp::All {
            at_most: 3,
            spacing: Duration::from_secs(10),
        },
    ));
    world.sleep_until("2026-11-23T09:20:00Z");
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:20:00 skipped 23T02:00..23T06:00 x5: superseded
    23T09:20:00 send a-20261123T070000Z #1 (01:00-07:00 missed 5)
    23T09:20:00 accepted a-20261123T070000Z
    23T09:20:10 send a-20261123T080000Z #1 (07:00-08:00 missed 0)
    23T09:20:10 accepted a-20261123T080000Z
    23T09:20:20 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:20:20 accepted a-20261123T090000Z
    23T10:00:00 send a-20261123T100000Z #1 (09:00-10:00 missed 0)
    23T10:00:00 accepted a-20261123T100000Z
    ");
}

#[test]
fn s08_none_a_waiting_delivery_ends_as_missed_when_the_next_one_opens() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.put(with_catch_up("a", "*/5 * * * *", CatchUp::None));
    world.answers = vec![failed(); 9].into();
    world.live_until("2026-11-23T09:06:00Z");
    world.sleep_until("2026-11-23T09:26:00Z");
    world.live_until("2026-11-23T09:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:55-09:00 missed 0)
    23T09:00:02 send a-20261123T090000Z #2 (08:55-09:00 missed 0)
    23T09:00:05 send a-20261123T090000Z #3 (08:55-09:00 missed 0)
    23T09:00:14 send a-20261123T090000Z #4 (08:55-09:00 missed 0)
    23T09:00:33 send a-20261123T090000Z #5 (08:55-09:00 missed 0)
    23T09:01:05 send a-20261123T090000Z #6 (08:55-09:00 missed 0)
    23T09:02:14 send a-20261123T090000Z #7 (08:55-09:00 missed 0)
    23T09:04:28 send a-20261123T090000Z #8 (08:55-09:00 missed 0)
    23T09:05:00 skipped a-20261123T090000Z: missed (outcome unknown)
    23T09:05:00 withdraw a-20261123T090500Z
    23T09:05:00 send a-20261123T090500Z #1 (08:55-09:05 missed 1)
    23T09:05:02 send a-20261123T090500Z #2 (08:55-09:05 missed 1)
    23T09:05:02 accepted a-20261123T090500Z
    23T09:26:00 skipped 23T09:10..23T09:25 x4: missed
    23T09:30:00 send a-20261123T093000Z #1 (09:05-09:30 missed 4)
    23T09:30:00 accepted a-20261123T093000Z
    ");
}

#[test]
fn s08_a_dead_token_over_a_weekend_costs_one_run_when_it_is_mended() {
    let mut world = World::at("2026-11-20T17:58:00Z");
    world.put(schedule("a", "*/5 * * * *"));
    world.always = Some(Outcome::TokenRefused { newer_token: false });
    world.live_until("2026-11-23T08:02:00Z");
    let weekend = world.story();
    let sent = weekend.lines().filter(|line| line.contains("send")).count();
    let probes = weekend
        .lines()
        .filter(|line| line.contains("probe"))
        .count();
    assert_eq!(
        (sent, probes),
        (1, 249),
        "one call, then a probe each quarter of an hour"
    );
    world.always = None;
    let actions = world.agenda.token_changed(TokenId::Default, world.now);
    world.act(actions);
    insta::assert_snapshot!(world.story(), @"
    23T08:02:00 mended Token(Default), 1 waited
    23T08:02:00 send a-20261123T080000Z #1 (17:55-08:00 missed 744)
    23T08:02:00 accepted a-20261123T080000Z
    ");
}

#[test]
fn s10_a_delivery_expires_at_the_earlier_of_its_two_deadlines() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    let mut hourly = schedule("a", "0 9 * * *");
    hourly.policies.retry.give_up_after = Duration::from_secs(60);
    world.put(hourly);
    world.always = Some(failed());
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:02 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:00:05 send a-20261123T0900 #3 (09:00-09:00 missed 0)
    23T09:00:12 send a-20261123T0900 #4 (09:00-09:00 missed 0)
    23T09:00:24 send a-20261123T0900 #5 (09:00-09:00 missed 0)
    23T09:00:57 send a-20261123T0900 #6 (09:00-09:00 missed 0)
    23T09:01:00 expired a-20261123T0900 (outcome unknown)
    ");
}

/// What a process that was killed left of `schedule`'s occurrence at 09:00.
fn left_at_nine(schedule: Schedule, settled_until: &str, attempts: u32) -> Remembered {
    let mut before = World::at("2026-11-23T08:59:50Z");
    before.put(schedule);
    before.holds_answers = true;
    before.live_until("2026-11-23T09:00:00Z");
    Remembered {
        open: vec![OpenDelivery {
            delivery: before.held.remove(0),
            attempts,
            retry_at: None,
            outcome_unknown: false,
        }],
        ..remembered("a", settled_until)
    }
}

fn daily_for_a_minute() -> Schedule {
    let mut daily = schedule("a", "0 9 * * *");
    daily.policies.retry.give_up_after = Duration::from_secs(60);
    daily
}

#[test]
fn s10_what_expired_during_a_stop_is_not_sent_once_more() {
    let remembered = left_at_nine(daily_for_a_minute(), "2026-11-23T09:00:00Z", 1);
    let mut world = World::restarted("2026-11-23T09:20:00Z", remembered);
    world.put(daily_for_a_minute());
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"23T09:20:00 expired a-20261123T0900 (outcome unknown)");
}

#[test]
fn s8_what_was_written_ahead_before_a_kill_counts_among_the_newest() {
    let hourly = with_catch_up(
        "a",
        "0 9-23 * * *",
        CatchUp::All {
            at_most: 2,
            spacing: Duration::ZERO,
        },
    );
    let remembered = left_at_nine(hourly.clone(), "2026-11-23T08:59:55Z", 0);
    let mut world = World::restarted("2026-11-23T11:20:00Z", remembered);
    world.put(hourly);
    world.live_until("2026-11-23T11:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T11:20:00 skipped a-20261123T0900: superseded (outcome unknown)
    23T11:20:00 send a-20261123T1000 #1 (08:59-10:00 missed 1)
    23T11:20:00 accepted a-20261123T1000
    23T11:20:00 send a-20261123T1100 #1 (10:00-11:00 missed 0)
    23T11:20:00 accepted a-20261123T1100
    ");
}

#[test]
fn what_was_put_behind_the_spacing_meanwhile_is_sent() {
    let mut world = World::at("2026-11-23T07:30:00Z");
    let mut paced = with_catch_up(
        "a",
        "0 * * * *",
        CatchUp::All {
            at_most: 3,
            spacing: Duration::from_secs(10),
        },
    );
    paced.policies.overlap.policy = OverlapPolicy::Queue;
    paced.policies.missed.within = Duration::from_secs(81 * 60);
    world.put(paced);
    world.always = Some(failed());
    world.sleep_until("2026-11-23T09:20:00Z");
    world.live_until("2026-11-23T09:20:05Z");
    world.always = None;
    world.sleep_until("2026-11-23T09:21:30Z");
    world.live_until("2026-11-23T09:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:20:00 send a-20261123T080000Z #1 (07:00-08:00 missed 0)
    23T09:21:30 expired a-20261123T080000Z (outcome unknown)
    23T09:21:40 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:21:40 accepted a-20261123T090000Z
    23T09:21:40 no run ids, says a
    ");
}

#[test]
fn s10_what_expired_while_the_process_was_stopped_is_not_sent() {
    let mut jittered = daily_for_a_minute();
    jittered.jitter = Duration::from_secs(30);
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.put(jittered);
    world.live_until("2026-11-23T09:00:00Z");
    world.sleep_until("2026-11-23T09:20:00Z");

    world.always = Some(failed());
    let mut retried = daily_for_a_minute();
    retried.id = ScheduleId::parse("b").unwrap();
    retried.recurrence = schedule("b", "30 9 * * *").recurrence;
    world.put(retried);
    world.live_until("2026-11-23T09:30:03Z");
    world.sleep_until("2026-11-23T09:40:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:20:00 expired a-20261123T0900
    23T09:30:00 send b-20261123T0930 #1 (09:30-09:30 missed 0)
    23T09:30:02 send b-20261123T0930 #2 (09:30-09:30 missed 0)
    23T09:40:00 expired b-20261123T0930 (outcome unknown)
    ");
}

#[test]
fn s10_what_was_written_ahead_gets_its_deadline_when_a_catch_up_takes_it_up() {
    let remembered = left_at_nine(daily_for_a_minute(), "2026-11-23T08:59:55Z", 0);
    let mut world = World::restarted("2026-11-23T09:20:00Z", remembered);
    world.put(daily_for_a_minute());
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:20:00 withdraw a-20261123T0900
    23T09:20:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:20:00 accepted a-20261123T0900
    ");
}

#[test]
fn s11_after_a_step_back_over_a_restart_what_was_sent_before_is_of_unknown_outcome() {
    let daily = schedule("a", "0 9 * * *");
    let remembered = left_at_nine(daily.clone(), "2026-11-23T09:00:00Z", 0);
    let mut world = World::restarted("2026-11-23T07:00:00Z", remembered);
    world.put(daily);
    world.remove("a");
    insta::assert_snapshot!(world.story(), @"
    23T07:00:00 clock held
    23T07:00:00 skipped a-20261123T0900: removed (outcome unknown)
    ");
}

#[test]
fn s11_an_attempt_under_way_is_awaited_past_the_deadline() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    let mut hourly = schedule("a", "0 9 * * *");
    hourly.policies.retry.give_up_after = Duration::from_secs(30);
    world.put(hourly);
    world.holds_answers = true;
    world.live_until("2026-11-23T09:05:00Z");
    world.answer_held(Outcome::Accepted(Acceptance::default()));
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:05:00 accepted a-20261123T0900
    ");
}

#[test]
fn s13_windows_leave_no_hole() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.put(schedule("a", "*/5 * * * *"));
    world.answers = [Outcome::Rejected, Outcome::Rejected].into();
    world.live_until("2026-11-23T09:16:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:55-09:00 missed 0)
    23T09:00:00 rejected a-20261123T090000Z
    23T09:05:00 send a-20261123T090500Z #1 (08:55-09:05 missed 1)
    23T09:05:00 rejected a-20261123T090500Z
    23T09:10:00 send a-20261123T091000Z #1 (08:55-09:10 missed 2)
    23T09:10:00 accepted a-20261123T091000Z
    23T09:15:00 send a-20261123T091500Z #1 (09:10-09:15 missed 0)
    23T09:15:00 accepted a-20261123T091500Z
    ");
}

#[test]
fn s13_each_window_counts_what_was_skipped_inside_it_alone() {
    let mut world = World::at("2026-11-23T20:30:00Z");
    let catch_up = CatchUp::All {
        at_most: 2,
        spacing: Duration::ZERO,
    };
    let mut hourly = with_catch_up("a", "0 * * * *", catch_up);
    hourly.recurrence.except = vec!["2026-11-24".parse().unwrap()];
    world.put(hourly);
    world.sleep_until("2026-11-24T01:20:00Z");
    insta::assert_snapshot!(world.story(), @"
    24T01:20:00 skipped 23T21:00..23T21:00 x1: superseded
    24T01:20:00 skipped 24T00:00..24T01:00 x2: excluded
    24T01:20:00 send a-20261123T220000Z #1 (20:00-22:00 missed 1)
    24T01:20:00 accepted a-20261123T220000Z
    24T01:20:00 send a-20261123T230000Z #1 (22:00-23:00 missed 0)
    24T01:20:00 accepted a-20261123T230000Z
    ");
}

#[test]
fn s17_written_ahead_5_s_early_and_withdrawn_without_a_trace_before_its_time() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.put(schedule("a", "0 9 * * *"));
    assert_eq!(
        world.next_wake(),
        Some("2026-11-23T08:59:55Z".parse().unwrap())
    );
    world.live_until("2026-11-23T08:59:57Z");
    world.remove("a");
    world.live_until("2026-11-23T09:05:00Z");
    insta::assert_snapshot!(world.story(), @"23T08:59:57 withdraw a-20261123T0900");
}

#[test]
fn s18_after_a_step_back_nothing_fires_twice_and_nothing_is_lost() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.put(schedule("a", "0 * * * *"));
    world.live_until("2026-11-23T10:30:00Z");
    world.set_clock("2026-11-23T08:50:00Z");
    // The ledger knows the keys of 09:00 and 10:00.
    assert_eq!(
        world.next_wake(),
        Some("2026-11-23T08:59:55Z".parse().unwrap())
    );
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T090000Z
    23T10:00:00 send a-20261123T100000Z #1 (09:00-10:00 missed 0)
    23T10:00:00 accepted a-20261123T100000Z
    23T08:50:00 clock stepped 1h 40m ago
    ");
}

#[test]
fn s18_after_a_step_back_to_just_before_an_open_delivery_nothing_wakes_before_its_time() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.put(schedule("a", "0 9 * * *"));
    world.holds_answers = true;
    world.live_until("2026-11-23T09:00:10Z");
    world.set_clock("2026-11-23T08:59:57Z");
    assert_eq!(
        world.next_wake(),
        Some("2026-11-23T09:00:00Z".parse().unwrap())
    );
}

#[test]
fn s18_what_was_written_ahead_before_a_step_back_over_a_restart_fires_at_its_time() {
    let daily = schedule("a", "0 9 * * *");
    let remembered = left_at_nine(daily.clone(), "2026-11-23T08:59:55Z", 0);
    let mut world = World::restarted("2026-11-23T07:00:00Z", remembered);
    world.put(daily);
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T07:00:00 clock held
    23T07:10:00 clock released
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T0900
    ");
}

#[test]
fn s18_a_leap_of_ten_years_is_policy_and_not_87600_replays() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.put(schedule("a", "0 * * * *"));
    world.set_clock("2036-11-23T08:58:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T08:58:00 clock stepped 87672h
    23T08:58:00 skipped 23T09:00..22T20:00 x87660: missed
    23T08:58:00 skipped 22T21:00..23T07:00 x11: superseded
    23T08:58:00 send a-20361123T080000Z #1 (08:00-08:00 missed 87671)
    23T08:58:00 accepted a-20361123T080000Z
    ");
}

#[test]
fn s19_firing_is_held_while_the_clock_stands_before_the_ledger() {
    let mut world = World::restarted(
        "2020-01-01T00:00:00Z",
        remembered("a", "2026-11-23T08:30:00Z"),
    );
    world.put(schedule("a", "0 * * * *"));
    world.live_until("2020-01-01T00:05:00Z");
    world.set_clock("2026-11-23T09:00:05Z");
    insta::assert_snapshot!(world.story(), @"
    01T00:00:00 clock held
    23T09:00:05 clock stepped 60440h 55m 5s
    23T09:00:05 clock released
    23T09:00:05 send a-20261123T090000Z #1 (08:30-09:00 missed 0)
    23T09:00:05 accepted a-20261123T090000Z
    ");
}

#[test]
fn s19_a_mark_in_the_far_future_is_let_go_after_ten_minutes() {
    let mut world = World::restarted(
        "2026-11-23T08:30:00Z",
        remembered("a", "2036-11-23T08:30:00Z"),
    );
    world.put(schedule("a", "0 * * * *"));
    world.live_until("2026-11-23T09:01:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T08:30:00 clock held
    23T08:40:00 clock released
    23T09:00:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T090000Z
    ");
}

#[test]
fn a_429_pauses_its_token_once_for_all_schedules() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    for name in ["a", "b", "c"] {
        world.put(schedule(name, "0 9 * * *"));
    }
    let in_a_minute = RetryAfter::Delay(Duration::from_secs(60));
    world.answers = [Outcome::RateLimited(Some(in_a_minute))].into();
    world.live_until("2026-11-23T09:05:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 token paused until 09:01:00
    23T09:00:00 send b-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 accepted b-20261123T0900
    23T09:00:00 send c-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 accepted c-20261123T0900
    23T09:01:00 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:01:00 accepted a-20261123T0900
    ");
}

#[test]
fn a_refused_trigger_lets_one_through_and_opens_for_all() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    for name in ["a", "b"] {
        world.put(schedule(name, "0 9 * * *"));
    }
    world.answers = [Outcome::TriggerRefused, Outcome::TriggerRefused].into();
    world.live_until("2026-11-23T09:10:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 broken Trigger(agtch_1)
    23T09:00:00 send b-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:01:00 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:01:00 mended Trigger(agtch_1), 1 waited
    23T09:01:00 accepted a-20261123T0900
    23T09:01:00 send b-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:01:00 accepted b-20261123T0900
    ");
}

#[test]
fn s22_limits_count_what_is_open_or_accepted_and_never_stop_a_hand() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    let mut limited = schedule("a", "*/10 * * * *");
    limited.policies.limits.per_hour = Some(2);
    world.put(limited.clone());
    world.answers = [Outcome::Rejected].into();
    world.live_until("2026-11-23T09:35:00Z");
    let (_, actions) = world.agenda.trigger(&limited, world.now);
    world.act(actions);
    world.live_until("2026-11-23T10:15:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:50-09:00 missed 0)
    23T09:00:00 rejected a-20261123T090000Z
    23T09:10:00 send a-20261123T091000Z #1 (08:50-09:10 missed 1)
    23T09:10:00 accepted a-20261123T091000Z
    23T09:20:00 send a-20261123T092000Z #1 (09:10-09:20 missed 0)
    23T09:20:00 accepted a-20261123T092000Z
    23T09:30:00 withdraw a-20261123T093000Z
    23T09:30:00 skipped 23T09:30..23T09:30 x1: limit
    23T09:35:00 send a-manual-20261123T093500.000Z #1 (09:20-09:35 missed 1)
    23T09:35:00 accepted a-manual-20261123T093500.000Z
    23T09:40:00 withdraw a-20261123T094000Z
    23T09:40:00 skipped 23T09:40..23T09:40 x1: limit
    23T09:50:00 withdraw a-20261123T095000Z
    23T09:50:00 skipped 23T09:50..23T09:50 x1: limit
    23T10:00:00 send a-20261123T100000Z #1 (09:20-10:00 missed 3)
    23T10:00:00 accepted a-20261123T100000Z
    23T10:10:00 send a-20261123T101000Z #1 (10:00-10:10 missed 0)
    23T10:10:00 accepted a-20261123T101000Z
    ");
}

#[test]
fn s22_with_jitter_the_hour_of_the_opening_counts() {
    let mut world = World::at("2026-11-23T07:30:00Z");
    let mut limited = schedule("a", "50 * * * *");
    limited.jitter = Duration::from_secs(1800);
    limited.policies.limits.per_hour = Some(1);
    world.put(limited);
    world.live_until("2026-11-23T10:40:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T07:54:12 send a-20261123T075000Z #1 (06:50-07:50 missed 0)
    23T07:54:12 accepted a-20261123T075000Z
    23T09:11:22 send a-20261123T085000Z #1 (07:50-08:50 missed 0)
    23T09:11:22 accepted a-20261123T085000Z
    23T10:16:26 send a-20261123T095000Z #1 (08:50-09:50 missed 0)
    23T10:16:26 accepted a-20261123T095000Z
    ");
}

#[test]
fn s22_a_new_limit_counts_what_has_opened_before() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    let runaway = schedule("a", "* * * * *");
    world.put(runaway.clone());
    world.live_until("2026-11-23T09:10:30Z");
    world.story();
    let mut limited = runaway.clone();
    limited.policies.limits.per_hour = Some(12);
    world.put(limited.clone());
    world.live_until("2026-11-23T09:11:30Z");
    world.put(runaway);
    world.put(limited);
    world.live_until("2026-11-23T09:13:30Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:11:00 send a-20261123T091100Z #1 (09:10-09:11 missed 0)
    23T09:11:00 accepted a-20261123T091100Z
    23T09:12:00 withdraw a-20261123T091200Z
    23T09:12:00 skipped 23T09:12..23T09:12 x1: limit
    23T09:13:00 withdraw a-20261123T091300Z
    23T09:13:00 skipped 23T09:13..23T09:13 x1: limit
    ");
}

#[test]
fn s22_an_agents_limit_bounds_all_its_schedules_over_a_restart_and_is_told_once() {
    let agent = TriggerId::parse("agtch_1").unwrap();
    let accepted = |opened_at: &str| AcceptedDelivery {
        schedule: ScheduleId::parse("a").unwrap(),
        trigger_id: agent.clone(),
        opened_at: opened_at.parse().unwrap(),
    };
    let remembered = Remembered {
        accepted: vec![
            accepted("2026-11-22T23:59:59Z"),
            accepted("2026-11-23T00:00:00Z"),
        ],
        ..Remembered::default()
    };
    let mut world = World::restarted("2026-11-23T08:58:00Z", remembered);
    world.agenda.bound(Ceilings {
        daemon: Limits::default(),
        agents: [(
            agent,
            Limits {
                per_day: Some(3),
                per_hour: None,
            },
        )]
        .into(),
    });
    let b = schedule("b", "0 10,11 * * *");
    world.put(schedule("a", "0 9,12 * * *"));
    world.put(b.clone());
    let mut other = schedule("other", "0 12 * * *");
    other.target.trigger_id = TriggerId::parse("agtch_2").unwrap();
    world.put(other);
    world.live_until("2026-11-23T12:10:00Z");
    let (_, actions) = world.agenda.trigger(&b, world.now);
    world.act(actions);
    world.live_until("2026-11-24T09:10:00Z");
    insta::assert_snapshot!(world.story(), @r#"
    23T09:00:00 send a-20261123T0900 #1 (12:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T0900
    23T10:00:00 send b-20261123T1000 #1 (11:00-10:00 missed 0)
    23T10:00:00 accepted b-20261123T1000
    23T11:00:00 Agent(agtch_1) reached 3 a day until 2026-11-24T00:00:00Z
    23T11:00:00 withdraw b-20261123T1100
    23T11:00:00 skipped 23T11:00..23T11:00 x1: limit
    23T12:00:00 withdraw a-20261123T1200
    23T12:00:00 skipped 23T12:00..23T12:00 x1: limit
    23T12:00:00 send other-20261123T1200 #1 (12:00-12:00 missed 0)
    23T12:00:00 accepted other-20261123T1200
    23T12:10:00 send b-manual-20261123T121000.000Z #1 (10:00-12:10 missed 1)
    23T12:10:00 accepted b-manual-20261123T121000.000Z
    24T09:00:00 send a-20261124T0900 #1 (09:00-09:00 missed 1)
    24T09:00:00 accepted a-20261124T0900
    "#);
}

#[test]
fn excluded_dates_get_their_verdict() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    let mut daily = schedule("a", "0 9 * * *");
    daily.recurrence.except = vec!["2026-11-24".parse().unwrap()];
    world.put(daily);
    world.live_until("2026-11-25T09:10:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T0900
    24T09:00:00 skipped 24T09:00..24T09:00 x1: excluded
    25T09:00:00 send a-20261125T0900 #1 (09:00-09:00 missed 1)
    25T09:00:00 accepted a-20261125T0900
    ");
}

#[test]
fn the_next_occurrence_and_how_many_are_enabled_are_known_without_a_look_at_each() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    let check = |world: &World, name: Option<&str>, enabled| {
        let next = world.agenda.next_occurrence();
        assert_eq!(next.map(|(_, id)| id.as_str()), name);
        assert_eq!(world.agenda.enabled(), enabled);
    };
    check(&world, None, 0);
    // Of a timer that comes first, written ahead five seconds early, and of one that comes after it.
    world.put(schedule("c", "3 0 9 * * *"));
    world.put(schedule("d", "0 9 * * *"));
    world.put(schedule("b", "0 9 * * *"));
    world.put(schedule("a", "0 10 * * *"));
    check(&world, Some("b"), 4);
    world.live_until("2026-11-23T08:59:56Z");
    check(&world, Some("b"), 4);
    world.live_until("2026-11-23T09:00:01Z");
    check(&world, Some("c"), 4);
    world.remove("d");
    let mut disabled = schedule("c", "3 0 9 * * *");
    disabled.enabled = false;
    world.put(disabled);
    check(&world, Some("a"), 2);
    world.remove("c");
    world.remove("b");
    check(&world, Some("a"), 1);
}

#[test]
fn nothing_due_is_no_wake_up() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.put(schedule("a", "0 9 * * *"));
    world.live_until("2026-11-23T12:00:00Z");
    assert_eq!(
        world.next_wake(),
        Some("2026-11-24T08:59:55Z".parse().unwrap())
    );
    assert_eq!(world.agenda.open_deliveries(), 0);
}

#[test]
fn a_probe_whose_delivery_ends_by_itself_is_followed_by_another() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.put(schedule("a", "0 9 * * *"));
    world.put(schedule("b", "1 9 * * *"));
    world.always = Some(Outcome::TriggerRefused);
    world.live_until("2026-11-23T09:00:30Z");
    world.always = None;
    world.holds_answers = true;
    world.live_until("2026-11-23T09:01:10Z");
    world.remove("a");
    world.holds_answers = false;
    world.answer_held(Outcome::TriggerRefused);
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 broken Trigger(agtch_1)
    23T09:01:00 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:01:10 skipped a-20261123T0900: removed
    23T09:06:10 send b-20261123T0901 #1 (09:01-09:01 missed 0)
    23T09:06:10 mended Trigger(agtch_1), 0 waited
    23T09:06:10 accepted b-20261123T0901
    ");
}

#[test]
fn what_waits_behind_a_trigger_that_nobody_names_any_more_is_rejected() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.put(schedule("a", "0 9 * * *"));
    world.always = Some(Outcome::TriggerRefused);
    world.live_until("2026-11-23T09:00:30Z");
    world.always = None;
    let mut other = schedule("a", "0 9 * * *");
    other.target.trigger_id = TriggerId::parse("agtch_2").unwrap();
    world.put(other);
    world.live_until("2026-11-24T09:00:30Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 broken Trigger(agtch_1)
    23T09:00:30 rejected a-20261123T0900
    23T09:00:30 mended Trigger(agtch_1), 0 waited
    24T09:00:00 send a-20261124T0900 #1 (09:00-09:00 missed 1)
    24T09:00:00 accepted a-20261124T0900
    ");
}

#[test]
fn two_triggers_by_hand_in_one_millisecond_are_two_deliveries() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    let it = schedule("a", "0 9 * * *");
    world.holds_answers = true;
    for _ in 0..2 {
        let (_, actions) = world.agenda.trigger(&it, world.now);
        world.act(actions);
    }
    assert_eq!(world.held.len(), 2);
    assert_ne!(world.held[0].idempotency_key, world.held[1].idempotency_key);
}

#[test]
fn what_a_person_asked_of_a_disabled_schedule_goes_on_over_its_edits() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    let mut off = schedule("a", "0 9 * * *");
    off.enabled = false;
    world.put(off.clone());
    world.always = Some(failed());
    let (_, actions) = world.agenda.trigger(&off, world.now);
    world.act(actions);
    off.description = "edited".into();
    world.always = None;
    world.put(off);
    world.live_until("2026-11-23T08:40:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T08:30:00 send a-manual-20261123T083000.000Z #1 (09:00-08:30 missed 0)
    23T08:30:02 send a-manual-20261123T083000.000Z #2 (09:00-08:30 missed 0)
    23T08:30:02 accepted a-manual-20261123T083000.000Z
    ");
}

#[test]
fn s18_what_a_clock_behind_had_written_ahead_outlives_a_second_restart() {
    let daily = schedule("a", "0 9 * * *");
    let mut remembered = left_at_nine(daily.clone(), "2026-11-21T07:10:00Z", 0);
    for open in &mut remembered.open {
        open.outcome_unknown = true;
    }
    let mut world = World::restarted("2026-11-21T08:00:00Z", remembered);
    world.put(daily);
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    21T09:00:00 send a-20261121T0900 #1 (07:10-09:00 missed 0)
    21T09:00:00 accepted a-20261121T0900
    22T09:00:00 send a-20261122T0900 #1 (09:00-09:00 missed 0)
    22T09:00:00 accepted a-20261122T0900
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T0900
    ");
}
