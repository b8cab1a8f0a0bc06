//! The ledger alone, without a daemon: what a node may still write once another has its schedule.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedReceiver;
use triggerd::api::token::TokenId;
use triggerd::ledger::cluster::{News, Node, Taken};
use triggerd::ledger::{Database, Joined, Ledger, Place, Reader, Receipt, Recorder, Standing};
use triggerd::plan::delivery::{Body, Delivery, Skip, Verdict, Window};
use triggerd::plan::fact::{Attempt, Ending, Fact, Next, Skipped};
use triggerd::plan::occurrence::{Namespace, Occurrence, Origin};
use triggerd::plan::outcome::{Acceptance, Answer, Outcome};
use triggerd::plan::remembered::Delivered;
use triggerd::schedule::{ScheduleId, Target, TriggerId};

use crate::Context;
use crate::daemon::until;
use crate::judge::Judgement;
use crate::row::Row;
use crate::server::{Route, Server, until_says};

pub(crate) struct OneNode {
    pub(crate) joined: Joined,
    _state: tempfile::TempDir,
}

impl OneNode {
    pub(crate) fn join(database: &Arc<Database>, schedules: &[ScheduleId]) -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let node = Node {
            host: "test".to_owned(),
            wall: Box::new(Timestamp::now),
        };
        let joined = Ledger::join(database, state.path(), node).expect("it joins");
        let holdings = schedules.iter().map(|it| (it.clone(), Some([7; 32])));
        joined.ledger.hold(holdings.collect());
        Self {
            joined,
            _state: state,
        }
    }

    /// Waits until so many schedules are claimed for it, and writes by those claims from then on.
    pub(crate) fn takes(&mut self, count: usize) -> Vec<Taken> {
        let mut taken = Vec::new();
        until("the claims", || {
            while let Ok(news) = self.joined.news.try_recv() {
                if let News::Taken(some) = news {
                    taken.extend(some);
                }
            }
            taken.len() >= count
        });
        let claims = taken.iter().map(|it| (it.id.clone(), it.claim));
        self.joined.ledger.write_by(claims.collect());
        taken
    }

    /// Waits until it is told that another node has it.
    fn hears_that_it_lost_it(&mut self) {
        let mut lost = false;
        until("the news of the loss", || {
            while let Ok(news) = self.joined.news.try_recv() {
                lost |= matches!(news, News::Lost(_));
            }
            lost
        });
    }

    pub(crate) fn write(&mut self, facts: Vec<Fact>) -> Vec<Standing> {
        let count = facts.len();
        self.joined.ledger.append(facts);
        let mut standings = Vec::new();
        while standings.len() < count {
            standings.extend(heard(&mut self.joined.receipts));
        }
        standings
    }
}

fn heard(receipts: &mut UnboundedReceiver<Vec<Receipt>>) -> Vec<Standing> {
    let receipts = receipts.blocking_recv().expect("the writer lives");
    receipts.into_iter().map(|it| it.standing).collect()
}

fn schedule() -> ScheduleId {
    ScheduleId::parse("a").expect("a name")
}

pub(crate) fn at(hour: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000 + hour)
}

fn delivery(hour: i64) -> Arc<Delivery> {
    delivery_of(schedule(), hour)
}

pub(crate) fn delivery_of(schedule: ScheduleId, hour: i64) -> Arc<Delivery> {
    let occurrence = Occurrence {
        schedule,
        scheduled_at: at(hour),
        label: format!("{hour}").into(),
        zone: "UTC".into(),
        origin: Origin::Schedule,
    };
    let trigger_id = TriggerId::parse("agtch_1").expect("an id");
    Arc::new(Delivery {
        request_id: occurrence.request_id(&Namespace::default()).into(),
        idempotency_key: occurrence.idempotency_key(&Namespace::default(), &trigger_id),
        conversation_key: None,
        target: Target {
            trigger_id,
            token: TokenId::Default,
        },
        due_at: at(hour),
        window: Window {
            start: at(hour - 1),
            end: at(hour),
            missed_count: 0,
        },
        body: Body::new("{}".into()),
        keep_body: false,
        opened_at: at(hour),
        deadline_at: at(hour + 12),
        occurrence,
    })
}

