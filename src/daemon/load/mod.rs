//! The catalog: what the folder says, and the last good version of each file. It reads what changed
//! and gives what that means for the agenda; it knows no watcher, and nothing of time but `now`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{Boottime, Moment};
use crate::daemon::event::Loaded;
use crate::daemon::read::{self, Fingerprint, Named};
use crate::daemon::watch;
use crate::plan::agenda::Change;
use crate::plan::fact::Source;
use crate::schedule::problem::{Problem, has_errors};
use crate::schedule::resolve::{Context, Parsed, resolve_quietly};
use crate::schedule::{Schedule, ScheduleId};

/// How long a readable folder has to be without a file until that is gone (SEMANTICS.md 4): what is
/// deleted and made again meanwhile was edited.
pub const GONE_AFTER: Duration = Duration::from_secs(2);

pub struct Catalog {
    folder: PathBuf,
    context: Context,
    files: BTreeMap<ScheduleId, Entry>,
    /// Of few files: whoever is told of all problems goes through no others.
    troubles: BTreeMap<ScheduleId, Trouble>,
    /// Of the files that are not there: what a look costs grows with what changed alone.
    missing: BTreeMap<ScheduleId, Boottime>,
    /// Which schedules read a file beside their own.
    inputs: BTreeMap<PathBuf, BTreeSet<ScheduleId>>,
    /// Schedule files that are links to something.
    links: BTreeSet<PathBuf>,
    /// In force when the process before stopped, and not looked at yet.
    remembered: BTreeMap<ScheduleId, Source>,
    /// Of names that are no schedule's.
    misnamed: BTreeMap<PathBuf, Problem>,
    /// Why the folder can't be read, if it can't.
    folder_problem: Option<Problem>,
}

/// One file.
struct Entry {
    is_link: bool,
    /// `None` while it is not there.
    seen: Option<Seen>,
    in_force: Option<Arc<Schedule>>,
}

/// What is wrong with a file as it is now.
struct Trouble {
    problems: Vec<Problem>,
    /// To draw them on; empty if it can't be read.
    text: String,
}

#[derive(Clone, PartialEq, Eq)]
struct Seen {
    file: Fingerprint,
    /// Few schedules have one.
    input: Option<Box<SeenInput>>,
}

#[derive(Clone, PartialEq, Eq)]
struct SeenInput {
    path: PathBuf,
    file: Option<Fingerprint>,
}

/// What a look at the folder found.
#[derive(Debug, Default)]
pub struct Report {
    pub loaded: Loaded,
    pub added: Vec<ScheduleId>,
    pub changed: Vec<ScheduleId>,
    pub removed: Vec<ScheduleId>,
    /// The folder could not be read, and can be now.
    pub folder_is_back: bool,
    /// Of the files that were looked at.
    pub problems: Vec<Problem>,
}

impl Catalog {
    pub fn new(folder: PathBuf, context: Context) -> Self {
        Self {
            folder,
            context,
            files: BTreeMap::new(),
            troubles: BTreeMap::new(),
            missing: BTreeMap::new(),
            inputs: BTreeMap::new(),
            links: BTreeSet::new(),
            remembered: BTreeMap::new(),
            misnamed: BTreeMap::new(),
            folder_problem: None,
        }
    }

    /// Takes up a schedule that was in force when the process before stopped, by its last good
    /// version: a file that is broken or missing by now is not a file that is gone. It is in force
    /// from the first look on.
    pub fn remember(&mut self, id: ScheduleId, source: Source) {
        self.remembered.insert(id, source);
    }

    /// Everything that is in force, as a change: for the agenda's first one.
    pub fn in_force(&self) -> Loaded {
        Loaded {
            changes: self.schedules().cloned().map(Change::Put).collect(),
            sources: Vec::new(),
        }
    }

