//! Both clock changes of four zones, each begun just before it, the later one at the end of the repeated time as well.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Context, Fault, LOADED};
use crate::row::Row;
use crate::story::Plan;
use crate::world::World;

pub(crate) const FAULT: Fault = Fault {
    name: "clock-changes",
    alone: false,
    parts: |_| CHANGES.len(),
    run,
};

/// Zone, instant, and a clock time that the change skips or repeats.
const CHANGES: [(&str, &str, &str); 12] = [
    ("America/New_York", "2027-03-14T07:00:00Z", "0 30 2 * * *"),
    ("America/New_York", "2027-11-07T06:00:00Z", "10 0 1 * * *"),
    ("America/New_York", "2027-11-07T07:00:00Z", "0 0 2 * * *"),
    ("Europe/Berlin", "2027-03-28T01:00:00Z", "0 30 2 * * *"),
    ("Europe/Berlin", "2027-10-31T01:00:00Z", "10 0 2 * * *"),
    ("Europe/Berlin", "2027-10-31T02:00:00Z", "0 0 3 * * *"),
    (
        "Australia/Lord_Howe",
        "2027-10-02T15:30:00Z",
        "0 15 2 * * *",
    ),
    (
        "Australia/Lord_Howe",
        "2027-04-03T15:00:00Z",
        "10 30 1 * * *",
    ),
    ("Australia/Lord_Howe", "2027-04-03T15:30:00Z", "0 0 2 * * *"),
    ("Africa/Cairo", "2027-04-29T22:00:00Z", "0 0 0 * * *"),
    ("Africa/Cairo", "2027-10-28T21:00:00Z", "10 0 23 * * *"),
    ("Africa/Cairo", "2027-10-28T22:00:00Z", "0 0 0 * * *"),
];

fn run(context: &Context, part: usize) -> Row {
    let (zone, at, special) = CHANGES[part];
    let at: Timestamp = at.parse().expect("an instant");
    let by = at - SignedDuration::from_secs(9) - Timestamp::now();
    let mut world = match World::moved(&context.release, LOADED, by) {
        Ok(world) => world,
        Err(problem) => return Row::failed(problem),
    };
    world.schedule(&Plan::new("interval", "* * * * * *").zone(zone));
    world.schedule(&Plan::new("clock", "0-59 0-59 0-23 * * *").zone(zone));
    world.schedule(&Plan::new("special", special).zone(zone));
    let daemon = world.first();
    let left = at.duration_since(world.now());
    assert!(
        left > SignedDuration::from_secs(1),
        "it started before the change"
    );
    world.pass(Duration::try_from(left).expect("positive") + Duration::from_secs(15));
    world.settle(Duration::from_secs(20));
    Row::of(1, world.judge(vec![daemon])).note("libfaketime, portable clock")
}
