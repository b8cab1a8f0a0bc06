//! How the daemon stands, in one shape for `triggerd status`, its `--json` and the pages: what the
//! agenda says, what the files say, and what became of each schedule last. It decides nothing but
//! what needs a person's attention.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::wire::RunStatus;
use crate::daemon::event::Standing;
use crate::ledger::history::{Entry, RecordedDelivery};
use crate::plan::agenda::{ScheduleNow, Snapshot};
use crate::plan::breaker;
use crate::plan::delivery::Verdict;
use crate::plan::pause::{Pause, Scope};
use crate::schedule::ScheduleId;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub at: Timestamp,
    /// What a person should look at; empty while all is well.
    pub attention: Vec<String>,
    pub schedules: Vec<ScheduleStatus>,
    pub problems: Vec<ProblemStatus>,
    pub breakers: Vec<BreakerStatus>,
    pub pauses: Vec<PauseStatus>,
    pub runs: Vec<RunStatusNow>,
    pub open_deliveries: usize,
    pub in_flight: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleStatus {
    pub schedule: String,
    pub description: String,
    pub enabled: bool,
    pub timezone: String,
    /// Local, with its offset.
    pub next_local: Option<String>,
    pub next_at: Option<Timestamp>,
    /// With its jitter.
    pub next_due_at: Option<Timestamp>,
    /// Of each open delivery, what it waits for.
    pub waiting: Vec<String>,
    pub paused: bool,
    pub last: Option<LastStatus>,
}

