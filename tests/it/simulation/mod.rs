//! Exactly once, under a virtual clock: the real agenda and ledger, an API with moods, a seeded script
//! of crashes, stops, edits and outages, and a judge that shares no code with them.
//!
//! `TRIGGERD_SEEDS=1000 TRIGGERD_DAYS=30 cargo test --release --test it simulation` runs many and long;
//! `TRIGGERD_SEED=7` one. A seed that fails prints itself.

mod judge;
mod oracle;
mod world;

use std::env;

use jiff::{SignedDuration, Timestamp};

use judge::{Fault, judge};
use oracle::Timing;
use world::{Death, Dice, Mood, Policy, Sabotage, Version, World};

const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Australia/Sydney",
];

/// Near clock changes, and far from any.
const STARTS: [&str; 4] = [
    "2026-03-05T10:00:30Z",
    "2026-03-26T10:00:30Z",
    "2026-10-29T10:00:30Z",
    "2026-06-10T10:00:30Z",
];

const MOODS: [Mood; 8] = [
    Mood::Unavailable,
    Mood::Failing,
    Mood::AcceptsAndResets,
    Mood::Hangs,
    Mood::RateLimited,
    Mood::TokenDead,
    Mood::TriggersGone,
    Mood::NotRunnable,
];

fn version(dice: &mut Dice, name: &str, from: Timestamp) -> Version {
    let mut some = |n: u64, most: u64| {
        let mut values: Vec<i8> = (0..=dice.below(n))
            .map(|_| dice.below(most) as i8)
            .collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    let minutes = some(3, 60);
    let hours = some(4, 24);
    let weekdays: Vec<i8> = some(5, 7).into_iter().map(|day| day + 1).collect();
    Version {
        name: name.to_owned(),
        timing: Timing {
            minutes,
            hours: (dice.below(10) < 6).then_some(hours),
            weekdays: (dice.below(10) < 2).then_some(weekdays),
            zone: ZONES[dice.below(ZONES.len() as u64) as usize],
        },
        policy: *dice.one_of(&[Policy::All, Policy::All, Policy::Latest, Policy::None]),
        trigger_id: format!("agtch_{}", dice.below(3)),
        from,
        until: None,
    }
}

/// Runs the script of a seed; gives the world and up to when it is to be judged.
fn run(seed: u64, days: i64, script: Script, sabotage: Sabotage) -> (World, Timestamp) {
    let start: Timestamp = STARTS[(seed % 4) as usize].parse().expect("an instant");
    let mut world = World::new(seed, start);
    world.sabotage = sabotage;
    world.start();
    for n in 0..12 {
        let version = version(&mut world.dice, &format!("s{n:02}"), start);
        world.put(version);
    }
    let end = start + SignedDuration::from_hours(24 * days);
    while world.now.wall < end {
        let quiet = world.dice.seconds(60, 5 * 3600);
        let next = world.now.wall + SignedDuration::try_from(quiet).expect("a length");
        world.live_until(next);
        if !world.is_up() {
            world.start();
        }
        something_happens(&mut world, script);
        if !world.is_up() {
            let down = world.dice.seconds(0, 2 * 3600);
            let back = world.now.wall + SignedDuration::try_from(down).expect("a length");
            world.pass_until(back);
            world.start();
        }
    }
    world.mood = Mood::Well;
    world.mend_token();
    let until = world.now.wall + SignedDuration::from_hours(3);
    let until = Timestamp::from_second(until.as_second() / 60 * 60 + 30).expect("in range");
    world.live_until(until + SignedDuration::from_secs(20));
    if !world.is_up() {
        world.start();
        world.live_until(until + SignedDuration::from_secs(20));
    }
    world.stop();
    (world, until)
}

fn something_happens(world: &mut World, script: Script) {
    let before = world.now.wall;
    match world.dice.below(10) {
        0 => world.kill(),
        1 => {
            let after = 1 + world.dice.below(12);
            let death = *world
                .dice
                .one_of(&[Death::BeforeCommit, Death::AfterCommit, Death::Idle]);
            world.die_at(death, after);
            let later = world.now.wall + SignedDuration::from_hours(2);
            world.live_until(later);
        }
        2 => world.stop(),
        3 => {
            let length = *world.dice.one_of(&[1, 29, 31, 61, 1200, 7200]);
            world.pass_until(before + SignedDuration::from_secs(length));
        }
        4..=6 => {
            world.mood = *world.dice.one_of(&MOODS);
            let length = world.dice.seconds(30, 3 * 3600);
            world.live_until(before + SignedDuration::try_from(length).expect("a length"));
            world.mood = Mood::Well;
            world.mend_token();
        }
        7..=9 if script == Script::Clocks => {
            let by = *world
                .dice
                .one_of(&[-7200, -3000, -61, -1, 1, 31, 61, 3000, 7200, 90_000]);
            world.step_clock(SignedDuration::from_secs(by));
        }
        7 | 8 => {
            let name = format!("s{:02}", world.dice.below(12));
            let from = world.now.wall;
            let version = version(&mut world.dice, &name, from);
            world.put(version);
        }
        _ => {
            let name = format!("s{:02}", world.dice.below(12));
            world.remove(&name);
        }
    }
    let after = world.now.wall;
    world.troubles.push((before, after));
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[track_caller]
fn check(seed: u64, days: i64, script: Script) -> usize {
    let (world, until) = run(seed, days, script, Sabotage::None);
    let judgement = judge(&world, until);
    let shown: Vec<String> = judgement
        .faults
        .iter()
        .take(12)
        .map(|(fault, what)| format!("{fault:?}: {what}"))
        .collect();
    assert!(
        judgement.faults.is_empty(),
        "{script:?}, seed {seed}: {} faults in {} occurrences; replay with\n  TRIGGERD_SEED={seed} TRIGGERD_DAYS={days} cargo test --test it simulation\n{}",
        judgement.faults.len(),
        judgement.judged,
        shown.join("\n")
    );
    judgement.judged
}

/// What happens beside crashes, stops and outages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    /// Files are edited, removed and brought back.
    Edits,
    /// The wall clock is set, both ways, running and across restarts.
    Clocks,
}

#[test]
fn every_owed_occurrence_is_accepted_once_and_every_other_has_its_verdict() {
    run_seeds(Script::Edits, 6);
}

#[test]
fn a_clock_that_is_set_loses_nothing_and_doubles_nothing() {
    run_seeds(Script::Clocks, 4);
}

fn run_seeds(script: Script, usual: u64) {
    let days = number("TRIGGERD_DAYS", 10) as i64;
    let seeds = match number("TRIGGERD_SEED", u64::MAX) {
        u64::MAX => 0..number("TRIGGERD_SEEDS", usual),
        seed => seed..seed + 1,
    };
    let floor = seeds.end - seeds.start;
    let judged: usize = seeds.map(|seed| check(seed, days, script)).sum();
    assert!(
        judged as u64 > 100 * floor,
        "{judged} occurrences were judged"
    );
}

#[test]
fn the_judge_notices() {
    for (sabotage, expected) in [
        (Sabotage::LoseAnEffect, Fault::Lie),
        (Sabotage::DoubleUnderAnotherKey, Fault::Dup),
        (Sabotage::SendEarly, Fault::Early),
        (Sabotage::SendLate, Fault::Late),
        (Sabotage::SendUnasked, Fault::Ghost),
        (Sabotage::ChangeABody, Fault::Wrong),
    ] {
        let (world, until) = run(3, 4, Script::Edits, sabotage);
        assert_eq!(
            world.sabotage,
            Sabotage::None,
            "{sabotage:?} had its chance"
        );
        let faults = judge(&world, until).faults;
        assert!(
            faults.iter().any(|(fault, _)| *fault == expected),
            "{sabotage:?}: {faults:?}"
        );
    }
}

#[test]
fn time_of_one_step_is_bounded() {
    // A leap of a year over twelve schedules is policy and no replay: it ends.
    let mut world = World::new(1, STARTS[3].parse().expect("an instant"));
    world.start();
    for n in 0..12 {
        let from = world.now.wall;
        let mut version = version(&mut world.dice, &format!("s{n:02}"), from);
        version.policy = Policy::Latest;
        world.put(version);
    }
    world.step_clock(SignedDuration::from_hours(24 * 365));
    let later = world.now.wall + SignedDuration::from_mins(10);
    world.live_until(later);
    assert!(world.arrivals.len() < 100, "{} calls", world.arrivals.len());
}
