//! What a person asks of a node that does not look after the schedule: it is done, once, as if the
//! one that does had been asked.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use jiff::SignedDuration;
use rustix::process::Signal;
use serde_json::json;

use crate::Context;
use crate::daemon::{program, until};
use crate::judge::Judgement;
use crate::nodes::Nodes;
use crate::row::Row;
use crate::server::until_says;
use crate::story::Plan;

const NODES: usize = 3;
const SCHEDULES: usize = 6;

/// By hand, so far: accepted, and all.
const BY_HAND: &str = "SELECT count(*) FILTER (WHERE verdict = 'accepted') || ' of ' || count(*)
    FROM deliveries WHERE origin = 'manual'";

/// Of those, which cover what was skipped since the pause began.
const COVER_THE_PAUSE: &str = "SELECT count(*) FROM deliveries
    WHERE origin = 'manual' AND window_end - window_start > 6000000000 AND missed_count > 2";

pub(crate) fn by_hand(context: &Context) -> Row {
    let plan = |n| Plan::new(&name(n), "*/2 * * * * *").give_up_after(120);
    let plans: Vec<_> = (0..SCHEDULES).map(plan).collect();
    let mut nodes = match Nodes::prepare(context, &[SignedDuration::ZERO; NODES], &plans) {
        Ok(nodes) => nodes,
        Err(problem) => return Row::failed(problem),
    };
    for n in 0..NODES {
        nodes.run(n);
    }
    nodes.are_there(NODES);
    let mut row = Row::of(
        1,
        Judgement {
            judged: NODES * SCHEDULES,
            ..Judgement::default()
        },
    );
    for step in [
        windows,
        redelivery,
        takeover,
        without_a_daemon,
        without_the_database,
    ] {
        row = row.and(step(&mut nodes));
    }
    let by_hand = nodes.server.query(BY_HAND);
    let (calls, effects) = nodes.world.api.record();
    let is_by_hand = |key: &Option<String>| {
        let key = key.as_deref();
        key.is_some_and(|key| key.contains("-manual-"))
    };
    let mut keys: Vec<_> = effects.iter().map(|it| &it.idempotency_key).collect();
    keys.retain(|key| is_by_hand(key));
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    let calls = calls.iter().filter(|it| is_by_hand(&it.idempotency_key));
    row.note(format!("{} calls for {all} by hand", calls.count()))
        .expect(
            keys.len() == all && by_hand == format!("{all} of {all}"),
            format!(
                "{by_hand} in the ledger, {all} effects of {} keys",
                keys.len()
            ),
        )
}

/// Each node knows the window of each schedule, and a pause and its end hold wherever they were asked for.
fn windows(nodes: &mut Nodes) -> Row {
    nodes.world.pass(Duration::from_secs(5));
    let paused = answer(ask(nodes, 0, &["pause", "--all"]));
    nodes.world.pass(Duration::from_secs(10));
    let all = (0..NODES).flat_map(|node| (0..SCHEDULES).map(move |n| (node, n)));
    let asked: Vec<_> = all
        .map(|(node, n)| ask(nodes, node, &["trigger", &name(n)]))
        .collect();
    let count = asked.len();
    let refused: Vec<_> = asked.into_iter().map(answer).filter(|it| !it.0).collect();
    let cover = nodes.server.query(COVER_THE_PAUSE);
    let resumed = answer(ask(nodes, 1, &["resume", "--all"]));
    let accepted =
        "SELECT count(*) FROM deliveries WHERE verdict = 'accepted' AND origin = 'schedule'";
    let before = nodes.server.query(accepted);
    until("an occurrence after the pause", || {
        nodes.server.query(accepted) != before
    });
    Row::default()
        .expect(paused.0 && resumed.0, format!("{paused:?} {resumed:?}"))
        .expect(refused.is_empty(), format!("not accepted: {refused:?}"))
        .expect(
            cover == count.to_string(),
            format!("{cover} of {count} cover the pause"),
        )
}

/// What was rejected is delivered again, whichever node is asked.
fn redelivery(nodes: &mut Nodes) -> Row {
    nodes
        .world
        .api
        .fault(&json!({"kind": "status", "status": 400}));
    let rejected =
        "SELECT count(*) >= 3 FROM deliveries WHERE verdict = 'rejected' AND schedule = 'asked-0'";
    until_says(&nodes.server, rejected, "t");
    nodes.world.api.clear_faults();
    let ids = nodes.server.query(
        "SELECT request_id FROM deliveries WHERE verdict = 'rejected' AND schedule = 'asked-0'
         ORDER BY scheduled_at LIMIT 3",
    );
    let ids: Vec<_> = ids.lines().collect();
    let each = ids.iter().enumerate();
    let asked: Vec<_> = each
        .map(|(node, id)| ask(nodes, node, &["redeliver", id]))
        .collect();
    let answers: Vec<_> = asked.into_iter().map(answer).collect();
    let former = nodes.server.query(
        "SELECT count(*) FROM former_verdicts JOIN deliveries d ON d.id = delivery
         WHERE d.verdict = 'accepted'",
    );
    Row::default()
        .expect(
            answers.len() == NODES && answers.iter().all(|it| it.0),
            format!("not delivered again: {answers:?}"),
        )
        .expect(former == "3", format!("{former} verdicts were replaced"))
}

