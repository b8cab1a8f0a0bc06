//! What is worth telling a person who looks at no log: once when something breaks, once a day while
//! it stays broken, once when it is mended (DESIGN.md 9). It knows neither how that is sent nor any input.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::api::token::TokenId;
use crate::api::wire::RunStatus;
use crate::plan::agenda::Notice;
use crate::plan::breaker::Gate;
use crate::plan::delivery::{Skip, Verdict};
use crate::plan::fact::{Ending, Fact};
use crate::plan::occurrence::Origin;
use crate::plan::run::{Finding, Overdue, Progress, RunEnd, RunReport};
use crate::schedule::ScheduleId;

/// What can be broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Breaker(Gate),
    /// Its deliveries.
    Schedule(ScheduleId),
    /// What its runs bring.
    Runs(ScheduleId),
    /// This run waits for a person.
    Approval(ScheduleId, Arc<str>),
    Files,
    Ledger,
    Clock,
    /// It will not work for much longer.
    Expiry(TokenId),
}

/// What was heard of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    pub subject: Subject,
    /// What is wrong and what to do, in a line; `None` where all is well.
    pub trouble: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub subject: Subject,
    pub state: State,
    pub text: String,
    pub since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Broken,
    StillBroken,
    Mended,
}

const STILL: SignedDuration = SignedDuration::from_hours(24);

/// Everything that is broken by now.
#[derive(Debug, Default)]
pub struct Alarms(BTreeMap<Subject, Broken>);

#[derive(Debug)]
struct Broken {
    since: Timestamp,
    told_at: Timestamp,
    text: String,
}

impl Alarms {
    /// Takes a sign, and gives what is to be told of it: changes alone.
    pub fn hear(&mut self, sign: Sign, now: Timestamp) -> Option<Alert> {
        let Sign { subject, trouble } = sign;
        match trouble {
            Some(text) => {
                if let Some(broken) = self.0.get_mut(&subject) {
                    broken.text = text;
                    return None;
                }
                let broken = Broken {
                    since: now,
                    told_at: now,
                    text: text.clone(),
                };
                self.0.insert(subject.clone(), broken);
                Some(Alert {
                    subject,
                    state: State::Broken,
                    text,
                    since: now,
                })
            }
            None => self.0.remove(&subject).map(|broken| Alert {
                text: format!("{subject} is well again"),
                subject,
                state: State::Mended,
                since: broken.since,
            }),
        }
    }

    /// What has been broken for another day.
    pub fn due(&mut self, now: Timestamp) -> Vec<Alert> {
        let due = self
            .0
            .iter_mut()
            .filter(|(_, broken)| broken.told_at + STILL <= now);
        due.map(|(subject, broken)| {
            broken.told_at = now;
            Alert {
                subject: subject.clone(),
                state: State::StillBroken,
                text: broken.text.clone(),
                since: broken.since,
            }
        })
        .collect()
    }

    pub fn next_due(&self) -> Option<Timestamp> {
        self.0.values().map(|broken| broken.told_at + STILL).min()
    }
}

impl Sign {
    pub fn of_fact(fact: &Fact) -> Vec<Self> {
        match fact {
            Fact::Ended(ending) => of_ending(ending).into_iter().collect(),
            Fact::Skipped(skipped) if skipped.why == Skip::Limit => {
                let id = &skipped.schedule;
                let text = format!("{id} has reached its limit: what falls due is skipped");
                vec![bad(Subject::Schedule(id.clone()), text)]
            }
            Fact::Run(report) => of_run(report),
            // What is gone can't be mended any more; a run of it that waits goes on waiting.
            Fact::Ceased { schedule, .. } => [Subject::Schedule, Subject::Runs]
                .map(|subject| good(subject(schedule.clone())))
                .into(),
            Fact::WrittenAhead(_)
            | Fact::Withdrawn(_)
            | Fact::Reopened(_)
            | Fact::Attempted(_)
            | Fact::Skipped(_)
            | Fact::Began { .. }
            | Fact::InForce { .. }
            | Fact::Paused { .. }
            | Fact::Resumed { .. }
            | Fact::TakenUp { .. }
            | Fact::GivenUp { .. }
            | Fact::SettledUntil(_)
            | Fact::Rewound { .. } => vec![],
        }
    }

