//! What the daemon says: the one place where each line of its log is written, and where they go.
//! The lines are an interface: their messages and fields are named in README. It decides nothing.

use std::path::Path;

use jiff::SignedDuration;
use tracing::field::display;
use tracing::{debug, error, info, warn};

use crate::api::wire::RunStatus;
use crate::daemon::load::Report;
use crate::ledger::Standing;
use crate::plan::agenda::{Agenda, Notice};
use crate::plan::ceilings::Bounded;
use crate::plan::delivery::{Skip, Verdict};
use crate::plan::fact::{Attempt, Ending, Fact, Next, Skipped};
use crate::plan::outcome::Outcome;
use crate::plan::run::{Finding, Overdue, Progress, RunEnd, RunReport, way_out};
use crate::render::{counted, line_and_column};
use crate::schedule::ScheduleId;
use crate::schedule::problem::{Problem, Severity};
use crate::settings::Settings;

mod journal;
mod message_id;
mod set_up;

pub use message_id::MESSAGE_IDS;
pub use set_up::{LogFormat, USUAL, last_words, start};

/// Writes the lines of one daemon.
#[derive(Clone, Copy, Debug, Default)]
pub struct Telemetry {
    /// Nothing is sent: what would be an acceptance is told as such.
    pub dry_run: bool,
}

impl Telemetry {
    /// Tells what the ledger has taken, if it is for people.
    pub fn fact(self, fact: &Fact, standing: Standing) {
        match fact {
            Fact::Attempted(attempt) => self.attempt(attempt),
            Fact::Ended(ending) => match (&ending.verdict, &ending.last) {
                (Verdict::Accepted, Some(last)) if self.dry_run => would_send(ending, last),
                (Verdict::Accepted, Some(last)) => accepted(ending, last),
                _ => ended(ending),
            },
            Fact::Run(report) => run(report),
            Fact::Skipped(skipped) => self::skipped(skipped),
            Fact::Reopened(delivery) => info!(
                schedule = %delivery.occurrence.schedule,
                request_id = %delivery.request_id,
                idempotency_key = %delivery.idempotency_key,
                deadline_at = %delivery.deadline_at,
                "redelivery: tried again with the same key"
            ),
            Fact::Paused { scope, pause } => info!(
                schedule = scope.word(),
                until = pause.until.map(display),
                reason = pause.reason.as_ref().map(display),
                "paused: nothing is sent but by hand"
            ),
            Fact::Resumed { scope, how, .. } => {
                info!(schedule = scope.word(), how = how.word(), "resumed");
            }
            Fact::WrittenAhead(delivery) if standing == Standing::AlreadyKnown => info!(
                schedule = %delivery.occurrence.schedule,
                request_id = %delivery.request_id,
                "occurrence has its delivery already: the clock stepped back"
            ),
            Fact::WrittenAhead(_)
            | Fact::Withdrawn(_)
            | Fact::Began { .. }
            | Fact::Ceased { .. }
            | Fact::InForce { .. }
            | Fact::TakenUp { .. }
            | Fact::GivenUp { .. }
            | Fact::SettledUntil(_)
            | Fact::Rewound { .. } => {}
        }
    }

    fn attempt(self, attempt: &Attempt) {
        if matches!(attempt.answer.outcome, Outcome::Accepted(_)) {
            return;
        }
        let delivery = &attempt.delivery;
        let retry_at = match attempt.next {
            Next::RetryAt(at) => Some(display(at)),
            Next::End | Next::Held => None,
        };
        warn!(
            schedule = %delivery.occurrence.schedule,
            request_id = %delivery.request_id,
            trigger_id = %delivery.target.trigger_id,
            idempotency_key = %delivery.idempotency_key,
            scheduled_at = %delivery.occurrence.scheduled_at,
            sent_at = %attempt.sent_at,
            attempt = attempt.number,
            outcome = attempt.answer.outcome.word(),
            http_status = attempt.answer.http_status,
            latency_ms = milliseconds(attempt.latency),
            retry_at,
            x_request_id = attempt.answer.x_request_id.as_ref().map(display),
            detail = %attempt.answer.detail,
            fix = %attempt.answer.fix,
            "attempt failed"
        );
    }

