//! Real folders and real inotify. Each wait is for a change; the timeout is there to fail.

use super::watches::Inbox;
use super::*;
use notify::event::Flag;
use notify::{Event, EventKind};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::{Receiver, channel};

const GUARD: Duration = Duration::from_secs(20);

struct World {
    temp: tempfile::TempDir,
    watcher: Watcher,
    changes: Receiver<Change>,
}

impl World {
    /// Watches `schedules`, which `prepare` may have made.
    fn new(prepare: impl FnOnce(&Path)) -> World {
        World::with(Mode::Inotify, Duration::from_millis(20), prepare)
    }

    fn with(mode: Mode, quiet: Duration, prepare: impl FnOnce(&Path)) -> World {
        let temp = tempfile::tempdir().expect("a folder for the test");
        prepare(temp.path());
        let (tell, changes) = channel(8);
        let watcher = Watcher::start(mode, [temp.path().join("schedules")], quiet, tell)
            .expect("inotify works here");
        World {
            temp,
            watcher,
            changes,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn write(&self, name: &str) {
        fs::write(self.path(name), "cron = \"0 9 * * *\"\n").expect("a file for the test");
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("the test made it");
    }

    async fn next(&mut self) -> Option<Change> {
        tokio::time::timeout(GUARD, self.changes.recv())
            .await
            .expect("a change is told")
    }

    async fn told_everything(&mut self) {
        while self.next().await.expect("it still watches") != Change::Everything {}
    }

    /// Waits for a change of the last of `names`, and for nothing but changes of `names`.
    async fn told(&mut self, names: &[&str]) {
        let expected: BTreeSet<_> = names.iter().map(|name| self.path(name)).collect();
        let last = self.path(names.last().expect("one at least"));
        loop {
            match self.next().await.expect("it still watches") {
                Change::Paths(paths) => {
                    assert!(paths.is_subset(&expected), "{paths:?}");
                    if paths.contains(&last) {
                        return;
                    }
                }
                Change::Everything => panic!("more than {names:?}"),
            }
        }
    }

    /// Writes until it is told by name: what went before may still be told as everything.
    async fn sees(&mut self, name: &str) {
        let path = self.path(name);
        loop {
            self.write(name);
            match self.next().await.expect("it still watches") {
                Change::Paths(paths) if paths.contains(&path) => return,
                _ => {}
            }
        }
    }
}

fn folder(root: &Path) {
    fs::create_dir_all(root.join("schedules")).expect("a folder for the test");
}

fn link(to: impl AsRef<Path>, at: &Path) {
    symlink(to, at).expect("a link for the test");
}

#[tokio::test]
async fn a_file_written_truncated_replaced_and_deleted() {
    let mut world = World::new(folder);
    world.write("schedules/a.toml");
    world.told(&["schedules/a.toml"]).await;
    world.write("schedules/a.toml");
    world.told(&["schedules/a.toml"]).await;
    world.write("schedules/a.toml.new");
    world.rename("schedules/a.toml.new", "schedules/a.toml");
    world.told(&["schedules/a.toml"]).await;
    world.rename("schedules/a.toml", "schedules/b.toml");
    world.told(&["schedules/a.toml", "schedules/b.toml"]).await;
    fs::remove_file(world.path("schedules/b.toml")).expect("the test made it");
    world.told(&["schedules/a.toml", "schedules/b.toml"]).await;
}

#[tokio::test]
async fn editor_backups_are_ignored() {
    let mut world = World::new(folder);
    for name in [
        "4913",
        ".a.toml.swp",
        ".#a.toml",
        "#a.toml#",
        "a.toml~",
        "README.md",
    ] {
        world.write(&format!("schedules/{name}"));
    }
    world.write("schedules/a.toml");
    world.told(&["schedules/a.toml"]).await;
}

#[tokio::test]
async fn reading_is_no_change() {
    let mut world = World::new(folder);
    world.write("schedules/read.toml");
    world.told(&["schedules/read.toml"]).await;
    fs::read_dir(world.path("schedules"))
        .expect("it is there")
        .count();
    fs::read(world.path("schedules/read.toml")).expect("it is there");
    world.write("schedules/a.toml");
    world.told(&["schedules/a.toml"]).await;
}

#[tokio::test]
async fn many_at_once_are_one_change() {
    let mut world = World::with(Mode::Inotify, Duration::from_secs(1), folder);
    let names: Vec<_> = (0..100).map(|n| format!("schedules/{n}.toml")).collect();
    names.iter().for_each(|name| world.write(name));
    let expected = names.iter().map(|name| world.path(name)).collect();
    assert_eq!(world.next().await, Some(Change::Paths(expected)));
}

#[tokio::test]
async fn a_storm_without_end_is_told_before_it_ends() {
    let mut world = World::with(Mode::Inotify, Duration::from_secs(1), folder);
    let over = Arc::new(AtomicBool::new(false));
    let storm = thread::spawn({
        let (path, over) = (world.path("schedules/a.toml"), Arc::clone(&over));
        move || {
            while !over.load(Ordering::Relaxed) {
                fs::write(&path, "").expect("a file for the test");
                thread::sleep(Duration::from_millis(5));
            }
        }
    });
    world.told(&["schedules/a.toml"]).await;
    over.store(true, Ordering::Relaxed);
    storm.join().expect("the storm writes without fail");
}

#[tokio::test]
async fn a_swapped_config_map_is_everything() {
    let mut world = World::new(|root| {
        folder(root);
        fs::create_dir(root.join("schedules/..v1")).expect("a folder for the test");
        fs::write(root.join("schedules/..v1/a.toml"), "").expect("a file for the test");
        link("..v1", &root.join("schedules/..data"));
        link("..data/a.toml", &root.join("schedules/a.toml"));
    });
    fs::create_dir(world.path("schedules/..v2")).expect("a folder for the test");
    world.write("schedules/..v2/a.toml");
    link("..v2", &world.path("schedules/..data_tmp"));
    world.rename("schedules/..data_tmp", "schedules/..data");
    assert_eq!(world.next().await, Some(Change::Everything));
}

#[tokio::test]
async fn a_folder_removed_and_recreated() {
    let mut world = World::new(folder);
    for _ in 0..3 {
        fs::remove_dir_all(world.path("schedules")).expect("it is there");
        world.told_everything().await;
        folder(world.temp.path());
        world.told_everything().await;
        world.sees("schedules/a.toml").await;
    }
}

#[tokio::test]
async fn a_folder_replaced_by_another() {
    let mut world = World::new(folder);
    for n in 0..3 {
        fs::create_dir(world.path("new")).expect("a folder for the test");
        world.rename("schedules", &format!("old{n}"));
        world.rename("new", "schedules");
        world.told_everything().await;
        world.sees("schedules/a.toml").await;
    }
    // The old folders' watches have gone with them.
    world.write("old0/old.toml");
    world.write("schedules/b.toml");
    world.told(&["schedules/a.toml", "schedules/b.toml"]).await;
}

#[tokio::test]
async fn a_folder_replaced_again_and_again_at_once() {
    let mut world = World::new(folder);
    for _ in 0..200 {
        fs::remove_dir_all(world.path("schedules")).expect("it is there");
        folder(world.temp.path());
    }
    world.told_everything().await;
    world.sees("schedules/a.toml").await;
}

#[tokio::test]
async fn a_folder_missing_at_start_with_its_parents() {
    let temp = tempfile::tempdir().expect("a folder for the test");
    let (tell, changes) = channel(8);
    let deep = temp.path().join("not/yet/schedules");
    let watcher = Watcher::start(
        Mode::Inotify,
        [deep.clone()],
        Duration::from_millis(20),
        tell,
    )
    .expect("inotify works here");
    let mut world = World {
        temp,
        watcher,
        changes,
    };
    fs::create_dir(world.path("not")).expect("a folder for the test");
    world.told_everything().await;
    fs::create_dir_all(deep).expect("a folder for the test");
    world.told_everything().await;
    world.sees("not/yet/schedules/a.toml").await;
}

#[tokio::test]
async fn a_link_led_elsewhere() {
    let mut world = World::new(|root| {
        fs::create_dir_all(root.join("v1")).expect("a folder for the test");
        fs::create_dir_all(root.join("v2")).expect("a folder for the test");
        link("v1", &root.join("schedules"));
    });
    world.write("v1/a.toml");
    world.told(&["schedules/a.toml"]).await;
    link("v2", &world.path("tmp"));
    world.rename("tmp", "schedules");
    assert_eq!(world.next().await, Some(Change::Everything));
    world.sees("schedules/b.toml").await;
    assert!(world.path("v2/b.toml").exists());

    fs::remove_dir_all(world.path("v2")).expect("it is there");
    world.told_everything().await;
    fs::create_dir(world.path("v2")).expect("a folder for the test");
    world.told_everything().await;
    world.sees("schedules/c.toml").await;
}

#[tokio::test]
async fn a_link_further_up_led_elsewhere() {
    let temp = tempfile::tempdir().expect("a folder for the test");
    for version in ["v1", "v2"] {
        fs::create_dir_all(temp.path().join(version).join("schedules"))
            .expect("a folder for the test");
    }
    link("v1", &temp.path().join("current"));
    let (tell, changes) = channel(8);
    let schedules = temp.path().join("current/schedules");
    let watcher = Watcher::start(Mode::Inotify, [schedules], Duration::from_millis(20), tell)
        .expect("inotify works here");
    let mut world = World {
        temp,
        watcher,
        changes,
    };
    link("v2", &world.path("tmp"));
    world.rename("tmp", "current");
    assert_eq!(world.next().await, Some(Change::Everything));
    world.sees("current/schedules/a.toml").await;
}

#[tokio::test]
async fn extra_files_are_told_by_their_given_paths() {
    let mut world = World::new(|root| {
        folder(root);
        fs::create_dir_all(root.join("secrets/..v1")).expect("a folder for the test");
        link("..v1", &root.join("secrets/..data"));
        link("..data/token", &root.join("secrets/token"));
    });
    let extra = [
        "schedules/input.md",
        "secrets/token",
        "missing/triggerd.toml",
    ];
    world.watcher.set_extra(extra.map(|name| world.path(name)));
    let all = extra.iter().map(|name| world.path(name)).collect();
    assert_eq!(
        world.next().await,
        Some(Change::Paths(all)),
        "each is told once"
    );

    world.write("schedules/input.md");
    world.told(&["schedules/input.md"]).await;
    world.write("schedules/input.md.new");
    world.rename("schedules/input.md.new", "schedules/input.md");
    world.told(&["schedules/input.md"]).await;

    world.write("secrets/..v1/token");
    world.told(&["schedules/input.md", "secrets/token"]).await;
    fs::create_dir(world.path("secrets/..v2")).expect("a folder for the test");
    link("..v2", &world.path("secrets/tmp"));
    world.rename("secrets/tmp", "secrets/..data");
    world.told(&["secrets/token"]).await;
    world.write("secrets/..v2/token");
    world.told(&["secrets/token"]).await;

    fs::create_dir(world.path("missing")).expect("a folder for the test");
    world
        .told(&["secrets/token", "missing/triggerd.toml"])
        .await;
    world.write("missing/triggerd.toml");
    world
        .told(&["secrets/token", "missing/triggerd.toml"])
        .await;

    world.watcher.set_extra([world.path("secrets/token")]);
    world.watcher.set_extra([world.path("secrets")]);
    world.told(&["missing/triggerd.toml", "secrets"]).await;
    world.write("missing/triggerd.toml");
    world.write("secrets/any");
    world.told(&["secrets", "secrets/any"]).await;
}

#[tokio::test]
async fn an_overflow_and_an_error_are_everything() {
    let mut world = World::new(folder);
    let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
    world.watcher.send(Message::Event(Ok(overflow)));
    assert_eq!(world.next().await, Some(Change::Everything));
    world
        .watcher
        .send(Message::Event(Err(notify::Error::generic("broken"))));
    assert_eq!(world.next().await, Some(Change::Everything));
    world.sees("schedules/a.toml").await;
}

#[tokio::test]
async fn a_recheck_finds_what_inotify_does_not_tell() {
    let temp = tempfile::tempdir().expect("a folder for the test");
    let schedules = temp.path().join("up/here/schedules");
    fs::create_dir_all(&schedules).expect("a folder for the test");
    let (tell, changes) = channel(8);
    let watcher = Watcher::start(
        Mode::Inotify,
        [schedules.clone()],
        Duration::from_millis(20),
        tell,
    )
    .expect("inotify works here");
    let mut world = World {
        temp,
        watcher,
        changes,
    };
    world.rename("up", "gone");
    fs::create_dir_all(&schedules).expect("a folder for the test");
    world.watcher.recheck();
    assert_eq!(world.next().await, Some(Change::Everything));
    world.sees("up/here/schedules/a.toml").await;
}

#[tokio::test]
async fn a_full_channel_loses_nothing() {
    let mut world = World::new(folder);
    let (tell, mut changes) = channel(1);
    tell.try_send(Change::Everything).expect("it holds one");
    let schedules = [world.path("schedules")];
    let _slow = Watcher::start(Mode::Inotify, schedules, Duration::from_millis(1), tell)
        .expect("inotify works here");
    let names = ["schedules/a.toml", "schedules/b.toml", "schedules/c.toml"];
    for n in 0..names.len() {
        world.write(names[n]);
        // By then the other watcher, whose changes nobody takes, has seen it too.
        world.told(&names[..=n]).await;
    }
    assert_eq!(changes.recv().await, Some(Change::Everything));
    let told = tokio::time::timeout(GUARD, changes.recv())
        .await
        .expect("a change is told");
    assert_eq!(
        told,
        Some(Change::Paths(
            names.iter().map(|name| world.path(name)).collect()
        ))
    );
}

#[tokio::test]
async fn polling_is_everything_each_period() {
    let mut world = World::with(Mode::Poll(Duration::from_millis(10)), QUIET, |_| {});
    world.watcher.set_extra([]);
    for _ in 0..3 {
        assert_eq!(world.next().await, Some(Change::Everything));
    }
}

#[tokio::test]
async fn the_end_of_a_watching_thread_closes_the_channel() {
    for mode in [Mode::Inotify, Mode::Poll(GUARD)] {
        let mut world = World::with(mode, QUIET, folder);
        world.watcher = World::with(mode, QUIET, folder).watcher;
        assert_eq!(world.next().await, None, "it was dropped");
    }
    let mut world = World::new(folder);
    drop(Inbox(world.watcher.inbox.clone()));
    assert_eq!(world.next().await, None, "notify's thread ended");
}
