//! A delivery that is asked for where another node looks after its schedule: it is written into the
//! ledger that they share, for that node to take up, and told of by what the ledger says. It sends
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Moment;
use crate::daemon::control::{Begun, Ended, Waits};
use crate::ledger::history::RecordedDelivery;
use crate::ledger::{
    CloseError, Database, Ledger, LedgerError, Reader, Receipts, Recorder, Standing,
};
use crate::plan::agenda::{Action, Agenda};
use crate::plan::delivery::later;
use crate::plan::occurrence::Namespace;
use crate::plan::redeliver::Refused;
use crate::plan::remembered::{OpenDelivery, Remembered};
use crate::schedule::{Policies, Schedule, ScheduleId, defaults};

/// How often the ledger is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    #[error(transparent)]
    Unreachable(#[from] LedgerError),
    #[error(transparent)]
    Unsaved(#[from] CloseError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the ledger does not take it; the log says why")]
    NotTaken,
}

/// Where it is written down.
pub struct Elsewhere {
    pub database: Arc<Database>,
    pub namespace: Namespace,
}

/// What was written down, and who is to send it.
#[derive(Clone, Debug)]
pub struct Written {
    pub request_id: Arc<str>,
    run_within: Duration,
    /// Verdicts that redeliveries have replaced by now.
    former: usize,
    deadline_at: Timestamp,
    /// `None` while nobody looks after the schedule.
    host: Option<String>,
}

impl Elsewhere {
    /// Whether a node has the schedule loaded.
    ///
    /// # Errors
    /// If the database can't be reached.
    pub fn is_there(&self, schedule: &ScheduleId) -> Result<bool, LedgerError> {
        match Reader::of(&self.database) {
            // Nobody has been there yet.
            Err(LedgerError::Missing { .. }) => Ok(false),
            reader => reader?.is_held(schedule),
        }
    }

    /// One delivery by hand. It blocks.
    ///
    /// # Errors
    /// If it is not in the ledger.
    pub fn trigger(
        &self,
        schedule: &Arc<Schedule>,
        mut at: Timestamp,
    ) -> Result<Written, NotWritten> {
        loop {
            let (ledger, mut agenda, now) = self.open(&schedule.id, Some(schedule), at)?;
            let (delivery, actions) = agenda.trigger(schedule, now);
            match write(ledger, actions) {
                // Two in one millisecond would be one occurrence.
                Err(NotWritten::Refused(_)) => at = later(at, Duration::from_millis(1)),
                written => {
                    written?;
                    return Ok(Written {
                        request_id: delivery.request_id.clone(),
                        run_within: schedule.policies.run_within(),
                        former: 0,
                        deadline_at: delivery.deadline_at,
                        host: self.host(&schedule.id)?,
                    });
                }
            }
        }
    }

    /// A delivery that ended without acceptance, once more. It blocks.
    ///
    /// # Errors
    /// If it is not open in the ledger, or was already.
    pub fn redeliver(
        &self,
        schedule: Option<&Arc<Schedule>>,
        ended: OpenDelivery,
        former: usize,
        at: Timestamp,
    ) -> Result<Written, NotWritten> {
        let delivery = ended.delivery.clone();
        let id = &delivery.occurrence.schedule;
        let (ledger, mut agenda, now) = self.open(id, schedule, at)?;
        let actions = agenda.redeliver(ended, now).ok_or(Refused::Open)?;
        write(ledger, actions)?;
        let policies = schedule.map(|schedule| &schedule.policies);
        let retry = policies.map_or(defaults::RETRY, |it| it.retry);
        Ok(Written {
            request_id: delivery.request_id.clone(),
            run_within: policies.map_or(defaults::OVERLAP.stuck_after, Policies::run_within),
            former: former + 1,
            deadline_at: later(at, retry.give_up_after),
            host: self.host(id)?,
        })
    }

    /// With an agenda that knows the schedule's windows, and fires nothing.
    fn open(
        &self,
        id: &ScheduleId,
        schedule: Option<&Arc<Schedule>>,
        at: Timestamp,
    ) -> Result<(Opened, Agenda, Moment), LedgerError> {
        let (ledger, remembered, receipts) = Ledger::beside(&self.database, id, at)?;
        let now = Moment {
            wall: at,
            boot: Duration::ZERO.into(),
        };
        let windows = Remembered {
            schedules: remembered.schedules,
            ..Remembered::default()
        };
        let agenda = Agenda::new(self.namespace.clone(), 1, windows, now);
        let agenda = match schedule {
            Some(schedule) => agenda.by_hand_alone(schedule.clone()),
            None => agenda,
        };
        Ok(((ledger, receipts), agenda, now))
    }

    fn host(&self, schedule: &ScheduleId) -> Result<Option<String>, LedgerError> {
        Reader::of(&self.database)?.looked_after_on(schedule)
    }
}

type Opened = (Ledger, Receipts);

/// Refused where another was before it.
fn write((ledger, mut receipts): Opened, actions: Vec<Action>) -> Result<(), NotWritten> {
    let facts = actions.into_iter().filter_map(|action| match action {
        Action::Record(fact) => Some(fact),
        _ => None,
    });
    ledger.append(facts.collect());
    ledger.close()?;
    let mut standings = Vec::new();
    while let Ok(some) = receipts.try_recv() {
        standings.extend(some.into_iter().map(|it| it.standing));
    }
    match standings.first() {
        Some(Standing::Durable) => Ok(()),
        Some(Standing::AlreadyKnown) => Err(Refused::Open.into()),
        _ => Err(NotWritten::NotTaken),
    }
}

/// Tells what it waits for as that changes, until it has ended. While the ledger can't be looked at,
/// nothing is told.
pub async fn until_it_ends<F: Future<Output = Option<RecordedDelivery>>>(
    written: &Written,
    mut look: impl FnMut() -> F,
    mut tell: impl FnMut(Waits),
) -> Ended {
    tell(written.waits());
    let mut retry_at = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(delivery) = look().await else {
            continue;
        };
        let last = delivery.attempts.last();
        let said = last.map(|last| last.detail.clone());
        let said = said.filter(|said| !said.is_empty());
        match &delivery.ending {
            Some(ending) if delivery.former.len() >= written.former => {
                return Ended {
                    request_id: delivery.request_id.to_string(),
                    verdict: ending.verdict.word().to_owned(),
                    conversation_url: delivery.conversation_url,
                    run_id: delivery.run_id,
                    detail: ending.detail.clone().or(said),
                    fix: None,
                };
            }
            None if delivery.retry_at.is_some() && delivery.retry_at != retry_at => {
                retry_at = delivery.retry_at;
                tell(Waits {
                    what: "a retry".to_owned(),
                    until: retry_at,
                    detail: said,
                    fix: None,
                    deadline_at: delivery.deadline_at,
                });
            }
            _ => {}
        }
    }
}

impl Written {
    pub fn begun(&self) -> Begun {
        Begun {
            request_id: self.request_id.to_string(),
            run_within_seconds: self.run_within.as_secs(),
        }
    }

    fn waits(&self) -> Waits {
        let what = match &self.host {
            Some(host) => format!("the node on {host}, which looks after it"),
            None => "a node to look after it".to_owned(),
        };
        Waits {
            what,
            until: None,
            detail: None,
            fix: None,
            deadline_at: self.deadline_at,
        }
    }
}
