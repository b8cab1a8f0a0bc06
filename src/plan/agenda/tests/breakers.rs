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
