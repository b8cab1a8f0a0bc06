//! The daemon's own chores, run by tokio-cron-scheduler on expressions that the operator can set.
//! It decides when a chore is due and knows nothing of how it is done. Firing is never its work:
//! it polls, and drops what it can't keep up with.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::clock::Clock;
use crate::daemon::event::Event;
use crate::daemon::watch;
use crate::plan::delivery::earlier;
use crate::settings::Chores;

/// Who does the chores.
pub struct Hands<C> {
    pub clock: Arc<C>,
    pub engine: mpsc::UnboundedSender<Event>,
    pub reloader: mpsc::Sender<watch::Change>,
    pub retention: Duration,
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
    } = chores;
    if [prune, rescan, summary].iter().all(|chore| chore.is_none()) {
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
        add(&scheduler, expression, move || {
            let before = earlier(hands.clock.now().wall, hands.retention);
            let _ = hands.engine.send(Event::Prune { before });
        })
        .await?;
    }
    scheduler.start().await?;
    Ok(Some(scheduler))
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
