//! A clock for tests under tokio's paused time: both of its clocks move with tokio's timers, and a test can set
//! the wall clock or let the host sleep. It knows no real time.

use super::{Boottime, Clock, Moment, Wake};
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

#[derive(Clone)]
pub struct TestClock {
    started: Instant,
    shared: Arc<Shared>,
}

struct Shared {
    /// What the clocks read when tokio's time was `started`.
    base: Mutex<Moment>,
    stepped: Notify,
}

impl TestClock {
    pub fn new(wall: Timestamp) -> TestClock {
        let base = Mutex::new(Moment {
            wall,
            boot: Boottime(Duration::from_secs(1000)),
        });
        TestClock {
            started: Instant::now(),
            shared: Arc::new(Shared {
                base,
                stepped: Notify::new(),
            }),
        }
    }

    /// Somebody sets the wall clock, `by` this much forward or back.
    pub fn step(&self, by: SignedDuration) {
        self.move_base(|base| base.wall += by);
    }

    /// The host sleeps: both clocks go on, and no timer fires meanwhile.
    pub fn suspend(&self, length: Duration) {
        self.move_base(|base| {
            *base = Moment {
                wall: base.wall + length,
                boot: base.boot + length,
            }
        });
    }

    fn move_base(&self, change: impl FnOnce(&mut Moment)) {
        change(&mut self.shared.base.lock().expect("no holder panics"));
        self.shared.stepped.notify_waiters();
    }
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        let base = *self.shared.base.lock().expect("no holder panics");
        let elapsed = self.started.elapsed();
        Moment {
            wall: base.wall + elapsed,
            boot: base.boot + elapsed,
        }
    }

    async fn sleep_until(&self, wake: Wake) {
        // From its making, not from its first poll, it hears of a step: so made before the clock is read.
        let stepped = self.shared.stepped.notified();
        let reached = async {
            match wake.remaining(self.now()) {
                Some(remaining) => tokio::time::sleep(remaining).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stepped => {}
            () = reached => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn clock() -> TestClock {
        TestClock::new("2026-11-23T08:00:00Z".parse().expect("a timestamp"))
    }

    #[tokio::test(start_paused = true)]
    async fn both_clocks_move_with_the_timers() {
        let clock = clock();
        let start = clock.now();
        clock
            .sleep_until(Wake {
                wall: Some(start.wall + HOUR),
                boot: Some(start.boot + 2 * HOUR),
            })
            .await;
        assert_eq!(
            clock.now(),
            Moment {
                wall: start.wall + HOUR,
                boot: start.boot + HOUR
            }
        );
        clock
            .sleep_until(Wake {
                wall: Some(start.wall),
                boot: None,
            })
            .await;
        assert_eq!(clock.now().boot, start.boot + HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_and_a_resume_end_every_sleep() {
        let clock = clock();
        let start = clock.now();
        for wake in [
            Wake::default(),
            Wake {
                wall: Some(start.wall + HOUR),
                boot: None,
            },
        ] {
            let mut sleep = std::pin::pin!(clock.sleep_until(wake));
            assert!(tokio::time::timeout(HOUR / 2, &mut sleep).await.is_err());
            clock.step(SignedDuration::from_hours(-1));
            sleep.await;
        }
        assert_eq!(
            clock.now(),
            Moment {
                wall: start.wall - HOUR,
                boot: start.boot + HOUR
            }
        );

        let sleep = clock.sleep_until(Wake::default());
        clock.suspend(HOUR);
        assert!(
            tokio::time::timeout(HOUR, sleep).await.is_err(),
            "began after the host slept"
        );
        assert_eq!(
            clock.now(),
            Moment {
                wall: start.wall + HOUR,
                boot: start.boot + 3 * HOUR
            }
        );
    }
}
