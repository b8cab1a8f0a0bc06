//! Many sleepers on two kernel timers, one per clock, each armed for the first instant that anyone waits for.
//! It knows no clock but the kernel's.

use super::{Boottime, Moment, Wake};
use jiff::Timestamp;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

/// The wall timer is always armed, since only an armed one hears that the clock was set; with no instant to wait
/// for, to a time (in 2200) that the kernel's 64-bit nanoseconds still hold.
const FAR: Timespec = Timespec {
    tv_sec: 7_258_118_400,
    tv_nsec: 0,
};
const OFF: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

pub(super) struct Timers {
    shared: Arc<Shared>,
    driver: AbortOnDropHandle<()>,
}

struct Shared {
    wall: AsyncFd<OwnedFd>,
    boot: AsyncFd<OwnedFd>,
    queue: Mutex<Queue>,
}

impl Timers {
    pub(super) fn start() -> io::Result<Timers> {
        let shared = Arc::new(Shared {
            wall: timer(TimerfdClockId::Realtime)?,
            boot: timer(TimerfdClockId::Boottime)?,
            queue: Mutex::default(),
        });
        let driver = AbortOnDropHandle::new(tokio::spawn(drive(Arc::clone(&shared))));
        Ok(Timers { shared, driver })
    }

    pub(super) fn are_running(&self) -> bool {
        !self.driver.is_finished()
    }

    pub(super) async fn sleep_until(&self, wake: Wake) {
        let (sleeper, woken) = self.shared.enter(wake);
        // An error is a driver that ended: an early return, after which the caller looks again.
        let _ = woken.await;
        drop(sleeper);
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe, and an `OwnedFd` gives what that asks for"
)]
fn timer(clock: TimerfdClockId) -> io::Result<AsyncFd<OwnedFd>> {
    let timer = timerfd_create(clock, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    AsyncFd::with_interest(timer, Interest::READABLE)
}

/// Who waits for what. The std lock is never held over an await.
#[derive(Default)]
struct Queue {
    last_id: u64,
    sleepers: BTreeMap<u64, (Wake, oneshot::Sender<()>)>,
    by_wall: BTreeSet<(Timestamp, u64)>,
    by_boot: BTreeSet<(Boottime, u64)>,
    armed: Option<Wake>,
}

impl Queue {
    fn insert(&mut self, wake: Wake, waker: oneshot::Sender<()>) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.sleepers.insert(id, (wake, waker));
        self.by_wall.extend(wake.wall.map(|at| (at, id)));
        self.by_boot.extend(wake.boot.map(|at| (at, id)));
        id
    }

    fn remove(&mut self, id: u64) -> Option<oneshot::Sender<()>> {
        let (wake, waker) = self.sleepers.remove(&id)?;
        wake.wall.map(|at| self.by_wall.remove(&(at, id)));
        wake.boot.map(|at| self.by_boot.remove(&(at, id)));
        Some(waker)
    }

    fn first(&self) -> Wake {
        Wake {
            wall: self.by_wall.first().map(|first| first.0),
            boot: self.by_boot.first().map(|first| first.0),
        }
    }

    fn wake_due(&mut self, now: Moment) {
        while let Some(id) = self.first_due(now) {
            let waker = self.remove(id).expect("an id is in all maps or in none");
            // An error is a sleeper that was dropped meanwhile.
            let _ = waker.send(());
        }
    }

    fn first_due(&self, now: Moment) -> Option<u64> {
        let by_wall = self
            .by_wall
            .first()
            .filter(|first| first.0 <= now.wall)
            .map(|first| first.1);
        by_wall.or_else(|| {
            self.by_boot
                .first()
                .filter(|first| first.0 <= now.boot)
                .map(|first| first.1)
        })
    }

    fn wake_all(&mut self) {
        self.by_wall.clear();
        self.by_boot.clear();
        for (_, waker) in std::mem::take(&mut self.sleepers).into_values() {
            let _ = waker.send(());
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, wake: Wake) -> (Sleeper<'_>, oneshot::Receiver<()>) {
        let (waker, woken) = oneshot::channel();
        let mut queue = self.queue();
        let id = queue.insert(wake, waker);
        self.arm(&mut queue);
        (Sleeper { shared: self, id }, woken)
    }

    /// Sets both timers to the first instants of the queue, unless they elapse sooner: then that is when this is
    /// done, so that a sleeper that comes and goes a thousand times a second costs no system call.
    fn arm(&self, queue: &mut Queue) {
        let first = queue.first();
        if queue.armed.is_some_and(|armed| armed.covers(first)) {
            return;
        }
        queue.armed = Some(first);
        let boot = first.boot.map_or(OFF, |at| timer_value(at.0));
        set(&self.boot, TimerfdTimerFlags::ABSTIME, boot)
            .expect("a timer of ours takes a valid time");

        let wall = first
            .wall
            .map_or(FAR, |at| timer_value(super::forward(at.as_duration())));
        match set(
            &self.wall,
            TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET,
            wall,
        ) {
            // The clock was set, and this call is what heard of it. The timer is armed nevertheless.
            Err(Errno::CANCELED) => {
                queue.wake_all();
                self.arm(queue);
            }
            set => set.expect("a timer of ours takes a valid time"),
        }
    }
}

/// Zero would switch the timer off.
fn timer_value(at: Duration) -> Timespec {
    let at = at.clamp(
        Duration::from_nanos(1),
        Duration::from_secs(FAR.tv_sec as u64),
    );
    Timespec::try_from(at).expect("clamped to what a timespec holds")
}

fn set(
    timer: &AsyncFd<OwnedFd>,
    flags: TimerfdTimerFlags,
    it_value: Timespec,
) -> rustix::io::Result<()> {
    timerfd_settime(
        timer.get_ref(),
        flags,
        &Itimerspec {
            it_interval: OFF,
            it_value,
        },
    )
    .map(drop)
}

/// A place in the queue, left when dropped.
struct Sleeper<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.shared.queue().remove(self.id);
    }
}

/// Ends only if a timer can't be read, and then with nobody left asleep.
async fn drive(shared: Arc<Shared>) {
    loop {
        let tick = tokio::select! {
            tick = tick(&shared.wall) => tick,
            tick = tick(&shared.boot) => tick,
        };
        let mut queue = shared.queue();
        match tick {
            Ok(Tick::Elapsed) => queue.wake_due(super::now()),
            Ok(Tick::ClockSet) => queue.wake_all(),
            Err(error) => {
                tracing::error!(%error, "kernel timers failed, so sleeping in slices");
                return queue.wake_all();
            }
        }
        queue.armed = None;
        shared.arm(&mut queue);
    }
}

enum Tick {
    Elapsed,
    ClockSet,
}

async fn tick(timer: &AsyncFd<OwnedFd>) -> io::Result<Tick> {
    loop {
        let mut ready = timer.readable().await?;
        let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
        match read {
            Ok(Ok(_)) => return Ok(Tick::Elapsed),
            Ok(Err(error)) if error.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => {
                return Ok(Tick::ClockSet);
            }
            Ok(Err(error)) => return Err(error),
            // Re-armed before it was read.
            Err(_would_block) => {}
        }
    }
}
