//! The daemon's own chores, run by tokio-cron-scheduler on expressions that the operator can set.
//! It decides when a chore is due and knows nothing of how it is done. Firing is never its work:
//! it polls, and drops what it can't keep up with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, civil};
use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::api::token::TokenId;
use crate::clock::{Clock, Moment};
use crate::daemon::alerts::Alerts;
use crate::daemon::event::Event;
use crate::daemon::watch;
use crate::plan::delivery::earlier;
use crate::plan::expiry;
use crate::settings::Chores;

/// Who does the chores.
pub struct Hands<C> {
    pub clock: Arc<C>,
    pub engine: mpsc::UnboundedSender<Event>,
    pub reloader: mpsc::Sender<watch::Change>,
    pub retention: Duration,
    /// When tokens end, as the settings say it by now.
    pub expiries: tokio::sync::watch::Receiver<Expiries>,
    pub alerts: Alerts,
}

pub type Expiries = BTreeMap<TokenId, civil::Date>;

/// Whether the log is told of a token's end today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Whenever it is near.
    IfNear,
    OnItsDays,
}

/// Says which tokens end soon.
pub fn look_at_expiries(expiries: &Expiries, now: Moment, told: Told, alerts: &Alerts) {
    let today = TimeZone::UTC.to_datetime(now.wall).date();
    for (token, expires) in expiries {
        alerts.sign(expiry::sign(token, *expires, today));
        if let Some(text) = expiry::warning(token, *expires, today)
            && (told == Told::IfNear || expiry::is_told(*expires, today))
        {
            tracing::warn!(
                token = %token,
                expires = %expires,
                detail = text,
                "a token ends, or has ended"
            );
        }
    }
}

/// Begins the chores that have an expression; with none, nothing wakes the daemon.
///
/// # Errors
/// If an expression is none of tokio-cron-scheduler's.
pub async fn start<C: Clock>(
    chores: &Chores,
    hands: Hands<C>,
) -> Result<Option<JobScheduler>, JobSchedulerError> {
    let Chores {
        prune,
        rescan,
        summary,
        expiry,
    } = chores;
    if [prune, rescan, summary, expiry]
        .iter()
        .all(|chore| chore.is_none())
    {
        return Ok(None);
    }
    let scheduler = JobScheduler::new().await?;
    if let Some(expression) = rescan {
        let reloader = hands.reloader.clone();
        add(&scheduler, expression, move || {
            // A full channel has a look coming already.
            let _ = reloader.try_send(watch::Change::Everything);
        })
        .await?;
    }
    if let Some(expression) = summary {
        let engine = hands.engine.clone();
        add(&scheduler, expression, move || {
            let _ = engine.send(Event::Summarise);
        })
        .await?;
    }
    if let Some(expression) = prune {
        let (clock, engine) = (hands.clock.clone(), hands.engine.clone());
        let looked = Mutex::new(clock.now());
        add(&scheduler, expression, move || {
            let now = clock.now();
            let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
            if leapt(*looked, now) {
                tracing::warn!(
                    "the clock was set far ahead: nothing is pruned until the next time"
                );
            } else {
                let before = earlier(now.wall, hands.retention);
                let _ = engine.send(Event::Prune { before });
            }
            *looked = now;
        })
        .await?;
    }
    if let Some(expression) = expiry {
        let (clock, expiries, alerts) = (hands.clock.clone(), hands.expiries, hands.alerts);
        add(&scheduler, expression, move || {
            look_at_expiries(&expiries.borrow(), clock.now(), Told::OnItsDays, &alerts);
        })
        .await?;
    }
    scheduler.start().await?;
    Ok(Some(scheduler))
}

/// Whether the clock was set ahead by more than half a day. By such a clock everything is old, and a ledger that
/// forgot it would not have it back with the right time; where it stays so set, the next pruning takes it as it is.
fn leapt(looked: Moment, now: Moment) -> bool {
    let by_boot = SignedDuration::try_from(now.boot.saturating_sub(looked.boot));
    by_boot.is_ok_and(|by_boot| {
        looked.wall.duration_until(now.wall) - by_boot > SignedDuration::from_hours(12)
    })
}

/// `expression` has five fields; tokio-cron-scheduler wants the second first.
async fn add(
    scheduler: &JobScheduler,
    expression: &str,
    chore: impl Fn() + Send + Sync + 'static,
) -> Result<(), JobSchedulerError> {
    let job = Job::new(format!("0 {expression}"), move |_, _| chore())?;
    scheduler.add(job).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Boottime;

    #[test]
    fn a_clock_that_was_set_far_ahead_prunes_nothing_and_a_day_that_passed_does() {
        #[track_caller]
        fn check(wall_hours: i64, boot_hours: u64, expected: bool) {
            let moment = |wall: i64, boot: u64| Moment {
                wall: jiff::Timestamp::UNIX_EPOCH + SignedDuration::from_hours(wall),
                boot: Boottime::from(Duration::from_secs(boot * 3600)),
            };
            assert_eq!(
                leapt(moment(0, 1), moment(wall_hours, 1 + boot_hours)),
                expected
            );
        }
        check(24, 24, false);
        check(25, 24, false);
        check(10 * 365 * 24, 1, true);
        check(48, 24, true);
        check(-72, 24, false);
        check(2400, 2400, false);
    }
}
