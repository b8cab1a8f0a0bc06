//! Which runs are followed, and when each is looked at next: quickly after a change, then ever more
//! slowly, and all together within one budget, so that no crowd of runs takes the API's patience from
//! the triggers. It knows neither policies nor HTTP.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::token::TokenId;
use crate::api::wire::RunStatus;
use crate::clock::{Boottime, Moment};
use crate::plan::HashMap;
use crate::plan::occurrence::IdempotencyKey;
use crate::plan::run::{Overdue, Run};
use crate::schedule::ScheduleId;

const FIRST_LOOK: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// All runs together: so many questions at a time, and so far apart.
const MOST_IN_FLIGHT: usize = 8;
const APART: Duration = Duration::from_millis(200);

/// A run that was just accepted may not be known everywhere yet.
const MOST_UNKNOWN: u32 = 3;

#[derive(Debug, Default)]
pub struct Followed {
    runs: HashMap<IdempotencyKey, Following>,
    by_schedule: BTreeSet<(ScheduleId, IdempotencyKey)>,
    looks: BTreeSet<(Boottime, IdempotencyKey)>,
    in_flight: usize,
    /// No look before this instant.
    free_at: Option<Boottime>,
    /// No look with this token before this instant: the API asked for that.
    paused: HashMap<TokenId, Boottime>,
}

/// A run with what was last heard of it.
#[derive(Clone, Debug)]
pub struct Following {
    pub run: Arc<Run>,
    pub status: RunStatus,
    /// By the clock as it is: both move when it is set.
    pub accepted_at: Timestamp,
    /// When it was first seen in this status.
    pub since: Timestamp,
    /// Looks since the status changed.
    looks: u32,
    /// Answers in a row that knew no such run.
    unknown: u32,
    /// Deadlines that were told of.
    pub told: Told,
    next: Next,
}

/// What is told once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    approval: bool,
    end: bool,
    pub unseen: bool,
    /// Deadlines up to here were told of by the process before.
    pub before: Option<Timestamp>,
}

impl Told {
    /// Whether the deadline `at` was not told of until now.
    pub fn is_news(&mut self, overdue: Overdue, at: Timestamp) -> bool {
        let told = match overdue {
            Overdue::Approval => &mut self.approval,
            Overdue::End => &mut self.end,
        };
        !std::mem::replace(told, true) && self.before.is_none_or(|before| at > before)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    LookAt(Boottime),
    InFlight,
}

impl Followed {
    pub fn begin(&mut self, following: Following, now: Moment) {
        let key = following.run.idempotency_key.clone();
        let schedule = following.run.occurrence.schedule.clone();
        self.by_schedule.insert((schedule, key.clone()));
        self.runs.insert(key.clone(), following);
        self.look_within(&key, FIRST_LOOK, now);
    }

    pub fn get(&self, key: &IdempotencyKey) -> Option<&Following> {
        self.runs.get(key)
    }

    pub fn get_mut(&mut self, key: &IdempotencyKey) -> Option<&mut Following> {
        self.runs.get_mut(key)
    }

    pub fn all(&self) -> impl Iterator<Item = &Following> {
        self.runs.values()
    }

    pub fn of_schedule(&self, id: &ScheduleId) -> impl Iterator<Item = &Following> {
        let from = (id.clone(), IdempotencyKey::recorded(""));
        self.by_schedule
            .range(from..)
            .take_while(move |(schedule, _)| schedule == id)
            .filter_map(|(_, key)| self.runs.get(key))
    }

