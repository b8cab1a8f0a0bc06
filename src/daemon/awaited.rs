//! A delivery that somebody waits for: what it waits for, told as that changes, until it has ended.
//! It knows neither who waits nor how it is shown.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::daemon::event::{Event, Triggered};
use crate::plan::agenda::Wait;
use crate::plan::fact::Ending;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Tells each new wait, but not that for an answer. `None` if the engine stopped before the end.
pub async fn until_it_ends(
    engine: &mpsc::UnboundedSender<Event>,
    triggered: Triggered,
    mut tell: impl FnMut(Wait),
) -> Option<Arc<Ending>> {
    let Triggered { key, mut ended, .. } = triggered;
    let mut told = None;
    loop {
        tokio::select! {
            biased;
            ending = &mut ended => return ending.ok(),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let (reply, replied) = oneshot::channel();
        let _ = engine.send(Event::LookAt {
            key: key.clone(),
            reply,
        });
        // An engine that has ended answers nothing, and gives no ending either.
        if let Ok(Some(wait)) = replied.await
            && wait.what != Wait::FOR_AN_ANSWER
            && told.as_ref().is_none_or(|told| is_news(told, &wait))
        {
            told = Some(wait.clone());
            tell(wait);
        }
    }
}

/// The same instant is worked out a little differently each time, and is not known during a probe.
fn is_news(told: &Wait, wait: &Wait) -> bool {
    let moved = |(before, after): (Timestamp, Timestamp)| {
        after.duration_since(before).abs() > SignedDuration::from_secs(1)
    };
    told.what != wait.what || told.until.zip(wait.until).is_some_and(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::occurrence::IdempotencyKey;

    fn wait(what: &str, until: i64) -> Wait {
        Wait {
            what: what.to_owned(),
            until: Timestamp::from_second(until).ok(),
            detail: None,
            fix: None,
            deadline_at: Timestamp::MAX,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_new_is_told_once_and_the_end_ends_it() {
        let (engine, mut asked) = mpsc::unbounded_channel();
        let (_end, ended) = oneshot::channel();
        let triggered = Triggered {
            request_id: "a".into(),
            key: IdempotencyKey::recorded("a"),
            run_within: Duration::ZERO,
            ended,
        };
        let answers = [
            wait(Wait::FOR_AN_ANSWER, 0),
            wait("a retry", 10),
            wait("a retry", 11),
            wait("a retry", 60),
            wait("the token", 60),
        ];
        tokio::spawn(async move {
            for answer in answers {
                if let Some(Event::LookAt { reply, .. }) = asked.recv().await {
                    let _ = reply.send(Some(answer));
                }
            }
            drop(_end);
        });
        let mut told = Vec::new();
        let tell = |wait: Wait| told.push((wait.what, wait.until.map(Timestamp::as_second)));
        assert_eq!(until_it_ends(&engine, triggered, tell).await, None);
        let expected = [("a retry", 10), ("a retry", 60), ("the token", 60)];
        assert_eq!(told, expected.map(|(what, at)| (what.to_owned(), Some(at))));
    }
}
