//! Tokens and triggers that were refused, as stories (DESIGN.md 9).

use super::*;

#[test]
fn a_trigger_whose_gets_fail_keeps_no_others_waiting_behind_a_token_that_works() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    for (name, trigger) in [("a", "agtch_1"), ("b", "agtch_2")] {
        let mut schedule = schedule(name, "0 9 * * *");
        schedule.target.trigger_id = TriggerId::parse(trigger).unwrap();
        world.put(schedule);
    }
    world.answers = [(); 2]
        .map(|()| Outcome::TokenRefused { newer_token: false })
        .into();
    world.silent = Some(TriggerId::parse("agtch_1").unwrap());
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 broken Token(Default)
    23T09:00:00 send b-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:01:00 probe token with agtch_1
    23T09:06:00 probe token with agtch_2
    23T09:06:00 mended Token(Default), 2 waited
    23T09:06:00 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:06:00 accepted a-20261123T0900
    23T09:06:00 send b-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:06:00 accepted b-20261123T0900
    ");
}

#[test]
fn a_429_by_the_one_that_was_let_through_keeps_the_others_waiting_as_well() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.holds_answers = true;
    for name in ["a", "b", "c"] {
        world.put(schedule(name, "0 9 * * *"));
    }
    world.live_until("2026-11-23T09:00:00Z");
    for _ in 0..3 {
        world.answer_held(Outcome::TriggerRefused);
    }
    world.holds_answers = false;
    let in_ten_minutes = RetryAfter::Delay(Duration::from_secs(600));
    world.answers = [Outcome::RateLimited(Some(in_ten_minutes))].into();
    world.live_until("2026-11-23T09:20:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 send b-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 send c-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 broken Trigger(agtch_1)
    23T09:01:00 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:01:00 mended Trigger(agtch_1), 2 waited
    23T09:01:00 token paused until 09:11:00
    23T09:11:00 send a-20261123T0900 #3 (09:00-09:00 missed 0)
    23T09:11:00 accepted a-20261123T0900
    23T09:11:00 send b-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:11:00 accepted b-20261123T0900
    23T09:11:00 send c-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:11:00 accepted c-20261123T0900
    ");
}

#[test]
fn a_trigger_is_not_asked_while_its_token_is_paused() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    let mut other = schedule("b", "0 9 * * *");
    other.target.trigger_id = TriggerId::parse("agtch_2").unwrap();
    world.put(schedule("a", "0 9 * * *"));
    world.put(other);
    let in_ten_minutes = RetryAfter::Delay(Duration::from_secs(600));
    world.answers = [
        Outcome::TriggerRefused,
        Outcome::RateLimited(Some(in_ten_minutes)),
    ]
    .into();
    world.live_until("2026-11-23T09:20:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 broken Trigger(agtch_1)
    23T09:00:00 send b-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 token paused until 09:10:00
    23T09:10:00 send b-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:10:00 accepted b-20261123T0900
    23T09:10:00 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:10:00 mended Trigger(agtch_1), 0 waited
    23T09:10:00 accepted a-20261123T0900
    ");
}

#[test]
fn a_probe_that_finds_all_slots_taken_tries_again_in_a_second() {
    let mut world = World::at("2026-11-23T08:58:00Z");
    world.put(schedule("a", "0 9 * * *"));
    world.answers = [Outcome::TriggerRefused].into();
    world.live_until("2026-11-23T09:00:30Z");
    world.holds_answers = true;
    for n in 0..64 {
        let mut other = schedule(&format!("other{n}"), "59 0 9 * * *");
        other.target.trigger_id = TriggerId::parse("agtch_2").unwrap();
        world.put(other);
    }
    world.live_until("2026-11-23T09:01:01Z");
    world.holds_answers = false;
    while !world.held.is_empty() {
        world.answer_held(Outcome::Accepted(Acceptance::default()));
    }
    world.story();
    world.live_until("2026-11-23T09:01:05Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:01:02 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:01:02 mended Trigger(agtch_1), 0 waited
    23T09:01:02 accepted a-20261123T0900
    ");
}

#[test]
fn a_refusal_that_comes_after_the_file_was_corrected_leaves_nothing_waiting() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.holds_answers = true;
    world.put(schedule("a", "0 9 * * *"));
    world.live_until("2026-11-23T09:00:00Z");
    let mut corrected = schedule("a", "0 9 * * *");
    corrected.target.trigger_id = TriggerId::parse("agtch_2").unwrap();
    world.put(corrected);
    world.answer_held(Outcome::TriggerRefused);
    world.live_until("2026-11-23T09:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 broken Trigger(agtch_1)
    23T09:00:00 rejected a-20261123T0900
    23T09:00:00 mended Trigger(agtch_1), 0 waited
    ");
}
