//! What the ledger tells of the past, as answers: for the commands, and over the control socket for those who may
//! not read the ledger themselves.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::history::{Entry, Filter, Position};
use crate::ledger::{LedgerError, Reader};
use crate::schedule::ScheduleId;
pub use rows::Row;

mod rows;
pub mod when;
pub mod why;

/// A part of the history, and where it goes on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    pub rows: Vec<Row>,
    /// Of each row of what came after a position.
    pub positions: Vec<Position>,
    pub position: Position,
}

impl Page {
    /// The newest entries.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn newest(reader: &Reader, filter: &Filter, now: Timestamp) -> Result<Self, LedgerError> {
        let position = reader.position()?;
        let entries = reader.history(filter)?;
        let rows = entries.iter().map(|entry| Row::new(entry, now)).collect();
        Ok(Self {
            rows,
            positions: Vec::new(),
            position,
        })
    }

    /// What was recorded after `position`; where several nodes write, some of what was before it as well.
    ///
    /// # Errors
    /// If the ledger is damaged or was taken away.
    pub fn after(
        reader: &Reader,
        position: Position,
        schedule: Option<&ScheduleId>,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        let entries = reader.after(reader.all_are_there_up_to(position), schedule)?;
        let positions: Vec<_> = entries.iter().filter_map(Entry::position).collect();
        Ok(Self {
            rows: entries.iter().map(|entry| Row::new(entry, now)).collect(),
            position: positions.iter().copied().fold(position, Position::max),
            positions,
        })
    }
}
