//! How the daemon stands, in one shape for `triggerd status`, its `--json` and the pages: what the
//! agenda says, what the files say, and what became of each schedule last. It decides nothing but
//! what needs a person's attention.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::wire::RunStatus;
use crate::daemon::event::Standing;
use crate::ledger::cluster::Nodes;
use crate::ledger::history::{Entry, RecordedDelivery};
use crate::plan::agenda::{ScheduleNow, Snapshot};
use crate::plan::breaker;
use crate::plan::delivery::Verdict;
use crate::plan::ownership::Incarnation;
use crate::plan::pause::{Pause, Scope};
use crate::plan::run::way_out;
use crate::render::counted;
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
    /// That share the ledger, where several do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
    /// Schedules that other nodes look after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<ElsewhereStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its number, a new one at each start.
    pub node: i64,
    pub host: String,
    /// Whether it is the one that is asked.
    pub this: bool,
    pub version: String,
    /// Its clock less the database's.
    pub clock_offset_ms: i64,
    /// How many it looks after.
    pub schedules: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElsewhereStatus {
    pub schedule: String,
    /// Its number; `None` while nobody looks after it.
    pub node: Option<i64>,
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
    /// Of one that was refused: what the API said, and what to do about it.
    pub detail: String,
    pub fix: String,
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

/// What the ledger says of a schedule.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Its newest entry that has a verdict.
    pub last: Option<Entry>,
    /// The newest delivery whose run has ended.
    pub ran: Option<RecordedDelivery>,
}

