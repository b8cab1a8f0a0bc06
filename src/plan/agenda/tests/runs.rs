//! What comes after an acceptance, as stories: runs that end, wait or never end, and the occurrences
//! that make way for them.

use super::*;
use crate::api::wire;
use crate::plan::remembered::FollowedRun;

fn is(status: &str) -> Option<RunAnswer> {
    Some(RunAnswer::Found(
        wire::Run::read(format!(r#"{{"status":"{status}"}}"#).as_bytes()).unwrap(),
    ))
}

fn with_run() -> Option<Outcome> {
    Some(Outcome::Accepted(Acceptance {
        run_id: Some("apirun_1".into()),
        conversation_url: None,
    }))
}

fn with_overlap(name: &str, cron: &str, policy: OverlapPolicy) -> Schedule {
    let mut schedule = schedule(name, cron);
    schedule.policies.overlap.policy = policy;
    schedule
}

#[test]
fn a_run_is_followed_to_its_end() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = with_run();
    world.run = is("in_progress");
    world.put(schedule("a", "0 9 * * *"));
    world.live_until("2026-11-23T09:01:00Z");
    world.run = is("napping");
    world.live_until("2026-11-23T09:03:00Z");
    world.run = is("completed");
    world.live_until("2026-11-23T12:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T0900
    23T09:00:00 run a-20261123T0900 queued
    23T09:00:05 run a-20261123T0900 in_progress
    23T09:01:20 run a-20261123T0900 napping
    23T09:03:35 run a-20261123T0900 completed at last
    ");
}

#[test]
fn a_run_that_fails_or_is_not_known_ends_there() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = with_run();
    world.run = is("failed");
    world.put(schedule("a", "0 9 * * *"));
    world.live_until("2026-11-23T10:00:00Z");
    world.run = Some(RunAnswer::NotFound);
    world.live_until("2026-11-24T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T0900
    23T09:00:00 run a-20261123T0900 queued
    23T09:00:05 run a-20261123T0900 failed at last
    24T09:00:00 send a-20261124T0900 #1 (09:00-09:00 missed 0)
    24T09:00:00 accepted a-20261124T0900
    24T09:00:00 run a-20261124T0900 queued
    24T09:00:35 run a-20261124T0900 lost at last
    ");
}

#[test]
fn a_run_that_waits_for_an_approval_is_overdue_once_and_again_when_it_waits_anew() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = with_run();
    world.run = is("suspended");
    world.put(schedule("a", "0 9 23 * *"));
    world.live_until("2026-11-23T10:00:00Z");
    world.run = is("in_progress");
    world.live_until("2026-11-23T10:05:00Z");
    world.run = is("suspended");
    world.live_until("2026-11-23T11:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T0900
    23T09:00:00 run a-20261123T0900 queued
    23T09:00:05 run a-20261123T0900 suspended
    23T09:15:05 overdue a-20261123T0900: approved_within
    23T10:00:05 run a-20261123T0900 in_progress
    23T10:05:20 run a-20261123T0900 suspended
    23T10:20:20 overdue a-20261123T0900: approved_within
    ");
}

#[test]
fn a_run_that_does_not_end_is_overdue_and_given_up_after_a_week() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = with_run();
    world.run = is("in_progress");
    let mut schedule = schedule("a", "0 9 23 * *");
    schedule.policies.expect.finished_within = Some(Duration::from_secs(600));
    world.put(schedule);
    world.live_until("2026-12-02T09:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T0900
    23T09:00:00 run a-20261123T0900 queued
    23T09:00:05 run a-20261123T0900 in_progress
    23T09:10:00 overdue a-20261123T0900: finished_within
    30T09:00:00 run a-20261123T0900 lost at last
    ");
}

#[test]
fn a_run_of_the_process_before_is_followed_on_and_old_deadlines_are_not_told_again() {
    let mut first = World::at("2026-11-23T08:59:00Z");
    first.always = with_run();
    first.run = is("suspended");
    first.put(schedule("a", "0 9 23 * *"));
    first.live_until("2026-11-23T09:10:00Z");
    let followed = first.agenda.runs.all().next().unwrap();
    let mut remembered = remembered("a", "2026-11-23T09:30:00Z");
    remembered.runs = vec![FollowedRun {
        run: followed.run.as_ref().clone(),
        status: followed.status.clone(),
        since: followed.since,
    }];
    let mut world = World::restarted("2026-11-23T09:40:00Z", remembered);
    world.run = is("suspended");
    world.put(schedule("a", "0 9 23 * *"));
    world.live_until("2026-11-23T09:50:00Z");
    world.run = is("completed");
    world.live_until("2026-11-23T10:00:00Z");
    insta::assert_snapshot!(world.story(), @"23T09:50:15 run a-20261123T0900 completed at last");
}

#[test]
fn a_completed_run_is_confirmed_or_missing_by_its_marker() {
    let verified = |name: &str| {
        let mut schedule = schedule(name, "0 9 23 * *");
        schedule.policies.verify = Some(Box::new(crate::schedule::Verify {
            url: Template::parse("https://wiki/{{ request_id }}").unwrap(),
            contains: None,
            within: Duration::from_secs(30),
            headers_from: None,
        }));
        schedule
    };
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = with_run();
    world.run = is("completed");
    world.put(verified("a"));
    world.live_until("2026-11-23T09:00:12Z");
    world.found = Ok(true);
    world.live_until("2026-11-23T09:10:00Z");
    world.found = Err("the answer is 500".into());
    world.put(schedule("a", "0 9 24 * *"));
    world.set_clock("2026-11-23T08:59:00Z");
    world.put(verified("b"));
    world.live_until("2026-11-23T09:10:00Z");
    insta::assert_snapshot!(world.story(), @r#"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T0900
    23T09:00:00 run a-20261123T0900 queued
    23T09:00:05 run a-20261123T0900 completed
    23T09:00:10 look for "done: a-20261123T0900" at https://wiki/a-20261123T0900
    23T09:00:20 look for "done: a-20261123T0900" at https://wiki/a-20261123T0900
    23T09:00:20 run a-20261123T0900 completed at last, confirmed
    23T08:59:00 clock stepped 11m ago
    23T09:00:00 send b-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:00 accepted b-20261123T0900
    23T09:00:00 run b-20261123T0900 queued
    23T09:00:05 run b-20261123T0900 completed
    23T09:00:10 look for "done: b-20261123T0900" at https://wiki/b-20261123T0900
    23T09:00:10 unseen b-20261123T0900: the answer is 500
    23T09:00:20 look for "done: b-20261123T0900" at https://wiki/b-20261123T0900
    23T09:00:40 look for "done: b-20261123T0900" at https://wiki/b-20261123T0900
    23T09:00:40 run b-20261123T0900 completed at last, missing
    "#);
}

#[test]
fn s23_skip_makes_way_while_a_run_is_active_and_never_for_ever() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = with_run();
    world.run = is("in_progress");
    world.put(with_overlap("a", "0 * * * *", OverlapPolicy::Skip));
    world.live_until("2026-11-23T10:30:00Z");
    world.run = is("completed");
    world.live_until("2026-11-23T11:01:00Z");
    world.run = is("suspended");
    world.live_until("2026-11-23T18:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T090000Z
    23T09:00:00 run a-20261123T090000Z queued
    23T09:00:05 run a-20261123T090000Z in_progress
    23T10:00:00 withdraw a-20261123T100000Z
    23T10:00:00 skipped 23T10:00..23T10:00 x1: overlap
    23T10:30:20 run a-20261123T090000Z completed at last
    23T11:00:00 send a-20261123T110000Z #1 (09:00-11:00 missed 1)
    23T11:00:00 accepted a-20261123T110000Z
    23T11:00:00 run a-20261123T110000Z queued
    23T11:00:05 run a-20261123T110000Z completed at last
    23T12:00:00 send a-20261123T120000Z #1 (11:00-12:00 missed 0)
    23T12:00:00 accepted a-20261123T120000Z
    23T12:00:00 run a-20261123T120000Z queued
    23T12:00:05 run a-20261123T120000Z suspended
    23T12:15:05 overdue a-20261123T120000Z: approved_within
    23T13:00:00 withdraw a-20261123T130000Z
    23T13:00:00 skipped 23T13:00..23T13:00 x1: overlap
    23T14:00:00 withdraw a-20261123T140000Z
    23T14:00:00 skipped 23T14:00..23T14:00 x1: overlap
    23T15:00:00 withdraw a-20261123T150000Z
    23T15:00:00 skipped 23T15:00..23T15:00 x1: overlap
    23T16:00:00 withdraw a-20261123T160000Z
    23T16:00:00 skipped 23T16:00..23T16:00 x1: overlap
    23T17:00:00 withdraw a-20261123T170000Z
    23T17:00:00 skipped 23T17:00..23T17:00 x1: overlap
    23T18:00:00 send a-20261123T180000Z #1 (12:00-18:00 missed 5)
    23T18:00:00 accepted a-20261123T180000Z
    23T18:00:00 run a-20261123T180000Z queued
    23T18:00:05 run a-20261123T180000Z suspended
    23T18:15:05 overdue a-20261123T180000Z: approved_within
    ");
}

#[test]
fn s23_queue_keeps_the_newest_and_sends_it_when_the_run_has_ended() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = with_run();
    world.run = is("in_progress");
    world.put(with_overlap("a", "*/10 * * * *", OverlapPolicy::Queue));
    world.live_until("2026-11-23T09:25:00Z");
    world.run = is("completed");
    world.live_until("2026-11-23T09:27:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:50-09:00 missed 0)
    23T09:00:00 accepted a-20261123T090000Z
    23T09:00:00 run a-20261123T090000Z queued
    23T09:00:05 run a-20261123T090000Z in_progress
    23T09:20:00 skipped a-20261123T091000Z: overlap
    23T09:20:00 withdraw a-20261123T092000Z
    23T09:25:20 run a-20261123T090000Z completed at last
    23T09:25:20 send a-20261123T092000Z #1 (09:00-09:20 missed 1)
    23T09:25:20 accepted a-20261123T092000Z
    23T09:25:20 run a-20261123T092000Z queued
    23T09:25:25 run a-20261123T092000Z completed at last
    ");
}

#[test]
fn s23_what_is_queued_expires_at_its_deadline_and_goes_when_the_policy_does() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = with_run();
    world.run = is("in_progress");
    let mut queue = with_overlap("a", "0 9,10 * * *", OverlapPolicy::Queue);
    queue.policies.retry.give_up_after = Duration::from_secs(600);
    world.put(queue);
    world.live_until("2026-11-23T10:30:00Z");
    world.put(with_overlap("b", "0,5 11 * * *", OverlapPolicy::Queue));
    world.live_until("2026-11-23T11:06:00Z");
    world.put(with_overlap("b", "0,5 11 * * *", OverlapPolicy::Allow));
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (10:00-09:00 missed 0)
    23T09:00:00 accepted a-20261123T0900
    23T09:00:00 run a-20261123T0900 queued
    23T09:00:05 run a-20261123T0900 in_progress
    23T10:10:00 expired a-20261123T1000
    23T11:00:00 send b-20261123T1100 #1 (11:05-11:00 missed 0)
    23T11:00:00 accepted b-20261123T1100
    23T11:00:00 run b-20261123T1100 queued
    23T11:00:05 run b-20261123T1100 in_progress
    23T11:06:00 send b-20261123T1105 #1 (11:00-11:05 missed 0)
    23T11:06:00 accepted b-20261123T1105
    23T11:06:00 run b-20261123T1105 queued
    ");
}

#[test]
fn s23_an_unknown_outcome_counts_as_active_and_a_manual_trigger_passes() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = Some(failed());
    let skip = with_overlap("a", "*/2 * * * *", OverlapPolicy::Skip);
    world.put(skip.clone());
    world.live_until("2026-11-23T09:02:30Z");
    world.always = None;
    let (_, actions) = world.agenda.trigger(&skip, world.now);
    world.act(actions);
    world.live_until("2026-11-23T09:07:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:58-09:00 missed 0)
    23T09:00:02 send a-20261123T090000Z #2 (08:58-09:00 missed 0)
    23T09:00:05 send a-20261123T090000Z #3 (08:58-09:00 missed 0)
    23T09:00:14 send a-20261123T090000Z #4 (08:58-09:00 missed 0)
    23T09:00:33 send a-20261123T090000Z #5 (08:58-09:00 missed 0)
    23T09:01:05 send a-20261123T090000Z #6 (08:58-09:00 missed 0)
    23T09:02:00 withdraw a-20261123T090200Z
    23T09:02:00 skipped 23T09:02..23T09:02 x1: overlap
    23T09:02:14 send a-20261123T090000Z #7 (08:58-09:00 missed 0)
    23T09:02:30 send a-manual-20261123T090230.000Z #1 (09:00-09:02 missed 1)
    23T09:02:30 accepted a-manual-20261123T090230.000Z
    23T09:02:30 no run ids, says a
    23T09:04:00 withdraw a-20261123T090400Z
    23T09:04:00 skipped 23T09:04..23T09:04 x1: overlap
    23T09:04:28 send a-20261123T090000Z #8 (08:58-09:00 missed 0)
    23T09:04:28 accepted a-20261123T090000Z
    23T09:06:00 send a-20261123T090600Z #1 (09:00-09:06 missed 2)
    23T09:06:00 accepted a-20261123T090600Z
    ");
}

#[test]
fn a_429_to_one_question_holds_those_of_all_runs_with_that_token() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = with_run();
    world.put(schedule("a", "0 9 23 * *"));
    world.put(schedule("b", "0 9 23 * *"));
    world.run = Some(RunAnswer::Unknown {
        detail: "status 429".into(),
        retry_after: Some(RetryAfter::Delay(Duration::from_secs(600))),
    });
    world.live_until("2026-11-23T09:01:00Z");
    // Whichever was asked first, the other was not asked after it, though it was due at once.
    world.run = is("completed");
    world.live_until("2026-11-23T09:12:00Z");
    let story = world.story();
    let ended: Vec<&str> = story.lines().filter(|it| it.ends_with("at last")).collect();
    assert_eq!(ended.len(), 2, "{story}");
    assert!(
        ended.iter().all(|it| it.starts_with("23T09:10:0")),
        "{story}"
    );
}

#[test]
fn that_no_run_is_named_is_said_once_of_each_agent() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = Some(Outcome::Accepted(Acceptance::default()));
    for (name, agent) in [("a", "agtch_1"), ("b", "agtch_1"), ("c", "agtch_2")] {
        let mut schedule = with_overlap(name, "0 9,10 23 * *", OverlapPolicy::Skip);
        schedule.target.trigger_id = TriggerId::parse(agent).unwrap();
        world.put(schedule);
    }
    world.live_until("2026-11-23T11:00:00Z");
    let story = world.story();
    let said = story.lines().filter(|it| it.contains("no run ids"));
    assert_eq!(said.count(), 2, "{story}");
}

