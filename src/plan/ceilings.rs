//! How many deliveries each agent and the whole daemon may open in an hour and a day of UTC: what a
//! runaway costs is bounded in one place (SEMANTICS.md 22). It knows no schedule.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::plan::HashMap;
use crate::schedule::{Limits, TriggerId};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    pub daemon: Limits,
    pub agents: BTreeMap<TriggerId, Limits>,
}

impl Ceilings {
    /// The part of one of several daemons that share them: the parts of all are the whole.
    pub fn share(&self, place: usize, of: usize) -> Self {
        let (place, of) = (place as u32, of as u32);
        let part = |limit: u32| limit / of + u32::from(place < limit % of);
        let limits = |limits: &Limits| Limits {
            per_day: limits.per_day.map(part),
            per_hour: limits.per_hour.map(part),
        };
        Self {
            daemon: limits(&self.daemon),
            agents: self
                .agents
                .iter()
                .map(|(agent, of_agent)| (agent.clone(), limits(of_agent)))
                .collect(),
        }
    }
}

/// Whose limit it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bounded {
    Daemon,
    Agent(TriggerId),
}

/// A limit that lets nothing more open for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    pub of: Bounded,
    /// `day` or `hour`.
    pub per: &'static str,
    pub limit: u32,
    pub until: Timestamp,
}

/// What opened, is open or accepted, and counts. Counted without limits as well, so that new ones
/// hold at once.
#[derive(Debug, Default)]
pub struct Counts {
    ceilings: Ceilings,
    daemon: Hours,
    agents: HashMap<TriggerId, Hours>,
    told: HashMap<Bounded, Timestamp>,
}

impl Counts {
    pub fn bound(&mut self, ceilings: Ceilings) {
        self.ceilings = ceilings;
        self.told.clear();
    }

    pub fn add(&mut self, agent: &TriggerId, opened_at: Timestamp) {
        let hour = hour_of(opened_at);
        self.daemon.add(hour);
        self.agents.entry(agent.clone()).or_default().add(hour);
    }

    /// What opened then does not count after all.
    pub fn remove(&mut self, agent: &TriggerId, opened_at: Timestamp) {
        let hour = hour_of(opened_at);
        self.daemon.remove(hour);
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.remove(hour);
        }
    }

    /// What keeps one more delivery to this agent from opening now.
    pub fn reached(&self, agent: &TriggerId, now: Timestamp) -> Option<Reached> {
        let of_agent = self.ceilings.agents.get(agent).zip(self.agents.get(agent));
        let of_agent =
            of_agent.map(|(limits, hours)| (Bounded::Agent(agent.clone()), limits, hours));
        [
            Some((Bounded::Daemon, &self.ceilings.daemon, &self.daemon)),
            of_agent,
        ]
        .into_iter()
        .flatten()
        .find_map(|(of, limits, hours)| hours.reached(of, *limits, now))
    }

    /// Whether it has not been told yet: once for each hour or day.
    pub fn is_news(&mut self, reached: &Reached) -> bool {
        self.told.insert(reached.of.clone(), reached.until) != Some(reached.until)
    }
}

/// How many by hours since 1970.
#[derive(Debug, Default)]
struct Hours(BTreeMap<i64, u32>);

const DAY: i64 = 24;

impl Hours {
    fn add(&mut self, hour: i64) {
        let oldest = hour - DAY;
        if self.0.first_key_value().is_some_and(|it| *it.0 < oldest) {
            self.0 = self.0.split_off(&oldest);
        }
        *self.0.entry(hour).or_default() += 1;
    }

    fn remove(&mut self, hour: i64) {
        if let Some(count) = self.0.get_mut(&hour) {
            *count = count.saturating_sub(1);
        }
    }

