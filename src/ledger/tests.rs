//! What goes in comes back: over receipts, a restart, a disk that refuses, and the history.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::history::{Entry, Filter, RecordedRun};
use super::*;
use crate::api::token::TokenId;
use crate::api::wire::RunStatus;
use crate::plan::delivery::{Body, Delivery, Skip, Verdict, Window};
use crate::plan::fact::{Attempt, Ending, Next, Skipped, Source};
use crate::plan::occurrence::{Namespace, Occurrence, Origin};
use crate::plan::outcome::{Acceptance, Answer, Outcome, Reached};
use crate::plan::pause::{Pause, Pauses, Resumed, Scope};
use crate::plan::remembered::{
    AcceptedDelivery, Delivered, FollowedRun, OpenDelivery, RememberedSchedule,
};
use crate::plan::run::{Finding, Progress, Run, RunEnd, RunReport};
use crate::plan::window::Span;
use crate::schedule::{ScheduleId, Target, TriggerId};

mod file;
pub(in crate::ledger) mod kept;

pub(in crate::ledger) fn at(text: &str) -> Timestamp {
    format!("2026-11-23T{text}Z").parse().unwrap()
}

fn id(name: &str) -> ScheduleId {
    ScheduleId::parse(name).unwrap()
}

/// The hourly delivery of `a` at this hour.
pub(in crate::ledger) fn delivery(hour: i8) -> Arc<Delivery> {
    let scheduled_at = at(&format!("{hour:02}:00:00"));
    let occurrence = Occurrence {
        schedule: id("a"),
        scheduled_at,
        label: format!("20261123T{hour:02}0000Z").into(),
        zone: "UTC".into(),
        origin: Origin::Schedule,
    };
    let target = Target {
        trigger_id: TriggerId::parse("agtch_1").unwrap(),
        token: TokenId::Agent("revenue".into()),
    };
    let namespace = Namespace::default();
    Arc::new(Delivery {
        request_id: occurrence.request_id(&namespace).into(),
        idempotency_key: occurrence.idempotency_key(&namespace, &target.trigger_id),
        conversation_key: Some("a".into()),
        target,
        due_at: scheduled_at + jiff::SignedDuration::from_millis(1_234),
        window: Window {
            start: at(&format!("{:02}:00:00", hour - 1)),
            end: scheduled_at,
            missed_count: 2,
        },
        body: Body::new("{\"input\":\"secret plans\"}".into()),
        keep_body: false,
        opened_at: scheduled_at,
        deadline_at: at("23:00:00"),
        occurrence,
    })
}

fn attempt(delivery: &Arc<Delivery>, outcome: Outcome, next: Next) -> Arc<Attempt> {
    Arc::new(Attempt {
        delivery: delivery.clone(),
        number: 1,
        sent_at: delivery.due_at,
        latency: Duration::from_millis(250),
        answer: Answer {
            outcome,
            http_status: Some(202),
            x_request_id: Some("req_1".into()),
            detail: String::new(),
            fix: "",
        },
        next,
    })
}

pub(in crate::ledger) fn accepted(delivery: &Arc<Delivery>) -> [Fact; 2] {
    let acceptance = Acceptance {
        conversation_url: Some("https://chatgpt.com/c/1".into()),
        run_id: Some("apirun_1".into()),
    };
    let last = attempt(delivery, Outcome::Accepted(acceptance), Next::End);
    [
        Fact::Attempted(last.clone()),
        Fact::Ended(Arc::new(Ending {
            delivery: delivery.clone(),
            verdict: Verdict::Accepted,
            at: delivery.due_at,
            attempts: 1,
            last: Some(last),
            outcome_unknown: false,
            detail: None,
            covered_until: Some(delivery.window.end),
        })),
    ]
}

pub(in crate::ledger) fn began() -> Fact {
    Fact::Began {
        schedule: id("a"),
        at: at("07:30:00"),
        covered_until: at("07:00:00"),
    }
}

/// A place, and ledgers that are opened in it one after the other.
struct State {
    folder: TempDir,
    place: Place,
}

impl State {
    /// In a file, or in a schema of its own of the database that `TRIGGERD_TEST_POSTGRES` names.
    fn new() -> Self {
        match std::env::var("TRIGGERD_TEST_POSTGRES") {
            Ok(url) => Self::in_database(&url),
            Err(_) => Self::in_folder(),
        }
    }