#[test]
fn s23_without_run_ids_occurrences_overlap_and_that_is_said_once() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.put(with_overlap("a", "*/2 * * * *", OverlapPolicy::Skip));
    world.live_until("2026-11-23T09:03:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T090000Z #1 (08:58-09:00 missed 0)
    23T09:00:00 accepted a-20261123T090000Z
    23T09:00:00 no run ids, says a
    23T09:02:00 send a-20261123T090200Z #1 (09:00-09:02 missed 0)
    23T09:02:00 accepted a-20261123T090200Z
    ");
}

#[test]
fn a_delivery_that_is_not_accepted_in_time_is_told_of_and_goes_on() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = Some(failed());
    let mut schedule = schedule("a", "0 9 23 * *");
    schedule.policies.expect.accepted_within = Some(Duration::from_secs(60));
    schedule.policies.retry.max_delay = Duration::from_secs(40);
    schedule.policies.retry.first_delay = Duration::from_secs(40);
    world.put(schedule);
    world.live_until("2026-11-23T09:01:10Z");
    world.always = None;
    world.live_until("2026-11-23T09:03:10Z");
    insta::assert_snapshot!(world.story(), @"
    23T09:00:00 send a-20261123T0900 #1 (09:00-09:00 missed 0)
    23T09:00:40 send a-20261123T0900 #2 (09:00-09:00 missed 0)
    23T09:01:00 overdue a-20261123T0900
    23T09:01:20 send a-20261123T0900 #3 (09:00-09:00 missed 0)
    23T09:01:20 accepted a-20261123T0900
    ");
}

