//! The agenda's view of runs: how far each has come, which deadlines it has passed, and which
//! occurrences must make way for it (SEMANTICS.md 23). When a run is looked at is `follow`'s concern.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::deliveries::{Open, State};
use super::{Action, Agenda, Notice};
use crate::api::RunAnswer;
use crate::api::wire::RunStatus;
use crate::clock::Moment;
use crate::plan::delivery::{Delivery, Skip, Verdict, later, variables};
use crate::plan::fact::Fact;
use crate::plan::follow::Following;
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::outcome::{Acceptance, RetryAfter};
use crate::plan::remembered::FollowedRun;
use crate::plan::run::{Finding, LONGEST_RUN, Lost, Overdue, Progress, Run, RunEnd, RunReport};
use crate::schedule::{HeadersFrom, OverlapPolicy, Schedule, ScheduleId};

/// Where the result of a run is looked up, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookUp {
    pub url: String,
    pub contains: String,
    pub headers_from: Option<HeadersFrom>,
}

impl Agenda {
    /// The API answered a question about a run.
    pub fn run_answered(
        &mut self,
        key: &IdempotencyKey,
        answer: RunAnswer,
        now: Moment,
    ) -> Vec<Action> {
        self.runs.heard();
        if let Some(following) = self.runs.get_mut(key) {
            match answer {
                RunAnswer::Found(found) => {
                    let code = found.error.and_then(|error| error.code);
                    self.run_is(key, found.status, code, now);
                }
                RunAnswer::NotFound => {
                    if following.is_unknown() {
                        self.end_run(key, RunEnd::Lost(Lost::Unknown), now);
                    }
                }
                RunAnswer::Refused(detail) => self.run_unseen(key, detail),
                RunAnswer::Unknown { retry_after, .. } => {
                    if let Some(asked) = asked(retry_after, now) {
                        let token = following.run.target.token.clone();
                        self.runs.pause(token, now.boot + asked);
                    }
                }
            }
        }
        self.follow_on(key, now);
        std::mem::take(&mut self.actions)
    }

    /// Whether the result of a completed run was found where it should be. `Err` says why that could
    /// not be told.
    pub fn looked_up(
        &mut self,
        key: &IdempotencyKey,
        found: Result<bool, String>,
        now: Moment,
    ) -> Vec<Action> {
        self.runs.heard();
        if let Some(following) = self.runs.get(key) {
            let within = self
                .entry_of(following)
                .and_then(|schedule| schedule.policies.verify.as_ref().map(|it| it.within));
            let is_over = within.is_none_or(|within| later(following.since, within) <= now.wall);
            match found {
                Ok(true) => self.end_run(key, RunEnd::Completed(Some(Finding::Confirmed)), now),
                Ok(false) | Err(_) if is_over => {
                    self.end_run(key, RunEnd::Completed(Some(Finding::Missing)), now);
                }
                Ok(false) => {}
                Err(detail) => self.run_unseen(key, detail),
            }
        }
        self.follow_on(key, now);
        std::mem::take(&mut self.actions)
    }

    /// Follows the run of an accepted delivery, where the API gave its id.
    pub(super) fn follow_run(&mut self, delivery: &Delivery, acceptance: &Acceptance, now: Moment) {
        match Run::of(delivery, acceptance, now.wall) {
            Some(run) => {
                let run = Arc::new(run);
                self.report(&run, Progress::Status(RunStatus::Queued), now);
                self.runs
                    .begin(Following::new(run, RunStatus::Queued, now.wall), now);
            }
            None => self.no_run_to_follow(delivery),
        }
    }

    /// A run that the process before followed.
    pub(super) fn take_over_run(
        &mut self,
        followed: FollowedRun,
        left_off_at: Timestamp,
        now: Moment,
    ) {
        let mut following = Following::new(Arc::new(followed.run), followed.status, followed.since);
        following.told.before = Some(left_off_at);
        self.runs.begin(following, now);
    }

    pub(super) fn run_looks(&mut self, now: Moment) {
        while let Some(key) = self.runs.due(now) {
            let Some(following) = self.runs.get(&key) else {
                self.runs.heard();
                continue;
            };
            let run = following.run.clone();
            let action = match self.look_up_of(following) {
                _ if following.status != RunStatus::Completed => Action::AskRun(run),
                Some(look_up) => Action::LookUp { run, look_up },
                None => {
                    // The schedule asks for no look-up any more.
                    self.runs.heard();
                    self.end_run(&key, RunEnd::Completed(None), now);
                    continue;
                }
            };
            self.actions.push(action);
        }
    }

