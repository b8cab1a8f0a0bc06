//! The kernel's watches, kept where the targets are. It knows no time, and what it sees it tells to `Seen`.

use super::targets::{Target, Targets};
use super::{Change, Message};
use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, EventKind, INotifyWatcher, RecursiveMode, Watcher as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

pub(super) struct Watches {
    notify: INotifyWatcher,
    pub(super) targets: Targets,
    /// Device and inode of each watched folder: another one at its path needs another watch.
    watched: BTreeMap<PathBuf, Option<(u64, u64)>>,
    failed: BTreeMap<PathBuf, notify::Error>,
}

/// How often a way that changes while it is followed is followed again at once. Its next change is seen as well.
const MOST_ROUNDS: usize = 10;

impl Watches {
    pub(super) fn open(targets: Targets, inbox: &mpsc::Sender<Message>) -> notify::Result<Watches> {
        let inbox = Inbox(inbox.clone());
        let notify = notify::recommended_watcher(move |event| inbox.put(event))?;
        Ok(Watches {
            notify,
            targets,
            watched: BTreeMap::new(),
            failed: BTreeMap::new(),
        })
    }

    pub(super) fn see(&self, event: notify::Result<notify::Event>, seen: &mut Seen) {
        match event {
            Ok(event) if !event.need_rescan() => {
                for path in &event.paths {
                    seen.replaced(self.targets.replaced_at(path));
                    self.targets
                        .changed_at(path)
                        .into_iter()
                        .for_each(|change| seen.changed(change));
                }
            }
            missed => {
                tracing::warn!(
                    ?missed,
                    "changes of files were missed, so looking at all of them"
                );
                seen.changed(Change::Everything);
                seen.reroute.extend(self.targets.all());
            }
        }
    }

    /// Follows the ways to these targets until they hold still, and watches there. Says whether a folder was not
    /// watched before.
    pub(super) fn follow(&mut self, targets: &BTreeSet<Target>) -> bool {
        let mut is_new = false;
        self.targets.reroute(targets);
        for _ in 0..MOST_ROUNDS {
            for folder in unique(self.targets.watched(targets)) {
                is_new |= self.watch_folder(&folder);
            }
            // What changed before the watches stood shows as another way.
            if !self.targets.reroute(targets) {
                break;
            }
        }
        self.drop_unused();
        is_new
    }

    /// Also where it is watched already: notify drops a watch by the path of a folder that was deleted, and so may
    /// have dropped that of its successor.
    fn watch_folder(&mut self, folder: &Path) -> bool {
        let inode = fs::metadata(folder)
            .ok()
            .map(|folder| (folder.dev(), folder.ino()));
        let is_new = self.watched.get(folder) != Some(&inode);
        if is_new {
            self.unwatch_folder(folder);
        }
        match self.notify.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(folder.to_owned(), inode);
                self.failed.remove(folder);
                is_new
            }
            Err(error) => {
                self.not_watched(folder, error);
                false
            }
        }
    }

    fn not_watched(&mut self, folder: &Path, error: notify::Error) {
        // One that is gone meanwhile shows as another way.
        if matches!(error.kind, ErrorKind::PathNotFound) {
            return;
        }
        if !self.failed.contains_key(folder) {
            tracing::warn!(folder = %folder.display(), %error, "a folder can't be watched; what changes there waits for the next scan");
        }
        self.failed.insert(folder.to_owned(), error);
    }

    fn drop_unused(&mut self) {
        let all = self.targets.all();
        let used: BTreeSet<_> = self.targets.watched(&all).collect();
        self.failed
            .retain(|folder, _| used.contains(folder.as_path()));
        let unused = self
            .watched
            .keys()
            .filter(|folder| !used.contains(folder.as_path()));
        for folder in unused.cloned().collect::<Vec<_>>() {
            self.unwatch_folder(&folder);
        }
    }

    fn unwatch_folder(&mut self, folder: &Path) {
        self.watched.remove(folder);
        // An error is a watch that went with its folder.
        let _ = self.notify.unwatch(folder);
    }

    pub(super) fn out_of_watches(&mut self) -> Option<notify::Error> {
        let is_limit = |error: &notify::Error| matches!(error.kind, ErrorKind::MaxFilesWatch);
        let (folder, _) = self.failed.iter().find(|(_, error)| is_limit(error))?;
        self.failed.remove(&folder.clone())
    }

    /// Without notify's thread its drop would panic.
    pub(super) fn close_blind(self) {
        tracing::error!("the thread that reads inotify ended");
        mem::forget(self.notify);
    }
}

/// Each once, in the order of the first.
fn unique<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<PathBuf> {
    let mut known = BTreeSet::new();
    paths
        .filter(|path| known.insert(*path))
        .map(Path::to_owned)
        .collect()
}

/// What some events came to.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) change: Option<Change>,
    /// Those whose ways may be others now.
    pub(super) reroute: BTreeSet<Target>,
}

impl Seen {
    pub(super) fn changed(&mut self, change: Change) {
        self.change = Some(match self.change.take() {
            None => change,
            Some(before) => before.and(change),
        });
    }

    fn replaced(&mut self, targets: BTreeSet<Target>) {
        for target in &targets {
            self.changed(target.replaced());
        }
        self.reroute.extend(targets);
    }
}

/// Lives in notify's thread, and says so when that ends.
pub(super) struct Inbox(pub(super) mpsc::Sender<Message>);

impl Inbox {
    fn put(&self, event: notify::Result<notify::Event>) {
        let is_noise = |event: &notify::Event| matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        if !event.as_ref().is_ok_and(is_noise) {
            let _ = self.0.send(Message::Event(event));
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let _ = self.0.send(Message::NotifyEnded);
    }
}
