//! The sandbox's memory over restarts: an append-only file of JSON lines; knows what a record is, not what it means.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::agent::{Agent, Token};
use super::call::{Call, Effect};
use super::destination::Update;
use super::run::Run;

/// One thing that happened. A later record of the same call, run, agent or token replaces the earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(crate) enum Record {
    Token(Token),
    Agent(Agent),
    Call(Call),
    Effect(Effect),
    Run(Run),
    Update(Update),
}

/// Where records are kept; without a data folder, nowhere.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Option<File>,
    length: u64,
}

impl Journal {
    /// Opens the journal of a data folder, and reads what it holds.
    pub(crate) fn open(data: Option<&Path>) -> io::Result<(Self, Vec<Record>)> {
        let Some(data) = data else {
            return Ok((
                Self {
                    file: None,
                    length: 0,
                },
                Vec::new(),
            ));
        };
        fs::create_dir_all(data)?;
        let path = data.join("journal.jsonl");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("another sandbox uses `{}`", data.display()),
            ),
        })?;
        let bytes = fs::read(&path)?;

        // What follows the last line end was being written when the process was killed, and was never answered for.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |end| end + 1);
        let length = whole as u64;
        file.set_len(length)?;

        let records = bytes[..whole]
            .split(|byte| *byte == b'\n')
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
            .map(|(at, line)| {
                serde_json::from_slice(line).map_err(|error| {
                    let place = format!("line {} of `{}`: {error}", at + 1, path.display());
                    io::Error::new(io::ErrorKind::InvalidData, place)
                })
            })
            .collect::<io::Result<Vec<Record>>>()?;
        let file = Some(file);
        Ok((Self { file, length }, records))
    }

    /// Hands the records to the kernel in one write: from then on they outlive a killed process.
    pub(crate) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        if let Err(error) = file.write_all(&lines) {
            // A part of a line must not run into the next record.
            file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    pub(crate) fn unlock(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::unlock)
    }
}
