//! Says when to look at files again. It reads none of them, and knows no schedule and no loader.

mod route;
mod targets;
#[cfg(test)]
mod tests;
mod watches;

use std::collections::BTreeSet;
use std::io;
use std::iter;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use targets::Targets;
use watches::{Seen, Watches};

/// What to look at again. It may be as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These, each made of a folder or an extra path as it was given.
    Paths(BTreeSet<PathBuf>),
    /// All that is watched: more may have changed than was seen.
    Everything,
}

impl Change {
    fn path(path: PathBuf) -> Change {
        Change::Paths(BTreeSet::from([path]))
    }

    fn and(self, other: Change) -> Change {
        match (self, other) {
            (Change::Paths(mut paths), Change::Paths(more)) => {
                paths.extend(more);
                Change::Paths(paths)
            }
            (Change::Everything, _) | (_, Change::Everything) => Change::Everything,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Inotify,
    /// `Everything` once in each period.
    Poll(Duration),
}

/// How long nothing has to happen before a change is told.
pub const QUIET: Duration = Duration::from_millis(200);

/// A change is told after this time even if it never gets quiet.
const LONGEST_STORM: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error(
        "inotify can't watch the folder; raise `fs.inotify.max_user_watches` and `fs.inotify.max_user_instances`, or \
         set `watch = \"poll:10s\"`"
    )]
    Inotify(#[source] notify::Error),
    #[error("the thread that watches can't be started")]
    Thread(#[source] io::Error),
}

/// Watches until it is dropped. Should it end before, the channel of changes closes.
pub struct Watcher {
    inbox: mpsc::Sender<Message>,
}

enum Message {
    Event(notify::Result<notify::Event>),
    Extra(BTreeSet<PathBuf>),
    Recheck,
    Stop,
    NotifyEnded,
}

impl Watcher {
    /// What happens to schedules in `folders` after this returns is told, once it has been quiet for `quiet`. A folder
    /// may be missing, come, go, or be a link.
    pub fn start(
        mode: Mode,
        folders: impl IntoIterator<Item = PathBuf>,
        quiet: Duration,
        changes: Sender<Change>,
    ) -> Result<Watcher, WatchError> {
        let (inbox, messages) = mpsc::channel();
        let thread = thread::Builder::new().name("watch".to_owned());
        let started = match mode {
            Mode::Poll(period) => thread.spawn(move || poll(period, &messages, &changes)),
            Mode::Inotify => {
                let targets = Targets::of_schedules(folders);
                let mut watches = Watches::open(targets, &inbox).map_err(WatchError::Inotify)?;
                watches.follow(&watches.targets.all());
                if let Some(error) = watches.out_of_watches() {
                    return Err(WatchError::Inotify(error));
                }
                thread.spawn(move || tell(watches, quiet, &messages, &changes))
            }
        };
        started.map_err(WatchError::Thread)?;
        Ok(Watcher { inbox })
    }

    /// Further files and folders to watch, in place of those set before. Each new one is told once as a change, for it
    /// may have changed before the watch stood. A schedule that is a link to elsewhere belongs here too.
    pub fn set_extra(&self, paths: impl IntoIterator<Item = PathBuf>) {
        self.send(Message::Extra(paths.into_iter().collect()));
    }

    /// Sees that what is watched is still what the paths lead to. Of mounts, and of renamed folders further up, inotify
    /// does not tell: so this belongs beside a regular scan.
    pub fn recheck(&self) {
        self.send(Message::Recheck);
    }

    fn send(&self, message: Message) {
        // An error is a thread that ended, which the channel of changes tells.
        let _ = self.inbox.send(message);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.send(Message::Stop);
    }
}

fn poll(period: Duration, messages: &mpsc::Receiver<Message>, changes: &Sender<Change>) {
    let mut next = Instant::now() + period;
    loop {
        match messages.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => {
                // A full channel has a change in it that leads to a look soon enough.
                if let Err(TrySendError::Closed(_)) = changes.try_send(Change::Everything) {
                    return;
                }
                next = Instant::now() + period;
            }
        }
    }
}

/// A change that is not told yet.
struct Pending {
    change: Change,
    since: Instant,
    due: Instant,
}

impl Pending {
    /// Waits for quiet anew with each change, but not for ever.
    fn with(before: Option<Pending>, change: Change, quiet: Duration) -> Pending {
        let now = Instant::now();
        let (change, since) = match before {
            None => (change, now),
            Some(before) => (before.change.and(change), before.since),
        };
        let due = (now + quiet).min(since + LONGEST_STORM.max(quiet));
        Pending { change, since, due }
    }
}

/// How many messages are looked at before the ways that they touched are followed again.
const BATCH: usize = 1000;

fn tell(
    mut watches: Watches,
    quiet: Duration,
    messages: &mpsc::Receiver<Message>,
    changes: &Sender<Change>,
) {
    let mut pending: Option<Pending> = None;
    loop {
        let now = Instant::now();
        if let Some(Pending { change, since, .. }) = pending.take_if(|pending| pending.due <= now) {
            match changes.try_send(change) {
                Ok(()) => {}
                Err(TrySendError::Full(change)) => {
                    pending = Some(Pending {
                        change,
                        since,
                        due: now + quiet,
                    })
                }
                Err(TrySendError::Closed(_)) => return,
            }
        }
        let received = match &pending {
            None => messages.recv().map_err(RecvTimeoutError::from),
            Some(pending) => messages.recv_timeout(pending.due.saturating_duration_since(now)),
        };
        let first = match received {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        match take_in(
            &mut watches,
            iter::once(first).chain(messages.try_iter().take(BATCH)),
        ) {
            Ok(None) => {}
            Ok(Some(change)) => pending = Some(Pending::with(pending.take(), change, quiet)),
            Err(End::Stopped) => return,
            Err(End::NotifyEnded) => return watches.close_blind(),
        }
    }
}

enum End {
    Stopped,
    NotifyEnded,
}

/// Returns with the watches where they belong after these messages, and so before their change is told.
fn take_in(
    watches: &mut Watches,
    messages: impl Iterator<Item = Message>,
) -> Result<Option<Change>, End> {
    let mut seen = Seen::default();
    for message in messages {
        match message {
            Message::Event(event) => watches.see(event, &mut seen),
            Message::Extra(paths) => {
                let new = watches.targets.set_extra(paths);
                watches.follow(&new);
                new.iter()
                    .for_each(|target| seen.changed(target.replaced()));
            }
            Message::Recheck => {
                if watches.follow(&watches.targets.all()) {
                    seen.changed(Change::Everything);
                }
            }
            Message::Stop => return Err(End::Stopped),
            Message::NotifyEnded => return Err(End::NotifyEnded),
        }
    }
    if !seen.reroute.is_empty() {
        watches.follow(&seen.reroute);
    }
    Ok(seen.change)
}
