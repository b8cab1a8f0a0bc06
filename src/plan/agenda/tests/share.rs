//! Schedules that come from another node and go to another, as stories.

use super::*;
use crate::plan::agenda::TakenUp;
use crate::plan::pause::{Pause, Scope};
use crate::plan::remembered::OpenDelivery;

impl World {
    fn take_up(&mut self, schedule: Schedule, remembered: Remembered) {
        let taken = TakenUp {
            id: schedule.id.clone(),
            remembered,
            schedule: Some(Arc::new(schedule)),
        };
        let actions = self.agenda.take_up(vec![taken], self.now);
        self.act(actions);
    }

    /// Whether it was left.
    fn give_up(&mut self, name: &str) -> bool {
        let id = ScheduleId::parse(name).unwrap();
        let (left, actions) = self.agenda.give_up([id.clone()], self.now);
        self.act(actions);
        left == [id]
    }
}

fn open(delivery: Arc<Delivery>) -> OpenDelivery {
    OpenDelivery {
        delivery,
        attempts: 0,
        retry_at: None,
        outcome_unknown: false,
    }
}

#[test]
fn it_goes_on_where_another_node_left_off() {
    let mut world = World::at("2026-11-23T12:10:00Z");
    world.put(schedule("other", "30 12 * * *"));
    world.take_up(
        schedule("a", "0 * * * *"),
        remembered("a", "2026-11-23T09:30:00Z"),
    );
    world.live_until("2026-11-23T13:10:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T12:10:00 skipped 23T10:00..23T11:00 x2: superseded
    23T12:10:00 took up a
    23T12:10:00 send a-20261123T120000Z #1 (09:30-12:00 missed 2)
    23T12:10:00 accepted a-20261123T120000Z
    23T12:30:00 send other-20261123T1230 #1 (12:30-12:30 missed 0)
    23T12:30:00 accepted other-20261123T1230
    23T13:00:00 send a-20261123T130000Z #1 (12:00-13:00 missed 0)
    23T13:00:00 accepted a-20261123T130000Z
    ");
}

#[test]
fn what_another_node_had_written_ahead_is_sent_with_its_bytes() {
    let mut before = World::at("2026-11-23T08:30:00Z");
    before.holds_answers = true;
    before.put(schedule("a", "0 * * * *"));
    before.live_until("2026-11-23T09:00:00Z");
    let mut remembered = remembered("a", "2026-11-23T08:59:55Z");
    remembered.open.push(open(before.held[0].clone()));

    let mut world = World::at("2026-11-23T09:00:12Z");
    let mut other_version = schedule("a", "0 * * * *");
    other_version.message.input = Some(Template::parse("another text").unwrap());
    world.take_up(other_version, remembered);
    insta::assert_snapshot!(world.story(), @"
    23T09:00:12 took up a
    23T09:00:12 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:00:12 accepted a-20261123T090000Z
    ");
}

#[test]
fn one_that_is_left_is_fired_no_more_and_what_waits_gets_no_verdict() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(schedule("a", "0 * * * *"));
    world.put(schedule("b", "0 * * * *"));
    world.answers = [failed(), failed()].into();
    world.always = Some(failed());
    world.live_until("2026-11-23T09:00:01Z");
    assert!(world.give_up("a"));
    world.always = None;
    world.live_until("2026-11-23T09:59:57Z");
    assert!(world.give_up("b"));
    world.live_until("2026-11-23T12:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:00:00 send b-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:00:01 gave up a
    23T09:00:02 send b-20261123T090000Z #2 (08:00-09:00 missed 0)
    23T09:00:02 accepted b-20261123T090000Z
    23T09:59:57 withdraw b-20261123T100000Z
    23T09:59:57 gave up b
    ");
    assert_eq!(world.agenda.open_deliveries(), 0);
    assert_eq!(
        world.next_wake(),
        None,
        "it is as if it had never been there"
    );
}

#[test]
fn what_falls_due_while_it_is_left_is_dealt_with_first() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.holds_answers = true;
    world.put(schedule("a", "0 * * * *"));
    world.live_until("2026-11-23T08:59:59Z");
    world.pass("2026-11-23T09:00:00Z".parse().unwrap());
    assert!(!world.give_up("a"), "its call is under way");
    world.answer_held(Outcome::Accepted(Acceptance::default()));
    assert!(world.give_up("a"));
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T090000Z
    23T09:00:00 gave up a
    ");
}

#[test]
fn one_with_a_delivery_by_hand_is_kept_until_that_has_ended() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    let a = schedule("a", "0 * * * *");
    world.put(a.clone());
    world.answers = [failed()].into();
    let (_, actions) = world.agenda.trigger(&a, world.now);
    world.act(actions);
    assert!(!world.give_up("a"));
    world.live_until("2026-11-23T08:31:00Z");
    assert!(world.give_up("a"));
}