    pub fn notice(self, notice: &Notice) {
        match notice {
            Notice::ClockStepped { by } => warn!(
                by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX),
                "clock stepped"
            ),
            Notice::ClockHeld { newest } => error!(
                newest_in_ledger = %newest,
                "the clock stands before what the ledger has seen; firing is held for up to 10 minutes: set the clock"
            ),
            Notice::ClockReleased => warn!("firing goes on by the clock as it is"),
            Notice::BreakerOpened { gate, detail, fix } => error!(
                breaker = gate.kind(),
                of = %gate,
                detail = %detail,
                fix = %fix,
                "breaker opened: deliveries wait behind it; `triggerd trigger NAME` probes it at once"
            ),
            Notice::BreakerClosed { gate, waiting } => info!(
                breaker = gate.kind(),
                of = %gate,
                waiting,
                "breaker closed"
            ),
            Notice::LimitReached(reached) => error!(
                of = %match &reached.of {
                    Bounded::Daemon => "daemon",
                    Bounded::Agent(trigger_id) => trigger_id.as_str(),
                },
                per = reached.per,
                limit = reached.limit,
                until = %reached.until,
                "limit reached: what is due until then is skipped"
            ),
            Notice::TokenPaused { token, until } => warn!(
                token = %token,
                until = %until,
                "too many requests: nothing is sent with this token for now"
            ),
            Notice::DeliveryOverdue { delivery, last } => warn!(
                schedule = %delivery.occurrence.schedule,
                request_id = %delivery.request_id,
                scheduled_at = %delivery.occurrence.scheduled_at,
                deadline = "accepted_within",
                detail = last.as_ref().map(|last| display(&last.answer.detail)),
                fix = last.as_ref().map(|last| display(last.answer.fix)),
                "delivery overdue: it goes on"
            ),
            Notice::RunOverdue { run, overdue } => {
                let fix = match overdue {
                    Overdue::Approval => way_out(RunStatus::Suspended.as_str(), None),
                    Overdue::End => Some(
                        "look at the conversation: the agent may hang, or take longer than `finished_within`",
                    ),
                };
                warn!(
                    schedule = %run.occurrence.schedule,
                    request_id = %run.request_id,
                    run_id = %run.run_id,
                    conversation_url = run.conversation_url.as_ref().map(display),
                    deadline = overdue.key(),
                    fix,
                    "run overdue"
                );
            }
            Notice::RunUnseen { run, detail } => warn!(
                schedule = %run.occurrence.schedule,
                request_id = %run.request_id,
                run_id = %run.run_id,
                detail = %detail,
                "run can't be followed for now"
            ),
            Notice::ScheduleStuck { schedule, at } => error!(
                schedule = %schedule,
                at = %at,
                fix = "a defect of triggerd: please report the schedule's file",
                "schedule stopped: its next occurrence is no later than the last one"
            ),
            Notice::NoRunIds { schedule } => warn!(
                schedule = %schedule,
                fix = "set `[api] track_runs = true`; where the API gives none all the same, `[overlap]`, `[verify]` and \
                 `finished_within` have no effect",
                "the API names no run: what comes after an acceptance is not followed"
            ),
        }
    }
}

/// The line that proves a delivery. Nothing else writes it.
fn accepted(ending: &Ending, last: &Attempt) {
    let delivery = &ending.delivery;
    let acceptance = match &last.answer.outcome {
        Outcome::Accepted(acceptance) => acceptance,
        _ => return,
    };
    info!(
        schedule = %delivery.occurrence.schedule,
        request_id = %delivery.request_id,
        trigger_id = %delivery.target.trigger_id,
        idempotency_key = %delivery.idempotency_key,
        scheduled_at = %delivery.occurrence.scheduled_at,
        sent_at = %last.sent_at,
        lateness_ms = lateness_ms(last),
        attempt = last.number,
        http_status = last.answer.http_status,
        latency_ms = milliseconds(last.latency),
        conversation_url = acceptance.conversation_url.as_ref().map(display),
        run_id = acceptance.run_id.as_ref().map(display),
        x_request_id = last.answer.x_request_id.as_ref().map(display),
        "trigger accepted"
    );
}

fn would_send(ending: &Ending, last: &Attempt) {
    let delivery = &ending.delivery;
    info!(
        schedule = %delivery.occurrence.schedule,
        request_id = %delivery.request_id,
        trigger_id = %delivery.target.trigger_id,
        idempotency_key = %delivery.idempotency_key,
        scheduled_at = %delivery.occurrence.scheduled_at,
        lateness_ms = lateness_ms(last),
        "dry run: would trigger"
    );
}

