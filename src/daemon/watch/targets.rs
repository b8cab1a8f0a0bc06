//! What is watched for, and what a change at some path means for it. It knows no watcher and no time.

use super::Change;
use super::route::Route;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A folder of schedules.
    Schedules(PathBuf),
    /// A file, or a folder of any files.
    Extra(PathBuf),
}

impl Target {
    fn path(&self) -> &Path {
        match self {
            Target::Schedules(path) | Target::Extra(path) => path,
        }
    }

    /// It, or a link on the way to it, was replaced.
    pub(super) fn replaced(&self) -> Change {
        match self {
            Target::Schedules(_) => Change::Everything,
            Target::Extra(path) => Change::path(path.clone()),
        }
    }

    fn changed_inside(&self, name: &OsStr) -> Option<Change> {
        match self {
            // Kubernetes replaces all files of a mounted folder at once, by renaming the link that they lead through.
            _ if name == "..data" => Some(self.replaced()),
            Target::Schedules(_) if !can_be_schedule(name) => None,
            _ => Some(Change::path(self.path().join(name))),
        }
    }
}

fn can_be_schedule(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".toml") && !name.as_bytes().starts_with(b".")
}

#[derive(Default)]
pub(super) struct Targets {
    routes: BTreeMap<Target, Route>,
    /// Whose way leads through a watched folder or a turn.
    users: BTreeMap<PathBuf, BTreeSet<Target>>,
}

impl Targets {
    pub(super) fn of_schedules(folders: impl IntoIterator<Item = PathBuf>) -> Targets {
        let routes = folders
            .into_iter()
            .map(|folder| (Target::Schedules(folder), Route::default()));
        Targets {
            routes: routes.collect(),
            users: BTreeMap::new(),
        }
    }

    /// Returns those that are new, and whose ways are still to be found.
    pub(super) fn set_extra(&mut self, paths: BTreeSet<PathBuf>) -> BTreeSet<Target> {
        let extra: BTreeSet<_> = paths.into_iter().map(Target::Extra).collect();
        self.routes
            .retain(|target, _| matches!(target, Target::Schedules(_)) || extra.contains(target));
        let new: BTreeSet<_> = extra
            .into_iter()
            .filter(|target| !self.routes.contains_key(target))
            .collect();
        self.routes
            .extend(new.iter().map(|target| (target.clone(), Route::default())));
        self.index();
        new
    }

    pub(super) fn all(&self) -> BTreeSet<Target> {
        self.routes.keys().cloned().collect()
    }

    /// Finds the ways to these anew, and says whether any is another one.
    pub(super) fn reroute(&mut self, targets: &BTreeSet<Target>) -> bool {
        let mut changed = false;
        for target in targets {
            if let Some(route) = self.routes.get_mut(target) {
                let found = Route::to(target.path());
                changed |= *route != found;
                *route = found;
            }
        }
        if changed {
            self.index();
        }
        changed
    }

    fn index(&mut self) {
        self.users.clear();
        for (target, route) in &self.routes {
            for path in route
                .watched()
                .chain(route.turns.iter().map(PathBuf::as_path))
            {
                self.users
                    .entry(path.to_owned())
                    .or_default()
                    .insert(target.clone());
            }
        }
    }

    /// The folders to watch for these, in the order in which to begin.
    pub(super) fn watched<'a>(
        &'a self,
        targets: &'a BTreeSet<Target>,
    ) -> impl Iterator<Item = &'a Path> {
        targets
            .iter()
            .filter_map(|target| self.routes.get(target))
            .flat_map(Route::watched)
    }

    /// Those that were replaced when something happened to `path` itself.
    pub(super) fn replaced_at(&self, path: &Path) -> BTreeSet<Target> {
        self.users.get(path).cloned().unwrap_or_default()
    }

    /// What changed when something happened to `path` inside of its folder.
    pub(super) fn changed_at(&self, path: &Path) -> Vec<Change> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Vec::new();
        };
        let ends_here = |target: &&Target| self.routes[*target].folder.as_deref() == Some(folder);
        let targets = self
            .users
            .get(folder)
            .into_iter()
            .flatten()
            .filter(ends_here);
        targets
            .filter_map(|target| target.changed_inside(name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_can_be_schedules_count() {
        #[track_caller]
        fn check(name: &str, expected: bool) {
            assert_eq!(can_be_schedule(OsStr::new(name)), expected);
        }
        check("report.toml", true);
        check("revenue.weekly.toml", true);
        check("Not A Name.toml", true);
        check("report.toml~", false);
        check(".report.toml.swp", false);
        check(".#report.toml", false);
        check("#report.toml#", false);
        check("4913", false);
        check("README.md", false);
        check("..data_tmp", false);
    }
}