    fn in_folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Folder(folder.path().to_owned());
        Self { folder, place }
    }

    fn in_database(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Postgres(Arc::new(in_new_schema(url)), folder.path().to_owned());
        Self { folder, place }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn store(&self) -> Box<dyn Store> {
        match &self.place {
            Place::Postgres(database, _) => Box::new(Postgres::open(database).unwrap()),
            _ => Box::new(Sqlite::open(self.path()).unwrap()),
        }
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.place).unwrap()
    }

    fn open(&self, now: &str) -> (Ledger, Remembered, UnboundedReceiver<Vec<Receipt>>) {
        loop {
            match Ledger::open(&self.place, at(now)) {
                // A process that another test is starting holds a copy of the lock until its exec.
                Err(LedgerError::InUse { .. }) => std::thread::yield_now(),
                opened => return opened.unwrap(),
            }
        }
    }

    /// Records these facts in a ledger of their own, and gives what became of them.
    fn record(&self, facts: Vec<Fact>) -> Vec<Standing> {
        let (ledger, _, mut receipts) = self.open("23:00:00");
        ledger.append(facts);
        ledger.close().unwrap();
        let mut standings = Vec::new();
        while let Ok(receipt) = receipts.try_recv() {
            standings.extend(receipt.into_iter().map(|receipt| receipt.standing));
        }
        standings
    }

    fn remembered(&self, now: &str) -> Remembered {
        self.open(now).1
    }

    /// As for one schedule that is taken up.
    fn remembered_of(&self, schedule: &str, now: &str) -> Remembered {
        match &self.place {
            Place::Postgres(database, _) => {
                Ledger::beside(database, &id(schedule), at(now)).unwrap().1
            }
            _ => self.remembered(now),
        }
    }

    fn error(&self) -> String {
        let opened = Ledger::open(&self.place, at("08:00:00"));
        let error = opened.err().expect("it can't be opened").to_string();
        error.replace(&self.path().display().to_string(), "STATE")
    }

    /// From here on each skip for this reason is refused for what it says.
    fn refuse_skips_for(&self, why: Skip) {
        self.record(vec![]);
        let why = why.word();
        match &self.place {
            Place::Postgres(database, _) => {
                let never = format!("ALTER TABLE skips ADD CHECK (why <> '{why}')");
                database.do_at_once(&never);
            }
            _ => {
                let file = rusqlite::Connection::open(self.path().join("ledger.db")).unwrap();
                file.execute_batch(&format!(
                    "CREATE TRIGGER refuse BEFORE INSERT ON skips WHEN new.why = '{why}'
                     BEGIN SELECT RAISE(ABORT, 'no such skip'); END"
                ))
                .unwrap();
            }
        }
    }
}

/// The database under an address by which nobody else sees its tables.
pub(in crate::ledger) fn in_new_schema(url: &str) -> Database {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let schema = format!(
        "test_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let among = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{among}options=-csearch_path%3D{schema}");
    let database = Database::parse(&url, None, None).unwrap();
    database.do_at_once(&format!("CREATE SCHEMA {schema}"));
    database
}

#[test]
fn receipts_come_back_in_order_and_durable() {
    let state = State::new();
    let (ledger, remembered, mut receipts) = state.open("07:00:00");
    assert_eq!(remembered, Remembered::default());
    let facts: Vec<Fact> = (8..12)
        .map(|hour| Fact::WrittenAhead(delivery(hour)))
        .collect();
    ledger.append(facts[..1].to_vec());
    ledger.append(facts[1..].to_vec());
    ledger.close().unwrap();
    let mut back = Vec::new();
    while let Ok(batch) = receipts.try_recv() {
        back.extend(batch);
    }
    assert!(
        back.iter()
            .all(|receipt| receipt.standing == Standing::Durable)
    );
    assert_eq!(
        back.into_iter().map(|it| it.fact).collect::<Vec<_>>(),
        facts
    );
}

