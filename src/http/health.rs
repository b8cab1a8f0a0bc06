//! Whether the daemon lives and does its work, for those who restart it or wait for it. The engine
//! itself is asked, so that a process which only looks alive is not called healthy.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::desk::{Desk, Unwell};
use crate::daemon::event::Standing;
use crate::daemon::office::Files;
use crate::daemon::status::NO_SCHEDULE;

/// The engine's loop goes round.
pub(super) async fn healthz(State(desk): State<Arc<Desk>>) -> Result<&'static str, Unwell> {
    desk.look().await?;
    Ok("ok\n")
}

/// And what is due would be sent and remembered. A line for each reason that it would not.
pub(super) async fn readyz(State(desk): State<Arc<Desk>>) -> Result<String, (StatusCode, String)> {
    let mut ready = "ok\n".to_owned();
    let reasons = match look(&desk).await {
        Err(unwell) => vec![unwell.to_string()],
        Ok((standing, files)) => {
            // It does its work all the same.
            if standing.agenda.schedules.is_empty() && standing.nodes.is_none() {
                ready = format!("{ready}{NO_SCHEDULE}\n");
            }
            let folder = files.unreadable;
            let clock = standing.agenda.clock_held;
            let ledger = standing.ledger_in_memory;
            [
                folder.map(|why| format!("the schedules can't be read: {why}")),
                clock.then(|| "the clock is not set: firing is held".to_owned()),
                ledger
                    .then(|| "the ledger can't be written: firing goes on from memory".to_owned()),
            ]
            .into_iter()
            .flatten()
            .collect()
        }
    };
    match reasons.is_empty() {
        true => Ok(ready),
        false => Err((StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")),
    }
}

async fn look(desk: &Desk) -> Result<(Arc<Standing>, Files), Unwell> {
    let looked = desk.look().await?;
    Ok((looked.standing.clone(), desk.office.files().await?))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::daemon::event::Event;
    use crate::daemon::load::Catalog;
    use crate::daemon::office::{Now, Office};
    use crate::plan::agenda::Snapshot;
    use crate::plan::occurrence::Namespace;

    struct Noon;

    impl Now for Noon {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }
    }

    /// A desk, and what the engine behind it is asked.
    fn desk() -> (State<Arc<Desk>>, mpsc::UnboundedReceiver<Event>) {
        let (engine, asked) = mpsc::unbounded_channel();
        let catalog = Catalog::new("/nowhere".into(), Default::default());
        let office = Office {
            engine,
            catalog: Arc::new(std::sync::Mutex::new(catalog)),
            changes: Default::default(),
            place: crate::ledger::Place::Memory,
            namespace: Namespace::default(),
            retention: std::time::Duration::from_secs(1),
            clock: Arc::new(Noon),
        };
        let desk = Desk::new(office);
        (State(Arc::new(desk)), asked)
    }

    fn well() -> Standing {
        Standing {
            agenda: Snapshot {
                at: jiff::Timestamp::UNIX_EPOCH,
                namespace: Namespace::default(),
                clock_held: false,
                schedules: Vec::new(),
                gates: Vec::new(),
                pauses: Default::default(),
                runs: Vec::new(),
                open_deliveries: 0,
                in_flight: 0,
            },
            counts: Arc::default(),
            ledger_in_memory: false,
            nodes: None,
        }
    }

    /// An engine that gives this answer to each question; what is counted is how often it was asked.
    fn answering(
        mut asked: mpsc::UnboundedReceiver<Event>,
        standing: Standing,
    ) -> tokio::task::JoinHandle<usize> {
        tokio::spawn(async move {
            let mut times = 0;
            while let Some(event) = asked.recv().await {
                if let Event::Look { reply } = event {
                    let _ = reply.send(standing.clone());
                    times += 1;
                }
            }
            times
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_does_not_answer_is_not_healthy() {
        let (desk, asked) = desk();
        let began = tokio::time::Instant::now();
        let (one, other) = tokio::join!(healthz(desk.clone()), healthz(desk.clone()));
        for answer in [one, other] {
            let unwell = answer.expect_err("it is silent").to_string();
            assert_eq!(unwell, "the engine has not answered for 2 s");
        }
        assert_eq!(began.elapsed().as_secs(), 2, "they wait together");
        let (status, why) = readyz(desk.clone()).await.expect_err("it is silent");
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(why, "the engine has not answered for 2 s\n");
        drop(asked);
        let unwell = healthz(desk).await.expect_err("it has ended").to_string();
        assert_eq!(unwell, "the daemon is stopping");
    }

    #[tokio::test(start_paused = true)]
    async fn the_engine_is_asked_once_a_second_at_most() {
        let (desk, asked) = desk();
        let engine = answering(asked, well());
        for _ in 0..50 {
            assert_eq!(healthz(desk.clone()).await.expect("it answers"), "ok\n");
        }
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        assert_eq!(healthz(desk.clone()).await.expect("it answers"), "ok\n");
        drop(desk);
        assert_eq!(engine.await.expect("no panic"), 2);
    }

    #[tokio::test]
    async fn who_is_not_ready_says_each_reason() {
        let (desk, asked) = desk();
        let mut standing = well();
        standing.agenda.clock_held = true;
        standing.ledger_in_memory = true;
        answering(asked, standing);
        assert_eq!(healthz(desk.clone()).await.expect("it answers"), "ok\n");
        let (status, why) = readyz(desk).await.expect_err("it is not ready");
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        insta::assert_snapshot!(why, @r"
        the clock is not set: firing is held
        the ledger can't be written: firing goes on from memory
        ");
    }
}