#[test]
fn what_another_node_was_asked_for_by_hand_is_sent_here_once() {
    let a = schedule("a", "0 * * * *");
    let mut other = World::at("2026-11-23T08:40:00Z");
    let (delivery, _) = other.agenda.trigger(&a, other.now);
    let asked = open(delivery);
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.holds_answers = true;
    world.put(a);
    world.live_until("2026-11-23T08:40:01Z");
    for _ in 0..2 {
        let actions = world.agenda.asked_for(asked.clone(), world.now);
        world.act(actions);
    }
    world.answer_held(Outcome::Accepted(Acceptance::default()));
    insta::assert_snapshot!(world.story(), @"
    23T08:40:01 send a-manual-20261123T084000.000Z #1 (08:00-08:40 missed 0)
    23T08:40:01 accepted a-manual-20261123T084000.000Z
    ");
}

#[test]
fn a_redelivery_that_another_node_was_asked_for_fills_the_hole_here() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(schedule("a", "0 * * * *"));
    world.answers = [Outcome::Rejected].into();
    world.live_until("2026-11-23T09:10:00Z");
    let again = open(world.ended[0].clone());
    let actions = world.agenda.asked_for(again, world.now);
    world.act(actions);
    world.live_until("2026-11-23T10:10:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:00:00 rejected a-20261123T090000Z
    23T09:10:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:10:00 accepted a-20261123T090000Z
    23T10:00:00 send a-20261123T100000Z #1 (09:00-10:00 missed 0)
    23T10:00:00 accepted a-20261123T100000Z
    ");
}

#[test]
fn one_that_was_lost_leaves_no_trace_and_no_fact() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.holds_answers = true;
    world.put(schedule("a", "0 * * * *"));
    world.live_until("2026-11-23T09:00:00Z");
    world.agenda.lose(&[ScheduleId::parse("a").unwrap()]);
    world.answer_held(Outcome::Accepted(Acceptance::default()));
    world.live_until("2026-11-23T12:00:00Z");
    insta::assert_snapshot!(world.story(), @"23T09:00:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)");
    assert_eq!(world.agenda.in_flight(), 0, "its slot is free again");
}