#[test]
fn an_occurrence_gets_one_delivery() {
    let state = State::new();
    state.record(vec![Fact::WrittenAhead(delivery(8))]);
    let [attempted, ended] = accepted(&delivery(8));
    let standings = state.record(vec![Fact::WrittenAhead(delivery(8)), attempted, ended]);
    assert_eq!(standings, [Standing::AlreadyKnown; 3]);
}

#[test]
fn what_is_open_is_remembered_with_its_key_and_bytes() {
    let state = State::new();
    let trouble = Outcome::Failed {
        reached: Reached::Unknown,
        retry_after: None,
    };
    let failed = attempt(&delivery(8), trouble, Next::RetryAt(at("08:00:09.5")));
    state.record(vec![
        began(),
        Fact::WrittenAhead(delivery(8)),
        Fact::Attempted(failed),
        Fact::WrittenAhead(delivery(9)),
        Fact::SettledUntil(at("08:00:02")),
    ]);
    let remembered = state.remembered("08:30:00");
    assert_eq!(
        remembered,
        Remembered {
            settled_until: Some(at("08:00:02")),
            newest: Some(at("08:00:02")),
            schedules: vec![RememberedSchedule {
                id: id("a"),
                in_force: true,
                began_at: at("07:30:00"),
                covered_until: at("07:00:00"),
                spans: vec![Span::Covered {
                    start: at("07:00:00"),
                    end: at("08:00:00"),
                    open: true,
                }],
            }],
            // What was written ahead of 08:30 is forgotten: it will be written ahead again.
            open: vec![OpenDelivery {
                delivery: delivery(8),
                attempts: 1,
                retry_at: Some(at("08:00:09.5")),
                outcome_unknown: true,
            }],
            accepted: vec![],
            delivered: vec![],
            runs: vec![],
            pauses: Pauses::default(),
        }
    );
}

#[test]
fn what_ended_is_remembered_as_covered_or_missed() {
    let state = State::new();
    let [attempted, ended] = accepted(&delivery(8));
    state.record(vec![
        began(),
        Fact::WrittenAhead(delivery(8)),
        attempted,
        ended,
        Fact::Skipped(Skipped {
            schedule: id("a"),
            why: Skip::Missed,
            first: at("09:00:00"),
            last: at("11:00:00"),
            count: 3,
            at: at("11:10:00"),
        }),
        Fact::Ceased {
            schedule: id("a"),
            at: at("11:20:00"),
        },
    ]);
    let remembered = state.remembered("12:00:00");
    let a = &remembered.schedules[0];
    assert_eq!((a.in_force, a.covered_until), (false, at("08:00:00")));
    assert_eq!(
        a.spans,
        [Span::Missed {
            first: at("09:00:00"),
            last: at("11:00:00"),
            count: 3
        }]
    );
    assert!(remembered.open.is_empty());
    assert_eq!(
        remembered.accepted,
        [AcceptedDelivery {
            schedule: id("a"),
            trigger_id: TriggerId::parse("agtch_1").unwrap(),
            opened_at: at("08:00:00"),
        }]
    );
}

#[test]
fn what_was_opened_lately_counts_for_the_limits_however_late_it_was() {
    let state = State::new();
    let opened_after = |hours: i64, opened_at: Timestamp| {
        let of = delivery(8);
        let mut occurrence = of.occurrence.clone();
        occurrence.scheduled_at = opened_at - jiff::SignedDuration::from_hours(hours);
        occurrence.label = format!("{hours}").into();
        let key = occurrence.idempotency_key(&Namespace::default(), &of.target.trigger_id);
        Arc::new(Delivery {
            idempotency_key: key,
            due_at: opened_at,
            opened_at,
            occurrence,
            ..of.as_ref().clone()
        })
    };
    let now = at("12:00:00");
    let day_before_yesterday = now - jiff::SignedDuration::from_hours(28);
    let mut facts = vec![began()];
    let old = [1, 100].map(|hours| opened_after(hours, day_before_yesterday));
    let lately = [
        (0, "09:00:00"),
        (24, "09:00:01"),
        (48, "09:00:02"),
        (49, "09:00:03"),
        (1000, "09:00:04"),
    ];
    let lately = lately.map(|(hours, opened_at)| opened_after(hours, at(opened_at)));
    for delivery in old.iter().chain(&lately) {
        facts.push(Fact::WrittenAhead(delivery.clone()));
        facts.extend(accepted(delivery));
    }
    state.record(facts);
    let remembered = state.remembered_of("a", "12:00:00");
    let mut counted: Vec<_> = remembered.accepted.iter().map(|it| it.opened_at).collect();
    counted.sort();
    assert_eq!(counted, lately.map(|it| it.opened_at));
}

