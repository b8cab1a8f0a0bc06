//! triggerd wakes ChatGPT Workspace Agents on schedule.

pub mod api;
pub mod clock;
pub mod schedule;
