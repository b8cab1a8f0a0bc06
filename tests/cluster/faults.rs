//! The faults of several nodes, each in a world of its own.

use std::time::Duration;

use jiff::SignedDuration;
use rustix::process::Signal;

use crate::Context;
use crate::by_hand::{answer, ask};
use crate::daemon::until;
use crate::nodes::{Nodes, TAKEOVER, mixed};
use crate::random::Random;
use crate::row::Row;
use crate::server::{Server, is_root};
use crate::tmpfs::fill;

type Fault = fn(&Context) -> Row;

pub(crate) const FAULTS: &[(&str, Fault)] = &[
    ("fence", crate::fence::fence),
    ("lost-answer", crate::fence::lost_answer),
    ("taken-again", crate::fence::taken_again),
    ("held", crate::fence::held),
    ("nothing", nothing),
    ("kill", kill),
    ("stop-over-lease", stop),
    ("cut-off", cut_off),
    ("database-restarts", restarts),
    ("database-away", away),
    ("database-read-only", read_only),
    ("database-full", full),
    ("way-in", crate::way_in::way_in),
    ("starts-alone", starts_alone),
    ("clocks-apart", clocks_apart),
    ("two-versions", two_versions),
    ("files-go", files_go),
    ("by-hand", crate::by_hand::by_hand),
];

const NODES: usize = 3;

macro_rules! or_fail {
    ($nodes:expr) => {
        match $nodes {
            Ok(nodes) => nodes,
            Err(problem) => return Row::failed(problem),
        }
    };
}

/// The work spreads by itself, and comes and goes with nodes that come and go in order.
fn nothing(context: &Context) -> Row {
    let mut nodes = or_fail!(Nodes::start(context, NODES));
    nodes.world.pass(Duration::from_secs(6));
    let spread = nodes.spread();
    nodes.end(1, Signal::TERM);
    nodes.are_there(NODES - 1);
    nodes.world.pass(Duration::from_secs(3));
    nodes.run(1);
    nodes.are_there(NODES);
    nodes.world.pass(Duration::from_secs(6));
    let again = nodes.spread();
    let is_spread = |spread: &str| spread.split(' ').count() == NODES;
    Row::of(1, nodes.judge())
        .note(format!("schedules by node: {spread}, later {again}"))
        .expect(
            is_spread(&spread) && is_spread(&again),
            "a node has nothing to do",
        )
}

/// A node is killed: another takes over once its lease has lapsed, with the same keys and bytes.
fn kill(context: &Context) -> Row {
    let rounds = if context.is_long { 20 } else { 3 };
    let mut random = Random::new(context.seed, "cluster kill");
    let mut nodes = or_fail!(Nodes::start(context, NODES));
    for round in 0..rounds {
        nodes.world.pass(random.time(Duration::from_secs(5)));
        let from = nodes.world.now();
        nodes.end(round % NODES, Signal::KILL);
        nodes.world.pass(TAKEOVER);
        nodes.are_there(NODES - 1);
        nodes.trouble(from);
        nodes.run(round % NODES);
        nodes.are_there(NODES);
    }
    Row::of(rounds, nodes.judge())
}

/// A node is stopped for longer than its lease, and goes on: what it does late is refused.
fn stop(context: &Context) -> Row {
    let rounds = if context.is_long { 10 } else { 2 };
    let mut nodes = or_fail!(Nodes::start(context, NODES));
    for round in 0..rounds {
        nodes.world.pass(Duration::from_secs(3));
        let from = nodes.world.now();
        nodes.signal(round % NODES, Signal::STOP);
        nodes.world.pass(TAKEOVER + Duration::from_secs(2));
        nodes.are_there(NODES - 1);
        nodes.signal(round % NODES, Signal::CONT);
        nodes.are_there(NODES);
        nodes.world.pass(Duration::from_secs(2));
        nodes.trouble(from);
    }
    let lost = nodes.have_said("the lease had lapsed");
    Row::of(rounds, nodes.judge()).expect(lost > 0, "no node noticed that it had been away")
}