/// The owner dies over what all nodes were asked for.
fn takeover(nodes: &mut Nodes) -> Row {
    nodes
        .world
        .api
        .fault(&json!({"kind": "status", "status": 503}));
    let asked: Vec<_> = (0..NODES)
        .map(|node| ask(nodes, node, &["trigger", "asked-0"]))
        .collect();
    until_says(
        &nodes.server,
        "SELECT count(*) FROM deliveries
         WHERE origin = 'manual' AND verdict IS NULL AND attempts > 0 AND sender IS NOT NULL",
        &NODES.to_string(),
    );
    let owner = nodes.owner_of("asked-0").expect("one of them");
    nodes.end(owner, Signal::KILL);
    nodes.are_there(NODES - 1);
    nodes.world.api.clear_faults();
    let answers: Vec<_> = asked.into_iter().map(answer).collect();
    let accepted = answers.iter().filter(|it| it.0).count();
    until_says(
        &nodes.server,
        "SELECT count(*) FROM deliveries WHERE origin = 'manual' AND verdict IS NULL",
        "0",
    );
    nodes.run(owner);
    nodes.are_there(NODES);
    until("its schedule is its own again", || {
        nodes.owner_of("asked-0") == Some(owner)
    });
    Row::default().expect(
        accepted == NODES - 1,
        format!("all but whoever asked the dead one hear of it: {answers:?}"),
    )
}

/// From a machine where no daemon runs.
fn without_a_daemon(nodes: &mut Nodes) -> Row {
    let asked = nodes.ask("node-0.toml", "state-of-its-own", &["trigger", "asked-0"]);
    let answer = answer(asked);
    let senders = nodes
        .server
        .query("SELECT count(*) FROM deliveries WHERE origin = 'manual' AND sender IS NULL");
    Row::default()
        .expect(answer.0, format!("without a daemon: {answer:?}"))
        .expect(senders == "0", format!("{senders} were sent by no node"))
}

/// The owner sends from memory, and any other says whom to ask.
fn without_the_database(nodes: &mut Nodes) -> Row {
    const ACCEPTED: &str =
        "SELECT count(*) FROM deliveries WHERE origin = 'manual' AND verdict = 'accepted'";
    let before: usize = nodes.server.query(ACCEPTED).parse().expect("a number");
    nodes.server.end();
    let asked: Vec<_> = (0..NODES)
        .map(|node| ask(nodes, node, &["trigger", "asked-0"]))
        .collect();
    let answers: Vec<_> = asked.into_iter().map(answer).collect();
    let sent = answers.iter().filter(|it| it.0).count();
    let told = answers.iter().filter(|it| it.1.contains("ask that one"));
    let told = told.count();
    nodes.server.begin();
    nodes.are_there(NODES);
    until_says(&nodes.server, ACCEPTED, &(before + sent).to_string());
    Row::default().expect(
        sent == 1 && told == NODES - 1,
        format!("without the database: {answers:?}"),
    )
}

fn name(n: usize) -> String {
    format!("asked-{n}")
}

/// A command for one of them.
pub(crate) fn ask(nodes: &Nodes, node: usize, words: &[&str]) -> Child {
    nodes.ask(
        &format!("node-{node}.toml"),
        &format!("state-{node}"),
        words,
    )
}

/// Whether it was done, and what was said.
pub(crate) fn answer(mut child: Child) -> (bool, String) {
    until("an answer to who asks by hand", || {
        child.try_wait().expect("it is ours").is_some()
    });
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

impl Nodes {
    fn ask(&self, config: &str, state: &str, words: &[&str]) -> Child {
        program(self.binary(), "")
            .args(words)
            .args(["--state", state])
            .current_dir(self.world.root.path())
            .env("TRIGGERD_CONFIG", config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs")
    }

    /// Which of them looks after it; `None` while it is on its way to another.
    fn owner_of(&self, schedule: &str) -> Option<usize> {
        let owner = self.server.query(&format!(
            "SELECT n.name FROM owners o JOIN nodes n ON n.incarnation = o.incarnation
             WHERE o.schedule = '{schedule}'"
        ));
        let is_owner = |n: &usize| {
            let name = fs::read_to_string(self.world.path(&format!("state-{n}/node")));
            owner.ends_with(name.expect("it has one").trim())
        };
        (0..NODES).find(is_owner)
    }
}