    /// Whether the schedule has a run that is not known to have ended, `except` one delivery's
    /// (SEMANTICS.md 23).
    pub(super) fn is_active(
        &self,
        schedule: &Schedule,
        except: Option<&IdempotencyKey>,
        now: Moment,
    ) -> bool {
        let scheduled_at = |open: &Open| open.delivery.occurrence.scheduled_at;
        let asked_for = except.and_then(|key| self.open.get(key)).map(scheduled_at);
        let may_run = |key: &IdempotencyKey| {
            self.open.get(key).is_some_and(|open| match open.state {
                State::Trying => true,
                State::Queued => false,
                // What a start took over may have been sent by the process before, the oldest first:
                // so it is nothing that an older one waits for.
                State::Pending
                | State::Sendable
                | State::Waiting { .. }
                | State::Held(_)
                | State::Paused => {
                    let was_sent = open.attempts > 0;
                    let is_older = asked_for.is_none_or(|at| scheduled_at(open) < at);
                    open.outcome_unknown && (was_sent || is_older)
                }
            })
        };
        let others = self.of_schedule(&schedule.id);
        let mut others = others.iter().filter(|key| except != Some(*key));
        let stuck_after = schedule.policies.overlap.stuck_after;
        let mut runs = self.runs.of_schedule(&schedule.id);
        others.any(may_run)
            || runs.any(|it| {
                it.status != RunStatus::Completed && later(it.accepted_at, stuck_after) > now.wall
            })
    }

    /// Whether an occurrence that is due now is skipped because a run is still active. Under `queue`
    /// the one that was queued before it makes way instead: the newer one's window covers it.
    pub(super) fn makes_way_for_a_run(&mut self, schedule: &Schedule, now: Moment) -> bool {
        let policy = schedule.policies.overlap.policy;
        if policy == OverlapPolicy::Allow || !self.is_active(schedule, None, now) {
            return false;
        }
        if let Some(older) = self.queue.get(&schedule.id).cloned() {
            self.end(&older, Verdict::Skipped(Skip::Overlap), None, now);
        }
        policy == OverlapPolicy::Skip
    }

    /// Where a run is still active, a delivery that was never sent is skipped, or put in its schedule's queue
    /// of one, by the policy. The newest stays.
    pub(super) fn makes_way(&mut self, key: &IdempotencyKey, now: Moment) -> bool {
        let Some(open) = self.open.get(key).filter(|open| !open.is_manual()) else {
            return false;
        };
        let occurrence = &open.delivery.occurrence;
        let (scheduled_at, is_sent) = (occurrence.scheduled_at, open.attempts > 0);
        let Some(schedule) = self.schedule(&occurrence.schedule).cloned() else {
            return false;
        };
        let policy = schedule.policies.overlap.policy;
        if policy == OverlapPolicy::Allow
            || (policy == OverlapPolicy::Skip && is_sent)
            || !self.is_active(&schedule, Some(key), now)
        {
            return false;
        }
        if policy == OverlapPolicy::Skip {
            self.end(key, Verdict::Skipped(Skip::Overlap), None, now);
            return true;
        }
        let other = self.queue.get(&schedule.id);
        let other = other.filter(|other| *other != key).cloned();
        let other_is_newer = other.as_ref().is_some_and(|other| {
            let open = self.open.get(other);
            open.is_some_and(|open| open.delivery.occurrence.scheduled_at > scheduled_at)
        });
        if let Some(open) = self.open.get_mut(key) {
            open.state = State::Queued;
        }
        let displaced = match other_is_newer {
            true => Some(key.clone()),
            false => {
                self.queue.insert(schedule.id.clone(), key.clone());
                other
            }
        };
        if let Some(displaced) = displaced {
            self.end(&displaced, Verdict::Skipped(Skip::Overlap), None, now);
        }
        true
    }

    /// Something of the schedule has ended, or its policy changed: what is queued may go, unless a
    /// run is active.
    pub(super) fn release_queued(&mut self, id: &ScheduleId, now: Moment) {
        if let Some(key) = self.queue.remove(id) {
            self.ready(&key, now);
        }
    }

    fn run_is(
        &mut self,
        key: &IdempotencyKey,
        status: RunStatus,
        code: Option<String>,
        now: Moment,
    ) {
        let Some(following) = self.runs.get_mut(key) else {
            return;
        };
        if !following.is_now(status.clone(), now.wall) {
            return;
        }
        let run = following.run.clone();
        match status {
            RunStatus::Failed => self.end_run(key, RunEnd::Failed { code }, now),
            RunStatus::Completed => {
                let is_looked_up = self
                    .runs
                    .get(key)
                    .is_some_and(|following| self.look_up_of(following).is_some());
                if is_looked_up {
                    self.report(&run, Progress::Status(status), now);
                    self.release_queued(&run.occurrence.schedule, now);
                } else {
                    self.end_run(key, RunEnd::Completed(None), now);
                }
            }
            RunStatus::Queued
            | RunStatus::InProgress
            | RunStatus::Suspended
            | RunStatus::Other(_) => self.report(&run, Progress::Status(status), now),
        }
    }

