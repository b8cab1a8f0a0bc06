//! The catalog on real folders, with a clock that moves by hand.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const NINE: &str = "cron = \"0 9 * * *\"\n[event]\nupdate_text = \"x\"\n";
const TEN: &str = "cron = \"0 10 * * *\"\n[event]\nupdate_text = \"x\"\n";
const BROKEN: &str = "cron = \"61 9 * * *\"\n[event]\nupdate_text = \"x\"\n";

/// A folder, its catalog, and a clock that moves by hand.
struct Folder {
    root: TempDir,
    catalog: Catalog,
    now: Moment,
}

impl Folder {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("schedules");
        fs::create_dir(&folder).unwrap();
        let context = Context {
            trigger_id: Some("agtch_1".into()),
            ..Context::default()
        };
        Self {
            root,
            catalog: Catalog::new(folder, context),
            now: Moment {
                wall: "2026-11-23T08:00:00Z".parse().unwrap(),
                boot: Boottime::from(Duration::from_secs(1000)),
            },
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("schedules").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now.boot = self.now.boot + Duration::from_millis(milliseconds);
    }

    fn look(&mut self) -> String {
        let report = self.catalog.look(&watch::Change::Everything, self.now);
        told(&report)
    }

    fn look_at(&mut self, name: &str) -> String {
        let paths = watch::Change::Paths([self.path(name)].into());
        told(&self.catalog.look(&paths, self.now))
    }
}

fn told(report: &Report) -> String {
    let mut told = Vec::new();
    for (what, ids) in [
        ("added", &report.added),
        ("changed", &report.changed),
        ("removed", &report.removed),
    ] {
        told.extend(ids.iter().map(|id| format!("{what} {id}")));
    }
    if report.folder_is_back {
        told.push("the folder is back".to_owned());
    }
    told.extend(report.problems.iter().map(|it| it.message.clone()));
    let changes = report.added.len() + report.changed.len() + report.removed.len();
    assert_eq!(report.loaded.changes.len(), changes);
    told.join(", ")
}

#[test]
fn files_are_added_changed_and_left_alone() {
    let mut folder = Folder::new();
    folder.write("a.toml", NINE);
    folder.write("b.toml", NINE);
    folder.write("notes.txt", "no schedule");
    assert_eq!(folder.look(), "added a, added b");
    assert_eq!(folder.look(), "");
    folder.write("a.toml", TEN);
    assert_eq!(folder.look_at("a.toml"), "changed a");
    folder.write("a.toml", &format!("# a comment\n{TEN}"));
    assert_eq!(folder.look_at("a.toml"), "");
}

#[test]
fn a_broken_file_keeps_its_last_good_version_in_force() {
    let mut folder = Folder::new();
    folder.write("a.toml", NINE);
    folder.look();
    let good = folder.catalog.get("a").cloned();
    folder.write("a.toml", BROKEN);
    assert_eq!(folder.look(), "minute 61 is outside 0-59");
    assert_eq!(folder.catalog.get("a").cloned(), good);
    assert_eq!(folder.catalog.problems().count(), 1);
    folder.write("a.toml", TEN);
    assert_eq!(folder.look(), "changed a");
    assert_eq!(folder.catalog.problems().count(), 0);
}

#[test]
fn a_broken_file_over_a_restart_keeps_its_last_good_version_too() {
    let mut folder = Folder::new();
    folder.write("a.toml", BROKEN);
    let source = Source {
        toml: NINE.into(),
        input: None,
    };
    let id = ScheduleId::parse("a").unwrap();
    folder.catalog.remember(id, source);
    assert_eq!(folder.look(), "minute 61 is outside 0-59");
    assert!(folder.catalog.get("a").is_some());
}

#[test]
fn a_file_is_gone_when_the_folder_was_without_it_for_two_seconds() {
    let mut folder = Folder::new();
    folder.write("a.toml", NINE);
    folder.look();
    folder.remove("a.toml");
    assert_eq!(folder.look_at("a.toml"), "");
    let gone = folder.catalog.next_gone();
    assert_eq!(gone, Some(folder.now.boot + GONE_AFTER));
    folder.pass(1999);
    assert_eq!(folder.look(), "");
    folder.pass(1);
    assert_eq!(folder.look(), "removed a");
    assert_eq!(folder.catalog.next_gone(), None);
}

