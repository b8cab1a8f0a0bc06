//! What several nodes and a full ledger cost: printed, not judged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use triggerd::ledger::{Database, Recorder};
use triggerd::plan::fact::Fact;
use triggerd::schedule::ScheduleId;

use crate::Context;
use crate::api::Effect;
use crate::fence::{OneNode, accepted, at, delivery_of};
use crate::nodes::Nodes;
use crate::server::{Route, Server};
use crate::story::Plan;
use crate::world::World;

/// Due at once.
const CROWD: usize = 10_000;

/// From the start of the daemons to the instant at which all is due: files are read and claimed.
const WARM_UP: SignedDuration = SignedDuration::from_secs(30);

/// Of each, in turn; medians are told.
const RUNS: usize = 3;

pub(crate) fn burst(context: &Context) {
    let mut runs: [Vec<Measured>; 4] = Default::default();
    for _ in 0..RUNS {
        for (count, runs) in runs.iter_mut().enumerate() {
            runs.push(match count {
                0 => sqlite(context),
                _ => nodes(context, count),
            });
        }
    }
    println!(
        "| {CROWD} due at once, medians of {RUNS} runs | late p50 / p99 / last ms | round trips to the database for each occurrence |"
    );
    println!("| --- | --- | --- |");
    for (count, runs) in runs.iter().enumerate() {
        let late = |part: usize| median(runs.iter().map(|run| run.late[part]).collect());
        let (half, most, last) = (late(0), late(1), late(2));
        match count {
            0 => println!("| SQLite | {half} / {most} / {last} | |"),
            _ => {
                let trips = median(runs.iter().map(|run| run.trips).collect());
                let each = trips as f64 / CROWD as f64;
                println!("| PostgreSQL, {count} nodes | {half} / {most} / {last} | {each:.3} |");
            }
        }
    }
}

struct Measured {
    /// The half, all but a hundredth, and the last, in milliseconds.
    late: [i128; 3],
    trips: u64,
}

fn median<T: Ord + Copy>(mut of: Vec<T>) -> T {
    of.sort_unstable();
    of[of.len() / 2]
}

fn crowd(due: Timestamp) -> Vec<Plan> {
    let second = due.strftime("%-S %-M %-H * * *").to_string();
    let plan = |n| Plan {
        trigger_id: "agtch_crowd".to_owned(),
        ..Plan::new(&format!("crowd-{n}"), &second)
    };
    (0..CROWD).map(plan).collect()
}

fn next_due() -> Timestamp {
    let due = Timestamp::now() + WARM_UP;
    Timestamp::from_second(due.as_second()).expect("a second")
}

fn sqlite(context: &Context) -> Measured {
    let due = next_due();
    let mut world = World::new(&context.daemon, SignedDuration::ZERO);
    crowd(due).iter().for_each(|plan| world.schedule(plan));
    let _daemon = world.first();
    let late = lateness(&world, due);
    Measured { late, trips: 0 }
}

fn nodes(context: &Context, count: usize) -> Measured {
    let due = next_due();
    let clocks = vec![SignedDuration::ZERO; count];
    let mut nodes = Nodes::prepare(context, &clocks, &crowd(due)).expect("a server");
    for n in 0..count {
        nodes.run(n);
    }
    nodes.are_there(count);
    assert!(
        Timestamp::now() < due - SignedDuration::from_secs(6),
        "too slow a start"
    );
    let trips = |nodes: &Nodes| nodes.routes.iter().map(Route::trips).sum::<u64>();
    let before = trips(&nodes);
    let late = lateness(&nodes.world, due);
    let trips = trips(&nodes) - before;
    Measured { late, trips }
}

/// Waits for all of them.
fn lateness(world: &World, due: Timestamp) -> [i128; 3] {
    let mut effects: Vec<Effect> = Vec::new();
    while effects.len() < CROWD && Timestamp::now() < due + SignedDuration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(500));
        effects = world.api.record().1;
    }
    let mut late: Vec<_> = effects
        .iter()
        .map(|effect| effect.at.duration_since(due).as_millis())
        .collect();
    late.sort_unstable();
    assert_eq!(late.len(), CROWD, "arrived");
    [50, 99, 100].map(|part| late[(late.len() - 1) * part / 100])
}

/// The same work on an empty ledger and on a full one.
pub(crate) fn many_rows(rows: u64) {
    println!(
        "\n| deliveries in the ledger | claiming {CROWD} schedules | writing 1,000 ahead | recording 1,000 acceptances | the same while it is pruned, the longest |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for rows in [0, rows] {
        let server = Server::start().expect("a server");
        let route = Route::new(&server);
        let database = Database::parse(&route.url(), None, None).expect("an address");
        let database = Arc::new(database);
        let schedules: Vec<_> = (0..CROWD)
            .map(|n| ScheduleId::parse(&format!("crowd-{n}")).expect("a name"))
            .collect();
        // Makes the tables.
        drop(OneNode::join(&database, &[]));
        fill(&server, rows);

        let started = Instant::now();
        let mut node = OneNode::join(&database, &schedules);
        node.takes(CROWD);
        let claimed = started.elapsed();
        let (ahead, recorded) = thousand(&mut node, &schedules, 1);
        node.joined.ledger.prune(at(-1));
        let mut longest = Duration::ZERO;
        for hour in 2..12 {
            let (ahead, recorded) = thousand(&mut node, &schedules, hour);
            longest = longest.max(ahead).max(recorded);
        }
        println!(
            "| {rows} | {} ms | {} ms | {} ms | {} ms |",
            claimed.as_millis(),
            ahead.as_millis(),
            recorded.as_millis(),
            longest.as_millis(),
        );
    }
}

fn thousand(node: &mut OneNode, schedules: &[ScheduleId], hour: i64) -> (Duration, Duration) {
    let deliveries: Vec<_> = schedules[..1000]
        .iter()
        .map(|schedule| delivery_of(schedule.clone(), hour))
        .collect();
    let started = Instant::now();
    let ahead = deliveries.iter().cloned().map(Fact::WrittenAhead);
    node.write(ahead.collect());
    let ahead = started.elapsed();
    let started = Instant::now();
    let ends = deliveries.iter().flat_map(|it| accepted(it).split_off(1));
    node.write(ends.collect());
    (ahead, started.elapsed())
}

/// Accepted deliveries of the crowd, long ago.
fn fill(server: &Server, rows: u64) {
    let each = rows / CROWD as u64;
    let first = at(-60 * 24).as_second() * 1_000_000_000;
    server.query(&format!(
        "INSERT INTO schedules SELECT 'crowd-' || n, true, 0, {first} FROM generate_series(0, {CROWD} - 1) AS n;"
    ));
    for part in 0..each {
        let when = first - i64::try_from(each - part).expect("it fits") * 3_600_000_000_000;
        server.query(&format!(
            "INSERT INTO deliveries (idempotency_key, request_id, schedule, scheduled_at, label, zone, origin, due_at,
                 opened_at, deadline_at, window_start, window_end, missed_count, trigger_id, body_len, body_sha256,
                 keep_body, attempts, verdict, ended_at, position)
             SELECT 'crowd-' || n || '-{part}-0123456789abcdef', 'crowd-' || n || '-{part}', 'crowd-' || n, {when},
                 '{part}', 'UTC', 'schedule', {when}, {when}, {when}, {when}, {when}, 0, 'agtch_1', 100,
                 decode(md5(n::text), 'hex') || decode(md5('{part}'), 'hex'), false, 1, 'accepted', {when},
                 nextval('positions')
             FROM generate_series(0, {CROWD} - 1) AS n"
        ));
    }
    server.query("ANALYZE");
}