fn ended(delivery: &Arc<Delivery>, verdict: Verdict) -> Fact {
    Fact::Ended(Arc::new(Ending {
        delivery: delivery.clone(),
        verdict,
        at: delivery.due_at,
        attempts: 1,
        last: None,
        outcome_unknown: false,
        detail: None,
        covered_until: (verdict == Verdict::Accepted).then_some(delivery.window.end),
    }))
}

pub(crate) fn accepted(delivery: &Arc<Delivery>) -> Vec<Fact> {
    let attempt = Attempt {
        delivery: delivery.clone(),
        number: 1,
        sent_at: delivery.due_at,
        latency: Duration::from_millis(5),
        answer: Answer {
            outcome: Outcome::Accepted(Acceptance::default()),
            http_status: Some(202),
            x_request_id: None,
            detail: String::new(),
            fix: "",
        },
        next: Next::End,
    };
    vec![
        Fact::WrittenAhead(delivery.clone()),
        Fact::Attempted(Arc::new(attempt)),
        ended(delivery, Verdict::Accepted),
    ]
}

fn missed(hour: i64) -> Fact {
    Fact::Skipped(Skipped {
        schedule: schedule(),
        why: Skip::Missed,
        first: at(hour),
        last: at(hour),
        count: 1,
        at: at(hour),
    })
}

