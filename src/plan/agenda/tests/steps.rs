//! A clock that is set back, as stories (SEMANTICS.md 18).

use super::*;

#[test]
fn s18_a_wait_for_a_retry_is_no_longer_for_a_step_back_over_a_restart() {
    let daily = schedule("a", "0 9 * * *");
    let mut remembered = left_at_nine(daily.clone(), "2026-11-23T09:01:00Z", 1);
    remembered.open[0].retry_at = Some("2026-11-23T09:15:00Z".parse().unwrap());
    let mut world = World::restarted("2026-11-23T07:00:00Z", remembered);
    world.put(daily);
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T07:00:00 clock held
    23T07:10:00 clock released
    23T07:14:00 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T07:14:00 accepted a-20261123T0900
    ");
}

#[test]
fn s18_what_had_its_delivery_before_a_step_back_is_not_skipped_as_well() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(with_catch_up("a", "0 * * * *", CatchUp::None));
    world.live_until("2026-11-23T10:30:00Z");
    world.set_clock("2026-11-23T08:30:00Z");
    world.set_clock("2026-11-23T12:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T090000Z
    23T10:00:00 send a-20261123T100000Z #1 (09:00-10:00 missed 0)
    23T10:00:00 accepted a-20261123T100000Z
    23T08:30:00 clock stepped 2h ago
    23T12:30:00 clock stepped 4h
    23T12:30:00 skipped 23T11:00..23T12:00 x2: missed
    ");
}

#[test]
fn s18_what_had_its_delivery_before_a_step_back_and_a_kill_is_not_skipped_as_well() {
    let hourly = with_catch_up("a", "0 * * * *", CatchUp::None);
    let ten = "2026-11-23T10:00:00Z".parse().unwrap();
    let remembered = Remembered {
        delivered: vec![Delivered {
            schedule: hourly.id.clone(),
            scheduled_at: ten,
        }],
        ..remembered("a", "2026-11-23T08:30:00Z")
    };
    let mut world = World::restarted("2026-11-23T12:30:00Z", remembered);
    world.put(hourly);
    world.live_until("2026-11-23T13:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T12:30:00 skipped 23T09:00..23T09:00 x1: missed
    23T12:30:00 skipped 23T11:00..23T12:00 x2: missed
    23T13:00:00 send a-20261123T130000Z #1 (08:30-13:00 missed 3)
    23T13:00:00 accepted a-20261123T130000Z
    ");
}

#[test]
fn s18_what_is_open_after_a_step_back_is_not_skipped_as_well() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(with_catch_up("a", "0 * * * *", CatchUp::None));
    world.holds_answers = true;
    world.live_until("2026-11-23T09:00:10Z");
    world.set_clock("2026-11-23T08:30:00Z");
    world.set_clock("2026-11-23T10:30:00Z");
    world.answer_held(Outcome::Accepted(Acceptance::default()));
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T08:30:00 clock stepped 30m 10s ago
    23T10:30:00 clock stepped 2h
    23T10:30:00 skipped 23T10:00..23T10:00 x1: missed
    23T10:30:00 accepted a-20261123T090000Z
    ");
}

#[test]
fn s18_after_what_is_found_to_have_its_delivery_the_next_one_is_written_ahead() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(schedule("a", "0 * * * *"));
    world.pass("2026-11-23T08:59:55Z".parse().unwrap());
    let mut actions = world.agenda.due(world.now).into_iter();
    let written_ahead = actions.find_map(|action| match action {
        Action::Record(Fact::WrittenAhead(delivery)) => Some(delivery),
        _ => None,
    });
    world.agenda.already_known(&written_ahead.unwrap());
    world.live_until("2026-11-23T09:01:00Z");
    assert_eq!(
        world.next_wake(),
        Some("2026-11-23T09:59:55Z".parse().unwrap())
    );
    assert_eq!(world.story(), "");
}

#[test]
fn s18_what_had_its_delivery_before_a_step_back_is_not_excluded_by_an_edit_since() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    let mut hourly = schedule("a", "0 * * * *");
    world.put(hourly.clone());
    world.live_until("2026-11-23T09:30:00Z");
    world.set_clock("2026-11-23T07:40:00Z");
    hourly.recurrence.except = vec![jiff::civil::date(2026, 11, 23)];
    world.put(hourly);
    world.story.clear();
    world.set_clock("2026-11-23T11:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T11:30:00 clock stepped 3h 50m
    23T11:30:00 skipped 23T08:00..23T08:00 x1: excluded
    23T11:30:00 skipped 23T10:00..23T11:00 x2: excluded
    ");
}
