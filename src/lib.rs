//! triggerd wakes ChatGPT Workspace Agents on schedule.

pub mod api;
pub mod clock;
pub mod ledger;
pub mod plan;
pub mod sandbox;
pub mod schedule;
pub mod toml_file;

mod failpoint;