#[test]
fn one_whose_file_is_gone_everywhere_ends_with_what_waits() {
    let mut before = World::at("2026-11-23T08:30:00Z");
    before.holds_answers = true;
    before.put(schedule("a", "0 * * * *"));
    before.live_until("2026-11-23T09:00:00Z");
    let mut remembered = remembered("a", "2026-11-23T09:00:01Z");
    remembered.open.push(OpenDelivery {
        delivery: before.held[0].clone(),
        attempts: 1,
        retry_at: None,
        outcome_unknown: true,
    });
    let mut world = World::at("2026-11-23T09:10:00Z");
    let taken = TakenUp {
        id: ScheduleId::parse("a").unwrap(),
        remembered,
        schedule: None,
    };
    let actions = world.agenda.take_up(vec![taken], world.now);
    world.act(actions);
    assert!(world.give_up("a"));
    insta::assert_snapshot!(world.story(), @"
    23T09:10:00 skipped a-20261123T090000Z: removed (outcome unknown)
    23T09:10:00 took up a
    23T09:10:00 gave up a
    ");
}

#[test]
fn what_was_paused_and_resumed_elsewhere_holds_here_and_is_not_recorded_again() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.put(schedule("a", "0 * * * *"));
    let mut pauses = Pauses::default();
    let pause = Pause {
        since: world.now.wall,
        until: None,
        reason: None,
    };
    pauses.put(Scope::All, pause);
    let actions = world.agenda.learn_pauses(&pauses, world.now);
    world.act(actions);
    world.live_until("2026-11-23T09:30:00Z");
    let actions = world.agenda.learn_pauses(&Pauses::default(), world.now);
    world.act(actions);
    world.live_until("2026-11-23T10:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 skipped 23T09:00..23T09:00 x1: paused
    23T10:00:00 send a-20261123T100000Z #1 (08:00-10:00 missed 1)
    23T10:00:00 accepted a-20261123T100000Z
    ");
}

#[test]
fn what_was_counted_before_a_schedule_was_left_counts_once_when_it_comes_back() {
    let mut world = World::at("2026-11-23T08:30:00Z");
    world.agenda.bound(Ceilings {
        daemon: Limits {
            per_day: Some(3),
            per_hour: None,
        },
        agents: Default::default(),
    });
    let a = schedule("a", "0 * * * *");
    world.put(a.clone());
    world.live_until("2026-11-23T09:30:00Z");
    assert!(world.give_up("a"));
    let mut remembered = remembered("a", "2026-11-23T09:40:00Z");
    let accepted = |opened_at: &str| AcceptedDelivery {
        schedule: a.id.clone(),
        trigger_id: a.target.trigger_id.clone(),
        opened_at: opened_at.parse().unwrap(),
    };
    // The first was opened here, the second by another node.
    remembered.accepted = ["2026-11-23T09:00:00Z", "2026-11-23T09:35:00Z"]
        .map(accepted)
        .into();
    world.pass("2026-11-23T09:50:00Z".parse().unwrap());
    world.take_up(a, remembered);
    world.live_until("2026-11-23T11:30:00Z");
    let story = world.story();
    let sent = story.lines().filter(|line| line.contains(" accepted a-"));
    assert_eq!(sent.count(), 2, "{story}");
}

#[test]
fn a_probe_that_was_lost_is_followed_by_another() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.put(schedule("a", "0 9 * * *"));
    world.put(schedule("b", "0 9 * * *"));
    world.always = Some(Outcome::TriggerRefused);
    world.live_until("2026-11-23T09:00:30Z");
    world.always = None;
    world.holds_answers = true;
    world.live_until("2026-11-23T09:01:00Z");
    world.agenda.lose(&[ScheduleId::parse("a").unwrap()]);
    world.answer_held(Outcome::TriggerRefused);
    world.holds_answers = false;
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 broken Trigger(agtch_1)
    23T09:00:00 send b-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:01:00 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:06:00 send b-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:06:00 mended Trigger(agtch_1), 0 waited
    23T09:06:00 accepted b-20261123T0900
    ");
}

#[test]
fn where_a_node_whose_clock_is_ahead_left_off_counts_no_more_than_now() {
    let mut world = World::at("2026-11-23T12:10:00Z");
    world.take_up(
        schedule("a", "0 * * * *"),
        remembered("a", "2027-11-23T09:30:00Z"),
    );
    world.live_until("2026-11-23T13:10:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T12:10:00 took up a
    23T12:10:00 clock stepped 8757h 20m ago
    23T13:00:00 send a-20261123T130000Z #1 (12:00-13:00 missed 0)
    23T13:00:00 accepted a-20261123T130000Z
    ");
}
