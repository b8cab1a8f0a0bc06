//! Pauses and redeliveries, as stories (SEMANTICS.md 24 and 25).

use super::*;
use crate::plan::pause::{Pause, Scope};

impl World {
    fn pause(&mut self, name: Option<&str>, until: Option<&str>) {
        let pause = Pause {
            since: self.now.wall,
            until: until.map(|text| text.parse().unwrap()),
            reason: None,
        };
        let actions = self.agenda.pause(scope(name), pause, self.now);
        self.act(actions);
    }

    fn resume(&mut self, name: Option<&str>) {
        let actions = self.agenda.resume(&scope(name), self.now).unwrap();
        self.act(actions);
    }
}

fn scope(name: Option<&str>) -> Scope {
    name.map_or(Scope::All, |name| {
        Scope::Schedule(ScheduleId::parse(name).unwrap())
    })
}

#[test]
fn s24_what_passes_meanwhile_is_skipped_and_resuming_starts_no_stampede() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(with_catch_up(
        "a",
        "0 * * * *",
        CatchUp::All {
            at_most: 10,
            spacing: Duration::ZERO,
        },
    ));
    world.live_until("2026-11-23T08:59:57Z");
    world.pause(Some("a"), None);
    world.live_until("2026-11-23T11:30:00Z");
    world.resume(Some("a"));
    world.live_until("2026-11-23T12:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T08:59:57 paused Schedule(a)
    23T08:59:57 withdraw a-20261123T090000Z
    23T09:00:00 skipped 23T09:00..23T09:00 x1: paused
    23T10:00:00 skipped 23T10:00..23T10:00 x1: paused
    23T11:00:00 skipped 23T11:00..23T11:00 x1: paused
    23T11:30:00 resumed Schedule(a) by hand
    23T12:00:00 send a-20261123T120000Z #1 (08:00-12:00 missed 3)
    23T12:00:00 accepted a-20261123T120000Z
    ");
}

#[test]
fn s24_a_pause_expires_by_itself_and_what_is_due_at_its_end_fires() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(schedule("a", "0 * * * *"));
    world.put(schedule("b", "*/40 * * * *"));
    world.pause(None, Some("2026-11-23T10:00:00Z"));
    world.live_until("2026-11-23T10:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T08:30:00 paused All
    23T08:40:00 skipped 23T08:40..23T08:40 x1: paused
    23T09:00:00 skipped 23T09:00..23T09:00 x1: paused
    23T09:00:00 skipped 23T09:00..23T09:00 x1: paused
    23T09:40:00 skipped 23T09:40..23T09:40 x1: paused
    23T10:00:00 send a-20261123T100000Z #1 (08:00-10:00 missed 1)
    23T10:00:00 accepted a-20261123T100000Z
    23T10:00:00 send b-20261123T100000Z #1 (08:00-10:00 missed 3)
    23T10:00:00 accepted b-20261123T100000Z
    23T10:00:00 resumed All expired
    ");
}

#[test]
fn s24_over_a_stop_the_pause_skips_what_it_covered_and_the_policy_has_the_rest() {
    let mut remembered = remembered("a", "2026-11-23T08:30:00Z");
    let pause = |until: &str| Pause {
        since: "2026-11-23T08:30:00Z".parse().unwrap(),
        until: Some(until.parse().unwrap()),
        reason: None,
    };
    remembered
        .pauses
        .put(Scope::All, pause("2026-11-23T10:30:00Z"));
    let mut world = World::restarted("2026-11-23T12:10:00Z", remembered);
    world.put(schedule("a", "0 * * * *"));
    world.live_until("2026-11-23T13:10:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T12:10:00 skipped 23T09:00..23T10:00 x2: paused
    23T12:10:00 skipped 23T11:00..23T11:00 x1: superseded
    23T12:10:00 resumed All expired
    23T12:10:00 send a-20261123T120000Z #1 (08:30-12:00 missed 3)
    23T12:10:00 accepted a-20261123T120000Z
    23T13:00:00 send a-20261123T130000Z #1 (12:00-13:00 missed 0)
    23T13:00:00 accepted a-20261123T130000Z
    ");
}

#[test]
fn s24_attempts_of_open_deliveries_are_held_inside_their_deadlines() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    let mut short = with_catch_up("a", "0 9 * * *", CatchUp::None);
    short.policies.retry.give_up_after = Duration::from_secs(1800);
    world.put(short);
    world.put(schedule("b", "0 9 * * *"));
    world.always = Some(failed());
    world.live_until("2026-11-23T09:00:01Z");
    world.pause(None, None);
    world.always = None;
    world.live_until("2026-11-23T09:40:00Z");
    world.resume(None);
    world.live_until("2026-11-23T09:50:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 send b-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:01 paused All
    23T09:30:00 expired a-20261123T0900 (outcome unknown)
    23T09:40:00 resumed All by hand
    23T09:40:00 send b-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:40:00 accepted b-20261123T0900
    ");
}

#[test]
fn s24_a_manual_trigger_passes_a_pause() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    let it = schedule("a", "0 9 * * *");
    world.put(it.clone());
    world.pause(Some("a"), None);
    let (_, actions) = world.agenda.trigger(&it, world.now);
    world.act(actions);
    insta::assert_snapshot!(world.story(), @"
    23T08:30:00 paused Schedule(a)
    23T08:30:00 send a-manual-20261123T083000.000Z #1 (09:00-08:30 missed 0)
    23T08:30:00 accepted a-manual-20261123T083000.000Z
    ");
}

#[test]
fn a_paused_schedule_wakes_nobody_but_at_its_occurrences() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(schedule("a", "0 9 * * *"));
    world.pause(Some("a"), None);
    let nine: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
    assert_eq!(world.next_wake(), Some(nine));
}