    /// A run to be looked at now; ask again until `None`. Each look ends with [`Followed::heard`].
    pub fn due(&mut self, now: Moment) -> Option<IdempotencyKey> {
        if self.next_wake()? > now.boot {
            return None;
        }
        let key = loop {
            if self.looks.first()?.0 > now.boot {
                return None;
            }
            let (_, key) = self.looks.pop_first()?;
            let Some(following) = self.runs.get_mut(&key) else {
                break key;
            };
            let paused = self.paused.get(&following.run.target.token);
            match paused.filter(|until| **until > now.boot) {
                Some(until) => {
                    following.next = Next::LookAt(*until);
                    self.looks.insert((*until, key));
                }
                None => {
                    following.next = Next::InFlight;
                    break key;
                }
            }
        };
        self.in_flight += 1;
        self.free_at = Some(now.boot + APART);
        Some(key)
    }

    pub fn next_wake(&self) -> Option<Boottime> {
        let (first, _) = self.looks.first()?;
        let has_room = self.in_flight < MOST_IN_FLIGHT;
        has_room.then(|| self.free_at.map_or(*first, |free_at| free_at.max(*first)))
    }

    /// Asks for no run with this token before `until`.
    pub fn pause(&mut self, token: TokenId, until: Boottime) {
        let paused = self.paused.entry(token).or_insert(until);
        *paused = until.max(*paused);
    }

