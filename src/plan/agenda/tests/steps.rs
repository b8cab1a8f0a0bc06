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