#[test]
fn a_body_is_dropped_once_it_is_accepted_unless_it_is_to_be_kept() {
    for keep_body in [false, true] {
        let state = State::new();
        let delivery = Arc::new(Delivery {
            keep_body,
            ..(*delivery(8)).clone()
        });
        let [attempted, ended] = accepted(&delivery);
        state.record(vec![Fact::WrittenAhead(delivery.clone()), attempted, ended]);
        let reader = state.reader();
        let recorded = reader.delivery(&delivery.request_id).unwrap().unwrap();
        assert_eq!(recorded.body.json.is_some(), keep_body);
        assert_eq!(recorded.body.sha256, delivery.body.sha256);
        assert_eq!(recorded.body.len, delivery.body.json.len() as u64);
    }
}

#[test]
fn withdrawn_leaves_no_trace() {
    let state = State::new();
    state.record(vec![
        Fact::WrittenAhead(delivery(8)),
        Fact::Withdrawn(delivery(8)),
    ]);
    let standings = state.record(vec![Fact::WrittenAhead(delivery(8))]);
    assert_eq!(standings, [Standing::Durable]);
}

#[test]
fn skips_that_follow_each_other_share_a_row() {
    let state = State::new();
    let skip = |hour: i8| {
        Fact::Skipped(Skipped {
            schedule: id("a"),
            why: Skip::Paused,
            first: at(&format!("{hour:02}:00:00")),
            last: at(&format!("{hour:02}:00:00")),
            count: 1,
            at: at(&format!("{hour:02}:00:01")),
        })
    };
    state.record(vec![
        skip(8),
        skip(9),
        Fact::WrittenAhead(delivery(10)),
        skip(11),
    ]);
    let history = state
        .reader()
        .history(&Filter {
            schedule: Some(id("a")),
            limit: 10,
        })
        .unwrap();
    let counts: Vec<u64> = history
        .iter()
        .filter_map(|entry| match entry {
            Entry::Skip(skip) => Some(skip.skipped.count),
            Entry::Delivery(_) => None,
        })
        .collect();
    assert_eq!(counts, [2, 1]);
}

#[test]
fn the_last_good_version_of_a_file_is_kept() {
    let state = State::new();
    let source = Source {
        toml: "cron = \"0 9 * * *\"".into(),
        input: Some("hello".into()),
    };
    state.record(vec![Fact::InForce {
        schedule: id("a"),
        source: Arc::new(source.clone()),
    }]);
    let reader = state.reader();
    assert_eq!(reader.source(&id("a")).unwrap(), Some(source));
    assert_eq!(reader.source(&id("b")).unwrap(), None);
}

#[test]
fn a_step_back_takes_back_what_was_skipped_after_it() {
    let state = State::new();
    let skipped = Skipped {
        schedule: id("a"),
        why: Skip::Missed,
        first: at("09:00:00"),
        last: at("18:00:00"),
        count: 10,
        at: at("18:10:00"),
    };
    state.record(vec![
        began(),
        Fact::Skipped(skipped),
        skip_at(19, Skip::Excluded),
        Fact::SettledUntil(at("19:10:00")),
        Fact::Rewound { to: at("11:30:00") },
    ]);
    let remembered = state.remembered("11:30:00");
    assert_eq!(remembered.newest, Some(at("11:30:00")));
    assert_eq!(remembered.settled_until, Some(at("11:30:00")));
    assert_eq!(
        remembered.schedules[0].spans,
        [Span::Missed {
            first: at("09:00:00"),
            last: at("11:30:00"),
            count: 3
        }]
    );
}