/// A node that is stopped in the middle loses its schedule; what it writes after that is left out, but
/// for what was accepted.
pub(crate) fn fence(_: &Context) -> Row {
    let server = match Server::start() {
        Ok(server) => server,
        Err(problem) => return Row::failed(problem),
    };
    let way =
        |route: &Route| Arc::new(Database::parse(&route.url(), None, None).expect("an address"));
    let (one_way, other_way) = (Route::new(&server), Route::new(&server));
    let mut one = OneNode::join(&way(&one_way), &[schedule()]);
    one.takes(1);
    let began = Fact::Began {
        schedule: schedule(),
        at: at(0),
        covered_until: at(0),
    };
    let taken_up = Fact::TakenUp {
        schedule: schedule(),
    };
    let first = one.write(vec![
        began,
        taken_up,
        Fact::WrittenAhead(delivery(1)),
        Fact::SettledUntil(at(1)),
    ]);

    // A person triggers by hand where no daemon runs: what a node wrote ahead stays.
    let beside = tempfile::tempdir().expect("a temporary folder");
    let place = Place::Postgres(way(&other_way), beside.path().to_owned());
    drop(Ledger::open(&place, Timestamp::now()).expect("it opens"));
    let ahead_stays = server.query("SELECT count(*) FROM deliveries WHERE verdict IS NULL");

    // As if it had been stopped for longer than its lease, but for its tongue.
    let mut other = OneNode::join(&way(&other_way), &[schedule()]);
    server.query(
        "UPDATE owners SET incarnation = (SELECT max(incarnation) FROM nodes),
             fence = nextval('fences') WHERE schedule = 'a'",
    );
    let late = one.write(vec![
        ended(&delivery(1), Verdict::Expired),
        missed(2),
        Fact::WrittenAhead(delivery(3)),
    ]);
    one.hears_that_it_lost_it();
    let truth = one.write(accepted(&delivery(4)));
    // Also where what it had written ahead was left out long before.
    let alone = accepted(&delivery(5));
    let left_out = one.write(alone[..1].to_vec());
    let truth = [truth, one.write(alone[1..].to_vec())].concat();
    let covered = server.query("SELECT covered_until FROM schedules WHERE name = 'a'");
    drop(one);

    // A newer version adds to the tables under those that run.
    server.query(
        "ALTER TABLE nodes ADD COLUMN more integer; ALTER TABLE deliveries ADD COLUMN more integer",
    );

    // The other one finds what the first one left, when that has no lease any more.
    server.query(&format!(
        "UPDATE owners SET incarnation = NULL, settled_until = {} WHERE schedule = 'a'",
        at(1).as_nanosecond()
    ));
    let taken = other.takes(1);
    let ahead = [4, 5].map(|hour| Delivered {
        schedule: schedule(),
        scheduled_at: delivery(hour).occurrence.scheduled_at,
    });
    let open = taken[0].remembered.open.iter();
    let open: Vec<_> = open.map(|it| it.delivery.clone()).collect();
    let goes_on = other.write(vec![
        Fact::TakenUp {
            schedule: schedule(),
        },
        missed(2),
        ended(&delivery(1), Verdict::Expired),
    ]);
    let mut steps = Vec::new();
    other
        .joined
        .ledger
        .append(vec![Fact::Rewound { to: at(2) }]);
    until("the receipt of the step back", || {
        while let Ok(receipts) = other.joined.receipts.try_recv() {
            steps.extend(receipts);
        }
        !steps.is_empty()
    });
    let place = Place::Postgres(way(&other_way), "/nowhere".into());
    let reader = Reader::open(&place).expect("it can be read");
    let verdict = |hour| {
        let found = reader
            .delivery(&format!("a-{hour}"))
            .expect("it can be read");
        found.and_then(|it| it.ending).map(|it| it.verdict)
    };
    let verdicts = [1, 3, 4, 5].map(verdict);

    let judgement = Judgement {
        judged: 1,
        ..Judgement::default()
    };
    let durable = |standings: &[Standing]| standings.iter().all(|it| *it == Standing::Durable);
    Row::of(1, judgement)
        .expect(
            durable(&first),
            format!("the owner's first facts: {first:?}"),
        )
        .expect(
            ahead_stays == "1",
            "what was written ahead was forgotten by another process",
        )
        .expect(
            late == [Standing::Fenced; 3],
            format!("what comes late: {late:?}"),
        )
        .expect(
            left_out == [Standing::Fenced],
            format!("what is written ahead: {left_out:?}"),
        )
        .expect(durable(&truth), format!("what was accepted: {truth:?}"))
        .expect(
            covered == (at(0).as_second() * 1_000_000_000).to_string(),
            format!("a stranger moved the window: {covered}"),
        )
        .expect(
            open == [delivery(1)],
            format!("what was left open: {open:?}"),
        )
        .expect(
            taken[0].remembered.delivered == ahead,
            format!("delivered, and ahead: {:?}", taken[0].remembered.delivered),
        )
        .expect(
            steps[0].standing == Standing::Durable && steps[0].delivered == ahead,
            format!("ahead since a step back: {:?}", steps[0]),
        )
        .expect(durable(&goes_on), format!("the new owner: {goes_on:?}"))
        .expect(
            verdicts
                == [
                    Some(Verdict::Expired),
                    None,
                    Some(Verdict::Accepted),
                    Some(Verdict::Accepted),
                ],
            format!("verdicts: {verdicts:?}"),
        )
}

/// The database takes a claim, and the connection ends before it can say so: the node finds out that
/// the schedule is its own.
pub(crate) fn lost_answer(_: &Context) -> Row {
    let server = match Server::start() {
        Ok(server) => server,
        Err(problem) => return Row::failed(problem),
    };
    let route = Route::new(&server);
    let database = Database::parse(&route.url(), None, None).expect("an address");
    let mut node = OneNode::join(&Arc::new(database), &[]);
    std::thread::scope(|scope| {
        // The claim waits for what becomes of another, which is taken back.
        scope.spawn(|| {
            server.query(
                "BEGIN; INSERT INTO owners VALUES ('a', NULL, 0, NULL, NULL); SELECT pg_sleep(3); ROLLBACK",
            )
        });
        until_says(
            &server,
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
            "1",
        );
        let holdings = vec![(schedule(), Some([7; 32]))];
        node.joined.ledger.hold(holdings);
        until_says(
            &server,
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
            "1",
        );
        route.cut();
    });
    until_says(&server, "SELECT count(incarnation) FROM owners", "1");
    route.mend();
    let taken = node.takes(1).len();
    let judgement = Judgement {
        judged: 1,
        ..Judgement::default()
    };
    Row::of(1, judgement).expect(taken == 1, format!("{taken} were taken"))
}