/// Nothing comes from a node to the database or back, for longer than its lease: it goes on firing
/// while others take over.
fn cut_off(context: &Context) -> Row {
    let rounds = if context.is_long { 10 } else { 2 };
    let mut nodes = or_fail!(Nodes::start(context, NODES));
    for round in 0..rounds {
        nodes.world.pass(Duration::from_secs(3));
        let from = nodes.world.now();
        nodes.routes[round % NODES].cut();
        nodes.world.pass(TAKEOVER + Duration::from_secs(5));
        nodes.are_there(NODES - 1);
        nodes.routes[round % NODES].mend();
        nodes.are_there(NODES);
        nodes.world.pass(Duration::from_secs(2));
        nodes.trouble(from);
    }
    let kept = nodes.have_said("the ledger can be written again");
    Row::of(rounds, nodes.judge()).expect(kept > 0, "no node was cut off")
}

/// The database is killed and comes back within the lease.
fn restarts(context: &Context) -> Row {
    let rounds = if context.is_long { 20 } else { 3 };
    let mut random = Random::new(context.seed, "cluster restarts");
    let nodes = or_fail!(Nodes::start(context, NODES));
    for _ in 0..rounds {
        nodes.world.pass(random.time(Duration::from_secs(4)));
        nodes.server.end();
        nodes.world.pass(random.time(Duration::from_secs(2)));
        nodes.server.begin();
        nodes.are_heard(NODES);
        nodes.are_there(NODES);
    }
    Row::of(rounds, nodes.judge())
}

/// The database is away for longer than every lease: each node goes on with what it had.
fn away(context: &Context) -> Row {
    let time = Duration::from_secs(if context.is_long { 180 } else { 20 });
    let nodes = or_fail!(Nodes::start(context, NODES));
    nodes.world.pass(Duration::from_secs(2));
    nodes.server.end();
    nodes.world.pass(time);
    let (is_well, status) = answer(ask(&nodes, 0, &["status"]));
    nodes.server.begin();
    nodes.are_there(NODES);
    nodes.world.pass(Duration::from_secs(12));
    let says = |words: &str| status.contains(words);
    Row::of(1, nodes.judge()).expect(
        !is_well && says("can't be written: firing goes on") && says("can't be read"),
        format!("the status of a node without the database: {status}"),
    )
}

/// The database takes no writes, as one that stands by or whose disk is full.
fn read_only(context: &Context) -> Row {
    let nodes = or_fail!(Nodes::start(context, NODES));
    let set = |value: &str| {
        let change = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        nodes.server.query(&change);
        nodes.server.query("SELECT pg_reload_conf()");
    };
    nodes.world.pass(Duration::from_secs(3));
    set("on");
    nodes.world.pass(Duration::from_secs(15));
    let loud = nodes.have_said("the ledger can't be written");
    set("off");
    nodes.are_there(NODES);
    nodes.world.pass(Duration::from_secs(12));
    let lines = nodes.running.iter().flatten();
    let lines = lines.map(|daemon| daemon.lines().len()).max().unwrap_or(0);
    Row::of(1, nodes.judge())
        .expect(loud == NODES, format!("{loud} nodes said it"))
        .expect(lines < 1000, format!("{lines} lines in one log"))
}

