//! The only door to time: reading it, and waiting for it. It knows no schedule and no reason to wait.

pub mod test_clock;
mod timers;

use jiff::{SignedDuration, Timestamp};
use std::future::Future;
use std::ops::Add;
use std::sync::OnceLock;
use std::time::Duration;

use timers::Timers;

pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Moment;

    /// Returns once an instant of `wake` is reached, never before it, but for one reason: the clock was set or
    /// the host resumed, and then at once. So whoever sleeps looks at `now` again. Safe to drop at any point.
    fn sleep_until(&self, wake: Wake) -> impl Future<Output = ()> + Send;
}

/// One look at both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub wall: Timestamp,
    pub boot: Boottime,
}

/// Time since boot, suspended time included (CLOCK_BOOTTIME): what waits and deadlines are measured on while the
/// process lives (SEMANTICS.md 18).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Boottime(Duration);

impl Boottime {
    /// How long after `earlier` this is; zero where it is not after it.
    pub fn saturating_sub(self, earlier: Boottime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl From<Duration> for Boottime {
    fn from(since_boot: Duration) -> Boottime {
        Boottime(since_boot)
    }
}

impl Add<Duration> for Boottime {
    type Output = Boottime;

    fn add(self, length: Duration) -> Boottime {
        Boottime(self.0.saturating_add(length))
    }
}

/// What to wait for: whichever comes first. With neither, only for a set clock or a resume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    pub wall: Option<Timestamp>,
    pub boot: Option<Boottime>,
}

impl Wake {
    /// How long from `now` to the first of the two if no clock is set meanwhile; `None` is for ever.
    fn remaining(&self, now: Moment) -> Option<Duration> {
        let wall = self.wall.map(|at| forward(now.wall.duration_until(at)));
        let boot = self.boot.map(|at| at.saturating_sub(now.boot));
        wall.into_iter().chain(boot).min()
    }

    /// Whether who wakes at this is awake by `other`.
    fn covers(&self, other: Wake) -> bool {
        fn covers<At: Ord>(this: Option<At>, other: Option<At>) -> bool {
            other.is_none_or(|other| this.is_some_and(|this| this <= other))
        }
        covers(self.wall, other.wall) && covers(self.boot, other.boot)
    }

    fn is_reached(&self, now: Moment) -> bool {
        self.remaining(now) == Some(Duration::ZERO)
    }
}

fn forward(length: SignedDuration) -> Duration {
    Duration::try_from(length).unwrap_or(Duration::ZERO)
}

/// How long a clock without timers trusts that nobody set the clock.
pub const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The system's clocks. It waits on kernel timers, so that it wakes at the instant, at a set clock and at a resume,
/// and not otherwise; where the kernel gives none it sleeps in slices. Sleeping needs a tokio runtime, always the same one.
pub struct SystemClock {
    longest_sleep: Duration,
    /// `None` where there are none, or none are wanted. Made at the first sleep: `now` needs no runtime.
    timers: OnceLock<Option<Timers>>,
}

impl SystemClock {
    #[expect(
        clippy::new_without_default,
        reason = "a clock is chosen, not defaulted to"
    )]
    pub fn new() -> SystemClock {
        SystemClock {
            longest_sleep: LONGEST_SLEEP,
            timers: OnceLock::new(),
        }
    }

    /// Without kernel timers, which see no clock that libfaketime moves. It looks at the clock every `longest_sleep`,
    /// and that is how late it can notice a set clock or a resume.
    pub fn portable(longest_sleep: Duration) -> SystemClock {
        SystemClock {
            longest_sleep,
            timers: OnceLock::from(None),
        }
    }

    fn timers(&self) -> Option<&Timers> {
        let start = || match Timers::start() {
            Ok(timers) => Some(timers),
            Err(error) => {
                tracing::warn!(%error, longest_sleep = ?self.longest_sleep, "no kernel timers, so sleeping in slices");
                None
            }
        };
        self.timers
            .get_or_init(start)
            .as_ref()
            .filter(|timers| timers.are_running())
    }

    async fn sleep_in_slices(&self, wake: Wake) {
        let mut before = self.now();
        while let Some(slice) = self.slice(wake, before) {
            tokio::time::sleep(slice).await;
            let now = self.now();
            if was_set(before, now) {
                return;
            }
            before = now;
        }
    }

    fn slice(&self, wake: Wake, now: Moment) -> Option<Duration> {
        let remaining = wake.remaining(now).unwrap_or(Duration::MAX);
        (!remaining.is_zero()).then(|| remaining.min(self.longest_sleep))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        now()
    }

    async fn sleep_until(&self, wake: Wake) {
        if wake.is_reached(self.now()) {
            return;
        }
        match self.timers() {
            Some(timers) => timers.sleep_until(wake).await,
            None => self.sleep_in_slices(wake).await,
        }
    }
}

fn now() -> Moment {
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let boot = Duration::try_from(boot).expect("time since boot is not negative");
    Moment {
        wall: Timestamp::now(),
        boot: Boottime(boot),
    }
}