fn ended(ending: &Ending) {
    let delivery = &ending.delivery;
    let last = ending.last.as_ref();
    let detail = ending
        .detail
        .as_ref()
        .or(last.map(|last| &last.answer.detail));
    macro_rules! line {
        ($level:ident) => {
            $level!(
                schedule = %delivery.occurrence.schedule,
                request_id = %delivery.request_id,
                trigger_id = %delivery.target.trigger_id,
                idempotency_key = %delivery.idempotency_key,
                scheduled_at = %delivery.occurrence.scheduled_at,
                verdict = ending.verdict.word(),
                reason = ending.verdict.reason(),
                attempts = ending.attempts,
                outcome_unknown = ending.outcome_unknown,
                http_status = last.and_then(|last| last.answer.http_status),
                detail = detail.map(display),
                fix = last.map(|last| display(last.answer.fix)),
                "delivery ended without acceptance"
            )
        };
    }
    match ending.verdict {
        // As the schedule's own file asks for, and a later one covers it.
        Verdict::Skipped(Skip::Overlap) => line!(info),
        _ => line!(warn),
    }
}

fn run(report: &RunReport) {
    let run = &report.run;
    macro_rules! line {
        ($level:ident, $message:literal) => {{
            let (finding, detail) = match &report.progress {
                Progress::Status(_) => (None, None),
                Progress::Ended(end) => (end.finding(), end.detail()),
            };
            $level!(
                schedule = %run.occurrence.schedule,
                request_id = %run.request_id,
                run_id = %run.run_id,
                status = report.progress.word(),
                result = finding.map(Finding::word),
                detail = detail.as_ref().map(display),
                conversation_url = run.conversation_url.as_ref().map(display),
                since_acceptance_ms =
                    i64::try_from(report.at.duration_since(run.accepted_at).as_millis())
                        .unwrap_or(i64::MAX),
                fix = way_out(report.progress.word(), finding.map(Finding::word)),
                $message
            )
        }};
    }
    match &report.progress {
        Progress::Status(RunStatus::Queued | RunStatus::InProgress) => {
            line!(debug, "run goes on");
        }
        Progress::Status(RunStatus::Suspended) => line!(info, "run waits"),
        Progress::Status(RunStatus::Completed) => {
            line!(info, "run completed: its result is looked up");
        }
        Progress::Status(RunStatus::Failed | RunStatus::Other(_)) => {
            line!(warn, "run is in a status that is not known");
        }
        Progress::Ended(RunEnd::Completed(None | Some(Finding::Confirmed))) => {
            line!(info, "run ended");
        }
        Progress::Ended(RunEnd::Completed(Some(Finding::Missing))) => {
            line!(error, "run ended");
        }
        Progress::Ended(RunEnd::Failed { .. }) => line!(error, "run ended"),
        Progress::Ended(RunEnd::Lost(_)) => line!(warn, "run ended"),
    }
}

fn skipped(skipped: &Skipped) {
    macro_rules! line {
        ($level:ident) => {
            $level!(
                schedule = %skipped.schedule,
                verdict = "skipped",
                reason = skipped.why.word(),
                first = %skipped.first,
                last = %skipped.last,
                count = skipped.count,
                "occurrences skipped"
            )
        };
    }
    match skipped.why {
        Skip::Excluded | Skip::Paused | Skip::Overlap => line!(info),
        Skip::Missed | Skip::Superseded | Skip::Limit | Skip::Removed => line!(warn),
    }
}

/// From the instant at which it was due to the first byte.
fn lateness_ms(attempt: &Attempt) -> i64 {
    let lateness: SignedDuration = attempt.sent_at.duration_since(attempt.delivery.due_at);
    i64::try_from(lateness.as_millis()).unwrap_or(i64::MAX)
}