    pub fn of_notice(notice: &Notice) -> Option<Self> {
        Some(match notice {
            Notice::BreakerOpened { gate, detail, fix } => {
                let subject = Subject::Breaker(gate.clone());
                let text = format!(
                    "{subject} is refused, its deliveries wait: {detail}; {fix}; `triggerd trigger NAME` probes it at once"
                );
                bad(subject, text)
            }
            Notice::BreakerClosed { gate, .. } => good(Subject::Breaker(gate.clone())),
            Notice::ClockHeld { .. } => bad(
                Subject::Clock,
                "the clock is not set: firing is held".into(),
            ),
            Notice::ClockReleased => good(Subject::Clock),
            Notice::DeliveryOverdue { delivery, last } => {
                let detail = last.as_ref().map(|last| last.answer.detail.as_str());
                let detail = detail
                    .filter(|it| !it.is_empty())
                    .unwrap_or("no answer yet");
                bad(
                    Subject::Schedule(delivery.occurrence.schedule.clone()),
                    format!(
                        "{} is not accepted in time, and goes on: {detail}",
                        delivery.request_id
                    ),
                )
            }
            Notice::RunOverdue { run, overdue } => {
                let id = run.occurrence.schedule.clone();
                let where_to = run
                    .conversation_url
                    .as_deref()
                    .unwrap_or("its conversation");
                match overdue {
                    Overdue::Approval => bad(
                        Subject::Approval(id, run.request_id.clone()),
                        format!(
                            "{}'s run waits, mostly for an approval: {where_to}",
                            run.request_id
                        ),
                    ),
                    Overdue::End => bad(
                        Subject::Runs(id),
                        format!("{}'s run has not ended in time: {where_to}", run.request_id),
                    ),
                }
            }
            Notice::ScheduleStuck { schedule, .. } => bad(
                Subject::Schedule(schedule.clone()),
                format!("{schedule} has stopped: a defect of triggerd; please report its file"),
            ),
            // Its schedules say so themselves.
            Notice::LimitReached(_)
            | Notice::ClockStepped { .. }
            | Notice::TokenPaused { .. }
            | Notice::RunUnseen { .. }
            | Notice::NoRunIds { .. } => return None,
        })
    }
}

fn of_ending(ending: &Ending) -> Option<Sign> {
    let subject = Subject::Schedule(ending.delivery.occurrence.schedule.clone());
    match ending.verdict {
        Verdict::Accepted => Some(good(subject)),
        // Whoever asked for it has seen it.
        _ if ending.delivery.occurrence.origin == Origin::Manual => None,
        Verdict::Rejected | Verdict::Expired => {
            let last = ending.last.as_ref().map(|last| &last.answer);
            let detail = ending
                .detail
                .as_deref()
                .or(last.map(|it| it.detail.as_str()));
            let fix = last.map(|it| it.fix);
            let said = [detail, fix]
                .into_iter()
                .flatten()
                .filter(|it| !it.is_empty());
            let said: Vec<&str> = said.collect();
            let (id, word) = (&ending.delivery.request_id, ending.verdict.word());
            Some(bad(
                subject,
                format!("{id} was {word}: {}", said.join("; ")),
            ))
        }
        Verdict::Skipped(_) => None,
    }
}

fn of_run(report: &RunReport) -> Vec<Sign> {
    let run = &report.run;
    let id = &run.occurrence.schedule;
    let approval = Subject::Approval(id.clone(), run.request_id.clone());
    let end = match &report.progress {
        Progress::Status(RunStatus::Suspended) => return vec![],
        Progress::Status(_) => return vec![good(approval)],
        Progress::Ended(end) => end,
    };
    let runs = Subject::Runs(id.clone());
    let ended = match end {
        RunEnd::Completed(None | Some(Finding::Confirmed)) => good(runs),
        RunEnd::Completed(Some(Finding::Missing)) => bad(
            runs,
            format!(
                "{}'s run completed, and its result is missing",
                run.request_id
            ),
        ),
        RunEnd::Failed { .. } | RunEnd::Lost(_) => {
            let detail = end.detail().unwrap_or_default();
            bad(
                runs,
                format!(
                    "{}'s run {}: {detail}",
                    run.request_id,
                    report.progress.word()
                ),
            )
        }
    };
    vec![good(approval), ended]
}