    pub fn schedules(&self) -> impl Iterator<Item = &Arc<Schedule>> {
        self.files
            .values()
            .filter_map(|entry| entry.in_force.as_ref())
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Schedule>> {
        self.files.get(id)?.in_force.as_ref()
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a file that was in force once said, by the defaults and agents of now.
    pub fn recalled(
        &self,
        id: &ScheduleId,
        source: &Source,
        now: Timestamp,
    ) -> Option<Arc<Schedule>> {
        let input = source.input.as_deref().map(str::to_owned);
        resolve_quietly(
            &self.path_of(id),
            id,
            &source.toml,
            input,
            &self.context,
            now,
        )
    }

    /// Every problem of every file as it is now, by path.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.folder_problem
            .iter()
            .chain(self.misnamed.values())
            .chain(self.troubles.values().flat_map(|it| &it.problems))
    }

    /// Why the folder can't be read, if it can't.
    pub fn folder_problem(&self) -> Option<&Problem> {
        self.folder_problem.as_ref()
    }

    /// The text of a file as it was last read, to draw its problems on.
    pub fn text_of(&self, path: &Path) -> Option<&str> {
        match read::named(path) {
            Named::Schedule(id) => self.troubles.get(&id).map(|it| it.text.as_str()),
            Named::Ignored | Named::Invalid(_) => None,
        }
    }

    /// Files outside of the folder's own names that the schedules depend on: inputs, and what a schedule that is a
    /// link leads to, by the link.
    pub fn other_files(&self) -> BTreeSet<PathBuf> {
        self.inputs.keys().chain(&self.links).cloned().collect()
    }

    /// When a missing file is gone, unless it comes back before.
    pub fn next_gone(&self) -> Option<Boottime> {
        let since = self.missing.values().min();
        since
            .map(|since| *since + GONE_AFTER)
            .filter(|_| self.folder_problem.is_none())
    }

    /// Other agents, defaults or environment: every file is resolved again.
    pub fn set_context(&mut self, folder: PathBuf, context: Context, now: Moment) -> Report {
        self.folder = folder;
        self.context = context;
        for entry in self.files.values_mut() {
            entry.seen = None;
        }
        self.inputs.clear();
        self.links.clear();
        self.look(&watch::Change::Everything, now)
    }

    /// Looks at what may have changed. One changed file costs one file's work.
    pub fn look(&mut self, change: &watch::Change, now: Moment) -> Report {
        let mut report = Report::default();
        match change {
            watch::Change::Everything => self.look_at_all(now, &mut report),
            watch::Change::Paths(paths) => {
                for path in paths {
                    self.look_at(path, now, &mut report);
                }
            }
        }
        self.take_up_remembered(now);
        self.sweep(now, &mut report);
        report
    }

    fn look_at_all(&mut self, now: Moment, report: &mut Report) {
        let paths = match paths_in(&self.folder) {
            Ok(paths) => paths,
            Err(error) => {
                // A folder that is missing, unmounted or unreadable ends nothing.
                let problem = Problem::error(
                    &self.folder,
                    format!("the schedules folder can't be read: {error}"),
                )
                .help("make it readable; what was loaded before stays in force");
                report.problems.push(problem.clone());
                self.folder_problem = Some(problem);
                return;
            }
        };
        if self.folder_problem.take().is_some() {
            report.folder_is_back = true;
            // It may have been away for long: files get their time to come back as well.
            for since in self.missing.values_mut() {
                *since = now.boot;
            }
        }
        self.misnamed.retain(|path, _| paths.contains(path));
        let missing: Vec<_> = self
            .files
            .keys()
            .map(|id| self.path_of(id))
            .filter(|path| !paths.contains(path))
            .collect();
        let mut stale = Vec::new();
        for path in paths.iter().chain(&missing) {
            match read::named(path) {
                Named::Schedule(id) if self.is_stale(&id, path, now) => stale.push((id, path)),
                Named::Schedule(_) => {}
                Named::Ignored | Named::Invalid(_) => self.look_at(path, now, report),
            }
        }
        for stale in stale.chunks(MOST_AT_ONCE) {
            for (id, read) in self.read_all(stale, now) {
                self.take(id, read, report);
            }
        }
    }

    /// Reads files on all cores; in their order.
    fn read_all(
        &self,
        files: &[(ScheduleId, &PathBuf)],
        now: Moment,
    ) -> Vec<(ScheduleId, ReadFile)> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let share = files.len().div_ceil(threads).max(FEWEST_FOR_A_THREAD);
        let read = |files: &[(ScheduleId, &PathBuf)]| {
            let read = files
                .iter()
                .map(|(id, path)| (id.clone(), self.read(id, path, now)));
            read.collect::<Vec<_>>()
        };
        let mut shares = files.chunks(share);
        let first = shares.next().unwrap_or_default();
        thread::scope(|scope| {
            let others: Vec<_> = shares
                .map(|files| scope.spawn(move || read(files)))
                .collect();
            let mut all = read(first);
            for other in others {
                all.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            all
        })
    }

    fn look_at(&mut self, path: &Path, now: Moment, report: &mut Report) {
        if path.parent() == Some(&self.folder) {
            match read::named(path) {
                Named::Schedule(id) => return self.look_at_schedule(id, path, now, report),
                Named::Ignored => {}
                Named::Invalid(problem) => {
                    if path.symlink_metadata().is_ok() {
                        report.problems.push(problem.clone());
                        self.misnamed.insert(path.to_owned(), problem);
                    } else {
                        self.misnamed.remove(path);
                    }
                }
            }
        }
        for id in self.inputs.get(path).cloned().unwrap_or_default() {
            let path = self.path_of(&id);
            self.look_at_schedule(id, &path, now, report);
        }
    }

    fn look_at_schedule(&mut self, id: ScheduleId, path: &Path, now: Moment, report: &mut Report) {
        if self.is_stale(&id, path, now) {
            let read = self.read(&id, path, now);
            self.take(id, read, report);
        }
    }

    /// Whether the file has to be read; one that is not there is missing from now on.
    fn is_stale(&mut self, id: &ScheduleId, path: &Path, now: Moment) -> bool {
        if path.symlink_metadata().is_err() {
            if self.files.contains_key(id) || self.remembered.contains_key(id) {
                self.missing.entry(id.clone()).or_insert(now.boot);
            }
            return false;
        }
        let was_missing = self.missing.remove(id).is_some();
        let entry = self.files.get(id);
        was_missing || !entry.is_some_and(|it| it.is_as_seen(path))
    }

    /// Takes up what was read of a file, in place of what it said before.
    fn take(&mut self, id: ScheduleId, read: ReadFile, report: &mut Report) {
        let ReadFile {
            mut entry,
            trouble,
            source,
            remembered,
        } = read;
        let before = self.files.remove(&id);
        self.index_input(&id, before.as_ref(), Some(&entry));
        match entry.is_link && entry.seen.is_some() {
            true => self.links.insert(self.path_of(&id)),
            false => self.links.remove(&self.path_of(&id)),
        };
        self.remembered.remove(&id);
        let in_force_before = before.and_then(|entry| entry.in_force).or(remembered);
        match trouble {
            Some(trouble) => {
                report.problems.extend(trouble.problems.iter().cloned());
                self.troubles.insert(id.clone(), trouble);
            }
            None => {
                self.troubles.remove(&id);
            }
        }
        match (&entry.in_force, source) {
            (Some(schedule), Some(source)) if Some(schedule) != in_force_before.as_ref() => {
                report.loaded.changes.push(Change::Put(schedule.clone()));
                report.loaded.sources.push((id.clone(), Arc::new(source)));
                if in_force_before.is_some() {
                    report.changed.push(id.clone());
                } else {
                    report.added.push(id.clone());
                }
            }
            (Some(_), Some(_)) => {}
            _ => entry.in_force = in_force_before,
        }
        self.files.insert(id, entry);
    }

    fn index_input(&mut self, id: &ScheduleId, before: Option<&Entry>, after: Option<&Entry>) {
        let [before, after] = [before, after].map(|entry| entry.and_then(Entry::input));
        if before == after {
            return;
        }
        if let Some(path) = before
            && let Some(users) = self.inputs.get_mut(path)
        {
            users.remove(id);
            if users.is_empty() {
                self.inputs.remove(path);
            }
        }
        if let Some(path) = after {
            let users = self.inputs.entry(path.clone()).or_default();
            users.insert(id.clone());
        }
    }

    /// What was in force before and whose file was not read is in force still.
    fn take_up_remembered(&mut self, now: Moment) {
        for (id, source) in std::mem::take(&mut self.remembered) {
            self.missing.entry(id.clone()).or_insert(now.boot);
            let entry = Entry {
                is_link: false,
                seen: None,
                in_force: self.resolve(&id, &source, now),
            };
            self.files.insert(id, entry);
        }
    }

    fn resolve(&self, id: &ScheduleId, source: &Source, now: Moment) -> Option<Arc<Schedule>> {
        resolve_quietly(
            &self.path_of(id),
            id,
            &source.toml,
            source.input.as_deref().map(str::to_owned),
            &self.context,
            now.wall,
        )
    }

    fn path_of(&self, id: &ScheduleId) -> PathBuf {
        self.folder.join(format!("{id}.toml"))
    }

    /// Reads one file, and what was in force before if only the ledger knows that.
    fn read(&self, id: &ScheduleId, path: &Path, now: Moment) -> ReadFile {
        let mut read = self.read_new(id, path, now);
        read.remembered = match self.remembered.get(id) {
            // The same text is resolved once only.
            Some(before) if read.source.as_ref() == Some(before) => read.entry.in_force.clone(),
            Some(before) => self.resolve(id, before, now),
            None => None,
        };
        read
    }

    fn read_new(&self, id: &ScheduleId, path: &Path, now: Moment) -> ReadFile {
        let fingerprint = Fingerprint::at(path);
        let mut entry = Entry {
            is_link: path.is_symlink(),
            seen: fingerprint.map(|file| Seen { file, input: None }),
            in_force: None,
        };
        let text = match read::text(path) {
            Ok((text, file)) => {
                entry.seen = Some(Seen { file, input: None });
                text
            }
            Err(reason) => {
                let problem = Problem::error(path, reason)
                    .help("put a readable schedule file in its place, or delete it");
                return ReadFile {
                    entry,
                    trouble: Some(Trouble {
                        problems: vec![problem],
                        text: String::new(),
                    }),
                    source: None,
                    remembered: None,
                };
            }
        };
        let parsed = Parsed::new(path, &text, &self.context);
        let input = parsed.input_file().map(|name| self.read_input(name));
        if let (Some(seen), Some((path, fingerprint, _))) = (&mut entry.seen, &input) {
            let (path, file) = (path.clone(), *fingerprint);
            seen.input = Some(Box::new(SeenInput { path, file }));
        }
        let input = input.map(|(.., text)| text);
        let input_text = input.as_ref().and_then(|input| input.as_deref().ok());
        let source = Source {
            toml: text.as_str().into(),
            input: input_text.map(Into::into),
        };
        let (schedule, problems) = parsed.resolve(id, input, &self.context, now.wall);
        entry.in_force = schedule.map(Arc::new);
        let good = entry.in_force.is_some() && !has_errors(&problems);
        ReadFile {
            entry,
            trouble: (!problems.is_empty()).then_some(Trouble { problems, text }),
            source: good.then_some(source),
            remembered: None,
        }
    }

    fn read_input(&self, name: &str) -> (PathBuf, Option<Fingerprint>, Result<String, String>) {
        let path = self.folder.join(name);
        let text = read::input_path(&self.folder, name).and_then(|path| {
            read::text(&path).map_err(|reason| format!("`{name}` can't be used: {reason}"))
        });
        match text {
            Ok((text, fingerprint)) => (path, Some(fingerprint), Ok(text)),
            Err(reason) => (path, None, Err(reason)),
        }
    }

    /// Files that have been missing for long enough are gone: by a look of its own, since in a storm of changes their
    /// coming back, or the folder's going, may not be told yet.
    fn sweep(&mut self, now: Moment, report: &mut Report) {
        if self.folder_problem.is_some() {
            return;
        }
        let is_gone = |since: Boottime| since + GONE_AFTER <= now.boot;
        let missing = self.missing.iter().filter(|(_, since)| is_gone(**since));
        let missing: Vec<_> = missing.map(|(id, _)| id.clone()).collect();
        let folder_is_there = missing.is_empty() || fs::read_dir(&self.folder).is_ok();
        for id in missing {
            let path = self.path_of(&id);
            if path.symlink_metadata().is_ok() {
                self.look_at_schedule(id, &path, now, report);
                continue;
            }
            if !folder_is_there {
                self.missing.insert(id, now.boot);
                continue;
            }
            self.missing.remove(&id);
            let before = self.files.remove(&id);
            self.index_input(&id, before.as_ref(), None);
            self.links.remove(&path);
            self.troubles.remove(&id);
            report.loaded.changes.push(Change::Remove(id.clone()));
            report.removed.push(id);
        }
    }
}

/// What was read of one file.
struct ReadFile {
    entry: Entry,
    /// `None` if nothing is wrong.
    trouble: Option<Trouble>,
    /// `None` if it can't be put into force.
    source: Option<Source>,
    /// What the ledger says was in force before.
    remembered: Option<Arc<Schedule>>,
}

/// So few files are read sooner than a thread is started.
const FEWEST_FOR_A_THREAD: usize = 64;

/// What was read of more files would lie in memory together, and never be given back.
const MOST_AT_ONCE: usize = 1024;

impl Entry {
    /// Whether the file and its input are as they were when they were read.
    fn is_as_seen(&self, path: &Path) -> bool {
        let Some(seen) = &self.seen else {
            return false;
        };
        Fingerprint::at(path) == Some(seen.file)
            && seen
                .input
                .as_ref()
                .is_none_or(|input| Fingerprint::at(&input.path) == input.file)
    }

    /// The file beside its own that it reads.
    fn input(&self) -> Option<&PathBuf> {
        Some(&self.seen.as_ref()?.input.as_ref()?.path)
    }
}

fn paths_in(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect()
}

#[cfg(test)]
mod tests;