#[test]
fn s18_a_set_clock_makes_no_run_older_or_younger() {
    let mut world = World::at("2026-12-23T08:59:00Z");
    world.always = with_run();
    world.run = is("in_progress");
    let mut skip = with_overlap("a", "0 * * * *", OverlapPolicy::Skip);
    skip.policies.overlap.stuck_after = Duration::from_secs(2 * 3600);
    world.put(skip);
    world.live_until("2026-12-23T09:30:00Z");
    world.set_clock("2026-11-23T09:30:00Z");
    world.story();
    world.live_until("2026-11-23T11:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T10:00:00 withdraw a-20261123T100000Z
    23T10:00:00 skipped 23T10:00..23T10:00 x1: overlap
    23T11:00:00 send a-20261123T110000Z #1 (09:00-11:00 missed 1)
    23T11:00:00 accepted a-20261123T110000Z
    23T11:00:00 run a-20261123T110000Z queued
    23T11:00:05 run a-20261123T110000Z in_progress
    ");
}

#[test]
fn s23_of_a_catch_up_under_skip_one_is_sent_at_a_time() {
    let mut world = World::restarted(
        "2026-11-23T12:10:00Z",
        remembered("a", "2026-11-23T09:30:00Z"),
    );
    world.always = with_run();
    world.run = is("in_progress");
    let mut all = with_overlap("a", "0 * * * *", OverlapPolicy::Skip);
    all.policies.missed.catch_up = CatchUp::All {
        at_most: 10,
        spacing: Duration::from_secs(10),
    };
    world.put(all);
    world.live_until("2026-11-23T12:20:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T12:10:00 send a-20261123T100000Z #1 (09:30-10:00 missed 0)
    23T12:10:00 accepted a-20261123T100000Z
    23T12:10:00 run a-20261123T100000Z queued
    23T12:10:00 skipped a-20261123T110000Z: overlap
    23T12:10:00 skipped a-20261123T120000Z: overlap
    23T12:10:05 run a-20261123T100000Z in_progress
    ");
}

#[test]
fn s23_what_is_queued_stays_so_over_a_quick_restart() {
    let queue = with_overlap("a", "0 * * * *", OverlapPolicy::Queue);
    let mut first = World::at("2026-11-23T08:59:00Z");
    first.always = with_run();
    first.run = is("in_progress");
    first.put(queue.clone());
    first.live_until("2026-11-23T10:00:05Z");
    let followed = first.agenda.runs.all().next().unwrap();
    let mut remembered = remembered("a", "2026-11-23T10:00:05Z");
    remembered.runs = vec![FollowedRun {
        run: followed.run.as_ref().clone(),
        status: followed.status.clone(),
        since: followed.since,
    }];
    remembered.open = vec![OpenDelivery {
        delivery: first.agenda.open.values().next().unwrap().delivery.clone(),
        attempts: 0,
        retry_at: None,
        outcome_unknown: false,
    }];
    let mut world = World::restarted("2026-11-23T10:00:10Z", remembered);
    world.always = with_run();
    world.run = is("in_progress");
    world.put(queue);
    world.live_until("2026-11-23T10:20:00Z");
    world.run = is("completed");
    world.live_until("2026-11-23T10:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T10:20:25 run a-20261123T090000Z completed at last
    23T10:20:25 send a-20261123T100000Z #1 (09:00-10:00 missed 0)
    23T10:20:25 accepted a-20261123T100000Z
    23T10:20:25 run a-20261123T100000Z queued
    23T10:20:30 run a-20261123T100000Z completed at last
    ");
}

#[test]
fn s23_what_a_kill_interrupted_is_asked_again_before_what_is_queued_behind_it() {
    let queue = with_overlap("a", "0 * * * *", OverlapPolicy::Queue);
    let mut first = World::at("2026-11-23T08:59:00Z");
    first.holds_answers = true;
    first.put(queue.clone());
    first.live_until("2026-11-23T10:05:00Z");
    let mut remembered = remembered("a", "2026-11-23T10:05:00Z");
    let mut left: Vec<_> = first.agenda.open.values().collect();
    left.sort_by_key(|open| open.delivery.due_at);
    let left = left.into_iter().map(|open| OpenDelivery {
        delivery: open.delivery.clone(),
        attempts: 0,
        retry_at: None,
        outcome_unknown: false,
    });
    remembered.open = left.collect();
    let mut world = World::restarted("2026-11-23T10:06:00Z", remembered);
    world.always = with_run();
    world.run = is("in_progress");
    world.put(queue);
    world.live_until("2026-11-23T10:20:00Z");
    world.run = is("completed");
    world.live_until("2026-11-23T10:30:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T10:06:00 send a-20261123T090000Z #1 (08:00-09:00 missed 0)
    23T10:06:00 accepted a-20261123T090000Z
    23T10:06:00 run a-20261123T090000Z queued
    23T10:06:05 run a-20261123T090000Z in_progress
    23T10:20:20 run a-20261123T090000Z completed at last
    23T10:20:20 send a-20261123T100000Z #1 (09:00-10:00 missed 0)
    23T10:20:20 accepted a-20261123T100000Z
    23T10:20:20 run a-20261123T100000Z queued
    23T10:20:25 run a-20261123T100000Z completed at last
    ");
}

#[test]
fn s23_what_is_let_through_to_probe_a_trigger_makes_way_for_a_run_as_well() {
    let mut world = World::at("2026-11-23T08:59:00Z");
    world.always = with_run();
    world.run = is("in_progress");
    world.put(with_overlap("a", "0 9,10 * * *", OverlapPolicy::Queue));
    let mut other = schedule("b", "30 9 * * *");
    other.policies.retry.give_up_after = Duration::from_secs(600);
    world.put(other);
    world.live_until("2026-11-23T09:20:00Z");
    world.always = Some(Outcome::TriggerRefused);
    world.live_until("2026-11-23T09:50:00Z");
    world.always = with_run();
    world.story();
    world.live_until("2026-11-23T11:00:00Z");
    world.run = is("completed");
    world.live_until("2026-11-23T12:00:00Z");
    insta::assert_snapshot!(world.story(), @"
    23T11:00:20 run a-20261123T0900 completed at last
    23T11:00:20 send a-20261123T1000 #1 (09:00-10:00 missed 0)
    23T11:00:20 mended Trigger(agtch_1), 0 waited
    23T11:00:20 accepted a-20261123T1000
    23T11:00:20 run a-20261123T1000 queued
    23T11:00:25 run a-20261123T1000 completed at last
    ");
}