#[test]
fn s25_a_redelivery_has_the_same_key_and_bytes_and_fills_the_hole() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.put(schedule("a", "0 9,10 * * *"));
    world.always = Some(Outcome::Rejected);
    world.live_until("2026-11-23T09:30:00Z");
    let delivery = world.ended.last().unwrap().clone();
    world.always = None;
    let ended = OpenDelivery {
        delivery: delivery.clone(),
        attempts: 1,
        retry_at: None,
        outcome_unknown: false,
    };
    let actions = world.agenda.redeliver(ended.clone(), world.now).unwrap();
    world.holds_answers = true;
    world.act(actions);
    assert_eq!(world.agenda.redeliver(ended, world.now), None, "it is open");
    assert_eq!(world.held[0].body, delivery.body);
    world.answer_held(Outcome::Accepted(Acceptance::default()));
    world.holds_answers = false;
    world.live_until("2026-11-23T10:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (10:00-09:00 missed 0)
    23T09:00:00 rejected a-20261123T0900
    23T09:30:00 reopen a-20261123T0900
    23T09:30:00 send a-20261123T0900 #2 (10:00-09:00 missed 0)
    23T09:30:00 accepted a-20261123T0900
    23T10:00:00 send a-20261123T1000 #1 (09:00-10:00 missed 0)
    23T10:00:00 accepted a-20261123T1000
    ");
}

#[test]
fn a_paused_delivery_leaves_the_breakers_probe_to_another() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.put(schedule("a", "0 9 * * *"));
    world.put(schedule("b", "1 9 * * *"));
    world.always = Some(Outcome::TriggerRefused);
    world.live_until("2026-11-23T09:01:30Z");
    world.pause(Some("a"), None);
    world.always = None;
    world.live_until("2026-11-23T09:10:00Z");
    world.resume(Some("a"));
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 broken Trigger(agtch_1)
    23T09:01:00 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:01:30 paused Schedule(a)
    23T09:06:00 send b-20261123T0901 #1 (09:01-09:01 missed 0)
    23T09:06:00 mended Trigger(agtch_1), 0 waited
    23T09:06:00 accepted b-20261123T0901
    23T09:10:00 resumed Schedule(a) by hand
    23T09:10:00 send a-20261123T0900 #3 (09:00-09:00 missed 0)
    23T09:10:00 accepted a-20261123T0900
    ");
}

#[test]
fn s25_a_redelivery_is_sent_once_the_ledger_has_it_open_again() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.put(schedule("a", "0 9 * * *"));
    world.always = Some(Outcome::Rejected);
    world.live_until("2026-11-23T09:30:00Z");
    let ended = OpenDelivery {
        delivery: world.ended.last().unwrap().clone(),
        attempts: 1,
        retry_at: None,
        outcome_unknown: false,
    };
    let actions = world.agenda.redeliver(ended, world.now).unwrap();
    let is_attempt = |action: &Action| matches!(action, Action::Attempt { .. });
    assert!(!actions.iter().any(is_attempt), "{actions:?}");
}
