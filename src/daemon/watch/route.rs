//! The way to a path as the file system is now, link by link. It reads links and no file, and knows no watcher.

use std::collections::VecDeque;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    /// The names on the way that, replaced, would lead elsewhere: each link, the last name, and the first one that
    /// is missing. A folder before the last name counts as firm, so that nobody watches `/`.
    pub(super) turns: Vec<PathBuf>,
    /// Where it ends, if that is a folder.
    pub(super) folder: Option<PathBuf>,
}

impl Route {
    /// All its paths are free of links and of `..`.
    pub(super) fn to(path: &Path) -> Route {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut names = components(&path);
        let mut at = PathBuf::new();
        let mut turns = Vec::new();
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            if name == Path::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            match fs::symlink_metadata(&next) {
                Ok(file) if file.is_symlink() && links < MOST_LINKS => {
                    links += 1;
                    for name in components(&fs::read_link(&next).unwrap_or_default())
                        .into_iter()
                        .rev()
                    {
                        names.push_front(name);
                    }
                    turns.push(next);
                }
                Ok(file) if !file.is_symlink() => {
                    if names.is_empty() {
                        turns.push(next.clone());
                    }
                    at = next;
                }
                _ => {
                    turns.push(next);
                    return Route {
                        turns,
                        folder: None,
                    };
                }
            }
        }
        let folder = at.is_dir().then_some(at);
        Route { turns, folder }
    }

    /// The folders to watch: those where a turn would show before the one that it leads to.
    pub(super) fn watched(&self) -> impl Iterator<Item = &Path> {
        self.turns
            .iter()
            .filter_map(|turn| turn.parent())
            .chain(self.folder.as_deref())
    }
}

/// `/` and `..` among them: joined to a path, `/` begins anew.
fn components(path: &Path) -> VecDeque<PathBuf> {
    let names = path.components().filter(|name| *name != Component::CurDir);
    names.map(|name| Path::new(&name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn turns_are_links_the_last_name_and_the_first_missing() {
        let temp = tempfile::tempdir().expect("a folder for the test");
        let root = temp.path().canonicalize().expect("it is there");
        fs::create_dir_all(root.join("repo/v1/schedules")).expect("a folder for the test");
        fs::write(root.join("repo/v1/schedules/a.toml"), "").expect("a file for the test");
        symlink("repo/v1", root.join("current")).expect("a link for the test");
        symlink(root.join("repo"), root.join("absolute")).expect("a link for the test");
        symlink("../current/schedules", root.join("repo/up")).expect("a link for the test");
        symlink("loop", root.join("loop")).expect("a link for the test");

        let check = |path: &str, turns: &[&str], folder: Option<&str>| {
            let turns = turns.iter().map(|turn| root.join(turn)).collect();
            let folder = folder.map(|folder| root.join(folder));
            assert_eq!(
                Route::to(&root.join(path)),
                Route { turns, folder },
                "{path}"
            );
        };
        check("repo", &["repo"], Some("repo"));
        check(
            "repo/v1/schedules",
            &["repo/v1/schedules"],
            Some("repo/v1/schedules"),
        );
        check("./repo/v1/../v1", &["repo/v1"], Some("repo/v1"));
        check("current", &["current", "repo/v1"], Some("repo/v1"));
        check(
            "current/schedules",
            &["current", "repo/v1/schedules"],
            Some("repo/v1/schedules"),
        );
        check("absolute/v1", &["absolute", "repo/v1"], Some("repo/v1"));
        check(
            "repo/up",
            &["repo/up", "current", "repo/v1/schedules"],
            Some("repo/v1/schedules"),
        );
        check(
            "current/schedules/a.toml",
            &["current", "repo/v1/schedules/a.toml"],
            None,
        );
        check("missing", &["missing"], None);
        check("repo/missing/too/a.toml", &["repo/missing"], None);
        check("loop", &["loop"; MOST_LINKS + 1], None);
        assert_eq!(
            Route::to(Path::new("/")),
            Route {
                turns: vec![PathBuf::from("/")],
                folder: Some("/".into())
            }
        );
    }
}