impl Status {
    pub fn new(
        standing: &Standing,
        problems: Vec<ProblemStatus>,
        owners: Vec<(ScheduleId, Option<Incarnation>)>,
        away: Option<String>,
        past: impl Fn(&ScheduleId) -> Past,
    ) -> Self {
        let agenda = &standing.agenda;
        let mut troubles = Vec::new();
        let schedules: Vec<_> = agenda
            .schedules
            .iter()
            .map(|it| {
                let past = past(&it.schedule.id);
                let last = past.last.as_ref().map(LastStatus::new);
                let of_last = last.as_ref().and_then(|last| last.trouble(&it.schedule.id));
                troubles.extend(of_last);
                troubles.extend(past.ran.as_ref().and_then(trouble_of_run));
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
            nodes: standing.nodes.iter().flat_map(NodeStatus::all).collect(),
            elsewhere: elsewhere(standing.nodes.as_ref(), owners),
            schedules,
            problems,
            runs,
        };
        let unwritten = standing.ledger_in_memory.then_some(match standing.nodes {
            None => "look at the disk of the state folder",
            Some(_) => "look at the database; the log says why",
        });
        status.attention = status.attention(agenda.clock_held, unwritten);
        status.attention.extend(away);
        let disagreed = standing.nodes.as_ref().map_or(0, |it| it.disagreed.len());
        if disagreed > 0 {
            let what = counted(disagreed, "schedule");
            status
                .attention
                .push(format!("nodes have different versions of {what}"));
        }
        status.attention.extend(troubles);
        status
    }

    fn attention(&self, clock_held: bool, ledger_unwritten: Option<&str>) -> Vec<String> {
        let mut attention = Vec::new();
        if clock_held {
            attention.push(
                "the clock is not set: firing is held; set it, as an NTP client does".to_owned(),
            );
        }
        if let Some(way_out) = ledger_unwritten {
            attention.push(format!(
                "the ledger can't be written: firing goes on from memory; {way_out}"
            ));
        }
        if self.schedules.is_empty() && self.nodes.is_empty() {
            attention.push(NO_SCHEDULE.to_owned());
        }
        for node in &self.nodes {
            if node.clock_offset_ms.unsigned_abs() >= CLOCKS_APART_MS {
                let seconds = node.clock_offset_ms as f64 / 1000.0;
                attention.push(format!(
                    "the clock of node {} ({}) is {seconds:+.1} s from the database's",
                    node.node, node.host
                ));
            }
        }
        for breaker in self.breakers.iter().filter(|it| it.why == REFUSED) {
            attention.push(format!(
                "the {} {} is refused, {} waiting: {}; {}; then `triggerd trigger NAME` probes it at once",
                breaker.breaker,
                breaker.of,
                breaker.waiting,
                breaker.detail.trim_end_matches('.'),
                breaker.fix
            ));
        }
        let errors = self.problems.iter().filter(|it| it.severity == "error");
        match errors.count() {
            0 => {}
            1 => attention.push(
                "a file has an error: its last good version is in force; `triggerd check` shows it"
                    .into(),
            ),
            n => attention.push(format!(
                "{n} errors in files: their last good versions are in force; `triggerd check` shows them"
            )),
        }
        for run in self
            .runs
            .iter()
            .filter(|it| it.status == RunStatus::Suspended.as_str())
        {
            let said = format!("{}'s run waits, mostly for an approval", run.request_id);
            let fix = way_out(&run.status, None);
            attention.push(with_way_out(said, fix, run.conversation_url.as_deref()));
        }
        attention
    }
}

const REFUSED: &str = "refused";

/// As the log says it.
pub const NO_SCHEDULE: &str = "there is no schedule to fire; drop a file into the folder";

fn with_way_out(mut said: String, fix: Option<&str>, conversation_url: Option<&str>) -> String {
    for more in [fix, conversation_url].into_iter().flatten() {
        said += "; ";
        said += more;
    }
    said
}

fn trouble_of_run(delivery: &RecordedDelivery) -> Option<String> {
    let (name, run) = (&delivery.request_id, delivery.run.as_ref()?);
    let result = run.result.as_deref();
    let said = match (run.status.as_str(), result) {
        (_, Some("missing")) => format!("{name}'s run completed, and its result is missing"),
        ("failed", _) => format!("{name}'s run failed"),
        ("lost", _) => format!("{name}'s run was lost"),
        _ => return None,
    };
    let fix = way_out(&run.status, result);
    let url = delivery.conversation_url.as_deref();
    Some(with_way_out(said, fix, url))
}

/// From here on a clock that differs from the database's is worth a word.
const CLOCKS_APART_MS: u64 = 1000;

impl NodeStatus {
    fn all(nodes: &Nodes) -> impl Iterator<Item = Self> {
        nodes.live.iter().map(|node| Self {
            node: node.incarnation.0,
            host: node.host.clone(),
            this: node.incarnation == nodes.me,
            version: node.version.clone(),
            clock_offset_ms: i64::try_from(node.clock_offset.as_millis()).unwrap_or(i64::MAX),
            schedules: node.schedules,
        })
    }
}

fn elsewhere(
    nodes: Option<&Nodes>,
    owners: Vec<(ScheduleId, Option<Incarnation>)>,
) -> Vec<ElsewhereStatus> {
    let Some(nodes) = nodes else {
        return Vec::new();
    };
    let others = owners
        .into_iter()
        .filter(|(_, owner)| *owner != Some(nodes.me));
    others
        .map(|(schedule, owner)| ElsewhereStatus {
            schedule: schedule.to_string(),
            node: owner.map(|it| it.0),
        })
        .collect()
}

impl ScheduleStatus {
    fn new(now: &ScheduleNow, agenda: &Snapshot, last: Option<LastStatus>) -> Self {
        let schedule = &now.schedule;
        let zone = &schedule.recurrence.zone;
        Self {
            schedule: schedule.id.to_string(),
            description: schedule.description.to_string(),
            enabled: schedule.enabled,
            timezone: zone.name().to_owned(),
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

    fn trouble(&self, schedule: &ScheduleId) -> Option<String> {
        let name = self.request_id.as_deref().unwrap_or(schedule.as_str());
        if ["rejected", "expired"].contains(&self.verdict.as_str()) {
            return Some(format!(
                "{name} was {}; `triggerd history {schedule}` says why, and `triggerd redeliver {name}` tries it again",
                self.verdict
            ));
        }
        (self.reason.as_deref() == Some("limit")).then(|| {
            format!("{schedule} has reached its limit; raise it, or let the hour or day pass")
        })
    }
}

impl BreakerStatus {
    pub(super) fn new(standing: &breaker::Standing) -> Self {
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
            detail: standing.detail.clone(),
            fix: standing.fix.to_owned(),
        }
    }
}

impl PauseStatus {
    pub(super) fn new((scope, pause): (&Scope, &Pause)) -> Self {
        Self {
            schedule: scope.schedule().map(ToString::to_string),
            since: pause.since,
            until: pause.until,
            reason: pause.reason.clone(),
        }
    }
}