#[test]
fn after_a_step_back_what_was_accepted_later_covers_nothing_before_it() {
    let state = State::new();
    let mut facts = vec![began()];
    for hour in [8, 9, 10] {
        facts.push(Fact::WrittenAhead(delivery(hour)));
        facts.extend(accepted(&delivery(hour)));
    }
    facts.push(Fact::Rewound { to: at("09:30:00") });
    state.record(facts);
    let remembered = state.remembered("09:30:00");
    assert_eq!(remembered.schedules[0].covered_until, at("09:00:00"));
    assert_eq!(
        remembered.schedules[0].spans,
        [Span::Covered {
            start: at("09:00:00"),
            end: at("10:00:00"),
            open: false
        }]
    );
}

#[test]
fn after_a_step_back_what_ended_of_what_lies_ahead_is_told_at_once_and_at_each_start() {
    let state = State::new();
    let mut facts = vec![began()];
    for hour in 8..11 {
        facts.push(Fact::WrittenAhead(delivery(hour)));
        facts.extend(accepted(&delivery(hour)));
    }
    facts.push(Fact::WrittenAhead(delivery(11)));
    facts.push(Fact::SettledUntil(at("11:00:00")));
    state.record(facts);
    let (ledger, remembered, mut receipts) = state.open("08:30:00");
    assert_eq!(remembered.delivered, [], "nothing is known of a step yet");
    let ahead = [9, 10].map(|hour| Delivered {
        schedule: id("a"),
        scheduled_at: delivery(hour).occurrence.scheduled_at,
    });
    ledger.append(vec![Fact::Rewound { to: at("08:40:00") }]);
    assert_eq!(receipts.blocking_recv().unwrap()[0].delivered, ahead);
    ledger.close().unwrap();
    assert_eq!(state.remembered("12:00:00").delivered, ahead);
}

#[test]
fn after_a_step_back_a_wait_for_a_retry_is_no_longer_than_before() {
    let state = State::new();
    let next = Next::RetryAt(at("08:10:00"));
    state.record(vec![
        began(),
        Fact::WrittenAhead(delivery(8)),
        Fact::Attempted(attempt(&delivery(8), Outcome::NotRunnable, next)),
        Fact::SettledUntil(at("08:04:00")),
        Fact::Rewound { to: at("07:00:00") },
    ]);
    let open = state.remembered("07:00:00").open;
    assert_eq!(open[0].retry_at, Some(at("07:06:00")));
}

#[test]
fn after_a_step_back_a_schedule_owes_what_comes_again_from_before_it_began() {
    let state = State::new();
    state.record(vec![began(), Fact::Rewound { to: at("07:10:00") }]);
    let remembered = state.remembered("07:11:00");
    assert_eq!(remembered.schedules[0].began_at, at("07:10:00"));
}

#[test]
fn what_was_written_ahead_in_vain_fires_though_the_disk_refuses_to_forget_it() {
    let state = State::new();
    state.record(vec![Fact::WrittenAhead(delivery(8))]);

    let mut store = state.store();
    assert_eq!(store.remember(at("07:30:00")).unwrap().open, []);
    store.refuse_growth(true);
    let (sender, mut receipts) = unbounded_channel();
    let mut writer = Writer::new(store, sender, unbounded_channel().0);
    let again = Arc::new(Delivery {
        body: Body::new("x".repeat(1 << 20)),
        ..(*delivery(8)).clone()
    });
    writer.take(Command::Append(vec![Fact::WrittenAhead(again)]));
    writer.save();
    let receipts = receipts.try_recv().unwrap();
    assert_eq!(receipts[0].standing, Standing::InMemory);
    writer.take(Command::Hook(Box::new(|store| store.refuse_growth(false))));
    writer.close().unwrap();
    assert_eq!(state.remembered("10:00:00").open.len(), 1);
}

#[tokio::test]
async fn what_was_withdrawn_can_be_written_ahead_again_though_the_disk_refuses() {
    let state = State::new();
    let (ledger, _, mut receipts) = state.open("07:00:00");
    ledger.append(vec![Fact::WrittenAhead(delivery(8))]);
    assert_eq!(
        receipts.recv().await.unwrap()[0].standing,
        Standing::Durable
    );

    ledger.command(Command::Hook(Box::new(|store| store.refuse_growth(true))));
    let again = Arc::new(Delivery {
        body: Body::new("x".repeat(1 << 20)),
        ..(*delivery(8)).clone()
    });
    ledger.append(vec![
        Fact::Withdrawn(delivery(8)),
        Fact::WrittenAhead(again.clone()),
        Fact::WrittenAhead(again),
    ]);
    let standings: Vec<_> = receipts.recv().await.unwrap();
    let standings: Vec<_> = standings.iter().map(|it| it.standing).collect();
    assert_eq!(
        standings,
        [
            Standing::InMemory,
            Standing::InMemory,
            Standing::AlreadyKnown
        ]
    );
    ledger.command(Command::Hook(Box::new(|store| store.refuse_growth(false))));
    ledger.close().unwrap();
    let open = state.remembered("10:00:00").open;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].delivery.body.json.len(), 1 << 20);
}