pub fn bad(subject: Subject, text: String) -> Sign {
    Sign {
        subject,
        trouble: Some(text),
    }
}

pub fn good(subject: Subject) -> Sign {
    Sign {
        subject,
        trouble: None,
    }
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::Broken => "broken",
            State::StillBroken => "still broken",
            State::Mended => "mended",
        }
    }
}

impl Subject {
    /// The schedule that it is about, if it is about one.
    pub fn schedule(&self) -> Option<&ScheduleId> {
        match self {
            Subject::Schedule(id) | Subject::Runs(id) | Subject::Approval(id, _) => Some(id),
            Subject::Breaker(_)
            | Subject::Files
            | Subject::Ledger
            | Subject::Clock
            | Subject::Expiry(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Breaker(Gate::Token(token)) => write!(f, "the token `{token}`"),
            Subject::Breaker(Gate::Trigger(trigger)) => write!(f, "the trigger {trigger}"),
            Subject::Schedule(id) => write!(f, "{id}"),
            Subject::Runs(id) => write!(f, "what {id}'s runs bring"),
            Subject::Approval(_, request_id) => write!(f, "the approval of {request_id}'s run"),
            Subject::Files => write!(f, "the folder of schedules"),
            Subject::Ledger => write!(f, "the ledger"),
            Subject::Clock => write!(f, "the clock"),
            Subject::Expiry(token) => write!(f, "the expiry of the token `{token}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn heard(alarms: &mut Alarms, sign: Sign, hour: i64) -> Option<(State, String)> {
        let alert = alarms.hear(sign, at(hour))?;
        Some((alert.state, alert.text))
    }

    #[test]
    fn changes_alone_are_told_and_once_a_day_what_stays_broken() {
        let mut alarms = Alarms::default();
        let full = |text: &str| bad(Subject::Ledger, text.to_owned());
        assert_eq!(heard(&mut alarms, good(Subject::Ledger), 0), None);
        assert_eq!(
            heard(&mut alarms, full("full"), 1),
            Some((State::Broken, "full".into()))
        );
        assert_eq!(heard(&mut alarms, full("read-only"), 2), None);
        assert_eq!(alarms.next_due(), Some(at(25)));
        assert_eq!(alarms.due(at(24)), []);
        let still = alarms.due(at(25)).remove(0);
        assert_eq!(
            (still.state, &*still.text),
            (State::StillBroken, "read-only")
        );
        assert_eq!(still.since, at(1));
        assert_eq!(alarms.next_due(), Some(at(49)));
        assert_eq!(
            heard(&mut alarms, good(Subject::Ledger), 26),
            Some((State::Mended, "the ledger is well again".into()))
        );
        assert_eq!(alarms.next_due(), None);
    }

    #[test]
    fn forty_schedules_behind_one_breaker_are_one_alert() {
        let mut alarms = Alarms::default();
        let opened = Notice::BreakerOpened {
            gate: Gate::Token(TokenId::Default),
            detail: "Incorrect API key provided".into(),
            fix: "make a token",
        };
        let mut sign = || heard(&mut alarms, Sign::of_notice(&opened).unwrap(), 0);
        assert_eq!(
            sign(),
            Some((
                State::Broken,
                "the token `default` is refused, its deliveries wait: Incorrect API key provided; make a token; `triggerd trigger NAME` probes it at once".into()
            ))
        );
        assert_eq!(sign(), None);
    }

    #[test]
    fn each_run_that_waits_is_an_alarm_of_its_own() {
        let mut alarms = Alarms::default();
        let subject = |run: &str| {
            let id = ScheduleId::parse("a").unwrap();
            Subject::Approval(id, run.into())
        };
        let waits = |run: &str| bad(subject(run), format!("{run} waits"));
        let is_told = |alarms: &mut Alarms, sign| heard(alarms, sign, 0).map(|told| told.1);
        assert_eq!(is_told(&mut alarms, waits("a-1")), Some("a-1 waits".into()));
        assert_eq!(is_told(&mut alarms, waits("a-2")), Some("a-2 waits".into()));
        let mended = is_told(&mut alarms, good(subject("a-1")));
        assert_eq!(
            mended,
            Some("the approval of a-1's run is well again".into())
        );
        assert_eq!(is_told(&mut alarms, waits("a-2")), None, "it still waits");
    }
}