    /// The look has its answer, whatever it was.
    pub fn heard(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The next look comes after the usual pause, or at `deadline` where that is earlier.
    pub fn look_again(&mut self, key: &IdempotencyKey, deadline: Option<Duration>, now: Moment) {
        let Some(following) = self.runs.get_mut(key) else {
            return;
        };
        let usual = FIRST_LOOK
            .saturating_mul(1 << following.looks.min(5))
            .min(LONGEST_PAUSE);
        following.looks = following.looks.saturating_add(1);
        let pause = deadline.map_or(usual, |deadline| usual.min(deadline));
        self.look_within(key, pause, now);
    }

    /// The wall clock was set: what has passed of each deadline stays as long as it was.
    pub fn clock_stepped(&mut self, by: SignedDuration) {
        for following in self.runs.values_mut() {
            following.accepted_at = moved(following.accepted_at, by);
            following.since = moved(following.since, by);
        }
    }

    /// Gives it up.
    pub fn end(&mut self, key: &IdempotencyKey) -> Option<Following> {
        let following = self.runs.remove(key)?;
        if let Next::LookAt(at) = following.next {
            self.looks.remove(&(at, key.clone()));
        }
        let schedule = following.run.occurrence.schedule.clone();
        self.by_schedule.remove(&(schedule, key.clone()));
        Some(following)
    }

    fn look_within(&mut self, key: &IdempotencyKey, pause: Duration, now: Moment) {
        if let Some(following) = self.runs.get_mut(key) {
            if let Next::LookAt(before) = following.next {
                self.looks.remove(&(before, key.clone()));
            }
            let at = now.boot + pause;
            following.next = Next::LookAt(at);
            self.looks.insert((at, key.clone()));
        }
    }
}

fn moved(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

impl Following {
    pub fn new(run: Arc<Run>, status: RunStatus, since: Timestamp) -> Self {
        Self {
            accepted_at: run.accepted_at,
            run,
            status,
            since,
            looks: 1,
            unknown: 0,
            told: Told::default(),
            next: Next::InFlight,
        }
    }

    /// `true` if that is news.
    pub fn is_now(&mut self, status: RunStatus, at: Timestamp) -> bool {
        self.unknown = 0;
        if self.status == status {
            return false;
        }
        self.status = status;
        self.since = at;
        self.looks = 0;
        self.told.approval = false;
        true
    }

    /// The API knows no such run. `true` once that is certain.
    pub fn is_unknown(&mut self) -> bool {
        self.unknown += 1;
        self.unknown >= MOST_UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::delivery::Window;
    use crate::plan::occurrence::{Occurrence, Origin};
    use crate::schedule::{Target, TriggerId};

    fn run(n: usize) -> Arc<Run> {
        let at = Timestamp::UNIX_EPOCH;
        Arc::new(Run {
            run_id: format!("apirun_{n}").into(),
            occurrence: Occurrence {
                schedule: ScheduleId::parse("a").unwrap(),
                scheduled_at: at,
                label: "l".into(),
                zone: "UTC".into(),
                origin: Origin::Schedule,
            },
            request_id: format!("a-{n}").into(),
            idempotency_key: IdempotencyKey::recorded(&format!("a-{n:04}")),
            target: Target {
                trigger_id: TriggerId::parse("agtch_1").unwrap(),
                token: TokenId::Default,
            },
            due_at: at,
            window: Window {
                start: at,
                end: at,
                missed_count: 0,
            },
            accepted_at: at,
            conversation_url: None,
        })
    }

    fn at(millis: u64) -> Moment {
        Moment {
            wall: Timestamp::UNIX_EPOCH,
            boot: Boottime::from(Duration::from_millis(millis)),
        }
    }

    fn followed(runs: usize) -> Followed {
        let mut followed = Followed::default();
        for n in 0..runs {
            let following = Following::new(run(n), RunStatus::Queued, Timestamp::UNIX_EPOCH);
            followed.begin(following, at(0));
        }
        followed
    }

    #[test]
    fn it_looks_after_5_s_and_then_ever_less_often_up_to_a_minute() {
        let mut followed = followed(1);
        let mut looks = vec![];
        let mut now = 0;
        while looks.len() < 7 {
            let wake = followed.next_wake().unwrap();
            now += u64::try_from(wake.saturating_sub(at(now).boot).as_millis()).unwrap();
            let key = followed.due(at(now)).unwrap();
            looks.push(now / 1000);
            followed.heard();
            followed.look_again(&key, None, at(now));
        }
        assert_eq!(looks, [5, 15, 35, 75, 135, 195, 255]);
    }

    #[test]
    fn a_thousand_runs_are_asked_for_no_faster_than_the_budget_allows() {
        let mut followed = followed(1000);
        let mut looked = 0;
        for millis in (5_000..65_000).step_by(10) {
            while let Some(key) = followed.due(at(millis)) {
                looked += 1;
                followed.heard();
                followed.look_again(&key, None, at(millis));
            }
        }
        assert_eq!(looked, 300, "5 a second for a minute");
    }

    #[test]
    fn no_more_than_so_many_questions_are_open_at_a_time() {
        let mut followed = followed(20);
        let mut asked = 0;
        for seconds in 5..100 {
            while followed.due(at(seconds * 1000)).is_some() {
                asked += 1;
            }
        }
        assert_eq!((asked, followed.next_wake()), (MOST_IN_FLIGHT, None));
        followed.heard();
        assert!(followed.due(at(200_000)).is_some());
    }

    #[test]
    fn a_deadline_brings_the_next_look_forward_and_the_api_puts_off_all_of_a_token() {
        let mut followed = followed(2);
        let key = followed.due(at(5_000)).unwrap();
        followed.heard();
        let soon = Some(Duration::from_secs(3));
        followed.look_again(&key, soon, at(5_000));
        followed.pause(TokenId::Default, at(600_000).boot);
        assert_eq!(followed.due(at(8_000)), None);
        assert_eq!(followed.next_wake(), Some(at(600_000).boot));
        followed.pause(TokenId::Default, at(9_000).boot);
        let due = |followed: &mut Followed, at| followed.due(at).is_some();
        assert!(!due(&mut followed, at(599_999)));
        assert!(due(&mut followed, at(600_000)) && due(&mut followed, at(600_200)));
    }

    #[test]
    fn what_is_given_up_leaves_no_trace() {
        let mut followed = followed(2);
        let key = followed.due(at(5_000)).unwrap();
        followed.end(&key);
        followed.end(&run(1).idempotency_key);
        assert_eq!(followed.next_wake(), None);
        let id = ScheduleId::parse("a").unwrap();
        assert_eq!(followed.of_schedule(&id).count(), 0);
    }
}