#[tokio::test]
async fn a_disk_that_refuses_keeps_nothing_from_firing_and_gets_everything_later() {
    let state = State::new();
    let (ledger, _, mut receipts) = state.open("07:00:00");
    ledger.command(Command::Hook(Box::new(|store| store.refuse_growth(true))));
    let big = |hour| {
        Arc::new(Delivery {
            body: Body::new("x".repeat(1 << 20)),
            ..(*delivery(hour)).clone()
        })
    };
    ledger.append(vec![Fact::WrittenAhead(big(8))]);
    let refused = receipts.recv().await.unwrap();
    assert_eq!(refused[0].standing, Standing::InMemory);
    ledger.append(vec![Fact::WrittenAhead(big(8)), Fact::WrittenAhead(big(9))]);
    let again = receipts.recv().await.unwrap();
    let standings: Vec<_> = again.iter().map(|receipt| receipt.standing).collect();
    assert_eq!(standings, [Standing::AlreadyKnown, Standing::InMemory]);
    ledger.command(Command::Hook(Box::new(|store| store.refuse_growth(false))));
    ledger.close().unwrap();
    let open = state.remembered("10:00:00").open;
    let hours: Vec<_> = open
        .iter()
        .map(|it| it.delivery.occurrence.scheduled_at)
        .collect();
    assert_eq!(hours, [at("08:00:00"), at("09:00:00")]);
}

pub(in crate::ledger) fn skip_at(hour: i8, why: Skip) -> Fact {
    Fact::Skipped(Skipped {
        schedule: id("a"),
        why,
        first: at(&format!("{hour:02}:00:00")),
        last: at(&format!("{hour:02}:00:00")),
        count: 1,
        at: at(&format!("{hour:02}:00:01")),
    })
}

#[test]
fn a_fact_that_is_refused_for_what_it_says_is_left_out_and_the_rest_is_written() {
    let state = State::new();
    state.refuse_skips_for(Skip::Limit);
    let standings = state.record(vec![
        skip_at(7, Skip::Paused),
        skip_at(8, Skip::Limit),
        Fact::WrittenAhead(delivery(9)),
    ]);
    let [durable, in_memory] = [Standing::Durable, Standing::Refused];
    assert_eq!(standings, [durable, in_memory, durable]);
    let history = state
        .reader()
        .history(&Filter {
            schedule: None,
            limit: 10,
        })
        .unwrap();
    assert_eq!(history.len(), 2, "{history:?}");
    assert_eq!(state.remembered("10:00:00").open.len(), 1);
}

#[test]
fn what_a_full_disk_kept_waiting_is_written_around_a_refused_fact() {
    let state = State::new();
    state.refuse_skips_for(Skip::Limit);
    let mut store = state.store();
    store.refuse_growth(true);
    let (sender, mut receipts) = unbounded_channel();
    let mut writer = Writer::new(store, sender, unbounded_channel().0);
    let big = Arc::new(Delivery {
        body: Body::new("x".repeat(1 << 20)),
        ..(*delivery(9)).clone()
    });
    writer.take(Command::Append(vec![
        Fact::WrittenAhead(big),
        skip_at(8, Skip::Limit),
    ]));
    writer.save();
    assert_eq!(receipts.try_recv().unwrap().len(), 2);
    writer.take(Command::Hook(Box::new(|store| store.refuse_growth(false))));
    writer.close().unwrap();
    assert_eq!(state.remembered("10:00:00").open.len(), 1);
}

