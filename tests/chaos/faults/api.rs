//! What an API does to its callers: every status, silence, half answers and resets, in bursts.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Context, Fault, Form, LOADED, mixed};
use crate::api::Call;
use crate::random::Random;
use crate::row::Row;
use crate::story::{BACK_OFF, Of};
use crate::world::World;

pub(crate) const FAULT: Fault = Fault {
    name: "api",
    alone: false,
    parts: |form| match form {
        Form::Short => 3,
        Form::Long => 8,
    },
    run,
};

/// The faults that pass by themselves, and how long a wait each leaves in force: a call may last 2 s, and then back off.
fn passing() -> Vec<(Value, i64)> {
    let status = |status: u16| json!({"kind": "status", "status": status});
    let asked = |status: u16, retry_after: Value| json!({"kind": "status", "status": status, "retry_after": retry_after});
    vec![
        (status(500), 0),
        (status(502), 0),
        (status(503), 0),
        (status(504), 0),
        (asked(503, json!({"seconds": 3})), 3),
        (status(429), 0),
        (asked(429, json!({"seconds": 3})), 3),
        (asked(429, json!({"date_in": 3})), 3),
        (asked(429, json!({"text": "soon"})), 0),
        (json!({"kind": "junk"}), 0),
        (json!({"kind": "empty"}), 0),
        (json!({"kind": "huge", "bytes": 3_000_000}), 0),
        (json!({"kind": "delay", "ms": 700}), 1),
        (json!({"kind": "reset"}), 0),
        (json!({"kind": "reset", "when": "after"}), 0),
        (json!({"kind": "reset", "when": "after"}), 0),
        (json!({"kind": "hang"}), 2),
        (json!({"kind": "hang", "when": "after"}), 2),
        (json!({"kind": "drip"}), 2),
    ]
}

/// Those behind which deliveries wait for a probe.
fn probed(part: usize) -> Option<Value> {
    match part {
        4 => Some(json!({"kind": "status", "status": 401})),
        5 => Some(json!({"kind": "status", "status": 404})),
        6 => Some(json!({"kind": "status", "status": 409})),
        7 => Some(json!({"kind": "html403"})),
        _ => None,
    }
}

/// The first wait of a breaker and of an agent that can't run.
const PROBE: SignedDuration = SignedDuration::from_secs(60);

fn run(context: &Context, part: usize) -> Row {
    let mut random = Random::new(context.seed, &format!("api {part}"));
    let mut world = World::new(&context.release, LOADED);
    mixed().iter().for_each(|plan| world.schedule(plan));
    let daemon = world.first();
    world.pass(Duration::from_secs(2));
    let mut rounds = 0;
    if let Some(fault) = probed(part) {
        world.api_fault(&fault, Duration::from_secs(5), PROBE, Of::Api(None));
        // The probe comes by itself.
        world.pass(Duration::from_secs(65));
        rounds = 1;
    } else if context.form == Form::Long && part == 3 {
        // Refused for good: rejected, and nothing else.
        let redirect = json!({"kind": "redirect"});
        world.api_fault(&redirect, Duration::from_secs(5), BACK_OFF, Of::Refusing);
        let bad = json!({"kind": "status", "status": 400});
        world.api_fault(&bad, Duration::from_secs(5), BACK_OFF, Of::Refusing);
        world.pass(Duration::from_secs(20));
        rounds = 2;
    } else {
        let all = passing();
        let times = match context.form {
            Form::Short => all.len().div_ceil(3),
            Form::Long => 2 * all.len(),
        };
        for n in 0..times {
            // Between them the parts of the short form run all.
            let at = match context.form {
                Form::Short => (part + 3 * n) % all.len(),
                Form::Long => random.below(all.len()),
            };
            let (fault, wait) = &all[at];
            let time = Duration::from_millis(500) + random.time(Duration::from_secs(3));
            let wait = BACK_OFF + SignedDuration::from_secs(*wait);
            world.api_fault(fault, time, wait, Of::Api(None));
            world.pass(random.time(Duration::from_millis(1500)));
            rounds += 1;
        }
    }
    world.pass(Duration::from_secs(3));
    world.settle(Duration::from_secs(75));
    let (calls, _) = world.api.record();
    let hasty = before_retry_after(&calls);
    Row::of(rounds, world.judge(vec![daemon]))
        .note("each status, 202 with junk, reset before and after it was accepted, hang, drip")
        .expect(
            hasty.is_empty(),
            format!("called before Retry-After: {hasty:?}"),
        )
}

/// Calls to a token that was to wait: each 429 that names a time pauses all of the token's schedules. What
/// was on its way already when the first one was answered is not meant.
fn before_retry_after(calls: &[Call]) -> Vec<u64> {
    let on_its_way = SignedDuration::from_millis(300);
    let mut hasty = Vec::new();
    for refused in calls.iter().filter(|call| call.status == Some(429)) {
        let asked = refused.fault.as_ref().and_then(|fault| {
            let retry_after = &fault["retry_after"];
            // A date has whole seconds, and may lie up to one nearer.
            let date = retry_after["date_in"].as_i64().map(|seconds| seconds - 1);
            retry_after["seconds"].as_i64().or(date)
        });
        let Some(seconds) = asked else { continue };
        let too_soon = calls.iter().filter(|call| {
            let after = call.at.duration_since(refused.at);
            after > on_its_way && after < SignedDuration::from_secs(seconds)
        });
        hasty.extend(too_soon.map(|call| call.n));
    }
    hasty
}