/// The disk of the database is full, which a server that can't write its log does not survive.
fn full(context: &Context) -> Row {
    if !is_root() {
        return Row::failed("it needs root, for the mount of a small disk".to_owned());
    }
    let server = or_fail!(Server::on_a_small_disk(120));
    let clocks = [SignedDuration::ZERO; NODES];
    let mut nodes = or_fail!(Nodes::prepare_on(server, context, &clocks, &mixed()));
    for n in 0..NODES {
        nodes.run(n);
    }
    nodes.are_there(NODES);
    nodes.in_force_from_now();
    nodes.world.pass(Duration::from_secs(3));
    let filler = nodes.server.filler();
    fill(&filler);
    until("every node says that it can't write", || {
        nodes.have_said("the ledger can't be written") == NODES
    });
    nodes.world.pass(Duration::from_secs(12));
    let lives = nodes.server.is_there();
    std::fs::remove_file(filler).expect("it is there");
    if !nodes.server.is_there() {
        nodes.server.begin();
    }
    nodes.are_there(NODES);
    nodes.world.pass(Duration::from_secs(12));
    let lives = if lives { "lived" } else { "died" };
    Row::of(1, nodes.judge()).note(format!("the server {lives}"))
}

/// The nodes start without the database: what falls due from then on fires.
fn starts_alone(context: &Context) -> Row {
    let mut nodes = or_fail!(Nodes::prepare(
        context,
        &[SignedDuration::ZERO; NODES],
        &mixed()
    ));
    nodes.server.end();
    for n in 0..NODES {
        nodes.run(n);
    }
    nodes.in_force_from_now();
    nodes.world.pass(Duration::from_secs(8));
    let from = nodes.world.now();
    nodes.server.begin();
    nodes.are_there(NODES);
    nodes.world.pass(Duration::from_secs(3));
    nodes.trouble(from);
    Row::of(1, nodes.judge())
}

/// The clocks of the nodes are 3 s apart, and a node that goes before is killed.
fn clocks_apart(context: &Context) -> Row {
    let clocks = [0, 3, -3].map(SignedDuration::from_secs);
    let mut nodes = or_fail!(Nodes::start_with_clocks(context, &clocks));
    for node in [1, 2] {
        nodes.world.pass(Duration::from_secs(4));
        let from = nodes.world.now();
        nodes.end(node, Signal::KILL);
        nodes.world.pass(TAKEOVER);
        nodes.are_there(NODES - 1);
        nodes.trouble(from);
        nodes.run(node);
        nodes.are_there(NODES);
    }
    Row::of(2, nodes.judge())
}

/// One node has other versions of all files: each occurrence takes effect once, and it is said.
fn two_versions(context: &Context) -> Row {
    let mut nodes = or_fail!(Nodes::prepare(
        context,
        &[SignedDuration::ZERO; NODES],
        &mixed()
    ));
    nodes.other_files(2);
    for n in 0..NODES {
        nodes.run(n);
    }
    nodes.are_there(NODES);
    nodes.in_force_from_now();
    nodes.world.pass(Duration::from_secs(5));
    let from = nodes.world.now();
    nodes.end(2, Signal::KILL);
    nodes.world.pass(TAKEOVER);
    nodes.are_there(NODES - 1);
    nodes.trouble(from);
    nodes.run(2);
    nodes.are_there(NODES);
    nodes.world.pass(Duration::from_secs(3));
    let said = nodes.have_said("nodes have different versions");
    Row::of(1, nodes.judge()).expect(said > 0, "nobody said that the files differ")
}

/// Files go from all nodes, and come back.
fn files_go(context: &Context) -> Row {
    let mut nodes = or_fail!(Nodes::start(context, NODES));
    nodes.world.pass(Duration::from_secs(3));
    let plans = mixed();
    for plan in &plans[..6] {
        std::fs::remove_file(nodes.world.file(&plan.name)).expect("it was there");
    }
    // A file is gone once it has been missing for 2 s.
    nodes.world.pass(Duration::from_secs(2));
    for plan in &plans[..6] {
        nodes.world.note_gone(&plan.name);
    }
    nodes.world.pass(Duration::from_secs(6));
    let gone = nodes
        .server
        .query("SELECT count(*) FROM schedules WHERE NOT in_force");
    for plan in &plans[..6] {
        nodes.world.schedule(plan);
    }
    nodes.world.pass(Duration::from_secs(5));
    Row::of(1, nodes.judge()).expect(gone == "6", format!("{gone} schedules ended, not 6"))
}