#[test]
fn a_step_back_into_skips_that_are_closer_than_can_be_told_blocks_nothing() {
    let state = State::new();
    let crowd = Skipped {
        schedule: id("a"),
        why: Skip::Missed,
        first: at("09:00:00"),
        last: at("09:00:00.000000002"),
        count: 10,
        at: at("09:10:00"),
    };
    let standings = state.record(vec![
        began(),
        Fact::Skipped(crowd),
        Fact::Rewound {
            to: at("09:00:00.000000001"),
        },
    ]);
    assert_eq!(standings, [Standing::Durable; 3]);
}

#[test]
fn pruning_keeps_what_is_open_and_when_a_schedule_began() {
    let state = State::new();
    let [attempted, ended] = accepted(&delivery(8));
    state.record(vec![
        began(),
        Fact::WrittenAhead(delivery(8)),
        attempted,
        ended,
        Fact::WrittenAhead(delivery(9)),
    ]);
    let (ledger, ..) = state.open("12:00:00");
    ledger.prune(at("11:00:00"));
    ledger.close().unwrap();
    let reader = state.reader();
    assert_eq!(reader.delivery(&delivery(8).request_id).unwrap(), None);
    assert!(reader.delivery(&delivery(9).request_id).unwrap().is_some());
    assert_eq!(
        state.remembered("12:00:00").schedules[0].began_at,
        at("07:30:00")
    );
}

#[test]
fn what_a_clock_that_was_ahead_ended_stops_no_pruning_of_what_comes_after() {
    let state = State::new();
    let mut facts = vec![began()];
    for (hour, ended_at) in [(8, "2036-11-23T08:00:00Z"), (9, "2026-11-23T09:00:00Z")] {
        let [attempted, ended] = accepted(&delivery(hour));
        let Fact::Ended(ending) = ended else {
            unreachable!("it ends")
        };
        let ended = Fact::Ended(Arc::new(Ending {
            at: ended_at.parse().unwrap(),
            ..ending.as_ref().clone()
        }));
        facts.extend([Fact::WrittenAhead(delivery(hour)), attempted, ended]);
    }
    state.record(facts);
    let (ledger, ..) = state.open("12:00:00");
    ledger.prune(at("11:00:00"));
    ledger.close().unwrap();
    let reader = state.reader();
    let is_kept = |hour| {
        let found = reader.delivery(&delivery(hour).request_id);
        found.unwrap().is_some()
    };
    assert_eq!([8, 9].map(is_kept), [true, false]);
}

#[test]
fn a_pause_that_ran_out_does_not_end_a_longer_one() {
    let state = State::new();
    let paused_until = |until| Fact::Paused {
        scope: Scope::All,
        pause: Pause {
            since: at("08:00:00"),
            until: Some(at(until)),
            reason: None,
        },
    };
    let resumed_at = |time, how| Fact::Resumed {
        scope: Scope::All,
        at: at(time),
        how,
    };
    state.record(vec![paused_until("10:00:00"), paused_until("12:00:00")]);
    state.record(vec![resumed_at("10:30:00", Resumed::Expired)]);
    let pauses = state.remembered("11:00:00").pauses;
    let until = pauses.get(&Scope::All).and_then(|pause| pause.until);
    assert_eq!(until, Some(at("12:00:00")));
    state.record(vec![resumed_at("11:00:00", Resumed::ByHand)]);
    assert_eq!(state.remembered("11:00:00").pauses, Pauses::default());
}

