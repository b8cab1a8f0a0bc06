//! Where updates end up: one Markdown file per output destination, for a person to read; knows no run.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::SourceEvent;
use super::ids;

/// What an agent wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    #[serde(with = "super::instant")]
    pub at: Timestamp,
    pub run_id: String,
    pub request_id: String,
    /// As the input names it.
    pub destination: String,
    /// The destination's name as a file's stem.
    pub slug: String,
    /// The marker line first.
    pub text: String,
}

impl Update {
    pub(crate) fn new(at: Timestamp, run_id: &str, event: SourceEvent) -> Self {
        let destination = event
            .output_destination
            .unwrap_or_else(|| "unspecified".to_owned());
        let source = event.source_system.map(|by| format!("Source system: {by}"));
        let submitted = event.submitted_at.map(|at| format!("Submitted at: {at}"));
        let lines = [Some(event.marker), source, submitted, event.update_text];
        Self {
            at,
            run_id: run_id.to_owned(),
            request_id: event.request_id,
            slug: slug(&destination),
            destination,
            text: lines.into_iter().flatten().collect::<Vec<_>>().join("\n"),
        }
    }
}

/// The files, where there is a data folder; otherwise updates live in memory alone.
#[derive(Debug)]
pub(crate) struct Destinations {
    folder: Option<PathBuf>,
}

impl Destinations {
    pub(crate) fn open(data: Option<&Path>) -> io::Result<Self> {
        let folder = data.map(|data| data.join("destinations"));
        if let Some(folder) = &folder {
            fs::create_dir_all(folder)?;
        }
        Ok(Self { folder })
    }

    pub(crate) fn append(&self, update: &Update) -> io::Result<()> {
        let Some(path) = self.path(update) else {
            return Ok(());
        };
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?
            .write_all(format!("{}\n\n", update.text).as_bytes())
    }

    /// Appends what a crash kept from being written.
    pub(crate) fn complete(&self, updates: &[Update]) -> io::Result<()> {
        let mut files: HashMap<PathBuf, (String, usize)> = HashMap::new();
        for update in updates {
            let Some(path) = self.path(update) else {
                return Ok(());
            };
            let (text, read) = match files.entry(path) {
                Entry::Occupied(file) => file.into_mut(),
                Entry::Vacant(file) => {
                    let text = read_or_empty(file.key())?;
                    file.insert((text, 0))
                }
            };
            // Updates stand in their order, so the next one is looked for behind the last.
            match text[*read..].find(&update.text) {
                Some(at) => *read += at + update.text.len(),
                None => self.append(update)?,
            }
        }
        Ok(())
    }

    fn path(&self, update: &Update) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        Some(folder.join(format!("{}.md", update.slug)))
    }
}

fn read_or_empty(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// A stem that is safe on any file system: lower-case letters, digits and `-`.
fn slug(destination: &str) -> String {
    let words: Vec<String> = destination
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    match words.join("-") {
        empty if empty.is_empty() => ids::id("destination-", &[destination])[..20].to_owned(),
        long if long.len() > 80 => long[..80].to_owned(),
        slug => slug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(destination: &str, expected: &str) {
        assert_eq!(slug(destination), expected);
    }

    #[test]
    fn a_destination_as_a_file_stem() {
        check("#revenue-ops", "revenue-ops");
        check(
            "the agent's configured destination",
            "the-agent-s-configured-destination",
        );
        check("../../etc/passwd", "etc-passwd");
        check("日報", "destination-28759a53");
        check(&"x".repeat(300), &"x".repeat(80));
    }
}