/// A node whose lease had lapsed has taken its schedule again; what it still states by the claim of
/// before is left out, and the schedule is its own all the same.
pub(crate) fn taken_again(_: &Context) -> Row {
    let server = match Server::start() {
        Ok(server) => server,
        Err(problem) => return Row::failed(problem),
    };
    let route = Route::new(&server);
    let database = Database::parse(&route.url(), None, None).expect("an address");
    let mut node = OneNode::join(&Arc::new(database), &[schedule()]);
    node.takes(1);
    let taken_up = || Fact::TakenUp {
        schedule: schedule(),
    };
    node.write(vec![taken_up()]);
    // Another had taken it meanwhile, and has left it again.
    server.query(
        "UPDATE owners SET incarnation = NULL, fence = nextval('fences'), settled_until = 0;
         UPDATE nodes SET lease_until = clock_timestamp() - interval '1 second'",
    );
    until_says(&server, "SELECT count(incarnation) FROM owners", "1");
    let late = node.write(vec![missed(2)]);
    server.query("UPDATE nodes SET schedules = -1");
    until("the next turn", || {
        server.query("SELECT schedules FROM nodes") != "-1"
    });
    let held = server.query("SELECT schedules FROM nodes");
    node.takes(1);
    let goes_on = node.write(vec![taken_up(), missed(3)]);
    let judgement = Judgement {
        judged: 1,
        ..Judgement::default()
    };
    Row::of(1, judgement)
        .expect(
            late == [Standing::Fenced],
            format!("what comes late: {late:?}"),
        )
        .expect(held == "1", format!("{held} are looked after"))
        .expect(
            goes_on == [Standing::Durable; 2],
            format!("by the new claim: {goes_on:?}"),
        )
}

/// A schedule that a live node has loaded is held, though nobody looks after it while it moves.
pub(crate) fn held(_: &Context) -> Row {
    let server = match Server::start() {
        Ok(server) => server,
        Err(problem) => return Row::failed(problem),
    };
    let route = Route::new(&server);
    let database = Arc::new(Database::parse(&route.url(), None, None).expect("an address"));
    // It makes the tables.
    drop(OneNode::join(&database, &[]));
    let place = Place::Postgres(database, "/nowhere".into());
    let look = || {
        let reader = Reader::open(&place).expect("it can be read");
        let owner = reader.looked_after_on(&schedule()).expect("it answers");
        let is_held = reader.is_held(&schedule()).expect("it answers");
        (is_held, owner.is_some())
    };
    let unknown = look();
    server.query(
        "INSERT INTO nodes (incarnation, name, host, version, lease_until)
         VALUES (1001, 'x', 'x', '0', clock_timestamp() + interval '1 hour')",
    );
    server
        .query("INSERT INTO holdings VALUES (1001, 'a', decode('07', 'hex'), nextval('changes'))");
    server.query("INSERT INTO owners VALUES ('a', NULL, nextval('fences'), NULL, 0)");
    let on_its_way = look();
    server.query("UPDATE owners SET incarnation = 1001");
    let looked_after = look();
    server.query("UPDATE holdings SET version = NULL; UPDATE owners SET incarnation = NULL");
    let file_gone = look();
    server.query(
        "UPDATE holdings SET version = decode('07', 'hex');
         UPDATE nodes SET lease_until = clock_timestamp() - interval '1 second'",
    );
    let node_gone = look();
    let found = [unknown, on_its_way, looked_after, file_gone, node_gone];
    let expected = [
        (false, false),
        (true, false),
        (true, true),
        (false, false),
        (false, false),
    ];
    let judgement = Judgement {
        judged: found.len(),
        ..Judgement::default()
    };
    Row::of(1, judgement).expect(found == expected, format!("held, looked after: {found:?}"))
}