#[test]
fn a_run_is_remembered_until_it_has_ended() {
    let state = State::new();
    let accepted_run = |hour| {
        let delivery = delivery(hour);
        let acceptance = Acceptance {
            conversation_url: Some("https://chatgpt.com/c/1".into()),
            run_id: Some(format!("apirun_{hour}")),
        };
        let run = Run::of(&delivery, &acceptance, at("10:00:00")).unwrap();
        let attempted = attempt(&delivery, Outcome::Accepted(acceptance), Next::End);
        let [_, ended] = accepted(&delivery);
        let facts = vec![
            Fact::WrittenAhead(delivery),
            Fact::Attempted(attempted),
            ended,
        ];
        (Arc::new(run), facts)
    };
    let report = |run: &Arc<Run>, progress, time| {
        Fact::Run(Arc::new(RunReport {
            run: run.clone(),
            progress,
            at: at(time),
        }))
    };
    let (eight, mut facts) = accepted_run(8);
    let (nine, more) = accepted_run(9);
    facts.extend(more);
    let status = |status: &str| Progress::Status(RunStatus::from(status.to_owned()));
    facts.extend([
        report(&eight, status("queued"), "10:00:00"),
        report(&eight, status("suspended"), "10:01:00"),
        report(&eight, status("suspended"), "10:02:00"),
        report(&nine, status("completed"), "10:03:00"),
        report(
            &nine,
            Progress::Ended(RunEnd::Completed(Some(Finding::Missing))),
            "10:04:00",
        ),
    ]);
    state.record(facts);
    assert_eq!(
        state.remembered("12:00:00").runs,
        [FollowedRun {
            run: eight.as_ref().clone(),
            status: RunStatus::Suspended,
            since: at("10:01:00"),
        }]
    );
    let reader = state.reader();
    let ended = reader.last_ended_run(&id("a")).unwrap();
    assert_eq!(ended.map(|it| it.request_id), Some(nine.request_id.clone()));
    let recorded = reader.delivery(&nine.request_id).unwrap().unwrap();
    assert_eq!(
        recorded.run,
        Some(RecordedRun {
            status: "completed".into(),
            since: at("10:03:00"),
            ended_at: Some(at("10:04:00")),
            result: Some("missing".into()),
            detail: None,
        })
    );
}

#[test]
fn what_was_written_ahead_before_a_step_back_over_a_restart_is_kept_with_its_bytes() {
    let state = State::new();
    state.record(vec![
        began(),
        Fact::WrittenAhead(delivery(9)),
        Fact::SettledUntil(at("08:59:55")),
    ]);
    // A clock that stands before what was seen: it may have been sent.
    let (ledger, remembered, _receipts) = state.open("07:00:00");
    assert_eq!(remembered.open[0].delivery, delivery(9));
    ledger.append(vec![Fact::Rewound { to: at("07:10:00") }]);
    ledger.close().unwrap();
    // And still after the next start, under a clock that is behind no more.
    let open = state.remembered("07:20:00").open;
    assert_eq!(open.len(), 1);
    assert_eq!(
        (&open[0].delivery, open[0].outcome_unknown),
        (&delivery(9), true)
    );
}

/// Ended at these hours, and then open at those.
fn ended_and_open(ended: &[i8], open: &[i8]) -> (State, Reader) {
    let state = State::new();
    let mut facts = vec![began()];
    for &hour in ended {
        let delivery = delivery(hour);
        facts.push(Fact::WrittenAhead(delivery.clone()));
        facts.extend(accepted(&delivery));
    }
    facts.extend(open.iter().map(|&hour| Fact::WrittenAhead(delivery(hour))));
    state.record(facts);
    let reader = state.reader();
    (state, reader)
}

#[test]
fn what_is_beyond_the_newest_is_said_to_be_uncounted() {
    let (_state, reader) = ended_and_open(&[8, 9, 10, 11], &[12, 13]);
    #[track_caller]
    fn check(reader: &Reader, limit: usize, ended: Option<&str>, open: Option<&str>) {
        let found = reader.since(at("00:00:00"), limit).unwrap();
        let expected = history::Uncounted {
            ended: ended.map(at),
            open: open.map(at),
        };
        assert_eq!(found.uncounted, expected);
        let counted = limit.min(4) + limit.min(2);
        assert_eq!(found.marks.len(), counted);
    }
    check(&reader, 4, None, None);
    check(&reader, 3, Some("08:00:01.234"), None);
    check(&reader, 1, Some("10:00:01.234"), Some("12:00:00"));
    let later = reader.since(at("11:00:00"), 1).unwrap();
    assert_eq!(later.uncounted.ended, None, "what it lacks is older");
}

#[test]
fn the_last_verdict_is_found_behind_any_number_of_open_deliveries() {
    let open: Vec<i8> = (9..23).collect();
    let (_state, reader) = ended_and_open(&[8], &open);
    let last = reader.last_verdict(&id("a")).unwrap();
    assert_eq!(last.map(|entry| entry.scheduled_at()), Some(at("08:00:00")));
    assert_eq!(reader.last_verdict(&id("b")).unwrap(), None);
}