/// Whether the wall clock went another way than the time since boot. A disciplined clock drifts by 500 ppm at most.
fn was_set(before: Moment, now: Moment) -> bool {
    let by_wall = before.wall.duration_until(now.wall);
    let by_boot = now.boot.saturating_sub(before.boot);
    SignedDuration::try_from(by_boot)
        .is_ok_and(|by_boot| (by_wall - by_boot).unsigned_abs() > Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn clocks() -> [SystemClock; 2] {
        [
            SystemClock::new(),
            SystemClock::portable(Duration::from_millis(20)),
        ]
    }

    fn wall(at: Timestamp) -> Wake {
        Wake {
            wall: Some(at),
            boot: None,
        }
    }

    fn boot(at: Boottime) -> Wake {
        Wake {
            wall: None,
            boot: Some(at),
        }
    }

    const MOMENT: Moment = Moment {
        wall: Timestamp::UNIX_EPOCH,
        boot: Boottime(Duration::from_secs(100)),
    };

    #[test]
    fn a_wake_covers_what_comes_no_sooner() {
        let early = wall(MOMENT.wall);
        let late = wall(MOMENT.wall + Duration::from_secs(1));
        assert!(early.covers(late) && early.covers(early));
        assert!(!late.covers(early));
        assert!(early.covers(Wake::default()));
        assert!(!early.covers(boot(MOMENT.boot)));
        assert!(!Wake::default().covers(early));
    }

    #[test]
    fn remaining_is_the_nearer_and_never_negative() {
        #[track_caller]
        fn check(wall: Option<i64>, boot: Option<u64>, expected: Option<u64>) {
            let wall = wall.map(|second| Timestamp::from_second(second).expect("in range"));
            let boot = boot.map(|second| Boottime(Duration::from_secs(second)));
            assert_eq!(
                Wake { wall, boot }.remaining(MOMENT),
                expected.map(Duration::from_secs)
            );
        }
        check(None, None, None);
        check(Some(5), None, Some(5));
        check(None, Some(103), Some(3));
        check(Some(5), Some(103), Some(3));
        check(Some(2), Some(103), Some(2));
        check(Some(-1), Some(103), Some(0));
        check(Some(5), Some(99), Some(0));
    }

    #[test]
    fn a_set_clock_shows_but_drift_does_not() {
        #[track_caller]
        fn check(by_wall_ms: i64, by_boot_ms: u64, expected: bool) {
            let wall = MOMENT.wall + SignedDuration::from_millis(by_wall_ms);
            let boot = MOMENT.boot + Duration::from_millis(by_boot_ms);
            assert_eq!(was_set(MOMENT, Moment { wall, boot }), expected);
        }
        check(30_000, 30_000, false);
        check(30_015, 30_000, false);
        check(32_000, 30_000, true);
        check(-86_400_000, 30_000, true);
        check(0, 1_200_000, true);
    }

    #[tokio::test]
    async fn wakes_at_the_instant_and_never_early() {
        for clock in clocks() {
            for millis in [1, 3, 70] {
                let at = clock.now().wall + SignedDuration::new(0, millis * 1_000_000 + 123_457);
                clock.sleep_until(wall(at)).await;
                assert!(clock.now().wall >= at);

                let at = clock.now().boot + Duration::new(0, millis as u32 * 1_000_000 + 123_457);
                clock.sleep_until(boot(at)).await;
                assert!(clock.now().boot >= at);
            }
        }
    }

    #[tokio::test]
    async fn a_past_instant_returns_at_once() {
        for clock in clocks() {
            let now = clock.now();
            let far = Some(now.boot + Duration::from_secs(3600));
            clock
                .sleep_until(Wake {
                    wall: Some(now.wall),
                    boot: far,
                })
                .await;
            clock.sleep_until(wall(Timestamp::MIN)).await;
            clock.sleep_until(boot(Boottime(Duration::ZERO))).await;
        }
    }

    #[tokio::test]
    async fn the_first_of_two_instants_counts() {
        for clock in clocks() {
            let now = clock.now();
            let (soon, far) = (Duration::from_millis(5), Duration::from_secs(3600));
            clock
                .sleep_until(Wake {
                    wall: Some(now.wall + soon),
                    boot: Some(now.boot + far),
                })
                .await;
            clock
                .sleep_until(Wake {
                    wall: Some(now.wall + far),
                    boot: Some(now.boot + soon),
                })
                .await;
            clock
                .sleep_until(Wake {
                    wall: Some(Timestamp::MAX),
                    boot: Some(now.boot + soon * 2),
                })
                .await;
        }
    }

    #[tokio::test]
    async fn a_dropped_sleep_neither_wakes_nor_delays_another() {
        for clock in clocks() {
            for _ in 0..50 {
                let at = clock.now().wall + Duration::from_millis(1);
                tokio::select! {
                    biased;
                    () = clock.sleep_until(Wake::default()) => panic!("nobody set the clock"),
                    () = clock.sleep_until(wall(at - Duration::from_secs(1) + Duration::from_secs(3600))) => panic!("an hour early"),
                    () = clock.sleep_until(wall(at)) => assert!(clock.now().wall >= at),
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_sleep_on_one_clock() {
        let clock = Arc::new(SystemClock::new());
        let base = clock.now();
        let mut sleepers = tokio::task::JoinSet::new();
        for n in 0..1000 {
            let clock = Arc::clone(&clock);
            let after = Duration::from_micros(n * 97 % 50_000);
            sleepers.spawn(async move {
                let wake = match n % 2 {
                    0 => wall(base.wall + after),
                    _ => boot(base.boot + after),
                };
                clock.sleep_until(wake).await;
                assert!(wake.is_reached(clock.now()));
            });
        }
        assert_eq!(sleepers.join_all().await.len(), 1000);
    }

    #[tokio::test]
    async fn an_idle_sleeper_makes_no_wake_ups() {
        let clock = SystemClock::new();
        let soon = |millis| wall(clock.now().wall + Duration::from_millis(millis));
        clock.sleep_until(soon(1)).await;
        let before = blocked_and_woken();
        clock.sleep_until(soon(300)).await;
        let wake_ups = blocked_and_woken() - before;
        assert!((1..=3).contains(&wake_ups), "{wake_ups} wake-ups");
    }

    /// How often this thread gave up the processor to wait.
    fn blocked_and_woken() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.expect("the kernel counts them")
            .trim()
            .parse()
            .expect("a number")
    }
}