fn milliseconds(length: std::time::Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// What happened since the last summary line.
#[derive(Debug, Default)]
pub struct Tally {
    accepted: u64,
    rejected: u64,
    expired: u64,
    skipped: u64,
    failed_attempts: u64,
    runs_completed: u64,
    runs_failed: u64,
    /// Completed, with nothing found where the result should be.
    runs_missing: u64,
}

impl Tally {
    pub fn count(&mut self, fact: &Fact) {
        match fact {
            Fact::Attempted(attempt) => {
                let failed = !matches!(attempt.answer.outcome, Outcome::Accepted(_));
                self.failed_attempts += u64::from(failed);
            }
            Fact::Ended(ending) => match ending.verdict {
                Verdict::Accepted => self.accepted += 1,
                Verdict::Rejected => self.rejected += 1,
                Verdict::Expired => self.expired += 1,
                Verdict::Skipped(_) => self.skipped += 1,
            },
            Fact::Skipped(skipped) => self.skipped += skipped.count,
            Fact::Run(report) => match &report.progress {
                Progress::Ended(RunEnd::Completed(Some(Finding::Missing))) => {
                    self.runs_missing += 1
                }
                Progress::Ended(RunEnd::Completed(_)) => self.runs_completed += 1,
                Progress::Ended(RunEnd::Failed { .. } | RunEnd::Lost(_)) => self.runs_failed += 1,
                Progress::Status(_) => {}
            },
            Fact::WrittenAhead(_)
            | Fact::Withdrawn(_)
            | Fact::Reopened(_)
            | Fact::Began { .. }
            | Fact::Ceased { .. }
            | Fact::InForce { .. }
            | Fact::Paused { .. }
            | Fact::Resumed { .. }
            | Fact::TakenUp { .. }
            | Fact::GivenUp { .. }
            | Fact::SettledUntil(_)
            | Fact::Rewound { .. } => {}
        }
    }

    pub fn tell(self, agenda: &Agenda) {
        let next = agenda.schedules().filter_map(|(_, next)| next).min();
        info!(
            accepted = self.accepted,
            rejected = self.rejected,
            expired = self.expired,
            skipped = self.skipped,
            failed_attempts = self.failed_attempts,
            runs_completed = self.runs_completed,
            runs_failed = self.runs_failed,
            runs_missing = self.runs_missing,
            schedules = agenda.schedules().count(),
            open_deliveries = agenda.open_deliveries(),
            next_at = next.map(display),
            "summary since the last one"
        );
    }
}

/// How things stand, as `systemctl status` shows it.
pub fn status(agenda: &Agenda) -> String {
    let next = match agenda.next_occurrence() {
        Some((at, schedule)) => format!("next is {schedule} at {at}"),
        None => "nothing is due".to_owned(),
    };
    format!(
        "{}, open deliveries: {}; {next}",
        counted(agenda.enabled(), "schedule"),
        agenda.open_deliveries()
    )
}

/// What a look at the files found. `text_of` gives a file's text, for line and column.
pub fn loaded(report: &Report, text_of: impl Fn(&Path) -> Option<String>) {
    if report.folder_is_back {
        info!("the schedules folder can be read again");
    }
    problems(&report.problems, text_of);
    let changes = [
        ("added", &report.added),
        ("changed", &report.changed),
        ("removed", &report.removed),
    ];
    for (what, schedules) in changes {
        if !schedules.is_empty() {
            info!(
                what,
                count = schedules.len(),
                schedules = %names(schedules),
                "schedules reloaded"
            );
        }
    }
}

/// A line for each problem. Notes are for `check`, and told here at `debug` only, unless something
/// that the file asks for is not done.
pub fn problems(problems: &[Problem], text_of: impl Fn(&Path) -> Option<String>) {
    for problem in problems {
        let text = text_of(&problem.path);
        let place = problem
            .span
            .as_ref()
            .zip(text.as_deref())
            .and_then(|(span, text)| line_and_column(text, span.start));
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    file = %problem.path.display(),
                    line = place.map(|(line, _)| line),
                    column = place.map(|(_, column)| column),
                    problem = %problem.message,
                    help = problem.help.as_ref().map(display),
                    "schedule file has a problem"
                )
            };
        }
        match problem.severity {
            Severity::Error => line!(error),
            Severity::Warning => line!(warn),
            Severity::Note => line!(debug),
        }
    }
}

pub fn started(settings: &Settings, schedules: usize, open_deliveries: usize) {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        schedules,
        open_deliveries,
        folder = %absolute(&settings.schedules),
        state = %absolute(&settings.state),
        api = %settings.api.base_url,
        "triggerd started"
    );
    if schedules == 0 {
        warn!(
            folder = %settings.schedules.display(),
            "there is no schedule to fire; drop a file into the folder"
        );
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path)
        .as_deref()
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The first few, and how many more.
fn names(schedules: &[ScheduleId]) -> String {
    const MOST: usize = 10;
    let mut names: Vec<&str> = schedules
        .iter()
        .take(MOST)
        .map(ScheduleId::as_str)
        .collect();
    let more = format!("and {} more", schedules.len().saturating_sub(MOST));
    if schedules.len() > MOST {
        names.push(&more);
    }
    names.join(", ")
}