    fn reached(&self, of: Bounded, limits: Limits, now: Timestamp) -> Option<Reached> {
        let hour = hour_of(now);
        let day = hour.div_euclid(DAY) * DAY;
        let periods = [
            ("day", limits.per_day, day..day + DAY),
            ("hour", limits.per_hour, hour..hour + 1),
        ];
        periods.into_iter().find_map(|(per, limit, hours)| {
            let limit = limit?;
            let until = Timestamp::from_second(hours.end * 3600).unwrap_or(Timestamp::MAX);
            let count: u32 = self.0.range(hours).map(|(_, count)| count).sum();
            (count >= limit).then_some(Reached {
                of: of.clone(),
                per,
                limit,
                until,
            })
        })
    }
}

fn hour_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}Z").parse().unwrap()
    }

    fn agent(n: u32) -> TriggerId {
        TriggerId::parse(&format!("agtch_{n}")).unwrap()
    }

    fn limits(per_day: u32, per_hour: u32) -> Limits {
        let limit = |limit| (limit > 0).then_some(limit);
        Limits {
            per_day: limit(per_day),
            per_hour: limit(per_hour),
        }
    }

    /// Deliveries `key-0`, `key-1` and so on to agent 1.
    fn counts(daemon: Limits, of_agent: Limits, opened: &[&str]) -> Counts {
        let mut counts = Counts::default();
        counts.bound(Ceilings {
            daemon,
            agents: [(agent(1), of_agent)].into(),
        });
        for text in opened {
            counts.add(&agent(1), at(text));
        }
        counts
    }

    #[track_caller]
    fn check(counts: &Counts, to: u32, now: &str, expected: Option<(&str, &str)>) {
        let reached = counts.reached(&agent(to), at(now));
        let expected = expected.map(|(per, until)| (per, at(until)));
        assert_eq!(reached.map(|it| (it.per, it.until)), expected, "{now}");
    }

    #[test]
    fn the_hour_and_the_day_of_utc_count() {
        let two = ["23T22:10:00", "23T22:50:00"];
        let counts = counts(limits(3, 2), limits(0, 0), &two);
        check(&counts, 1, "23T22:59:59", Some(("hour", "23T23:00:00")));
        check(&counts, 2, "23T22:59:59", Some(("hour", "23T23:00:00")));
        check(&counts, 1, "23T23:00:00", None);
        let mut counts = counts;
        counts.add(&agent(2), at("23T23:01:00"));
        check(&counts, 1, "23T23:02:00", Some(("day", "24T00:00:00")));
        check(&counts, 1, "24T00:00:00", None);
    }

    #[test]
    fn an_agent_is_bounded_alone() {
        let counts = counts(limits(0, 0), limits(1, 0), &["23T08:00:00"]);
        check(&counts, 1, "23T09:00:00", Some(("day", "24T00:00:00")));
        check(&counts, 2, "23T09:00:00", None);
    }

    #[test]
    fn what_failed_does_not_count() {
        let mut counts = counts(limits(1, 0), limits(0, 0), &["23T08:00:00"]);
        check(&counts, 1, "23T09:00:00", Some(("day", "24T00:00:00")));
        counts.remove(&agent(1), at("23T08:00:00"));
        check(&counts, 1, "23T09:00:00", None);
    }

    #[test]
    fn what_is_older_than_a_day_takes_no_room() {
        let mut counts = Counts::default();
        for n in 0..90 {
            let at = at("01T00:00:00") + jiff::SignedDuration::from_hours(n as i64);
            counts.add(&agent(1), at);
        }
        assert_eq!(counts.agents[&agent(1)].0.len(), 25);
    }

    #[test]
    fn it_is_told_once_for_each_period() {
        let mut counts = counts(limits(0, 1), limits(0, 0), &["23T08:00:00", "23T09:00:00"]);
        let first = counts.reached(&agent(1), at("23T08:30:00")).unwrap();
        assert!(counts.is_news(&first));
        assert!(!counts.is_news(&first));
        let second = counts.reached(&agent(1), at("23T09:30:00")).unwrap();
        assert!(counts.is_news(&second));
    }
}