    fn end_run(&mut self, key: &IdempotencyKey, end: RunEnd, now: Moment) {
        if let Some(following) = self.runs.end(key) {
            self.report(&following.run, Progress::Ended(end), now);
            self.release_queued(&following.run.occurrence.schedule, now);
        }
    }

    /// What a look leaves to do, whatever its answer was: deadlines, and when to look again.
    fn follow_on(&mut self, key: &IdempotencyKey, now: Moment) {
        let Some(following) = self.runs.get(key) else {
            return;
        };
        let run = following.run.clone();
        if later(following.accepted_at, LONGEST_RUN) <= now.wall {
            return self.end_run(key, RunEnd::Lost(Lost::TooLong), now);
        }
        let accepted_at = following.accepted_at;
        let deadlines = self.deadlines_of(following);
        for (overdue, at) in deadlines.iter().flatten() {
            if *at <= now.wall
                && let Some(following) = self.runs.get_mut(key)
                && following.told.is_news(*overdue, *at)
            {
                self.say(Notice::RunOverdue {
                    run: run.clone(),
                    overdue: *overdue,
                });
            }
        }
        let stuck_at = self
            .schedule(&run.occurrence.schedule)
            .map(|schedule| later(accepted_at, schedule.policies.overlap.stuck_after));
        if stuck_at.is_some_and(|at| at <= now.wall) {
            self.release_queued(&run.occurrence.schedule, now);
        }
        let deadlines = deadlines.into_iter().flatten().map(|(_, at)| at);
        let next = deadlines
            .chain(stuck_at)
            .filter(|at| *at > now.wall)
            .min()
            .and_then(|at| Duration::try_from(at.duration_since(now.wall)).ok());
        self.runs.look_again(key, next, now);
    }

    /// By the policy in force. A run that has completed has none.
    fn deadlines_of(&self, following: &Following) -> [Option<(Overdue, Timestamp)>; 2] {
        let Some(schedule) = self
            .entry_of(following)
            .filter(|_| following.status != RunStatus::Completed)
        else {
            return [None, None];
        };
        let expect = &schedule.policies.expect;
        let approval = (following.status == RunStatus::Suspended).then(|| {
            (
                Overdue::Approval,
                later(following.since, expect.approved_within),
            )
        });
        let end = expect
            .finished_within
            .map(|within| (Overdue::End, later(following.accepted_at, within)));
        [approval, end]
    }

    fn entry_of(&self, following: &Following) -> Option<&Arc<Schedule>> {
        self.looked_after(&following.run.occurrence.schedule)
    }

    /// Where the result of this run is looked up, if its schedule asks for that. A template that
    /// can't be rendered was told of when the file was loaded.
    fn look_up_of(&self, following: &Following) -> Option<LookUp> {
        let schedule = self.entry_of(following)?;
        let verify = schedule.policies.verify.as_ref()?;
        let run = &following.run;
        let variables = variables(
            schedule,
            &run.occurrence,
            &run.request_id,
            run.due_at,
            run.window,
        );
        let message = &schedule.message;
        let contains = match &verify.contains {
            Some(contains) => message.render(contains, &variables),
            None => message.marker(&variables),
        };
        Some(LookUp {
            url: message.render(&verify.url, &variables).ok()?,
            contains: contains.ok()?,
            headers_from: verify.headers_from.clone(),
        })
    }

    fn run_unseen(&mut self, key: &IdempotencyKey, detail: String) {
        if let Some(following) = self.runs.get_mut(key)
            && !std::mem::replace(&mut following.told.unseen, true)
        {
            let run = following.run.clone();
            self.say(Notice::RunUnseen { run, detail });
        }
    }

    /// Told once of each agent, and only where somebody counts on it.
    fn no_run_to_follow(&mut self, delivery: &Delivery) {
        let id = &delivery.occurrence.schedule;
        let agent = &delivery.target.trigger_id;
        let counts_on_runs = self.looked_after(id).is_some_and(|schedule| {
            let policies = &schedule.policies;
            policies.overlap.policy != OverlapPolicy::Allow
                || policies.expect.finished_within.is_some()
                || policies.verify.is_some()
        });
        if counts_on_runs && self.told_of_no_runs.insert(agent.clone()) {
            self.say(Notice::NoRunIds {
                schedule: id.clone(),
            });
        }
    }

    fn report(&mut self, run: &Arc<Run>, progress: Progress, now: Moment) {
        self.record(Fact::Run(Arc::new(RunReport {
            run: run.clone(),
            progress,
            at: now.wall,
        })));
    }
}

/// At most an hour: a longer wait could only hide what the run does.
fn asked(retry_after: Option<RetryAfter>, now: Moment) -> Option<Duration> {
    let asked = match retry_after? {
        RetryAfter::Delay(delay) => delay,
        RetryAfter::At(at) => {
            Duration::try_from(at.duration_since(now.wall)).unwrap_or(Duration::ZERO)
        }
    };
    Some(asked.min(Duration::from_secs(3600)))
}
