//! No head-of-line blocking: a schedule whose API hangs, drips or answers 503 for ever delays no other. Beside the
//! disturbed daemon runs one that nothing disturbs, on the same machine at the same time, to be measured against.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;

use super::{Context, Fault, Form, IDLE};
use crate::row::Row;
use crate::story::{BACK_OFF, Of, Plan};
use crate::world::World;

pub(crate) const FAULT: Fault = Fault {
    name: "one-hangs",
    alone: true,
    parts: |_| 1,
    run,
};

const MOST: SignedDuration = SignedDuration::from_millis(50);
const VICTIM: &str = "agtch_victim";

fn run(context: &Context, _: usize) -> Row {
    let time = match context.form {
        Form::Short => Duration::from_secs(6),
        Form::Long => Duration::from_secs(30),
    };
    let mut world = World::new(&context.release, IDLE);
    let mut calm = World::new(&context.release, IDLE);
    for world in [&mut world, &mut calm] {
        for n in 0..10 {
            world.schedule(&Plan::new(&format!("steady-{n}"), "* * * * * *"));
        }
        let mut plan = Plan::new("victim", "* * * * * *");
        plan.trigger_id = VICTIM.to_owned();
        world.schedule(&plan);
    }
    let daemons = (world.first(), calm.first());
    world.pass(Duration::from_secs(2));
    let faults = [
        json!({"kind": "hang"}),
        json!({"kind": "drip"}),
        json!({"kind": "status", "status": 503}),
    ];
    for mut fault in faults {
        fault["trigger_id"] = VICTIM.into();
        let wait = BACK_OFF + SignedDuration::from_secs(2);
        world.api_fault(&fault, time, wait, Of::Api(Some(VICTIM.to_owned())));
    }
    let (disturbed, undisturbed) = (lateness(&world), lateness(&calm));
    world.settle(Duration::from_secs(40));
    calm.settle(Duration::from_secs(5));
    let calm = Row::of(0, calm.judge(vec![daemons.1]));
    let row = Row::of(3, world.judge(vec![daemons.0])).and(calm);
    let more = disturbed.usual() - undisturbed.usual();
    row.note(format!(
        "the other schedules: at most {} ms late, {} ms undisturbed; 99 of 100 at most {} ms, {} ms undisturbed",
        disturbed.greatest().as_millis(),
        undisturbed.greatest().as_millis(),
        disturbed.usual().as_millis(),
        undisturbed.usual().as_millis(),
    ))
    .expect(disturbed.0.len() > 100, "too few were measured")
    .expect(more <= MOST, format!("{more:#} later than undisturbed"))
}

/// How late the others arrived, in order.
struct Lateness(Vec<SignedDuration>);

impl Lateness {
    /// Of 99 in 100: the hundredth is the machine's.
    fn usual(&self) -> SignedDuration {
        let at = self.0.len() * 99 / 100;
        self.0
            .get(at.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }

    fn greatest(&self) -> SignedDuration {
        self.0.last().copied().unwrap_or_default()
    }
}

fn lateness(world: &World) -> Lateness {
    let (_, effects) = world.api.record();
    let late = effects
        .iter()
        .filter(|effect| effect.trigger_id != VICTIM)
        .filter_map(|effect| {
            let at: jiff::Timestamp = effect.input.split('|').nth(2)?.parse().ok()?;
            Some(effect.at.duration_since(at))
        });
    let mut late: Vec<SignedDuration> = late.collect();
    late.sort();
    Lateness(late)
}