#[test]
fn deleted_and_made_again_is_an_edit() {
    let mut folder = Folder::new();
    folder.write("a.toml", NINE);
    folder.look();
    folder.remove("a.toml");
    folder.look();
    folder.pass(1000);
    folder.write("a.toml", TEN);
    assert_eq!(folder.look(), "changed a");
    folder.pass(5000);
    assert_eq!(folder.look(), "");
}

#[test]
fn what_came_back_untold_is_an_edit_and_a_folder_that_went_untold_ends_nothing() {
    let mut folder = Folder::new();
    folder.write("a.toml", NINE);
    folder.write("b.toml", NINE);
    folder.look();
    folder.remove("a.toml");
    folder.look();
    folder.write("a.toml", TEN);
    folder.pass(2000);
    assert_eq!(folder.look_at("b.toml"), "changed a");

    folder.remove("a.toml");
    folder.look();
    let away = folder.root.path().join("away");
    fs::rename(folder.path(""), &away).unwrap();
    folder.pass(2000);
    assert_eq!(folder.look_at("b.toml"), "");
    let gone = folder.catalog.next_gone();
    assert_eq!(gone, Some(folder.now.boot + GONE_AFTER));
    fs::rename(&away, folder.path("")).unwrap();
    folder.pass(2000);
    assert_eq!(folder.look(), "removed a");
}

#[test]
fn a_schedule_that_was_in_force_at_the_stop_and_has_no_file_is_gone_after_its_time() {
    let mut folder = Folder::new();
    let source = Source {
        toml: NINE.into(),
        input: None,
    };
    let id = ScheduleId::parse("a").unwrap();
    folder.catalog.remember(id, source);
    assert_eq!(folder.look(), "");
    assert_eq!(folder.catalog.in_force().changes.len(), 1);
    folder.pass(2000);
    assert_eq!(folder.look(), "removed a");
}

#[test]
fn a_folder_that_is_not_there_ends_nothing() {
    let mut folder = Folder::new();
    folder.write("a.toml", NINE);
    folder.look();
    let away = folder.root.path().join("away");
    fs::rename(folder.path(""), &away).unwrap();
    let problem = "the schedules folder can't be read: No such file or directory (os error 2)";
    assert_eq!(folder.look(), problem);
    folder.pass(60_000);
    assert_eq!(folder.look(), problem);
    assert_eq!(folder.catalog.next_gone(), None);
    fs::rename(&away, folder.path("")).unwrap();
    assert_eq!(folder.look(), "the folder is back");
    assert_eq!(folder.look(), "");
    assert!(folder.catalog.get("a").is_some());
}

#[test]
fn an_input_file_is_part_of_its_schedule() {
    let mut folder = Folder::new();
    folder.write("a.toml", "cron = \"0 9 * * *\"\ninput_file = \"a.md\"\n");
    let look = folder.look();
    assert_eq!(look, "`a.md` can't be read: it is not there");
    folder.write("a.md", "hello");
    assert_eq!(folder.look_at("a.md"), "added a");
    folder.write("a.md", "hello again");
    assert_eq!(folder.look_at("a.md"), "changed a");
}

#[test]
fn a_link_swap_changes_what_is_behind_the_same_names() {
    let mut folder = Folder::new();
    for (version, text) in [("..1", NINE), ("..2", TEN)] {
        fs::create_dir(folder.path(version)).unwrap();
        folder.write(&format!("{version}/a.toml"), text);
    }
    symlink("..1", folder.path("..data")).unwrap();
    symlink("..data/a.toml", folder.path("a.toml")).unwrap();
    assert_eq!(folder.look(), "added a");
    symlink("..2", folder.path("..data_tmp")).unwrap();
    fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
    assert_eq!(folder.look(), "changed a");
}

#[test]
fn a_misnamed_file_is_told_and_forgotten() {
    let mut folder = Folder::new();
    folder.write("My Report.toml", NINE);
    assert!(folder.look().contains("is no schedule name"));
    assert_eq!(folder.catalog.problems().count(), 1);
    fs::rename(folder.path("My Report.toml"), folder.path("my-report.toml")).unwrap();
    assert_eq!(folder.look(), "added my-report");
    assert_eq!(folder.catalog.problems().count(), 0);
}