/// What became of a schedule's newest occurrence that has a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastStatus {
    /// `None` of occurrences that never became a delivery.
    pub request_id: Option<String>,
    pub scheduled_at: Timestamp,
    pub verdict: String,
    pub reason: Option<String>,
    pub run: Option<String>,
    /// What `[verify]` found.
    pub result: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProblemStatus {
    pub severity: String,
    /// As `check` draws it, without colours.
    pub drawn: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BreakerStatus {
    /// `token` or `trigger`.
    pub breaker: String,
    pub of: String,
    /// `refused`, or `too many requests`.
    pub why: String,
    pub next_at: Option<Timestamp>,
    pub waiting: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PauseStatus {
    /// `None` for all.
    pub schedule: Option<String>,
    pub since: Timestamp,
    pub until: Option<Timestamp>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStatusNow {
    pub schedule: String,
    pub request_id: String,
    pub run_id: String,
    pub status: String,
    pub since: Timestamp,
    pub conversation_url: Option<String>,
}

impl Status {
    /// `last` gives a schedule's newest entry that has a verdict.
    pub fn new(
        standing: &Standing,
        problems: Vec<ProblemStatus>,
        last: impl Fn(&ScheduleId) -> Option<Entry>,
    ) -> Self {
        let agenda = &standing.agenda;
        let schedules: Vec<_> = agenda
            .schedules
            .iter()
            .map(|it| {
                let last = last(&it.schedule.id).as_ref().map(LastStatus::new);
                ScheduleStatus::new(it, agenda, last)
            })
            .collect();
        let mut runs: Vec<_> = agenda
            .runs
            .iter()
            .map(|following| RunStatusNow {
                schedule: following.run.occurrence.schedule.to_string(),
                request_id: following.run.request_id.to_string(),
                run_id: following.run.run_id.to_string(),
                status: following.status.as_str().to_owned(),
                since: following.since,
                conversation_url: following.run.conversation_url.clone(),
            })
            .collect();
        runs.sort_by_key(|run| run.since);
        let mut status = Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: agenda.at,
            attention: Vec::new(),
            breakers: agenda.gates.iter().map(BreakerStatus::new).collect(),
            pauses: agenda.pauses.iter().map(PauseStatus::new).collect(),
            open_deliveries: agenda.open_deliveries,
            in_flight: agenda.in_flight,
            schedules,
            problems,
            runs,
        };
        status.attention = status.attention(agenda.clock_held, standing.ledger_in_memory);
        status
    }

    fn attention(&self, clock_held: bool, ledger_in_memory: bool) -> Vec<String> {
        let mut attention = Vec::new();
        if clock_held {
            attention.push("the clock is not set: firing is held".to_owned());
        }
        if ledger_in_memory {
            attention.push("the ledger can't be written: firing goes on from memory".to_owned());
        }
        for breaker in self.breakers.iter().filter(|it| it.why == REFUSED) {
            attention.push(format!(
                "the {} {} is refused: {} waiting",
                breaker.breaker, breaker.of, breaker.waiting
            ));
        }
        let errors = self.problems.iter().filter(|it| it.severity == "error");
        match errors.count() {
            0 => {}
            1 => attention.push("a file has an error: its last good version is in force".into()),
            n => attention.push(format!(
                "{n} errors in files: their last good versions are in force"
            )),
        }
        for run in self
            .runs
            .iter()
            .filter(|it| it.status == RunStatus::Suspended.as_str())
        {
            attention.push(format!(
                "{}'s run waits, mostly for an approval",
                run.request_id
            ));
        }
        for schedule in &self.schedules {
            attention.extend(
                schedule
                    .last
                    .as_ref()
                    .and_then(|last| last.trouble(&schedule.schedule)),
            );
        }
        attention
    }
}

const REFUSED: &str = "refused";

impl ScheduleStatus {
    fn new(now: &ScheduleNow, agenda: &Snapshot, last: Option<LastStatus>) -> Self {
        let schedule = &now.schedule;
        let zone = &schedule.recurrence.zone;
        Self {
            schedule: schedule.id.to_string(),
            description: schedule.description.to_string(),
            enabled: schedule.enabled,
            timezone: zone.name.to_string(),
            next_local: now.next.map(|next| {
                let local = next.at.to_zoned_datetime(zone.tz.clone());
                local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
            }),
            next_at: now.next.map(|next| next.at),
            next_due_at: now.next_due_at(&agenda.namespace),
            waiting: now.waiting.iter().map(|&it| it.to_owned()).collect(),
            paused: (agenda.pauses.until(&schedule.id)).is_some_and(|until| until > agenda.at),
            last,
        }
    }
}

impl LastStatus {
    fn new(entry: &Entry) -> Self {
        let (verdict, delivery) = match entry {
            Entry::Delivery(delivery) => (
                delivery.ending.as_ref().map(|it| it.verdict),
                Some(&**delivery),
            ),
            Entry::Skip(skip) => (Some(Verdict::Skipped(skip.skipped.why)), None),
        };
        let run = delivery.and_then(|delivery| delivery.run.as_ref());
        Self {
            request_id: delivery.map(|delivery: &RecordedDelivery| delivery.request_id.to_string()),
            scheduled_at: entry.scheduled_at(),
            verdict: verdict.map_or("open", Verdict::word).to_owned(),
            reason: verdict.and_then(Verdict::reason).map(str::to_owned),
            run: run.map(|run| run.status.clone()),
            result: run.and_then(|run| run.result.clone()),
        }
    }

    fn trouble(&self, schedule: &str) -> Option<String> {
        let name = self.request_id.as_deref().unwrap_or(schedule);
        if ["rejected", "expired"].contains(&self.verdict.as_str()) {
            return Some(format!("{name} was {}", self.verdict));
        }
        if self.reason.as_deref() == Some("limit") {
            return Some(format!("{schedule} has reached its limit"));
        }
        if self.run.as_deref() == Some(RunStatus::Failed.as_str()) {
            return Some(format!("{name}'s run failed"));
        }
        (self.result.as_deref() == Some("missing"))
            .then(|| format!("{name}'s run completed, and its result is missing"))
    }
}

impl BreakerStatus {
    fn new(standing: &breaker::Standing) -> Self {
        Self {
            breaker: standing.gate.kind().to_owned(),
            of: standing.gate.to_string(),
            why: match standing.broken {
                true => REFUSED,
                false => "too many requests",
            }
            .to_owned(),
            next_at: standing.next_at,
            waiting: standing.waiting,
        }
    }
}

impl PauseStatus {
    fn new((scope, pause): (&Scope, &Pause)) -> Self {
        Self {
            schedule: scope.schedule().map(ToString::to_string),
            since: pause.since,
            until: pause.until,
            reason: pause.reason.clone(),
        }
    }
}
