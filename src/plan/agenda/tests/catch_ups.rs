//! What was missed around a stop, as stories (SEMANTICS.md 8 and 10).

use super::*;

fn all(at_most: u32) -> Schedule {
    let spacing = Duration::ZERO;
    with_catch_up("a", "0 9-23 * * *", CatchUp::All { at_most, spacing })
}

#[test]
fn s08_all_what_an_earlier_catch_up_left_waiting_counts_among_the_newest() {
    let remembered = left_at_nine(all(1), "2026-11-23T09:30:00Z", 0);
    let mut world = World::restarted("2026-11-23T10:30:00Z", remembered);
    world.put(all(1));
    insta::assert_snapshot!(world.story(), @"
    23T10:30:00 skipped a-20261123T0900: superseded (outcome unknown)
    23T10:30:00 send a-20261123T1000 #1 (09:30-10:00 missed 0)
    23T10:30:00 accepted a-20261123T1000
    ");
}

#[test]
fn s10_what_passed_while_the_process_was_stopped_is_not_taken_up_at_its_end() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(all(10));
    world.live_until("2026-11-23T08:50:00Z");
    world.pass("2026-11-23T10:10:00Z".parse().unwrap());
    let actions = world.agenda.close(world.now);
    let just_before = "2026-11-23T08:59:54.999999999Z".parse().unwrap();
    let settled = Action::Record(Fact::SettledUntil(just_before));
    assert_eq!(actions, [settled], "the next start takes it up");
}
