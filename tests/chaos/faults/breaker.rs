//! A dead token: its deliveries wait inside their own deadlines, without hammering, and go on with the next one.

use std::fs;
use std::time::Duration;

use jiff::SignedDuration;

use super::{Context, Fault, Form, LOADED};
use crate::row::Row;
use crate::story::{Of, Plan};
use crate::world::{CANARY, World};

pub(crate) const FAULT: Fault = Fault {
    name: "dead-token",
    alone: false,
    parts: |_| 1,
    run,
};

const SCHEDULES: usize = 20;
const DEADLINE: u32 = 15;

fn run(context: &Context, _: usize) -> Row {
    let dead = match context.form {
        Form::Short => Duration::from_secs(25),
        // Over the first probe, a minute after the refusal.
        Form::Long => Duration::from_secs(100),
    };
    let mut world = World::new(&context.release, LOADED);
    for n in 0..SCHEDULES {
        let plan = Plan::new(&format!("s{n:02}"), "*/2 * * * * *");
        world.schedule(&plan.give_up_after(DEADLINE));
    }
    let daemon = world.first();
    world.pass(Duration::from_secs(4));
    let calls = |world: &World| world.api.record().0.len();
    let from = world.now();
    world.api.token(CANARY, true);
    let before = calls(&world);
    world.pass(dead);
    // Deadlines lie on odd seconds. One between the new token and its being seen, 200 ms of quiet later, would expire
    // with the token mended.
    let since_even = world.now().as_millisecond().rem_euclid(2000);
    let until_half_past_odd = (1500 - since_even).rem_euclid(2000);
    world.pass(Duration::from_millis(until_half_past_odd as u64));
    let while_dead = calls(&world) - before;
    let new = format!("{CANARY}-next");
    world.api.token(&new, false);
    fs::write(world.path("token"), new).expect("a file");
    world.trouble(from, SignedDuration::ZERO, Of::Api(None));
    world.pass(Duration::from_secs(6));
    world.settle(Duration::from_secs(30));

    let expired = world.rows(|row| row["verdict"] == "expired");
    let late = expired.iter().filter(|row| {
        let at = |field: &str| {
            row[field]
                .as_str()
                .and_then(|at| at.parse::<jiff::Timestamp>().ok())
        };
        let open = at("ended_at")
            .zip(at("due_at"))
            .map(|(ended, due)| ended.duration_since(due));
        let deadline = SignedDuration::from_secs(DEADLINE.into());
        open.is_none_or(|open| open < deadline || open > deadline + LOADED)
    });
    let late = late.count();
    let waited = SCHEDULES * dead.as_secs() as usize / 2;
    let (expired, row) = (expired.len(), Row::of(1, world.judge(vec![daemon])));
    // What is due at one instant may be on its way before the first refusal comes back.
    row.note(format!(
        "{while_dead} calls for {waited} deliveries of a token dead for {} s, {expired} expired at their deadline of {DEADLINE} s",
        dead.as_secs()
    ))
    .expect(while_dead <= SCHEDULES, format!("{while_dead} calls with a dead token"))
    .expect(expired > 0 && late == 0, format!("of {expired} expired, {late} not at their deadline"))
}
